/* SPDX-License-Identifier: BSD-2-Clause */
/* Logs for tests: their life, records that say which they are, segments past the library. */
#include "log_fixture.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

void log_fixture_create_on(struct log_fixture *f, uint64_t segment_bytes, struct envol_store *store,
                           struct envol_space *space)
{
    *f = (struct log_fixture){.space = space, .error = ENVOL_ERROR_INIT};
    f->options.struct_size = sizeof(f->options);
    f->options.segment_bytes = segment_bytes;
    ck_assert(volume_fixture_create_on(&f->v, &volume_shapes[0], store));
    ck_ok(envol_log_create(f->v.volume, f->space, &f->options, &f->log, &f->error));
}

void log_fixture_create(struct log_fixture *f, uint64_t segment_bytes)
{
    struct envol_store *store;
    struct envol_space *space;

    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_memory_space_open(&space));
    log_fixture_create_on(f, segment_bytes, store, space);
}

void log_fixture_free(struct log_fixture *f)
{
    if (f->log != NULL)
        log_fixture_close(f);
    volume_fixture_free(&f->v);
    envol_space_close(f->space);
}

void log_fixture_open(struct log_fixture *f, enum envol_status expected)
{
    ck_status(envol_log_open(f->v.volume, f->space, &f->options, &f->log, &f->error), expected);
    ck_assert_msg(f->error.status == expected, "%s", f->error.message);
    ck_assert_int_eq(f->log == NULL, expected != ENVOL_OK);
}

void log_fixture_close(struct log_fixture *f)
{
    struct envol_log *log = f->log;

    f->log = NULL;
    ck_ok(envol_log_close(log, &f->error));
}

void log_fixture_reopen(struct log_fixture *f)
{
    log_fixture_close(f);
    log_fixture_open(f, ENVOL_OK);
}

void log_fixture_kill(struct log_fixture *f)
{
    envol_log_free(f->log);
    f->log = NULL;
}

void log_data_fill(uint64_t lsn, void *data, size_t bytes)
{
    uint8_t *out = data;
    uint64_t state = lsn * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < bytes; i++) {
        if (i % 8 == 0)
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[i] = (uint8_t)(state >> (8 * (i % 8)));
    }
}

bool log_data_is(const struct envol_log_record *record)
{
    uint8_t *expected = malloc(record->bytes + 1);
    bool same;

    ck_assert_ptr_nonnull(expected);
    log_data_fill(record->lsn, expected, record->bytes);
    same = record->bytes == 0 || memcmp(expected, record->data, record->bytes) == 0;
    free(expected);
    return same;
}

uint64_t log_put(struct log_fixture *f, size_t bytes)
{
    uint8_t *data = malloc(bytes + 1);
    uint64_t expected = log_info(f).next_lsn, lsn = 0;

    ck_assert_ptr_nonnull(data);
    log_data_fill(expected, data, bytes);
    ck_ok(envol_log_append(f->log, data, bytes, &lsn, &f->error));
    ck_assert_uint_eq(lsn, expected);
    free(data);
    return lsn;
}

void log_put_many(struct log_fixture *f, unsigned count, size_t bytes)
{
    for (unsigned i = 0; i < count; i++)
        (void)log_put(f, bytes);
}

void log_put_batch(struct log_fixture *f, unsigned count, size_t bytes)
{
    struct envol_log_entry *entries = calloc(count, sizeof(*entries));
    uint8_t *data = malloc(count * (bytes + 1));
    uint64_t next = log_info(f).next_lsn;

    ck_assert(entries != NULL && data != NULL);
    for (unsigned i = 0; i < count; i++) {
        log_data_fill(next + i, data + i * bytes, bytes);
        entries[i].data = data + i * bytes;
        entries[i].bytes = bytes;
    }
    ck_ok(envol_log_append_batch(f->log, entries, count, &f->error));
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(entries[i].lsn, next + i);
    free(entries);
    free(data);
}

void log_sync(struct log_fixture *f)
{
    ck_ok(envol_log_sync(f->log, 0, &f->error));
}

uint64_t log_read(struct log_fixture *f, uint64_t from_lsn, enum envol_status *status)
{
    struct envol_log_reader *reader;
    struct envol_log_record record;
    uint64_t last = 0;

    *status = ck_note(envol_log_reader_open(f->v.volume, f->space, from_lsn, &reader, &f->error));
    while (*status == ENVOL_OK) {
        *status = ck_note(envol_log_reader_next(reader, 0, &record, &f->error));
        if (*status != ENVOL_OK)
            break;
        ck_assert_uint_eq(record.lsn, last == 0 ? record.lsn : last + 1);
        ck_assert_uint_ge(record.lsn, from_lsn);
        ck_assert(log_data_is(&record));
        last = record.lsn;
    }
    envol_log_reader_close(reader);
    return last;
}

void log_expect(struct log_fixture *f, uint64_t from_lsn, uint64_t last)
{
    enum envol_status status;
    uint64_t got = log_read(f, from_lsn, &status);

    ck_assert_msg(status == ENVOL_E_TIMEOUT, "%s", f->error.message);
    ck_assert_uint_eq(got, last);
}

struct envol_log_info log_info(struct log_fixture *f)
{
    struct envol_log_info info = {.struct_size = sizeof(info)};

    ck_ok(envol_log_status(f->log, &info));
    return info;
}

static struct envol_store *segment(struct envol_space *space, uint64_t number, uint32_t flags)
{
    struct envol_store *store;

    ck_assert_int_eq(envol_log_segment_open(space, number, flags, &store, NULL), ENVOL_OK);
    return store;
}

uint8_t *log_segment_get(struct envol_space *space, uint64_t number, size_t *bytes)
{
    struct envol_store *store = segment(space, number, 0);
    uint64_t size;
    uint8_t *out;

    ck_assert_int_eq(envol_store_size(store, &size, NULL), ENVOL_OK);
    out = malloc((size_t)size + 1);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(envol_store_read_full(store, 0, out, (size_t)size, NULL), ENVOL_OK);
    envol_store_close(store);
    *bytes = (size_t)size;
    return out;
}

void log_segment_put(struct envol_space *space, uint64_t number, const uint8_t *bytes, size_t count)
{
    struct envol_store *store;

    log_segment_remove(space, number);
    store = segment(space, number, ENVOL_SPACE_CREATE);
    ck_assert_int_eq(envol_store_write(store, 0, bytes, count, NULL), ENVOL_OK);
    envol_store_close(store);
}

void log_segment_flip(struct envol_space *space, uint64_t number, uint64_t offset, uint8_t bits)
{
    struct envol_store *store = segment(space, number, 0);
    uint8_t byte;

    ck_assert_int_eq(envol_store_read_full(store, offset, &byte, 1, NULL), ENVOL_OK);
    byte ^= bits;
    ck_assert_int_eq(envol_store_write(store, offset, &byte, 1, NULL), ENVOL_OK);
    envol_store_close(store);
}

void log_segment_remove(struct envol_space *space, uint64_t number)
{
    ck_assert_int_eq(envol_log_segment_remove(space, number, NULL), ENVOL_OK);
}
