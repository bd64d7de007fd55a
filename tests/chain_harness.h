/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile bytes through everything that reads a chain, for the fuzzer and for a suite.  The key is
 * known, so that small inputs get behind the MACs.
 *
 *   byte 0    bit 0     the rest is the file; otherwise it is changes (input_changes.h) to one of
 *                       three entries
 *             bit 1     magic, id, MACs and checksums are made right, whatever else heads say
 *             bit 2     the last two bytes of the input say where the file is cut
 */
#ifndef ENVOL_TESTS_CHAIN_HARNESS_H
#define ENVOL_TESTS_CHAIN_HARNESS_H

#include <stddef.h>
#include <stdint.h>

enum { CHAIN_HARNESS_FILE = 1, CHAIN_HARNESS_MACS = 2, CHAIN_HARNESS_CUT = 4 };
enum { CHAIN_HARNESS_ENTRIES = 3, CHAIN_HARNESS_BYTES = 3 * 96 + 0 + 32 + 112 };

/* How many entries were read; -1 - that many where what followed them was called corrupt.  Aborts
 * where the library breaks its word. */
int chain_harness(const uint8_t *input, size_t bytes);

#endif
