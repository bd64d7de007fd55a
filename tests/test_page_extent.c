/* SPDX-License-Identifier: BSD-2-Clause */
/* Which pages were never written: against a model, and against a disk that lies. */
#include "page/revoke.h"
#include "page/trailer.h"
#include "support.h"
#include "volume_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 200 };

static struct volume_fixture f;

/* Walks all pages in steps of max at most; each must be as the model says. */
static void expect_model(const bool *unwritten, uint64_t count, uint64_t max)
{
    uint64_t pages;
    int are_unwritten;

    for (uint64_t next = 0; next < count; next += pages) {
        uint64_t alike = 1;
        ck_ok(envol_page_extent(f.volume, next, max, &pages, &are_unwritten, &f.error));
        while (alike < max && next + alike < count && unwritten[next + alike] == unwritten[next])
            alike++;
        ck_assert_int_eq(are_unwritten, unwritten[next]);
        ck_assert_uint_eq(pages, alike);
        ck_assert_int_eq(f.error.status, ENVOL_OK);
    }
}

START_TEST(extents_equal_a_model)
{
    bool unwritten[PAGES];
    bool marks;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    marks = f.gcm || f.shape->sparse;
    volume_page_put(&f, PAGES - 1, 1);
    for (int i = 0; i < PAGES; i++)
        unwritten[i] = marks && i < PAGES - 1;
    expect_model(unwritten, PAGES, UINT64_MAX);
    for (int round = 0; round < (test_tool() == NULL ? 12 : 3); round++) {
        uint64_t first = test_random() % PAGES, n = test_random() % 40;
        if (n > PAGES - first)
            n = PAGES - first;
        if (round % 3 == 2)
            ck_ok(envol_page_trim(f.volume, first, n));
        for (uint64_t i = first; i < first + n; i++) {
            if (round % 3 != 2)
                volume_page_put(&f, i, 1);
            unwritten[i] = marks && round % 3 == 2;
        }
        expect_model(unwritten, PAGES, 1 + test_random() % (2 * PAGES));
    }
    volume_fixture_reopen(&f);
    expect_model(unwritten, PAGES, UINT64_MAX);
    volume_fixture_close(&f);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    expect_model(unwritten, PAGES, UINT64_MAX);
    volume_fixture_free(&f);
}
END_TEST

/* A record that calls itself a hole and is none, or a hole that was damaged, has to be read. */
START_TEST(only_holes_that_authenticate)
{
    const bool unwritten[] = {true, false, false, false, true, false};
    uint64_t at;
    uint8_t byte = ENVOL_RECORD_HOLE;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 1, 1);
    volume_page_put(&f, 2, 1);
    volume_page_put(&f, 5, 1);
    at = volume_record_at(&f, 2) + f.stride_bytes - ENVOL_TRAILER_BYTES + 5;
    volume_store_put(f.store, at, &byte, 1);
    at = volume_record_at(&f, 3);
    volume_store_get(f.store, at, &byte, 1);
    byte ^= 1;
    volume_store_put(f.store, at, &byte, 1);
    expect_model(unwritten, 6, UINT64_MAX);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(what_the_store_cannot_read_is_written)
{
    uint64_t pages;
    int unwritten;

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    volume_page_put(&f, 3, 1);
    watched_fail(f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    ck_ok(envol_page_extent(f.volume, 0, 2, &pages, &unwritten, &f.error));
    ck_assert_uint_eq(pages, 2);
    ck_assert_int_eq(unwritten, 0);
    volume_fixture_free(&f);
}
END_TEST

static void refused(enum envol_status expected, uint64_t first, uint64_t max)
{
    uint64_t pages = 9;
    int unwritten = 9;

    ck_status(envol_page_extent(f.volume, first, max, &pages, &unwritten, &f.error), expected);
    ck_assert_int_eq(f.error.status, expected);
    ck_assert_uint_eq(pages, 0);
    ck_assert_int_eq(unwritten, 0);
}

START_TEST(refusals)
{
    uint64_t pages;
    int unwritten;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    refused(ENVOL_E_RANGE, 0, 1);
    volume_page_put(&f, 3, 1);
    refused(ENVOL_E_RANGE, 4, 1);
    refused(ENVOL_E_RANGE, UINT64_MAX, UINT64_MAX);
    refused(ENVOL_E_ARGUMENT, 0, 0);
    ck_ok(envol_page_extent(f.volume, 3, UINT64_MAX, &pages, &unwritten, NULL));
    ck_status(envol_page_extent(f.volume, 0, 1, NULL, &unwritten, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_page_extent(f.volume, 0, 1, &pages, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_page_extent(NULL, 0, 1, &pages, &unwritten, NULL), ENVOL_E_ARGUMENT);
    volume_fixture_free(&f);
}
END_TEST

static void *no_memory(void *ctx, size_t bytes, size_t align)
{
    (void)ctx, (void)bytes, (void)align;
    return NULL;
}

static void never_freed(void *ctx, void *memory)
{
    (void)ctx, (void)memory;
}

START_TEST(without_memory_and_without_keys)
{
    static const struct envol_allocator none = {
        .struct_size = sizeof(none), .alloc = no_memory, .free = never_freed};

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    volume_page_put(&f, 3, 1);
    ck_ok(envol_set_allocator(&none));
    refused(ENVOL_E_NO_MEMORY, 0, 1);
    ck_ok(envol_set_allocator(NULL));
    envol_keyring_revoke(f.volume->keyring);
    refused(ENVOL_E_KEY_REVOKED, 0, 1);
    volume_fixture_kill(&f);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(in_a_child)
{
    int how = 0;
    pid_t child;

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    volume_page_put(&f, 3, 1);
    child = fork();
    if (child == 0) {
        uint64_t pages;
        int unwritten;
        _exit(ck_note(envol_page_extent(f.volume, 0, 1, &pages, &unwritten, NULL)) !=
              ENVOL_E_FORKED);
    }
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert_int_eq(how, 0);
    volume_fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_extent");
    TCase *tcase = tcase_create("page_extent");

    tcase_add_loop_test(tcase, extents_equal_a_model, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, only_holes_that_authenticate, 0, VOLUME_GCM_SHAPES);
    tcase_add_test(tcase, what_the_store_cannot_read_is_written);
    tcase_add_loop_test(tcase, refusals, 0, VOLUME_SHAPES);
    tcase_add_test(tcase, without_memory_and_without_keys);
    tcase_add_test(tcase, in_a_child);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
