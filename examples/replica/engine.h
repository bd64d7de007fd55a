/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small engine with a log, which is the same on both sides of a replication.
 *
 *     DIR/volume     a libenvol volume: two control pages, and behind them pages of the user's
 *     DIR/files/     its space: the segments of its log
 *
 * A put appends records to the log, syncs it, and writes the pages: in this order, so that the
 * pages never know more than the log does.  A record is a page number and the page's whole new
 * image: to write it again does no harm, and heals a page that a crash tore.  A checkpoint syncs
 * the pages and says in a control page up to which LSN they are; an open writes again what the log
 * has beyond that.  The two control pages take turns, so that one of them is always whole.
 *
 * LSNs count records, without a gap, and a record has the same LSN on either side: a follower logs
 * what it receives in a log of its own, under its own DEK, and so recovers by itself, and can be
 * made a primary.  A history is what LSNs are counted in: 16 random bytes that a follower takes
 * over with a backup.  A directory that becomes a primary's begins a new one, as from then on its
 * LSNs say something else than those of others.
 *
 * One writer process at a time (libenvol locks the volume), any number of readers beside it.
 */
#ifndef REPLICA_ENGINE_H
#define REPLICA_ENGINE_H

#include <envol.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum {
    STRIDE_BYTES = 4096,
    PAGE_BYTES = STRIDE_BYTES - ENVOL_TRAILER_BYTES,
    CONTROL_PAGES = 2,
    RECORD_HEAD = 8, /* page number, in front of the image */
    RECORD_BYTES = RECORD_HEAD + PAGE_BYTES,
    HISTORY_BYTES = 16,
    PAGES_MAX = 1 << 28, /* a bound for numbers from elsewhere */
    PUT_MAX = 64,        /* records of one put */
    FOLLOWERS_MAX = 8
};

enum role { ROLE_PRIMARY = 1, ROLE_FOLLOWER = 2 };

struct control {
    uint64_t count; /* of checkpoints */
    uint64_t lsn;   /* the pages are at it, or beyond */
    uint8_t history[HISTORY_BYTES];
    enum role role;
};

struct engine_options {
    struct envol_cmk cmk; /* borrowed */
    enum role role;
    uint64_t keep;         /* records that stay in the log, whoever needs them */
    unsigned check_key_ms; /* interval of the lease */
};

struct engine {
    struct envol_store *store;
    struct envol_space *space;
    struct envol_volume *volume;
    struct envol_log *log;
    atomic_bool is_dark; /* the lease took the keys: close, and open again when they are back */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    /* Under the lock. */
    struct control control; /* as it was written last */
    uint64_t keep;
    uint64_t lsn;                   /* the last one: safe in the log, and in the pages */
    uint64_t idle_lsn;              /* the last one when engine_idle was called */
    uint64_t needed[FOLLOWERS_MAX]; /* LSNs that followers come to next; 0: no follower */
    enum envol_status failed;       /* nothing goes on before it is opened again */
};

/* A new directory with an empty engine.  What a crash leaves of it is to be removed. */
enum envol_status engine_create(const char *path, const struct envol_cmk *cmk,
                                struct envol_error *error);

/* Opens for writing, and recovers.  After a failure engine_close is due all the same. */
enum envol_status engine_open(struct engine *engine, const char *path,
                              const struct engine_options *options, struct envol_error *error);
/* Threads that use it have ended.  Nothing that was put is lost if this fails. */
enum envol_status engine_close(struct engine *engine, struct envol_error *error);

/*
 * Puts 1 to PUT_MAX records, all or none: each entry's data is RECORD_BYTES; its LSN is the next
 * one, or 0, which becomes it.  They are safe when it returns, and can be read.  Any thread.
 * ENVOL_E_STATE (an LSN that is not the next), ENVOL_E_RANGE (a record that is none).
 */
enum envol_status engine_put(struct engine *engine, struct envol_log_entry *entries, size_t count,
                             struct envol_error *error);
void record_fill(uint8_t record[RECORD_BYTES], uint64_t page_no, const void *bytes, size_t count);

/* Records from elsewhere, to be put together: one sync for all of them. */
struct batch {
    struct envol_log_entry entries[PUT_MAX];
    uint8_t records[PUT_MAX][RECORD_BYTES];
    size_t count;
};
/* Copies one; the batch is not full.  ENVOL_E_RANGE: it is no record. */
enum envol_status batch_add(struct batch *batch, uint64_t lsn, const void *data, size_t bytes,
                            struct envol_error *error);
/* Empties it in any case.  Nothing to put is fine. */
enum envol_status batch_put(struct batch *batch, struct engine *engine, struct envol_error *error);

/* Makes the next open short, and gives up records of the log that nobody needs. */
enum envol_status engine_checkpoint(struct engine *engine, struct envol_error *error);

/* A checkpoint, its LSN, a snapshot of just that, and records behind it held in the slot. */
enum envol_status engine_snapshot(struct engine *engine, unsigned slot, uint64_t *lsn,
                                  uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error);

/* Why nothing goes on, or ENVOL_OK. */
enum envol_status engine_status(struct engine *engine);
/* Waits until there is more than lsn, for a while; what the last LSN is. */
uint64_t engine_wait(struct engine *engine, uint64_t lsn, unsigned wait_ms);

/* To be called every now and then: a checkpoint if nothing was put since the last call. */
enum envol_status engine_idle(struct engine *engine, struct envol_error *error);

/* Whether lsn of the history is one of this engine's past. */
bool engine_knows(struct engine *engine, const uint8_t history[HISTORY_BYTES], uint64_t lsn);

/* A follower needs records from lsn on: they stay, as long as it is there.  *slot is its place.
 * ENVOL_E_BUSY: there are FOLLOWERS_MAX. */
enum envol_status engine_hold(struct engine *engine, uint64_t lsn, unsigned *slot);
void engine_hold_move(struct engine *engine, unsigned slot, uint64_t lsn);
void engine_hold_drop(struct engine *engine, unsigned slot);

/* --- backup.c ---*/

/*
 * A backup of the pages as they are at *lsn, while puts go on; records from the next one on are
 * held in the slot.  The stream opens under cmk, whatever CMK the engine has.
 */
enum envol_status engine_backup(struct engine *engine, unsigned slot, const struct envol_cmk *cmk,
                                envol_backup_sink *sink, void *ctx, uint64_t *lsn,
                                struct envol_error *error);

/* Makes a directory of a backup that opens under the engine's own CMK, with a volume, a DEK and a
 * log of its own; a follower's, until it is opened as something else. */
enum envol_status engine_restore(const char *path, const struct engine_options *options,
                                 envol_backup_source *source, void *ctx, struct envol_error *error);

/* --- reader.c: beside a writer, in any process ---*/

struct reader {
    struct envol_store *store;
    struct envol_volume *volume;
};

enum envol_status reader_open(struct reader *reader, const char *path, const struct envol_cmk *cmk,
                              struct envol_error *error);
void reader_close(struct reader *reader);
/* PAGE_BYTES; ENVOL_E_UNWRITTEN, ENVOL_E_RANGE: nothing was put there. */
enum envol_status reader_get(struct reader *reader, uint64_t page_no, void *page);
/* Pages that were put, and a hash of them and their numbers, which tells copies from each other,
 * not forgeries. */
enum envol_status reader_sum(struct reader *reader, uint64_t *pages, uint64_t *hash,
                             struct envol_error *error);

/* --- control.c ---*/

/* The newer of the two control pages that reads. */
enum envol_status control_read(struct envol_volume *volume, struct control *control,
                               struct envol_error *error);
/* The next one, over the older of the two: count goes up.  The caller syncs before, and after. */
enum envol_status control_write(struct envol_volume *volume, struct control *control,
                                struct envol_error *error);
enum envol_status control_new_history(struct control *control, struct envol_error *error);

/* --- paths.c ---*/

/* "DIR/name", to be freed; NULL without memory. */
char *path_in(const char *path, const char *name);
enum envol_status path_make(const char *path, struct envol_error *error);
bool path_exists(const char *path);
/* Puts the directory `from` in the place of `to`, at once and durably, and removes what was there.
 */
enum envol_status path_replace(const char *from, const char *to, struct envol_error *error);
enum envol_status path_remove(const char *path, struct envol_error *error);

#endif
