/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backups: one encrypted stream under a DEK of its own, wrapped by CMKs of the caller's choice; and
 * restores of them into a new volume.  envol_backup(3), envol_restore(3).
 *
 *     envol_backup_write    volume -> stream, all pages or those that changed since another backup
 *     envol_backup_verify   reads a stream to its end, and restores nothing
 *     envol_restore_*       streams -> a new volume, with its own UUID, DEK and CMKs
 *     envol_backup_raw      a volume's bytes as they are, without any key
 *     envol_backup_list     the backups that a volume knows of, and forget, and note_raw
 */
#ifndef ENVOL_BACKUP_H
#define ENVOL_BACKUP_H

#include <envol/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes count bytes, all of them, and answers 0; or an errno: the call fails with ENVOL_E_IO; or a
 * status made negative, -(int)ENVOL_E_TIMEOUT, say: the call fails with that one. */
typedef int envol_backup_sink(void *ctx, const void *bytes, size_t count);
/* Gives up to capacity bytes, and how many to *count; 0 bytes: that was all.  Answers as a sink. */
typedef int envol_backup_source(void *ctx, void *bytes, size_t capacity, size_t *count);
/* Called every few hundred KiB; return 0 to go on, another number to stop: ENVOL_E_CANCELLED. */
typedef int envol_backup_progress(void *ctx, uint64_t done_pages, uint64_t pages);

/* Longest note that a backup carries. */
#define ENVOL_BACKUP_NOTE_MAX 65536u

/* Flags of envol_backup_write beside ENVOL_OPEN_ALLOW_UNLOCKED. */
#define ENVOL_BACKUP_SKIP_BAD                                                                      \
    256u /* pages that do not read are named in the backup, and left out */
#define ENVOL_BACKUP_RECORD                                                                        \
    512u /* the volume's catalog has it before its first byte is written                           \
          */

/* Bytes of a label, its final NUL included. */
#define ENVOL_BACKUP_LABEL_BYTES 64

struct envol_backup_options {
    size_t struct_size;
    uint32_t flags;
    const void *note; /* the caller's, encrypted with the rest (a log's position, say), or NULL */
    size_t note_bytes;
    envol_backup_source *changes; /* list of the backup that this one follows, or NULL: full */
    void *changes_ctx;
    envol_backup_sink *new_changes; /* takes the list that the next one needs, or NULL */
    void *new_changes_ctx;
    envol_backup_progress *progress; /* or NULL */
    void *progress_ctx;
    uint32_t timeout_ms;    /* for all provider calls together; 0: two minutes for each */
    const int *cancel_flag; /* not 0 (read atomically): give up, ENVOL_E_CANCELLED; may be NULL */
    const char *label;      /* with ENVOL_BACKUP_RECORD: for people, in the clear; at most 63 bytes;
                               NULL: none */
};

/* What a backup is.  Zeros but for struct_size before a call: verify and apply take note and
 * note_capacity from it. */
struct envol_backup_result {
    size_t struct_size;
    uint8_t uuid[ENVOL_UUID_BYTES];
    uint8_t parent[ENVOL_UUID_BYTES]; /* the backup that it follows; zeros: none, it is full */
    int incremental;
    int rotated; /* write: full although a list was given, which is of an older DEK */
    enum envol_suite suite;
    uint32_t page_bytes;
    uint32_t stride_bytes;
    int sparse;
    int atomic_pages;
    uint64_t created_at_s; /* Unix time, seconds */
    uint64_t volume_pages; /* of the volume */
    uint64_t pages;        /* that are in the stream */
    uint64_t holes;        /* unwritten pages that it names */
    uint64_t bad;          /* pages that did not read, with ENVOL_BACKUP_SKIP_BAD */
    uint64_t first_bad;    /* the first of them, ENVOL_NO_PAGE if there is none */
    uint64_t bytes;        /* of the stream */
    void *note;            /* verify, apply: in, room for the note; or NULL */
    size_t note_capacity;  /* in: of that room; a longer note is cut */
    size_t note_bytes;     /* out: true length */
    /* write, with ENVOL_BACKUP_RECORD: ENVOL_OK, or why the catalog has the backup, which is whole,
     * as an unfinished one. */
    enum envol_status recorded;
};

/*
 * Writes a backup of all pages, or with options.changes of those that were written since the backup
 * whose list that is (GCM): their nonces tell, and pages that did not change are not read closely.
 * The first CMK generates the backup's DEK, the others wrap it, each wrapping is unwrapped once.
 * With ENVOL_BACKUP_RECORD the volume's catalog has the backup, with its CMKs, before the sink has
 * a byte of it: what cannot be recorded is not made.  A call that fails takes that back, if it can;
 * one that only cannot say at the end that the backup was finished succeeds, and result says so.
 * A writer's handle that has a space (options.space of its open) makes a snapshot for the time of
 * the call, so that others may write meanwhile.  Otherwise the volume must be quiet, or the image
 * of a snapshot: pages that change meanwhile are taken as of some moment each.  result and error
 * may be NULL; on failure result is zeros, and what the sink was given never restores.  Memory: two
 * transfers (256 KiB, or one page, each) and 100 KiB, whatever the volume's size.  A page that does
 * not read fails the call, error names it. ENVOL_E_ARGUMENT, ENVOL_E_UNSUPPORTED (a list, and the
 * volume is XTS), ENVOL_E_FORMAT, ENVOL_E_VERSION, ENVOL_E_CORRUPT, ENVOL_E_TRUNCATED,
 * ENVOL_E_STATE (the list: no list, damaged, of another volume), ENVOL_E_STALE (a reader and a list
 * of a newer DEK: refresh), ENVOL_E_IO (the callbacks), ENVOL_E_CANCELLED, those of the provider,
 * of envol_page_read, of envol_snapshot_create, and with ENVOL_BACKUP_RECORD of
 * envol_backup_note_raw.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_backup_write(struct envol_volume *volume, const struct envol_cmk *cmks, size_t cmk_count,
                   const struct envol_backup_options *options, envol_backup_sink *sink, void *ctx,
                   struct envol_backup_result *result, struct envol_error *error);

/* For reading backups. */
struct envol_restore_options {
    size_t struct_size;
    uint32_t flags;                  /* ENVOL_OPEN_ALLOW_UNLOCKED, ENVOL_OPEN_DISCOVER */
    envol_backup_progress *progress; /* or NULL */
    void *progress_ctx;
    uint32_t timeout_ms; /* as in envol_backup_options */
    const int *cancel_flag;
};

/*
 * Reads a backup to its end and checks every byte of it, with one provider call.  cmks are those
 * that may unwrap its DEK.  options, result and error may be NULL.
 * ENVOL_E_FORMAT (no backup), ENVOL_E_VERSION, ENVOL_E_CORRUPT (damaged, cut, out of order, bytes
 * behind its end), ENVOL_E_TRUNCATED (cut), ENVOL_E_WRONG_KEY (the header was changed),
 * ENVOL_E_NO_PROVIDER, ENVOL_E_IO (the source), ENVOL_E_CANCELLED, those of the provider.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_backup_verify(const struct envol_cmk *cmks, size_t cmk_count,
                    const struct envol_restore_options *options, envol_backup_source *source,
                    void *ctx, struct envol_backup_result *result, struct envol_error *error);

struct envol_restore;

/*
 * Begins a restore into an empty store, or goes on with an unfinished one that it holds (one
 * provider call).  cmks are those of the new volume, as for envol_volume_create.  Store, providers
 * and strings are borrowed until envol_restore_close.  *restore is NULL on failure.  A handle is
 * for one thread at a time.  options and error may be NULL; what they point to lives as long.
 * ENVOL_E_STATE (the store holds a volume), those of envol_volume_open.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_restore_begin(struct envol_store *store, const struct envol_cmk *cmks, size_t cmk_count,
                    const struct envol_restore_options *options, struct envol_restore **restore,
                    struct envol_error *error);

/*
 * Applies one backup: the full one first, which makes the volume, then each incremental one in
 * turn.  cmks are those of the backup.  Nothing of a chunk is written before it was authenticated.
 * After a failure, or in another process, give the same stream again from its start: what is there
 * already is read and not written again.  Pages named as bad become unwritten.
 * result and error may be NULL.
 * ENVOL_E_STATE (an incremental one before the full one, a second full one, or another one than the
 * one that is half applied), ENVOL_E_STALE (it does not follow the one that was applied last),
 * those of envol_backup_verify, envol_volume_create, envol_page_write and envol_volume_sync.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_restore_apply(struct envol_restore *restore, const struct envol_cmk *cmks, size_t cmk_count,
                    envol_backup_source *source, void *ctx, struct envol_backup_result *result,
                    struct envol_error *error);

/*
 * Makes it a volume that envol_volume_open opens.  Until then that answers ENVOL_E_STATE; such a
 * store is gone on with, or deleted.  No more can be applied afterwards.  If it fails, the volume
 * may be finished all the same, and is then whole.
 * ENVOL_E_STATE (no backup was applied whole; finished before), those of envol_volume_sync.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_restore_finish(struct envol_restore *restore,
                                                                 struct envol_error *error);
/* Without finish the volume stays unfinished.  NULL is ignored. */
ENVOL_API void envol_restore_close(struct envol_restore *restore);

/*
 * Copies the bytes of a volume's store as they are, header included, and needs no key; whoever
 * makes a second live volume of them restores a backup of it instead, as both would share UUID and
 * DEK.  No writer may have the volume open (ENVOL_E_BUSY), and none may open it meanwhile.
 * progress (may be NULL) is told bytes.  ENVOL_E_ARGUMENT, ENVOL_E_IO, ENVOL_E_CANCELLED,
 * ENVOL_E_FORMAT (no volume), ENVOL_E_CORRUPT (no whole header), ENVOL_E_NO_MEMORY, ENVOL_E_FORKED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_backup_raw(struct envol_store *store, envol_backup_sink *sink, void *ctx,
                 envol_backup_progress *progress, void *progress_ctx, struct envol_error *error);

/* --- The catalog: which backups the volume knows of --- */

/* Backups that a catalog holds at most. */
#define ENVOL_BACKUPS_MAX 4096u

enum envol_backup_form {
    ENVOL_BACKUP_STREAM = 1, /* of envol_backup_write, under a DEK of its own */
    ENVOL_BACKUP_RAW = 2     /* a raw copy, under the DEKs that the volume had then */
};

struct envol_backup_cmk {
    const char *provider;
    const char *key_ref;
    const char *key_version; /* "" if the provider has none */
};

/* A backup of the catalog.  Strings live as long as the callback runs. */
struct envol_backup_entry {
    size_t struct_size;
    uint8_t uuid[ENVOL_UUID_BYTES];
    uint8_t parent[ENVOL_UUID_BYTES]; /* the backup that it follows; zeros: it is full */
    uint32_t form;                    /* enum envol_backup_form */
    int finished; /* 0: it is being made, failed half-way, or nobody said that it was made */
    uint64_t created_at_s; /* Unix time, seconds */
    uint64_t generation;   /* of the volume's header then */
    uint64_t volume_pages; /* of the volume then */
    uint64_t pages;        /* in the backup; 0: not known */
    uint64_t bytes;        /* of the backup; 0: not known */
    uint32_t epoch;        /* the volume's current one then */
    uint32_t lowest_epoch; /* that records of a raw copy may be of; 0: a stream, which has none */
    const char *label;
    uint32_t cmk_count; /* each of them opens it: while one is there, it can be restored */
    struct envol_backup_cmk cmks[ENVOL_SLOTS_MAX];
};

/* Return 0 to go on, another number to stop.  May use the volume. */
typedef int envol_backup_list_callback(void *ctx, const struct envol_backup_entry *entry);

/*
 * Lists the backups of the volume's catalog, oldest first; of any handle that was opened with the
 * space.  A volume without a catalog has none.  error may be NULL.
 * ENVOL_E_STATE (the catalog is not in the space, or there is no space; a reader that has not seen
 * it move: refresh), ENVOL_E_CORRUPT (damaged, cut, of another volume), ENVOL_E_VERSION,
 * ENVOL_E_CANCELLED (the callback stopped it), ENVOL_E_ARGUMENT, ENVOL_E_FORKED,
 * ENVOL_E_KEY_REVOKED, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_IO, those of the space.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_backup_list(struct envol_volume *volume,
                                                              envol_backup_list_callback *callback,
                                                              void *ctx, struct envol_error *error);

/*
 * Takes a backup from the catalog: whoever calls it says that the backup is gone, and that no CMK
 * is needed for it any more.  uuid NULL: all of them, and the catalog's file, which need not be
 * sound, nor in the space, then.  The volume is a writer's.  error may be NULL.
 * ENVOL_E_RANGE (there is no such backup), ENVOL_E_READ_ONLY, those of envol_backup_list, of
 * envol_volume_sync and of the header's update (envol_snapshot_create).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_backup_forget(struct envol_volume *volume, const uint8_t uuid[ENVOL_UUID_BYTES],
                    struct envol_error *error);

/*
 * Tells the catalog of a raw copy that is about to be made, or was, of the volume as it is now: it
 * opens with any CMK of the volume's slots.  uuid (16 bytes) becomes its name there, zeros on
 * failure; the copy itself does not have it.  label as in envol_backup_options; label and error may
 * be NULL.  The volume is a writer's, opened with options.space; close it for envol_backup_raw.
 * ENVOL_E_STATE (no space), ENVOL_E_RANGE (ENVOL_BACKUPS_MAX there are), ENVOL_E_ARGUMENT,
 * ENVOL_E_RANDOM, and those of envol_backup_forget.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_backup_note_raw(struct envol_volume *volume,
                                                                  const char *label,
                                                                  uint8_t uuid[ENVOL_UUID_BYTES],
                                                                  struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
