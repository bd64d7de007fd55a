/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every allocation, store call and provider call of every volume operation is failed in turn.
 * Whatever failed: the status fits, outputs are empty, nothing is leaked, what was synced is there,
 * the volume opens again, and the same operation then succeeds.
 */
#include "base/memory.h"
#include "children.h"
#include "faults.h"
#include "operations.h"
#include "support.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* The C library's allocator fails too, but not where a sanitizer or memcheck has its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#ifndef OWN_MALLOC
#define OWN_MALLOC 1
#endif

#if OWN_MALLOC
/* Stands in for the C library's in this program; the library uses no other without an allocator of
 * the application's. */
void *__libc_memalign(size_t align, size_t bytes);

int posix_memalign(void **memory, size_t align, size_t bytes)
{
    if (faults_strike(FAULT_MALLOC, FAULT_AT_MEMORY))
        return ENOMEM;
    *memory = __libc_memalign(align, bytes);
    return *memory != NULL ? 0 : ENOMEM;
}
#endif

/* Beside the faults of a store and of memory: the n-th call of the key service. */
enum { FAULT_PROVIDER = FAULTS };

/* --- One fault --- */

/* Where an iteration is, for messages. */
static char where[128];

#define expects(condition) ck_assert_msg((condition), "%s: %s", where, #condition)

static bool is_fitting(int fault, enum envol_status status, enum envol_status planned)
{
    switch (fault) {
    case FAULT_ALLOC:
    case FAULT_MALLOC:
        return status == ENVOL_E_NO_MEMORY;
    case FAULT_EIO:
    case FAULT_ENOSPC:
        return status == ENVOL_E_IO;
    case FAULT_SHORT:
    case FAULT_EMPTY: /* as if somebody else had cut or changed the store */
        return status == ENVOL_E_TRUNCATED || status == ENVOL_E_CORRUPT ||
               status == ENVOL_E_FORMAT || status == ENVOL_E_STALE || status == ENVOL_E_IO;
    default:
        return status == planned;
    }
}

static void check_error(const struct subject *s, int fault, enum envol_status status)
{
    expects(s->f.error.status == status);
    expects(s->f.error.message[0] != '\0');
    if (fault == FAULT_EIO || fault == FAULT_ENOSPC)
        expects(s->f.error.os_errno == (fault == FAULT_EIO ? EIO : ENOSPC));
}

static void check_nothing_kept(const struct subject *s, int fault)
{
    if (fault != FAULT_MALLOC)
        expects(faults_allocations() == s->idle_allocations);
    expects(faults_locked_bytes() == s->idle_locked);
}

static void check_failure(struct subject *s, const struct operation *op, int fault,
                          enum envol_status status)
{
    if ((op->traits & TELLS) != 0)
        check_error(s, fault, status);
    if ((op->traits & OPENS) != 0)
        expects(s->f.volume == NULL);
    if (s->f.volume == NULL)
        check_nothing_kept(s, fault);
}

/* In the same handle; a sync that failed leaves it useless for writing (envol_volume(3)). */
static void repeat_here(struct subject *s, const struct operation *op, enum fault_place place)
{
    if (s->f.volume == NULL)
        return;
    subject_expect_base(s);
    if (place == FAULT_AT_SYNC) {
        expects(ck_note(envol_volume_sync(s->f.volume)) == ENVOL_E_IO);
        return;
    }
    expects(op->run(s) == ENVOL_OK);
    op->check(s);
}

/* A process that starts anew. */
static void repeat_elsewhere(struct subject *s, const struct operation *op)
{
    if ((op->traits & CREATES) != 0) {
        expects(subject_create(s) == ENVOL_OK);
        op->check(s);
        volume_fixture_reopen(&s->f);
        return;
    }
    volume_fixture_open(&s->f, 0, ENVOL_OK);
    subject_expect_base(s);
    if ((op->traits & OPENS) != 0 || (op->traits & CLOSES) != 0)
        volume_fixture_close(&s->f);
    if ((op->traits & CLOSES) == 0)
        expects(op->run(s) == ENVOL_OK);
    if (s->f.volume == NULL)
        volume_fixture_open(&s->f, 0, ENVOL_OK);
    op->check(s);
    subject_expect_base(s);
}

static void drop(struct subject *s)
{
    struct envol_volume *volume = s->f.volume;

    s->f.volume = NULL;
    if (volume != NULL)
        (void)ck_note(envol_volume_close(volume));
}

static void arm(const struct subject *s, int fault, unsigned n, bool for_good,
                enum envol_status planned)
{
    if (fault == FAULT_PROVIDER)
        fake_kms_fail(s->f.kms, FAKE_ANY, n, planned);
    else
        faults_arm((enum fault)fault, n, for_good);
}

/* An operation with its n-th fault; false when it needs fewer calls than that. */
static bool strike(const struct operation *op, bool xts, int fault, unsigned n, bool for_good)
{
    static const enum envol_status answers[] = {ENVOL_E_UNREACHABLE, ENVOL_E_KEY_DISABLED,
                                                ENVOL_E_THROTTLED, ENVOL_E_CREDENTIALS};
    enum envol_status planned = answers[n % 4], status;
    enum fault_place place;
    struct subject s;
    unsigned calls;

    if (!subject_begin(&s, xts))
        return false;
    op->prepare(&s);
    calls = fake_kms_calls(s.f.kms, FAKE_ANY);
    arm(&s, fault, n, for_good, planned);
    status = op->run(&s);
    if (for_good)
        drop(&s);
    place = faults_disarm();
    if (fault == FAULT_PROVIDER)
        place =
            fake_kms_calls(s.f.kms, FAKE_ANY) - calls >= n ? FAULT_AT_PROVIDER : FAULT_AT_NOTHING;
    fake_kms_fail(s.f.kms, FAKE_ANY, 0, ENVOL_OK);
    if (status != ENVOL_OK) {
        expects(place != FAULT_AT_NOTHING);
        expects(is_fitting(fault, status, planned));
        check_failure(&s, op, fault, status);
    } else if (place != FAULT_AT_NOTHING && fault != FAULT_SHORT && fault != FAULT_EMPTY) {
        /* Unlocking has no answer to a failure. */
        expects(place == FAULT_AT_UNLOCK || for_good ||
                (place == FAULT_AT_READ && (op->traits & RUNS) != 0));
    }
    if (!for_good && (op->traits & OPENS) == 0)
        repeat_here(&s, op, place);
    drop(&s);
    check_nothing_kept(&s, fault);
    if ((op->traits & CREATES) != 0 && (status == ENVOL_OK || for_good))
        subject_forget(&s); /* a store that is gone could not be emptied */
    repeat_elsewhere(&s, op);
    volume_fixture_free(&s.f);
    return place != FAULT_AT_NOTHING;
}

/* --- All of them --- */

/* How many calls there were to fail. */
static unsigned strike_all(int which, int fault, bool for_good)
{
    const struct operation *op = &operations[which / 2];
    bool xts = which % 2 != 0, struck = true;
    unsigned n = 0;

    while (struck) {
        n++;
        snprintf(where, sizeof(where), "%s, %s, fault %d, call %u%s", op->name, xts ? "xts" : "gcm",
                 fault, n, for_good ? " and on" : "");
        struck = strike(op, xts, fault, n, for_good);
        expects(n < 1000);
    }
    expects(faults_allocations() == 0);
    expects(faults_locked_bytes() == 0);
    return n - 1;
}

START_TEST(allocations)
{
    unsigned calls;

    faults_set_allocator();
    calls = strike_all(_i, FAULT_ALLOC, false);
    ck_assert(calls > 0 || (operations[_i / 2].traits & OPENS) == 0);
    strike_all(_i, FAULT_ALLOC, true);
}
END_TEST

START_TEST(the_c_librarys_allocations)
{
    if (!OWN_MALLOC || test_tool() != NULL) {
        if (_i == 0)
            test_skip("malloc that fails", "the tool has its own");
        return;
    }
    strike_all(_i, FAULT_MALLOC, false);
}
END_TEST

START_TEST(store_calls)
{
    const struct operation *op = &operations[_i / 2];
    unsigned calls;

    faults_set_allocator();
    calls = strike_all(_i, FAULT_EIO, false);
    ck_assert(calls > 0 || ((op->traits & GCM_ONLY) != 0 && _i % 2 != 0));
    strike_all(_i, FAULT_EIO, true);
    strike_all(_i, FAULT_ENOSPC, false);
    strike_all(_i, FAULT_ENOSPC, true);
}
END_TEST

START_TEST(short_reads)
{
    faults_set_allocator();
    strike_all(_i, FAULT_SHORT, false);
    strike_all(_i, FAULT_EMPTY, false);
}
END_TEST

START_TEST(provider_calls)
{
    const struct operation *op = &operations[_i / 2];
    unsigned calls = (op->traits & OPENS) != 0; /* create: one CMK generates, one wraps */

    if ((op->traits & CREATES) != 0)
        calls = 4;
    faults_set_allocator();
    ck_assert_uint_eq(strike_all(_i, FAULT_PROVIDER, false), calls);
}
END_TEST

/* --- The kernel's randomness --- */

/* From now on the system call fails in this process, past all wrappers. */
static bool forbid_randomness(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

enum { NO_SECCOMP = 77 };

static int without_randomness(void *argument)
{
    const bool xts = *(bool *)argument;
    const enum envol_status expected = xts ? ENVOL_OK : ENVOL_E_RANDOM;
    struct envol_volume *volume;
    struct envol_store *store;
    struct subject s;

    child_expects(subject_begin(&s, xts));
    store = faults_store_new();
    if (!forbid_randomness())
        return NO_SECCOMP;
    child_expects(subject_read(&s) == ENVOL_OK);
    child_expects(subject_write(&s) == expected);
    child_expects(subject_append(&s) == expected);
    child_expects(subject_append_far(&s) == expected);
    child_expects(subject_trim(&s) == expected);
    child_expects(xts || envol_volume_pages(s.f.volume) == BASE);
    child_expects(subject_sync(&s) == ENVOL_OK);
    /* A new volume's UUID, whatever its suite. */
    child_expects(ck_note(envol_volume_create(store, s.cmks, 2, NULL, &volume, &s.f.error)) ==
                  ENVOL_E_RANDOM);
    child_expects(volume == NULL && s.f.error.status == ENVOL_E_RANDOM);
    child_expects(volume_store_bytes(store) == 0);
    /* Nothing was sealed: what was there before is there, and closing and opening need none. */
    child_expects(subject_close(&s) == ENVOL_OK);
    child_expects(subject_open(&s) == ENVOL_OK);
    child_expects(xts || subject_read(&s) == ENVOL_OK);
    volume_fixture_free(&s.f);
    envol_store_close(store);
    return 0;
}

START_TEST(the_kernel_gives_no_randomness)
{
    bool xts = _i != 0;
    int result = test_in_child(without_randomness, &xts);

    if (result == NO_SECCOMP)
        test_skip("getrandom that fails", "no seccomp filters here");
    else
        ck_assert_int_eq(result, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("faults");

    tcase_add_loop_test(tcase, allocations, 0, 2 * OPERATIONS);
    tcase_add_loop_test(tcase, the_c_librarys_allocations, 0, 2 * OPERATIONS);
    tcase_add_loop_test(tcase, store_calls, 0, 2 * OPERATIONS);
    tcase_add_loop_test(tcase, short_reads, 0, 2 * OPERATIONS);
    tcase_add_loop_test(tcase, provider_calls, 0, 2 * OPERATIONS);
    tcase_add_loop_test(tcase, the_kernel_gives_no_randomness, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
