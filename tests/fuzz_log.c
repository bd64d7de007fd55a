/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: hostile segments; what an input means stands in segment_harness.h. */
#include "outside_runner.h"
#include "segment_harness.h"

#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    outside_runner();
    return 0;
}

/* Readers wait before they say that a log is corrupt: no writer is there to be waited for. */
int nanosleep(const struct timespec *pause, struct timespec *left)
{
    (void)pause;
    (void)left;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    segment_harness(data, size);
    return 0;
}
