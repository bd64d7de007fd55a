/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C (Castagnoli; RFC 3720, 12.1): tells a torn copy from a whole one, and nothing more. */
#ifndef ENVOL_BASE_CRC32C_H
#define ENVOL_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from crc, the result for the bytes before; 0 at the start. */
uint32_t envol_crc32c(uint32_t crc, const void *data, size_t bytes);

#endif
