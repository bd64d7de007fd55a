/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: hostile headers; what an input means stands in header_harness.h. */
#include "header_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    header_harness(data, size);
    return 0;
}
