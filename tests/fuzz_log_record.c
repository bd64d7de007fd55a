/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: hostile runs of a log; what an input means stands in log_harness.h. */
#include "log_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_harness(data, size);
    return 0;
}
