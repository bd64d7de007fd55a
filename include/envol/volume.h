/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes: the library does the I/O.  envol_volume(3) for create, open, close and their options,
 * envol_page_read(3) for page I/O.
 *
 * One writer and any number of readers may have a volume open, in any processes.  A handle may be
 * used by any number of threads at once; two threads that write one page at the same time leave
 * either's content.
 */
#ifndef ENVOL_VOLUME_H
#define ENVOL_VOLUME_H

#include <envol/header.h>
#include <envol/lease.h>
#include <envol/page.h>
#include <envol/provider.h>
#include <envol/space.h>
#include <envol/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct envol_volume;

/* Flags of envol_volume_open beside ENVOL_OPEN_INHERIT and ENVOL_OPEN_ALLOW_UNLOCKED. */
#define ENVOL_OPEN_READ_ONLY  4u
#define ENVOL_OPEN_OTHER_COPY 8u  /* read-only: the header copy that is not the newest */
#define ENVOL_OPEN_DISCOVER   16u /* slots of the given providers may name any key */
/* A writer's: gives up all snapshots of the volume, or the one that options.snapshot names; their
 * files need not be sound, nor there.  ENVOL_E_BUSY while readers have the volume open. */
#define ENVOL_OPEN_ABANDON_SNAPSHOTS 32u

/* What became of one slot in an open. */
struct envol_slot_outcome {
    uint32_t slot; /* its id */
    /* ENVOL_OK: it opened the volume.  ENVOL_E_NO_PROVIDER: it was not tried. */
    enum envol_status status;
    char provider[ENVOL_PROVIDER_NAME_MAX + 1];
    char provider_code[64];
    char message[256]; /* one line; "" for the slot that opened, and for those behind it */
};

/* All of them, in the order of trial.  count is 0 if the open failed before it came to them. */
struct envol_slot_outcomes {
    size_t struct_size;
    size_t count;
    struct envol_slot_outcome outcome[ENVOL_SLOTS_MAX];
};

struct envol_volume_options {
    size_t struct_size;
    uint32_t flags;                           /* ENVOL_OPEN_* */
    const struct envol_header_params *params; /* create: geometry; open: ignored; may be NULL */
    const struct envol_pins *pins; /* open: UUID, suites, anchor; its cmks are not used here */
    uint32_t timeout_ms; /* for all provider calls of this call together; 0: two minutes for each */
    const int *cancel_flag;               /* as in envol_key_request */
    struct envol_slot_outcomes *outcomes; /* out, of open: why each slot did not; may be NULL */
    /* Where the volume's snapshots are (envol_snapshot(3)); borrowed: it must outlive the volume.
     * NULL: none can be made, and a writer cannot open a volume that has some. */
    struct envol_space *space;
    /* Open.  Read-only: UUID of the snapshot whose image is opened; with
     * ENVOL_OPEN_ABANDON_SNAPSHOTS: of the only one that is given up; or NULL. */
    const uint8_t *snapshot;
};

/*
 * Creates a volume on an empty store (ENVOL_E_STATE otherwise) and opens it for writing.  A store
 * handle serves one volume at a time: ENVOL_E_BUSY for the second, of create as of open.  The first
 * CMK generates the DEK, the others wrap it; each wrapping is unwrapped once before it counts.
 * store and providers are borrowed: they must outlive the volume.  options and error may be NULL.
 * *volume is NULL on failure, and the store is empty again where it lets itself be cut.
 * Statuses: those of the provider (envol_provider(3)), of the store, of envol_header_new;
 * ENVOL_E_STATE (two CMKs are one key, too), ENVOL_E_RANGE (the wrapped DEKs do not fit),
 * ENVOL_E_CORRUPT (the header does not read back).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_create(struct envol_store *store, const struct envol_cmk *cmks, size_t cmk_count,
                    const struct envol_volume_options *options, struct envol_volume **volume,
                    struct envol_error *error);

/*
 * Opens a volume with one provider call, whatever its size: slots that match one of cmks are tried
 * in their order until one unwraps.  After a crash of the last writer, a writer finds the end of
 * the pages first (envol(7)). ENVOL_E_BUSY (another writer), ENVOL_E_NO_PROVIDER, ENVOL_E_POLICY,
 * ENVOL_E_STALE, ENVOL_E_FORMAT, ENVOL_E_VERSION, ENVOL_E_CORRUPT, ENVOL_E_TRUNCATED (a
 * store that ends within its header), ENVOL_E_WRONG_KEY, ENVOL_E_LOCKED_MEMORY,
 * ENVOL_E_UNSUPPORTED, ENVOL_E_FORKED (a store handle of before a fork), ENVOL_E_STATE (a reader,
 * and an XTS rotation was interrupted in the middle of a run; an unfinished restore; a writer, and
 * the volume has snapshots that are not in options.space), ENVOL_E_RANGE (no such snapshot), those
 * of provider, store and space.  ENVOL_E_CORRUPT is also what a damaged file of a snapshot answers.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_open(struct envol_store *store, const struct envol_cmk *cmks, size_t cmk_count,
                  const struct envol_volume_options *options, struct envol_volume **volume,
                  struct envol_error *error);

/*
 * Closes.  A writer syncs and marks the volume clean first; a failure of that is returned, nothing
 * that was synced before is lost by it, and the handle is gone in any case.  A lease is stopped.
 * NULL is ignored.  The lock is dropped; with ENVOL_OPEN_INHERIT it stays with the store, which
 * serves no other volume then, until every process that has it by a fork has closed it.
 */
ENVOL_API enum envol_status envol_volume_close(struct envol_volume *volume);

/* Reads a header without any key: unverified.  info is filled, *header (may be NULL) is the
 * caller's.  ENVOL_E_BUSY: the header's lock is held. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_volume_inspect(struct envol_store *store,
                                                                 struct envol_header_info *info,
                                                                 struct envol_header **header,
                                                                 struct envol_error *error);

/*
 * The header of an open volume as it is in the store: bytes is room for both copies,
 * ENVOL_HEADER_BYTES, which envol_header_decode reads.  For a copy elsewhere, or to look at what no
 * call tells.  Of any handle, with its keys or without; zeros on failure.  error may be NULL.
 * ENVOL_E_ARGUMENT, ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY, ENVOL_E_BUSY (the header's lock was held
 * for 10 s), ENVOL_E_TRUNCATED, ENVOL_E_NO_MEMORY, ENVOL_E_IO.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_header_bytes(struct envol_volume *volume, void *bytes, struct envol_error *error);

/* Figures of an open volume, with its keys or without; struct_size is the caller's. */
struct envol_volume_info {
    size_t struct_size;
    struct envol_header_info header; /* set its struct_size too */
    uint64_t pages;                  /* how many there are now, unsynced growth included */
    uint32_t opened_slot;            /* id of the slot that unwrapped the DEK */
    int read_only;
    int keys_locked;    /* 0: keys, derived ones too, may be in memory that is not locked */
    const char *kernel; /* AES kernel */
    enum envol_lease_state lease_state; /* ENVOL_LEASE_NONE without a lease (envol_lease(3)) */
    enum envol_status lease_status;     /* what its last check answered */
    uint64_t lease_next_ms;             /* when the next one is due, CLOCK_MONOTONIC; 0: none is */
    uint64_t lease_checked_ms;          /* when the last one was, CLOCK_MONOTONIC; 0: none was */
    uint64_t lease_checked_at_s;        /* the same in Unix time, for people */
    uint64_t lease_deadline_ms;         /* ENVOL_LEASE_SUSPECT: when keys are wiped; 0 otherwise */
    uint8_t snapshot[ENVOL_UUID_BYTES]; /* whose image this is; zeros: the volume itself */
};
ENVOL_API ENVOL_NODISCARD enum envol_status envol_volume_info(struct envol_volume *volume,
                                                              struct envol_volume_info *info);

/* Number of pages; page numbers are 0 to it minus 1. */
ENVOL_API ENVOL_NONNULL(1) uint64_t envol_volume_pages(struct envol_volume *volume);

/* The volume's keyring, for objects and lanes; lives as long as the volume. */
ENVOL_API ENVOL_NONNULL(1) const
    struct envol_keyring *envol_volume_keyring(const struct envol_volume *volume);

/*
 * What to keep elsewhere against rollback; give it to a later open in its pins, which then refuses
 * every state of the volume from before this call.  A writer syncs for it and moves the header's
 * generation on; a reader's anchor, and a forked child's, is that of the header it knows.
 * ENVOL_E_ARGUMENT, ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY; a writer: those of envol_volume_sync.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_volume_anchor(struct envol_volume *volume,
                                                                struct envol_anchor *anchor);

/*
 * A reader's: reads the header again and takes over what a writer changed meanwhile, all pages that
 * it has synced included.  No provider call, but for one if the DEK was rotated meanwhile, by the
 * provider that opened the volume; then its statuses too.  ENVOL_E_STALE if the header cannot be
 * verified with the DEK that is in memory then: open again.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_volume_refresh(struct envol_volume *volume,
                                                                 struct envol_error *error);

/*
 * Page I/O.  page is page_bytes.  A write at or beyond the end grows the volume; the pages between
 * become holes.  Written pages are safe after envol_volume_sync.
 * read: on failure page holds zeros.  ENVOL_E_UNWRITTEN (never written), ENVOL_E_RANGE (beyond the
 * end), ENVOL_E_CORRUPT, ENVOL_E_TRUNCATED, ENVOL_E_STALE.
 * write, trim: ENVOL_E_READ_ONLY, ENVOL_E_RANGE, ENVOL_E_RANDOM.
 * All: ENVOL_E_ARGUMENT, ENVOL_E_IO, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_FORKED,
 * ENVOL_E_KEY_REVOKED.
 * Growth updates the header now and then: what makes writes, trims, syncs, cuts and close answer
 * ENVOL_E_STALE (somebody else wrote it), ENVOL_E_CORRUPT (it does not read back) and ENVOL_E_BUSY
 * (its lock was held for 10 s).  While an update that failed cannot be repeated, writes fail as it
 * does.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_read(struct envol_volume *volume,
                                                            uint64_t page_no, void *page);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_write(struct envol_volume *volume,
                                                             uint64_t page_no, const void *page);

/* One page of a batch. */
struct envol_page_io {
    uint64_t page_no;
    void *page;               /* read: written to; write: read from */
    enum envol_status status; /* out */
};

/*
 * Any pages, any buffers, in one call; runs of consecutive page numbers become one read or write of
 * the store.  Every page gets its status, and no page's keeps another from being read or written;
 * returns ENVOL_OK or the first that is not, where ENVOL_E_UNWRITTEN gives way to any other: so it
 * means that all pages were read, some of them as zeros.  error (may be NULL) tells of that page.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_read_batch(struct envol_volume *volume,
                                                                  struct envol_page_io *ios,
                                                                  size_t count,
                                                                  struct envol_error *error);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_write_batch(struct envol_volume *volume,
                                                                   struct envol_page_io *ios,
                                                                   size_t count,
                                                                   struct envol_error *error);

/*
 * Makes count pages from first unwritten: holes; in a sparse volume the store's space is freed.
 * Under XTS without sparse they become pages of zeros, as nothing marks a hole there.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_trim(struct envol_volume *volume,
                                                            uint64_t first, uint64_t count);

/*
 * Which pages were never written: *pages from first on, 1 to max_pages, are all unwritten
 * (*unwritten 1) or all not (0); the next call begins behind them.  An unwritten page reads as
 * zeros and needs no copy; that it is one was authenticated (not in a sparse volume, envol(7)).
 * What does not read counts as written.  Reads the records up to where they change, so bound
 * max_pages; only holes are decrypted.  Under XTS without sparse nothing marks a hole: all are
 * written, and nothing is read.  Outputs are 0 on failure; error may be NULL. ENVOL_E_RANGE (first
 * is beyond the end), ENVOL_E_ARGUMENT (a NULL, max_pages 0), ENVOL_E_NO_MEMORY,
 * ENVOL_E_LOCKED_MEMORY, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_page_extent(struct envol_volume *volume,
                                                              uint64_t first, uint64_t max_pages,
                                                              uint64_t *pages, int *unwritten,
                                                              struct envol_error *error);

/* Returns when all pages written before are on stable storage, without keys too.  ENVOL_E_IO,
 * ENVOL_E_FORKED. */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_volume_sync(struct envol_volume *volume);

/* Sets the number of pages; pages beyond are gone, new ones are holes.  Synced when it returns. */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_truncate(struct envol_volume *volume, uint64_t pages, struct envol_error *error);

/* Called for every page that does not read; return 0 to go on, another number to stop. */
typedef int envol_verify_callback(void *ctx, uint64_t page_no, enum envol_status status);

struct envol_verify_result {
    size_t struct_size;
    uint64_t pages;     /* read */
    uint64_t unwritten; /* of them holes */
    uint64_t bad;       /* of them neither */
};

/*
 * Reads every page and goes on past bad ones.  The callback may use the volume.  ENVOL_OK if all
 * are sound, else the first bad page's status; ENVOL_E_CANCELLED if the callback stopped it.
 * callback, result and error may be NULL. An XTS volume's pages cannot be checked:
 * ENVOL_E_UNSUPPORTED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_verify(struct envol_volume *volume, envol_verify_callback *callback, void *ctx,
                    struct envol_verify_result *result, struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
