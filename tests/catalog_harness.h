/* SPDX-License-Identifier: BSD-2-Clause */
/* What a catalog of backups makes of entries that whoever has the key wrote; fuzz_catalog. */
#ifndef ENVOL_TESTS_CATALOG_HARNESS_H
#define ENVOL_TESTS_CATALOG_HARNESS_H

#include <stddef.h>
#include <stdint.h>

/*
 * An input is entries one after the other: kind u8, length u16, payload.  A kind of 0 stands for an
 * honest backup, whose bytes the payload changes (input_changes.h).  How many backups count at the
 * end; those up to the first entry that is not taken.
 */
int catalog_harness(const uint8_t *input, size_t input_bytes);

#endif
