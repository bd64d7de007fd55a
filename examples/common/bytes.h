/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers on disk and in messages: little-endian, of any size up to 8 bytes, at any alignment. */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t load(const uint8_t *from, size_t bytes)
{
    uint64_t number = 0;

    while (bytes-- > 0)
        number = number << 8 | from[bytes];
    return number;
}

static inline void store(uint8_t *to, size_t bytes, uint64_t number)
{
    for (size_t i = 0; i < bytes; i++, number >>= 8)
        to[i] = (uint8_t)number;
}

#endif
