/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of databases, shared by the connections of a process. */
#include "keys.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each kind of file is an object of its own: no record passes for one of another kind. */
static const uint8_t pages_id[] = "sqlite/database", wal_id[] = "sqlite/wal\0\0\0\0\0",
                     journal_id[] = "sqlite/journal\0", super_journal_id[] = "sqlite/super-jl";
_Static_assert(sizeof pages_id == ENVOL_OBJECT_BYTES && sizeof wal_id == ENVOL_OBJECT_BYTES &&
                   sizeof journal_id == ENVOL_OBJECT_BYTES &&
                   sizeof super_journal_id == ENVOL_OBJECT_BYTES,
               "an id is 16 bytes");

/* All that are open.  The lock is held through calls of key services: who opens the same database
 * meanwhile waits for the keys that are on their way. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct keys *all;

/* --- What a file is ---*/

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;

    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

/* Bytes that are not there are zeros. */
static enum envol_status read_header(sqlite3_file *below, uint8_t *bytes)
{
    int code = below->pMethods->xRead(below, bytes, ENVOL_HEADER_BYTES, 0);

    return code == SQLITE_OK || code == SQLITE_IOERR_SHORT_READ ? ENVOL_OK : ENVOL_E_IO;
}

/* A creation that a crash cut short leaves zeros, or the start of a header, and no page behind it:
 * there is nothing to lose, and the next writer begins anew. */
static enum header_kind kind_of(const uint8_t *bytes, sqlite3_int64 size)
{
    struct envol_header *header = NULL;
    enum envol_status status = envol_header_decode(bytes, 0, &header, NULL);

    envol_header_free(header);
    if (size > DATA_OFFSET || status == ENVOL_OK || status == ENVOL_E_VERSION)
        return status == ENVOL_E_FORMAT ? HEADER_FOREIGN : HEADER_ENVOL;
    return status == ENVOL_E_CORRUPT || is_zero(bytes, ENVOL_HEADER_BYTES) ? HEADER_NONE
                                                                           : HEADER_FOREIGN;
}

enum header_kind keys_look(sqlite3_file *below)
{
    sqlite3_int64 size;
    uint8_t *bytes;
    enum header_kind kind = HEADER_UNREADABLE;

    if (below->pMethods->xFileSize(below, &size) != SQLITE_OK)
        return HEADER_UNREADABLE;
    if (size == 0)
        return HEADER_NONE;
    bytes = malloc(ENVOL_HEADER_BYTES);
    if (bytes != NULL && read_header(below, bytes) == ENVOL_OK)
        kind = kind_of(bytes, size);
    free(bytes);
    return kind;
}

/* --- The list ---*/

static void free_keys(struct keys *keys)
{
    envol_object_close(keys->pages);
    envol_object_close(keys->wal);
    envol_object_close(keys->journal);
    envol_object_close(keys->super_journal);
    envol_keyring_close(keys->keyring);
    envol_header_free(keys->header);
    free(keys->path);
    free(keys->cmk_uri);
    free(keys);
}

void keys_close(struct keys *keys)
{
    if (keys == NULL)
        return;
    pthread_mutex_lock(&lock);
    if (--keys->users == 0) {
        struct keys **at = &all;

        while (*at != keys)
            at = &(*at)->next;
        *at = keys->next;
        free_keys(keys);
    }
    pthread_mutex_unlock(&lock);
}

/* Keys of a parent process are none of the child's. */
static struct keys *find(const char *path)
{
    struct keys *keys = all;

    while (keys != NULL && (keys->process != getpid() || strcmp(keys->path, path) != 0))
        keys = keys->next;
    if (keys != NULL)
        keys->users++;
    return keys;
}

struct keys *keys_find(const char *path)
{
    struct keys *keys;

    pthread_mutex_lock(&lock);
    keys = find(path);
    pthread_mutex_unlock(&lock);
    return keys;
}

char *keys_known_cmk(void)
{
    const char *uri = getenv("ENVOL_CMK");
    char *copy;

    pthread_mutex_lock(&lock);
    for (struct keys *keys = all; uri == NULL && keys != NULL; keys = keys->next) {
        if (keys->process == getpid())
            uri = keys->cmk_uri;
    }
    copy = uri == NULL ? NULL : strdup(uri);
    pthread_mutex_unlock(&lock);
    return copy;
}

/* The same database, and asked for with the same CMK: another one has to prove itself. */
static struct keys *find_same(const char *path, const char *cmk_uri, const uint8_t *uuid)
{
    for (struct keys *keys = all; keys != NULL; keys = keys->next) {
        if (keys->process == getpid() && strcmp(keys->path, path) == 0 &&
            strcmp(keys->cmk_uri, cmk_uri) == 0 && memcmp(keys->uuid, uuid, ENVOL_UUID_BYTES) == 0)
            return keys;
    }
    return NULL;
}

/* --- From a header to keys ---*/

static struct keys *make(const char *path, const char *cmk_uri)
{
    struct keys *keys = calloc(1, sizeof *keys);

    if (keys == NULL)
        return NULL;
    keys->users = 1;
    keys->process = getpid();
    keys->path = strdup(path);
    keys->cmk_uri = strdup(cmk_uri);
    if (keys->path == NULL || keys->cmk_uri == NULL) {
        free_keys(keys);
        return NULL;
    }
    return keys;
}

/* What SQLite cannot have made is not taken for a database, whoever sealed it. */
static enum envol_status check_geometry(const struct envol_header_info *info,
                                        char message[MESSAGE_BYTES])
{
    uint32_t page = info->stride_bytes;

    if (info->suite == ENVOL_SUITE_AES_256_GCM && info->data_offset == VOLUME_OFFSET &&
        page >= PAGE_BYTES_MIN && page <= PAGE_BYTES_MAX && (page & (page - 1)) == 0 &&
        info->page_bytes == page - RESERVED_BYTES)
        return ENVOL_OK;
    snprintf(
        message, MESSAGE_BYTES,
        "a libenvol volume of records of %u bytes, %u of them reserved: no database of envolvfs",
        page, page - info->page_bytes);
    return ENVOL_E_FORMAT;
}

static enum envol_status open_objects(struct keys *keys)
{
    enum envol_status status = envol_object_open(keys->keyring, pages_id, &keys->pages);

    if (status == ENVOL_OK)
        status = envol_object_open(keys->keyring, wal_id, &keys->wal);
    if (status == ENVOL_OK)
        status = envol_object_open(keys->keyring, journal_id, &keys->journal);
    if (status == ENVOL_OK)
        status = envol_object_open(keys->keyring, super_journal_id, &keys->super_journal);
    return status;
}

/* Keys whose header and keyring are there, into the list. */
static enum envol_status complete(struct keys *keys)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    enum envol_status status = envol_header_info(keys->header, &info);

    if (status == ENVOL_OK)
        status = open_objects(keys);
    if (status != ENVOL_OK)
        return status;
    memcpy(keys->uuid, info.uuid, ENVOL_UUID_BYTES);
    keys->page_bytes = info.stride_bytes;
    keys->next = all;
    all = keys;
    return ENVOL_OK;
}

static void say_why(enum envol_status status, const struct envol_error *error,
                    char message[MESSAGE_BYTES])
{
    if (status == ENVOL_OK || message[0] != '\0')
        return;
    snprintf(message, MESSAGE_BYTES, "%s (%s)",
             error->message[0] != '\0' ? error->message : envol_status_message(status),
             envol_status_name(status));
}

/* --- A database that is there ---*/

/* The key service is asked: its CMK unwraps the DEK of one of the header's slots. */
static enum envol_status unlock(struct keys *keys, const char *cmk_uri, struct envol_error *error)
{
    struct cmk_source source;
    enum envol_status status = uri_open(&source, cmk_uri, error);

    if (status == ENVOL_OK)
        status = envol_header_unlock_by(keys->header, &source.cmk, 1, NULL, &keys->keyring, error);
    cmk_close(&source);
    return status;
}

/* Another connection's keys will do if this header is of the DEK that they have. */
static enum envol_status share(struct keys *shared, struct envol_header *header)
{
    struct envol_keyring *again = NULL;
    enum envol_status status = envol_header_unlock_with(header, shared->keyring, NULL, &again);

    envol_keyring_close(again);
    if (status == ENVOL_OK)
        shared->users++;
    return status;
}

static enum envol_status open_header(struct keys **keys, struct envol_header *header,
                                     const char *path, const char *cmk_uri,
                                     struct envol_error *error, char message[MESSAGE_BYTES])
{
    struct envol_header_info info = {.struct_size = sizeof info};
    enum envol_status status = envol_header_info(header, &info);
    struct keys *made;

    if (status == ENVOL_OK)
        status = check_geometry(&info, message);
    if (status != ENVOL_OK) {
        envol_header_free(header);
        return status;
    }
    *keys = find_same(path, cmk_uri, info.uuid);
    if (*keys != NULL && share(*keys, header) == ENVOL_OK) {
        envol_header_free(header);
        return ENVOL_OK;
    }
    *keys = NULL;
    made = make(path, cmk_uri);
    if (made == NULL) {
        envol_header_free(header);
        return ENVOL_E_NO_MEMORY;
    }
    made->header = header;
    status = unlock(made, cmk_uri, error);
    if (status == ENVOL_OK)
        status = complete(made);
    if (status == ENVOL_OK)
        *keys = made;
    else
        free_keys(made);
    return status;
}

enum envol_status keys_open(struct keys **keys, sqlite3_file *below, const char *path,
                            const char *cmk_uri, char message[MESSAGE_BYTES])
{
    uint8_t *bytes = malloc(ENVOL_HEADER_BYTES);
    struct envol_header *header = NULL;
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = bytes == NULL ? ENVOL_E_NO_MEMORY : read_header(below, bytes);

    *keys = NULL;
    message[0] = '\0';
    pthread_mutex_lock(&lock);
    if (status == ENVOL_OK)
        status = envol_header_decode(bytes, 0, &header, &error);
    if (status == ENVOL_OK)
        status = open_header(keys, header, path, cmk_uri == NULL ? "" : cmk_uri, &error, message);
    pthread_mutex_unlock(&lock);
    free(bytes);
    say_why(status, &error, message);
    return status;
}

/* --- A new one ---*/

static enum envol_status write_header(sqlite3_file *below, const uint8_t *bytes)
{
    int code = below->pMethods->xWrite(below, bytes, ENVOL_HEADER_BYTES, 0);

    /* Before anything is sealed under its DEK. */
    if (code == SQLITE_OK)
        code = below->pMethods->xSync(below, SQLITE_SYNC_NORMAL);
    return code == SQLITE_OK ? ENVOL_OK : ENVOL_E_IO;
}

/* A header with a slot under the CMK, and its keyring. */
static enum envol_status seal_new(struct keys *keys, const char *cmk_uri, uint32_t page_bytes,
                                  uint8_t *bytes, struct envol_error *error)
{
    const struct envol_header_params params = {
        .struct_size = sizeof params,
        .suite = ENVOL_SUITE_AES_256_GCM,
        .page_bytes = page_bytes - RESERVED_BYTES,
        .stride_bytes = page_bytes,
        .data_offset = VOLUME_OFFSET,
    };
    struct cmk_source source;
    enum envol_status status = uri_open(&source, cmk_uri, error);

    if (status == ENVOL_OK)
        status = envol_header_new(&params, &keys->header);
    if (status == ENVOL_OK)
        status =
            envol_header_seal_by(keys->header, &source.cmk, 1, NULL, bytes, &keys->keyring, error);
    cmk_close(&source);
    return status;
}

enum envol_status keys_create(struct keys **keys, sqlite3_file *below, const char *path,
                              const char *cmk_uri, uint32_t page_bytes, char message[MESSAGE_BYTES])
{
    uint8_t *bytes = malloc(ENVOL_HEADER_BYTES);
    struct envol_error error = ENVOL_ERROR_INIT;
    struct keys *made = make(path, cmk_uri == NULL ? "" : cmk_uri);
    enum envol_status status = bytes == NULL || made == NULL ? ENVOL_E_NO_MEMORY : ENVOL_OK;

    *keys = NULL;
    message[0] = '\0';
    pthread_mutex_lock(&lock);
    if (status == ENVOL_OK)
        status = seal_new(made, cmk_uri, page_bytes, bytes, &error);
    if (status == ENVOL_OK)
        status = write_header(below, bytes);
    if (status == ENVOL_OK)
        status = complete(made);
    if (status == ENVOL_OK)
        *keys = made;
    else if (made != NULL)
        free_keys(made);
    pthread_mutex_unlock(&lock);
    free(bytes);
    say_why(status, &error, message);
    return status;
}

/* --- Files without a database ---*/

const struct envol_keyring *keys_of_process(void)
{
    static const struct envol_header_params params = {
        .struct_size = sizeof params, .suite = ENVOL_SUITE_AES_256_GCM, .page_bytes = 4096};
    static struct envol_keyring *keyring;
    static long process;
    const struct envol_keyring *found;
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(&lock);
    if (process != getpid()) { /* a child's files are its own */
        keyring = NULL;
        status = envol_keyring_temporary(&params, 0, &keyring);
        process = status == ENVOL_OK ? getpid() : 0;
    }
    found = keyring;
    pthread_mutex_unlock(&lock);
    if (status != ENVOL_OK)
        (void)complain(code_of(status), "temporary files", "%s", envol_status_message(status));
    return found;
}
