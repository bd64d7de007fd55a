/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An engine of many small tables, each a file of its own, all under one DEK.
 *
 *     DIR/keyring    a libenvol volume without pages: the wrapped DEK; its lock is the engine's;
 *                    or, in its place, DIR/header, which the engine keeps itself (keys.c)
 *     DIR/catalog    one blob: name and id of every table; replaced as a whole (catalog.c)
 *     DIR/t-ID       a table: pages, each sealed under its number and the table's id (table.c)
 *     DIR/values     long values, each a blob that is bound to its offset; only grows (values.c)
 *     DIR/journal    one blob: the records of the last commit, before they go home (journal.c)
 *
 * Every file is an object of the keyring.  A table's id is drawn at random when it is made, and
 * never comes again: its records pass for those of no other table, whatever the files are called.
 * The three singletons have fixed ids.  What an id cannot tell is age: an old catalog, or an old
 * record of the same page, put back by someone who can write DIR, is not noticed (envol(7)).
 *
 * Changes are collected, and commit makes them durable, all or none: long values are appended and
 * synced; the records of all changed pages go into the journal, which is synced, and then home,
 * which is synced too, before commit returns.  A crash before the journal was whole leaves the
 * pages untouched, as a torn journal does not authenticate; after that, the next open writes its
 * records again, which repairs pages that were torn.  So a journal that is lost later costs
 * nothing.
 *
 * For a change of the DEK: page 0 of each table says up to which epoch the table was swept, that
 * no record of it is older, those of its long values included.  A sweep re-seals a table's pages
 * and long values, by way of the journal, which takes records of any file, and moves that number in
 * its last commit; stopped anywhere, it goes on with the tables whose number is behind.  When none
 * is, the catalog is written anew, the journal emptied, and the old DEK given up.  The keyring
 * cannot know when that is: it is the engine that says so, and nobody else may (rotate.c).
 */
#ifndef TABLES_ENGINE_H
#define TABLES_ENGINE_H

#include "header.h"
#include "page.h"

enum { CHANGES_MAX = 256, FILE_NAME_BYTES = 2 + 2 * ENVOL_OBJECT_BYTES + 1 };

struct table {
    uint8_t id[ENVOL_OBJECT_BYTES];
    struct envol_object *object; /* const: any thread, each with its lane */
    char *name;
};

/*
 * What the next commit writes: a page of a table, in a buffer that has room for its record, to be
 * sealed then; or, of no table, the record of a long value that stands there already.
 */
struct change {
    const struct table *table;
    uint64_t place; /* the page's number; the value's offset */
    uint8_t *bytes;
    size_t record_bytes;
};

/* Where the sweep of a rotation is, in this process; what it has done is in the tables. */
struct sweep {
    const struct table *table; /* the one at hand, visited up to page_no; NULL before the first */
    size_t at;                 /* where it was in the order of names */
    uint32_t page_no;
    bool table_is_done, table_is_bad;
    uint64_t pages, values; /* sealed again */
    uint64_t bad;           /* records that do not read */
};

/* The CMKs of a call, in key files. */
struct key_files {
    const char *path[ENVOL_SLOTS_MAX];
    size_t count;
};

struct engine {
    int dir, values_fd, journal_fd;
    struct envol_provider *providers[ENVOL_SLOTS_MAX];
    struct cmks cmks;
    struct envol_store *store; /* and its volume, or else a header */
    struct envol_volume *volume;
    bool has_own_header;
    struct header header;
    const struct envol_keyring *keyring; /* of either */
    struct envol_lane *lane;             /* of the thread that opened the engine */
    struct envol_object *catalog, *values, *journal;
    struct table **tables; /* sorted by name */
    size_t table_count;
    struct change changes[CHANGES_MAX];
    size_t change_count, change_bytes;
    struct sweep sweep;
    uint64_t values_end;
    bool values_unsynced, journal_needed; /* needed: what it holds may not be home */
    unsigned provider_calls;
    struct envol_error error; /* of the last call that failed */
};

/*
 * One process at a time, ENVOL_E_BUSY for the second, and one thread of it.  Close it after a
 * failure too.  After ENVOL_E_IO of a call that writes, nobody knows what is on the disk: close it,
 * and open it again.
 */
enum envol_status engine_create(struct engine *engine, const char *path,
                                const struct key_files *files, bool has_own_header);
enum envol_status engine_open(struct engine *engine, const char *path,
                              const struct key_files *files);
/* What was not committed is dropped. */
enum envol_status engine_close(struct engine *engine);

/* Notes errno and what the failure was about, and returns the status. */
enum envol_status engine_fail(struct engine *engine, enum envol_status status, const char *format,
                              ...) __attribute__((format(printf, 3, 4)));

/* --- keys.c ---*/

/* A slot for each CMK; any of them opens. */
enum envol_status keys_create(struct engine *engine, const char *path,
                              const struct key_files *files, bool has_own_header);
enum envol_status keys_open(struct engine *engine, const char *path, const struct key_files *files);
/* A new DEK, unless a rotation is unfinished, and the end of the older ones. */
enum envol_status keys_rotate(struct engine *engine);
enum envol_status keys_retire(struct engine *engine);
/* How many tables were swept, and why that was not the end of it. */
enum envol_status keys_note_bad(struct engine *engine, uint64_t tables, uint64_t bad);
/* Objects and lanes are closed by then. */
enum envol_status keys_close(struct engine *engine);

/* --- catalog.c ---*/

enum envol_status catalog_load(struct engine *engine);
enum envol_status catalog_save(struct engine *engine);
struct table *catalog_find(const struct engine *engine, const char *name);
/* Takes tables whose files are written; syncs these, then names them. */
enum envol_status catalog_add(struct engine *engine, struct table **tables, size_t count);
void table_free(struct table *table);

/* --- table.c ---*/

/* The object of the file of values: the only one beside tables that the journal has records of. */
extern const uint8_t values_id[ENVOL_OBJECT_BYTES];

/* The name of a table's file, or of that of values. */
void object_file(const uint8_t id[ENVOL_OBJECT_BYTES], char name[FILE_NAME_BYTES]);

/* A new table's file with page 0, which is given, sealed in place: STRIDE_BYTES. */
enum envol_status table_make(struct engine *engine, const char *name, uint8_t *page,
                             struct table **table);

/* A table that is open: its file, and what page 0 says, uncommitted changes included. */
struct cursor {
    struct engine *engine;
    const struct table *table;
    int fd;
    uint32_t pages, swept;
};

/* Close it after a failure too, which may be of page 0 alone: its numbers are 0 then. */
enum envol_status cursor_open(struct cursor *cursor, struct engine *engine,
                              const struct table *table);
void cursor_close(const struct cursor *cursor);
/* The page as of now.  If it is no change, its trailer stands behind it. */
enum envol_status cursor_read(const struct cursor *cursor, uint32_t page_no,
                              uint8_t page[STRIDE_BYTES]);
/* The page as a change, to be written to.  A page at the end is new, and empty. */
enum envol_status cursor_change(const struct cursor *cursor, uint32_t page_no, uint8_t **page);

/*
 * Makes the table if there is none, at once.  The row is safe after engine_commit, with all others
 * since the last one; where they fill CHANGES_MAX pages, that comes by itself.  After a failure
 * none of them is kept.
 */
enum envol_status engine_put(struct engine *engine, const char *table, const char *key,
                             const void *value, size_t value_bytes);

/* Called for each row; a status that is not ENVOL_OK ends the scan. */
typedef enum envol_status row_callback(void *ctx, const struct row *row, const void *value);
/* All rows of a table, or the one of this key. */
enum envol_status engine_scan(struct engine *engine, const char *table, const char *key,
                              row_callback *callback, void *ctx);

/* --- values.c ---*/

/* Appends, which the next commit syncs. */
enum envol_status values_append(struct engine *engine, const void *value, size_t bytes,
                                uint64_t *offset);
/* The record of a value, sealed again, and the epoch that it had; not written.  The caller frees
 * it; NULL on failure. */
enum envol_status values_reseal(const struct engine *engine, const struct row *row,
                                uint8_t **record, uint32_t *epoch);
/* Any thread, with its own lane.  The caller frees the value; NULL on failure.  Its trailer stands
 * behind it. */
enum envol_status values_read(const struct engine *engine, struct envol_lane *lane,
                              const struct row *row, void **value);

/* --- journal.c ---*/

/* Writes home what a crash may have left half written. */
enum envol_status journal_recover(struct engine *engine);
enum envol_status engine_commit(struct engine *engine);
void engine_drop_changes(struct engine *engine);
/* Takes the bytes.  Not more than CHANGES_MAX between commits. */
struct change *change_add(struct engine *engine, const struct change *change);
/* Nothing is in it afterwards, durably.  Between commits. */
enum envol_status journal_clear(struct engine *engine);

/* --- rotate.c ---*/

/* Called for what does not read; under a lock, where there are threads. */
typedef void bad_callback(void *ctx, const struct table *table, uint32_t page_no, const char *what,
                          enum envol_status status);

/* A new DEK, unless a rotation is unfinished; then the sweep goes on, with tables that are behind.
 * For each slot one provider call to wrap the DEK and one to prove it; none to go on. */
enum envol_status engine_rotate_begin(struct engine *engine);
/* Visits up to so many pages, and commits.  Between commits of puts: ENVOL_E_STATE if there is
 * something to commit.  What does not read is told of, and stays as it is.  After a failure the
 * next step begins with the first table again. */
enum envol_status engine_rotate_step(struct engine *engine, uint32_t max_pages,
                                     bad_callback *callback, void *ctx);
bool engine_rotate_is_swept(const struct engine *engine);
/* Gives up the older DEKs.  ENVOL_E_STATE if tables are left; ENVOL_E_CORRUPT if something did not
 * read: the older DEKs stay until a sweep finds it repaired. */
enum envol_status engine_rotate_finish(struct engine *engine);

/* --- check.c ---*/

struct check_result {
    uint64_t pages, values, bad;
    uint64_t pages_of[ENVOL_LEDGER_EPOCHS_MAX], values_of[ENVOL_LEDGER_EPOCHS_MAX]; /* that read;
                                   of the lowest live epoch, and so on */
    uint32_t swept; /* the lowest of all tables; 0: that of one does not read */
};

/* Reads all that the tables hold, with so many threads. */
enum envol_status engine_check(struct engine *engine, unsigned threads, bad_callback *callback,
                               void *ctx, struct check_result *result);

#endif
