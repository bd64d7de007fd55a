/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a log: batch after batch of a run, from run to run, from segment to segment.  Serves the
 * reader, and the writer's search for the end.
 *
 * A run is at its end where no further batch reads.  What follows it begins at the next multiple of
 * 4096 of its segment, or at the start of the next segment, and names the last tag of the run that
 * it follows, so that no record can be missing between the two.
 */
#ifndef ENVOL_LOG_CURSOR_H
#define ENVOL_LOG_CURSOR_H

#include "page/keyring.h"
#include "store/space.h"
#include "store/store.h"

#include <envol/log.h>
#include <stdbool.h>

/* Runs begin at multiples of it in a segment. */
#define ENVOL_LOG_RUN_ALIGN 4096u

/* "log-0000000000000001" */
#define ENVOL_LOG_NAME_BYTES 21u
void envol_log_name(uint64_t segment, char name[ENVOL_LOG_NAME_BYTES]);
/* 0: the name is not that of a segment. */
uint64_t envol_log_number(const char *name);
/* Where a run may begin at or behind an offset. */
uint64_t envol_log_run_place(uint64_t offset);

/* Behind a whole batch, or a run's header. */
struct envol_log_place {
    uint64_t offset;
    uint64_t next_lsn; /* no record behind it has a lower one */
    uint32_t index;    /* of the next record */
    uint32_t durable;  /* the most that a record of the run said was durable */
    uint8_t tag[ENVOL_LOG_TAG_BYTES];
    bool ended; /* nothing follows in this segment */
};

struct envol_log_cursor {
    const struct envol_keyring *keyring;
    uint8_t log_id[ENVOL_LOG_ID_BYTES];
    bool has_id;
    struct envol_store *store; /* the segment's; owned */
    uint64_t segment;
    struct envol_log_run *run;
    uint64_t run_no, run_offset, start_lsn;
    uint32_t epoch;
    struct envol_log_place at;  /* behind the last whole batch */
    struct envol_log_place bad; /* the record that did not read */
    /* Sealed bytes as they were read, from window_offset on. */
    uint8_t *window;
    size_t window_room, window_bytes;
    uint64_t window_offset;
    /* The last batch. */
    uint8_t *plain;
    size_t plain_room, plain_bytes;
    struct envol_log_record *records; /* data: set when the batch is whole */
    size_t *starts;                   /* of each one's data in plain */
    size_t record_room, record_count;
};

/* Frees what the cursor owns. */
void envol_log_cursor_end(struct envol_log_cursor *cursor);
/* What was read ahead may have been written over since. */
void envol_log_cursor_forget(struct envol_log_cursor *cursor);

/*
 * Goes to the first run of a segment, which may be of any number; the store is taken, even on
 * failure.  ENVOL_E_UNWRITTEN: there is no run of this log.  ENVOL_E_CORRUPT, ENVOL_E_STALE, ...
 */
enum envol_status envol_log_cursor_begin(struct envol_log_cursor *cursor, uint64_t segment,
                                         struct envol_store *store, struct envol_error *error);
/*
 * Reads the next whole batch of the run: records[0..record_count), fillers left out.
 * ENVOL_E_UNWRITTEN: there is none, and `bad` is where it stopped to be one.
 */
enum envol_status envol_log_cursor_batch(struct envol_log_cursor *cursor,
                                         struct envol_error *error);
/*
 * Goes to the run that follows this one in its segment, or (_segment) at the start of a store that
 * is the next segment; that is taken on success only.  ENVOL_E_UNWRITTEN: there is none;
 * ENVOL_E_CORRUPT: there is one that is not what should follow.
 */
enum envol_status envol_log_cursor_next_run(struct envol_log_cursor *cursor,
                                            struct envol_error *error);
enum envol_status envol_log_cursor_next_segment(struct envol_log_cursor *cursor,
                                                struct envol_store *store,
                                                struct envol_error *error);
/*
 * While no record of the run was read: if the segment, opened again, has it begun anew, goes over
 * to that.  Whether it did.  The store is taken in any case.
 */
bool envol_log_cursor_renew(struct envol_log_cursor *cursor, struct envol_store *store);
/* Where record `index` of the run begins: one before `at`. */
enum envol_status envol_log_cursor_find(struct envol_log_cursor *cursor, uint32_t index,
                                        uint64_t *offset, struct envol_error *error);
/*
 * After a batch that did not read: is there a later record of the run that was sealed when the bad
 * one was durable?  ENVOL_E_CORRUPT: yes; ENVOL_OK: no, so it may be a torn end.
 */
enum envol_status envol_log_cursor_search(struct envol_log_cursor *cursor,
                                          struct envol_error *error);

#endif
