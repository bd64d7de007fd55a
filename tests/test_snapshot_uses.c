/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots beside rotations, forks, leases and threads; and what is refused. */
#include "base/memory.h"
#include "children.h"
#include "snapshot_fixture.h"
#include "store/space.h"
#include "support.h"

#include <envol/rotate.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool begin(struct snapshot_fixture *s, int shape)
{
    if (!snapshot_fixture_create(s, &volume_shapes[shape], false))
        return false;
    snapshot_put(s, 0, 2 * s->chunk + 1);
    return true;
}

/* --- Rotation of the DEK --- */

static void rotate(struct snapshot_fixture *s, uint32_t flags)
{
    struct volume_fixture *f = &s->f;

    ck_ok(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
    ck_ok(envol_volume_rotate_run(f->volume, 0, NULL, NULL, NULL, &f->error));
    ck_ok(envol_volume_rotate_finish(f->volume, flags, &f->error));
}

static struct envol_ledger ledger_of(struct snapshot_fixture *s)
{
    struct envol_ledger ledger = {.struct_size = sizeof(ledger)};

    ck_ok(envol_volume_ledger(s->f.volume, &ledger, &s->f.error));
    return ledger;
}

START_TEST(rotations_go_on_over_them)
{
    struct snapshot_fixture s;
    struct snapshot_model first, second;
    struct snapshot_image early;
    struct envol_ledger ledger;
    uint8_t one[ENVOL_UUID_BYTES], two[ENVOL_UUID_BYTES];

    if (!begin(&s, _i))
        return;
    snapshot_make(&s, one);
    first = s.model;
    snapshot_image_open(&s, one, &early);
    snapshot_put(&s, 1, 1);
    rotate(&s, 0);
    snapshot_expect(&s, early.volume, &first, "opened before the rotation");
    ck_ok(envol_volume_refresh(early.volume, &s.f.error));
    snapshot_expect(&s, early.volume, &first, "refreshed after the rotation");
    snapshot_image_close(&early);
    snapshot_expect_image(&s, one, &first, "rotated");
    ledger = ledger_of(&s);
    ck_assert_uint_eq(ledger.epoch_count, 2);
    ck_assert_uint_eq(ledger.epochs[0].snapshots, 0);
    ck_assert_uint_eq(ledger.epochs[1].snapshots, 1);
    ck_assert_uint_eq(ledger.epochs[1].pages, 0);
    ck_assert_int_eq(ledger.epochs[1].may_retire, 0);
    /* In the middle of the next one. */
    ck_ok(envol_volume_rotate_begin(s.f.volume, &s.f.cmk, 1, 0, NULL, &s.f.error));
    ck_ok(envol_volume_rotate_step(s.f.volume, 3, NULL, &s.f.error));
    snapshot_make(&s, two);
    second = s.model;
    snapshot_fixture_reopen(&s);
    ck_ok(envol_volume_rotate_run(s.f.volume, 0, NULL, NULL, NULL, &s.f.error));
    snapshot_put(&s, 0, s.chunk);
    ck_ok(envol_volume_rotate_finish(s.f.volume, 0, &s.f.error));
    ck_status(envol_volume_rotate_finish(s.f.volume, ENVOL_ROTATE_ABANDON_BAD, &s.f.error),
              ENVOL_E_STATE);
    snapshot_expect_image(&s, one, &first, "rotated twice");
    snapshot_expect_image(&s, two, &second, "of two epochs");
    ck_ok(envol_snapshot_delete(s.f.volume, one, &s.f.error));
    snapshot_fixture_reopen(&s);
    snapshot_expect_image(&s, two, &second, "the older one gone");
    ck_ok(envol_snapshot_delete(s.f.volume, two, &s.f.error));
    ledger = ledger_of(&s);
    ck_assert_uint_eq(ledger.epoch_count, 3);
    ck_assert_int_eq(ledger.epochs[1].may_retire, 1);
    ck_ok(envol_volume_rotate_finish(s.f.volume, ENVOL_ROTATE_ABANDON_BAD, &s.f.error));
    ck_assert_uint_eq(volume_info_of(&s.f).header.retained_epochs, 0);
    snapshot_fixture_reopen(&s);
    snapshot_expect(&s, s.f.volume, &s.model, "without older DEKs");
    snapshot_fixture_free(&s);
}
END_TEST

START_TEST(xts_rotates_without_them)
{
    struct snapshot_fixture s;
    struct volume_fixture *f = &s.f;
    uint8_t uuid[ENVOL_UUID_BYTES], other[ENVOL_UUID_BYTES];

    if (!begin(&s, 6))
        return;
    snapshot_make(&s, uuid);
    ck_status(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error), ENVOL_E_STATE);
    ck_ok(envol_snapshot_delete(f->volume, uuid, &f->error));
    ck_ok(envol_volume_rotate_begin(f->volume, &f->cmk, 1, 0, NULL, &f->error));
    ck_status(envol_snapshot_create(f->volume, NULL, other, &f->error), ENVOL_E_STATE);
    ck_ok(envol_volume_rotate_run(f->volume, 0, NULL, NULL, NULL, &f->error));
    ck_ok(envol_volume_rotate_finish(f->volume, 0, &f->error));
    snapshot_make(&s, uuid);
    snapshot_expect_image(&s, uuid, &s.model, "rotated");
    snapshot_fixture_free(&s);
}
END_TEST

/* --- Forks, leases --- */

static int use_in_child(void *argument)
{
    struct snapshot_fixture *s = argument;
    uint8_t uuid[ENVOL_UUID_BYTES] = {1};
    struct envol_volume *image;

    volume_page_fill(&s->f, 0, 99, s->f.page);
    child_expects(envol_page_write(s->f.volume, 0, s->f.page) == ENVOL_E_FORKED);
    child_expects(envol_page_trim(s->f.volume, 0, 1) == ENVOL_E_FORKED);
    child_expects(envol_page_read(s->f.volume, 0, s->f.page) == ENVOL_OK);
    /* Pages that came later are of no snapshot. */
    child_expects(envol_page_write(s->f.volume, s->model.pages - 1, s->f.page) == ENVOL_OK);
    child_expects(envol_snapshot_open(s->f.volume, uuid, &image, NULL) == ENVOL_E_FORKED);
    child_expects(envol_snapshot_delete(s->f.volume, uuid, NULL) == ENVOL_E_FORKED);
    child_expects(envol_volume_close(s->f.volume) == ENVOL_OK);
    return 0;
}

START_TEST(forked_children)
{
    struct snapshot_fixture s;
    uint8_t uuid[ENVOL_UUID_BYTES], spare[ENVOL_UUID_BYTES];

    if (!begin(&s, _i))
        return;
    snapshot_make(&s, uuid);
    snapshot_put(&s, s.model.pages, 2);
    volume_fixture_close(&s.f);
    snapshot_fixture_open(&s, ENVOL_OPEN_INHERIT, ENVOL_OK);
    ck_status(envol_snapshot_create(s.f.volume, NULL, spare, &s.f.error), ENVOL_E_STATE);
    ck_assert_int_eq(test_in_child(use_in_child, &s), 0);
    s.model.pages--; /* the child's */
    for (uint64_t i = 0; i < s.model.pages; i++)
        volume_page_expect(&s.f, i, s.model.version[i]);
    snapshot_fixture_free(&s);
}
END_TEST

static int read_in_child(void *argument)
{
    struct envol_volume *image = argument;
    uint8_t page[16384];

    child_expects(envol_page_read(image, 0, page) == ENVOL_E_FORKED);
    child_expects(envol_volume_close(image) == ENVOL_OK);
    return 0;
}

START_TEST(images_have_the_keys_of_their_volume)
{
    struct snapshot_fixture s;
    const struct envol_lease_options options = {.struct_size = sizeof(options)};
    struct envol_lease *lease;
    struct envol_volume *image;
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    uint8_t uuid[ENVOL_UUID_BYTES], spare[ENVOL_UUID_BYTES];

    if (!begin(&s, _i))
        return;
    snapshot_make(&s, uuid);
    ck_ok(envol_snapshot_open(s.f.volume, uuid, &image, &s.f.error));
    ck_status(envol_lease_start(image, &options, &lease, &s.f.error), ENVOL_E_STATE);
    ck_status(envol_volume_unlock(image, &s.f.cmk, 1, NULL, &s.f.error), ENVOL_E_STATE);
    ck_status(envol_page_write(image, 0, s.f.page), ENVOL_E_READ_ONLY);
    ck_status(envol_page_trim(image, 0, 1), ENVOL_E_READ_ONLY);
    ck_status(envol_snapshot_create(image, NULL, spare, &s.f.error), ENVOL_E_READ_ONLY);
    ck_ok(envol_volume_anchor(image, &anchor));
    ck_assert_int_eq(test_in_child(read_in_child, image), 0);
    ck_ok(envol_volume_close(image));
    snapshot_fixture_free(&s);
}
END_TEST

/* --- Refusals --- */

START_TEST(arguments)
{
    struct snapshot_fixture s;
    struct envol_volume *volume;
    struct envol_volume_options options = {.struct_size = sizeof(options)};
    struct envol_snapshot_options named = {.struct_size = sizeof(named)};
    struct envol_snapshot_info info = {.struct_size = sizeof(info) - 8};
    char label[80];
    uint8_t uuid[ENVOL_UUID_BYTES];
    size_t count;

    if (!begin(&s, 2))
        return;
    memset(label, 'x', sizeof(label));
    label[64] = 0;
    named.label = label;
    ck_status(envol_snapshot_create(s.f.volume, &named, uuid, NULL), ENVOL_E_ARGUMENT);
    label[63] = 0;
    ck_ok(envol_snapshot_create(s.f.volume, &named, uuid, NULL));
    named.struct_size--;
    ck_status(envol_snapshot_create(s.f.volume, &named, uuid, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_snapshot_create(s.f.volume, NULL, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_snapshot_create(NULL, NULL, uuid, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_snapshot_delete(s.f.volume, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_snapshot_delete(s.f.volume, uuid, NULL), ENVOL_E_RANGE); /* zeros */
    ck_status(envol_snapshot_open(s.f.volume, uuid, &volume, NULL), ENVOL_E_RANGE);
    ck_status(envol_snapshot_open(s.f.volume, uuid, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_snapshot_list(s.f.volume, &info, 1, &count, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_snapshot_list(s.f.volume, NULL, 1, &count, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_snapshot_list(s.f.volume, NULL, 0, NULL, NULL), ENVOL_E_ARGUMENT);
    volume_fixture_close(&s.f);
    options.snapshot = uuid;
    options.space = s.space;
    ck_status(envol_volume_open(s.f.store, &s.f.cmk, 1, &options, &volume, NULL), ENVOL_E_ARGUMENT);
    options.flags = ENVOL_OPEN_READ_ONLY | ENVOL_OPEN_OTHER_COPY;
    ck_status(envol_volume_open(s.f.store, &s.f.cmk, 1, &options, &volume, NULL), ENVOL_E_ARGUMENT);
    options.flags = ENVOL_OPEN_READ_ONLY;
    ck_status(envol_volume_open(s.f.store, &s.f.cmk, 1, &options, &volume, NULL), ENVOL_E_RANGE);
    options.space = NULL;
    ck_status(envol_volume_open(s.f.store, &s.f.cmk, 1, &options, &volume, NULL), ENVOL_E_ARGUMENT);
    options.snapshot = NULL;
    options.flags = ENVOL_OPEN_READ_ONLY | ENVOL_OPEN_ABANDON_SNAPSHOTS;
    ck_status(envol_volume_open(s.f.store, &s.f.cmk, 1, &options, &volume, NULL), ENVOL_E_ARGUMENT);
    options.flags = ENVOL_OPEN_ABANDON_SNAPSHOTS;
    ck_status(envol_volume_create(s.f.store, &s.f.cmk, 1, &options, &volume, NULL),
              ENVOL_E_ARGUMENT);
    /* Without a space. */
    ck_ok(envol_volume_open(s.f.store, &s.f.cmk, 1, &options, &s.f.volume, NULL));
    ck_status(envol_snapshot_create(s.f.volume, NULL, uuid, NULL), ENVOL_E_STATE);
    ck_status(envol_snapshot_delete(s.f.volume, uuid, NULL), ENVOL_E_STATE);
    ck_status(envol_snapshot_open(s.f.volume, uuid, &volume, NULL), ENVOL_E_STATE);
    snapshot_fixture_free(&s);
}
END_TEST

/* A new volume has its space from the beginning. */
START_TEST(created_with_a_space)
{
    struct snapshot_fixture s;
    struct envol_volume_options options = {.struct_size = sizeof(options)};
    struct envol_store *store;
    struct envol_volume *volume;
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (!begin(&s, 2))
        return;
    ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
    options.space = s.space;
    ck_ok(envol_volume_create(store, &s.f.cmk, 1, &options, &volume, NULL));
    ck_ok(envol_page_write(volume, 3, s.f.page));
    ck_ok(envol_snapshot_create(volume, NULL, uuid, NULL));
    ck_ok(envol_page_write(volume, 3, s.f.page));
    ck_ok(envol_snapshot_delete(volume, uuid, NULL));
    ck_ok(envol_volume_close(volume));
    envol_store_close(store);
    snapshot_fixture_free(&s);
}
END_TEST

/* --- Threads --- */

enum { WRITERS = 4, ROUNDS = 40 };

struct crowd {
    struct snapshot_fixture *s;
    struct envol_volume *image;
    const struct snapshot_model *model;
    _Atomic bool stop;
    _Atomic unsigned bad;
};

struct writer {
    struct crowd *crowd;
    unsigned seed;
};

static void *write_at_random(void *argument)
{
    struct writer *w = argument;
    struct snapshot_fixture *s = w->crowd->s;
    uint8_t *page = malloc(s->f.page_bytes);

    for (unsigned i = 0; page != NULL && i < ROUNDS; i++) {
        uint64_t page_no = (unsigned)rand_r(&w->seed) % (s->model.pages + 4);
        enum envol_status status;
        if (i % 10 == 3 && w->seed % 2 == 0) {
            status = envol_page_trim(s->f.volume, page_no / 2, 1);
        } else if (i % 20 == 7 && w->seed % 3 == 0) {
            status = envol_volume_truncate(s->f.volume, s->model.pages - page_no % 5, NULL);
        } else {
            volume_page_fill(&s->f, page_no, 230 + i % 10, page);
            status = envol_page_write(s->f.volume, page_no, page);
        }
        if (status != ENVOL_OK && status != ENVOL_E_RANGE)
            atomic_fetch_add(&w->crowd->bad, 1);
    }
    free(page);
    return NULL;
}

static void *read_the_image(void *argument)
{
    struct crowd *c = argument;
    const struct volume_fixture *f = &c->s->f;
    uint8_t *page = malloc(f->page_bytes);

    while (page != NULL && !atomic_load(&c->stop))
        for (uint64_t i = 0; i < c->model->pages; i++) {
            enum envol_status status = envol_page_read(c->image, i, page);
            if (status != ENVOL_OK ||
                volume_page_version(f, i, c->model->version[i], page) != c->model->version[i])
                atomic_fetch_add(&c->bad, 1);
        }
    free(page);
    return NULL;
}

START_TEST(threads_write_under_images)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct snapshot_image other;
    struct envol_volume *own;
    struct crowd crowds[2];
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS + 2];
    uint8_t uuid[ENVOL_UUID_BYTES], later[ENVOL_UUID_BYTES];

    if (!begin(&s, _i))
        return;
    snapshot_make(&s, uuid);
    model = s.model;
    ck_ok(envol_snapshot_open(s.f.volume, uuid, &own, &s.f.error));
    snapshot_image_open(&s, uuid, &other);
    for (size_t i = 0; i < 2; i++) {
        crowds[i] = (struct crowd){&s, i == 0 ? own : other.volume, &model, false, 0};
        ck_assert_int_eq(pthread_create(&threads[WRITERS + i], NULL, read_the_image, &crowds[i]),
                         0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&crowds[0], (unsigned)test_random()};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_at_random, &writers[i]), 0);
    }
    ck_ok(envol_snapshot_create(s.f.volume, NULL, later, &s.f.error));
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&crowds[i].stop, true);
        pthread_join(threads[WRITERS + i], NULL);
        ck_assert_uint_eq(atomic_load(&crowds[i].bad), 0);
    }
    snapshot_expect(&s, own, &model, "after the crowd");
    snapshot_expect(&s, other.volume, &model, "after the crowd, elsewhere");
    ck_ok(envol_volume_close(own));
    snapshot_image_close(&other);
    ck_ok(envol_snapshot_delete(s.f.volume, uuid, &s.f.error));
    ck_ok(envol_snapshot_open(s.f.volume, later, &own, &s.f.error));
    if (s.f.gcm)
        ck_ok(envol_volume_verify(own, NULL, NULL, NULL, NULL));
    ck_ok(envol_volume_close(own));
    snapshot_fixture_free(&s);
}
END_TEST

/* --- Another process --- */

struct job {
    struct snapshot_fixture *s;
    const struct snapshot_model *model;
    const uint8_t *uuid;
    int ready, stay; /* says that the image is open; reads when it may be closed */
};

static int read_elsewhere(void *argument)
{
    const struct job *job = argument;
    struct snapshot_fixture *s = job->s;
    struct envol_store *store;
    struct envol_space *space;
    struct envol_volume *image;
    char byte = 1;

    child_expects(envol_file_store_open(test_path("volume"), ENVOL_FILE_READ_ONLY, &store, NULL) ==
                  ENVOL_OK);
    child_expects(envol_directory_space_open(test_path("volume.d"), 0, &space, NULL) == ENVOL_OK);
    child_expects(snapshot_image_try(s, store, space, job->uuid, &image) == ENVOL_OK);
    child_expects(write(job->ready, &byte, 1) == 1);
    for (unsigned round = 0; round < 30; round++)
        for (uint64_t i = 0; i < job->model->pages; i++) {
            child_expects(envol_page_read(image, i, s->f.other) == ENVOL_OK);
            child_expects(volume_page_version(&s->f, i, job->model->version[i], s->f.other) ==
                          job->model->version[i]);
        }
    child_expects(read(job->stay, &byte, 1) == 1);
    child_expects(envol_volume_close(image) == ENVOL_OK);
    envol_space_close(space);
    envol_store_close(store);
    return 0;
}

static void *run_child(void *argument)
{
    return (void *)(intptr_t)test_in_child(read_elsewhere, argument);
}

START_TEST(another_process_reads_on)
{
    struct snapshot_fixture s;
    struct snapshot_model model;
    struct envol_store *store;
    struct envol_space *space;
    uint8_t uuid[ENVOL_UUID_BYTES];
    pthread_t thread;
    void *result;
    struct job job;
    int ends[2], stay[2], failed;
    ssize_t got;
    char byte;

    ck_assert_int_eq(envol_file_store_open(test_path("volume"), ENVOL_FILE_CREATE, &store, NULL),
                     ENVOL_OK);
    ck_assert_int_eq(envol_directory_space_open(test_path("volume.d"), ENVOL_SPACE_CREATE_DIRECTORY,
                                                &space, NULL),
                     ENVOL_OK);
    if (!snapshot_fixture_create_on(&s, &volume_shapes[_i], false, store, space))
        return;
    snapshot_put(&s, 0, 3 * s.chunk);
    snapshot_make(&s, uuid);
    model = s.model;
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(pipe(stay), 0);
    job = (struct job){&s, &model, uuid, ends[1], stay[0]};
    /* No assertion in between: a child that is forked in the middle of one finds Check locked. */
    failed = pthread_create(&thread, NULL, run_child, &job);
    got = failed == 0 ? read(ends[0], &byte, 1) : 0;
    ck_assert_int_eq(failed, 0);
    ck_assert_int_eq(got, 1);
    ck_status(envol_snapshot_delete(s.f.volume, uuid, &s.f.error), ENVOL_E_BUSY);
    for (unsigned i = 0; i < 60; i++)
        snapshot_put(&s, test_random() % (3 * s.chunk), 1);
    snapshot_truncate(&s, s.chunk);
    ck_assert_int_eq(write(stay[1], &byte, 1), 1);
    pthread_join(thread, &result);
    ck_assert_int_eq((int)(intptr_t)result, 0);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(stay[i]);
    }
    ck_ok(envol_snapshot_delete(s.f.volume, uuid, &s.f.error));
    snapshot_fixture_free(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *made = suite_create("snapshot_uses");
    TCase *uses = tcase_create("uses");

    tcase_set_timeout(uses, 60);
    tcase_add_loop_test(uses, rotations_go_on_over_them, 1, 5);
    tcase_add_test(uses, xts_rotates_without_them);
    tcase_add_loop_test(uses, forked_children, 2, 3);
    tcase_add_loop_test(uses, images_have_the_keys_of_their_volume, 2, 3);
    tcase_add_test(uses, arguments);
    tcase_add_test(uses, created_with_a_space);
    tcase_add_loop_test(uses, threads_write_under_images, 2, 3);
    tcase_add_loop_test(uses, threads_write_under_images, 6, 7);
    tcase_add_loop_test(uses, another_process_reads_on, 2, 3);
    tcase_add_loop_test(uses, another_process_reads_on, 6, 7);
    suite_add_tcase(made, uses);
    return made;
}

int main(void)
{
    return test_run(suite());
}
