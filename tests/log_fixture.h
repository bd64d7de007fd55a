/* SPDX-License-Identifier: BSD-2-Clause */
/* A log beside a volume of a fake CMK, with records whose contents their LSNs decide. */
#ifndef ENVOL_TESTS_LOG_FIXTURE_H
#define ENVOL_TESTS_LOG_FIXTURE_H

#include "log/log.h"
#include "volume_fixture.h"

struct log_fixture {
    struct volume_fixture v;
    struct envol_space *space;
    struct envol_log_options options;
    struct envol_log *log;
    struct envol_error error;
};

/* A volume in memory and its new log, in a space in memory.  Small segments if asked for. */
void log_fixture_create(struct log_fixture *f, uint64_t segment_bytes);
/* The same on a store and in a space that the caller opened. */
void log_fixture_create_on(struct log_fixture *f, uint64_t segment_bytes, struct envol_store *store,
                           struct envol_space *space);
void log_fixture_free(struct log_fixture *f);
void log_fixture_open(struct log_fixture *f, enum envol_status expected);
void log_fixture_close(struct log_fixture *f);
void log_fixture_reopen(struct log_fixture *f);
/* The writer is gone: nothing more is written.  The volume stays. */
void log_fixture_kill(struct log_fixture *f);

/* The bytes of a record, and a check of them. */
void log_data_fill(uint64_t lsn, void *data, size_t bytes);
bool log_data_is(const struct envol_log_record *record);

/* Appends a record of so many bytes; its LSN. */
uint64_t log_put(struct log_fixture *f, size_t bytes);
void log_put_many(struct log_fixture *f, unsigned count, size_t bytes);
/* One batch of so many. */
void log_put_batch(struct log_fixture *f, unsigned count, size_t bytes);
void log_sync(struct log_fixture *f);

/* All that reads from an LSN on: they must be sound, and ascend one by one.  The last one's LSN;
 * 0: there was none.  *status: how it ended, ENVOL_E_TIMEOUT or not. */
uint64_t log_read(struct log_fixture *f, uint64_t from_lsn, enum envol_status *status);
/* From from_lsn to exactly last. */
void log_expect(struct log_fixture *f, uint64_t from_lsn, uint64_t last);

struct envol_log_info log_info(struct log_fixture *f);

/* A segment's bytes, past the library.  The caller frees them. */
uint8_t *log_segment_get(struct envol_space *space, uint64_t segment, size_t *bytes);
/* Exactly these, the segment made if it is not there. */
void log_segment_put(struct envol_space *space, uint64_t segment, const uint8_t *bytes,
                     size_t count);
/* Flips bits of one byte. */
void log_segment_flip(struct envol_space *space, uint64_t segment, uint64_t offset, uint8_t bits);
void log_segment_remove(struct envol_space *space, uint64_t segment);

#endif
