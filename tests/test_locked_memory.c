/* SPDX-License-Identifier: BSD-2-Clause */
/* What volumes cost in locked memory, that they give it back, and what happens where there is none.
 */
#include "children.h"
#include "kernels.h"
#include "support.h"
#include "volume_fixture.h"

#include <envol/memory.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IDLE_BYTES = 1024, REGION_BYTES = 65536, VOLUMES = 1000 };

/* Stands in for the C library's in this program: the address sanitizer's locks nothing. */
int mlock(const void *address, size_t bytes)
{
    return (int)syscall(SYS_mlock, address, bytes);
}

static struct envol_memory_stats stats_now(void)
{
    struct envol_memory_stats stats = {.struct_size = sizeof(stats)};

    ck_ok(envol_memory_stats(&stats));
    return stats;
}

/* --- Cost --- */

static const uint32_t flags[] = {0, ENVOL_OPEN_INHERIT, ENVOL_OPEN_READ_ONLY};
enum { FLAGS = sizeof(flags) / sizeof(flags[0]) };

/* Every kernel, both suites, every class of memory. */
START_TEST(an_idle_volume)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i);

    if (kernel == NULL)
        return;
    ck_assert(envol_aes_kernel_force(kernel->name));
    for (size_t i = 0; i < VOLUME_SHAPES * FLAGS; i++) {
        const struct volume_shape *shape = &volume_shapes[i / FLAGS];
        struct volume_fixture f;
        size_t before = stats_now().used_bytes;

        if (envol_aes_kernel(shape->suite == ENVOL_SUITE_AES_256_XTS) == NULL)
            continue; /* this one has no XTS */
        ck_assert(volume_fixture_create(&f, shape));
        ck_assert_uint_le(stats_now().used_bytes - before, IDLE_BYTES);
        volume_page_put(&f, 0, 1);
        volume_fixture_close(&f);
        ck_assert_uint_eq(stats_now().used_bytes, before);
        volume_fixture_open(&f, flags[i % FLAGS], ENVOL_OK);
        ck_assert_uint_gt(stats_now().used_bytes, before);
        ck_assert_uint_le(stats_now().used_bytes - before, IDLE_BYTES);
        ck_assert_int_eq(volume_info_of(&f).keys_locked, 1);
        volume_page_expect(&f, 0, 1);
        volume_fixture_close(&f);
        ck_assert_uint_eq(stats_now().used_bytes, before);
        volume_fixture_free(&f);
    }
    ck_assert(envol_aes_kernel_force(NULL));
}
END_TEST

/* The search for the end at open leaves nothing behind either. */
START_TEST(a_volume_after_a_crash)
{
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    for (uint64_t i = 0; i < 5; i++)
        volume_page_put(&f, i, 1);
    ck_ok(envol_volume_sync(f.volume));
    volume_fixture_kill(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_le(stats_now().used_bytes, IDLE_BYTES);
    volume_page_expect(&f, 4, 1);
    volume_fixture_free(&f);
    ck_assert_uint_eq(stats_now().used_bytes, 0);
}
END_TEST

/* One key service for all, and a store for each. */
static size_t open_many(struct volume_fixture *f, struct envol_store **stores,
                        struct envol_volume **volumes)
{
    const struct envol_header_params params = {
        .struct_size = sizeof(params), .suite = f->shape->suite, .page_bytes = 512};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};

    for (size_t i = 0; i < VOLUMES; i++) {
        ck_ok(envol_memory_store_open(&stores[i]));
        ck_ok(envol_volume_create(stores[i], &f->cmk, 1, &options, &volumes[i], &f->error));
        ck_ok(envol_volume_close(volumes[i]));
        ck_ok(envol_volume_open(stores[i], &f->cmk, 1, NULL, &volumes[i], &f->error));
    }
    return stats_now().used_bytes;
}

START_TEST(a_thousand_volumes)
{
    static struct envol_store *stores[VOLUMES];
    static struct envol_volume *volumes[VOLUMES];
    struct volume_fixture f;
    size_t one;

    if (!volume_fixture_create(&f, &volume_shapes[_i != 0 ? 5 : 0]))
        return;
    one = stats_now().used_bytes;
    ck_assert_uint_eq(open_many(&f, stores, volumes), (VOLUMES + 1) * one);
    /* What is used is packed: a region is 64 KiB, and no volume is cut in two by its end. */
    ck_assert_uint_le(stats_now().locked_bytes, (VOLUMES + 1) * IDLE_BYTES + REGION_BYTES);
    ck_assert_uint_eq(stats_now().unlocked_bytes, 0);
    for (size_t i = 0; i < VOLUMES; i += 97) {
        ck_ok(envol_page_write(volumes[i], 0, f.page));
        ck_ok(envol_page_read(volumes[i], 0, f.other));
        ck_assert_mem_eq(f.page, f.other, f.page_bytes);
    }
    for (size_t i = 0; i < VOLUMES; i++) {
        ck_ok(envol_volume_close(volumes[i]));
        envol_store_close(stores[i]);
    }
    ck_assert_uint_eq(stats_now().used_bytes, one);
    volume_fixture_free(&f);
    ck_assert_uint_eq(stats_now().used_bytes, 0);
    /* One empty region is kept for whoever opens next. */
    ck_assert_uint_le(stats_now().locked_bytes, REGION_BYTES);
}
END_TEST

/* --- Where there is none: RLIMIT_MEMLOCK, as a process without privileges meets it --- */

static bool drop_lock_privilege(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];

    if (syscall(SYS_capget, &header, sets) != 0)
        return false;
    sets[0].effective &= ~(1u << CAP_IPC_LOCK);
    sets[0].permitted &= ~(1u << CAP_IPC_LOCK);
    return syscall(SYS_capset, &header, sets) == 0;
}

static bool limit_locked_bytes(rlim_t bytes)
{
    const struct rlimit limit = {bytes, bytes};

    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && drop_lock_privilege();
}

static int use_unlocked(struct volume_fixture *f, struct envol_volume *volume)
{
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header.struct_size = sizeof(info.header)};

    child_expects(ck_note(envol_volume_info(volume, &info)) == ENVOL_OK);
    child_expects(info.keys_locked == 0);
    child_expects(stats_now().locked_bytes == 0);
    child_expects(stats_now().unlocked_bytes > 0);
    volume_page_fill(f, 0, 1, f->page);
    child_expects(ck_note(envol_page_write(volume, 0, f->page)) == ENVOL_OK);
    child_expects(ck_note(envol_page_read(volume, 0, f->other)) == ENVOL_OK);
    child_expects(memcmp(f->page, f->other, f->page_bytes) == 0);
    child_expects(ck_note(envol_volume_close(volume)) == ENVOL_OK);
    child_expects(stats_now().used_bytes == 0);
    return 0;
}

/* f is of the parent, where its volume was closed: its key service, store and buffers are used. */
static int without_locked_memory(void *argument)
{
    const struct envol_volume_options allowed = {.struct_size = sizeof(allowed),
                                                 .flags = ENVOL_OPEN_ALLOW_UNLOCKED};
    struct volume_fixture *f = argument;
    struct envol_volume *volume;
    struct envol_store *store = watched_store_share(f->watched); /* a handle of the child's own */
    struct envol_store *empty;
    int failed;

    child_expects(limit_locked_bytes(0));
    child_expects(ck_note(envol_memory_store_open(&empty)) == ENVOL_OK);
    child_expects(ck_note(envol_volume_create(empty, &f->cmk, 1, NULL, &volume, &f->error)) ==
                  ENVOL_E_LOCKED_MEMORY);
    child_expects(volume == NULL && f->error.status == ENVOL_E_LOCKED_MEMORY);
    child_expects(volume_store_bytes(empty) == 0);
    child_expects(ck_note(envol_volume_open(store, &f->cmk, 1, NULL, &volume, &f->error)) ==
                  ENVOL_E_LOCKED_MEMORY);
    child_expects(volume == NULL && stats_now().used_bytes == 0);
    child_expects(ck_note(envol_volume_create(empty, &f->cmk, 1, &allowed, &volume, &f->error)) ==
                  ENVOL_OK);
    child_expects(ck_note(envol_volume_close(volume)) == ENVOL_OK);
    child_expects(ck_note(envol_volume_open(store, &f->cmk, 1, &allowed, &volume, &f->error)) ==
                  ENVOL_OK);
    failed = use_unlocked(f, volume);
    envol_store_close(store);
    envol_store_close(empty);
    return failed;
}

/* A region's worth: volumes open until it is full, and those that are open go on. */
static int with_one_region(void *argument)
{
    static struct envol_volume *volumes[VOLUMES];
    static struct envol_store *stores[VOLUMES];
    static uint8_t page[ENVOL_STRIDE_BYTES_DEFAULT];
    struct volume_fixture *f = argument;
    size_t n = 0;
    enum envol_status status = ENVOL_OK;

    child_expects(limit_locked_bytes(REGION_BYTES));
    while (status == ENVOL_OK && n < VOLUMES) {
        child_expects(envol_memory_store_open(&stores[n]) == ENVOL_OK);
        status = ck_note(envol_volume_create(stores[n], &f->cmk, 1, NULL, &volumes[n], &f->error));
        n += status == ENVOL_OK;
    }
    child_expects(status == ENVOL_E_LOCKED_MEMORY && n >= REGION_BYTES / IDLE_BYTES - 1);
    child_expects(stats_now().locked_bytes == REGION_BYTES);
    child_expects(stats_now().unlocked_bytes == 0);
    child_expects(envol_volume_close(volumes[1]) == ENVOL_OK);
    child_expects(ck_note(envol_volume_create(stores[n], &f->cmk, 1, NULL, &volumes[1],
                                              &f->error)) == ENVOL_OK);
    for (size_t i = 2; i < n; i++)
        child_expects(envol_volume_close(volumes[i]) == ENVOL_OK);
    child_expects(envol_page_write(volumes[0], 0, page) == ENVOL_OK);
    child_expects(envol_page_read(volumes[0], 0, page) == ENVOL_OK);
    child_expects(envol_volume_close(volumes[0]) == ENVOL_OK);
    child_expects(envol_volume_close(volumes[1]) == ENVOL_OK);
    for (size_t i = 0; i <= n; i++)
        envol_store_close(stores[i]);
    return 0;
}

/* The keyring got the last of the locked memory, lanes and XTS keys that which is not. */
static int with_derived_keys_unlocked(void *argument)
{
    const struct envol_volume_options allowed = {.struct_size = sizeof(allowed),
                                                 .flags = ENVOL_OPEN_ALLOW_UNLOCKED};
    static struct envol_lane *lanes[VOLUMES];
    struct volume_fixture *f = argument, strict = *f;
    struct envol_store *store;
    size_t n = 0;

    child_expects(limit_locked_bytes(REGION_BYTES));
    child_expects(envol_memory_store_open(&store) == ENVOL_OK);
    child_expects(envol_memory_store_open(&strict.store) == ENVOL_OK);
    child_expects(envol_volume_create(strict.store, &f->cmk, 1, NULL, &strict.volume, NULL) ==
                  ENVOL_OK);
    child_expects(envol_volume_create(store, &f->cmk, 1, &allowed, &f->volume, NULL) == ENVOL_OK);
    child_expects(volume_info_of(f).keys_locked == 1);
    while (stats_now().unlocked_bytes == 0 && n < VOLUMES) {
        child_expects(volume_info_of(f).keys_locked == 1);
        child_expects(envol_lane_open(envol_volume_keyring(f->volume), &lanes[n++]) == ENVOL_OK);
    }
    child_expects(n < VOLUMES && stats_now().locked_bytes == REGION_BYTES);
    child_expects(volume_info_of(f).keys_locked == 0);
    child_expects(volume_info_of(&strict).keys_locked == 1);
    envol_lane_close(lanes[--n]);
    child_expects(volume_info_of(f).keys_locked == 1);
    while (n > 0)
        envol_lane_close(lanes[--n]);
    child_expects(envol_volume_close(f->volume) == ENVOL_OK);
    child_expects(envol_volume_close(strict.volume) == ENVOL_OK);
    envol_store_close(store);
    envol_store_close(strict.store);
    return 0;
}

START_TEST(no_locked_memory)
{
    static int (*const bodies[])(void *) = {without_locked_memory, with_one_region,
                                            with_derived_keys_unlocked};
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i / 3 != 0 ? 5 : 0]))
        return;
    volume_fixture_close(&f);
    /* The arena of the child must be as new: the parent's one region is locked in the parent. */
    ck_assert_uint_eq(stats_now().used_bytes, 0);
    ck_assert_int_eq(test_in_child(bodies[_i % 3], &f), 0);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("locked_memory");
    TCase *tcase = tcase_create("locked_memory");

    tcase_add_loop_test(tcase, an_idle_volume, 0, test_kernel_count());
    tcase_add_loop_test(tcase, a_volume_after_a_crash, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, a_thousand_volumes, 0, 2);
    tcase_add_loop_test(tcase, no_locked_memory, 0, 6);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
