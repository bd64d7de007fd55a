/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyrings, objects and lanes as handles: what they say, cost, need, and give back. */
#include "base/arena.h"
#include "base/memory.h"
#include "failing_mlock.h"
#include "page_fixture.h"
#include "support.h"

#include <envol/memory.h>
#include <stdlib.h>
#include <string.h>

/* An allocator that counts what is live, and refuses when told to. */
static struct {
    long live;
    bool refuses;
} heap;

static void *counted_alloc(void *ctx, size_t bytes, size_t align)
{
    void *memory = NULL;

    (void)ctx;
    if (heap.refuses || posix_memalign(&memory, align, bytes) != 0)
        return NULL;
    heap.live++;
    return memory;
}

static void counted_free(void *ctx, void *memory)
{
    (void)ctx;
    heap.live--;
    free(memory);
}

static const struct envol_allocator counted = {
    .struct_size = sizeof(counted), .alloc = counted_alloc, .free = counted_free};

static size_t used_bytes(void)
{
    struct envol_memory_stats stats = {.struct_size = sizeof(stats)};

    ck_ok(envol_memory_stats(&stats));
    return stats.used_bytes;
}

static size_t locked_bytes(void)
{
    struct envol_memory_stats stats = {.struct_size = sizeof(stats)};

    ck_ok(envol_memory_stats(&stats));
    return stats.locked_bytes;
}

/* GCM, then XTS where there is one. */
static enum envol_suite suite_of(int i)
{
    return i == 1 && page_suite(ENVOL_SUITE_AES_256_XTS) ? ENVOL_SUITE_AES_256_XTS
                                                         : ENVOL_SUITE_AES_256_GCM;
}

static struct page_fixture fixture_of(int i, uint32_t flags)
{
    struct page_wish wish = {.suite = suite_of(i), .flags = flags};
    struct page_fixture f;

    page_fixture_open(&f, &wish);
    return f;
}

/* --- what they say --- */

START_TEST(geometry)
{
    struct page_fixture f = fixture_of(_i, 0);
    struct {
        struct envol_geometry now;
        uint64_t later; /* a field that a newer caller knows */
    } g = {.later = 99};
    bool is_gcm = f.wish.suite == ENVOL_SUITE_AES_256_GCM;

    g.now.struct_size = sizeof(g);
    ck_ok(envol_keyring_geometry(f.keyring, &g.now));
    ck_assert_int_eq(g.now.suite, f.wish.suite);
    ck_assert_uint_eq(g.now.page_bytes, 4096);
    ck_assert_uint_eq(g.now.stride_bytes, is_gcm ? 4144 : 4096);
    ck_assert_uint_eq(g.now.trailer_bytes, is_gcm ? ENVOL_TRAILER_BYTES : 0);
    ck_assert_uint_eq(g.now.struct_size, sizeof(g));
    ck_assert_uint_eq(g.later, 0);
    g.now.struct_size = sizeof(g.now) - 1;
    ck_status(envol_keyring_geometry(f.keyring, &g.now), ENVOL_E_ARGUMENT);
    ck_status(envol_keyring_geometry(f.keyring, NULL), ENVOL_E_ARGUMENT);
    page_fixture_close(&f);
}
END_TEST

START_TEST(epochs)
{
    const struct page_wish wish = {.epoch = 9, .lowest = 7, .retained = 4};
    const struct envol_epoch_keys *keys;
    struct page_fixture f;

    page_fixture_open(&f, &wish);
    ck_assert_uint_eq(envol_keyring_epoch(f.keyring), 9);
    ck_assert_uint_eq(envol_keyring_lowest_epoch(f.keyring), 7);
    for (uint32_t epoch = 7; epoch <= 9; epoch++) {
        ck_assert_int_eq(envol_keyring_lookup(f.keyring, epoch, &keys), ENVOL_OK);
        ck_assert_mem_eq(keys->dek, f.dek[9 - epoch], ENVOL_DEK_BYTES);
        ck_assert_ptr_eq(envol_keyring_find(f.keyring, epoch), keys);
    }
    /* Kept, but no longer accepted. */
    ck_assert_ptr_nonnull(envol_keyring_find(f.keyring, 6));
    ck_assert_int_eq(envol_keyring_lookup(f.keyring, 6, &keys), ENVOL_E_CORRUPT);
    ck_assert_ptr_null(keys);
    ck_assert_int_eq(envol_keyring_lookup(f.keyring, 10, &keys), ENVOL_E_STALE);
    ck_assert_int_eq(envol_keyring_lookup(f.keyring, 0, &keys), ENVOL_E_CORRUPT);
    ck_assert_int_eq(envol_keyring_add(f.keyring, 4, f.dek[0]), ENVOL_E_RANGE);
    ck_assert_uint_eq(f.keyring->entries, ENVOL_EPOCHS_MAX);
    page_fixture_close(&f);
}
END_TEST

/* An accepted epoch that is not in the ring. */
START_TEST(gap_in_the_epochs)
{
    const struct page_wish wish = {.epoch = 9, .lowest = 3, .retained = 1};
    const struct envol_epoch_keys *keys;
    struct page_fixture f;

    page_fixture_open(&f, &wish);
    ck_assert_int_eq(envol_keyring_lookup(f.keyring, 8, &keys), ENVOL_OK);
    ck_assert_int_eq(envol_keyring_lookup(f.keyring, 7, &keys), ENVOL_E_CORRUPT);
    ck_assert_ptr_null(keys);
    page_fixture_close(&f);
}
END_TEST

START_TEST(seals_are_counted)
{
    struct page_fixture f = fixture_of(_i, 0);
    uint8_t page[4096] = {0}, record[4144];

    for (int i = 1; i <= 1023; i++)
        ck_ok(envol_page_seal(f.object, f.lane, 1, page, record));
    ck_ok(envol_page_unseal(f.object, f.lane, 1, record, page));
    ck_assert_uint_eq(envol_keyring_seals(f.keyring), 0);
    ck_ok(envol_blob_seal(f.object, f.lane, NULL, 0, page, 10, record));
    ck_assert_uint_eq(envol_keyring_seals(f.keyring), 1024);
    ck_ok(envol_page_seal(f.object, NULL, 1, page, record));
    ck_assert_uint_eq(envol_keyring_seals(f.keyring), 1025);
    ck_ok(envol_page_seal(f.object, f.lane, 1, page, record));
    ck_assert_uint_eq(envol_keyring_seals(f.keyring), 1025);
    envol_lane_close(f.lane);
    ck_assert_uint_eq(envol_keyring_seals(f.keyring), 1026);
    f.lane = NULL;
    page_fixture_close(&f);
}
END_TEST

/* --- what they refuse --- */

START_TEST(wrong_arguments)
{
    struct page_fixture f = fixture_of(0, 0);
    struct envol_object *object = f.object;
    struct envol_lane *lane = f.lane;

    ck_status(envol_object_open(NULL, f.id, &object), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(object);
    object = f.object;
    ck_status(envol_object_open(f.keyring, NULL, &object), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(object);
    ck_status(envol_object_open(f.keyring, f.id, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_lane_open(NULL, &lane), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(lane);
    ck_status(envol_lane_open(f.keyring, NULL), ENVOL_E_ARGUMENT);
    envol_lane_close(NULL);
    envol_object_close(NULL);
    envol_keyring_close(NULL);
    page_fixture_close(&f);
}
END_TEST

START_TEST(no_memory)
{
    struct page_fixture f;
    struct envol_object *object = (void *)&f;
    struct envol_lane *lane = (void *)&f;
    struct envol_keyring *keyring = (void *)&f;
    struct envol_keyring_params params = {.uuid = f.uuid, .epoch = 1, .lowest = 1};
    size_t used;

    ck_ok(envol_set_allocator(&counted));
    f = fixture_of(_i, 0);
    params.suite = f.wish.suite;
    params.page_bytes = params.stride_bytes = 4096;
    used = used_bytes();
    heap.refuses = true;
    ck_status(envol_object_open(f.keyring, f.id, &object), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(object);
    ck_status(envol_lane_open(f.keyring, &lane), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(lane);
    ck_assert_int_eq(envol_keyring_make(&params, f.dek[0], &keyring), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(keyring);
    heap.refuses = false;
    ck_assert_uint_eq(used_bytes(), used);
    page_fixture_close(&f);
    ck_assert_int_eq(heap.live, 0);
    ck_assert_uint_eq(used_bytes(), 0);
    ck_ok(envol_set_allocator(NULL));
}
END_TEST

/* Fills the locked memory that there is. */
static void fill_arena(uint32_t flags)
{
    void *memory;

    while (envol_arena_alloc(64, flags, &memory) == ENVOL_OK && envol_arena_is_locked(memory))
        ;
}

START_TEST(no_locked_memory)
{
    struct page_fixture f;
    struct envol_object *object = (void *)&f;
    struct envol_lane *lane = (void *)&f;
    struct envol_keyring *keyring = (void *)&f;
    bool is_xts = suite_of(_i) == ENVOL_SUITE_AES_256_XTS;
    struct envol_keyring_params params = {
        .uuid = f.uuid, .suite = suite_of(_i), .epoch = 1, .lowest = 1};
    long live;

    ck_ok(envol_set_allocator(&counted));
    f = fixture_of(_i, 0);
    live = heap.live;
    mlock_fails = true;
    fill_arena(0);
    ck_status(envol_lane_open(f.keyring, &lane), ENVOL_E_LOCKED_MEMORY);
    ck_assert_ptr_null(lane);
    ck_status(envol_object_open(f.keyring, f.id, &object),
              is_xts ? ENVOL_E_LOCKED_MEMORY : ENVOL_OK);
    ck_assert((object == NULL) == is_xts);
    envol_object_close(object);
    ck_assert_int_eq(envol_keyring_make(&params, f.dek[0], &keyring), ENVOL_E_LOCKED_MEMORY);
    ck_assert_ptr_null(keyring);
    ck_assert_int_eq(envol_keyring_add(f.keyring, 7, f.dek[0]), ENVOL_E_LOCKED_MEMORY);
    ck_assert_uint_eq(f.keyring->entries, 1);
    ck_assert_int_eq(heap.live, live);
    page_fixture_close(&f);
    ck_ok(envol_set_allocator(NULL));
}
END_TEST

START_TEST(unlocked_memory_where_it_is_allowed)
{
    struct page_fixture f, g;

    f = fixture_of(_i, ENVOL_OPEN_ALLOW_UNLOCKED);
    ck_assert(envol_keyring_locked(f.keyring));
    mlock_fails = true;
    fill_arena(ENVOL_OPEN_ALLOW_UNLOCKED);
    page_fixture_again(&g, &f, &f.wish);
    ck_assert(!envol_keyring_locked(g.keyring));
    page_fixture_close(&g);
    page_fixture_close(&f);
}
END_TEST

START_TEST(no_kernel_for_the_suite)
{
    uint8_t uuid[ENVOL_UUID_BYTES] = {0}, dek[ENVOL_DEK_BYTES] = {0};
    const struct envol_keyring_params params = {.uuid = uuid,
                                                .suite = ENVOL_SUITE_AES_256_XTS,
                                                .page_bytes = 4096,
                                                .stride_bytes = 4096,
                                                .epoch = 1,
                                                .lowest = 1};
    struct envol_keyring *keyring = (void *)uuid;
    const struct envol_aes_kernel *kernel = envol_aes_kernels[_i];

    if (kernel->xts_key_bytes > 0 || !page_kernel_force(_i, ENVOL_SUITE_AES_256_GCM))
        return;
    ck_assert_int_eq(envol_keyring_make(&params, dek, &keyring), ENVOL_E_UNSUPPORTED);
    ck_assert_ptr_null(keyring);
    envol_aes_kernel_force(NULL);
}
END_TEST

static int blocks_left;
static const struct envol_aes_kernel *whole;

static enum envol_status some_blocks(const void *key, const uint8_t *in, uint8_t *out,
                                     size_t blocks)
{
    return blocks_left-- > 0 ? whole->block_encrypt(key, in, out, blocks) : ENVOL_E_NO_MEMORY;
}

/* A kernel that fails at the n-th key: nothing of the epoch stays. */
START_TEST(epochs_that_cannot_be_derived)
{
    struct page_fixture f = fixture_of(_i, 0);
    struct envol_aes_kernel broken = *f.keyring->kernel;
    size_t used = used_bytes();

    whole = f.keyring->kernel;
    broken.block_encrypt = some_blocks;
    f.keyring->kernel = &broken;
    for (int n = 0; n < 2; n++) {
        blocks_left = n;
        ck_assert_int_eq(envol_keyring_add(f.keyring, 2, f.dek[1]), ENVOL_E_NO_MEMORY);
        ck_assert_uint_eq(f.keyring->entries, 1);
        ck_assert_uint_eq(used_bytes(), used);
    }
    blocks_left = 2;
    ck_assert_int_eq(envol_keyring_add(f.keyring, 2, f.dek[1]), ENVOL_OK);
    f.keyring->kernel = whole;
    page_fixture_close(&f);
}
END_TEST

/* --- what they cost --- */

START_TEST(ten_thousand_objects)
{
    enum { OBJECTS = 10000 };
    static struct envol_object *object[OBJECTS];
    struct page_fixture f = fixture_of(_i, 0);
    bool is_gcm = f.wish.suite == ENVOL_SUITE_AES_256_GCM;
    uint8_t page[4096] = {1}, record[4144], got[4096];
    size_t used = used_bytes(), locked = locked_bytes();

    for (uint32_t i = 0; i < OBJECTS; i++) {
        memcpy(f.id, &i, sizeof(i));
        ck_ok(envol_object_open(f.keyring, f.id, &object[i]));
    }
    ck_assert_uint_eq(used_bytes() - used, is_gcm ? 0 : 64 * OBJECTS);
    ck_assert_uint_le(locked_bytes() - locked, 1u << 20);
    for (uint32_t i = 0; i < OBJECTS; i += 37) {
        ck_ok(envol_page_seal(object[i], f.lane, i, page, record));
        ck_ok(envol_page_unseal(object[i], NULL, i, record, got));
        ck_assert_mem_eq(got, page, sizeof(page));
    }
    for (uint32_t i = 0; i < OBJECTS; i++)
        envol_object_close(object[i]);
    ck_assert_uint_eq(used_bytes(), used);
    page_fixture_close(&f);
    ck_assert_uint_eq(used_bytes(), 0);
}
END_TEST

START_TEST(idle_keyrings_and_lanes)
{
    struct page_fixture f;
    size_t lane;

    if (!page_kernel_force(_i / 2, suite_of(_i % 2)))
        return;
    f = fixture_of(_i % 2, 0);
    lane = used_bytes();
    envol_lane_close(f.lane);
    f.lane = NULL;
    lane -= used_bytes();
    ck_assert_uint_gt(lane, 0);
    ck_assert_uint_le(lane, 16384);
    /* An idle open volume: its keyring, and the object of its own page space. */
    ck_assert_uint_le(used_bytes(), 1024);
    page_fixture_close(&f);
    ck_assert_uint_eq(used_bytes(), 0);
    envol_aes_kernel_force(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("object");
    TCase *tcase = tcase_create("object");

    tcase_add_loop_test(tcase, geometry, 0, 2);
    tcase_add_test(tcase, epochs);
    tcase_add_test(tcase, gap_in_the_epochs);
    tcase_add_loop_test(tcase, seals_are_counted, 0, 2);
    tcase_add_test(tcase, wrong_arguments);
    tcase_add_loop_test(tcase, no_memory, 0, 2);
    tcase_add_loop_test(tcase, no_locked_memory, 0, 2);
    tcase_add_loop_test(tcase, unlocked_memory_where_it_is_allowed, 0, 2);
    tcase_add_loop_test(tcase, no_kernel_for_the_suite, 0, page_kernels());
    tcase_add_loop_test(tcase, epochs_that_cannot_be_derived, 0, 2);
    tcase_add_loop_test(tcase, ten_thousand_objects, 0, 2);
    tcase_add_loop_test(tcase, idle_keyrings_and_lanes, 0, 2 * page_kernels());
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
