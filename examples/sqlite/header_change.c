/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes of the header, by way of the VFS below: no descriptor of the file is opened beside its
 * own, as closing one would drop SQLite's locks (POSIX).  The lock is SQLite's too.  In a rollback
 * mode it is the one that a recovery takes: nobody else reads or writes.  With a WAL that one is
 * not to be had while others are connected; but RESERVED has no other use there.
 */
#include "header_change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- The hands of envol_header_commit ---*/

static enum envol_status lock_header(void *ctx)
{
    struct database *database = ctx;
    sqlite3_file *below = database->file.below;
    int code = SQLITE_OK;

    if (database->lock_level == SQLITE_LOCK_NONE)
        code = below->pMethods->xLock(below, SQLITE_LOCK_SHARED);
    if (code == SQLITE_OK)
        code = below->pMethods->xLock(below, database->wal != NULL ? SQLITE_LOCK_RESERVED
                                                                   : SQLITE_LOCK_EXCLUSIVE);
    if (code == SQLITE_OK)
        return ENVOL_OK;
    (void)below->pMethods->xUnlock(below, database->lock_level);
    return code == SQLITE_BUSY ? ENVOL_E_BUSY : ENVOL_E_IO;
}

static void unlock_header(void *ctx)
{
    struct database *database = ctx;
    sqlite3_file *below = database->file.below;

    (void)below->pMethods->xUnlock(below, database->lock_level);
}

static enum envol_status read_copy(void *ctx, uint32_t copy, void *buffer)
{
    sqlite3_file *below = ((struct database *)ctx)->file.below;
    int code = below->pMethods->xRead(below, buffer, ENVOL_HEADER_COPY_BYTES,
                                      (sqlite3_int64)copy * ENVOL_HEADER_COPY_BYTES);

    return code == SQLITE_OK || code == SQLITE_IOERR_SHORT_READ ? ENVOL_OK : ENVOL_E_IO;
}

static enum envol_status write_copy(void *ctx, uint32_t copy, const void *buffer)
{
    sqlite3_file *below = ((struct database *)ctx)->file.below;
    int code = below->pMethods->xWrite(below, buffer, ENVOL_HEADER_COPY_BYTES,
                                       (sqlite3_int64)copy * ENVOL_HEADER_COPY_BYTES);

    return code == SQLITE_OK ? ENVOL_OK : ENVOL_E_IO;
}

static enum envol_status sync_header(void *ctx)
{
    sqlite3_file *below = ((struct database *)ctx)->file.below;

    return below->pMethods->xSync(below, SQLITE_SYNC_NORMAL) == SQLITE_OK ? ENVOL_OK : ENVOL_E_IO;
}

/* --- Reading ---*/

static enum envol_status decode(struct database *database, struct envol_header **header,
                                struct envol_error *error)
{
    uint8_t *bytes = malloc(ENVOL_HEADER_BYTES);
    enum envol_status status = bytes == NULL ? ENVOL_E_NO_MEMORY : read_copy(database, 0, bytes);

    if (status == ENVOL_OK)
        status = read_copy(database, 1, bytes + ENVOL_HEADER_COPY_BYTES);
    if (status == ENVOL_OK)
        status = envol_header_decode(bytes, 0, header, error);
    free(bytes);
    return status;
}

static void keep_message(struct database *database, enum envol_status status,
                         const struct envol_error *error)
{
    if (status != ENVOL_OK && database->message[0] == '\0')
        snprintf(database->message, sizeof database->message, "%s (%s)",
                 error->message[0] != '\0' ? error->message : envol_status_message(status),
                 envol_status_name(status));
}

struct envol_header *header_read(struct database *database, struct envol_header_info *info)
{
    struct envol_header *header = NULL;
    struct envol_keyring *again = NULL;
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = decode(database, &header, &error);

    if (status == ENVOL_OK)
        status = envol_header_unlock_with(header, database->keys->keyring, NULL, &again);
    if (status == ENVOL_OK)
        status = envol_header_info(header, info);
    envol_keyring_close(again);
    if (status == ENVOL_OK)
        return header;
    keep_message(database, status, &error);
    envol_header_free(header);
    return NULL;
}

/* --- Another CMK ---*/

/* The only slot's id, which the new one replaces. */
static enum envol_status only_slot(struct database *database, const struct envol_header *header,
                                   uint32_t *id)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    struct envol_slot slot = {.struct_size = sizeof slot};
    enum envol_status status = envol_header_info(header, &info);

    if (status == ENVOL_OK && info.slots != 1) {
        sqlite3_snprintf(sizeof database->message, database->message,
                         "the header has %u slots: envol rewrap, or envol slot, takes one of them",
                         info.slots);
        return ENVOL_E_STATE;
    }
    if (status == ENVOL_OK)
        status = envol_header_slot(header, 0, &slot);
    *id = slot.id;
    return status;
}

/* The new CMK wraps the DEK that the connections have, and has to unwrap it once. */
static enum envol_status replace_slot(struct database *database, struct envol_header *header,
                                      const struct envol_cmk *to, struct envol_error *error)
{
    uint32_t old = 0;
    enum envol_status status = only_slot(database, header, &old);

    if (status == ENVOL_OK)
        status = envol_header_add_slot_by(header, database->keys->keyring, to, NULL, NULL, error);
    if (status == ENVOL_OK)
        status = envol_header_remove_slot(header, old);
    return status;
}

static enum envol_status rewrap(struct database *database, const struct envol_cmk *to,
                                struct envol_error *error)
{
    const struct envol_header_io io = {sizeof io, database,   lock_header, unlock_header,
                                       read_copy, write_copy, sync_header};
    struct envol_header_info info = {.struct_size = sizeof info};
    struct envol_header *header = header_read(database, &info);
    enum envol_status status =
        header == NULL ? ENVOL_E_STATE : replace_slot(database, header, to, error);

    if (status == ENVOL_OK)
        status = envol_header_commit(header, database->keys->keyring, &io, error);
    envol_header_free(header);
    return status;
}

/* The next rewrap of this connection starts from the new CMK.  Without memory it asks the old one,
 * which will say that it is the wrong one. */
static void remember(struct database *database, const char *to_uri)
{
    char *uri = strdup(to_uri);

    if (uri == NULL)
        return;
    free(database->own_cmk_uri);
    database->own_cmk_uri = uri;
    database->cmk_uri = uri;
}

int header_rewrap(struct database *database, const char *to_uri)
{
    struct cmk_source to = {.provider = NULL};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = ENVOL_E_STATE;

    database->message[0] = '\0';
    if (database->lock_level > SQLITE_LOCK_SHARED)
        sqlite3_snprintf(sizeof database->message, database->message, "not within a transaction");
    else
        status = uri_open(&to, to_uri, &error);
    if (status == ENVOL_OK)
        status = rewrap(database, &to.cmk, &error);
    cmk_close(&to);
    keep_message(database, status, &error);
    if (status == ENVOL_OK)
        remember(database, to_uri);
    return code_of(status);
}
