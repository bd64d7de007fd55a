/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the store know of each other. */
#ifndef KV_STORE_H
#define KV_STORE_H

#include "item.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    STRIDE_BYTES = 8192,
    PAGE_BYTES = STRIDE_BYTES - ENVOL_TRAILER_BYTES,
    ROOT_PAGES = 2, /* the root and its copy */
    RUNS_MAX = 8,
    MEMORY_ITEMS = 4096, /* so many changes, or bytes, are flushed */
    MEMORY_BYTES = 1 << 20,
    LANES = 16,
    SEGMENT_BYTES = 1 << 20
};

/* --- list.c: memory, and the index of a table ---*/

struct entry {
    uint64_t number; /* LSN of a change; number of the page that begins with this key */
    uint8_t item[];
};

/* Entries in the order of their keys. */
struct list {
    struct entry **entries;
    size_t count, capacity, reserved, bytes;
};

/* NULL without memory. */
struct entry *entry_new(struct kv_slice key, struct kv_slice value, uint64_t number);
/* Room for so many more, so that putting them cannot fail. */
bool list_reserve(struct list *list, size_t more);
/* Takes the entry; one of its key stays if it is newer. */
void list_put(struct list *list, struct entry *entry);
/* A copy of an item behind all others. */
bool list_add(struct list *list, struct kv_slice key, uint64_t number);
/* The place of the first entry that is not below the key. */
size_t list_find(const struct list *list, struct kv_slice key);
void list_clear(struct list *list);

/* --- page.c: items in pages ---*/

struct buffer {
    uint8_t *bytes;
    size_t count, capacity;
};

/* Where so many more bytes are, zeroed; NULL without memory. */
uint8_t *buffer_extend(struct buffer *buffer, size_t count);
bool buffer_add(struct buffer *buffer, const uint8_t *item);
/* Spreads sorted items evenly over pages, each of which has room for its record. */
bool pack(struct buffer *pages, const struct buffer *items);

/* A page that was read: ENVOL_E_CORRUPT unless it holds items, sorted, within its bounds. */
enum envol_status page_check(const uint8_t *page);
const uint8_t *page_first(const uint8_t *page); /* NULL: it is empty */
const uint8_t *page_next(const uint8_t *page, const uint8_t *item);
/* In an index: the page behind it; 0: there is none. */
uint64_t page_link(const uint8_t *page);
void page_set_link(uint8_t *page, uint64_t page_no);

/* --- table.c: sorted pages under an index, in a file or in the volume ---*/

struct table {
    struct list index;
    /* Of a run. */
    uint8_t id[ENVOL_OBJECT_BYTES];
    struct envol_object *object; /* const: any thread, each with its lane; NULL: the base */
    int fd;
    /* Of the base. */
    uint64_t *chain; /* pages that its index is in */
    size_t chain_count;
};

/* The page that a key lies in; 0 in a table without pages too. */
size_t table_place(const struct table *table, struct kv_slice key);
/* A page, to a buffer of STRIDE_BYTES; zeros on failure. */
enum envol_status table_read(struct kv *kv, const struct table *table, uint64_t page_no,
                             struct envol_lane *lane, uint8_t *page, struct envol_error *error);

/* --- run.c ---*/

/* Writes what is in memory to a new file, which is safe when this returns. */
enum envol_status run_write(struct kv *kv, struct table **run, struct envol_error *error);
enum envol_status run_open(struct kv *kv, const uint8_t id[ENVOL_OBJECT_BYTES], uint64_t pages,
                           struct table **run, struct envol_error *error);
/* NULL is ignored. */
void run_close(struct table *run);
/* Runs that the root does not name. */
enum envol_status runs_clear_away(struct kv *kv, struct envol_error *error);

/* --- base.c ---*/

enum envol_status base_load(struct kv *kv, struct envol_error *error);
void base_clear(struct table *base);
/* Merges memory and runs with the base, into pages that are safe when this returns. */
enum envol_status base_fold(struct kv *kv, struct table *base, struct envol_error *error);
/* Free pages are those that the root does not name. */
enum envol_status base_find_free(struct kv *kv, struct envol_error *error);

/* --- root.c ---*/

struct root {
    uint64_t page_no;    /* of the copy that this is; not in it */
    uint64_t count;      /* of changes of the root */
    uint64_t lsn;        /* runs and base have what the log has up to it */
    uint64_t index_page; /* first page of the base's index; 0: there is none */
    uint64_t run_count;
    struct {
        uint8_t id[ENVOL_OBJECT_BYTES];
        uint64_t pages;
    } runs[RUNS_MAX]; /* oldest first */
};

/* The newer one that reads.  *is_whole: both do, and are equal. */
enum envol_status root_read(struct kv *kv, struct root *root, bool *is_whole,
                            struct envol_error *error);
/* Both copies; count goes up.  After a failure nobody knows what they say: the store has failed. */
enum envol_status root_write(struct kv *kv, struct root *root, struct envol_error *error);

/* --- the store ---*/

struct kv {
    int dir;
    struct envol_store *store;
    struct envol_space *space;
    struct envol_volume *volume;
    struct envol_log *log; /* NULL: of a snapshot */
    bool is_writer;
    atomic_bool is_dark; /* the lease took the keys */
    pthread_mutex_t lanes_lock;
    struct envol_lane *lanes[LANES]; /* that no thread has */
    size_t lane_count;
    /* Commits hold the gate shared from the log to memory: who has it exclusively knows that all
     * that is in the log is in memory. */
    pthread_rwlock_t gate;
    uint8_t *used; /* pages, a byte each; under the gate */
    uint64_t used_pages;
    /* What follows.  Readers hold it shared. */
    pthread_rwlock_t state;
    struct root root;
    struct list memory;
    uint64_t lsn; /* the last one in memory */
    struct table *runs[RUNS_MAX];
    struct table base;
    enum envol_status failed;
};

/* Fills error, with errno where status is ENVOL_E_IO; returns status. */
enum envol_status kv_fail(struct envol_error *error, enum envol_status status, const char *format,
                          ...) __attribute__((format(printf, 3, 4)));

/* A lane for this thread, to be given back; NULL, which works too, if all are taken. */
struct envol_lane *lane_take(struct kv *kv);
void lane_give(struct kv *kv, struct envol_lane *lane);

/* --- cursor.c: the newest item of each key, deleted ones too, over all places ---*/

struct source {
    const struct list *list; /* or else */
    const struct table *table;
    size_t place;
    const uint8_t *item; /* NULL: it is at its end */
    uint8_t page[STRIDE_BYTES];
};

struct cursor {
    struct kv *kv;
    struct envol_lane *lane;
    const uint8_t *item; /* NULL: at the end.  Valid until the next call */
    size_t count;
    struct source sources[RUNS_MAX + 2]; /* newest first */
};

/* At the first item that is not below `from`.  Close it after a failure too. */
enum envol_status cursor_open(struct kv *kv, struct kv_slice from, bool with_base,
                              struct cursor **cursor, struct envol_error *error);
enum envol_status cursor_next(struct cursor *cursor, struct envol_error *error);
void cursor_close(struct cursor *cursor);

/* --- backup.c ---*/

/* Snapshots of backups that a crash cut short. */
enum envol_status drop_unfinished_backups(struct kv *kv, struct envol_error *error);

/* --- open.c ---*/

/* ENVOL_E_KEY_REVOKED while the keys are away. */
enum envol_status check_light(struct kv *kv, struct envol_error *error);
/* It is safe when this returns. */
enum envol_status make_directory(const char *path, struct envol_error *error);

/* --- flush.c: the gate is held exclusively ---*/

/* Memory to a run, or with all runs to the base; then the log is cut. */
enum envol_status flush(struct kv *kv, struct envol_error *error);
/* All to the base, which then holds everything. */
enum envol_status fold(struct kv *kv, struct envol_error *error);

#endif
