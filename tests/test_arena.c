/* SPDX-License-Identifier: BSD-2-Clause */
/* The arena in one process: slabs, guard pages, locking and its failures, limits, threads. */
#include "base/arena.h"
#include "base/memory.h"
#include "children.h"
#include "support.h"

#include <envol/memory.h>
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { REGION_BYTES = 65536, LARGEST_BYTES = 60 * 1024, KIB = 1024 };

static struct {
    _Atomic bool mlock_fails, dontdump_fails, mprotect_fails;
} fake;

/* These stand in for the C library's in this program: root may lock all it likes. */
int mlock(const void *address, size_t bytes)
{
    if (fake.mlock_fails) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mlock, address, bytes);
}

int munlock(const void *address, size_t bytes)
{
    return (int)syscall(SYS_munlock, address, bytes);
}

int madvise(void *address, size_t bytes, int advice)
{
    if (advice == MADV_DONTDUMP && fake.dontdump_fails) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

int mprotect(void *address, size_t bytes, int protection)
{
    if (fake.mprotect_fails) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mprotect, address, bytes, protection);
}

static void *take(size_t bytes, uint32_t flags)
{
    void *memory = NULL;

    ck_assert_int_eq(envol_arena_alloc(bytes, flags, &memory), ENVOL_OK);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static struct envol_memory_stats stats_now(void)
{
    struct envol_memory_stats stats = {.struct_size = sizeof(stats)};

    ck_ok(envol_memory_stats(&stats));
    return stats;
}

/* VmLck of this process, in bytes. */
static size_t locked_by_the_kernel(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    size_t kib = 0;

    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof(line), status) != NULL && sscanf(line, "VmLck: %zu kB", &kib) != 1)
        ;
    fclose(status);
    return kib * KIB;
}

/* --- slabs --- */

START_TEST(memory_is_zeroed_aligned_and_separate)
{
    enum { COUNT = 200 };
    uint8_t *memory[COUNT];
    size_t bytes[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        bytes[i] = 1 + (size_t)test_random() % 2000;
        memory[i] = take(bytes[i], 0);
        ck_assert_uint_eq((uintptr_t)memory[i] % ENVOL_ARENA_ALIGN, 0);
        ck_assert(envol_is_zero(memory[i], bytes[i]));
        ck_assert(envol_arena_is_locked(memory[i]));
        memset(memory[i], (int)(i % 255 + 1), bytes[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(memory[i][0], i % 255 + 1);
        ck_assert_mem_eq(memory[i], memory[i] + 1, bytes[i] - 1);
        envol_arena_free(memory[i], bytes[i]);
    }
    ck_assert_uint_eq(stats_now().used_bytes, 0);
}
END_TEST

/* Random order, in regions of their own kind each; nothing ever overlaps or is handed out dirty. */
START_TEST(slabs_are_reused_in_any_order)
{
    enum { COUNT = 64, ROUNDS = 20000 };
    static const uint32_t flags[] = {0, ENVOL_OPEN_INHERIT, ENVOL_OPEN_ALLOW_UNLOCKED,
                                     ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED};
    struct {
        uint8_t *memory;
        size_t bytes;
    } held[COUNT] = {{0}};

    for (int round = 0; round < ROUNDS; round++) {
        size_t i = (size_t)test_random() % COUNT;

        if (held[i].memory != NULL) {
            for (size_t at = 0; at < held[i].bytes; at += 61)
                ck_assert_uint_eq(held[i].memory[at], i + 1);
            envol_arena_free(held[i].memory, held[i].bytes);
            held[i].memory = NULL;
        } else {
            held[i].bytes = 1 + (size_t)test_random() % (round % 50 == 0 ? LARGEST_BYTES : 700);
            held[i].memory = take(held[i].bytes, flags[test_random() % 4]);
            ck_assert(envol_is_zero(held[i].memory, held[i].bytes));
            memset(held[i].memory, (int)i + 1, held[i].bytes);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        envol_arena_free(held[i].memory, held[i].bytes);
    ck_assert_uint_eq(stats_now().used_bytes, 0);
    ck_assert_uint_le(stats_now().locked_bytes, 2 * REGION_BYTES);
    ck_assert_uint_eq(stats_now().locked_bytes, locked_by_the_kernel());
}
END_TEST

START_TEST(bounds_of_one_allocation)
{
    void *memory = &fake;
    uint8_t *other;

    ck_assert_int_eq(envol_arena_alloc(LARGEST_BYTES + 1, 0, &memory), ENVOL_E_RANGE);
    ck_assert_ptr_null(memory);
    memory = &fake;
    ck_assert_int_eq(envol_arena_alloc(SIZE_MAX, 0, &memory), ENVOL_E_RANGE);
    ck_assert_ptr_null(memory);
    memory = take(LARGEST_BYTES, 0);
    memset(memory, 1, LARGEST_BYTES);
    envol_arena_free(memory, LARGEST_BYTES);
    memory = take(0, 0);
    other = take(0, 0);
    ck_assert_ptr_ne(memory, other);
    envol_arena_free(memory, 0);
    envol_arena_free(other, 0);
    envol_arena_free(NULL, 1);
    envol_arena_free(&fake, sizeof(fake)); /* not the arena's: left alone */
    ck_assert(!envol_arena_is_locked(&fake));
    ck_assert(!envol_arena_is_locked(NULL));
}
END_TEST

START_TEST(free_wipes)
{
    uint8_t *neighbour = take(64, 0);
    uint8_t *memory = take(1000, 0);

    memset(neighbour, 0xee, 64);
    memset(memory, 0xdd, 1000);
    envol_arena_free(memory, 1000);
    ck_assert(envol_is_zero(memory, 1024)); /* still mapped: its region is in use */
    ck_assert_uint_eq(neighbour[63], 0xee);
    ck_assert_ptr_eq(take(1000, 0), memory);
}
END_TEST

START_TEST(first_fit_takes_the_first_gap)
{
    uint8_t *a = take(64, 0), *b = take(128, 0), *c = take(64, 0);

    ck_assert_ptr_eq(b, a + 64);
    ck_assert_ptr_eq(c, b + 128);
    envol_arena_free(b, 128);
    ck_assert_ptr_eq(take(129, 0), c + 64);
    ck_assert_ptr_eq(take(65, 0), b);
}
END_TEST

START_TEST(inherited_memory_has_regions_of_its_own)
{
    uintptr_t plain = (uintptr_t)take(64, 0);
    uintptr_t inherited = (uintptr_t)take(64, ENVOL_OPEN_INHERIT);

    ck_assert_uint_ge(plain > inherited ? plain - inherited : inherited - plain, REGION_BYTES);
    ck_assert_uint_eq(stats_now().locked_bytes, 2 * REGION_BYTES);
}
END_TEST

/* --- guard pages --- */

static int touch(void *address)
{
    *(volatile uint8_t *)address = 1;
    return 0;
}

START_TEST(beyond_a_region_lies_a_guard_page)
{
    uint8_t *first = take(64, 0); /* at the region's start */
    uint8_t *last = first + REGION_BYTES;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    if (test_tool() != NULL) {
        test_skip("guard pages", "a tool handles the fault in its own way");
        return;
    }
    ck_assert_int_eq(test_in_child(touch, first), 0);
    ck_assert_int_eq(test_in_child(touch, last - 1), 0);
    ck_assert_int_eq(test_in_child(touch, first - 1), -SIGSEGV);
    ck_assert_int_eq(test_in_child(touch, first - page_bytes), -SIGSEGV);
    ck_assert_int_eq(test_in_child(touch, last), -SIGSEGV);
    ck_assert_int_eq(test_in_child(touch, last + page_bytes - 1), -SIGSEGV);
}
END_TEST

/* --- what the kernel is told --- */

/* VmFlags of the mapping that holds memory. */
static void mapping_flags(const void *memory, char flags[512])
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long from, to;
    bool here = false;

    flags[0] = '\0';
    ck_assert_ptr_nonnull(smaps);
    while (fgets(line, sizeof(line), smaps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = (uintptr_t)memory >= from && (uintptr_t)memory < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            memcpy(flags, line + 8, strlen(line + 8) + 1);
    }
    fclose(smaps);
}

START_TEST(regions_are_locked_undumped_and_wiped_on_fork)
{
    char flags[512];

    if (test_tool() != NULL && strcmp(test_tool(), "valgrind") == 0) {
        test_skip("VmFlags", "valgrind maps memory for the program");
        return;
    }
    mapping_flags(take(64, 0), flags);
    ck_assert_ptr_nonnull(strstr(flags, " lo "));
    ck_assert_ptr_nonnull(strstr(flags, " dd "));
    ck_assert_ptr_nonnull(strstr(flags, " wf "));
    mapping_flags(take(64, ENVOL_OPEN_INHERIT), flags);
    ck_assert_ptr_nonnull(strstr(flags, " lo "));
    ck_assert_ptr_nonnull(strstr(flags, " dd "));
    ck_assert_ptr_null(strstr(flags, " wf "));
}
END_TEST

START_TEST(figures_are_those_of_the_kernel)
{
    size_t before = locked_by_the_kernel();
    struct envol_memory_stats stats;

    ck_assert_uint_eq(stats_now().locked_bytes, 0);
    take(700, 0);
    stats = stats_now();
    ck_assert_uint_eq(stats.used_bytes, 704);
    ck_assert_uint_eq(stats.locked_bytes, REGION_BYTES);
    ck_assert_uint_eq(stats.unlocked_bytes, 0);
    ck_assert_uint_eq(locked_by_the_kernel() - before, REGION_BYTES);
    stats.struct_size--;
    ck_status(envol_memory_stats(&stats), ENVOL_E_ARGUMENT);
    ck_status(envol_memory_stats(NULL), ENVOL_E_ARGUMENT);
}
END_TEST

START_TEST(ten_thousand_slabs_within_a_mebibyte)
{
    static void *memory[10000];

    for (size_t i = 0; i < 10000; i++)
        memory[i] = take(64, 0);
    ck_assert_uint_eq(stats_now().used_bytes, 640000);
    ck_assert_uint_le(stats_now().locked_bytes, 1024 * KIB);
    ck_assert_uint_le(locked_by_the_kernel(), 1024 * KIB);
    for (size_t i = 0; i < 10000; i++)
        envol_arena_free(memory[i], 64);
    ck_assert_uint_eq(stats_now().used_bytes, 0);
    ck_assert_uint_eq(stats_now().locked_bytes, REGION_BYTES); /* one is kept */
    ck_assert_uint_eq(locked_by_the_kernel(), REGION_BYTES);
    for (size_t i = 0; i < 10000; i++) {
        memory[i] = take(64, 0);
        ck_assert(envol_is_zero(memory[i], 64));
        ck_assert(envol_arena_is_locked(memory[i]));
    }
    ck_assert_uint_eq(stats_now().locked_bytes, locked_by_the_kernel());
}
END_TEST

/* --- when it cannot be had --- */

START_TEST(unlockable_memory_is_refused_or_shown)
{
    void *memory = &fake;
    void *allowed;

    atomic_store(_i == 0 ? &fake.mlock_fails : &fake.dontdump_fails, true);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(envol_arena_alloc(64, 0, &memory), ENVOL_E_LOCKED_MEMORY);
        ck_assert_ptr_null(memory);
    }
    ck_assert_uint_eq(stats_now().used_bytes, 0);
    allowed = take(64, ENVOL_OPEN_ALLOW_UNLOCKED);
    ck_assert(!envol_arena_is_locked(allowed));
    ck_assert_uint_eq(stats_now().unlocked_bytes, REGION_BYTES);
    ck_assert_uint_eq(stats_now().locked_bytes, 0);
    ck_assert_int_eq(envol_arena_alloc(64, 0, &memory), ENVOL_E_LOCKED_MEMORY);

    /* The limit was raised: what was unlocked is locked with the next allocation. */
    fake.mlock_fails = fake.dontdump_fails = false;
    memory = take(64, 0);
    ck_assert(envol_arena_is_locked(memory));
    ck_assert(envol_arena_is_locked(allowed));
    ck_assert_uint_eq(stats_now().unlocked_bytes, 0);
}
END_TEST

/* Callers who allow it get locked memory as long as there is some, and never spoil that of others.
 */
START_TEST(unlocked_memory_stays_apart)
{
    void *locked = take(40000, 0);
    void *small = take(64, ENVOL_OPEN_ALLOW_UNLOCKED);
    void *large, *memory;

    ck_assert(envol_arena_is_locked(small));
    fake.mlock_fails = true;
    large = take(40000, ENVOL_OPEN_ALLOW_UNLOCKED);
    ck_assert(!envol_arena_is_locked(large));
    ck_assert_int_eq(envol_arena_alloc(40000, 0, &memory), ENVOL_E_LOCKED_MEMORY);
    memory = take(64, 0);
    ck_assert(envol_arena_is_locked(memory));
    ck_assert(envol_arena_is_locked(locked));
    ck_assert_uint_eq(stats_now().locked_bytes, REGION_BYTES);
    ck_assert_uint_eq(stats_now().unlocked_bytes, REGION_BYTES);
    take(40000, ENVOL_OPEN_ALLOW_UNLOCKED);
    ck_assert_uint_eq(stats_now().unlocked_bytes, 2 * REGION_BYTES);
    envol_arena_free(large, 40000);
    ck_assert(envol_is_zero(large, 40000));
}
END_TEST

START_TEST(regions_that_cannot_be_mapped)
{
    void *memory = &fake;

    ck_assert_uint_ne(envol_process_generation(), 0);
    fake.mprotect_fails = true;
    ck_assert_int_eq(envol_arena_alloc(64, 0, &memory), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(memory);
    ck_assert_int_eq(envol_arena_alloc(64, ENVOL_OPEN_ALLOW_UNLOCKED, &memory), ENVOL_E_NO_MEMORY);
    fake.mprotect_fails = false;
    take(64, 0);
}
END_TEST

/* Without address space: first the sentinel page fails, then a region. */
static int without_address_space(void *argument)
{
    struct rlimit before, none = {0, 0};
    void *memory = argument;

    child_expects(getrlimit(RLIMIT_AS, &before) == 0);
    none.rlim_max = before.rlim_max;
    child_expects(setrlimit(RLIMIT_AS, &none) == 0);
    child_expects(envol_process_generation() == 0);
    child_expects(envol_process_check(0, ENVOL_OPEN_INHERIT) == ENVOL_E_NO_MEMORY);
    child_expects(envol_arena_alloc(64, 0, &memory) == ENVOL_E_NO_MEMORY);
    child_expects(memory == NULL);
    child_expects(setrlimit(RLIMIT_AS, &before) == 0);
    child_expects(envol_process_generation() != 0);
    child_expects(setrlimit(RLIMIT_AS, &none) == 0);
    child_expects(envol_arena_alloc(64, 0, &memory) == ENVOL_E_NO_MEMORY);
    child_expects(setrlimit(RLIMIT_AS, &before) == 0);
    child_expects(envol_arena_alloc(64, 0, &memory) == ENVOL_OK);
    return 0;
}

START_TEST(no_address_space)
{
    if (test_tool() != NULL) {
        test_skip("RLIMIT_AS", "a tool needs address space of its own");
        return;
    }
    ck_assert_int_eq(test_in_child(without_address_space, NULL), 0);
}
END_TEST

/* Root may lock beyond the limit by CAP_IPC_LOCK. */
static bool drop_lock_privilege(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];

    if (syscall(SYS_capget, &header, sets) != 0)
        return false;
    sets[0].effective &= ~(1u << CAP_IPC_LOCK);
    return syscall(SYS_capset, &header, sets) == 0;
}

/* At the real limit. */
static int at_the_limit(void *argument)
{
    struct rlimit limit = {3 * REGION_BYTES, 3 * REGION_BYTES};
    void *memory = argument;
    int granted = 0;

    child_expects(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    child_expects(drop_lock_privilege());
    while (granted < 10 && envol_arena_alloc(40000, 0, &memory) == ENVOL_OK)
        granted++;
    child_expects(granted == 3);
    child_expects(envol_arena_alloc(40000, 0, &memory) == ENVOL_E_LOCKED_MEMORY);
    child_expects(envol_arena_alloc(64, 0, &memory) == ENVOL_OK);
    child_expects(envol_arena_alloc(40000, ENVOL_OPEN_ALLOW_UNLOCKED, &memory) == ENVOL_OK);
    child_expects(!envol_arena_is_locked(memory));
    return 0;
}

START_TEST(memlock_limit)
{
    ck_assert_int_eq(test_in_child(at_the_limit, NULL), 0);
}
END_TEST

/* --- threads --- */

/* NULL, or flags when something was wrong. */
static void *churn(void *flags)
{
    uint8_t *held[16] = {0};

    for (size_t round = 0; round < 5000; round++) {
        size_t i = round % 16, bytes = 64 + round * 7 % 500;

        if (held[i] != NULL && held[i][0] != (uint8_t)(uintptr_t)held)
            return flags;
        envol_arena_free(held[i], 64);
        if (envol_arena_alloc(bytes, *(uint32_t *)flags, (void **)&held[i]) != ENVOL_OK ||
            !envol_arena_is_locked(held[i]))
            return flags;
        /* All but the first slab is given back at once, so that one size is enough to know. */
        if (bytes > 64)
            envol_arena_free(held[i] + 64, bytes - 64);
        held[i][0] = (uint8_t)(uintptr_t)held;
    }
    for (size_t i = 0; i < 16; i++)
        envol_arena_free(held[i], 64);
    return NULL;
}

START_TEST(threads_share_the_arena)
{
    uint32_t flags[4] = {0, 0, ENVOL_OPEN_INHERIT, ENVOL_OPEN_ALLOW_UNLOCKED};
    pthread_t threads[4];
    void *failed;

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, &flags[i]), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    ck_assert_uint_eq(stats_now().used_bytes, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");

    tcase_add_test(tcase, memory_is_zeroed_aligned_and_separate);
    tcase_add_test(tcase, slabs_are_reused_in_any_order);
    tcase_add_test(tcase, bounds_of_one_allocation);
    tcase_add_test(tcase, free_wipes);
    tcase_add_test(tcase, first_fit_takes_the_first_gap);
    tcase_add_test(tcase, inherited_memory_has_regions_of_its_own);
    tcase_add_test(tcase, beyond_a_region_lies_a_guard_page);
    tcase_add_test(tcase, regions_are_locked_undumped_and_wiped_on_fork);
    tcase_add_test(tcase, figures_are_those_of_the_kernel);
    tcase_add_test(tcase, ten_thousand_slabs_within_a_mebibyte);
    tcase_add_loop_test(tcase, unlockable_memory_is_refused_or_shown, 0, 2);
    tcase_add_test(tcase, unlocked_memory_stays_apart);
    tcase_add_test(tcase, regions_that_cannot_be_mapped);
    tcase_add_test(tcase, no_address_space);
    tcase_add_test(tcase, memlock_limit);
    tcase_add_test(tcase, threads_share_the_arena);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
