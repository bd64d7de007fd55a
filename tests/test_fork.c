/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arena and the process generation across fork: what a child sees, locks and may use, however
 * it was forked, with and without the kernel's MADV_WIPEONFORK.
 */
#include "base/arena.h"
#include "base/memory.h"
#include "base/random.h"
#include "children.h"
#include "support.h"

#include <envol/memory.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { REGION_BYTES = 65536, SECRET_BYTES = 100, THREADS = 4 };

static struct {
    _Atomic bool mlock_fails, wipeonfork_fails;
    _Atomic int mlock_calls;
} fake;

/* These stand in for the C library's in this program. */
int mlock(const void *address, size_t bytes)
{
    atomic_fetch_add(&fake.mlock_calls, 1);
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
    if (advice == MADV_WIPEONFORK && fake.wipeonfork_fails) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

/* What a handle would hold. */
struct family {
    uint64_t generation;
    uint8_t *plain, *inherited;
    uint8_t secret[SECRET_BYTES];
    int depth;
};

static uint8_t *keep(const struct family *family, uint32_t flags)
{
    void *memory = NULL;

    ck_assert_int_eq(envol_arena_alloc(SECRET_BYTES, flags, &memory), ENVOL_OK);
    memcpy(memory, family->secret, SECRET_BYTES);
    return memory;
}

static struct family make_family(void)
{
    struct family family = {.depth = 3};

    test_fill(family.secret, SECRET_BYTES);
    family.generation = envol_process_generation();
    ck_assert_uint_ne(family.generation, 0);
    family.plain = keep(&family, 0);
    family.inherited = keep(&family, ENVOL_OPEN_INHERIT);
    return family;
}

/* Afterwards, in the parent: nothing happened. */
static void check_parent(const struct family *family)
{
    ck_assert_uint_eq(envol_process_generation(), family->generation);
    ck_assert_int_eq(envol_process_check(family->generation, 0), ENVOL_OK);
    ck_assert_mem_eq(family->plain, family->secret, SECRET_BYTES);
    ck_assert_mem_eq(family->inherited, family->secret, SECRET_BYTES);
    ck_assert(envol_arena_is_locked(family->plain));
    ck_assert(envol_arena_is_locked(family->inherited));
}

static size_t locked_by_the_kernel(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    size_t kib = 0;

    while (status != NULL && fgets(line, sizeof(line), status) != NULL &&
           sscanf(line, "VmLck: %zu kB", &kib) != 1)
        ;
    if (status != NULL)
        fclose(status);
    return kib * 1024;
}

/* --- one child --- */

static int sees_only_what_it_inherits(void *argument)
{
    struct family *family = argument;

    child_expects(envol_is_zero(family->plain, SECRET_BYTES));
    child_expects(memcmp(family->inherited, family->secret, SECRET_BYTES) == 0);
    child_expects(envol_process_check(family->generation, 0) == ENVOL_E_FORKED);
    child_expects(envol_process_check(family->generation, ENVOL_OPEN_ALLOW_UNLOCKED) ==
                  ENVOL_E_FORKED);
    child_expects(envol_process_check(family->generation, ENVOL_OPEN_INHERIT) == ENVOL_OK);
    child_expects(envol_process_generation() != family->generation);
    child_expects(envol_process_check(envol_process_generation(), 0) == ENVOL_OK);
    child_expects(envol_arena_is_locked(family->inherited));
    child_expects(!envol_arena_is_locked(family->plain));
    child_expects(memcmp(family->inherited, family->secret, SECRET_BYTES) == 0);
    return 0;
}

/* And goes on to work for itself, in the region that its parent's dead handles are in. */
static int works_like_any_process(void *argument)
{
    struct family *family = argument;
    struct envol_memory_stats stats = {.struct_size = sizeof(stats)};
    uint64_t generation = envol_process_generation();
    void *memory, *inherited;
    int result = sees_only_what_it_inherits(argument);

    child_expects(result == 0);
    child_expects(locked_by_the_kernel() == REGION_BYTES);
    child_expects(envol_memory_stats(&stats) == ENVOL_OK);
    child_expects(stats.locked_bytes == REGION_BYTES && stats.unlocked_bytes == 0);
    child_expects(envol_arena_alloc(1000, 0, &memory) == ENVOL_OK);
    child_expects(envol_arena_alloc(1000, ENVOL_OPEN_INHERIT, &inherited) == ENVOL_OK);
    child_expects(envol_is_zero(memory, 1000) && envol_is_zero(inherited, 1000));
    child_expects(envol_arena_is_locked(memory) && envol_arena_is_locked(inherited));
    child_expects(locked_by_the_kernel() == 2 * REGION_BYTES);
    envol_arena_free(family->plain, SECRET_BYTES);
    envol_arena_free(family->inherited, SECRET_BYTES);
    child_expects(envol_is_zero(family->inherited, SECRET_BYTES));
    child_expects(envol_process_generation() == generation);
    child_expects(envol_process_check(generation, 0) == ENVOL_OK);
    return 0;
}

static bool raw_clone_works(void)
{
    if (test_tool() == NULL)
        return true;
    test_skip("raw clone", "a tool follows the C library's fork only");
    return false;
}

/* _i: with the kernel's wiping, and with that of the fork handler. */
START_TEST(child_sees_only_what_it_inherits)
{
    struct family family;

    fake.wipeonfork_fails = _i == 1;
    family = make_family();
    ck_assert_int_eq(test_in_child(sees_only_what_it_inherits, &family), 0);
    check_parent(&family);
    ck_assert_int_eq(test_in_child(works_like_any_process, &family), 0);
    check_parent(&family);
}
END_TEST

START_TEST(raw_child_too)
{
    struct family family = make_family();

    if (!raw_clone_works())
        return;
    ck_assert_int_eq(test_in_raw_child(sees_only_what_it_inherits, &family), 0);
    ck_assert_int_eq(test_in_raw_child(works_like_any_process, &family), 0);
    check_parent(&family);
}
END_TEST

static int asks_cheaply(void *argument)
{
    struct family *family = argument;

    atomic_store(&fake.mlock_calls, 0);
    child_expects(envol_process_check(family->generation, 0) == ENVOL_E_FORKED);
    child_expects(atomic_load(&fake.mlock_calls) == 1); /* the one inherited region, once */
    child_expects(envol_process_check(family->generation, 0) == ENVOL_E_FORKED);
    child_expects(envol_process_generation() > 0);
    child_expects(atomic_load(&fake.mlock_calls) == 1);
    return 0;
}

START_TEST(only_the_first_call_costs)
{
    struct family family = make_family();

    ck_assert_int_eq(test_in_child(asks_cheaply, &family), 0);
}
END_TEST

/* A process whose parent never called the library has nothing to be told from. */
static int starts_afresh(void *argument)
{
    void *memory = argument;

    child_expects(envol_arena_alloc(10, 0, &memory) == ENVOL_OK);
    child_expects(envol_process_check(envol_process_generation(), 0) == ENVOL_OK);
    return 0;
}

START_TEST(fork_before_the_first_call)
{
    ck_assert_int_eq(test_in_child(starts_afresh, NULL), 0);
    ck_assert_int_eq(starts_afresh(NULL), 0);
}
END_TEST

/* --- generations --- */

static int grows_a_tree(void *argument);

static int descend(struct family *family, int (*fork_child)(int (*)(void *), void *))
{
    struct family next = *family;

    next.depth--;
    /* Forked before this process made its first call, and after. */
    if (next.depth > 0)
        child_expects(fork_child(grows_a_tree, &next) == 0);
    child_expects(sees_only_what_it_inherits(family) == 0);
    next.generation = envol_process_generation();
    next.plain = NULL;
    child_expects(envol_arena_alloc(SECRET_BYTES, 0, (void **)&next.plain) == ENVOL_OK);
    memcpy(next.plain, next.secret, SECRET_BYTES);
    if (next.depth > 0)
        child_expects(fork_child(grows_a_tree, &next) == 0);
    child_expects(memcmp(next.plain, next.secret, SECRET_BYTES) == 0);
    child_expects(envol_process_generation() == next.generation);
    return 0;
}

static int grows_a_tree(void *argument)
{
    return descend(argument, test_in_child);
}

static int grows_a_raw_tree(void *argument)
{
    return descend(argument, test_in_raw_child);
}

START_TEST(every_generation_differs_from_its_ancestors)
{
    struct family family = make_family();

    ck_assert_int_eq(test_in_child(grows_a_tree, &family), 0);
    check_parent(&family);
    if (raw_clone_works())
        ck_assert_int_eq(test_in_raw_child(grows_a_raw_tree, &family), 0);
    check_parent(&family);
}
END_TEST

/* --- locks that are lost --- */

static int cannot_lock_again(void *argument)
{
    struct family *family = argument;
    struct envol_memory_stats stats = {.struct_size = sizeof(stats)};
    uint32_t both = ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED;
    void *memory;

    fake.mlock_fails = true;
    child_expects(envol_process_check(family->generation, 0) == ENVOL_E_FORKED);
    child_expects(envol_process_check(family->generation, ENVOL_OPEN_INHERIT) ==
                  ENVOL_E_LOCKED_MEMORY);
    child_expects(envol_process_check(family->generation, both) == ENVOL_OK);
    child_expects(memcmp(family->inherited, family->secret, SECRET_BYTES) == 0);
    child_expects(!envol_arena_is_locked(family->inherited));
    child_expects(envol_memory_stats(&stats) == ENVOL_OK);
    child_expects(stats.locked_bytes == 0 && stats.unlocked_bytes == REGION_BYTES);
    child_expects(envol_arena_alloc(64, 0, &memory) == ENVOL_E_LOCKED_MEMORY);
    child_expects(envol_arena_alloc(64, ENVOL_OPEN_INHERIT, &memory) == ENVOL_E_LOCKED_MEMORY);
    child_expects(envol_arena_alloc(64, both, &memory) == ENVOL_OK);
    child_expects(!envol_arena_is_locked(memory));
    child_expects(envol_arena_alloc(64, ENVOL_OPEN_ALLOW_UNLOCKED, &memory) == ENVOL_OK);
    child_expects(envol_memory_stats(&stats) == ENVOL_OK);
    child_expects(stats.locked_bytes == 0 && stats.unlocked_bytes == 2 * REGION_BYTES);
    /* The child's own handles are not the parent's: what it opens may say otherwise. */
    child_expects(envol_process_check(envol_process_generation(), ENVOL_OPEN_INHERIT) == ENVOL_OK);
    return 0;
}

/* A grandchild tries again, and may succeed where its parent failed. */
static int grandchild_locks(void *argument)
{
    struct family *family = argument;

    fake.mlock_fails = false;
    child_expects(envol_process_check(family->generation, ENVOL_OPEN_INHERIT) == ENVOL_OK);
    child_expects(envol_arena_is_locked(family->inherited));
    return 0;
}

static int loses_then_forks(void *argument)
{
    int result = cannot_lock_again(argument);

    child_expects(result == 0);
    child_expects(test_in_child(cannot_lock_again, argument) == 0);
    return test_in_child(grandchild_locks, argument);
}

START_TEST(locks_that_cannot_be_had_again)
{
    struct family family = make_family();

    ck_assert_int_eq(test_in_child(cannot_lock_again, &family), 0);
    check_parent(&family);
    ck_assert_int_eq(test_in_child(loses_then_forks, &family), 0);
    check_parent(&family);
}
END_TEST

/* Memory that was never locked cannot lose its lock. */
static int was_never_locked(void *argument)
{
    struct family *family = argument;

    child_expects(memcmp(family->inherited, family->secret, SECRET_BYTES) == 0);
    child_expects(!envol_arena_is_locked(family->inherited));
    child_expects(envol_process_check(family->generation, ENVOL_OPEN_INHERIT) == ENVOL_OK);
    return 0;
}

START_TEST(unlocked_regions_are_not_lost)
{
    struct family family = {.generation = envol_process_generation()};

    fake.mlock_fails = true;
    test_fill(family.secret, SECRET_BYTES);
    family.inherited = keep(&family, ENVOL_OPEN_INHERIT | ENVOL_OPEN_ALLOW_UNLOCKED);
    ck_assert_int_eq(test_in_child(was_never_locked, &family), 0);
}
END_TEST

/* --- threads --- */

struct racer {
    struct family *family;
    pthread_barrier_t *start;
    uint64_t generation;
    enum envol_status inherited, plain;
    bool locked, allocated;
};

static void *race(void *argument)
{
    struct racer *racer = argument;
    void *memory;

    pthread_barrier_wait(racer->start);
    racer->plain = envol_process_check(racer->family->generation, 0);
    racer->inherited = envol_process_check(racer->family->generation, ENVOL_OPEN_INHERIT);
    racer->generation = envol_process_generation();
    racer->locked = envol_arena_is_locked(racer->family->inherited);
    racer->allocated = envol_arena_alloc(64, 0, &memory) == ENVOL_OK &&
                       envol_arena_is_locked(memory) && envol_is_zero(memory, 64);
    return NULL;
}

static int child_threads_race(void *argument)
{
    struct racer racers[THREADS] = {{0}};
    pthread_t threads[THREADS];
    pthread_barrier_t start;

    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        racers[i].family = argument;
        racers[i].start = &start;
        child_expects(pthread_create(&threads[i], NULL, race, &racers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        child_expects(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < THREADS; i++) {
        child_expects(racers[i].plain == ENVOL_E_FORKED);
        child_expects(racers[i].inherited == ENVOL_OK);
        child_expects(racers[i].locked && racers[i].allocated);
        child_expects(racers[i].generation == racers[0].generation);
        child_expects(racers[i].generation != racers[i].family->generation);
    }
    return 0;
}

START_TEST(threads_of_a_child_agree)
{
    struct family family = make_family();

    for (int round = 0; round < 50; round++)
        ck_assert_int_eq(test_in_child(child_threads_race, &family), 0);
    check_parent(&family);
}
END_TEST

/* The very first call of a process, made by several threads at once. */
static void *start_up(void *argument)
{
    struct racer *racer = argument;
    void *memory;

    pthread_barrier_wait(racer->start);
    racer->generation = envol_process_generation();
    racer->plain = envol_process_check(racer->generation, 0);
    racer->allocated = envol_arena_alloc(64, 0, &memory) == ENVOL_OK;
    return NULL;
}

static int threads_start_up(void *argument)
{
    struct racer racers[THREADS] = {{0}};
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        racers[i].start = argument;
        child_expects(pthread_create(&threads[i], NULL, start_up, &racers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        child_expects(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        child_expects(racers[i].generation == racers[0].generation);
        child_expects(racers[i].generation != 0);
        child_expects(racers[i].plain == ENVOL_OK);
        child_expects(racers[i].allocated);
    }
    return 0;
}

START_TEST(first_calls_of_a_process_race)
{
    pthread_barrier_t start;

    pthread_barrier_init(&start, NULL, THREADS);
    for (int round = 0; round < 50; round++)
        ck_assert_int_eq(test_in_child(threads_start_up, &start), 0);
    pthread_barrier_destroy(&start);
}
END_TEST

/* Forks while other threads are in the arena: the child's copy of it must be whole. */
static _Atomic bool enough;

static void *use_the_arena(void *argument)
{
    void *memory;

    while (!atomic_load(&enough)) {
        if (envol_arena_alloc(64, *(uint32_t *)argument, &memory) != ENVOL_OK)
            return argument;
        envol_arena_free(memory, 64);
    }
    return NULL;
}

static int uses_the_arena(void *argument)
{
    void *memory[200];

    (void)argument;
    for (size_t i = 0; i < 200; i++) {
        child_expects(envol_arena_alloc(700, i % 2 ? ENVOL_OPEN_INHERIT : 0, &memory[i]) ==
                      ENVOL_OK);
        child_expects(envol_is_zero(memory[i], 700) && envol_arena_is_locked(memory[i]));
    }
    for (size_t i = 0; i < 200; i++)
        envol_arena_free(memory[i], 700);
    return 0;
}

START_TEST(fork_in_the_middle_of_allocations)
{
    uint32_t flags[2] = {0, ENVOL_OPEN_INHERIT};
    int rounds = test_tool() != NULL ? 10 : 100;
    pthread_t threads[2];
    void *failed;

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_the_arena, &flags[i]), 0);
    for (int round = 0; round < rounds; round++)
        ck_assert_int_eq(test_in_child(uses_the_arena, NULL), 0);
    atomic_store(&enough, true);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

/* What a thread remembers of its last draw goes into the child, and accuses nobody there. */
static int draws(void *argument)
{
    uint8_t out[24];

    (void)argument;
    for (int i = 0; i < 10; i++)
        child_expects(envol_random(out, sizeof(out)) == ENVOL_OK);
    return 0;
}

START_TEST(random_goes_on_in_a_child)
{
    ck_assert_int_eq(draws(NULL), 0);
    ck_assert_int_eq(test_in_child(draws, NULL), 0);
    ck_assert_int_eq(draws(NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork");
    TCase *tcase = tcase_create("fork");

    tcase_add_loop_test(tcase, child_sees_only_what_it_inherits, 0, 2);
    tcase_add_test(tcase, raw_child_too);
    tcase_add_test(tcase, only_the_first_call_costs);
    tcase_add_test(tcase, fork_before_the_first_call);
    tcase_add_test(tcase, every_generation_differs_from_its_ancestors);
    tcase_add_test(tcase, locks_that_cannot_be_had_again);
    tcase_add_test(tcase, unlocked_regions_are_not_lost);
    tcase_add_test(tcase, threads_of_a_child_agree);
    tcase_add_test(tcase, first_calls_of_a_process_race);
    tcase_add_test(tcase, fork_in_the_middle_of_allocations);
    tcase_add_test(tcase, random_goes_on_in_a_child);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
