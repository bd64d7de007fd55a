/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods that have nothing to do. */
#include "unshared.h"

int unshared_lock(sqlite3_file *base, int level)
{
    (void)base;
    (void)level;
    return SQLITE_OK;
}

int unshared_check_lock(sqlite3_file *base, int *is_locked)
{
    (void)base;
    *is_locked = 0;
    return SQLITE_OK;
}

int unshared_characteristics(sqlite3_file *base)
{
    (void)base;
    return 0;
}
