/* SPDX-License-Identifier: BSD-2-Clause */
/* One volume in several processes: a writer and readers, killed writers, and forked children. */
#include "base/memory.h"
#include "children.h"
#include "handles.h"
#include "support.h"
#include "volume_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* GCM first. */
static const int shapes[] = {1, 2, 4, 6, 8};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

/* In a file, and closed: each process opens it for itself. */
static bool begin(struct volume_fixture *f, int i)
{
    if (!volume_fixture_create_on(f, &volume_shapes[shapes[i]], test_store_new(1)))
        return false;
    volume_fixture_close(f);
    return true;
}

/* --- A writer in another process --- */

/* What a writing process does; assertions of Check do not reach its parent. */
struct job {
    struct volume_fixture *f;
    uint64_t first, count;
    unsigned version;
    int64_t truncate; /* or -1 */
    bool leave;       /* without closing */
};

static int write_pages(void *argument)
{
    const struct job *job = argument;
    struct volume_fixture *f = job->f;
    struct envol_store *store;
    struct envol_volume *volume;

    child_expects(envol_file_store_open(test_path("file"), 0, &store, NULL) == ENVOL_OK);
    child_expects(envol_volume_open(store, &f->cmk, 1, NULL, &volume, NULL) == ENVOL_OK);
    for (uint64_t i = job->first; i < job->first + job->count; i++) {
        volume_page_fill(f, i, job->version, f->page);
        child_expects(envol_page_write(volume, i, f->page) == ENVOL_OK);
    }
    if (job->truncate >= 0)
        child_expects(envol_volume_truncate(volume, (uint64_t)job->truncate, NULL) == ENVOL_OK);
    child_expects(envol_volume_sync(volume) == ENVOL_OK);
    if (job->leave)
        _exit(0);
    child_expects(envol_volume_close(volume) == ENVOL_OK);
    envol_store_close(store);
    return 0;
}

static void let_write(struct volume_fixture *f, uint64_t first, uint64_t count, unsigned version,
                      int64_t truncate, bool leave)
{
    struct job job = {f, first, count, version, truncate, leave};

    ck_assert_int_eq(test_in_child(write_pages, &job), 0);
}

START_TEST(readers_follow_with_a_refresh)
{
    struct volume_fixture f;
    unsigned calls;

    if (!begin(&f, _i))
        return;
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    calls = fake_kms_calls(f.kms, FAKE_ANY);
    let_write(&f, 0, 5, 1, -1, false);
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), calls + 1); /* the writer's */
    volume_page_expect_status(&f, 0, ENVOL_E_RANGE);
    ck_ok(envol_volume_refresh(f.volume, &f.error));
    ck_assert_uint_eq(fake_kms_calls(f.kms, FAKE_ANY), calls + 1);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 5);
    for (uint64_t i = 0; i < 5; i++)
        volume_page_expect(&f, i, 1);
    let_write(&f, 0, 1, 2, -1, false);
    volume_page_expect(&f, 0, 2); /* what exists is read as it is */
    let_write(&f, 5, 1, 1, 3, false);
    ck_ok(envol_volume_refresh(f.volume, &f.error));
    ck_assert_uint_eq(envol_volume_pages(f.volume), 3);
    volume_page_expect_status(&f, 3, ENVOL_E_RANGE);
    volume_page_expect(&f, 2, 1);
    volume_fixture_free(&f);
}
END_TEST

static void damage(struct volume_fixture *f, uint64_t page_no, uint8_t value)
{
    uint8_t *record = malloc(f->stride_bytes);

    ck_assert_ptr_nonnull(record);
    memset(record, value, f->stride_bytes);
    volume_store_put(f->store, volume_record_at(f, page_no), record, f->stride_bytes);
    free(record);
}

/* A writer that is at work, or died: beyond the mark a reader finds what authenticates. */
START_TEST(readers_look_into_the_window)
{
    struct volume_fixture f;
    struct envol_verify_result result = {.struct_size = sizeof(result)};

    if (!begin(&f, _i))
        return;
    let_write(&f, 0, 3, 1, -1, false);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    let_write(&f, 3, 2, 1, -1, true);
    volume_page_expect_status(&f, 3, ENVOL_E_RANGE);
    ck_ok(envol_volume_refresh(f.volume, &f.error));
    ck_assert_uint_eq(envol_volume_pages(f.volume), 5);
    volume_page_expect(&f, 3, 1);
    volume_page_expect(&f, 4, 1);
    volume_page_expect_status(&f, 5, ENVOL_E_RANGE);
    volume_page_expect_status(&f, 1026, ENVOL_E_RANGE);
    volume_page_expect_status(&f, 1027, ENVOL_E_RANGE);
    if (f.gcm) {
        ck_ok(envol_volume_verify(f.volume, NULL, NULL, &result, &f.error));
        ck_assert_uint_eq(result.pages, 5);
        damage(&f, 3, 0);
        volume_page_expect_status(&f, 3, ENVOL_E_UNWRITTEN); /* as for the writer below */
        damage(&f, 3, 0x11);
        ck_status(envol_volume_verify(f.volume, NULL, NULL, &result, &f.error), ENVOL_E_CORRUPT);
        ck_assert_uint_eq(f.error.page_no, 3);
        damage(&f, 3, 0);
    }
    volume_fixture_close(&f);
    volume_fixture_open(&f, 0, ENVOL_OK); /* and a writer sets the end */
    ck_assert_uint_eq(envol_volume_pages(f.volume), 5);
    if (f.gcm)
        volume_page_expect_status(&f, 3, ENVOL_E_UNWRITTEN);
    volume_page_expect(&f, 4, 1);
    volume_fixture_free(&f);
}
END_TEST

/* A flag in memory that parent and child share. */
static volatile int *shared_flag(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(page, MAP_FAILED);
    return page;
}

static void pause_us(long us)
{
    const struct timespec pause = {.tv_nsec = us * 1000};

    nanosleep(&pause, NULL);
}

static _Noreturn void write_until(struct volume_fixture *f, volatile int *flags)
{
    struct envol_store *store;
    struct envol_volume *volume;
    unsigned version = 1;

    if (envol_file_store_open(test_path("file"), 0, &store, NULL) != ENVOL_OK ||
        envol_volume_open(store, &f->cmk, 1, NULL, &volume, NULL) != ENVOL_OK)
        _exit(1);
    flags[1] = 1;
    while (!flags[0]) {
        version = version % 50 + 1;
        for (uint64_t i = 0; i < 4; i++) {
            volume_page_fill(f, i, version, f->page);
            if (envol_page_write(volume, i, f->page) != ENVOL_OK)
                _exit(2);
            pause_us(100);
        }
    }
    _exit(envol_volume_close(volume) == ENVOL_OK ? 0 : 3);
}

/* Every page that is read is one whole version, though it is overwritten all the time. */
START_TEST(reading_beside_a_writer)
{
    struct volume_fixture f;
    volatile int *flags = shared_flag();
    int status;
    pid_t child;

    if (!begin(&f, _i))
        return;
    let_write(&f, 0, 4, 1, -1, false);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        write_until(&f, flags);
    while (!flags[1])
        pause_us(1000);
    volume_fixture_open(&f, 0, ENVOL_E_BUSY);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    for (int i = 0; i < 3000; i++) {
        uint64_t page_no = (uint64_t)i % 4;
        ck_ok(envol_page_read(f.volume, page_no, f.other));
        ck_assert_uint_le(volume_page_version(&f, page_no, 50, f.other), 50);
        if (i % 100 == 0)
            ck_ok(envol_volume_refresh(f.volume, &f.error));
    }
    flags[0] = 1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(a_killed_writer)
{
    struct volume_fixture f;
    volatile int *flags = shared_flag();
    unsigned corrupt = 0;
    int status;
    pid_t child;

    if (!begin(&f, _i))
        return;
    let_write(&f, 0, 4, 1, -1, false);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        write_until(&f, flags);
    while (!flags[1])
        pause_us(1000);
    volume_fixture_open(&f, 0, ENVOL_E_BUSY);
    pause_us(20000);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 4);
    for (uint64_t i = 0; i < 4; i++) { /* one of them may have been torn */
        enum envol_status read = ck_note(envol_page_read(f.volume, i, f.other));
        if (f.gcm && read != ENVOL_E_CORRUPT)
            ck_assert_uint_le(volume_page_version(&f, i, 50, f.other), 50);
        corrupt += read == ENVOL_E_CORRUPT;
        ck_assert(read == ENVOL_OK || read == ENVOL_E_CORRUPT);
    }
    ck_assert_uint_le(corrupt, 1);
    volume_fixture_free(&f);
}
END_TEST

/* --- Headers that a refresh must not take over --- */

START_TEST(what_a_refresh_refuses)
{
    struct volume_fixture f;
    uint8_t *old = malloc(ENVOL_HEADER_BYTES), *bad;
    struct envol_store *store;

    ck_assert_ptr_nonnull(old);
    if (!begin(&f, _i))
        return;
    volume_store_get(f.store, 0, old, ENVOL_HEADER_BYTES);
    let_write(&f, 0, 2, 1, -1, false);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_ok(envol_file_store_open(test_path("file"), 0, &store, NULL));
    volume_store_put(store, 0, old, ENVOL_HEADER_BYTES);
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_STALE); /* an older one */
    volume_page_expect(&f, 1, 1);                                       /* nothing changed */
    bad = calloc(1, ENVOL_HEADER_BYTES);
    ck_assert_ptr_nonnull(bad);
    volume_store_put(store, 0, bad, ENVOL_HEADER_BYTES);
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_FORMAT);
    old[200] ^= 1;
    old[200 + ENVOL_HEADER_COPY_BYTES] ^= 1;
    volume_store_put(store, 0, old, ENVOL_HEADER_BYTES);
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_CORRUPT);
    ck_assert_int_eq(envol_store_resize(store, 100, NULL), ENVOL_OK);
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_TRUNCATED);
    ck_assert_int_eq(envol_store_resize(store, 0, NULL), ENVOL_OK);
    {
        const struct envol_header_params params = {.struct_size = sizeof(params),
                                                   .suite = f.shape->suite};
        const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                     .params = &params};
        struct envol_volume *other;
        ck_ok(envol_volume_create(store, &f.cmk, 1, &options, &other, &f.error));
        ck_ok(envol_volume_close(other));
    }
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_STALE); /* another volume */
    envol_store_close(store);
    volume_fixture_free(&f);
    free(old);
    free(bad);
}
END_TEST

/* Somebody changed the header behind the writer's back: it must not overwrite that. */
START_TEST(a_writer_that_was_overtaken)
{
    struct volume_fixture f;
    uint8_t *old = malloc(ENVOL_HEADER_BYTES);
    struct envol_volume *volume;

    ck_assert_ptr_nonnull(old);
    if (!begin(&f, _i))
        return;
    volume_store_get(f.store, 0, old, ENVOL_HEADER_BYTES);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_ok(envol_volume_refresh(f.volume, &f.error));
    ck_ok(envol_volume_truncate(f.volume, 2, &f.error));
    ck_ok(envol_volume_refresh(f.volume, &f.error));
    volume_store_put(f.store, 0, old, ENVOL_HEADER_BYTES);
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_STALE);
    ck_status(envol_volume_truncate(f.volume, 3, &f.error), ENVOL_E_STALE);
    volume = f.volume;
    f.volume = NULL;
    ck_status(envol_volume_close(volume), ENVOL_E_STALE);
    volume_fixture_free(&f);
    free(old);
}
END_TEST

/* --- Forked children --- */

static int use_without_inheriting(void *argument)
{
    struct volume_fixture *f = argument;
    struct envol_page_io io = {.page_no = 0, .page = f->other};
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header.struct_size = sizeof(info.header)};
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};
    struct envol_verify_result result = {.struct_size = sizeof(result), .pages = 9};

    memset(f->other, 0xee, f->page_bytes);
    child_expects(ck_note(envol_page_read(f->volume, 0, f->other)) == ENVOL_E_FORKED);
    child_expects(envol_is_zero(f->other, f->page_bytes));
    child_expects(ck_note(envol_page_write(f->volume, 0, f->page)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_page_read_batch(f->volume, &io, 1, NULL)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_page_write_batch(f->volume, &io, 1, NULL)) == ENVOL_E_FORKED);
    child_expects(io.status == ENVOL_E_FORKED);
    child_expects(ck_note(envol_page_trim(f->volume, 0, 1)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_sync(f->volume)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_truncate(f->volume, 0, NULL)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_refresh(f->volume, NULL)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_info(f->volume, &info)) == ENVOL_E_FORKED);
    child_expects(info.pages == 0);
    child_expects(ck_note(envol_volume_anchor(f->volume, &anchor)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_verify(f->volume, NULL, NULL, &result, NULL)) ==
                  ENVOL_E_FORKED);
    child_expects(result.pages == 0);
    child_expects(envol_volume_close(f->volume) == ENVOL_OK);
    return 0;
}

static int use_inherited(void *argument)
{
    struct volume_fixture *f = argument;
    struct envol_volume *second;

    child_expects(ck_note(envol_page_read(f->volume, 1, f->other)) == ENVOL_OK);
    child_expects(volume_page_version(f, 1, 9, f->other) == 1);
    volume_page_fill(f, 2, 2, f->page);
    child_expects(ck_note(envol_page_write(f->volume, 2, f->page)) == ENVOL_OK);
    child_expects(ck_note(envol_page_write(f->volume, 4, f->page)) == ENVOL_E_FORKED);
    child_expects(envol_volume_pages(f->volume) == 4);
    if (!f->shape->sparse || !f->gcm)
        child_expects(ck_note(envol_page_trim(f->volume, 3, 1)) == ENVOL_OK);
    else /* the tail would have to be settled in the header first */
        child_expects(ck_note(envol_page_trim(f->volume, 3, 1)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_truncate(f->volume, 1, NULL)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_truncate(f->volume, 9, NULL)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_refresh(f->volume, NULL)) == ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_sync(f->volume)) == ENVOL_OK);
    /* The store's handle is the parent's, and its lock too. */
    child_expects(envol_volume_open(f->store, &f->cmk, 1, NULL, &second, NULL) == ENVOL_E_FORKED);
    child_expects(envol_volume_close(f->volume) == ENVOL_OK);
    child_expects(envol_volume_open(f->store, &f->cmk, 1, NULL, &second, NULL) == ENVOL_E_FORKED);
    envol_store_close(f->store);
    return 0;
}

static void expect_busy(struct volume_fixture *f)
{
    struct envol_store *other = test_store_again(1, f->store);
    struct envol_volume *volume;

    ck_status(envol_volume_open(other, &f->cmk, 1, NULL, &volume, NULL), ENVOL_E_BUSY);
    envol_store_close(other);
}

/* A new store handle: the old one was of a volume with ENVOL_OPEN_INHERIT. */
static void renew_store(struct volume_fixture *f)
{
    struct envol_store *other = test_store_again(1, f->store);

    envol_store_close(f->store);
    f->store = other;
}

START_TEST(children_without_the_keys)
{
    struct volume_fixture f;

    if (!begin(&f, _i))
        return;
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_put(&f, 0, 1);
    ck_assert_int_eq(test_in_child(use_without_inheriting, &f), 0);
    ck_assert_int_eq(test_in_raw_child(use_without_inheriting, &f), 0);
    expect_busy(&f);
    volume_page_put(&f, 1, 1);
    volume_fixture_reopen(&f);
    volume_page_expect(&f, 0, 1);
    volume_page_expect(&f, 1, 1);
    volume_fixture_free(&f);
}
END_TEST

START_TEST(children_with_the_keys)
{
    struct volume_fixture f;

    if (!begin(&f, _i))
        return;
    volume_fixture_open(&f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    for (uint64_t i = 0; i < 4; i++)
        volume_page_put(&f, i, 1);
    for (int again = 0; again < 3; again++)
        ck_assert_int_eq(test_in_child(use_inherited, &f), 0);
    expect_busy(&f);
    volume_page_expect(&f, 1, 1);
    volume_page_expect(&f, 2, 2);
    volume_page_put(&f, 6, 1);
    volume_fixture_close(&f);
    renew_store(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_expect(&f, 2, 2);
    volume_page_expect(&f, 6, 1);
    volume_fixture_free(&f);
}
END_TEST

/* Writes once more when the parent has closed the volume, and says so. */
static pid_t start_worker(struct volume_fixture *f, int go, int done)
{
    pid_t child = fork();
    char byte = 0;

    ck_assert_int_ge(child, 0);
    if (child > 0)
        return child;
    volume_page_fill(f, 1, 2, f->page);
    if (read(go, &byte, 1) != 1 || envol_page_write(f->volume, 1, f->page) != ENVOL_OK ||
        envol_volume_sync(f->volume) != ENVOL_OK || write(done, &byte, 1) != 1 ||
        read(go, &byte, 1) != 1)
        _exit(1);
    envol_volume_close(f->volume);
    envol_store_close(f->store);
    if (write(done, &byte, 1) != 1 || read(go, &byte, 1) != 1)
        _exit(1);
    _exit(0);
}

/* One byte there and one back. */
static void let_go_on(int go, int done)
{
    char byte = 0;

    ck_assert_int_eq(write(go, &byte, 1), 1);
    ck_assert_int_eq(read(done, &byte, 1), 1);
}

/* The lock outlives the parent's close, of volume and store, while a child may write. */
START_TEST(children_that_stay)
{
    int go[2], done[2], ended;
    struct volume_fixture f;
    struct envol_volume *volume;
    pid_t child;
    char byte = 0;

    if (!begin(&f, _i))
        return;
    volume_fixture_open(&f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    for (uint64_t i = 0; i < 4; i++)
        volume_page_put(&f, i, 1);
    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(pipe(done), 0);
    child = start_worker(&f, go[0], done[1]);
    volume_fixture_close(&f);
    expect_busy(&f);
    /* On the handle that has the lock already, too. */
    ck_status(envol_volume_open(f.store, &f.cmk, 1, NULL, &volume, NULL), ENVOL_E_BUSY);
    renew_store(&f);
    expect_busy(&f);
    let_go_on(go[1], done[0]);
    expect_busy(&f);
    let_go_on(go[1], done[0]); /* closed both, and is still there */
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_expect(&f, 1, 2);
    ck_assert_int_eq(write(go[1], &byte, 1), 1);
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
    ck_assert_int_eq(ended, 0);
    volume_fixture_free(&f);
}
END_TEST

/* The parent's lock would be the child's too, and the child's the parent's. */
static int open_the_parents_store(void *argument)
{
    struct volume_fixture *f = argument;
    struct envol_volume_options options = {.struct_size = sizeof(options)};
    struct envol_header_info info = {.struct_size = sizeof(info)};
    struct envol_header *header;
    struct envol_store *own;
    struct envol_volume *volume;

    for (options.flags = 0; options.flags <= ENVOL_OPEN_READ_ONLY;
         options.flags += ENVOL_OPEN_READ_ONLY) {
        child_expects(ck_note(envol_volume_open(f->store, &f->cmk, 1, &options, &volume,
                                                &f->error)) == ENVOL_E_FORKED);
        child_expects(volume == NULL && strstr(f->error.message, "fork") != NULL);
    }
    child_expects(ck_note(envol_volume_create(f->store, &f->cmk, 1, NULL, &volume, NULL)) ==
                  ENVOL_E_FORKED);
    child_expects(ck_note(envol_volume_inspect(f->store, &info, &header, NULL)) == ENVOL_E_FORKED);
    child_expects(header == NULL && info.generation == 0);
    /* What the parent holds stays held, whatever its child lets go of. */
    for (int lock = ENVOL_LOCK_WRITER; lock <= ENVOL_LOCK_HEADER; lock++)
        child_expects(envol_store_lock(f->store, (enum envol_store_lock)lock, ENVOL_LOCK_NONE, 0,
                                       NULL) == ENVOL_OK);
    envol_store_close(f->store);
    if (envol_file_store_open(test_path("file"), 0, &own, NULL) != ENVOL_OK)
        return 1;
    child_expects(envol_volume_open(own, &f->cmk, 1, NULL, &volume, NULL) ==
                  (f->volume == NULL ? ENVOL_OK : ENVOL_E_BUSY));
    child_expects(envol_volume_close(volume) == ENVOL_OK);
    envol_store_close(own);
    return 0;
}

/* Opened before the fork, with no volume open, and with one. */
START_TEST(children_with_a_store)
{
    struct volume_fixture f;

    if (!begin(&f, _i))
        return;
    ck_assert_int_eq(test_in_child(open_the_parents_store, &f), 0);
    ck_assert_int_eq(test_in_raw_child(open_the_parents_store, &f), 0);
    volume_fixture_open(&f, 0, ENVOL_OK);
    volume_page_put(&f, 0, 1);
    ck_assert_int_eq(test_in_child(open_the_parents_store, &f), 0);
    expect_busy(&f);
    volume_page_put(&f, 1, 1);
    volume_fixture_free(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("two_processes");
    TCase *tcase = tcase_create("two_processes");

    tcase_add_loop_test(tcase, readers_follow_with_a_refresh, 0, SHAPES);
    tcase_add_loop_test(tcase, readers_look_into_the_window, 0, SHAPES);
    tcase_add_loop_test(tcase, reading_beside_a_writer, 0, 3);
    tcase_add_loop_test(tcase, a_killed_writer, 0, SHAPES);
    tcase_add_loop_test(tcase, what_a_refresh_refuses, 0, SHAPES);
    tcase_add_loop_test(tcase, a_writer_that_was_overtaken, 0, SHAPES);
    tcase_add_loop_test(tcase, children_without_the_keys, 0, SHAPES);
    tcase_add_loop_test(tcase, children_with_the_keys, 0, SHAPES);
    tcase_add_loop_test(tcase, children_that_stay, 0, SHAPES);
    tcase_add_loop_test(tcase, children_with_a_store, 0, SHAPES);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
