/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile segments through everything that reads a log, for the fuzzer and for a suite.  The keys
 * are known, so that small inputs get behind the tags.
 *
 *   byte 0    bit 0     the segments follow as they are: bytes of the first u16, it, the second;
 *                       otherwise changes (input_changes.h) to a sound log of two segments and
 *                       three runs, the second segment behind the first
 *             bit 1     the headers of runs and the tags of records are made right, whatever else
 *                       they say
 *             bit 2     the volume's header says that the log was closed
 *             bit 3     the last two bytes of the input say where the second segment is cut
 *             bit 4     there is no second segment
 */
#ifndef ENVOL_TESTS_SEGMENT_HARNESS_H
#define ENVOL_TESTS_SEGMENT_HARNESS_H

#include <stddef.h>
#include <stdint.h>

enum {
    SEGMENT_HARNESS_FILES = 1,
    SEGMENT_HARNESS_TAGS = 2,
    SEGMENT_HARNESS_CLOSED = 4,
    SEGMENT_HARNESS_CUT = 8,
    SEGMENT_HARNESS_FIRST = 16
};
/* Of the sound log; the first segment has SEGMENT_HARNESS_OF_FIRST of them. */
enum { SEGMENT_HARNESS_RECORDS = 10, SEGMENT_HARNESS_OF_FIRST = 6 };

struct segment_outcome {
    unsigned records; /* that a reader of an archive got */
    int corrupt;      /* it ended with that, or could not begin */
    int whole;        /* it came to an end that a writer could have left */
    int opened;       /* a writer took it */
};

/* Aborts where the library breaks its word, or asks for memory that the input does not justify.
 * All zero where this build has no kernel for it. */
struct segment_outcome segment_harness(const uint8_t *input, size_t bytes);

#endif
