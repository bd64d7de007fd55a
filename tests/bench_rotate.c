/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows rotate-SUITE: the sweep of a rotation over a cached file, beside raw-copy-SUITE, which does
 * the same reads, writes and syncs on a file of its own and nothing else; an XTS sweep's journal is
 * among them.  Rows read-beside-rotate-SUITE: reads of single pages anywhere while another thread
 * rotates without an end, beside read-alone-SUITE.  All by the clock on the wall, as they wait for
 * the disk or for each other.  A turn is one sweep, or READS_NS of reads, whatever its slice.
 *
 * The begin and the end of a rotation hold reads up for some syncs of the header, whatever the size
 * of the volume: in one of BENCH_FILE_BYTES they are a third of a GCM rotation.  The rows with
 * reads have a larger one, so that they tell of sweeps.  Where processors are scarce, two threads
 * also take them from one another, locks or no locks: rows read-beside-other-SUITE are the same
 * reads while another volume is rotated, and say how much of it that is.
 */
#include "bench_volume.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READS_NS    20e6
#define READS_BYTES (32u << 20) /* of the volume */
/* The default.  Rows of other sizes would tell of syncs again, and take a minute more. */
#define STRIDE_BYTES 16384u
#define CALLS_MAX    16384u
#define BATCH_MAX    (8u << 20) /* bytes of one read or write */

/* --- What a sweep asks of the kernel --- */

enum call_kind { CALL_READ, CALL_WRITE, CALL_SYNC, CALL_RESIZE };

struct calls {
    size_t count;
    struct call {
        enum call_kind kind;
        size_t bytes;
        off_t offset;
    } call[CALLS_MAX];
};

/* NULL, but while one thread sweeps alone to be recorded. */
static struct calls *recorded;

static void record(enum call_kind kind, size_t bytes, off_t offset)
{
    if (recorded == NULL)
        return;
    if (recorded->count == CALLS_MAX || bytes > BATCH_MAX)
        bench_die("a sweep of more or larger calls than there is room for");
    recorded->call[recorded->count++] = (struct call){kind, bytes, offset};
}

/* These stand in for the C library's in this program, for all of its rows alike. */
ssize_t pread(int fd, void *to, size_t bytes, off_t offset)
{
    record(CALL_READ, bytes, offset);
    return syscall(SYS_pread64, fd, to, bytes, offset);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t offset)
{
    record(CALL_WRITE, bytes, offset);
    return syscall(SYS_pwrite64, fd, from, bytes, offset);
}

int fdatasync(int fd)
{
    record(CALL_SYNC, 0, 0);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    record(CALL_SYNC, 0, 0);
    return (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t bytes)
{
    record(CALL_RESIZE, 0, bytes);
    return (int)syscall(SYS_ftruncate, fd, bytes);
}

/* --- Rotating --- */

/* What goes on beside the reads. */
enum beside { NOTHING, ROTATION, OTHER_ROTATION };

struct subject {
    struct bench_verb verb;
    enum envol_suite suite;
    enum beside beside;
};

struct work {
    struct bench_volume volume, other;
    struct bench_volume *rotated;
    struct bench_row *row;
    struct calls *calls; /* raw */
    uint8_t *buffer;
    int fd; /* raw */
    uint64_t turn;
    _Atomic bool stop;
    _Atomic unsigned sweeps; /* transfers of the thread beside */
};

static void begin(struct work *w)
{
    bench_ok(w->row,
             envol_volume_rotate_begin(w->rotated->volume, &w->rotated->cmk, 1, 0, NULL, NULL));
}

static void sweep(struct work *w)
{
    bench_ok(w->row, envol_volume_rotate_run(w->rotated->volume, 0, NULL, NULL, NULL, NULL));
}

static void finish(struct work *w)
{
    bench_ok(w->row, envol_volume_rotate_finish(w->rotated->volume, 0, NULL));
}

static const char *setup(struct bench_row *row)
{
    const struct subject *subject = row->subject;
    struct work *w = bench_alloc(sizeof(*w));
    char name[BENCH_NAME_BYTES + 16];
    const char *why;

    snprintf(name, sizeof(name), "%s-%u", row->name, row->page_bytes);
    why = bench_volume_create(row, subject->suite, name, 0, &w->volume);
    if (why != NULL) {
        free(w);
        return why;
    }
    w->rotated = &w->volume;
    w->row = row;
    w->fd = -1;
    w->buffer = bench_alloc(BATCH_MAX);
    row->state = w;
    return NULL;
}

static void grow(struct work *w, struct bench_volume *v)
{
    bench_fill(w->buffer, w->row->page_bytes);
    for (; v->pages < READS_BYTES / w->row->page_bytes; v->pages++)
        bench_ok(w->row, envol_page_write(v->volume, v->pages, w->buffer));
    bench_ok(w->row, envol_volume_sync(v->volume));
}

static const char *setup_reads(struct bench_row *row)
{
    const struct subject *subject = row->subject;
    char name[BENCH_NAME_BYTES + 32];
    const char *why = setup(row);
    struct work *w = row->state;

    if (why != NULL)
        return why;
    grow(w, &w->volume);
    if (subject->beside != OTHER_ROTATION)
        return NULL;
    snprintf(name, sizeof(name), "%s-%u-rotated", row->name, row->page_bytes);
    if (bench_volume_create(row, subject->suite, name, 0, &w->other) != NULL)
        bench_die("%s: no other volume", row->name);
    grow(w, &w->other);
    w->rotated = &w->other;
    return NULL;
}

static void teardown(struct bench_row *row)
{
    struct work *w = row->state;

    bench_volume_close(&w->volume);
    bench_volume_close(&w->other);
    if (w->fd >= 0)
        close(w->fd);
    free(w->calls);
    free(w->buffer);
    free(w);
}

/* The begin, with its key service, and the end are no matter of size, and are not timed. */
static double timed_sweep(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    double ns;

    w->row = row;
    begin(w);
    ns = -bench_now(BENCH_WALL);
    sweep(w);
    ns += bench_now(BENCH_WALL);
    finish(w);
    return ns / (double)w->volume.pages * (double)steps;
}

/* --- The same calls, plainly --- */

static const char *setup_raw(struct bench_row *row)
{
    const char *why = setup(row);
    char name[BENCH_NAME_BYTES + 16];
    struct work *w = row->state;
    off_t end = ENVOL_HEADER_BYTES + BENCH_FILE_BYTES;

    if (why != NULL)
        return why;
    w->calls = bench_alloc(sizeof(*w->calls));
    begin(w);
    recorded = w->calls;
    sweep(w);
    recorded = NULL;
    finish(w);
    snprintf(name, sizeof(name), "%s-%u-file", row->name, row->page_bytes);
    w->fd = open(bench_path(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bench_fill(w->buffer, BATCH_MAX);
    for (off_t at = 0; w->fd >= 0 && at < end; at += row->page_bytes)
        if (pwrite(w->fd, w->buffer, row->page_bytes, at) != (ssize_t)row->page_bytes)
            bench_die("%s: cannot write its file", row->name);
    if (w->fd < 0 || fdatasync(w->fd) != 0)
        bench_die("%s: cannot make its file", row->name);
    return NULL;
}

/* Reads may end short at the end of the file, as the sweep's may. */
static bool do_call(const struct work *w, const struct call *call)
{
    switch (call->kind) {
    case CALL_READ:
        return pread(w->fd, w->buffer, call->bytes, call->offset) >= 0;
    case CALL_WRITE:
        return pwrite(w->fd, w->buffer, call->bytes, call->offset) == (ssize_t)call->bytes;
    case CALL_SYNC:
        return fdatasync(w->fd) == 0;
    case CALL_RESIZE:
        break;
    }
    return ftruncate(w->fd, call->offset) == 0;
}

static double timed_raw(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    double ns = -bench_now(BENCH_WALL);

    for (size_t i = 0; i < w->calls->count; i++)
        if (!do_call(w, &w->calls->call[i]))
            bench_die("%s: a call that fails", row->name);
    ns += bench_now(BENCH_WALL);
    return ns / (double)w->volume.pages * (double)steps;
}

/* --- Reads beside it --- */

/* Mostly sweeping: what is left of a rotation is gone on with in the next turn. */
static void *rotate_on(void *argument)
{
    struct work *w = argument;
    struct envol_rotation rotation = {.struct_size = sizeof(rotation)};

    while (!atomic_load(&w->stop)) {
        bench_ok(w->row, envol_volume_rotate_status(w->rotated->volume, &rotation));
        if (rotation.state == ENVOL_ROTATION_NONE)
            begin(w);
        else if (rotation.state == ENVOL_ROTATION_SWEPT)
            finish(w);
        else
            bench_ok(w->row, envol_volume_rotate_step(w->rotated->volume, 0, NULL, NULL));
        atomic_fetch_add(&w->sweeps, 1);
    }
    return NULL;
}

static double read_for_a_while(struct work *w, size_t steps)
{
    double begun = bench_now(BENCH_WALL), now;
    size_t reads = 0;

    do {
        for (size_t i = 0; i < 16; i++)
            bench_ok(w->row,
                     envol_page_read(w->volume.volume, bench_page_at(w->volume.pages, 1, w->turn++),
                                     w->buffer));
        reads += 16;
        now = bench_now(BENCH_WALL);
    } while (now - begun < READS_NS);
    return (now - begun) / (double)reads * (double)steps;
}

static double timed_reads(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    pthread_t thread;
    double ns;

    w->row = row;
    if (((const struct subject *)row->subject)->beside == NOTHING)
        return read_for_a_while(w, steps);
    atomic_store(&w->stop, false);
    atomic_store(&w->sweeps, 0);
    if (pthread_create(&thread, NULL, rotate_on, w) != 0)
        bench_die("%s: no thread", row->name);
    while (atomic_load(&w->sweeps) == 0)
        usleep(100);
    ns = read_for_a_while(w, steps);
    atomic_store(&w->stop, true);
    pthread_join(thread, NULL);
    return ns;
}

#define ROTATE(row_name, row_suite, row_setup, row_timed, row_beside)                              \
    {                                                                                              \
        {.name = row_name,                                                                         \
         .clock = BENCH_WALL,                                                                      \
         .pages = 1,                                                                               \
         .setup = row_setup,                                                                       \
         .timed = row_timed,                                                                       \
         .teardown = teardown},                                                                    \
            row_suite, row_beside                                                                  \
    }

void bench_rotate_rows(void)
{
    static const struct subject subjects[] = {
        ROTATE("raw-copy-gcm", ENVOL_SUITE_AES_256_GCM, setup_raw, timed_raw, NOTHING),
        ROTATE("rotate-gcm", ENVOL_SUITE_AES_256_GCM, setup, timed_sweep, NOTHING),
        ROTATE("raw-copy-xts", ENVOL_SUITE_AES_256_XTS, setup_raw, timed_raw, NOTHING),
        ROTATE("rotate-xts", ENVOL_SUITE_AES_256_XTS, setup, timed_sweep, NOTHING),
        ROTATE("read-alone-gcm", ENVOL_SUITE_AES_256_GCM, setup_reads, timed_reads, NOTHING),
        ROTATE("read-beside-rotate-gcm", ENVOL_SUITE_AES_256_GCM, setup_reads, timed_reads,
               ROTATION),
        ROTATE("read-beside-other-gcm", ENVOL_SUITE_AES_256_GCM, setup_reads, timed_reads,
               OTHER_ROTATION),
        ROTATE("read-alone-xts", ENVOL_SUITE_AES_256_XTS, setup_reads, timed_reads, NOTHING),
        ROTATE("read-beside-rotate-xts", ENVOL_SUITE_AES_256_XTS, setup_reads, timed_reads,
               ROTATION),
        ROTATE("read-beside-other-xts", ENVOL_SUITE_AES_256_XTS, setup_reads, timed_reads,
               OTHER_ROTATION),
    };

    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        bench_add(&subjects[i].verb, NULL, &subjects[i], STRIDE_BYTES, NULL);
}
