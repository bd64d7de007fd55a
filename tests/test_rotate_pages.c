/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that a rotation cannot read, older DEKs that stay for them, and the ledger. */
#include "rotate_fixture.h"
#include "support.h"

/* --- Pages that do not read --- */

static void flip(struct slot_fixture *s, uint64_t page_no)
{
    uint8_t byte;
    uint64_t at = volume_record_at(&s->f, page_no) + 100;

    volume_store_get(s->f.store, at, &byte, 1);
    byte ^= 1;
    volume_store_put(s->f.store, at, &byte, 1);
}

START_TEST(bad_pages_stay_as_they_are)
{
    struct slot_fixture s;
    struct envol_rotation r = {.struct_size = sizeof(r)};
    const struct envol_ledger *ledger;
    uint8_t before[4096], after[4096];

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    flip(&s, 7);
    flip(&s, 11);
    volume_store_get(s.f.store, volume_record_at(&s.f, 7), before, s.f.stride_bytes);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_ok(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, &r, &s.f.error));
    ck_assert_uint_eq(r.bad, 2);
    ck_assert_uint_eq(r.first_bad, 7);
    ck_assert_uint_eq(r.done, SLOT_PAGES);
    volume_fixture_reopen(&s.f);
    r = rotate_status(&s);
    ck_assert_int_eq(r.state, ENVOL_ROTATION_SWEPT);
    ck_assert_uint_eq(r.bad, 2);
    ck_assert_uint_eq(r.first_bad, 7);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    volume_store_get(s.f.store, volume_record_at(&s.f, 7), after, s.f.stride_bytes);
    ck_assert_mem_eq(before, after, s.f.stride_bytes);
    volume_page_expect_status(&s.f, 7, ENVOL_E_CORRUPT);
    ledger = rotate_ledger(&s);
    ck_assert_uint_eq(ledger->epoch_count, 2);
    ck_assert_uint_eq(ledger->bad, 2);
    ck_assert_uint_eq(ledger->first_bad, 7);
    ck_assert_uint_eq(ledger->epochs[0].pages, SLOT_PAGES - 2);
    ck_assert_int_eq(ledger->epochs[1].may_retire, 0);
    /* One is repaired as it was, the other is written anew. */
    flip(&s, 7);
    volume_page_put(&s.f, 11, 1);
    volume_fixture_reopen(&s.f);
    rotate_expect_all(&s);
    ledger = rotate_ledger(&s);
    ck_assert_uint_eq(ledger->bad, 0);
    ck_assert_uint_eq(ledger->epochs[1].epoch, 1);
    ck_assert_uint_eq(ledger->epochs[1].pages, 1);
    ck_assert_int_eq(ledger->epochs[1].may_retire, 0);
    volume_page_put(&s.f, 7, 1);
    ck_assert_int_eq(rotate_ledger(&s)->epochs[1].may_retire, 1);
    ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_ABANDON_BAD), ENVOL_OK);
    ck_assert_uint_eq(rotate_ledger(&s)->epoch_count, 1);
    volume_fixture_reopen(&s.f);
    rotate_expect_all(&s);
    slot_fixture_end(&s);
}
END_TEST

START_TEST(bad_pages_are_abandoned)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    flip(&s, 7);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_ABANDON_BAD), ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&s.f).header.retained_epochs, 0);
    flip(&s, 7);
    volume_page_expect_status(&s.f, 7, ENVOL_E_CORRUPT);
    volume_page_expect(&s.f, 8, 1);
    slot_fixture_end(&s);
}
END_TEST

/* A record of an older DEK that is put back after the end is refused. */
START_TEST(old_records_are_refused)
{
    struct slot_fixture s;
    uint8_t old[4096];

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    volume_store_get(s.f.store, volume_record_at(&s.f, 4), old, s.f.stride_bytes);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    volume_page_expect(&s.f, 4, 1);
    volume_store_put(s.f.store, volume_record_at(&s.f, 4), old, s.f.stride_bytes);
    volume_page_expect_status(&s.f, 4, ENVOL_E_CORRUPT);
    volume_fixture_reopen(&s.f);
    volume_page_expect_status(&s.f, 4, ENVOL_E_CORRUPT);
    slot_fixture_end(&s);
}
END_TEST

/* A sector that does not read: under GCM the page is passed by, under XTS it is in the way until it
 * is written. */
START_TEST(a_bad_sector)
{
    struct slot_fixture s;
    struct envol_rotation r = {.struct_size = sizeof(r)};

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    watched_bad_sector(s.f.watched, volume_record_at(&s.f, 9) + 5);
    if (_i == 0) {
        ck_ok(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, &r, &s.f.error));
        ck_assert_uint_eq(r.bad, 1);
        ck_assert_uint_eq(r.first_bad, 9);
        watched_bad_sector(s.f.watched, 0);
        rotate_expect_all(&s);
        ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
        rotate_expect_all(&s);
    } else {
        ck_assert_int_eq(rotate_run(&s), ENVOL_E_IO);
        ck_assert_uint_eq(s.f.error.page_no, 9);
        ck_assert_int_eq(rotate_step(&s, 0), ENVOL_E_IO);
        ck_assert_int_eq(rotate_step(&s, 5), ENVOL_OK);
        volume_page_put(&s.f, 9, 1);
        watched_bad_sector(s.f.watched, 0);
        ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
        ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
        rotate_expect_all(&s);
    }
    slot_fixture_end(&s);
}
END_TEST

/* A page that is torn at home and whole in the double-write area reads. */
START_TEST(a_home_that_failed)
{
    static const int shapes[] = {0, 4, 5, 8};
    struct envol_rotation r = {.struct_size = sizeof(r)};
    struct envol_store *store;
    struct watched_store *watched = watched_store_new(&store);
    struct volume_fixture f;

    if (!volume_fixture_create_atomic(&f, &volume_shapes[shapes[_i]], store))
        return;
    for (uint64_t i = 0; i < 6; i++)
        volume_page_put(&f, i, 1);
    ck_ok(envol_volume_sync(f.volume));
    ck_ok(envol_volume_rotate_begin(f.volume, &f.cmk, 1, 0, NULL, &f.error));
    watched_fail(watched, WATCHED_WRITE, 3, ENVOL_E_IO); /* a slot's records, its head, home */
    volume_page_fill(&f, 2, 2, f.page);
    ck_status(envol_page_write(f.volume, 2, f.page), ENVOL_E_IO);
    ck_ok(envol_volume_rotate_run(f.volume, 0, NULL, NULL, &r, &f.error));
    ck_assert_uint_eq(r.bad, 0);
    ck_ok(envol_volume_rotate_finish(f.volume, 0, &f.error));
    ck_assert_uint_eq(volume_info_of(&f).header.retained_epochs, 0);
    for (uint64_t i = 0; i < 6; i++)
        volume_page_expect(&f, i, i == 2 ? 2 : 1);
    volume_fixture_free(&f);
}
END_TEST

/* Each rotation leaves a DEK behind: there is room for four. */
START_TEST(the_table_is_full)
{
    struct slot_fixture s;
    const struct envol_ledger *ledger;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    flip(&s, 7);
    for (uint32_t i = 0; i < ENVOL_RETAINED_MAX; i++) {
        ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
        ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
        ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
        volume_fixture_reopen(&s.f);
    }
    ck_assert_int_eq(rotate_begin(&s), ENVOL_E_RANGE);
    ledger = rotate_ledger(&s);
    ck_assert_uint_eq(ledger->epoch_count, 5);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(ledger->epochs[i].epoch, 5 - i);
    ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_ABANDON_BAD), ENVOL_OK);
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

/* --- The ledger --- */

START_TEST(the_ledger)
{
    struct slot_fixture s;
    const struct envol_ledger *ledger;
    uint64_t holes = _i == 1 ? 0 : 2;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    ck_ok(envol_page_trim(s.f.volume, 2, 2));
    ledger = rotate_ledger(&s);
    ck_assert_uint_eq(ledger->epoch_count, 1);
    ck_assert_uint_eq(ledger->epochs[0].epoch, 1);
    ck_assert_int_eq(ledger->epochs[0].retained, 0);
    ck_assert_int_eq(ledger->epochs[0].may_retire, 0);
    ck_assert_uint_eq(ledger->epochs[0].pages, SLOT_PAGES - holes);
    ck_assert_uint_eq(ledger->epochs[0].holes, holes);
    ck_assert_uint_eq(ledger->slot_count, 1);
    ck_assert_int_eq(ledger->slots[0].may_retire, 0);
    ck_assert_str_eq(ledger->slots[0].key_ref, VOLUME_KEY);
    ck_assert_uint_eq(ledger->first_bad, ENVOL_NO_PAGE);
    slot_fixture_fill(&s, 2);
    ck_assert_int_eq(rotate_begin_with(&s, s.cmks, 2, 0, NULL), ENVOL_OK);
    ck_assert_int_eq(rotate_step(&s, 8), ENVOL_OK);
    ledger = rotate_ledger(&s);
    ck_assert_uint_eq(ledger->pages, SLOT_PAGES);
    ck_assert_uint_eq(ledger->epoch_count, 2);
    ck_assert_uint_eq(ledger->epochs[0].epoch, 2);
    ck_assert_uint_eq(ledger->epochs[0].pages, 8 - holes);
    ck_assert_uint_eq(ledger->epochs[0].holes, holes);
    ck_assert_uint_eq(ledger->epochs[1].epoch, 1);
    ck_assert_int_eq(ledger->epochs[1].retained, 1);
    ck_assert_uint_eq(ledger->epochs[1].pages, SLOT_PAGES - 8);
    ck_assert_int_eq(ledger->epochs[1].may_retire, 0);
    ck_assert_uint_eq(ledger->slot_count, 2);
    ck_assert_int_eq(ledger->slots[1].may_retire, 1);
    ck_assert_str_eq(ledger->slots[1].key_ref, "arn:fake:key/2");
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    ck_assert_uint_eq(rotate_ledger(&s)->epoch_count, 1);
    slot_fixture_end(&s);
}
END_TEST

/* A page that a writer was at is read again: it is one of its epoch, and the others of theirs. */
START_TEST(the_ledger_reads_again)
{
    struct slot_fixture s;
    const struct envol_ledger *ledger;

    if (!slot_fixture_begin(&s, false, NULL))
        return;
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    volume_page_put(&s.f, 12, 1);
    watched_tear_reads(s.f.watched, volume_record_at(&s.f, 12), s.f.stride_bytes, 1);
    ledger = rotate_ledger(&s);
    ck_assert_uint_eq(ledger->bad, 0);
    ck_assert_uint_eq(ledger->epochs[0].pages, 1);
    ck_assert_uint_eq(ledger->epochs[1].pages, SLOT_PAGES - 1);
    slot_fixture_end(&s);
}
END_TEST

/* --- Records that are not the volume's --- */

static void blob(struct slot_fixture *s, bool seal, uint8_t *sealed, enum envol_status expected)
{
    static const uint8_t id[ENVOL_OBJECT_BYTES] = {0x0b};
    uint8_t plain[24] = "sealed before the begin";
    struct envol_object *object;
    enum envol_status status;

    ck_ok(envol_object_open(envol_volume_keyring(s->f.volume), id, &object));
    if (seal)
        status = ck_note(envol_blob_seal(object, NULL, NULL, 0, plain, sizeof(plain), sealed));
    else
        status = ck_note(envol_blob_unseal(object, NULL, NULL, 0, sealed,
                                           sizeof(plain) + ENVOL_TRAILER_BYTES, plain));
    ck_assert_int_eq(status, expected);
    envol_object_close(object);
}

/* With pages and without. */
START_TEST(older_deks_are_kept)
{
    struct slot_fixture s;
    uint8_t sealed[24 + ENVOL_TRAILER_BYTES];

    if (!slot_fixture_begin(&s, _i % 2 == 1, NULL))
        return;
    if (_i / 2 == 1)
        ck_ok(envol_volume_truncate(s.f.volume, 0, &s.f.error));
    blob(&s, true, sealed, ENVOL_OK);
    for (unsigned kept = 1; kept <= 2; kept++) {
        ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
        ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
        ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_KEEP_OLD | ENVOL_ROTATE_ABANDON_BAD),
                         ENVOL_E_ARGUMENT);
        ck_assert_int_eq(rotate_status(&s).state, ENVOL_ROTATION_SWEPT);
        ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_KEEP_OLD), ENVOL_OK);
        ck_assert_int_eq(rotate_status(&s).state, ENVOL_ROTATION_NONE);
        blob(&s, false, sealed, ENVOL_OK);
        volume_fixture_reopen(&s.f);
        blob(&s, false, sealed, ENVOL_OK);
        ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_E_STATE);
        ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_KEEP_OLD), ENVOL_E_STATE);
        ck_assert_uint_eq(volume_info_of(&s.f).header.retained_epochs, kept);
        ck_assert_uint_eq(volume_info_of(&s.f).header.lowest_epoch, 1);
        ck_assert_int_eq(rotate_ledger(&s)->epochs[kept].may_retire, 1);
        if (_i / 2 == 0)
            rotate_expect_all(&s);
    }
    ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_ABANDON_BAD), ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&s.f).header.retained_epochs, 0);
    blob(&s, false, sealed, ENVOL_E_CORRUPT);
    if (_i / 2 == 0)
        rotate_expect_all(&s);
    slot_fixture_end(&s);
}
END_TEST

/* The finish of the next rotation gives up what an earlier one kept. */
START_TEST(the_next_gives_them_up)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, _i == 1, NULL))
        return;
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
        ck_assert_int_eq(rotate_finish(&s, ENVOL_ROTATE_KEEP_OLD), ENVOL_E_STATE);
        ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
        ck_assert_int_eq(rotate_finish(&s, i == 0 ? ENVOL_ROTATE_KEEP_OLD : 0), ENVOL_OK);
    }
    ck_assert_uint_eq(rotate_ledger(&s)->epoch_count, 1);
    volume_fixture_reopen(&s.f);
    rotate_expect_all(&s);
    slot_fixture_end(&s);
}
END_TEST

/* Nothing is to be visited: what is written from the begin on is of the new DEK. */
START_TEST(no_pages)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, _i % 2 == 1, NULL))
        return;
    ck_ok(envol_volume_truncate(s.f.volume, 0, &s.f.error));
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_status(&s).state, ENVOL_ROTATION_SWEPT);
    for (uint64_t i = 0; i < SLOT_PAGES; i++)
        volume_page_put(&s.f, i, 1);
    rotate_expect_all(&s);
    if (_i / 2 == 1) {
        ck_ok(envol_volume_sync(s.f.volume));
        volume_fixture_kill(&s.f);
        volume_fixture_open(&s.f, 0, ENVOL_OK);
        rotate_expect_all(&s);
    }
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    rotate_expect_all(&s);
    for (uint64_t i = 0; i < SLOT_PAGES; i++)
        volume_page_put(&s.f, i, 1);
    rotate_expect_all(&s);
    volume_fixture_reopen(&s.f);
    rotate_expect_all(&s);
    ck_assert_uint_eq(rotate_ledger(&s)->epoch_count, 1);
    slot_fixture_end(&s);
}
END_TEST

/* --- Cuts --- */

/* Pages that came when all had been visited are of the new epoch, those of them too that a cut
 * leaves before the header heard of them. */
START_TEST(a_cut_through_what_came_since)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, true, NULL))
        return;
    if (_i % 2 == 1)
        ck_ok(envol_volume_truncate(s.f.volume, 0, &s.f.error));
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    for (uint64_t i = 0; i < SLOT_PAGES + 10; i++)
        volume_page_put(&s.f, i, 1);
    ck_ok(envol_volume_truncate(s.f.volume, SLOT_PAGES + 5, &s.f.error));
    if (_i / 2 == 1)
        volume_fixture_kill(&s.f);
    else
        volume_fixture_close(&s.f);
    volume_fixture_open(&s.f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(s.f.volume), SLOT_PAGES + 5);
    ck_assert_int_eq(rotate_status(&s).state, ENVOL_ROTATION_SWEPT);
    for (uint64_t i = 0; i < SLOT_PAGES + 5; i++)
        volume_page_expect(&s.f, i, 1);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    volume_fixture_reopen(&s.f);
    for (uint64_t i = 0; i < SLOT_PAGES + 5; i++)
        volume_page_expect(&s.f, i, 1);
    slot_fixture_end(&s);
}
END_TEST

/* The header's lock, and the first and the second of its copies. */
static void fail_cut(struct slot_fixture *s, int which)
{
    enum envol_status expected = which == 0 ? ENVOL_E_BUSY : ENVOL_E_IO;

    if (which == 0)
        watched_fail(s->f.watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
    else
        watched_fail(s->f.watched, WATCHED_WRITE, (unsigned)which, ENVOL_E_IO);
    ck_status(envol_volume_truncate(s->f.volume, 3, &s->f.error), expected);
    ck_assert_uint_eq(envol_volume_pages(s->f.volume), SLOT_PAGES);
}

/* A cut that the header does not follow, with pages of both epochs, and when all were visited. */
START_TEST(a_cut_that_fails)
{
    for (int which = 0; which < 6; which++) {
        struct slot_fixture s;

        if (!slot_fixture_begin(&s, _i == 1, NULL))
            return;
        volume_fixture_reopen(&s.f); /* the header has nothing to follow */
        ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
        ck_assert_int_eq(which < 3 ? rotate_step(&s, 8) : rotate_run(&s), ENVOL_OK);
        fail_cut(&s, which % 3);
        rotate_expect_all(&s);
        volume_page_put(&s.f, 5, 1);
        ck_ok(envol_volume_sync(s.f.volume));
        if (which % 2 == 0) {
            volume_fixture_kill(&s.f);
            volume_fixture_open(&s.f, 0, ENVOL_OK);
        }
        rotate_expect_all(&s);
        ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
        ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
        volume_fixture_reopen(&s.f);
        rotate_expect_all(&s);
        slot_fixture_end(&s);
    }
}
END_TEST

/* A sync, or the end of the rotation, that fails on its way to the header: the next sync tells it
 * of the pages that came. */
START_TEST(growth_that_is_told_late)
{
    struct slot_fixture s;

    if (!slot_fixture_begin(&s, true, NULL))
        return;
    ck_assert_int_eq(rotate_begin(&s), ENVOL_OK);
    ck_assert_int_eq(_i == 0 ? rotate_step(&s, 8) : rotate_run(&s), ENVOL_OK);
    for (uint64_t i = SLOT_PAGES; i < SLOT_PAGES + 5; i++)
        volume_page_put(&s.f, i, 1);
    watched_fail(s.f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_page_write(s.f.volume, SLOT_PAGES + 5, s.f.page), ENVOL_E_IO);
    watched_fail(s.f.watched, WATCHED_SIZE, 1, ENVOL_E_IO);
    if (_i == 0)
        ck_status(envol_volume_sync(s.f.volume), ENVOL_E_IO);
    else
        ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_E_IO);
    ck_ok(envol_volume_sync(s.f.volume));
    volume_fixture_kill(&s.f);
    volume_fixture_open(&s.f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(s.f.volume), SLOT_PAGES + 5);
    for (uint64_t i = 0; i < SLOT_PAGES + 5; i++)
        volume_page_expect(&s.f, i, 1);
    ck_assert_int_eq(rotate_run(&s), ENVOL_OK);
    ck_assert_int_eq(rotate_finish(&s, 0), ENVOL_OK);
    slot_fixture_end(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rotate pages");
    TCase *pages = tcase_create("pages");

    tcase_set_timeout(pages, 60);
    tcase_add_test(pages, bad_pages_stay_as_they_are);
    tcase_add_test(pages, bad_pages_are_abandoned);
    tcase_add_test(pages, old_records_are_refused);
    tcase_add_loop_test(pages, a_bad_sector, 0, 2);
    tcase_add_loop_test(pages, a_home_that_failed, 0, 4);
    tcase_add_test(pages, the_table_is_full);
    tcase_add_loop_test(pages, the_ledger, 0, 2);
    tcase_add_test(pages, the_ledger_reads_again);
    tcase_add_loop_test(pages, older_deks_are_kept, 0, 4);
    tcase_add_loop_test(pages, the_next_gives_them_up, 0, 2);
    tcase_add_loop_test(pages, no_pages, 0, 4);
    tcase_add_loop_test(pages, a_cut_through_what_came_since, 0, 4);
    tcase_add_loop_test(pages, a_cut_that_fails, 0, 2);
    tcase_add_loop_test(pages, growth_that_is_told_late, 0, 2);
    suite_add_tcase(s, pages);
    return s;
}

int main(void)
{
    return test_run(suite());
}
