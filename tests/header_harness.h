/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One hostile header through everything that reads it, for the fuzzer and for a suite.  An input is
 * a mode byte and changes to a header that is good otherwise, so that small inputs reach the code
 * behind the CRC and, in the modes that make the MAC right with the known DEK, behind the MAC.
 *
 *   byte 0    bits 0-1  0: nothing is repaired; 1: the CRC; 2: CRC and MAC;
 *                       3: CRC and MAC, and the changed copy stands in both places
 *             bit 2     the changed copy starts as zeros
 *             bit 3     it is the second one
 *             bit 4     the other one is zeros
 *             bit 5     ENVOL_HEADER_OTHER_COPY
 *             bit 6     what follows is laid over the copy's start; otherwise changes follow:
 *   change    offset u16 (its low 15 bits), length u8, and so many bytes
 */
#ifndef ENVOL_TESTS_HEADER_HARNESS_H
#define ENVOL_TESTS_HEADER_HARNESS_H

#include <stddef.h>
#include <stdint.h>

enum { HARNESS_MAC = 2, HARNESS_RAW = 64 };

/* How far a header came. */
enum harness_depth { HARNESS_REFUSED, HARNESS_DECODED, HARNESS_UNLOCKED, HARNESS_UPDATED };

/* Aborts where the library breaks its word. */
enum harness_depth header_harness(const uint8_t *input, size_t bytes);

#endif
