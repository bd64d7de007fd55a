/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Super-journals: they make a transaction of several databases one, and hold the names of their
 * journals.  SQLite names them after the connection's main database (NAME-mj...), and opens them by
 * that name alone; so it is the name that says whose keys they are under.  In a recovery it looks
 * into journals of the other databases in the same way (NAME-journal).
 */
#include "super.h"
#include "keys.h"

#include <stdlib.h>
#include <string.h>

/* The database's name, to be freed with sqlite3_free; NULL if it is not of that form. */
static char *database_name(const char *path, bool *is_super)
{
    static const char journal[] = "-journal";
    size_t bytes = strlen(path), tail = sizeof journal - 1;
    const char *end = NULL;

    *is_super = bytes <= tail || strcmp(path + bytes - tail, journal) != 0;
    if (!*is_super)
        end = path + bytes - tail;
    else
        for (const char *at = path; (at = strstr(at, "-mj")) != NULL; at++)
            end = at;
    return end == NULL ? NULL : sqlite3_mprintf("%.*s", (int)(end - path), path);
}

/* A database that nobody in this process has open: its header is read, and a CMK that opened
 * another one is tried. */
static int open_keys(sqlite3_file *below, const char *name, struct keys **keys, bool *is_plain)
{
    char message[MESSAGE_BYTES], *cmk_uri = keys_known_cmk();
    enum header_kind kind = keys_look(below);
    enum envol_status status = ENVOL_E_FORMAT;

    *is_plain = kind == HEADER_FOREIGN;
    if (kind == HEADER_ENVOL)
        status = keys_open(keys, below, name, cmk_uri, message);
    free(cmk_uri);
    return *is_plain || status == ENVOL_OK ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int open_keys_of(const char *name, struct keys **keys, bool *is_plain)
{
    sqlite3_vfs *vfs = vfs_below();
    const char *formatted = sqlite3_create_filename(name, "", "", 0, NULL);
    sqlite3_file *below = calloc(1, (size_t)vfs->szOsFile);
    int code = formatted == NULL || below == NULL ? SQLITE_NOMEM : SQLITE_OK;

    if (code == SQLITE_OK)
        code = vfs->xOpen(vfs, formatted, below, SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB, NULL);
    if (code == SQLITE_OK) {
        code = open_keys(below, name, keys, is_plain);
        (void)below->pMethods->xClose(below);
    }
    free(below);
    sqlite3_free_filename(formatted);
    return code;
}

static int find_keys(const char *name, struct keys **keys, bool *is_plain)
{
    *is_plain = false;
    *keys = keys_find(name);
    return *keys != NULL ? SQLITE_OK : open_keys_of(name, keys, is_plain);
}

/* What lies beside a plain database is plain: SQLite goes straight to the file below.  Such a one
 * is read in a recovery, and never made. */
static int open_plain(struct blocks *blocks, int flags)
{
    if (flags & SQLITE_OPEN_CREATE)
        return SQLITE_CANTOPEN;
    blocks->file.base.pMethods = &plain_methods;
    return SQLITE_OK;
}

static int open_sealed(struct blocks *blocks, bool is_super)
{
    enum envol_status status = envol_lane_open(blocks->keys->keyring, &blocks->own_lane);

    if (status != ENVOL_OK) {
        keys_close(blocks->keys);
        return code_of(status);
    }
    blocks->lane = blocks->own_lane;
    blocks->object = is_super ? blocks->keys->super_journal : blocks->keys->journal;
    blocks->is_journal = !is_super;
    blocks->at = -1;
    blocks->file.base.pMethods = &blocks_methods;
    return SQLITE_OK;
}

int super_open(struct blocks *blocks, const char *path, int flags)
{
    bool is_super, is_plain = false;
    char *name = database_name(path, &is_super);
    int code = name == NULL ? SQLITE_CANTOPEN : find_keys(name, &blocks->keys, &is_plain);

    blocks->path = path;
    sqlite3_free(name);
    if (code == SQLITE_OK)
        code = is_plain ? open_plain(blocks, flags) : open_sealed(blocks, is_super);
    if (code != SQLITE_OK)
        (void)complain(code, path,
                       "its database's keys are not to be had: of a transaction of "
                       "several databases, write to the first too, or set ENVOL_CMK");
    return code;
}
