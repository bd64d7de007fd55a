/* SPDX-License-Identifier: BSD-2-Clause */
/* How far a caller's struct of options is believed. */
#include "kms/options.h"

#include "kms/fail.h"
#include <sodium.h>
#include <string.h>

/* No struct grows by more: a larger size was never set, and there is nothing to read there. */
#define EXCESS_MAX 4096u

enum envol_status envol_kms_options_take(const void *given, void *whole, size_t known, size_t least,
                                         struct envol_error *error)
{
    size_t size;

    memset(whole, 0, known);
    if (given == NULL)
        return ENVOL_OK;
    memcpy(&size, given, sizeof(size));
    if (size < least || size > known + EXCESS_MAX)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "options: struct_size not set");
    if (size > known && !sodium_is_zero((const unsigned char *)given + known, size - known))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "",
                              "options: one that this version does not know");
    memcpy(whole, given, size < known ? size : known);
    return ENVOL_OK;
}
