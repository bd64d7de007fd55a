/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A key-value store to embed, and the first example to read: envol-embedding(7) walks through it.
 *
 *     DIR/volume     a libenvol volume: the wrapped DEK, and the pages of the base
 *     DIR/volume.d/  its space: the segments of its log, what its snapshots keep
 *     DIR/run-ID     a run: a file of this store's own, its pages sealed as the object ID
 *
 * A change is in one of three places, which a read looks through from the newest to the oldest:
 *
 *     memory         changes since the last flush, sorted; each is a record of the log as well
 *     runs           sorted files, one of each flush, never changed once they are named
 *     base           sorted pages of the volume under an index; everything that was folded in
 *
 * Page 0 is the root: which runs there are, where the base's index begins, and up to which LSN they
 * hold what the log has.  Page 1 is its copy.  Nothing that the root names is ever overwritten.
 *
 * Commit: the changes go to the log as one batch; sync, which threads share; then into memory,
 * where others see them.  A crash before the sync's end leaves all of the batch or nothing of it;
 * after that all of it, as the next open replays the log from the root's LSN on.
 *
 * Flush, when memory is full: memory to a new run; sync the file and its directory; root; sync; its
 * copy; sync; only then the log is cut.  Fold, instead of the ninth run: memory and runs are merged
 * with those pages of the base that they change, into pages that are free; sync; root and copy as
 * above; then the runs are removed, and the pages that are named no more are free.
 * A crash anywhere leaves the old root or the new one, each with all that it names.  Files that
 * none names, and pages, are what a crash costs: the next open clears them away.
 * The root and its copy are written as libenvol writes its header: one of them is always whole, and
 * they differ only in the middle of a change, when what either names is still there.
 *
 * To read: open.c, the way in; commit.c, with the log; run.c and table.c, pages that the store
 * seals and unseals itself; flush.c and root.c, the order in which files change; backup.c.  What
 * any store has, and libenvol has no part in: item.h, list.c, page.c, cursor.c, read.c and most of
 * base.c.
 *
 * Why both kinds of I/O.  What must be in snapshots and backups, grow, and be given a new DEK lies
 * in the volume's pages: the library does all that.  Runs come and go as whole files: this store
 * writes them itself, with one call to seal a whole run.  A snapshot folds first, so that the pages
 * alone hold everything; a change of the DEK does too, so that no run of the old one is left.  Who
 * knows nothing of runs must not do these on DIR/volume: the command envol, say.
 */
#ifndef KV_H
#define KV_H

#include <envol.h>
#include <stdbool.h>

/* A key has 1 to KV_KEY_MAX bytes, a value 0 to KV_VALUE_MAX.  Keys are in the order of memcmp. */
enum { KV_KEY_MAX = 255, KV_VALUE_MAX = 4000, KV_COMMIT_MAX = 4096 };

struct kv_slice {
    const void *bytes;
    size_t count;
};

struct kv;

/* Makes the directory, and an empty store in it. */
enum envol_status kv_create(const char *path, const struct envol_cmk *cmk,
                            struct envol_error *error);

struct kv_options {
    const uint8_t *snapshot; /* its UUID: opens that, for reading, beside a writer; or NULL */
    unsigned check_key_ms;   /* how often the key service is asked again; 0: every 5 minutes */
};

/*
 * Opens with one call of the key service, and recovers.  One process at a time: ENVOL_E_BUSY for
 * the second; snapshots apart.  cmk's provider must outlive it.  *kv is NULL on failure.
 */
enum envol_status kv_open(const char *path, const struct envol_cmk *cmk,
                          const struct kv_options *options, struct kv **kv,
                          struct envol_error *error);
/* No other call may be under way.  Nothing that was committed is lost if it fails, nor without it.
 * NULL is ignored. */
enum envol_status kv_close(struct kv *kv, struct envol_error *error);

/* What follows may be called by any number of threads at once. */

struct kv_change {
    struct kv_slice key;
    struct kv_slice value; /* bytes NULL: the key is deleted */
};

/*
 * Commits 1 to KV_COMMIT_MAX changes, all or none: they are safe, and seen, when it returns.
 * ENVOL_E_RANGE: a key, value or count beyond the bounds.  ENVOL_E_READ_ONLY: of a snapshot.
 * ENVOL_E_KEY_REVOKED: the CMK was disabled, and the changes are not kept; kv_unlock brings the
 * keys back.  ENVOL_E_IO: they may be kept or not; close the store and open it again.
 */
enum envol_status kv_commit(struct kv *kv, const struct kv_change *changes, size_t count,
                            struct envol_error *error);

/* value has room for KV_VALUE_MAX; *found says whether there is the key.  After a failure value
 * holds nothing of the store's. */
enum envol_status kv_get(struct kv *kv, struct kv_slice key, void *value, size_t *value_bytes,
                         bool *found, struct envol_error *error);

/* Called for each key, in their order; a status that is not ENVOL_OK ends the scan.  It must not
 * use the store, whose commits wait meanwhile: long scans are for snapshots. */
typedef enum envol_status kv_callback(void *ctx, struct kv_slice key, struct kv_slice value);
/* From `from` on, to below `to`; bytes NULL: from the first, to the last. */
enum envol_status kv_scan(struct kv *kv, struct kv_slice from, struct kv_slice to,
                          kv_callback *callback, void *ctx, struct envol_error *error);

/* Reads all there is, and tells how much; *bad pages do not read.  The first failure's status. */
struct kv_figures {
    uint64_t keys, pages, runs, bad;
};
enum envol_status kv_check(struct kv *kv, struct kv_figures *figures, struct envol_error *error);

/* A snapshot of all that was committed before, to be opened with kv_open, in any process. */
enum envol_status kv_snapshot(struct kv *kv, uint8_t uuid[ENVOL_UUID_BYTES],
                              struct envol_error *error);
/* Gives it up.  ENVOL_E_BUSY: somebody has it open. */
enum envol_status kv_release(struct kv *kv, const uint8_t uuid[ENVOL_UUID_BYTES],
                             struct envol_error *error);

/* Writes a backup under another CMK, beside commits of other threads. */
enum envol_status kv_backup(struct kv *kv, const struct envol_cmk *cmk, envol_backup_sink *sink,
                            void *ctx, struct envol_error *error);
/* Makes a new store of it, with a UUID, DEK and CMK of its own.  What a failure leaves in the
 * directory does not open, and is to be removed. */
enum envol_status kv_restore(const char *path, const struct envol_cmk *cmk,
                             const struct envol_cmk *backup_cmk, envol_backup_source *source,
                             void *ctx, struct envol_error *error);

/* A new DEK for all there is, beside commits of other threads; goes on where one was interrupted.
 */
enum envol_status kv_rotate(struct kv *kv, const struct envol_cmk *cmk, struct envol_error *error);
/* Brings the keys back, when the CMK is enabled again. */
enum envol_status kv_unlock(struct kv *kv, const struct envol_cmk *cmk, struct envol_error *error);

#endif
