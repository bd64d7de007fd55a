/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: hostile backups; what an input means stands in backup_harness.h. */
#include "backup_harness.h"
#include "outside_runner.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    outside_runner();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    backup_harness(data, size);
    return 0;
}
