/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keyrings that exchange their epochs under four threads that seal and unseal: no call fails, none
 * seals under an epoch that was left before it began, and every record opens.
 */
#include "base/memory.h"
#include "epoch_rings.h"
#include "page/revoke.h"
#include "page_fixture.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { THREADS = 4, LAST_EPOCH = 120 };

static struct epoch_rings rings;
static struct envol_keyring *keyring;
static struct envol_object *object;
/* Epochs between which a call may seal that begins and ends now: left at latest, adopted at latest.
 * Those below floor may have been dropped. */
static _Atomic uint32_t adopted, announced, floor_epoch;
static _Atomic int ended;

/* Assertions of Check belong to the main thread: others report their first complaint. */
struct worker {
    unsigned number;
    struct envol_lane *lane; /* NULL for one of them */
    uint64_t calls;
    _Atomic bool began; /* its first call is over */
    char complaint[160];
};

static void complain(struct worker *w, const char *what, unsigned long long value)
{
    if (w->complaint[0] == '\0')
        snprintf(w->complaint, sizeof(w->complaint), "thread %u: %s: %llu", w->number, what, value);
}

static void check_epoch(struct worker *w, const void *trailer, uint32_t before)
{
    uint32_t epoch = 0;

    if (envol_trailer_epoch(trailer, &epoch) != ENVOL_OK || epoch < before)
        complain(w, "sealed under an epoch that was left", epoch);
    if (epoch > atomic_load(&announced))
        complain(w, "sealed under an epoch that is not there yet", epoch);
}

/* A record that was just sealed opens, unless its epoch was dropped since. */
static void check_unseal(struct worker *w, enum envol_status status, const void *trailer,
                         const uint8_t *page, const uint8_t *got)
{
    uint32_t epoch = 0;

    if (envol_trailer_epoch(trailer, &epoch) != ENVOL_OK)
        complain(w, "no trailer", w->calls);
    if (status == ENVOL_OK && memcmp(page, got, RING_PAGE) != 0)
        complain(w, "another page", epoch);
    if (status != ENVOL_OK && (status != ENVOL_E_CORRUPT || epoch >= atomic_load(&floor_epoch)))
        complain(w, envol_status_name(status), epoch);
}

static void round_of_pages(struct worker *w)
{
    uint8_t pages[3][RING_PAGE], records[3][RING_STRIDE], got[RING_PAGE];
    uint32_t before = atomic_load(&adopted);
    struct envol_page_op ops[3];
    enum envol_status status;

    memset(pages, (int)w->calls, sizeof(pages));
    for (size_t i = 0; i < 3; i++)
        ops[i] = (struct envol_page_op){.page_no = i, .page = pages[i], .record = records[i]};
    status = ck_note(envol_page_seal_batch(object, w->lane, ops, 3));
    if (status != ENVOL_OK)
        complain(w, "seal", (unsigned)status);
    for (size_t i = 0; i < 3; i++)
        check_epoch(w, records[i] + RING_PAGE, before);
    for (size_t i = 0; i < 3; i++) {
        status = envol_page_unseal(object, w->lane, i, records[i], got);
        check_unseal(w, status, records[i] + RING_PAGE, pages[i], got);
    }
}

static void round_of_blobs(struct worker *w)
{
    uint8_t plain[RING_PAGE], sealed[RING_STRIDE], got[RING_PAGE];
    uint32_t before = atomic_load(&adopted);
    enum envol_status status;

    memset(plain, (int)w->calls, sizeof(plain));
    status = ck_note(envol_blob_seal(object, w->lane, NULL, 0, plain, sizeof(plain), sealed));
    if (status != ENVOL_OK)
        complain(w, "seal of a blob", (unsigned)status);
    check_epoch(w, sealed + RING_PAGE, before);
    status = envol_blob_unseal(object, w->lane, NULL, 0, sealed, sizeof(sealed), got);
    check_unseal(w, status, sealed + RING_PAGE, plain, got);
}

/* Lanes come and go meanwhile as well. */
static void round_of_lanes(struct worker *w)
{
    if (w->lane == NULL)
        return;
    envol_lane_close(w->lane);
    if (envol_lane_open(keyring, &w->lane) != ENVOL_OK)
        complain(w, "lane", w->calls);
}

static void *work(void *argument)
{
    struct worker *w = argument;

    while (!atomic_load(&ended) && w->complaint[0] == '\0') {
        round_of_pages(w);
        if (w->calls % 3 == 0)
            round_of_blobs(w);
        if (w->calls % 64 == 63)
            round_of_lanes(w);
        w->calls++;
        atomic_store(&w->began, true);
    }
    return NULL;
}

/* Up to five epochs at once, as few as one. */
static void move_on(uint32_t epoch)
{
    uint32_t lowest = epoch - epoch % ENVOL_EPOCHS_MAX;
    const struct timespec pause = {.tv_nsec = 500000};

    lowest = lowest > 0 ? lowest : 1;
    atomic_store(&floor_epoch, lowest);
    atomic_store(&announced, epoch);
    epoch_move(&rings, keyring, epoch, lowest);
    atomic_store(&adopted, epoch);
    nanosleep(&pause, NULL);
}

static void start(enum envol_suite suite)
{
    epoch_rings_init(&rings, suite, 0);
    keyring = epoch_ring(&rings, 1, 1);
    ck_ok(envol_object_open(keyring, rings.id, &object));
    atomic_store(&adopted, 1);
    atomic_store(&announced, 1);
    atomic_store(&floor_epoch, 1);
}

static void run_threads(struct worker *workers, pthread_t *threads, void *(*body)(void *))
{
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        if (i != 3)
            ck_ok(envol_lane_open(keyring, &workers[i].lane));
        ck_assert_int_eq(pthread_create(&threads[i], NULL, body, &workers[i]), 0);
    }
}

static void join_threads(struct worker *workers, const pthread_t *threads)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    /* The epochs may be over before a thread has had the processor. */
    for (unsigned i = 0; i < THREADS; i++)
        while (!atomic_load(&workers[i].began))
            nanosleep(&pause, NULL);
    atomic_store(&ended, 1);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_msg(workers[i].complaint[0] == '\0', "%s", workers[i].complaint);
        ck_assert_uint_gt(workers[i].calls, 0);
        envol_lane_close(workers[i].lane);
    }
    envol_object_close(object);
    envol_keyring_close(keyring);
}

START_TEST(gcm)
{
    struct worker workers[THREADS] = {{0}};
    pthread_t threads[THREADS];

    start(ENVOL_SUITE_AES_256_GCM);
    run_threads(workers, threads, work);
    for (uint32_t epoch = 2; epoch <= LAST_EPOCH; epoch++)
        move_on(epoch);
    join_threads(workers, threads);
}
END_TEST

/* --- XTS: an object for each epoch --- */

static void one_object(struct worker *w, uint32_t epoch)
{
    uint8_t page[RING_PAGE], record[RING_PAGE], got[RING_PAGE];
    struct envol_object *mine;
    enum envol_status status = ck_note(envol_object_open_at(keyring, rings.id, epoch, &mine));

    memset(page, (int)w->calls, sizeof(page));
    for (int i = 0; status == ENVOL_OK && i < 4; i++) {
        status = ck_note(envol_page_seal(mine, w->lane, 7, page, record));
        if (status == ENVOL_OK)
            status = ck_note(envol_page_unseal(mine, w->lane, 7, record, got));
        if (status == ENVOL_OK && memcmp(page, got, sizeof(page)) != 0)
            complain(w, "another page", epoch);
    }
    if (status != ENVOL_OK && (status != ENVOL_E_STALE || epoch >= atomic_load(&floor_epoch)))
        complain(w, envol_status_name(status), epoch);
    envol_object_close(mine);
}

static void *work_with_objects(void *argument)
{
    struct worker *w = argument;

    while (!atomic_load(&ended) && w->complaint[0] == '\0') {
        one_object(w, atomic_load(&adopted));
        w->calls++;
        atomic_store(&w->began, true);
    }
    return NULL;
}

START_TEST(xts)
{
    struct worker workers[THREADS] = {{0}};
    pthread_t threads[THREADS];

    if (!page_suite(ENVOL_SUITE_AES_256_XTS)) {
        test_skip("XTS objects under threads", "no kernel does XTS");
        return;
    }
    start(ENVOL_SUITE_AES_256_XTS);
    run_threads(workers, threads, work_with_objects);
    for (uint32_t epoch = 2; epoch <= LAST_EPOCH; epoch++)
        move_on(epoch);
    join_threads(workers, threads);
}
END_TEST

/* --- Several exchanges, and a lease, at once --- */

static void *adopt_for_itself(void *argument)
{
    struct worker *w = argument;

    for (uint32_t epoch = 2; epoch <= 40 && w->complaint[0] == '\0'; epoch++) {
        struct envol_keyring *from = epoch_ring_try(&rings, epoch, epoch - 1);
        enum envol_status status = ck_note(envol_keyring_adopt(keyring, from));

        if (status != ENVOL_OK && status != ENVOL_E_STALE && status != ENVOL_E_KEY_REVOKED)
            complain(w, envol_status_name(status), epoch);
        envol_keyring_close(from);
        w->calls++;
        atomic_store(&w->began, true);
    }
    return NULL;
}

START_TEST(two_at_once)
{
    struct worker workers[THREADS] = {{0}};
    pthread_t threads[THREADS];

    start(ENVOL_SUITE_AES_256_GCM);
    run_threads(workers, threads, adopt_for_itself);
    join_threads(workers, threads);
}
END_TEST

/* Whatever of the two comes first, the keys that come back fit what the keyring holds. */
START_TEST(revoked_meanwhile)
{
    struct worker workers[THREADS] = {{0}};
    pthread_t threads[THREADS];
    uint8_t page[RING_PAGE] = {1}, record[RING_STRIDE];

    start(ENVOL_SUITE_AES_256_GCM);
    run_threads(workers, threads, adopt_for_itself);
    for (int i = 0; i < 40; i++) {
        struct envol_keyring *from;
        uint32_t epoch;

        envol_keyring_revoke(keyring);
        ck_status(envol_page_seal(object, NULL, 0, page, record), ENVOL_E_KEY_REVOKED);
        epoch = envol_keyring_epoch(keyring);
        from = epoch_ring(&rings, epoch, epoch > 1 ? epoch - 1 : 1);
        ck_assert_int_eq(envol_keyring_restore(keyring, from), ENVOL_OK);
        envol_keyring_close(from);
        ck_ok(envol_page_seal(object, NULL, 0, page, record));
    }
    join_threads(workers, threads);
}
END_TEST

static void setup(void)
{
    atomic_store(&ended, 0);
}

int main(void)
{
    Suite *suite = suite_create("adopt_threads");
    TCase *tcase = tcase_create("threads");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, gcm);
    tcase_add_test(tcase, xts);
    tcase_add_test(tcase, two_at_once);
    tcase_add_test(tcase, revoked_meanwhile);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
