/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rotation of a volume, piece by piece.  Under GCM every record names its epoch, and a sweep
 * seals those of older ones again.  Under XTS pages before `next` are of the new epoch and the
 * others of the old one, and a journal beyond the end of the pages says what a run is to become
 * while it is neither (envol(5), ROTATION).
 *
 * Order of locks: the volume's turn, sweep.turn, access, hot, growth.
 */
#ifndef ENVOL_VOLUME_ROTATION_H
#define ENVOL_VOLUME_ROTATION_H

#include "header/header.h"
#include "volume/keys.h"
#include "volume/volume.h"
#include "volume/wait.h"

#include <envol/rotate.h>

/* sweep.next when all pages were visited: those to come are of the new epoch. */
#define ENVOL_SWEEP_DONE UINT64_MAX
/* Pages that an XTS sweep moves at a time, and what run does between two callbacks. */
#define ENVOL_SWEEP_BYTES (4u << 20)

/* rotate_keys.c: the provider's part of a beginning */
struct envol_rotation_draft {
    struct envol_key_call call;
    bool may_drop;
    struct envol_header *header;       /* of the new epoch: context, and slots as they are made */
    uint8_t *dek;                      /* in the arena */
    struct envol_wrapped_dek *wrapped; /* for a provider's answer */
    uint32_t old_count;                /* the slots that are wrapped anew, copied */
    struct envol_slot *old[ENVOL_SLOTS_MAX];
    const struct envol_provider *providers[ENVOL_SLOTS_MAX]; /* who wrapped header's slots */
};
/* Wraps a new DEK for every old slot, or as many as can be, under the same ids. */
enum envol_status envol_rotation_wrap(struct envol_rotation_draft *draft,
                                      struct envol_error *error);

/* rotate_state.c */
/* Whether the header names a rotation, and one of an XTS volume's own pages. */
bool envol_rotation_is_on(const struct envol_volume *volume);
bool envol_rotation_is_xts(const struct envol_volume *volume);
/* Takes what the header says of it, when the volume is opened or has another header; access alone.
 * ENVOL_E_STATE: a reader, and a run is half-way between two epochs. */
enum envol_status envol_rotation_measure(struct envol_volume *volume, struct envol_error *error);
/* Tells the header of pages that are on stable storage; whether that is news.  Growth, or access
 * alone. */
bool envol_rotation_note_end(struct envol_volume *volume, uint64_t pages);
/*
 * Before anything is written or cut beyond the last page, where the journal of a run that is
 * half-way lies: a header whose update failed is written first, as the one on disk may name such a
 * run.  ENVOL_E_IO: there is one, and its step has to be repeated.  Growth, or access alone.
 */
enum envol_status envol_rotation_clear_end(struct envol_volume *volume, struct envol_error *error);
/* Tells it that pages are cut off, before they are; those that come in their place are of the epoch
 * of their place. */
void envol_rotation_cut(struct envol_volume *volume, uint64_t pages);
/* Tells the header how far the sweep came, once that is on stable storage; whether that is news. */
bool envol_rotation_note_sweep(struct envol_volume *volume);
/* Where it is; takes growth. */
void envol_rotation_show(struct envol_volume *volume, struct envol_rotation *rotation);
/* Syncs, and tells the header how far the sweep came.  Access. */
enum envol_status envol_rotation_save(struct envol_volume *volume, uint64_t next,
                                      struct envol_error *error);
/* The locks of its beginning and its end: nobody checks the lease, sweeps or does page I/O.
 * ENVOL_E_TIMEOUT, ENVOL_E_CANCELLED: checks and sweeps are waited for no longer. */
enum envol_status envol_rotation_lock(struct envol_volume *volume,
                                      const struct envol_patience *patience,
                                      struct envol_error *error);
void envol_rotation_unlock(struct envol_volume *volume);
/* Counts a page that does not read. */
void envol_rotation_note_bad(struct envol_volume *volume, uint64_t page_no);

/* sweep_gcm.c, sweep_xts.c: the next pages, at most max; *visited.  sweep.turn and access. */
enum envol_status envol_sweep_gcm(struct envol_volume *volume, struct envol_volume_lane *lane,
                                  uint64_t max, uint64_t *visited, struct envol_error *error);
enum envol_status envol_sweep_xts(struct envol_volume *volume, struct envol_volume_lane *lane,
                                  uint64_t max, uint64_t *visited, struct envol_error *error);
/* A writer's at open: completes the run that a crash left half-way.  ENVOL_E_CORRUPT: the journal
 * is not what the header committed to; nothing was changed. */
enum envol_status envol_sweep_redo(struct envol_volume *volume, struct envol_error *error);
/* Buffers of a step, aligned for the store; NULL: no memory. */
uint8_t *envol_sweep_memory(struct envol_volume *volume, size_t bytes);
/* XTS: the readers' lock, exclusively until the rotation or the volume ends.  ENVOL_E_BUSY. */
enum envol_status envol_sweep_lock_readers(struct envol_volume *volume, struct envol_error *error);
void envol_sweep_unlock_readers(struct envol_volume *volume);
/* Opens what seals pages under the new epoch.  Access alone, or nobody else yet. */
enum envol_status envol_sweep_open_object(struct envol_volume *volume);

/* beside.c: page I/O beside a sweep */
/* Keeps a sweep from n pages until envol_volume_depart; n may go beyond the end.  ENVOL_E_IO: a
 * step failed half-way there, and has to be repeated. */
enum envol_status envol_volume_visit(struct envol_volume *volume, struct envol_hot_guest *guest,
                                     uint64_t first, uint64_t n);
/* The same to read: a sweep that writes them meanwhile has a copy for envol_volume_fetch. */
enum envol_status envol_volume_visit_to_read(struct envol_volume *volume,
                                             struct envol_hot_guest *guest, uint64_t first,
                                             uint64_t n);
void envol_volume_depart(struct envol_volume *volume, struct envol_hot_guest *guest);
/* Reads the records of n pages that a reader visits; *got bytes were there. */
enum envol_status envol_volume_fetch(struct envol_volume *volume,
                                     const struct envol_hot_guest *guest, uint64_t first, size_t n,
                                     uint8_t *records, size_t *got, struct envol_error *error);
/* Seals consecutive pages under the epoch that each is of.  They are visited. */
enum envol_status envol_volume_seal(struct envol_volume *volume, struct envol_lane *lane,
                                    struct envol_page_op *ops, size_t n);
/* Unseals what the guest fetched. */
enum envol_status envol_volume_unseal(struct envol_volume *volume,
                                      const struct envol_hot_guest *guest, struct envol_lane *lane,
                                      struct envol_page_op *ops, size_t n);

#endif
