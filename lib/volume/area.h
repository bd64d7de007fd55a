/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The double-write area of a volume with atomic pages (envol(5), ATOMIC PAGES): records that are to
 * replace others are written and synced there first, so that a crash that tears one leaves a whole
 * copy of it.
 *
 * Slots are filled one at a time, in the order of their sequence numbers, round and round.  So the
 * whole slots on disk always follow one another, the newest copy of a page among them is its newest
 * content, and a slot that is lost or torn while it is filled takes nothing with it but what was
 * not promised yet.  Threads share slots: what comes while one is being filled goes together into
 * the next one, under a single sync; all write home side by side.
 */
#ifndef ENVOL_VOLUME_AREA_H
#define ENVOL_VOLUME_AREA_H

#include "header/layout.h"
#include "volume/volume.h"

/* Sequence numbers end here; nobody writes so many slots. */
#define ENVOL_AREA_SEQUENCE_MAX (UINT64_C(1) << 62)
#define ENVOL_AREA_EXTENTS_MAX  ENVOL_AREA_RUN_MAX

enum envol_area_kind {
    ENVOL_AREA_RECORDS = 1, /* records of the extents follow */
    ENVOL_AREA_ZEROS = 2,   /* sparse: the one extent is to read as zeros */
    ENVOL_AREA_MARK = 3     /* no slot that is older counts */
};

/* Consecutive pages. */
struct envol_extent {
    uint64_t first, count;
};

/* A slot's head in memory, and where its pages are on their way home. */
struct envol_area_slot {
    uint64_t sequence; /* 0: not whole */
    enum envol_area_kind kind;
    uint32_t extents;
    struct envol_extent extent[ENVOL_AREA_EXTENTS_MAX];
    uint32_t homeward; /* threads that write its pages home */
    uint64_t home_at;  /* syncs that had begun when the last of them was done */
    bool owed;         /* one of them failed */
};

struct envol_area_request;

struct envol_area {
    pthread_mutex_t lock;
    pthread_cond_t change;
    uint64_t slot_bytes;
    uint32_t slots, records; /* how many, and how many records each holds at most */
    uint64_t sequence;       /* the last one that was used */
    uint32_t next;           /* the slot that is filled next: the oldest */
    bool busy;               /* a thread has the slots, and the head, to itself */
    bool dirty;              /* a slot may count: no mark is the newest */
    bool stray;              /* filling the next slot failed: what is there is not known */
    _Atomic bool due;        /* stray, or a slot is owed */
    uint64_t syncs_begun, syncs_done;
    struct envol_area_request *queue;
    uint8_t *head; /* ENVOL_AREA_HEAD_BYTES on their way to the store */
    struct envol_area_slot slot[];
};

/* area.c */
/* Sets volume->area for a writer of a volume with atomic pages.  ENVOL_E_NO_MEMORY. */
enum envol_status envol_area_open(struct envol_volume *volume);
/* own: this process opened it.  NULL is ignored. */
void envol_area_free(struct envol_area *area, bool own);
uint64_t envol_area_offset(const struct envol_area *area, uint32_t slot);
/* Bytes of the records of a slot. */
size_t envol_area_bytes(const struct envol_volume *volume, const struct envol_area_slot *slot);
/* Fills area->head, but for the checksum; answers the checksum so far. */
uint32_t envol_area_encode(const struct envol_volume *volume, const struct envol_area_slot *slot);
void envol_area_seal_head(struct envol_area *area, uint32_t crc);
/* False, and a sequence of 0: no head, or a malformed one.  The checksum is not looked at. */
bool envol_area_decode(const struct envol_volume *volume, const uint8_t *head,
                       struct envol_area_slot *slot);
/* Of a head and the records behind it. */
bool envol_area_is_whole(const uint8_t *slot, size_t records_bytes);
bool envol_area_overlaps(const struct envol_area_slot *slot, const struct envol_extent *extent);
/* Space for a slot as it is on the store, or NULL; envol_free. */
uint8_t *envol_area_buffer(const struct envol_area *area);

/* area_write.c */
/* Writes n records over those of pages that exist, at most volume->run.  In a forked child this and
 * the next answer ENVOL_E_FORKED. */
enum envol_status envol_area_write(struct envol_volume *volume, const uint8_t *records,
                                   uint64_t first, uint64_t n, struct envol_error *error);
/* envol_volume_discard, redone after a crash. */
enum envol_status envol_area_discard(struct envol_volume *volume, struct envol_volume_lane *lane,
                                     uint64_t first, uint64_t count, struct envol_error *error);
/* Repeats what failed on the way home, from the area, and makes harmless what failed before. */
enum envol_status envol_area_settle(struct envol_volume *volume, struct envol_error *error);
/*
 * Makes what is in the area harmless, for pages that are going to be changed without it: until the
 * next envol_area_write nothing is replayed.  What was written home is synced.  Costs nothing where
 * nothing was written since the last time.
 */
enum envol_status envol_area_retire(struct envol_volume *volume, struct envol_error *error);

/* area_replay.c */
/* A writer's at open, before anything else looks at pages. */
enum envol_status envol_area_replay(struct envol_volume *volume, struct envol_error *error);

#endif
