/* SPDX-License-Identifier: BSD-2-Clause */
/* What calls answer while the keys are gone, that the keys are gone, and that nothing is lost. */
#include "base/memory.h"
#include "header/header.h"
#include "lease_fixture.h"
#include "page/derive.h"
#include "page_calls.h"
#include "support.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- Sealing and unsealing, for engines that do their own I/O --- */

/* One call each way of an engine's object and lane on the volume's keyring. */
struct engine {
    struct page_fixture view; /* of the volume's keyring */
    struct page_io io[CALLS];
};

static bool has_call(const struct lease_fixture *l, enum page_call call)
{
    return l->f.gcm || call != CALL_SEAL_HOLE;
}

static void engine_begin(struct engine *e, struct lease_fixture *l)
{
    static const uint8_t id[ENVOL_OBJECT_BYTES] = "an engine's file";
    struct page_fixture *view = &e->view;

    *e = (struct engine){.view = {.page_bytes = l->f.page_bytes,
                                  .stride_bytes = l->f.stride_bytes,
                                  .keyring = l->f.volume->keyring}};
    if (l->f.gcm)
        view->wish.gap_bytes = l->f.stride_bytes - l->f.page_bytes - ENVOL_TRAILER_BYTES;
    ck_ok(envol_object_open(view->keyring, id, &view->object));
    ck_ok(envol_lane_open(view->keyring, &view->lane));
    for (enum page_call call = 0; call < CALLS; call++)
        if (has_call(l, call))
            e->io[call] = page_io_new(call, view, 5);
}

static void engine_end(struct engine *e)
{
    for (enum page_call call = 0; call < CALLS; call++)
        if (e->io[call].out != NULL)
            page_io_free(&e->io[call]);
    envol_lane_close(e->view.lane);
    envol_object_close(e->view.object);
}

/* With its lane and without one. */
static void engine_expect(struct engine *e, enum envol_status expected)
{
    for (enum page_call call = 0; call < CALLS; call++) {
        for (int i = 0; i < 2 && e->io[call].out != NULL; i++) {
            struct page_io io = e->io[call];
            size_t bytes = page_call_out_bytes(call, &io);
            enum envol_status got;
            if (call == CALL_SEAL_DETACHED)
                bytes = io.page_bytes; /* what lies before a trailer apart is the caller's */
            io.lane = i == 0 ? io.lane : NULL;
            memset(io.out, 0xee, bytes);
            got = page_call(call, &io);
            ck_assert_msg(got == expected, "%s: %s", page_call_name(call), envol_status_name(got));
            if (expected != ENVOL_OK)
                ck_assert_msg(envol_is_zero(io.out, bytes), "%s: output", page_call_name(call));
        }
    }
}

START_TEST(an_engines_calls)
{
    static const uint8_t id[ENVOL_OBJECT_BYTES] = "another";
    struct envol_object *object = NULL;
    struct envol_lane *lane = NULL;
    struct lease_fixture l;
    struct engine e;

    if (!lease_fixture_begin(&l, _i, 0))
        return;
    engine_begin(&e, &l);
    for (int round = 0; round < 3; round++) {
        engine_expect(&e, ENVOL_OK);
        lease_go_dark(&l);
        engine_expect(&e, ENVOL_E_KEY_REVOKED);
        ck_status(envol_object_open(e.view.keyring, id, &object), ENVOL_E_KEY_REVOKED);
        ck_assert_ptr_null(object);
        ck_status(envol_lane_open(e.view.keyring, &lane), ENVOL_E_KEY_REVOKED);
        ck_assert_ptr_null(lane);
        lease_expect_wiped(e.view.keyring);
        lease_come_back(&l);
        l.changes = 0;
    }
    engine_expect(&e, ENVOL_OK);
    engine_end(&e);
    lease_fixture_free(&l);
}
END_TEST

/* What was sealed before opens after, by old lanes and new ones; and the other way round. */
START_TEST(records_of_before_and_after)
{
    struct lease_fixture l;
    struct engine e;
    uint8_t *page, *before, *after;

    if (!lease_fixture_begin(&l, _i, 0))
        return;
    engine_begin(&e, &l);
    page = page_buffer(l.f.page_bytes);
    before = page_buffer(l.f.stride_bytes);
    after = page_buffer(l.f.stride_bytes);
    volume_page_fill(&l.f, 9, 7, page);
    ck_ok(envol_page_seal(e.view.object, e.view.lane, 9, page, before));
    lease_go_dark(&l);
    lease_come_back(&l);
    ck_ok(envol_page_seal(e.view.object, e.view.lane, 9, page, after));
    envol_lane_close(e.view.lane);
    envol_object_close(e.view.object);
    volume_fixture_reopen(&l.f);
    e.view.keyring = l.f.volume->keyring;
    ck_ok(envol_object_open(e.view.keyring, (const uint8_t *)"an engine's file", &e.view.object));
    ck_ok(envol_lane_open(e.view.keyring, &e.view.lane));
    for (int i = 0; i < 2; i++) {
        memset(page, 0, l.f.page_bytes);
        ck_ok(envol_page_unseal(e.view.object, e.view.lane, 9, i == 0 ? before : after, page));
        ck_assert_uint_eq(volume_page_version(&l.f, 9, 9, page), 7);
    }
    /* Under XTS both are one ciphertext; under GCM a salt is not used again. */
    if (l.f.gcm)
        ck_assert_mem_ne(before + l.f.stride_bytes - 40, after + l.f.stride_bytes - 40, 12);
    else
        ck_assert_mem_eq(before, after, l.f.stride_bytes);
    free(page);
    free(before);
    free(after);
    engine_end(&e);
    lease_fixture_free(&l);
}
END_TEST

/* --- Volumes --- */

static int no_bad_page(void *ctx, uint64_t page_no, enum envol_status status)
{
    (void)page_no;
    (void)status;
    ++*(int *)ctx;
    return 0;
}

START_TEST(a_volumes_calls)
{
    struct envol_verify_result result = {.struct_size = sizeof(result)};
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    struct envol_header_info inspected = {.struct_size = sizeof(inspected)};
    struct envol_page_io io = {.page_no = 1};
    struct envol_error *error;
    struct lease_fixture l;
    int bad = 0;

    if (!lease_fixture_begin(&l, _i, 0))
        return;
    error = &l.f.error;
    volume_page_put(&l.f, 1, 1);
    lease_go_dark(&l);
    volume_page_expect_status(&l.f, 1, ENVOL_E_KEY_REVOKED);
    ck_status(envol_page_write(l.f.volume, 1, l.f.page), ENVOL_E_KEY_REVOKED);
    ck_status(envol_page_write(l.f.volume, LEASE_PAGES, l.f.page), ENVOL_E_KEY_REVOKED);
    io.page = l.f.other;
    memset(l.f.other, 0xee, l.f.page_bytes);
    ck_status(envol_page_read_batch(l.f.volume, &io, 1, error), ENVOL_E_KEY_REVOKED);
    ck_assert_int_eq(io.status, ENVOL_E_KEY_REVOKED);
    ck_assert(envol_is_zero(l.f.other, l.f.page_bytes));
    ck_status(envol_page_write_batch(l.f.volume, &io, 1, error), ENVOL_E_KEY_REVOKED);
    ck_assert_int_eq(error->status, ENVOL_E_KEY_REVOKED);
    ck_status(envol_page_trim(l.f.volume, 0, 2), ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_truncate(l.f.volume, 2, error), ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_truncate(l.f.volume, 20, error), ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_refresh(l.f.volume, error), ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_verify(l.f.volume, no_bad_page, &bad, &result, error),
              ENVOL_E_KEY_REVOKED);
    ck_assert_int_eq(bad, 0);
    /* What needs no key goes on. */
    ck_ok(envol_volume_sync(l.f.volume));
    ck_ok(envol_volume_anchor(l.f.volume, &anchor));
    ck_ok(envol_volume_inspect(l.f.store, &inspected, NULL, error));
    ck_assert_uint_eq(volume_info_of(&l.f).pages, LEASE_PAGES);
    ck_assert_int_eq(volume_info_of(&l.f).lease_state, ENVOL_LEASE_INACCESSIBLE);
    ck_assert_int_eq(volume_info_of(&l.f).lease_status, ENVOL_E_KEY_DISABLED);
    ck_assert_uint_eq(volume_info_of(&l.f).lease_next_ms, 0);
    ck_assert_uint_eq(volume_info_of(&l.f).lease_deadline_ms, 0);
    ck_assert_uint_eq(volume_info_of(&l.f).lease_checked_ms, l.now_ms);
    lease_come_back(&l);
    ck_assert_int_eq(volume_info_of(&l.f).lease_state, ENVOL_LEASE_AVAILABLE);
    for (uint64_t i = 0; i < LEASE_PAGES; i++)
        volume_page_expect(&l.f, i, 1);
    volume_page_put(&l.f, LEASE_PAGES + 3, 4);
    volume_fixture_reopen(&l.f);
    volume_page_expect(&l.f, LEASE_PAGES + 3, 4);
    volume_page_expect(&l.f, 3, 1);
    lease_fixture_free(&l);
}
END_TEST

START_TEST(header_updates)
{
    static uint8_t current[ENVOL_HEADER_BYTES], copy[ENVOL_HEADER_COPY_BYTES];
    struct lease_fixture l;
    uint32_t first = 9;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    volume_store_get(l.f.store, 0, current, sizeof(current));
    lease_go_dark(&l);
    memset(copy, 0xee, sizeof(copy));
    ck_status(envol_header_prepare(l.f.volume->header, l.f.volume->keyring, current, copy, &first),
              ENVOL_E_KEY_REVOKED);
    ck_assert(envol_is_zero(copy, sizeof(copy)));
    lease_come_back(&l);
    ck_ok(envol_header_prepare(l.f.volume->header, l.f.volume->keyring, current, copy, &first));
    lease_fixture_free(&l);
}
END_TEST

static enum envol_status no_step(void *ctx)
{
    ++*(int *)ctx;
    return ENVOL_E_IO;
}
static void no_unlock(void *ctx)
{
    ++*(int *)ctx;
}
static enum envol_status no_read(void *ctx, uint32_t copy, void *buffer)
{
    (void)copy;
    (void)buffer;
    return no_step(ctx);
}
static enum envol_status no_write(void *ctx, uint32_t copy, const void *buffer)
{
    (void)copy;
    (void)buffer;
    return no_step(ctx);
}

START_TEST(header_commits)
{
    int steps = 0;
    const struct envol_header_io io = {sizeof(io), &steps,   no_step, no_unlock,
                                       no_read,    no_write, no_step};
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    lease_go_dark(&l);
    ck_status(envol_header_commit(l.f.volume->header, l.f.volume->keyring, &io, &l.f.error),
              ENVOL_E_KEY_REVOKED);
    ck_assert_int_eq(steps, 0);
    lease_come_back(&l);
    lease_fixture_free(&l);
}
END_TEST

/* --- Closing, and crashing --- */

START_TEST(closed_in_the_dark)
{
    struct lease_fixture l;
    struct envol_volume *volume;
    unsigned writes;

    if (!lease_fixture_begin(&l, _i, 0))
        return;
    volume_page_put(&l.f, LEASE_PAGES, 3);
    lease_go_dark(&l);
    ck_ok(envol_volume_sync(l.f.volume));
    writes = watched_header_writes(l.f.watched);
    volume = l.f.volume;
    l.f.volume = NULL;
    ck_status(envol_volume_close(volume), ENVOL_E_KEY_REVOKED);
    ck_assert_uint_eq(watched_header_writes(l.f.watched), writes);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    volume_fixture_open(&l.f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(l.f.volume), LEASE_PAGES + 1);
    volume_page_expect(&l.f, LEASE_PAGES, 3);
    for (uint64_t i = 0; i < LEASE_PAGES; i++)
        volume_page_expect(&l.f, i, 1);
    lease_fixture_free(&l);
}
END_TEST

/* There was nothing to be written. */
START_TEST(closed_in_the_dark_but_clean)
{
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, _i, 0))
        return;
    lease_go_dark(&l);
    volume_fixture_close(&l.f);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    volume_fixture_open(&l.f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    l.options.flags |= ENVOL_LEASE_NO_GRACE;
    l.options.grace_ms = 0;
    lease_fixture_start(&l);
    lease_go_dark(&l);
    ck_ok(envol_volume_sync(l.f.volume));
    volume_fixture_close(&l.f);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    volume_fixture_open(&l.f, 0, ENVOL_OK);
    volume_page_expect(&l.f, 1, 1);
    lease_fixture_free(&l);
}
END_TEST

/* A header update had failed before: the sync says that it is not done, and unlocking lets it. */
START_TEST(a_header_that_is_due)
{
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    watched_fail(l.f.watched, WATCHED_LOCK, 1, ENVOL_E_IO);
    volume_page_fill(&l.f, LEASE_PAGES, 2, l.f.page);
    ck_status(envol_page_write(l.f.volume, LEASE_PAGES, l.f.page), ENVOL_E_IO);
    lease_go_dark(&l);
    ck_status(envol_volume_sync(l.f.volume), ENVOL_E_KEY_REVOKED);
    lease_come_back(&l);
    volume_page_put(&l.f, LEASE_PAGES, 2);
    ck_ok(envol_volume_sync(l.f.volume));
    volume_fixture_reopen(&l.f);
    volume_page_expect(&l.f, LEASE_PAGES, 2);
    lease_fixture_free(&l);
}
END_TEST

/* A process that has synced, went dark, and is killed.  It has a store of its own: one that was
 * opened before a fork takes no locks. */
static void live_and_die(const struct lease_fixture *parent)
{
    struct lease_fixture l = *parent;

    l.f.volume = NULL;
    ck_ok(envol_file_store_open(test_path("volume"), 0, &l.f.store, NULL));
    volume_fixture_open(&l.f, 0, ENVOL_OK);
    lease_fixture_start(&l);
    for (uint64_t i = 0; i < 3 * LEASE_PAGES; i++)
        volume_page_put(&l.f, i, 5);
    ck_ok(envol_volume_sync(l.f.volume));
    lease_go_dark(&l);
    raise(SIGKILL);
}

START_TEST(killed_in_the_dark)
{
    struct lease_fixture l;
    struct envol_store *store;
    int status;
    pid_t child;

    if (!lease_fixture_open(&l, _i, 0))
        return;
    /* A store that both processes see. */
    volume_fixture_close(&l.f);
    volume_fixture_free(&l.f);
    ck_ok(envol_file_store_open(test_path("volume"), ENVOL_FILE_CREATE, &store, NULL));
    if (!volume_fixture_create_on(&l.f, &volume_shapes[_i], store))
        return;
    volume_fixture_close(&l.f);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        live_and_die(&l);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    volume_fixture_open(&l.f, 0, ENVOL_E_KEY_DISABLED);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    volume_fixture_open(&l.f, 0, ENVOL_OK);
    for (uint64_t i = 0; i < 3 * LEASE_PAGES; i++)
        volume_page_expect(&l.f, i, 5);
    lease_fixture_free(&l);
}
END_TEST

/* --- Memory --- */

/* Pieces of keys, masked, so that a scan finds only what the library left. */
enum { PIECES = 8, PIECE_BYTES = 16, MASK = 0x5a };
static uint8_t pieces[PIECES][PIECE_BYTES];

static void remember(const struct lease_fixture *l)
{
    uint8_t secret[ENVOL_DEK_BYTES], key[32];

    ck_assert(fake_kms_last_dek(l->f.kms, secret));
    envol_derive(secret,
                 &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_PAGE_GCM,
                                                  .uuid = l->f.volume->keyring->uuid,
                                                  .suite = l->f.shape->suite,
                                                  .epoch = 1},
                 key, sizeof(key));
    for (size_t i = 0; i < sizeof(secret); i++)
        pieces[i / PIECE_BYTES][i % PIECE_BYTES] = secret[i] ^ MASK;
    for (size_t i = 0; i < sizeof(key); i++)
        pieces[4 + i / PIECE_BYTES][i % PIECE_BYTES] = key[i] ^ MASK;
    envol_wipe(secret, sizeof(secret));
    envol_wipe(key, sizeof(key));
    /* XTS: of the object's key, as much as it keeps. */
    memset(pieces[6], 0xff, 2 * (size_t)PIECE_BYTES);
    if (l->f.volume->object->xts_raw != NULL)
        for (size_t i = 0; i < 2 * (size_t)PIECE_BYTES; i++)
            pieces[6 + i / PIECE_BYTES][i % PIECE_BYTES] = l->f.volume->object->xts_raw[i] ^ MASK;
}

static bool is_piece(const uint8_t *at)
{
    for (size_t i = 0; i < PIECES; i++) {
        size_t n = 0;
        while (n < PIECE_BYTES && (at[n] ^ MASK) == pieces[i][n])
            n++;
        if (n == PIECE_BYTES)
            return true;
    }
    return false;
}

/* How many there are in all private, writable memory. */
static unsigned count_pieces(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uintptr_t from, to;
    char line[512], mode[5];
    unsigned found = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        ck_assert_int_eq(sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode), 3);
        if (strcmp(mode, "rw-p") != 0)
            continue;
        for (const uint8_t *p = (const uint8_t *)from; p + PIECE_BYTES <= (const uint8_t *)to; p++)
            found += is_piece(p);
    }
    fclose(maps);
    return found;
}

START_TEST(no_key_in_memory)
{
    struct lease_fixture l;
    struct engine e;

    if (test_tool() != NULL) {
        test_skip("keys in memory", "the tool has memory of its own");
        return;
    }
    if (!lease_fixture_begin(&l, _i == 0 ? 0 : 5, 0))
        return;
    engine_begin(&e, &l);
    engine_expect(&e, ENVOL_OK);
    remember(&l);
    ck_assert_uint_ge(count_pieces(), 4);
    lease_go_dark(&l);
    ck_assert_uint_eq(count_pieces(), 0);
    engine_expect(&e, ENVOL_E_KEY_REVOKED);
    ck_assert_uint_eq(count_pieces(), 0);
    lease_come_back(&l);
    ck_assert_uint_ge(count_pieces(), 4);
    engine_expect(&e, ENVOL_OK);
    engine_end(&e);
    lease_fixture_free(&l);
    ck_assert_uint_eq(count_pieces(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lease_calls");
    TCase *tests = tcase_create("dark");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, an_engines_calls, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tests, records_of_before_and_after, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tests, a_volumes_calls, 0, VOLUME_SHAPES);
    tcase_add_test(tests, header_updates);
    tcase_add_test(tests, header_commits);
    tcase_add_loop_test(tests, closed_in_the_dark, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tests, closed_in_the_dark_but_clean, 0, VOLUME_SHAPES);
    tcase_add_test(tests, a_header_that_is_due);
    tcase_add_loop_test(tests, killed_in_the_dark, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tests, no_key_in_memory, 0, 2);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
