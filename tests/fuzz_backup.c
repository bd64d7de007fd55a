/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: hostile backups; what an input means stands in backup_harness.h. */
#include "backup_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    backup_harness(data, size);
    return 0;
}
