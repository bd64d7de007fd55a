/* SPDX-License-Identifier: BSD-2-Clause */
/* Leases and forked children: what reaches them, and what stays the parent's. */
#include "children.h"
#include "lease_fixture.h"
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};

    nanosleep(&pause, NULL);
}

/* What parent and child tell each other. */
enum { CHILD_READS = 1, PARENT_WENT_DARK = 2, CHILD_SAW = 3, PARENT_CAME_BACK = 4 };

struct family {
    struct lease_fixture l;
    _Atomic int *step;
    struct envol_object *object; /* an engine's, and its lane */
    struct envol_lane *lane;
    uint8_t record[2048], page[2048];
};

static bool begin(struct family *family, int shape, uint32_t flags)
{
    struct lease_fixture *l = &family->l;

    if (!lease_fixture_begin(l, shape, flags))
        return false;
    family->step = mmap(NULL, sizeof(*family->step), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne((void *)family->step, MAP_FAILED);
    ck_ok(envol_object_open(l->f.volume->keyring, (const uint8_t *)"of the family...",
                            &family->object));
    ck_ok(envol_lane_open(l->f.volume->keyring, &family->lane));
    memset(family->page, 7, sizeof(family->page));
    ck_ok(envol_page_seal(family->object, family->lane, 1, family->page, family->record));
    return true;
}

static void end(struct family *family)
{
    envol_lane_close(family->lane);
    envol_object_close(family->object);
    lease_fixture_free(&family->l);
}

static void wait_for(_Atomic int *step, int wanted)
{
    while (atomic_load(step) < wanted)
        pause_ms(1);
}

static int lives_through_it(void *argument)
{
    struct family *family = argument;
    struct volume_fixture *f = &family->l.f;
    struct envol_lane *own = NULL, *late = NULL;

    child_expects(envol_page_read(f->volume, 1, f->other) == ENVOL_OK);
    child_expects(envol_page_unseal(family->object, family->lane, 1, family->record,
                                    family->page) == ENVOL_OK);
    child_expects(envol_lane_open(f->volume->keyring, &own) == ENVOL_OK);
    child_expects(envol_page_unseal(family->object, own, 1, family->record, family->page) ==
                  ENVOL_OK);
    child_expects(!lease_is_wiped(f->volume->keyring));
    atomic_store(family->step, CHILD_READS);
    wait_for(family->step, PARENT_WENT_DARK);
    /* The next call, whichever it is; with it all keys of this process go. */
    child_expects(envol_page_unseal(family->object, own, 1, family->record, family->page) ==
                  ENVOL_E_KEY_REVOKED);
    child_expects(lease_is_wiped(f->volume->keyring));
    child_expects(envol_page_read(f->volume, 1, f->other) == ENVOL_E_KEY_REVOKED);
    child_expects(envol_page_write(f->volume, 1, f->other) == ENVOL_E_KEY_REVOKED);
    child_expects(envol_page_seal(family->object, NULL, 1, family->page, family->record) ==
                  ENVOL_E_KEY_REVOKED);
    child_expects(envol_lane_open(f->volume->keyring, &late) == ENVOL_E_KEY_REVOKED);
    child_expects(volume_info_of(f).lease_state == ENVOL_LEASE_INACCESSIBLE);
    atomic_store(family->step, CHILD_SAW);
    wait_for(family->step, PARENT_CAME_BACK);
    /* Keys come back to the process that unlocked: this one is to be forked anew. */
    child_expects(envol_page_read(f->volume, 1, f->other) == ENVOL_E_KEY_REVOKED);
    child_expects(envol_page_unseal(family->object, own, 1, family->record, family->page) ==
                  ENVOL_E_KEY_REVOKED);
    envol_lane_close(own);
    child_expects(envol_volume_close(f->volume) == ENVOL_OK);
    return 0;
}

static int born_later(void *argument)
{
    struct family *family = argument;
    struct volume_fixture *f = &family->l.f;

    child_expects(envol_page_read(f->volume, 1, f->other) == ENVOL_OK);
    child_expects(envol_page_unseal(family->object, family->lane, 1, family->record,
                                    family->page) == ENVOL_OK);
    child_expects(family->page[0] == 7);
    return 0;
}

static int born_in_the_dark(void *argument)
{
    struct family *family = argument;
    struct volume_fixture *f = &family->l.f;

    child_expects(envol_page_read(f->volume, 1, f->other) == ENVOL_E_KEY_REVOKED);
    child_expects(lease_is_wiped(f->volume->keyring));
    return 0;
}

START_TEST(it_reaches_an_inheriting_child)
{
    struct family family;
    pid_t child;
    int status;

    if (!begin(&family, _i == 0 ? 0 : 5, ENVOL_OPEN_INHERIT))
        return;
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(lives_through_it(&family));
    wait_for(family.step, CHILD_READS);
    lease_go_dark(&family.l);
    atomic_store(family.step, PARENT_WENT_DARK);
    wait_for(family.step, CHILD_SAW);
    ck_assert_int_eq(test_in_child(born_in_the_dark, &family), 0);
    ck_assert_int_eq(test_in_raw_child(born_in_the_dark, &family), 0);
    lease_come_back(&family.l);
    atomic_store(family.step, PARENT_CAME_BACK);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(test_in_child(born_later, &family), 0);
    ck_assert_int_eq(test_in_raw_child(born_later, &family), 0);
    end(&family);
}
END_TEST

/* --- What is the parent's alone --- */

static int may_not(void *argument)
{
    struct family *family = argument;
    struct lease_fixture *l = &family->l;
    struct envol_lease_info info = {.struct_size = sizeof(info)};
    struct envol_lease *lease;
    uint64_t next_ms;

    child_expects(ck_note(envol_lease_poll(l->lease, l->now_ms, &next_ms)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_lease_info(l->lease, &info)) == ENVOL_E_FORKED);
    child_expects(info.state == ENVOL_LEASE_NONE);
    child_expects(ck_note(envol_lease_start(l->f.volume, NULL, &lease, NULL)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_unlock(l->f.volume, &l->f.cmk, 1, NULL, NULL)) ==
                  ENVOL_E_FORKED);
    child_expects(lease == NULL);
    return 0;
}

START_TEST(a_child_has_no_lease)
{
    struct family family;

    if (!begin(&family, 0, _i == 0 ? 0 : ENVOL_OPEN_INHERIT))
        return;
    ck_assert_int_eq(test_in_child(may_not, &family), 0);
    ck_assert_int_eq(test_in_raw_child(may_not, &family), 0);
    lease_go_dark(&family.l);
    ck_assert_int_eq(test_in_child(may_not, &family), 0);
    lease_come_back(&family.l);
    end(&family);
}
END_TEST

/* Without ENVOL_OPEN_INHERIT a child is told what it was told before. */
static int is_forked(void *argument)
{
    struct family *family = argument;
    struct volume_fixture *f = &family->l.f;

    child_expects(envol_page_read(f->volume, 1, f->other) == ENVOL_E_FORKED);
    child_expects(envol_page_unseal(family->object, family->lane, 1, family->record,
                                    family->page) == ENVOL_E_FORKED);
    child_expects(envol_volume_close(f->volume) == ENVOL_OK);
    return 0;
}

START_TEST(forked_comes_before_revoked)
{
    struct family family;

    if (!begin(&family, 0, 0))
        return;
    lease_go_dark(&family.l);
    ck_assert_int_eq(test_in_child(is_forked, &family), 0);
    lease_come_back(&family.l);
    end(&family);
}
END_TEST

/* A child has no use for what threads of its parent held: memcheck calls that lost. */
static bool can_fork_threads(void)
{
    if (test_tool() == NULL || strcmp(test_tool(), "valgrind") != 0)
        return true;
    test_skip("forks beside threads", "memcheck finds the threads' memory lost in the child");
    return false;
}

/* What a child does with its copies does not reach the parent. */
static int closes(void *argument)
{
    struct family *family = argument;
    struct envol_lease *lease = family->l.lease;

    if (*family->step == 1)
        envol_lease_stop(lease);
    envol_lane_close(family->lane);
    envol_object_close(family->object);
    child_expects(envol_volume_close(family->l.f.volume) == ENVOL_OK);
    return 0;
}

START_TEST(a_child_that_closes)
{
    struct family family;

    if (!can_fork_threads() || !begin(&family, 0, ENVOL_OPEN_INHERIT))
        return;
    envol_lease_stop(family.l.lease);
    family.l.options.flags = ENVOL_LEASE_THREAD;
    family.l.options.interval_ms = 10;
    family.l.options.grace_ms = 20;
    lease_fixture_start(&family.l);
    for (int i = 0; i < 2; i++) {
        *family.step = i;
        ck_assert_int_eq(test_in_child(closes, &family), 0);
        /* Of a clone past the C library the thread sanitizer believes that it has all threads. */
        if (test_tool() == NULL)
            ck_assert_int_eq(test_in_raw_child(closes, &family), 0);
    }
    volume_page_expect(&family.l.f, 1, 1);
    fake_kms_set_state(family.l.f.kms, VOLUME_KEY, FAKE_KEY_DISABLED);
    while (lease_info_of(&family.l).state != ENVOL_LEASE_INACCESSIBLE)
        pause_ms(1);
    ck_assert_int_eq(test_in_child(closes, &family), 0);
    lease_come_back(&family.l);
    volume_page_expect(&family.l.f, 1, 1);
    end(&family);
}
END_TEST

/* Records that it wrote can be made durable; the header is the parent's. */
static int syncs_in_the_dark(void *argument)
{
    struct family *family = argument;

    alarm(20);
    child_expects(ck_note(envol_volume_sync(family->l.f.volume)) == ENVOL_OK);
    return 0;
}

/* A thread of the parent was in the middle of growth when it forked. */
START_TEST(a_child_waits_for_no_thread_of_its_parent)
{
    struct family family;

    if (!begin(&family, _i == 0 ? 0 : 5, ENVOL_OPEN_INHERIT))
        return;
    lease_go_dark(&family.l);
    pthread_mutex_lock(&family.l.f.volume->growth);
    ck_assert_int_eq(test_in_child(syncs_in_the_dark, &family), 0);
    pthread_mutex_unlock(&family.l.f.volume->growth);
    lease_come_back(&family.l);
    end(&family);
}
END_TEST

/* --- Forks at any moment --- */

/* A child reads until it is told that the keys are gone; what it reads is never wrong. */
static int reads_until_dark(void *argument)
{
    struct family *family = argument;
    struct volume_fixture *f = &family->l.f;
    enum envol_status status = ENVOL_OK;

    for (long i = 0; status == ENVOL_OK; i++) {
        uint8_t page[2048];
        status = envol_page_unseal(family->object, family->lane, 1, family->record, page);
        if (status == ENVOL_OK)
            child_expects(page[0] == 7 && page[511] == 7);
        if (status == ENVOL_OK)
            status = envol_page_read(f->volume, (uint64_t)i % LEASE_PAGES, f->other);
        child_expects(i < 10000000);
    }
    child_expects(status == ENVOL_E_KEY_REVOKED);
    child_expects(lease_is_wiped(f->volume->keyring));
    return 0;
}

struct flicker {
    struct family *family;
    _Atomic bool stop;
};

static void *flicker(void *argument)
{
    struct flicker *flickering = argument;
    struct lease_fixture *l = &flickering->family->l;

    while (!atomic_load(&flickering->stop)) {
        pause_ms(1);
        lease_go_dark(l);
        lease_come_back(l);
        l->changes = 0;
    }
    return NULL;
}

START_TEST(forked_while_keys_come_and_go)
{
    struct family family;
    struct flicker flickering = {.family = &family};
    pthread_t thread;

    if (!can_fork_threads() || !begin(&family, _i == 0 ? 0 : 5, ENVOL_OPEN_INHERIT))
        return;
    ck_assert_int_eq(pthread_create(&thread, NULL, flicker, &flickering), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(test_in_child(reads_until_dark, &family), 0);
    atomic_store(&flickering.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    volume_page_expect(&family.l.f, 1, 1);
    end(&family);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lease_fork");
    TCase *tests = tcase_create("children");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, it_reaches_an_inheriting_child, 0, 2);
    tcase_add_loop_test(tests, a_child_has_no_lease, 0, 2);
    tcase_add_test(tests, forked_comes_before_revoked);
    tcase_add_test(tests, a_child_that_closes);
    tcase_add_loop_test(tests, a_child_waits_for_no_thread_of_its_parent, 0, 2);
    tcase_add_loop_test(tests, forked_while_keys_come_and_go, 0, 2);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
