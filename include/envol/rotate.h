/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DEK rotation: every page is sealed again under a new DEK while the volume is in use.
 * envol_volume_rotate(3).
 *
 *     begin     a new DEK, wrapped for every slot; from here on pages are sealed under it
 *     step      seals some of the older pages again; run does all of them
 *     finish    the older DEK is given up
 *
 * Page I/O of other threads goes on meanwhile.  A process that ends, in whatever way, leaves a
 * volume that opens and reads; its next writer goes on with step or run.
 */
#ifndef ENVOL_ROTATE_H
#define ENVOL_ROTATE_H

#include <envol/slots.h>
#include <envol/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of envol_volume_rotate_begin and envol_volume_rotate_finish. */
#define ENVOL_ROTATE_DROP_SLOTS  1u /* begin: slots that cannot be wrapped for are given up */
#define ENVOL_ROTATE_ABANDON_BAD 2u /* finish: although pages that do not read need the old DEK */
#define ENVOL_ROTATE_KEEP_OLD    4u /* finish: records outside of the volume need the old DEK */

enum envol_rotation_state {
    ENVOL_ROTATION_NONE = 0,
    ENVOL_ROTATION_RUNNING = 1, /* begun, and pages are left */
    ENVOL_ROTATION_PAUSED = 2,  /* the same; step and run answer ENVOL_E_STATE until resumed */
    ENVOL_ROTATION_SWEPT = 3    /* every page was visited: finish */
};

/* Where a rotation is. */
struct envol_rotation {
    size_t struct_size;
    enum envol_rotation_state state;
    uint32_t epoch;      /* of the new DEK; without a rotation the current one */
    uint32_t from_epoch; /* the DEK that is being left; 0 without a rotation */
    uint64_t pages;      /* to visit, as of now */
    uint64_t done;       /* of them visited */
    uint64_t bad;        /* visited pages that did not read, and so were not sealed again */
    uint64_t first_bad;  /* the first of them, ENVOL_NO_PAGE if there is none */
};

/*
 * Begins: a new DEK is made by the CMK of the first slot, wrapped by those of the others, and each
 * wrapping is unwrapped once; both header copies then name it, and pages are sealed under it.  A
 * slot that none of cmks serves, or whose provider fails, fails the call with nothing changed;
 * with ENVOL_ROTATE_DROP_SLOTS it is given up instead, if one slot is left.  options: flags
 * (ENVOL_OPEN_DISCOVER), time-out, cancel flag, and outcomes, which say what became of each slot.
 * The providers are borrowed as by envol_volume_open.  Under XTS no reader may have the volume
 * open (ENVOL_E_BUSY), until finish or close.  options and error may be NULL.
 * ENVOL_E_STATE (a rotation is unfinished; XTS and there are snapshots; ENVOL_OPEN_INHERIT; called
 * by a lease's callback), ENVOL_E_RANGE (4 older DEKs are kept already, or the slots do not fit),
 * ENVOL_E_STALE (slots changed meanwhile), ENVOL_E_NO_PROVIDER, ENVOL_E_UNSUPPORTED (XTS in a store
 * that cannot grow), those of envol_volume_add_slot.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_rotate_begin(struct envol_volume *volume, const struct envol_cmk *cmks,
                          size_t cmk_count, uint32_t flags,
                          const struct envol_volume_options *options, struct envol_error *error);

/*
 * Visits up to max_pages pages (0: one transfer) after those that were visited, and seals again
 * what is under an older DEK.  What does not read is counted, and left as it is.  rotation (may be
 * NULL) becomes where it is afterwards.  Steps of several threads come one after the other.
 * ENVOL_OK, also when every page has been visited; ENVOL_E_STATE (no rotation, paused, or
 * ENVOL_OPEN_INHERIT), ENVOL_E_ARGUMENT, ENVOL_E_READ_ONLY, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED,
 * ENVOL_E_BUSY (XTS: readers), ENVOL_E_NO_MEMORY, and those of envol_page_write and
 * envol_volume_sync.  Under XTS a page that the store cannot read is ENVOL_E_IO: write it first.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_rotate_step(struct envol_volume *volume, uint64_t max_pages,
                         struct envol_rotation *rotation, struct envol_error *error);

/* Called by run every few MiB; return 0 to go on, another number to stop.  May use the volume. */
typedef int envol_rotate_callback(void *ctx, const struct envol_rotation *rotation);

/*
 * Visits all pages that are left.  bytes_per_second (0: no bound) is how much of the volume is
 * visited in a second, at most.  callback and rotation may be NULL.  After a failure, a stop or a
 * pause it can be called again.
 * ENVOL_E_CANCELLED (the callback stopped it), ENVOL_E_STATE (paused, too, while it ran), and those
 * of envol_volume_rotate_step.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_rotate_run(struct envol_volume *volume, uint64_t bytes_per_second,
                        envol_rotate_callback *callback, void *ctx, struct envol_rotation *rotation,
                        struct envol_error *error);

/*
 * Pauses and resumes the rotation in this handle; an open volume starts resumed.  When pause
 * returns, no page is being sealed again.  Doing it twice is fine.
 * ENVOL_E_STATE (no rotation), ENVOL_E_ARGUMENT, ENVOL_E_READ_ONLY, ENVOL_E_FORKED,
 * ENVOL_E_LOCKED_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_volume_rotate_pause(struct envol_volume *volume);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_volume_rotate_resume(struct envol_volume *volume);

/*
 * Ends a rotation whose pages were all visited.  If all of them read, the older DEKs are gone
 * afterwards, and nothing under them opens; but those that the volume's log, a snapshot or a
 * catalog needs stay, which the ledger tells.  If some did not, the older DEKs stay in the header,
 * so that such a page can be repaired (from a backup, say).  A volume without pages can be finished
 * right after the begin.
 *
 * With ENVOL_ROTATE_ABANDON_BAD they go all the same, and so do those that an earlier finish kept;
 * not those that the log or a snapshot still needs.
 *
 * With ENVOL_ROTATE_KEEP_OLD the older DEKs stay although all pages read: for an engine that has
 * objects, blobs or files of its own under them.  It gives them up later with ABANDON_BAD, when the
 * ledger has no bad page; so does the finish of a later rotation without KEEP_OLD.  A header holds
 * 4 of them.
 *
 * ENVOL_E_STATE (pages are left; no rotation, and with ABANDON_BAD no DEK that may go either),
 * ENVOL_E_ARGUMENT (both flags), ENVOL_E_READ_ONLY, ENVOL_E_FORKED, ENVOL_E_KEY_REVOKED, those of
 * envol_volume_sync.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_rotate_finish(struct envol_volume *volume, uint32_t flags, struct envol_error *error);

/* Where the rotation is; readers too, as their header has it.  Needs no key, and is never long.
 * ENVOL_E_ARGUMENT, ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY. */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_volume_rotate_status(struct envol_volume *volume, struct envol_rotation *rotation);

/* --- What still needs which key --- */

/*
 * A DEK of the volume's header.  may_retire speaks of the volume's own pages alone.  Whoever seals
 * objects, blobs or files under its keyring has to know that none of them is of that epoch any
 * more: in a volume without pages, where nothing else is, it is 1 after each finish that kept the
 * DEK.
 */
struct envol_ledger_epoch {
    uint32_t epoch;
    int retained;        /* 0: the current one */
    uint64_t pages;      /* that only it opens, holes not among them */
    uint64_t holes;      /* unwritten pages sealed under it */
    int may_retire;      /* 1: nothing needs it: no page of the volume's, no log, no snapshot and no
                          * unfinished rotation; not the catalog; and every page reads */
    int log_needs;       /* 1: segments of the volume's log may be under it */
    uint32_t snapshots;  /* that may have records under it */
    int catalog_needs;   /* 1: the catalog of backups is under it, until a finish that has the space
                          */
    uint32_t raw_copies; /* known ones that may have records under it; they hold it themselves */
};

/* A slot, and so a CMK. */
struct envol_ledger_slot {
    uint32_t id;
    char provider[ENVOL_PROVIDER_NAME_MAX + 1];
    char key_ref[ENVOL_KEY_REF_MAX + 1];
    char key_version[ENVOL_KEY_VERSION_MAX + 1];
    int may_retire;   /* 1: another slot opens the volume, and no known backup needs the CMK; remove
                       * this slot first */
    uint32_t backups; /* known ones that the CMK opens, raw copies among them */
};

#define ENVOL_LEDGER_EPOCHS_MAX 5u

struct envol_ledger {
    size_t struct_size;
    uint32_t epoch_count; /* the current one first, then the newest retained one first */
    uint32_t slot_count;
    struct envol_ledger_epoch epochs[ENVOL_LEDGER_EPOCHS_MAX];
    struct envol_ledger_slot slots[ENVOL_SLOTS_MAX];
    uint64_t pages;     /* of the volume: those of the epochs, their holes, and the next two */
    uint64_t unwritten; /* sparse volumes: records of zeros, which no DEK is needed for */
    uint64_t bad;       /* that do not read */
    uint64_t first_bad; /* ENVOL_NO_PAGE if there is none */
    uint32_t backups;   /* that the volume knows of (envol_backup_list) */
    /* ENVOL_OK, or why the catalog of backups could not be read: then no CMK may be retired. */
    enum envol_status catalog;
};

/*
 * Tells which DEKs and slots the volume needs, and by how many pages.  GCM: reads and verifies
 * every page, which takes as long as envol_volume_verify; XTS: of the header alone.  Objects, blobs
 * and files that the engine keeps itself are not known to it.  What other threads write meanwhile
 * may be counted as before or after.  On failure *ledger holds zeros but for struct_size.
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_FORKED, ENVOL_E_LOCKED_MEMORY, ENVOL_E_KEY_REVOKED.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_volume_ledger(struct envol_volume *volume,
                                                                struct envol_ledger *ledger,
                                                                struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
