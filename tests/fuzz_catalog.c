/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: entries of a catalog of backups; catalog_harness.h says what an input means. */
#include "catalog_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    catalog_harness(data, size);
    return 0;
}
