/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile bytes through everything that reads a run, for the fuzzer and for a suite.  An input is a
 * mode byte and changes to a good run of three records:
 *
 *   byte 0    bit 0     what follows is laid over the start of the run header
 *             bit 1     it is laid over the start of the first record
 *             bit 2     the tags of the records are made right again, with the known key
 *             otherwise changes follow:
 *   change    offset u16, length u8, and so many bytes
 */
#ifndef ENVOL_TESTS_LOG_HARNESS_H
#define ENVOL_TESTS_LOG_HARNESS_H

#include <stddef.h>
#include <stdint.h>

enum { LOG_HARNESS_HEADER = 1, LOG_HARNESS_RECORD = 2, LOG_HARNESS_TAGS = 4 };
enum { LOG_HARNESS_RECORDS = 3 };

/* How many records were read; -1: not even the header was.  Aborts where the library breaks its
 * word. */
int log_harness(const uint8_t *input, size_t bytes);

#endif
