/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: hostile answers and profile files; what an input means stands in kms_harness.h.
 */
#include "kms_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kms_harness(data, size);
    return 0;
}
