/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A log that is open for writing, inside.
 *
 * Order is reserved under `lock`: index, LSN and offset.  Sealing and writing go on outside of it,
 * by any number of threads, and end in any order.  A sync waits for the writes that were reserved
 * before it; one thread, the leader, syncs for all that wait.
 *
 * `admin` is held by whoever changes runs or segments, truncates, closes: it does I/O, on the
 * volume's header too.  Order: admin, then the volume's access and growth, or lock; lock is never
 * held while the volume or the space is called.  The keyring's keys are held only between a
 * reservation and the end of its sealing, and nothing is waited for meanwhile.
 */
#ifndef ENVOL_LOG_LOG_H
#define ENVOL_LOG_LOG_H

#include "log/cursor.h"
#include "page/log_run.h"
#include "volume/volume.h"

#include <envol/log.h>
#include <pthread.h>
#include <stdatomic.h>

/* Buffers that wait for their next append, how long each is at least, and at most to be kept. */
#define ENVOL_LOG_BUFFERS          8u
#define ENVOL_LOG_BUFFER_BYTES_MIN 32768u
#define ENVOL_LOG_BUFFER_BYTES_MAX 1048576u

struct envol_log_buffer {
    size_t room;
    _Alignas(64) uint8_t bytes[];
};

/* An append between its reservation and the end of its write; on its caller's stack. */
struct envol_log_write {
    struct envol_log_write *next, *previous;
    uint64_t ticket;
};

struct envol_log {
    struct envol_volume *volume;
    struct envol_space *space;
    const struct envol_keyring *keyring;
    uint64_t generation; /* of the process that opened it */
    uint64_t segment_bytes;
    uint64_t run_records; /* a run ends at that many; tests make it fewer */
    uint32_t unsynced_bytes;
    uint32_t recycle;
    bool has_locks;

    pthread_mutex_t admin;
    struct envol_log_seal seal; /* what the header says; admin */
    uint64_t spares;            /* how many segments behind the newest wait to be used; admin */

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    pthread_cond_t gathered;  /* for a leader that waits for company */
    enum envol_status failed; /* for good */
    int failed_errno;
    /* Nobody reserves or syncs: whoever changes the run owns what follows without the lock. */
    bool switching;
    bool syncing;              /* there is a leader */
    unsigned patient;          /* threads that wait for a write to end */
    unsigned waiting, crowd;   /* came for a sync since the last one; before that one's end */
    uint64_t syncs;            /* that ended */
    uint64_t sync_ns;          /* how long a sync takes, about */
    struct envol_store *store; /* changes while switching, as segment and run do */
    uint64_t segment;
    struct envol_log_run *run;
    uint64_t run_no;
    uint32_t epoch;
    bool ended; /* the segment has its last record */
    bool stray; /* the header of a run that was not entered may lie behind the end */
    /* The end of what was reserved, */
    uint64_t offset, next_lsn, ticket;
    uint32_t index;
    struct envol_log_write *oldest, *youngest; /* in flight, by ticket */
    /* of what was written, where the last record's tag is known, */
    uint32_t tag_index;
    uint8_t tag[ENVOL_LOG_TAG_BYTES];
    /* and of what is durable. */
    uint64_t durable_offset, durable_lsn;
    uint32_t durable;
    _Atomic(struct envol_log_buffer *) buffers[ENVOL_LOG_BUFFERS];
};

/* open.c */
/* Claims the volume's log for the caller.  ENVOL_E_BUSY. */
enum envol_status envol_log_claim(struct envol_volume *volume, const struct envol_space *space,
                                  struct envol_error *error);
void envol_log_unclaim(struct envol_volume *volume);
/* A handle without a run, the volume's claim taken with it. */
enum envol_status envol_log_make(struct envol_volume *volume, struct envol_space *space,
                                 const struct envol_log_options *options, struct envol_log **log,
                                 struct envol_error *error);
/* Gives everything back; writes nothing. */
void envol_log_free(struct envol_log *log);
/* ENVOL_E_FORKED, ENVOL_E_ARGUMENT. */
enum envol_status envol_log_check(const struct envol_log *log, struct envol_error *error);

/* segments.c */
/* What lies in a space. */
struct envol_log_segments {
    uint64_t *numbers; /* ascending */
    size_t count, room;
};
enum envol_status envol_log_list(struct envol_space *space, struct envol_log_segments *segments,
                                 struct envol_error *error);
void envol_log_segments_free(struct envol_log_segments *segments);
bool envol_log_segments_have(const struct envol_log_segments *segments, uint64_t number);
enum envol_status envol_log_segment_open(struct envol_space *space, uint64_t number, uint32_t flags,
                                         struct envol_store **store, struct envol_error *error);
enum envol_status envol_log_segment_remove(struct envol_space *space, uint64_t number,
                                           struct envol_error *error);
/* The segment behind the newest: one that waits to be used, or a new one, which then waits. */
enum envol_status envol_log_segment_next(struct envol_log *log, struct envol_store **store,
                                         struct envol_error *error);

/* recover.c */
/* Finds the log's end, which afterwards is on stable storage, and places the handle there. */
enum envol_status envol_log_recover(struct envol_log *log, struct envol_error *error);

/* run.c: admin is held, nothing is in flight */
/* Makes what is in the newest segment durable, and that nothing stray lies behind it. */
enum envol_status envol_log_flush(struct envol_log *log, struct envol_error *error);
/* Begins a run in the segment, behind what is there. */
enum envol_status envol_log_begin_run(struct envol_log *log, struct envol_error *error);
/* Begins the next segment, and its run. */
enum envol_status envol_log_begin_segment(struct envol_log *log, struct envol_error *error);
/* Writes a run's header at the start of a store, which must be synced then. */
enum envol_status envol_log_write_run(struct envol_log *log, struct envol_store *store,
                                      uint64_t offset, struct envol_log_run **run,
                                      uint8_t tag[ENVOL_LOG_TAG_BYTES], struct envol_error *error);

/* state.c: lock is held, and given up while they wait */
/* What every call answers, once the log failed. */
enum envol_status envol_log_failure(const struct envol_log *log, struct envol_error *error);
/* Notes a failure for good, unless it is one of keys or memory that harmed nothing. */
void envol_log_note(struct envol_log *log, enum envol_status status,
                    const struct envol_error *error);
/* A failure behind which the log cannot go on, whatever it is. */
enum envol_status envol_log_harm(enum envol_status status, struct envol_error *error);
/* Lets nobody reserve or sync, and waits for those who do. */
void envol_log_stop(struct envol_log *log);
void envol_log_go(struct envol_log *log);
void envol_log_wait(struct envol_log *log);
/* Goes over to a new run or segment.  Takes admin. */
enum envol_status envol_log_change(struct envol_log *log, bool segment, struct envol_error *error);

/* sync.c: lock is held, and given up while it waits or syncs */
enum envol_status envol_log_sync_to(struct envol_log *log, uint64_t lsn, struct envol_error *error);

#endif
