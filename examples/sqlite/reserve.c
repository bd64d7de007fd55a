/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Room for the trailer.  SQLite has a setting for bytes that its pages leave free, and takes it up
 * to the moment that it writes a new database's first page.  It is a setting of the connection's
 * schema, whose name no VFS is told; but SQLite does say which connection a file is of
 * (SQLITE_FCNTL_PDB), and which file each of its schemas has.  So this serves attached databases
 * too, for which no automatic extension is called.
 */
#include "reserve.h"

/* The name under which a connection has this file, or NULL. */
static const char *schema_of(struct database *database)
{
    const char *name;

    for (int i = 0; (name = sqlite3_db_name(database->connection, i)) != NULL; i++) {
        sqlite3_file *file = NULL;

        if (sqlite3_file_control(database->connection, name, SQLITE_FCNTL_FILE_POINTER, &file) ==
                SQLITE_OK &&
            file == &database->file.base)
            return name;
    }
    return NULL;
}

int reserve_bytes(struct database *database)
{
    int bytes = RESERVED_BYTES;
    const char *schema;

    if (database->connection == NULL)
        return SQLITE_OK;
    schema = schema_of(database);
    if (schema == NULL)
        return SQLITE_OK; /* writing the first page will say so */
    return sqlite3_file_control(database->connection, schema, SQLITE_FCNTL_RESERVE_BYTES, &bytes);
}
