/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keys of one database, for all of a process's connections to it: the envelope header before
 * the database's first page, and the keyring that it unlocks.  One call of the key service opens
 * them, whatever the number of connections; a fork, or another CMK, needs a call of its own.
 */
#ifndef SQLITE_KEYS_H
#define SQLITE_KEYS_H

#include "cmk.h"
#include "vfs.h"

/* Where SQLite's page 1 starts. */
enum { DATA_OFFSET = ENVOL_HEADER_BYTES, PAGE_BYTES_MIN = 1024, PAGE_BYTES_MAX = 65536 };

/*
 * Where the header says that the volume's own pages start: it has none, and what opens a volume to
 * write (envol rewrap, envol slot) cuts off what lies behind its last page.  There is nothing
 * behind this; and where our pages start, the header need not say.
 */
#define VOLUME_OFFSET (UINT64_C(1) << 61)

struct keys {
    struct keys *next;
    unsigned users;
    long process;
    char *path, *cmk_uri;
    uint8_t uuid[ENVOL_UUID_BYTES];
    uint32_t page_bytes; /* SQLite's page, which is our record */
    struct envol_header *header;
    struct envol_keyring *keyring;
    struct envol_object *pages, *wal, *journal, *super_journal;
};

/* What a file is, before anybody has a key. */
enum header_kind {
    HEADER_NONE,    /* empty, or a creation that was cut short: there is no database yet */
    HEADER_ENVOL,   /* one of ours, or another volume of libenvol */
    HEADER_FOREIGN, /* something else; what is in it is not touched */
    HEADER_UNREADABLE
};
enum header_kind keys_look(sqlite3_file *below);

/*
 * The keys of the database in `below`, which has a header: those that the process has, or through
 * the CMK.  On failure *keys is NULL and message says why.
 */
enum envol_status keys_open(struct keys **keys, sqlite3_file *below, const char *path,
                            const char *cmk_uri, char message[MESSAGE_BYTES]);
/* A new header with a new DEK, written and synced: under the lock of the database's writer. */
enum envol_status keys_create(struct keys **keys, sqlite3_file *below, const char *path,
                              const char *cmk_uri, uint32_t page_bytes,
                              char message[MESSAGE_BYTES]);
/* Lanes are closed by then.  NULL is ignored. */
void keys_close(struct keys *keys);

/* The keys that this process has of the database of that name, for whoever closes them, or NULL. */
struct keys *keys_find(const char *path);

/* The URI of a CMK that opened another database of this process, or of ENVOL_CMK; to be freed with
 * free.  NULL: none is known. */
char *keys_known_cmk(void);

/* Keys that no disk has ever seen, for files that end with the process: a keyring of its own.
 * NULL, and a line in SQLite's log, if there is none to be had. */
const struct envol_keyring *keys_of_process(void);

#endif
