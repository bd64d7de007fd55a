/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: hostile chains; what an input means stands in chain_harness.h. */
#include "chain_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    chain_harness(data, size);
    return 0;
}
