/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An open volume, and the pieces that its verb groups share.
 *
 * Two locks.  `access` is held shared by page I/O and exclusively by what moves the end backwards
 * or replaces the header.  `growth`, taken inside it, is held by whoever moves the end forwards or
 * commits the header.  A forked child takes neither: another thread of the parent may have held
 * them, and nothing that needs them excluded is allowed there.
 */
#ifndef ENVOL_VOLUME_VOLUME_H
#define ENVOL_VOLUME_VOLUME_H

#include "page/keyring.h"
#include "store/store.h"
#include "volume/hot.h"

#include <envol/volume.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Records of one transfer: as many as this many bytes hold, at least 1, at most RUN_MAX. */
#define ENVOL_RUN_BYTES 262144u
#define ENVOL_RUN_MAX   64u
/* Lanes that wait for their next call; more than that at a time are made and closed again. */
#define ENVOL_IDLE_LANES 16u
/* Buffers for the store: O_DIRECT asks for no more. */
#define ENVOL_BUFFER_ALIGN 4096u

/* What one call borrows: a lane, and room for records on their way between page and store. */
struct envol_volume_lane {
    struct envol_lane *lane;
    uint8_t *records;
};

/*
 * A DEK rotation as this handle knows it (rotation.h).  What is not atomic changes with access held
 * exclusively.
 */
struct envol_sweep {
    pthread_mutex_t turn; /* one step, or one end of a rotation, at a time; taken before access */
    struct envol_hot hot;
    bool is_open;     /* this handle may sweep: page I/O looks at hot */
    bool has_readers; /* XTS: holds the readers' lock exclusively */
    _Atomic bool paused;
    _Atomic uint64_t next;           /* pages before it were visited */
    _Atomic uint64_t bad, first_bad; /* of them those that do not read */
    uint64_t saved;                  /* next, as the header has it; turn */
    struct envol_object *swept;      /* XTS: what seals pages before next; NULL: there are none */
    uint8_t *memory;                 /* a step's buffers, kept for the next one; turn */
    size_t memory_bytes;
};

struct envol_snapshots;
struct envol_image;

struct envol_volume {
    struct envol_store *store;
    struct envol_header *header;
    struct envol_keyring *keyring;
    struct envol_object *object; /* the volume's own page space */
    uint64_t generation;         /* of the process that opened it */
    uint32_t opened_slot;
    const struct envol_provider *opened_by; /* who unwrapped it; borrowed */
    struct envol_lease *lease;              /* NULL: none; changes under turn */
    struct envol_area *area;   /* area.h; NULL: pages are not atomic, or this is a reader's */
    struct envol_space *space; /* as given to open or create; borrowed; NULL: none, or an image */
    struct envol_snapshots *snapshots; /* snapshot.h; NULL: a writer without a space, or a reader */
    struct envol_image *image;         /* what it is the image of; NULL: the volume itself */
    _Atomic uint64_t preserved_end;    /* pages before it may be of a snapshot; access alone */
    pthread_mutex_t turn; /* one check or unlock at a time; an owner that comes again is refused */
    _Atomic bool has_log; /* its log is open, or being made or removed */
    bool read_only, gcm, sparse;
    bool holds_lock; /* envol_volume_lock_store */
    bool has_locks;  /* access, growth and turn are initialised */
    uint32_t page_bytes, stride_bytes;
    uint32_t run;      /* records of one transfer */
    uint64_t page_max; /* first page number whose record would end beyond 2^63 - 1 */
    uint64_t data_offset;
    pthread_rwlock_t access;
    pthread_mutex_t growth;
    _Atomic uint64_t pages;  /* how many there are */
    _Atomic uint64_t limit;  /* readers: the end of the window that a writer may have open */
    _Atomic uint64_t mark;   /* high_water on disk; changes under growth */
    _Atomic uint64_t synced; /* pages that a sync made durable, or is about to */
    uint64_t seals;          /* counted by the keyring and told to the header; growth */
    bool clean;              /* on disk; growth */
    uint64_t measured;       /* the generation that pages and limit were taken from */
    _Atomic bool header_due; /* an update failed: what is on disk is not known */
    bool header_busy;        /* its lock was waited for in vain; growth */
    bool cut_due;            /* beyond the end may lie records that are no pages; growth */
    bool cut_before_growth;  /* the same, and until the volume has a page nobody minds them */
    uint64_t cut_end;        /* as far as those may reach; growth */
    _Atomic bool raise_due;  /* pages above the mark may be torn */
    _Atomic bool sync_failed;
    _Atomic uint64_t writes_begun, writes_done; /* calls that write pages */
    _Atomic int patience_ms;                    /* read.c */
    struct envol_sweep sweep;
    _Atomic(struct envol_volume_lane *) idle[ENVOL_IDLE_LANES];
};

/* Flags of an open that the keyring keeps. */
#define ENVOL_KEYRING_FLAGS (ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED)

/* handle.c */
/* Names the volume's own page space: zeros. */
extern const uint8_t envol_volume_own_pages[ENVOL_OBJECT_BYTES];
/* The lock of a writer or a reader, for one volume of this store handle.  ENVOL_E_BUSY. */
enum envol_status envol_volume_lock_store(struct envol_store *store, bool read_only,
                                          struct envol_error *error);
void envol_volume_unlock_store(struct envol_store *store, bool read_only);
/*
 * A volume of an unlocked header and its keyring, all taken, even on failure.
 * ENVOL_E_ARGUMENT: the store's alignment does not fit the geometry.
 */
enum envol_status envol_volume_make(struct envol_store *store, struct envol_header *header,
                                    struct envol_keyring *keyring, bool read_only,
                                    struct envol_volume **volume, struct envol_error *error);
/* A read-only volume that shares store and keys with the one that it is the image of; header and
 * image are taken, even on failure. */
enum envol_status envol_volume_make_image(struct envol_volume *of, struct envol_header *header,
                                          struct envol_image *image, struct envol_volume **volume,
                                          struct envol_error *error);
/* Gives everything back; writes nothing. */
void envol_volume_free(struct envol_volume *volume);
/* Sets what the header says of pages: at open and refresh. */
enum envol_status envol_volume_measure(struct envol_volume *volume, struct envol_error *error);

/* refresh.c */
/* A reader's refresh, as far as it goes without a provider.  ENVOL_E_STALE: the DEK is a newer one,
 * or the header cannot be verified; otherwise those of envol_volume_refresh. */
enum envol_status envol_volume_reread(struct envol_volume *volume);

/* gate.c */
enum envol_access {
    ENVOL_ACCESS_LOOK, /* needs no key: a lease may have taken them */
    ENVOL_ACCESS_READ,
    ENVOL_ACCESS_WRITE,
    ENVOL_ACCESS_ALONE,  /* a writer, and nobody else */
    ENVOL_ACCESS_REFRESH /* reader or writer, and nobody else */
};
/*
 * ENVOL_E_FORKED, ENVOL_E_READ_ONLY, ENVOL_E_KEY_REVOKED, or the lock is held until
 * envol_volume_leave.  But for reads, writers first repeat a header update that failed, and pass on
 * why it fails again: until it is known what the header on disk says of the pages, none is written.
 */
enum envol_status envol_volume_enter(struct envol_volume *volume, enum envol_access access);
void envol_volume_leave(struct envol_volume *volume);
/* Whether this process opened it: a child may not change the header. */
bool envol_volume_is_own(const struct envol_volume *volume);
enum envol_status envol_volume_lane_take(struct envol_volume *volume,
                                         struct envol_volume_lane **lane);
void envol_volume_lane_give(struct envol_volume *volume, struct envol_volume_lane *lane);
void envol_volume_close_lanes(struct envol_volume *volume);

/* headers.c: reading and updating the header on the store */
/* locked: under the HEADER lock, which a volume on the same handle may be holding for itself.
 * read_copies: ENVOL_HEADER_BYTES, aligned; *got of them are there. */
enum envol_status envol_volume_read_copies(struct envol_store *store, bool locked, uint8_t *bytes,
                                           size_t *got, struct envol_error *error);
enum envol_status envol_volume_read_header(struct envol_store *store, uint32_t decode_flags,
                                           bool locked, struct envol_header **header,
                                           struct envol_error *error);
/* The next generation of the header, with these pages.  Holds growth, or access alone. */
enum envol_status envol_volume_commit(struct envol_volume *volume, uint64_t high_water, bool clean,
                                      struct envol_error *error);
/* The same of any header and keyring, with nothing noted. */
enum envol_status envol_volume_write_header(struct envol_volume *volume,
                                            struct envol_header *header,
                                            const struct envol_keyring *keyring,
                                            struct envol_error *error);
/* Syncs the store; after one failure always fails, as nobody knows what reached the disk. */
enum envol_status envol_volume_flush(struct envol_volume *volume, struct envol_error *error);

/* log_seal.c */
/* What the header says of the volume's log.  ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED. */
enum envol_status envol_volume_log_seal(struct envol_volume *volume, struct envol_log_seal *seal);
/* Says something else, in the next generation of the header; a failure leaves it as it was, here.
 * A writer's, in the process that opened it.  Takes access and growth. */
enum envol_status envol_volume_set_log_seal(struct envol_volume *volume,
                                            const struct envol_log_seal *seal,
                                            struct envol_error *error);

/* preserve.c */
/*
 * Before n records from first are overwritten, cut off or made zeros, while access is held: those
 * that a snapshot needs and does not have are kept, on stable storage.  ENVOL_E_FORKED: a child
 * does not know.  What cannot be kept must not be overwritten.
 */
enum envol_status envol_volume_preserve_first(struct envol_volume *volume, uint64_t first,
                                              uint64_t n, struct envol_error *error);
static inline enum envol_status envol_volume_preserve(struct envol_volume *volume, uint64_t first,
                                                      uint64_t n, struct envol_error *error)
{
    if (first >= atomic_load_explicit(&volume->preserved_end, memory_order_acquire))
        return ENVOL_OK;
    return envol_volume_preserve_first(volume, first, n, error);
}

/* growth.c */
uint64_t envol_volume_offset(const struct envol_volume *volume, uint64_t page_no);
/* Width of the window above a mark in which records may be that no header knows of. */
uint64_t envol_volume_window(uint64_t mark);
/* How many pages there are, in a writer's handle. */
void envol_volume_set_end(struct envol_volume *volume, uint64_t pages);
/* Writes n sealed records, growing the volume where they go beyond its end. */
enum envol_status envol_volume_place(struct envol_volume *volume, const uint8_t *records,
                                     uint64_t first, uint64_t n, struct envol_error *error);
/*
 * Before records from first are written again: those that were synced must be below the mark, as a
 * crash that tears the last page of all would leave the search for the end without it.
 */
enum envol_status envol_volume_protect(struct envol_volume *volume, uint64_t first, uint64_t n,
                                       struct envol_error *error);
/* After a write of existing records failed: if they are above the mark, the next sync raises it, as
 * the search for the end would take the torn last ones for none. */
void envol_volume_note_torn(struct envol_volume *volume, uint64_t first, uint64_t n);
/* Writes records of unwritten pages: holes; under XTS pages of zeros. */
enum envol_status envol_volume_fill(struct envol_volume *volume, struct envol_volume_lane *lane,
                                    uint64_t first, uint64_t n, struct envol_error *error);
/* Syncs the pages and tells the header of them.  Holds growth, or access alone. */
enum envol_status envol_volume_raise_mark(struct envol_volume *volume, struct envol_error *error);
/* Moves the end forwards without writing a page.  Holds growth, or access alone. */
enum envol_status envol_volume_extend(struct envol_volume *volume, struct envol_volume_lane *lane,
                                      uint64_t pages, struct envol_error *error);

/* recover.c */
/*
 * Searches the records from `from` to the window's end above a mark: *end is after the last one
 * that authenticates, or from.
 */
enum envol_status envol_volume_find_end(struct envol_volume *volume, uint64_t mark, uint64_t from,
                                        uint64_t *end, struct envol_error *error);
/* A writer's at open: finds the end after a crash, cuts what lies beyond it. */
enum envol_status envol_volume_recover(struct envol_volume *volume, struct envol_error *error);
/* Moves the end to where the pages now are or before: header first, then the store. */
enum envol_status envol_volume_cut(struct envol_volume *volume, uint64_t pages,
                                   struct envol_error *error);
/* Growth failed before it came to `to`: what it left behind is to be cut off. */
void envol_volume_note_cut(struct envol_volume *volume, uint64_t to);
/* The store's part of it.  Growth waits for it: it would bring back what lies beyond the end. */
enum envol_status envol_volume_cut_store(struct envol_volume *volume, struct envol_error *error);

/* trim.c */
/* Makes records read as zeros: their space is freed where the store can.  They lie in the store. */
enum envol_status envol_volume_discard(struct envol_volume *volume, struct envol_volume_lane *lane,
                                       uint64_t first, uint64_t count, struct envol_error *error);
/* Writes records of zeros, beyond the store's end too. */
enum envol_status envol_volume_write_zeros(struct envol_volume *volume,
                                           struct envol_volume_lane *lane, uint64_t first,
                                           uint64_t count, struct envol_error *error);

/* batch.c */
/* Transfers n consecutive pages, at most volume->run; sets each status, and zeroes what a failed
 * read leaves.  Returns the first that is not ENVOL_OK, of which error tells. */
typedef enum envol_status envol_volume_transfer(struct envol_volume *volume,
                                                struct envol_volume_lane *lane,
                                                struct envol_page_io *ios, size_t n,
                                                struct envol_error *error);
/* Cuts any pages into runs; gate and lane around all of it. */
enum envol_status envol_volume_batch(struct envol_volume *volume, enum envol_access access,
                                     envol_volume_transfer *transfer, struct envol_page_io *ios,
                                     size_t count, struct envol_error *error);

/* trailers.c */
#define ENVOL_NONCE_BYTES 24u
/*
 * The nonces of n consecutive pages, at most volume->run, as their records name them, without
 * decrypting: zeros for a record of zeros, 0xff for what cannot be a record or be read.  GCM.
 */
enum envol_status envol_volume_read_nonces(struct envol_volume *volume, uint64_t first, size_t n,
                                           uint8_t *nonces, struct envol_error *error);
/* Which of n consecutive pages, at most volume->run, say that they are unwritten, and may be
 * believed once they were read.  The gate was passed. */
void envol_volume_guess_holes(struct envol_volume *volume, struct envol_volume_lane *lane,
                              uint64_t first, size_t n, bool *unwritten);

/* restoring.c: volumes whose restore is unfinished */
struct envol_restore_record;
/* As envol_volume_create and envol_volume_open for writing, of such a volume alone. */
enum envol_status envol_volume_create_restoring(struct envol_store *store,
                                                const struct envol_cmk *cmks, size_t cmk_count,
                                                const struct envol_volume_options *options,
                                                struct envol_volume **volume,
                                                struct envol_error *error);
enum envol_status envol_volume_open_restoring(struct envol_store *store,
                                              const struct envol_cmk *cmks, size_t cmk_count,
                                              const struct envol_volume_options *options,
                                              struct envol_volume **volume,
                                              struct envol_error *error);
/* Syncs all pages, then commits the record.  On failure the header on disk may be either. */
enum envol_status envol_volume_set_restore(struct envol_volume *volume,
                                           const struct envol_restore_record *record,
                                           struct envol_error *error);

/* read.c */
envol_volume_transfer envol_volume_read_run;
/* The same without a word on the whole: details tells of the first page that the store failed.
 * False: some were read again, and the lane's buffer does not hold the pages' records. */
bool envol_volume_read_pages(struct envol_volume *volume, struct envol_volume_lane *lane,
                             struct envol_page_io *ios, size_t n, struct envol_error *details);
/* Tells of a page that failed, in the store's words where they are of that page. */
void envol_volume_tell(const struct envol_page_io *io, const struct envol_error *details,
                       struct envol_error *error);
/* Whether a batch, which has this to tell so far, rather tells of a page of that status. */
bool envol_volume_is_graver(enum envol_status status, enum envol_status so_far);
/* How long a handle waits in all for pages that then are corrupt after all. */
#define ENVOL_PATIENCE_MS 5000

#endif
