/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Temporary files of a connection: sorts, temporary tables, the copy that VACUUM makes.  SQLite
 * opens them with the VFS that the main database was opened with, whichever the others have.
 */
#include "temporary.h"

void temporary_warn(const struct database *database)
{
    sqlite3_vfs *vfs = NULL;

    if (database->connection == NULL ||
        sqlite3_file_control(database->connection, "main", SQLITE_FCNTL_VFS_POINTER, &vfs) !=
            SQLITE_OK ||
        vfs == NULL || vfs == sqlite3_vfs_find("envol"))
        return;
    (void)complain(SQLITE_WARNING, database->path,
                   "temporary files of this connection are not encrypted, as its main database is "
                   "not: open the encrypted one first, or PRAGMA temp_store = MEMORY");
}
