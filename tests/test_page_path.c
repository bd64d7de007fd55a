/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealing and unsealing allocate nothing, take no lock, and make no system call but getrandom. */
#include "base/arena.h"
#include "base/memory.h"
#include "children.h"
#include "page_calls.h"
#include "recorded_heap.h"
#include "support.h"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Thread_local uint64_t locks, draws;

/* These stand in for the C library's in this program and in the libraries that it uses. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    draws++;
    return syscall(SYS_getrandom, out, bytes, flags);
}

/* A sanitizer has to see the locks itself. */
#if RECORDED_MALLOC
static int forward(const char *name, void *lock)
{
    int (*real)(void *);

    locks++;
    *(void **)&real = dlsym(RTLD_NEXT, name);
    return real(lock);
}

int pthread_mutex_lock(pthread_mutex_t *lock)
{
    return forward("pthread_mutex_lock", lock);
}

int pthread_mutex_trylock(pthread_mutex_t *lock)
{
    return forward("pthread_mutex_trylock", lock);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    return forward("pthread_rwlock_rdlock", lock);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    return forward("pthread_rwlock_wrlock", lock);
}

int pthread_spin_lock(pthread_spinlock_t *lock)
{
    return forward("pthread_spin_lock", (void *)lock);
}
#endif

/* Each call, by each kernel, under each suite. */
struct round {
    enum page_call call;
    struct page_fixture f;
    struct page_io io;
    bool draws; /* the call draws once */
};

static bool begin(struct round *r, int i)
{
    struct page_wish wish = {.page_bytes = 2048, .flags = ENVOL_OPEN_INHERIT};

    wish.suite = i / CALLS % 2 ? ENVOL_SUITE_AES_256_XTS : ENVOL_SUITE_AES_256_GCM;
    r->call = (enum page_call)(i % CALLS);
    if (r->call == CALL_SEAL_HOLE && wish.suite == ENVOL_SUITE_AES_256_XTS)
        return false;
    if (!page_kernel_force(i / CALLS / 2, wish.suite))
        return false;
    page_fixture_open(&r->f, &wish);
    r->io = page_io_new(r->call, &r->f, 99);
    r->draws = page_call_draws(r->call, wish.suite);
    return true;
}

static void end(struct round *r)
{
    page_io_free(&r->io);
    page_fixture_close(&r->f);
    envol_aes_kernel_force(NULL);
}

static int rounds(void)
{
    return 2 * CALLS * page_kernels();
}

/* The call as it is, without a lane, and, where there is something to authenticate, failing.  The
 * first of them is the first of its kind in the process, or in its thread. */
enum { VARIANTS = 3 };

static enum envol_status vary(const struct round *r, int variant)
{
    struct page_io io = r->io;

    if (variant == 1)
        io.lane = NULL;
    if (variant == 2)
        io.page_no++;
    return page_call_quietly(r->call, &io);
}

/* Another page number is another place, and other associated data of a blob. */
static enum envol_status expected_of(const struct round *r, int variant)
{
    bool authenticated = r->f.wish.suite == ENVOL_SUITE_AES_256_GCM || page_call_is_blob(r->call);

    return variant == 2 && authenticated && page_call_unseals(r->call) ? ENVOL_E_CORRUPT : ENVOL_OK;
}

struct counts {
    const struct round *round;
    uint64_t allocations, locks, draws, wrong;
};

static void *count(void *argument)
{
    struct counts *c = argument;

    for (int variant = 0; variant < VARIANTS; variant++) {
        enum envol_status expected = expected_of(c->round, variant);
        uint64_t before[3] = {recorded_calls(), locks, draws};
        enum envol_status got = vary(c->round, variant);

        c->allocations += recorded_calls() - before[0];
        c->locks += locks - before[1];
        c->wrong += got != expected;
        c->wrong += draws - before[2] != (c->round->draws && expected == ENVOL_OK);
    }
    return NULL;
}

static void check_counts(const struct counts *c)
{
    ck_assert_uint_eq(c->wrong, 0);
    ck_assert_msg(c->allocations == 0, "%s allocates", page_call_name(c->round->call));
    ck_assert_msg(c->locks == 0, "%s locks", page_call_name(c->round->call));
}

START_TEST(no_allocation_and_no_lock)
{
    struct counts here = {0}, there = {0};
    pthread_t thread;
    struct round r;

    if (!begin(&r, _i))
        return;
    here.round = there.round = &r;
    count(&here);
    check_counts(&here);
    ck_assert_int_eq(pthread_create(&thread, NULL, count, &there), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    check_counts(&there);
    end(&r);
}
END_TEST

/* Opening a lane does both, so it shows. */
START_TEST(counters_count)
{
    uint64_t allocations, taken;
    enum envol_status status;
    struct page_fixture f;
    struct envol_lane *lane;

    if (!RECORDED_MALLOC) {
        test_skip("counters of malloc and locks", "the sanitizer has its own");
        return;
    }
    page_fixture_open(&f, NULL);
    allocations = recorded_calls();
    taken = locks;
    status = envol_lane_open(f.keyring, &lane);
    allocations = recorded_calls() - allocations;
    taken = locks - taken;
    ck_assert_int_eq(status, ENVOL_OK);
    ck_assert_uint_ge(allocations, 1);
    ck_assert_uint_eq(taken, 2); /* the arena's, and that of the list of lanes */
    envol_lane_close(lane);
    page_fixture_close(&f);
}
END_TEST

/* --- system calls --- */

/* From now on this process may draw, and end; anything else kills it. */
static bool allow_getrandom_alone(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { NO_SECCOMP = 77 };

/* Ends by itself: what exit would do needs system calls. */
static int call_under_the_filter(void *argument)
{
    const struct round *r = argument;
    int wrong = 0;

    /* Settles the generation: the first call in a process locks inherited memory. */
    if (envol_process_generation() == 0)
        return 1;
    if (!allow_getrandom_alone())
        _exit(NO_SECCOMP);
    for (int variant = 0; variant < VARIANTS; variant++)
        wrong += vary(r, variant) != expected_of(r, variant);
    _exit(wrong);
}

static bool can_filter(void)
{
    if (test_tool() == NULL)
        return true;
    test_skip("system calls", "the tool makes some of its own");
    return false;
}

static int draw_under_the_filter(void *argument)
{
    uint8_t byte;

    (void)argument;
    if (!allow_getrandom_alone())
        _exit(NO_SECCOMP);
    _exit(getrandom(&byte, 1, 0) == 1 ? 0 : 1);
}

/* Some sandboxes have no seccomp. */
static bool filter_works(void)
{
    int ending;

    if (!can_filter())
        return false;
    ending = test_in_child(draw_under_the_filter, NULL);
    if (ending == NO_SECCOMP)
        test_skip("system calls", "seccomp is not to be had");
    else
        ck_assert_int_eq(ending, 0);
    return ending == 0;
}

START_TEST(no_system_call_but_getrandom)
{
    struct round r;

    if (!filter_works() || !begin(&r, _i))
        return;
    ck_assert_int_eq(test_in_child(call_under_the_filter, &r), 0);
    end(&r);
}
END_TEST

static int call_without_settling(void *argument)
{
    const struct round *r = argument;

    if (!allow_getrandom_alone())
        _exit(NO_SECCOMP);
    _exit(vary(r, 0) == ENVOL_OK ? 0 : 1);
}

/* A child's first call locks its memory again: one system call, and the filter sees it. */
START_TEST(filter_sees_system_calls)
{
    struct round r;

    if (!filter_works() || !begin(&r, CALL_SEAL))
        return;
    ck_assert_int_eq(test_in_child(call_without_settling, &r), -SIGSYS);
    end(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_path");
    TCase *tcase = tcase_create("path");

    if (!recorded_begin())
        return 1;
    tcase_add_test(tcase, counters_count);
    tcase_add_loop_test(tcase, no_allocation_and_no_lock, 0, rounds());
    tcase_add_test(tcase, filter_sees_system_calls);
    tcase_add_loop_test(tcase, no_system_call_but_getrandom, 0, rounds());
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
