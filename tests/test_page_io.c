/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing pages: batches, what each kind of damage answers, and what it leaves. */
#include "base/memory.h"
#include "support.h"
#include "volume_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Any pages, any buffers --- */

enum { MODEL_PAGES = 300, BATCH_MAX = 150 };

/* What a volume should hold: 0 is a page that was never written. */
struct model {
    unsigned version[MODEL_PAGES];
    uint64_t pages;
};

struct batch {
    struct envol_page_io ios[BATCH_MAX];
    uint8_t *memory;
    size_t count;
};

/* Buffers at odd addresses, in no order. */
static void batch_fill(struct batch *b, const struct volume_fixture *f, size_t count,
                       uint64_t range)
{
    uint64_t page_no = test_random() % range;

    b->count = count;
    b->memory = calloc(count, f->page_bytes + 1);
    ck_assert_ptr_nonnull(b->memory);
    for (size_t i = 0; i < count; i++) {
        page_no = test_random() % 4 == 0 ? test_random() % range : (page_no + 1) % range;
        b->ios[i] = (struct envol_page_io){
            .page_no = page_no,
            .page = b->memory + (i * 7 % count) * (f->page_bytes + 1) + 1,
            .status = (enum envol_status)99,
        };
    }
    for (size_t i = 0; count % 7 == 0 && i < count; i++)
        b->ios[i].page = b->memory + i * (f->page_bytes + 1);
}

static void model_write(struct model *m, const struct batch *b, unsigned version)
{
    for (size_t i = 0; i < b->count; i++) {
        m->version[b->ios[i].page_no] = version;
        if (b->ios[i].page_no >= m->pages)
            m->pages = b->ios[i].page_no + 1;
    }
}

/* Under XTS a page that was never written holds zeros, unless the volume is sparse. */
static enum envol_status model_status(const struct volume_fixture *f, const struct model *m,
                                      uint64_t page_no)
{
    if (page_no >= m->pages)
        return ENVOL_E_RANGE;
    if (m->version[page_no] != 0 || (!f->gcm && !f->shape->sparse))
        return ENVOL_OK;
    return ENVOL_E_UNWRITTEN;
}

static void expect_page(const struct volume_fixture *f, const struct model *m,
                        const struct envol_page_io *io)
{
    ck_assert_int_eq(io->status, model_status(f, m, io->page_no));
    if (io->status != ENVOL_OK || m->version[io->page_no] == 0) {
        ck_assert(envol_is_zero(io->page, f->page_bytes));
        return;
    }
    volume_page_fill(f, io->page_no, m->version[io->page_no], f->other);
    ck_assert_mem_eq(io->page, f->other, f->page_bytes);
}

static void check_batch(struct volume_fixture *f, const struct model *m, struct batch *b)
{
    enum envol_status status, expected = ENVOL_OK;
    uint64_t first = ENVOL_NO_PAGE;

    memset(b->memory, 0xee, b->count * (f->page_bytes + 1));
    status = ck_note(envol_page_read_batch(f->volume, b->ios, b->count, &f->error));
    for (size_t i = b->count; i > 0; i--) {
        expect_page(f, m, &b->ios[i - 1]);
        enum envol_status now = b->ios[i - 1].status;
        bool worse_follows = expected != ENVOL_OK && expected != ENVOL_E_UNWRITTEN;

        if (now != ENVOL_OK && !(now == ENVOL_E_UNWRITTEN && worse_follows)) {
            expected = now;
            first = b->ios[i - 1].page_no;
        }
    }
    ck_assert_int_eq(status, expected);
    ck_assert_int_eq(f->error.status, expected);
    ck_assert_uint_eq(f->error.page_no, first);
}

START_TEST(batches_equal_a_model)
{
    struct volume_fixture f;
    struct model m = {.pages = 0};
    struct batch b;
    uint64_t range;
    size_t count_max;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    range = f.page_bytes > 65536 ? 12 : MODEL_PAGES;
    count_max = f.page_bytes > 65536 ? 6 : BATCH_MAX;
    for (unsigned round = 1; round <= 24; round++) {
        batch_fill(&b, &f, 1 + test_random() % count_max, 1 + (range - 1) * round / 24);
        for (size_t i = 0; i < b.count; i++)
            volume_page_fill(&f, b.ios[i].page_no, round, b.ios[i].page);
        ck_ok(envol_page_write_batch(f.volume, b.ios, b.count, &f.error));
        for (size_t i = 0; i < b.count; i++)
            ck_assert_int_eq(b.ios[i].status, ENVOL_OK);
        free(b.memory);
        model_write(&m, &b, round);
        ck_assert_uint_eq(envol_volume_pages(f.volume), m.pages);
        if (round % 6 == 0)
            volume_fixture_reopen(&f);
        batch_fill(&b, &f, 1 + test_random() % count_max, range);
        check_batch(&f, &m, &b);
        free(b.memory);
    }
    ck_ok(envol_page_read_batch(f.volume, NULL, 0, NULL));
    ck_ok(envol_page_write_batch(f.volume, b.ios, 0, &f.error));
    volume_fixture_free(&f);
}
END_TEST

/* Consecutive pages travel together. */
START_TEST(runs_are_one_transfer)
{
    struct volume_fixture f;
    struct batch b;
    unsigned writes, reads;

    if (!volume_fixture_create(&f, &volume_shapes[2]))
        return;
    volume_page_put(&f, 99, 1);
    batch_fill(&b, &f, 16, 1);
    for (size_t i = 0; i < 16; i++)
        b.ios[i].page_no = 10 + i;
    writes = watched_calls(f.watched, WATCHED_WRITE);
    ck_ok(envol_page_write_batch(f.volume, b.ios, 16, NULL));
    ck_assert_uint_eq(watched_calls(f.watched, WATCHED_WRITE), writes + 1);
    reads = watched_calls(f.watched, WATCHED_READ);
    ck_ok(envol_page_read_batch(f.volume, b.ios, 16, NULL));
    ck_assert_uint_eq(watched_calls(f.watched, WATCHED_READ), reads + 1);
    free(b.memory);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(one_bad_page_alone)
{
    struct volume_fixture f;
    struct batch b;
    uint8_t byte;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    for (uint64_t i = 0; i < 9; i++)
        volume_page_put(&f, i, 1);
    volume_store_get(f.store, volume_record_at(&f, 4) + 100, &byte, 1);
    byte ^= 1;
    volume_store_put(f.store, volume_record_at(&f, 4) + 100, &byte, 1);
    batch_fill(&b, &f, 12, 1);
    memset(b.memory, 0xee, b.count * (f.page_bytes + 1));
    for (size_t i = 0; i < 12; i++)
        b.ios[i].page_no = i;
    b.ios[10].page_no = 2;
    b.ios[10].page = NULL;
    ck_status(envol_page_read_batch(f.volume, b.ios, 12, &f.error), ENVOL_E_CORRUPT);
    ck_assert_uint_eq(f.error.page_no, 4);
    for (size_t i = 0; i < 12; i++) {
        enum envol_status expected = i == 4    ? ENVOL_E_CORRUPT
                                     : i == 10 ? ENVOL_E_ARGUMENT
                                     : i >= 9  ? ENVOL_E_RANGE
                                               : ENVOL_OK;
        ck_assert_int_eq(b.ios[i].status, expected);
        if (i == 10)
            continue;
        if (expected != ENVOL_OK) {
            ck_assert(envol_is_zero(b.ios[i].page, f.page_bytes));
            continue;
        }
        volume_page_fill(&f, i, 1, f.page);
        ck_assert_mem_eq(b.ios[i].page, f.page, f.page_bytes);
    }
    free(b.memory);
    volume_fixture_free(&f);
}
END_TEST

/* Holes before it, in its run and apart, hide nothing; where there are only those, they are told.
 */
START_TEST(unwritten_pages_hide_no_bad_one)
{
    static const uint64_t pages[] = {8, 2, 3, 4, 5, 9, 0};
    struct volume_fixture f;
    struct batch b;
    uint8_t byte;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    volume_page_put(&f, 4, 1);
    volume_page_put(&f, 10, 1);
    batch_fill(&b, &f, 7, 1);
    for (size_t i = 0; i < 7; i++)
        b.ios[i].page_no = pages[i];
    ck_status(envol_page_read_batch(f.volume, b.ios, 7, &f.error), ENVOL_E_UNWRITTEN);
    ck_assert_uint_eq(f.error.page_no, 8);
    volume_store_get(f.store, volume_record_at(&f, 4) + 100, &byte, 1);
    byte ^= 1;
    volume_store_put(f.store, volume_record_at(&f, 4) + 100, &byte, 1);
    ck_status(envol_page_read_batch(f.volume, b.ios, 7, &f.error), ENVOL_E_CORRUPT);
    ck_assert_int_eq(f.error.status, ENVOL_E_CORRUPT);
    ck_assert_uint_eq(f.error.page_no, 4);
    ck_assert_int_eq(b.ios[0].status, ENVOL_E_UNWRITTEN);
    ck_assert_int_eq(b.ios[3].status, ENVOL_E_CORRUPT);
    ck_assert_int_eq(b.ios[6].status, ENVOL_OK);
    watched_fail(f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    ck_status(envol_page_read_batch(f.volume, b.ios + 5, 2, &f.error), ENVOL_E_IO);
    ck_assert_uint_eq(f.error.page_no, 9);
    free(b.memory);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(a_refused_page_of_a_write_stops_no_other)
{
    struct volume_fixture f;
    struct batch b;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    batch_fill(&b, &f, 4, 1);
    for (size_t i = 0; i < 4; i++) {
        b.ios[i].page_no = i;
        volume_page_fill(&f, i, 5, b.ios[i].page);
    }
    b.ios[1].page = NULL;
    b.ios[2].page_no = f.volume->page_max;
    ck_status(envol_page_write_batch(f.volume, b.ios, 4, &f.error), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(f.error.page_no, 1);
    ck_assert_int_eq(b.ios[2].status, ENVOL_E_RANGE);
    volume_page_expect(&f, 0, 5);
    volume_page_expect(&f, 3, 5);
    free(b.memory);
    volume_fixture_free(&f);
}
END_TEST

/* --- Numbers and pointers --- */

START_TEST(page_numbers_at_the_bounds)
{
    struct volume_fixture f;
    uint64_t numbers[] = {1, 2, 0, UINT64_C(1) << 62, UINT64_C(1) << 63, UINT64_MAX};
    uint64_t max;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    max = f.volume->page_max;
    numbers[2] = max;
    ck_assert_uint_lt(ENVOL_HEADER_BYTES + max * f.stride_bytes, UINT64_C(1) << 63);
    ck_assert_uint_ge(ENVOL_HEADER_BYTES + (max + 1) * f.stride_bytes, UINT64_C(1) << 63);
    volume_page_put(&f, 0, 1);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        volume_page_expect_status(&f, numbers[i], ENVOL_E_RANGE);
        ck_status(envol_page_trim(f.volume, numbers[i], 1), ENVOL_E_RANGE);
        ck_status(envol_page_trim(f.volume, 0, numbers[i] + (numbers[i] < 2)), ENVOL_E_RANGE);
        if (numbers[i] >= max)
            ck_status(envol_page_write(f.volume, numbers[i], f.page), ENVOL_E_RANGE);
    }
    ck_status(envol_volume_truncate(f.volume, max + 1, &f.error), ENVOL_E_RANGE);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 1);
    volume_page_expect(&f, 0, 1);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(null_pointers)
{
    struct volume_fixture f;
    struct envol_page_io io = {.page_no = 0};

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    ck_status(envol_page_read(f.volume, 0, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_page_write(f.volume, 0, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_page_read(NULL, 0, f.page), ENVOL_E_ARGUMENT);
    ck_status(envol_page_write(NULL, 0, f.page), ENVOL_E_ARGUMENT);
    ck_status(envol_page_read_batch(f.volume, NULL, 1, &f.error), ENVOL_E_ARGUMENT);
    ck_status(envol_page_write_batch(f.volume, NULL, 1, &f.error), ENVOL_E_ARGUMENT);
    ck_status(envol_page_read_batch(NULL, &io, 1, &f.error), ENVOL_E_ARGUMENT);
    ck_status(envol_page_write_batch(NULL, &io, 1, &f.error), ENVOL_E_ARGUMENT);
    ck_status(envol_page_trim(NULL, 0, 0), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_sync(NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_truncate(NULL, 0, &f.error), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_refresh(NULL, &f.error), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_verify(NULL, NULL, NULL, NULL, &f.error), ENVOL_E_ARGUMENT);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 0);
    volume_fixture_free(&f);
}
END_TEST

/* --- Damage --- */

static void zero_record(struct volume_fixture *f, uint64_t page_no)
{
    uint8_t *zeros = calloc(1, f->stride_bytes);

    ck_assert_ptr_nonnull(zeros);
    volume_store_put(f->store, volume_record_at(f, page_no), zeros, f->stride_bytes);
    free(zeros);
}

static void get_record(struct volume_fixture *f, uint64_t page_no, uint8_t *record)
{
    volume_store_get(f->store, volume_record_at(f, page_no), record, f->stride_bytes);
}

static void put_record(struct volume_fixture *f, uint64_t page_no, const uint8_t *record)
{
    volume_store_put(f->store, volume_record_at(f, page_no), record, f->stride_bytes);
}

/* Below high_water zeros are damage, at and above it there is no page; sparse: never written. */
START_TEST(zero_records)
{
    static const uint32_t flags[] = {0, ENVOL_OPEN_READ_ONLY};
    struct volume_fixture f;
    enum envol_status below;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    below = f.shape->sparse ? ENVOL_E_UNWRITTEN : f.gcm ? ENVOL_E_CORRUPT : ENVOL_OK;
    for (uint64_t i = 0; i < 4; i++)
        volume_page_put(&f, i, 1);
    zero_record(&f, 2);
    if (below != ENVOL_OK)
        volume_page_expect_status(&f, 2, below);
    volume_fixture_close(&f);
    if (f.gcm) {
        zero_record(&f, 4);
        zero_record(&f, 5);
    }
    for (int i = 1; i >= 0; i--) {
        volume_fixture_open(&f, flags[i], ENVOL_OK);
        if (below != ENVOL_OK)
            volume_page_expect_status(&f, 2, below);
        else
            ck_ok(envol_page_read(f.volume, 2, f.other)); /* XTS: garbage */
        volume_page_expect_status(&f, 4, ENVOL_E_RANGE);
        volume_page_expect_status(&f, 5, ENVOL_E_RANGE);
        ck_assert_uint_eq(envol_volume_pages(f.volume), 4);
        volume_fixture_close(&f);
    }
    volume_fixture_free(&f);
}
END_TEST

START_TEST(a_store_that_is_too_short)
{
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    for (uint64_t i = 0; i < 4; i++)
        volume_page_put(&f, i, 1);
    volume_fixture_close(&f);
    ck_assert_int_eq(envol_store_resize(f.store, volume_record_at(&f, 3) - 1, NULL), ENVOL_OK);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    volume_page_expect(&f, 1, 1);
    volume_page_expect_status(&f, 2, f.gcm ? ENVOL_E_TRUNCATED : ENVOL_E_RANGE);
    volume_page_expect_status(&f, 3, f.gcm ? ENVOL_E_TRUNCATED : ENVOL_E_RANGE);
    volume_page_expect_status(&f, 4, ENVOL_E_RANGE);
    volume_fixture_close(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_put(&f, 3, 2); /* what is missing can be written again */
    volume_page_expect(&f, 3, 2);
    volume_page_put(&f, 2, 2);
    volume_page_expect(&f, 2, 2);
    volume_fixture_reopen(&f);
    volume_page_expect(&f, 2, 2);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(moved_records)
{
    struct volume_fixture f, g;
    uint8_t *a, *b;

    if (!volume_fixture_create(&f, &volume_shapes[_i]) ||
        !volume_fixture_create(&g, &volume_shapes[_i]))
        return;
    a = malloc(f.stride_bytes);
    b = malloc(f.stride_bytes);
    ck_assert(a != NULL && b != NULL);
    for (uint64_t i = 0; i < 4; i++) {
        volume_page_put(&f, i, 1);
        volume_page_put(&g, i, 1);
    }
    get_record(&f, 0, a);
    get_record(&f, 1, b);
    put_record(&f, 0, b);
    put_record(&f, 1, a);
    get_record(&g, 2, a);
    put_record(&f, 2, a);
    for (uint64_t i = 0; i < 3; i++) {
        if (f.gcm) {
            volume_page_expect_status(&f, i, ENVOL_E_CORRUPT);
            continue;
        }
        ck_ok(envol_page_read(f.volume, i, f.other)); /* XTS: garbage, and nobody knows */
        volume_page_fill(&f, i, 1, f.page);
        ck_assert_mem_ne(f.page, f.other, f.page_bytes);
    }
    volume_page_expect(&f, 3, 1);
    free(a);
    free(b);
    volume_fixture_free(&f);
    volume_fixture_free(&g);
}
END_TEST

/* An older record at its own place is what authentication cannot tell (envol(7), threats). */
START_TEST(torn_and_old_records)
{
    struct volume_fixture f;
    uint8_t *old, *new, *torn;
    uint32_t step;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    old = malloc(f.stride_bytes);
    new = malloc(f.stride_bytes);
    torn = malloc(f.stride_bytes);
    ck_assert(old != NULL && new != NULL &&torn != NULL);
    volume_page_put(&f, 0, 1);
    get_record(&f, 0, old);
    volume_page_put(&f, 0, 2);
    get_record(&f, 0, new);
    step = f.stride_bytes > 65536 ? 65536 : 512;
    for (uint32_t at = 0; at < f.stride_bytes; at += step) {
        memcpy(torn, new, at);
        memcpy(torn + at, old + at, f.stride_bytes - at);
        put_record(&f, 0, torn);
        if (at == 0)
            volume_page_expect(&f, 0, 1);
        else if (f.gcm)
            volume_page_expect_status(&f, 0, ENVOL_E_CORRUPT);
        else
            ck_ok(envol_page_read(f.volume, 0, f.other));
    }
    put_record(&f, 0, new);
    volume_page_expect(&f, 0, 2);
    free(old);
    free(new);
    free(torn);
    volume_fixture_free(&f);
}
END_TEST

/* Ciphertext, gap and trailer; a writer knows that no epoch is newer than its own. */
START_TEST(flipped_bits)
{
    struct volume_fixture f;
    uint8_t *record;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    record = malloc(f.stride_bytes);
    ck_assert_ptr_nonnull(record);
    volume_page_put(&f, 0, 1);
    get_record(&f, 0, record);
    for (uint32_t back = 1; back <= 200; back += f.stride_bytes > 65536 ? 13 : 1) {
        uint8_t *byte = record + f.stride_bytes - back;
        *byte ^= (uint8_t)(1u << back % 8);
        put_record(&f, 0, record);
        volume_page_expect_status(&f, 0, ENVOL_E_CORRUPT);
        *byte ^= (uint8_t)(1u << back % 8);
    }
    put_record(&f, 0, record);
    volume_page_expect(&f, 0, 1);
    free(record);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(a_store_that_fails)
{
    struct volume_fixture f;
    struct envol_page_io io = {.page_no = 1};

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    volume_page_put(&f, 1, 1);
    watched_fail(f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    volume_page_expect_status(&f, 1, ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    io.page = f.other;
    ck_status(envol_page_read_batch(f.volume, &io, 1, &f.error), ENVOL_E_IO);
    ck_assert_uint_eq(f.error.page_no, 1);
    ck_assert_int_ne(f.error.os_errno, 0);
    volume_page_fill(&f, 1, 2, f.other);
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_page_write_batch(f.volume, &io, 1, &f.error), ENVOL_E_IO);
    ck_assert_int_eq(io.status, ENVOL_E_IO);
    ck_assert_uint_eq(f.error.page_no, 1);
    if (f.gcm)
        volume_page_expect_status(&f, 1, ENVOL_E_CORRUPT); /* half of it was written */
    volume_page_put(&f, 1, 3);
    volume_page_expect(&f, 1, 3);
    watched_fail(f.watched, f.shape->sparse ? WATCHED_DISCARD : WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_page_trim(f.volume, 0, 1), ENVOL_E_IO);
    volume_fixture_free(&f);
}
END_TEST

/* Of a run that travels together: the others are delivered. */
START_TEST(a_bad_sector)
{
    struct envol_page_io ios[4];
    struct volume_fixture f;
    uint8_t *pages;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    pages = malloc(4 * (size_t)f.page_bytes);
    ck_assert_ptr_nonnull(pages);
    memset(pages, 0xee, 4 * (size_t)f.page_bytes);
    for (size_t i = 0; i < 4; i++) {
        volume_page_put(&f, i, 1);
        ios[i] = (struct envol_page_io){.page_no = i, .page = pages + i * f.page_bytes};
    }
    watched_bad_sector(f.watched, volume_record_at(&f, 3) - 1);
    ck_status(envol_page_read_batch(f.volume, ios, 4, &f.error), ENVOL_E_IO);
    ck_assert_uint_eq(f.error.page_no, 2);
    ck_assert_int_eq(f.error.os_errno, EIO);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(ios[i].status, i == 2 ? ENVOL_E_IO : ENVOL_OK);
        if (i == 2)
            ck_assert(envol_is_zero(ios[i].page, f.page_bytes));
        else
            ck_assert_uint_eq(volume_page_version(&f, i, 9, ios[i].page), 1);
    }
    free(pages);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("page_io");
    TCase *tcase = tcase_create("page_io");

    tcase_add_loop_test(tcase, batches_equal_a_model, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, runs_are_one_transfer);
    tcase_add_loop_test(tcase, one_bad_page_alone, 0, VOLUME_GCM_SHAPES + 1);
    tcase_add_loop_test(tcase, unwritten_pages_hide_no_bad_one, 0, VOLUME_GCM_SHAPES + 1);
    tcase_add_loop_test(tcase, a_refused_page_of_a_write_stops_no_other, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, page_numbers_at_the_bounds, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, null_pointers);
    tcase_add_loop_test(tcase, zero_records, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, a_store_that_is_too_short, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, moved_records, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, torn_and_old_records, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, flipped_bits, 0, VOLUME_GCM_SHAPES + 1);
    tcase_add_loop_test(tcase, a_store_that_fails, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, a_bad_sector, 0, VOLUME_SHAPES);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
