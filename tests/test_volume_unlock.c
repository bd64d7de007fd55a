/* SPDX-License-Identifier: BSD-2-Clause */
/* Unlocking a volume whose keys were taken: which CMKs do it, what it refuses, what it follows. */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "failing_mlock.h"
#include "header/header.h"
#include "lease_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_KEY "arn:fake:key/2"

static enum envol_status unlock(struct lease_fixture *l)
{
    enum envol_status status =
        ck_note(envol_volume_unlock(l->f.volume, &l->f.cmk, 1, NULL, &l->f.error));

    ck_assert_int_eq(l->f.error.status, status);
    return status;
}

/* A volume that went dark; the key is enabled again. */
static bool begin(struct lease_fixture *l, int shape)
{
    if (!lease_fixture_begin(l, shape, 0))
        return false;
    lease_go_dark(l);
    fake_kms_set_state(l->f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    l->changes = 0;
    return true;
}

static void still_dark(struct lease_fixture *l)
{
    volume_page_expect_status(&l->f, 1, ENVOL_E_KEY_REVOKED);
    lease_expect_wiped(l->f.volume->keyring);
    ck_assert_int_eq(lease_info_of(l).state, ENVOL_LEASE_INACCESSIBLE);
    ck_assert_uint_eq(l->changes, 0);
}

static void end(struct lease_fixture *l)
{
    ck_assert_int_eq(unlock(l), ENVOL_OK);
    for (uint64_t i = 0; i < LEASE_PAGES; i++)
        volume_page_expect(&l->f, i, 1);
    lease_fixture_free(l);
}

START_TEST(one_call_of_the_service)
{
    struct lease_fixture l;
    unsigned calls;

    if (!begin(&l, _i))
        return;
    calls = fake_kms_calls(l.f.kms, FAKE_ANY);
    ck_assert_int_eq(unlock(&l), ENVOL_OK);
    ck_assert_uint_eq(fake_kms_calls(l.f.kms, FAKE_ANY), calls + 1);
    lease_expect_told(&l, ENVOL_LEASE_INACCESSIBLE, ENVOL_LEASE_AVAILABLE, ENVOL_OK);
    volume_page_put(&l.f, 1, 1);
    end(&l);
}
END_TEST

START_TEST(what_the_service_answers)
{
    struct lease_fixture l;

    if (!begin(&l, 0))
        return;
    for (size_t i = 0; i < FAKE_STATUSES; i++) {
        fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, fake_statuses[i]);
        ck_assert_int_eq(unlock(&l), fake_statuses[i]);
        ck_assert_str_eq(l.f.error.provider_code, "PlannedFailure");
        ck_assert_int_eq(l.f.error.slot, 1);
        still_dark(&l);
    }
    end(&l);
}
END_TEST

START_TEST(another_dek)
{
    struct lease_fixture l;

    if (!begin(&l, 0))
        return;
    fake_kms_misbehave(l.f.kms, FAKE_DEK_GARBAGE);
    ck_assert_int_eq(unlock(&l), ENVOL_E_WRONG_KEY);
    ck_assert_int_eq(l.f.error.slot, 1);
    still_dark(&l);
    fake_kms_misbehave(l.f.kms, FAKE_HONEST);
    end(&l);
}
END_TEST

START_TEST(cmks_and_options)
{
    struct envol_cmk other = {NULL, SECOND_KEY}, any = {NULL, NULL};
    struct envol_volume_options options = {.struct_size = sizeof(options)};
    int cancelled = 1;
    struct lease_fixture l;

    if (!begin(&l, 0))
        return;
    other.provider = any.provider = l.f.provider;
    ck_status(envol_volume_unlock(NULL, &l.f.cmk, 1, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_unlock(l.f.volume, NULL, 1, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_unlock(l.f.volume, &l.f.cmk, 0, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_unlock(l.f.volume, &any, 1, NULL, &l.f.error), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_unlock(l.f.volume, &other, 1, NULL, &l.f.error), ENVOL_E_NO_PROVIDER);
    options.struct_size--;
    ck_status(envol_volume_unlock(l.f.volume, &l.f.cmk, 1, &options, NULL), ENVOL_E_ARGUMENT);
    options.struct_size++;
    options.cancel_flag = &cancelled;
    ck_status(envol_volume_unlock(l.f.volume, &l.f.cmk, 1, &options, NULL), ENVOL_E_CANCELLED);
    options.cancel_flag = NULL;
    options.timeout_ms = 50;
    fake_kms_hang(l.f.kms, true);
    ck_status(envol_volume_unlock(l.f.volume, &l.f.cmk, 1, &options, NULL), ENVOL_E_TIMEOUT);
    fake_kms_hang(l.f.kms, false);
    still_dark(&l);
    options.timeout_ms = 0;
    /* The options of an open may be given again; of the flags only discovery means anything. */
    options.flags = ENVOL_OPEN_DISCOVER | ENVOL_OPEN_READ_ONLY;
    ck_ok(envol_volume_unlock(l.f.volume, &any, 1, &options, NULL));
    volume_page_put(&l.f, 1, 1);
    end(&l);
}
END_TEST

/* --- Memory --- */

/* Takes all that is locked, in pieces as small as there are. */
static size_t exhaust(void **pieces, size_t most)
{
    size_t n = 0;

    while (n < most && envol_arena_alloc(1, 0, &pieces[n]) == ENVOL_OK)
        n++;
    ck_assert_uint_lt(n, most);
    return n;
}

START_TEST(no_locked_memory)
{
    static void *pieces[4096];
    struct lease_fixture l;
    size_t n;

    if (!begin(&l, 0))
        return;
    mlock_fails = true;
    n = exhaust(pieces, 4096);
    ck_assert_int_eq(unlock(&l), ENVOL_E_LOCKED_MEMORY);
    still_dark(&l);
    mlock_fails = false;
    while (n > 0)
        envol_arena_free(pieces[--n], 1);
    end(&l);
}
END_TEST

/* Each allocation in turn. */
static _Atomic long allocations_left = -1;

static void *limited_alloc(void *ctx, size_t bytes, size_t align)
{
    void *memory = NULL;

    (void)ctx;
    if (allocations_left == 0)
        return NULL;
    if (allocations_left > 0)
        allocations_left--;
    return posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes) == 0
               ? memory
               : NULL;
}

static void limited_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

START_TEST(out_of_memory)
{
    static const struct envol_allocator limited = {sizeof(limited), NULL, limited_alloc,
                                                   limited_free};
    struct lease_fixture l;
    enum envol_status status = ENVOL_E_NO_MEMORY;
    long n = 0;

    ck_ok(envol_set_allocator(&limited));
    if (!begin(&l, _i == 0 ? 0 : 5))
        return;
    for (; status == ENVOL_E_NO_MEMORY; n++) {
        allocations_left = n;
        status = unlock(&l);
        allocations_left = -1;
        if (status != ENVOL_OK)
            still_dark(&l);
    }
    ck_assert_int_eq(status, ENVOL_OK);
    ck_assert_int_gt(n, 2);
    lease_fixture_free(&l);
}
END_TEST

/* --- Headers --- */

static uint8_t good[ENVOL_HEADER_BYTES], bad[ENVOL_HEADER_BYTES];

static void put_header(struct lease_fixture *l, const uint8_t *bytes)
{
    volume_store_put(l->f.store, 0, bytes, ENVOL_HEADER_BYTES);
}

static void set_crc(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_CRC, 0);
    envol_store32(copy + ENVOL_AT_CRC, envol_crc32c(0, copy, ENVOL_HEADER_COPY_BYTES));
}

START_TEST(headers_that_do_not_read)
{
    struct lease_fixture l;
    uint64_t bytes;

    if (!begin(&l, 0))
        return;
    volume_store_get(l.f.store, 0, good, sizeof(good));
    memset(bad, 0, sizeof(bad));
    put_header(&l, bad);
    ck_assert_int_eq(unlock(&l), ENVOL_E_FORMAT);
    memcpy(bad, good, sizeof(bad));
    bad[200] ^= 1;
    bad[200 + ENVOL_HEADER_COPY_BYTES] ^= 1;
    put_header(&l, bad);
    ck_assert_int_eq(unlock(&l), ENVOL_E_CORRUPT);
    memcpy(bad, good, sizeof(bad));
    for (size_t at = 0; at < sizeof(bad); at += ENVOL_HEADER_COPY_BYTES) {
        envol_store32(bad + at + ENVOL_AT_VERSION, 99);
        set_crc(bad + at);
    }
    put_header(&l, bad);
    ck_assert_int_eq(unlock(&l), ENVOL_E_VERSION);
    /* A MAC that is not this DEK's. */
    memcpy(bad, good, sizeof(bad));
    for (size_t at = 0; at < sizeof(bad); at += ENVOL_HEADER_COPY_BYTES) {
        bad[at + ENVOL_HEADER_COPY_BYTES - 1] ^= 1;
        set_crc(bad + at);
    }
    put_header(&l, bad);
    ck_assert_int_eq(unlock(&l), ENVOL_E_WRONG_KEY);
    put_header(&l, good);
    bytes = volume_store_bytes(l.f.store);
    ck_assert_int_eq(envol_store_resize(l.f.store, 20000, NULL), ENVOL_OK);
    ck_assert_int_eq(unlock(&l), ENVOL_E_TRUNCATED);
    still_dark(&l);
    ck_assert_int_eq(envol_store_resize(l.f.store, bytes, NULL), ENVOL_OK);
    put_header(&l, good);
    watched_fail(l.f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    ck_assert_int_eq(unlock(&l), ENVOL_E_IO);
    watched_fail(l.f.watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
    ck_assert_int_eq(unlock(&l), ENVOL_E_BUSY);
    still_dark(&l);
    ck_assert_int_eq(unlock(&l), ENVOL_OK);
    envol_lease_stop(l.lease);
    volume_fixture_kill(&l.f); /* its pages were cut away */
    volume_fixture_free(&l.f);
}
END_TEST

/* A volume's header of an hour ago, and another volume's under the same key. */
START_TEST(headers_of_another_time_and_place)
{
    static uint8_t old[ENVOL_HEADER_BYTES];
    struct lease_fixture l, second;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    volume_store_get(l.f.store, 0, old, sizeof(old));
    ck_ok(envol_volume_truncate(l.f.volume, LEASE_PAGES, NULL));
    volume_store_get(l.f.store, 0, good, sizeof(good));
    ck_assert_mem_ne(old, good, sizeof(good));
    lease_go_dark(&l);
    l.changes = 0;
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    put_header(&l, old);
    ck_assert_int_eq(unlock(&l), ENVOL_E_STALE);
    still_dark(&l);
    ck_assert(lease_fixture_open(&second, 0, 0));
    volume_store_get(second.f.store, 0, bad, sizeof(bad));
    put_header(&l, bad);
    /* Of the fake key services each makes DEKs of its own, but their keys are the same. */
    ck_assert_int_eq(unlock(&l), ENVOL_E_STALE);
    still_dark(&l);
    put_header(&l, good);
    lease_fixture_free(&second);
    end(&l);
}
END_TEST

/* --- What is followed --- */

/* A volume of two CMKs: the slot that opens it is the one that counts. */
static void open_with(struct lease_fixture *l, struct envol_store *store, const char *key_ref)
{
    const struct envol_cmk cmk = {l->f.provider, key_ref};

    ck_ok(envol_volume_open(store, &cmk, 1, NULL, &l->f.volume, &l->f.error));
    lease_fixture_start(l);
    (void)lease_tick(l, 0);
}

START_TEST(the_slot_that_opened_it)
{
    struct lease_fixture l;
    struct envol_store *store;
    struct envol_cmk cmks[2];
    struct envol_volume *made;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    volume_fixture_close(&l.f);
    fake_kms_add_key(l.f.kms, SECOND_KEY);
    cmks[0] = l.f.cmk;
    cmks[1] = (struct envol_cmk){l.f.provider, SECOND_KEY};
    watched_store_new(&store);
    ck_ok(envol_volume_create(store, cmks, 2, NULL, &made, NULL));
    ck_ok(envol_volume_close(made));
    open_with(&l, store, SECOND_KEY);
    ck_assert_uint_eq(volume_info_of(&l.f).opened_slot, 2);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    ck_assert_str_eq(fake_kms_last_key_ref(l.f.kms), SECOND_KEY);
    fake_kms_set_state(l.f.kms, SECOND_KEY, FAKE_KEY_DISABLED);
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_int_eq(lease_tick(&l, LEASE_GRACE), ENVOL_E_KEY_REVOKED);
    /* Any slot unlocks, and is followed from then on. */
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    ck_ok(envol_volume_unlock(l.f.volume, cmks, 2, NULL, NULL));
    ck_assert_uint_eq(volume_info_of(&l.f).opened_slot, 1);
    (void)lease_tick(&l, 0);
    ck_assert_int_eq(lease_tick(&l, LEASE_INTERVAL), ENVOL_OK);
    ck_assert_str_eq(fake_kms_last_key_ref(l.f.kms), VOLUME_KEY);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    volume_fixture_close(&l.f);
    envol_store_close(store);
    volume_fixture_free(&l.f);
}
END_TEST

/* The slot's wrapping under the key's newest version, in the writer's header and on the store. */
static void rewrap(struct volume_fixture *f)
{
    struct envol_slot *old = f->volume->header->slots[0], changed = *old;
    struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
    struct envol_key_request from = {.struct_size = sizeof(from)}, to;

    fake_kms_rotate(f->kms, VOLUME_KEY);
    from.context = envol_header_context(f->volume->header, &from.context_pairs);
    to = from;
    from.key_ref = to.key_ref = VOLUME_KEY;
    from.key_version = old->key_version;
    ck_ok(envol_provider_rewrap(f->provider, &from, old->wrapped, old->wrapped_bytes, &to, &wrapped,
                                NULL));
    changed.key_version = wrapped.key_version;
    changed.wrapped = wrapped.wrapped;
    changed.wrapped_bytes = wrapped.wrapped_bytes;
    ck_assert_int_eq(envol_slot_copy(&changed, &f->volume->header->slots[0]), ENVOL_OK);
    envol_free(old);
    ck_ok(envol_volume_truncate(f->volume, LEASE_PAGES, NULL));
}

/* A refusal of what an old header says is no refusal, when the new one says something else. */
START_TEST(a_reader_beside_a_rewrap)
{
    struct lease_fixture l;
    struct envol_volume *writer;
    unsigned calls;

    if (!lease_fixture_open(&l, 0, 0))
        return;
    writer = l.f.volume;
    ck_ok(envol_volume_open(
        watched_store_share(l.f.watched), &l.f.cmk, 1,
        &(struct envol_volume_options){.struct_size = sizeof(struct envol_volume_options),
                                       .flags = ENVOL_OPEN_READ_ONLY},
        &l.f.volume, NULL));
    lease_fixture_start(&l);
    (void)lease_tick(&l, 0);
    /* Nothing new: refused is refused. */
    calls = fake_kms_calls(l.f.kms, FAKE_UNWRAP);
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, ENVOL_E_KEY_NOT_FOUND);
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_uint_eq(fake_kms_calls(l.f.kms, FAKE_UNWRAP), calls + 1);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_SUSPECT);
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    /* The writer wraps anew, and the service forgets the old version. */
    {
        struct envol_volume *reader = l.f.volume;
        l.f.volume = writer;
        rewrap(&l.f);
        l.f.volume = reader;
    }
    calls = fake_kms_calls(l.f.kms, FAKE_UNWRAP);
    fake_kms_fail(l.f.kms, FAKE_UNWRAP, 1, ENVOL_E_KEY_NOT_FOUND);
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_uint_eq(fake_kms_calls(l.f.kms, FAKE_UNWRAP), calls + 2);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_AVAILABLE);
    ck_assert_int_eq(lease_info_of(&l).last_status, ENVOL_OK);
    /* Gone is gone, though, whatever the header says. */
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_GONE);
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_SUSPECT);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    {
        struct envol_store *shared = l.f.volume->store;
        volume_fixture_close(&l.f);
        envol_store_close(shared);
    }
    l.f.volume = writer;
    lease_fixture_free(&l);
}
END_TEST

/* Whoever removes the slot means it. */
START_TEST(a_slot_that_was_removed)
{
    struct lease_fixture l;
    struct envol_slot extra;
    uint32_t id;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    extra = *l.f.volume->header->slots[0];
    ck_ok(envol_header_add_slot(l.f.volume->header, &extra, &id));
    ck_ok(envol_header_remove_slot(l.f.volume->header, 1));
    ck_ok(envol_volume_truncate(l.f.volume, LEASE_PAGES, NULL));
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_SUSPECT);
    ck_assert_int_eq(lease_info_of(&l).last_status, ENVOL_E_KEY_NOT_FOUND);
    ck_assert_int_eq(lease_tick(&l, LEASE_GRACE), ENVOL_E_KEY_REVOKED);
    ck_assert_int_eq(unlock(&l), ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&l.f).opened_slot, id);
    end(&l);
}
END_TEST

/* --- The file provider --- */

START_TEST(a_key_file)
{
    static uint8_t page[16336] = {1, 2, 3}, again[sizeof(page)];
    const struct envol_lease_options options = {
        .struct_size = sizeof(options), .flags = ENVOL_LEASE_AT_ONCE | ENVOL_LEASE_NO_GRACE};
    const char *path = test_path("key");
    struct envol_cmk cmk = {NULL, NULL};
    struct envol_provider *provider;
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_lease *lease;

    ck_ok(envol_key_file_create(path, NULL));
    ck_ok(envol_file_provider_open(path, &provider));
    cmk.provider = provider;
    watched_store_new(&store);
    ck_ok(envol_volume_create(store, &cmk, 1, NULL, &volume, NULL));
    ck_ok(envol_page_write(volume, 0, page));
    ck_ok(envol_lease_start(volume, &options, &lease, NULL));
    ck_ok(envol_lease_poll(lease, 0, NULL));
    envol_lease_stop(lease);
    ck_ok(envol_key_file_set_state(path, ENVOL_KEY_DISABLED, NULL));
    ck_ok(envol_lease_start(volume, &options, &lease, NULL));
    ck_status(envol_lease_poll(lease, 0, NULL), ENVOL_E_KEY_REVOKED);
    ck_status(envol_page_read(volume, 0, again), ENVOL_E_KEY_REVOKED);
    ck_status(envol_volume_unlock(volume, &cmk, 1, NULL, NULL), ENVOL_E_KEY_DISABLED);
    ck_ok(envol_key_file_rotate(path, NULL)); /* versions are kept */
    ck_ok(envol_key_file_set_state(path, ENVOL_KEY_ENABLED, NULL));
    ck_ok(envol_volume_unlock(volume, &cmk, 1, NULL, NULL));
    ck_ok(envol_page_read(volume, 0, again));
    ck_assert_mem_eq(page, again, sizeof(page));
    /* No file is a refusal, a file that is no key is not. */
    ck_assert_int_eq(unlink(path), 0);
    ck_status(envol_volume_unlock(volume, &cmk, 1, NULL, NULL), ENVOL_E_KEY_NOT_FOUND);
    ck_ok(envol_volume_close(volume));
    envol_store_close(store);
    envol_provider_close(provider);
}
END_TEST

/* Where nothing was taken, the key service is asked all the same. */
START_TEST(unlocked_already)
{
    struct lease_fixture l;

    if (!lease_fixture_begin(&l, 0, 0))
        return;
    (void)lease_tick(&l, 0);
    ck_assert_int_eq(unlock(&l), ENVOL_OK);
    ck_assert_uint_eq(l.changes, 0);
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    ck_assert_int_eq(unlock(&l), ENVOL_E_KEY_DISABLED);
    volume_page_expect(&l.f, 1, 1);
    (void)lease_tick(&l, 0);
    (void)lease_tick(&l, LEASE_INTERVAL);
    ck_assert_int_eq(lease_info_of(&l).state, ENVOL_LEASE_SUSPECT);
    l.changes = 0;
    fake_kms_set_state(l.f.kms, VOLUME_KEY, FAKE_KEY_ENABLED);
    ck_assert_int_eq(unlock(&l), ENVOL_OK);
    lease_expect_told(&l, ENVOL_LEASE_SUSPECT, ENVOL_LEASE_AVAILABLE, ENVOL_OK);
    ck_assert_uint_eq(lease_info_of(&l).deadline_ms, 0);
    end(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("volume_unlock");
    TCase *tests = tcase_create("unlock");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, one_call_of_the_service, 0, VOLUME_SHAPES);
    tcase_add_test(tests, what_the_service_answers);
    tcase_add_test(tests, another_dek);
    tcase_add_test(tests, cmks_and_options);
    tcase_add_test(tests, no_locked_memory);
    tcase_add_loop_test(tests, out_of_memory, 0, 2);
    tcase_add_test(tests, headers_that_do_not_read);
    tcase_add_test(tests, headers_of_another_time_and_place);
    tcase_add_test(tests, the_slot_that_opened_it);
    tcase_add_test(tests, a_reader_beside_a_rewrap);
    tcase_add_test(tests, a_slot_that_was_removed);
    tcase_add_test(tests, a_key_file);
    tcase_add_test(tests, unlocked_already);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
