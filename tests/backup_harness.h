/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One hostile stream through everything that reads backups, for the fuzzer and for a suite.  The
 * key is known, so that small inputs reach what is behind it.
 *
 *   byte 0    0  the rest is the stream
 *             1  the rest is the body of a full backup of 10 pages of 512 bytes, sealed
 *             2  the same of an incremental one
 *             3  the rest are changes to a sound stream: offset u16, a byte that is XORed
 *             4  the rest are changes to the head of one, sealed with it: a holder of the key made
 * it 5  the rest is the list of changes of a volume's next backup
 */
#ifndef ENVOL_TESTS_BACKUP_HARNESS_H
#define ENVOL_TESTS_BACKUP_HARNESS_H

#include <stddef.h>
#include <stdint.h>

enum harness_stream { STREAM_REFUSED, STREAM_VERIFIED, STREAM_RESTORED };

/* Aborts where the library breaks its word. */
enum harness_stream backup_harness(const uint8_t *input, size_t bytes);

#endif
