/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of the pages: window and marks, gaps, trims, cuts, and failures in the middle of them. */
#include "handles.h"
#include "support.h"
#include "volume_fixture.h"

#include <stdlib.h>
#include <string.h>

/* Pages that a shape can have in a test's time. */
static uint64_t many(const struct volume_fixture *f)
{
    return f->stride_bytes > 65536 ? 12 : f->stride_bytes > 8256 ? 1500 : 2600;
}

/* --- Window and marks --- */

START_TEST(window_widths)
{
    ck_assert_uint_eq(envol_volume_window(0), 1024);
    ck_assert_uint_eq(envol_volume_window(8199), 1024);
    ck_assert_uint_eq(envol_volume_window(8200), 1025);
    ck_assert_uint_eq(envol_volume_window(524288), 65536);
    ck_assert_uint_eq(envol_volume_window(UINT64_C(1) << 40), 65536);
}
END_TEST

/* The watched store holds each write against the header that is on disk. */
START_TEST(appending_updates_the_header_once_a_window)
{
    struct volume_fixture f;
    unsigned writes, syncs;
    uint64_t generation;

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    watched_hold_rules(f.watched);
    generation = volume_info_of(&f).header.generation;
    for (uint64_t i = 0; i < 10000; i++) {
        volume_page_put(&f, i, 1);
        if (i % 100 == 0)
            ck_ok(envol_volume_sync(f.volume));
    }
    /* clean is cleared, then marks at 1024, 2048, ... 8192, 9216. */
    ck_assert_uint_eq(volume_info_of(&f).header.generation - generation, 1 + 9);
    ck_assert_uint_eq(volume_info_of(&f).header.high_water, 9216);
    ck_assert_int_eq(volume_info_of(&f).header.clean, 0);
    ck_assert_uint_eq(volume_info_of(&f).pages, 10000);
    writes = watched_header_writes(f.watched);
    syncs = watched_calls(f.watched, WATCHED_SYNC);
    ck_ok(envol_volume_sync(f.volume));
    ck_assert_uint_eq(watched_calls(f.watched, WATCHED_SYNC), syncs + 1);
    ck_assert_uint_eq(watched_header_writes(f.watched), writes);
    volume_fixture_reopen(&f);
    ck_assert_uint_eq(volume_info_of(&f).header.high_water, 10000);
    ck_assert_int_eq(volume_info_of(&f).header.clean, 1);
    for (uint64_t i = 0; i < 10000; i++)
        volume_page_expect(&f, i, 1);
    /* A cut is one update, clearing clean behind it another; appending costs none. */
    generation = volume_info_of(&f).header.generation;
    ck_ok(envol_volume_truncate(f.volume, 5000, &f.error));
    for (uint64_t i = 5000; i < 5100; i++)
        volume_page_put(&f, i, 2);
    ck_assert_uint_eq(volume_info_of(&f).header.generation - generation, 2);
    /* To write synced pages above the mark again is one, for all of them. */
    ck_ok(envol_volume_sync(f.volume));
    for (uint64_t i = 4990; i < 5100; i++)
        volume_page_put(&f, i, 3);
    ck_assert_uint_eq(volume_info_of(&f).header.generation - generation, 3);
    ck_assert_uint_eq(volume_info_of(&f).header.high_water, 5100);
    volume_fixture_free(&f);
}
END_TEST

/* Batches, gaps, trims and cuts in any order, under the same watch. */
START_TEST(the_rules_hold_in_any_order)
{
    struct volume_fixture f;
    struct envol_page_io ios[90];
    struct envol_verify_result result = {.struct_size = sizeof(result)};
    uint64_t pages, pick;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    watched_hold_rules(f.watched);
    for (int round = 0; round < (test_tool() != NULL ? 15 : 60); round++) {
        pages = envol_volume_pages(f.volume);
        pick = test_random() % 8;
        for (size_t i = 0; i < 90; i++)
            ios[i] = (struct envol_page_io){
                .page_no = pages - pages % (1 + pick) + pick * (many(&f) / 10) + i, .page = f.page};
        if (pick < 5)
            ck_ok(envol_page_write_batch(f.volume, ios, f.stride_bytes > 65536 ? 3 : 90, &f.error));
        else if (pick == 5)
            ck_ok(
                envol_volume_truncate(f.volume, test_random() % (pages + many(&f) / 2), &f.error));
        else if (pick == 6)
            ck_ok(envol_page_trim(f.volume, pages / 2, pages - pages / 2));
        else
            volume_fixture_reopen(&f);
        if (envol_volume_pages(f.volume) > 3 * many(&f))
            ck_ok(envol_volume_truncate(f.volume, 5, &f.error));
    }
    if (f.gcm)
        ck_ok(envol_volume_verify(f.volume, NULL, NULL, &result, &f.error));
    else
        ck_status(envol_volume_verify(f.volume, NULL, NULL, &result, &f.error),
                  ENVOL_E_UNSUPPORTED);
    if (f.gcm)
        ck_assert_uint_eq(result.pages, envol_volume_pages(f.volume));
    volume_fixture_free(&f);
}
END_TEST

/* --- Gaps, trims, cuts --- */

static enum envol_status unwritten(const struct volume_fixture *f)
{
    return f->gcm || f->shape->sparse ? ENVOL_E_UNWRITTEN : ENVOL_OK;
}

static void expect_unwritten(struct volume_fixture *f, uint64_t page_no)
{
    if (unwritten(f) != ENVOL_OK) {
        volume_page_expect_status(f, page_no, ENVOL_E_UNWRITTEN);
        return;
    }
    memset(f->page, 0, f->page_bytes);
    ck_ok(envol_page_read(f->volume, page_no, f->other));
    ck_assert_mem_eq(f->page, f->other, f->page_bytes);
}

START_TEST(gaps)
{
    struct volume_fixture f;
    uint64_t far;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    watched_hold_rules(f.watched);
    far = many(&f);
    volume_page_put(&f, 2, 1);
    volume_page_put(&f, far, 1);
    volume_page_put(&f, far - 3, 1);
    for (int again = 0; again < 2; again++) {
        ck_assert_uint_eq(envol_volume_pages(f.volume), far + 1);
        volume_page_expect(&f, 2, 1);
        volume_page_expect(&f, far, 1);
        volume_page_expect(&f, far - 3, 1);
        expect_unwritten(&f, 0);
        expect_unwritten(&f, 3);
        expect_unwritten(&f, far / 2);
        expect_unwritten(&f, far - 1);
        volume_page_expect_status(&f, far + 1, ENVOL_E_RANGE);
        volume_fixture_reopen(&f);
    }
    volume_fixture_free(&f);
}
END_TEST

START_TEST(trims)
{
    struct volume_fixture f;
    uint64_t pages;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    if (_i % 2 == 0)
        watched_drop_discard(f.watched);
    pages = many(&f) / 2;
    for (uint64_t i = 0; i < pages; i++)
        volume_page_put(&f, i, 1);
    ck_ok(envol_page_trim(f.volume, 0, 0));
    ck_ok(envol_page_trim(f.volume, pages, 0));
    ck_ok(envol_page_trim(f.volume, 1, pages - 3));
    ck_ok(envol_page_trim(f.volume, pages - 1, 1));
    ck_status(envol_page_trim(f.volume, pages - 1, 2), ENVOL_E_RANGE);
    ck_status(envol_page_trim(f.volume, 1, UINT64_MAX), ENVOL_E_RANGE);
    for (int again = 0; again < 3; again++) {
        ck_assert_uint_eq(envol_volume_pages(f.volume), pages);
        volume_page_expect(&f, 0, 1);
        volume_page_expect(&f, pages - 2, 1);
        for (uint64_t i = 1; i < pages - 2; i++)
            expect_unwritten(&f, i);
        expect_unwritten(&f, pages - 1);
        ck_ok(envol_volume_sync(f.volume));
        if (again == 0)
            volume_fixture_kill(&f); /* the trimmed tail still counts */
        else
            volume_fixture_close(&f);
        volume_fixture_open(&f, 0, ENVOL_OK);
    }
    volume_page_put(&f, 1, 2);
    volume_page_expect(&f, 1, 2);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(cuts_and_regrowth)
{
    struct volume_fixture f;
    uint64_t pages;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    watched_hold_rules(f.watched);
    pages = many(&f) / 2;
    for (uint64_t i = 0; i < pages; i++)
        volume_page_put(&f, i, 1);
    ck_ok(envol_volume_truncate(f.volume, 4, &f.error));
    ck_assert_uint_eq(volume_store_bytes(f.store), volume_record_at(&f, 4));
    ck_assert_uint_eq(envol_volume_pages(f.volume), 4);
    volume_page_expect(&f, 3, 1);
    volume_page_expect_status(&f, 4, ENVOL_E_RANGE);
    volume_fixture_kill(&f); /* synced when it returned */
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 4);
    ck_ok(envol_volume_truncate(f.volume, pages, &f.error));
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(f.volume), pages);
    volume_page_expect(&f, 3, 1);
    for (uint64_t i = 4; i < pages; i++)
        expect_unwritten(&f, i);
    ck_ok(envol_volume_truncate(f.volume, pages, &f.error));
    ck_ok(envol_volume_truncate(f.volume, 0, &f.error));
    ck_assert_uint_eq(volume_store_bytes(f.store), ENVOL_HEADER_BYTES);
    volume_page_expect_status(&f, 0, ENVOL_E_RANGE);
    volume_page_put(&f, 1, 3);
    expect_unwritten(&f, 0);
    volume_fixture_free(&f);
}
END_TEST

/* Page numbers above 2^32, and, in bytes, beyond the first XTS segment of 1 TiB. */
START_TEST(beyond_four_billion_pages)
{
    static const struct volume_shape shapes[] = {
        {"gcm 512 sparse", ENVOL_SUITE_AES_256_GCM, 512, 0, 1},
        {"xts 512 sparse", ENVOL_SUITE_AES_256_XTS, 512, 0, 1},
    };
    const uint64_t big = UINT64_C(1) << 32;
    const uint64_t edge = (UINT64_C(1) << 40) / 512;
    struct volume_fixture f;

    if (!volume_fixture_create_on(&f, &shapes[_i], test_store_new(1)))
        return;
    volume_page_put(&f, 5, 1);
    volume_page_fill(&f, big + 5, 2, f.page);
    if (ck_note(envol_page_write(f.volume, big + 5, f.page)) == ENVOL_E_IO) {
        test_skip(shapes[_i].name, "the file system has no files of 3 TB");
        volume_fixture_free(&f);
        return;
    }
    volume_page_put(&f, edge - 1, 3);
    volume_page_put(&f, edge, 3);
    for (int again = 0; again < 3; again++) {
        ck_assert_uint_eq(envol_volume_pages(f.volume), big + 6);
        volume_page_expect(&f, 5, 1);
        volume_page_expect(&f, big + 5, 2);
        volume_page_expect(&f, edge - 1, 3);
        volume_page_expect(&f, edge, 3);
        volume_page_expect_status(&f, big + 4, ENVOL_E_UNWRITTEN);
        volume_page_expect_status(&f, big + 6, ENVOL_E_RANGE);
        ck_ok(envol_volume_sync(f.volume));
        if (again == 0)
            volume_fixture_kill(&f);
        else
            volume_fixture_close(&f);
        volume_fixture_open(&f, 0, ENVOL_OK);
    }
    ck_ok(envol_page_trim(f.volume, 6, big));
    volume_page_expect_status(&f, big + 5, ENVOL_E_UNWRITTEN);
    ck_ok(envol_volume_truncate(f.volume, 6, &f.error));
    volume_page_expect(&f, 5, 1);
    volume_fixture_free(&f);
}
END_TEST

/* --- A store of a fixed size --- */

START_TEST(a_device)
{
    struct volume_fixture f;
    uint64_t bytes;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    if (!f.gcm) { /* all of a device is pages there */
        volume_fixture_free(&f);
        return;
    }
    volume_fixture_close(&f);
    bytes = volume_record_at(&f, 8);
    ck_assert_int_eq(envol_store_resize(f.store, bytes, NULL), ENVOL_OK);
    volume_page_fill(&f, 0, 99, f.page);
    for (uint64_t i = 0; i < 8; i++) /* left there by somebody else */
        volume_store_put(f.store, volume_record_at(&f, i), f.page, f.page_bytes);
    watched_fix_size(f.watched);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_put(&f, 0, 1);
    volume_page_put(&f, 3, 1);
    expect_unwritten(&f, 1);
    expect_unwritten(&f, 2);
    volume_page_expect_status(&f, 4, ENVOL_E_RANGE);
    ck_status(envol_volume_truncate(f.volume, 2, &f.error), ENVOL_E_UNSUPPORTED);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 4);
    volume_page_expect(&f, 3, 1);
    ck_ok(envol_volume_truncate(f.volume, 7, &f.error));
    expect_unwritten(&f, 6);
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_expect(&f, 3, 1);
    expect_unwritten(&f, 6);
    ck_assert_uint_eq(volume_store_bytes(f.store), bytes);
    volume_fixture_free(&f);
}
END_TEST

/* --- Failures --- */

START_TEST(a_failed_sync_is_final)
{
    struct volume_fixture f;
    struct envol_volume *volume;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    watched_fail(f.watched, WATCHED_SYNC, 1, ENVOL_E_IO);
    ck_status(envol_volume_sync(f.volume), ENVOL_E_IO);
    ck_status(envol_volume_sync(f.volume), ENVOL_E_IO); /* though the store would say success */
    volume_page_expect(&f, 0, 1);
    ck_status(envol_volume_truncate(f.volume, 0, &f.error), ENVOL_E_IO);
    volume_page_expect(&f, 0, 1);
    volume = f.volume;
    f.volume = NULL;
    ck_status(envol_volume_close(volume), ENVOL_E_IO);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_expect(&f, 0, 1);
    volume_fixture_free(&f);
}
END_TEST

/* Every call of the store is failed once.  Pages that were synced stay; what failed can be done
 * again in the same handle, but for a sync; and after a kill nothing is there that never was. */
static void grow_and_cut(struct volume_fixture *f)
{
    for (uint64_t i = 0; i < 3; i++)
        (void)ck_note(envol_page_write(f->volume, 4 + i, f->page));
    (void)ck_note(envol_page_write(f->volume, 20, f->page));
    (void)ck_note(envol_volume_truncate(f->volume, 9, &f->error));
    (void)ck_note(envol_page_write(f->volume, 14, f->page));
    (void)ck_note(envol_page_trim(f->volume, 4, 2));
    (void)ck_note(envol_volume_sync(f->volume));
}

static void check_after_failure(struct volume_fixture *f)
{
    for (uint64_t i = 0; i < 4; i++)
        volume_page_expect(f, i, 1);
    volume_page_fill(f, 7, 7, f->page);
    for (uint64_t i = 4; i < envol_volume_pages(f->volume); i++) {
        enum envol_status status = ck_note(envol_page_read(f->volume, i, f->other));
        bool ours = memcmp(f->page, f->other, f->page_bytes) == 0;
        ck_assert_msg(!f->gcm || status == ENVOL_E_UNWRITTEN || status == ENVOL_E_CORRUPT ||
                          (status == ENVOL_OK && ours),
                      "page %llu: %s", (unsigned long long)i, envol_status_name(status));
    }
}

START_TEST(any_call_of_the_store_may_fail)
{
    static const int shapes[] = {0, 2, 4, 5, 8};
    enum watched_call call = (enum watched_call)(_i % WATCHED_CALLS);
    int shape = shapes[_i / WATCHED_CALLS];

    for (unsigned nth = 1; nth < 200; nth++) {
        struct volume_fixture f;
        unsigned before;

        if (!volume_fixture_create(&f, &volume_shapes[shape]))
            return;
        for (uint64_t i = 0; i < 4; i++)
            volume_page_put(&f, i, 1);
        ck_ok(envol_volume_sync(f.volume));
        watched_hold_rules(f.watched);
        volume_page_fill(&f, 7, 7, f.page);
        before = watched_calls(f.watched, call);
        watched_fail(f.watched, call, nth, ENVOL_E_IO);
        grow_and_cut(&f);
        before = watched_calls(f.watched, call) - before;
        watched_fail(f.watched, call, 0, ENVOL_OK);
        check_after_failure(&f);
        volume_page_fill(&f, 7, 7, f.page);
        if (call != WATCHED_SYNC)
            ck_ok(envol_page_write(f.volume, 30, f.page));
        if (nth % 2 == 0)
            (void)ck_note(envol_volume_close(f.volume));
        else
            envol_volume_free(f.volume);
        volume_fixture_open(&f, 0, ENVOL_OK);
        check_after_failure(&f);
        volume_fixture_free(&f);
        if (nth >= before)
            return;
    }
    ck_abort_msg("not all calls were failed");
}
END_TEST

/* The header says fewer pages, the store could not be cut: growth must not bring the rest back. */
START_TEST(a_cut_that_failed_is_made_up_for)
{
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    for (uint64_t i = 0; i < 10; i++)
        volume_page_put(&f, i, 1);
    watched_fail(f.watched, WATCHED_RESIZE, f.gcm ? 2 : 1, ENVOL_E_IO);
    ck_status(envol_volume_truncate(f.volume, 2, &f.error), ENVOL_E_IO);
    if (f.gcm) {
        ck_assert_uint_eq(envol_volume_pages(f.volume), 2);
        volume_page_put(&f, 2, 2);
        ck_ok(envol_volume_sync(f.volume));
        volume_fixture_kill(&f);
        volume_fixture_open(&f, 0, ENVOL_OK);
        ck_assert_uint_eq(envol_volume_pages(f.volume), 3);
    } else {
        ck_assert_uint_eq(envol_volume_pages(f.volume), 10);
        volume_page_expect(&f, 9, 1);
    }
    volume_fixture_free(&f);
}
END_TEST

/* The first copy of an update is on disk, the second is not: the next update goes on from there. */
START_TEST(a_half_made_update_is_finished)
{
    struct volume_fixture f;
    uint64_t generation;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    generation = volume_info_of(&f).header.generation;
    watched_fail(f.watched, WATCHED_WRITE, 2, ENVOL_E_IO);
    volume_page_fill(&f, 0, 1, f.page);
    ck_status(envol_page_write(f.volume, 0, f.page), ENVOL_E_IO);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 0);
    volume_page_expect_status(&f, 0, ENVOL_E_RANGE);
    ck_ok(envol_volume_sync(f.volume));
    ck_assert_uint_eq(volume_info_of(&f).header.generation, generation + 2);
    volume_page_put(&f, 0, 1);
    volume_fixture_reopen(&f);
    volume_page_expect(&f, 0, 1);
    volume_fixture_free(&f);
}
END_TEST

/* A full disk: what of a batch reached the store is not left behind for a later gap to show. */
START_TEST(a_failed_append_leaves_no_pages)
{
    struct volume_fixture f;
    struct envol_page_io ios[8];

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    if (f.volume->run < 8) { /* each page is a transfer of its own */
        volume_fixture_free(&f);
        return;
    }
    volume_page_put(&f, 0, 1);
    for (size_t i = 0; i < 8; i++)
        ios[i] = (struct envol_page_io){.page_no = 1 + i, .page = f.page};
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_page_write_batch(f.volume, ios, 8, &f.error), ENVOL_E_IO);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 1);
    volume_page_put(&f, 9, 1);
    for (uint64_t i = 1; i < 9; i++)
        expect_unwritten(&f, i);
    volume_fixture_reopen(&f);
    for (uint64_t i = 1; i < 9; i++)
        expect_unwritten(&f, i);
    volume_fixture_free(&f);
}
END_TEST

/* A batch that begins over pages above the mark and tears the last of them: a crash after the next
 * sync must not take it for the place where the pages end. */
START_TEST(a_failed_append_over_the_end)
{
    struct volume_fixture f;
    struct envol_page_io ios[3];

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    if (f.volume->run >= 3) {
        for (uint64_t i = 0; i < 10; i++)
            volume_page_put(&f, i, 1);
        for (size_t i = 0; i < 3; i++)
            ios[i] = (struct envol_page_io){.page_no = 8 + i, .page = f.other};
        memset(f.other, 0x5b, f.page_bytes);
        watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
        ck_status(envol_page_write_batch(f.volume, ios, 3, &f.error), ENVOL_E_IO);
        ck_ok(envol_volume_sync(f.volume));
        volume_fixture_kill(&f);
        volume_fixture_open(&f, 0, ENVOL_OK);
        ck_assert_uint_eq(envol_volume_pages(f.volume), 10);
        if (f.gcm)
            volume_page_expect_status(&f, 9, ENVOL_E_CORRUPT);
        volume_page_expect(&f, 7, 1);
    }
    volume_fixture_free(&f);
}
END_TEST

/* What growth that failed left behind is no page after a truncation to the pages that there are. */
START_TEST(set_to_the_pages_that_there_are)
{
    struct volume_fixture f;
    struct envol_page_io ios[8];

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    for (size_t i = 0; i < 8; i++)
        ios[i] = (struct envol_page_io){.page_no = 1 + i, .page = f.page};
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    if (f.volume->run >= 8) { /* else each page is a transfer of its own */
        ck_status(envol_page_write_batch(f.volume, ios, 8, &f.error), ENVOL_E_IO);
        ck_ok(envol_volume_truncate(f.volume, 1, &f.error));
        ck_assert_uint_eq(volume_store_bytes(f.store), volume_record_at(&f, 1));
        volume_fixture_kill(&f);
        volume_fixture_open(&f, 0, ENVOL_OK);
        ck_assert_uint_eq(envol_volume_pages(f.volume), 1);
        volume_page_expect(&f, 0, 1);
    }
    watched_fail(f.watched, WATCHED_WRITE, 0, ENVOL_OK);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("growth");
    TCase *tcase = tcase_create("growth");

    tcase_add_test(tcase, window_widths);
    tcase_add_test(tcase, appending_updates_the_header_once_a_window);
    tcase_add_loop_test(tcase, the_rules_hold_in_any_order, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, gaps, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, trims, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, cuts_and_regrowth, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, beyond_four_billion_pages, 0, 2);
    tcase_add_loop_test(tcase, a_device, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, a_failed_sync_is_final, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, any_call_of_the_store_may_fail, 0, 5 * WATCHED_CALLS);
    tcase_add_loop_test(tcase, a_cut_that_failed_is_made_up_for, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, a_half_made_update_is_finished, 0, VOLUME_GCM_SHAPES + 1);
    tcase_add_loop_test(tcase, a_failed_append_leaves_no_pages, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, a_failed_append_over_the_end, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, set_to_the_pages_that_there_are, 0, VOLUME_SHAPES);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
