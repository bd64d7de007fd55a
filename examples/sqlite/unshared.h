/* SPDX-License-Identifier: BSD-2-Clause */
/* Methods of files that no two connections lock: a WAL's locks are those of its database's shared
 * memory, and no process but one has a journal or a temporary file open at a time. */
#ifndef SQLITE_UNSHARED_H
#define SQLITE_UNSHARED_H

#include <sqlite3ext.h>

int unshared_lock(sqlite3_file *base, int level);
int unshared_check_lock(sqlite3_file *base, int *is_locked);
/* No characteristics of the device are claimed. */
int unshared_characteristics(sqlite3_file *base);

#endif
