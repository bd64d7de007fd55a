/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows log-append*: records appended to a log in the page cache, one at a time and sixteen in a
 * batch, beside raw-append*, which write as many bytes in as many calls at the same offsets of a
 * file of their own and do nothing else.  A turn begins with a new segment, or an empty file.
 *
 * Rows log-commit1 and log-commit4: so many threads that append a record and sync it, on a store
 * whose sync takes a millisecond, by the clock on the wall.
 */
#include "bench_volume.h"

#include "log/log.h"
#include "store/store.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DATA_MAX     8192u
#define SYNC_NS      1000000
#define THREADS_MAX  4u
#define TURN_COMMITS 24u /* of each thread */
/* Behind it a log begins another segment by itself. */
#define SEGMENT_BYTES (UINT64_C(64) << 20)

struct subject {
    struct bench_verb verb;
    uint32_t data_bytes;
    unsigned threads;
};

struct work {
    struct bench_volume volume;
    struct envol_space *space;
    struct envol_log *log;
    struct bench_row *row;
    int fd;        /* raw */
    uint8_t *data; /* room for a batch of sealed records */
};

static uint32_t data_bytes(const struct bench_row *row)
{
    return ((const struct subject *)row->subject)->data_bytes;
}

static const char *setup_raw(struct bench_row *row)
{
    struct work *w = bench_alloc(sizeof(*w));
    size_t room = (size_t)BENCH_BATCH * envol_log_record_bytes(DATA_MAX);
    char name[BENCH_NAME_BYTES + 8];

    snprintf(name, sizeof(name), "%s-file", row->name);
    w->fd = open(bench_path(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0)
        bench_die("%s: cannot make its file", row->name);
    w->data = bench_alloc(room);
    bench_fill(w->data, room);
    row->state = w;
    return NULL;
}

static const char *setup(struct bench_row *row)
{
    const struct envol_log_options options = {.struct_size = sizeof(options),
                                              .segment_bytes = SEGMENT_BYTES};
    struct bench_row like = *row;
    char name[BENCH_NAME_BYTES + 8];
    const char *why = setup_raw(row);
    struct work *w = row->state;

    if (why != NULL)
        return why;
    like.page_bytes = bench_sizes[0];
    snprintf(name, sizeof(name), "%s-volume", row->name);
    why = bench_volume_create(&like, ENVOL_SUITE_AES_256_GCM, name, 0, &w->volume);
    if (why != NULL) {
        close(w->fd);
        free(w->data);
        free(w);
        return why;
    }
    snprintf(name, sizeof(name), "%s-space", row->name);
    bench_ok(row, envol_directory_space_open(bench_path(name), ENVOL_SPACE_CREATE_DIRECTORY,
                                             &w->space, NULL));
    bench_ok(row, envol_log_create(w->volume.volume, w->space, &options, &w->log, NULL));
    return NULL;
}

static void teardown(struct bench_row *row)
{
    struct work *w = row->state;

    if (w->log != NULL) {
        bench_ok(row, envol_log_close(w->log, NULL));
        bench_ok(row, envol_log_delete(w->volume.volume, w->space, NULL));
    }
    envol_space_close(w->space);
    bench_volume_close(&w->volume);
    close(w->fd);
    free(w->data);
    free(w);
}

/* --- Appending --- */

static void begin_segment(const struct bench_row *row, const struct work *w)
{
    struct envol_log_info info = {.struct_size = sizeof(info)};

    bench_ok(row, envol_log_next_segment(w->log, NULL));
    bench_ok(row, envol_log_status(w->log, &info));
    bench_ok(row, envol_log_truncate(w->log, info.next_lsn, NULL));
}

static double timed_append(struct bench_row *row, size_t steps)
{
    const struct work *w = row->state;
    size_t bytes = data_bytes(row);
    double began;

    begin_segment(row, w);
    began = bench_now(BENCH_CPU);
    for (size_t i = 0; i < steps; i++)
        bench_ok(row, envol_log_append(w->log, w->data, bytes, NULL, NULL));
    return bench_now(BENCH_CPU) - began;
}

static double timed_batches(struct bench_row *row, size_t steps)
{
    const struct work *w = row->state;
    struct envol_log_entry entries[BENCH_BATCH];
    size_t bytes = data_bytes(row);
    double began;

    begin_segment(row, w);
    began = bench_now(BENCH_CPU);
    for (size_t i = 0; i < steps; i++) {
        for (size_t k = 0; k < BENCH_BATCH; k++)
            entries[k] = (struct envol_log_entry){.data = w->data + k * bytes, .bytes = bytes};
        bench_ok(row, envol_log_append_batch(w->log, entries, BENCH_BATCH, NULL));
    }
    return bench_now(BENCH_CPU) - began;
}

static double timed_raw(struct bench_row *row, size_t steps)
{
    const struct work *w = row->state;
    size_t bytes = row->verb->pages * row->page_bytes;
    off_t at = ENVOL_LOG_RUN_HEADER_BYTES;
    double began;

    if (ftruncate(w->fd, 0) != 0 || fsync(w->fd) != 0)
        bench_die("%s: cannot empty its file", row->name);
    began = bench_now(BENCH_CPU);
    for (size_t i = 0; i < steps; i++) {
        if (pwrite(w->fd, w->data, bytes, at) != (ssize_t)bytes)
            bench_die("%s: cannot write", row->name);
        at += (off_t)bytes;
        if ((uint64_t)at + bytes > SEGMENT_BYTES)
            at = ENVOL_LOG_RUN_HEADER_BYTES;
    }
    return bench_now(BENCH_CPU) - began;
}

/* --- Committing --- */

static enum envol_status slow_sync(void *state)
{
    const struct timespec pause = {.tv_nsec = SYNC_NS};

    (void)state;
    nanosleep(&pause, NULL);
    return ENVOL_OK;
}

/* The segment's store stands as it is for as long as no other segment begins: more records than
 * that are not committed in hours. */
static const char *setup_slow(struct bench_row *row)
{
    const char *why = setup(row);
    struct work *w = row->state;

    if (why != NULL)
        return why;
    w->log->store->vtable.sync = slow_sync;
    return NULL;
}

static void *commit(void *argument)
{
    struct work *w = argument;

    for (unsigned i = 0; i < TURN_COMMITS; i++) {
        uint64_t lsn = 0;
        bench_ok(w->row, envol_log_append(w->log, w->data, data_bytes(w->row), &lsn, NULL));
        bench_ok(w->row, envol_log_sync(w->log, lsn, NULL));
    }
    return NULL;
}

static double timed_commits(struct bench_row *row, size_t steps)
{
    unsigned threads = ((const struct subject *)row->subject)->threads;
    struct work *w = row->state;
    pthread_t thread[THREADS_MAX];
    double began = bench_now(BENCH_WALL);

    w->row = row;
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, commit, w) != 0)
            bench_die("%s: no thread", row->name);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    return (bench_now(BENCH_WALL) - began) / (TURN_COMMITS * threads) * (double)steps;
}

#define ROW(row_name, row_pages, row_setup, row_timed, row_data_bytes, row_threads)                \
    {                                                                                              \
        {.name = row_name,                                                                         \
         .clock = (row_threads) > 0 ? BENCH_WALL : BENCH_CPU,                                      \
         .pages = row_pages,                                                                       \
         .setup = row_setup,                                                                       \
         .timed = row_timed,                                                                       \
         .teardown = teardown},                                                                    \
            row_data_bytes, row_threads                                                            \
    }

void bench_append_rows(void)
{
    static const struct subject subjects[] = {
        ROW("raw-append-256", 1, setup_raw, timed_raw, 256, 0),
        ROW("log-append-256", 1, setup, timed_append, 256, 0),
        ROW("raw-append-8k", 1, setup_raw, timed_raw, 8192, 0),
        ROW("log-append-8k", 1, setup, timed_append, 8192, 0),
        ROW("raw-append16-256", BENCH_BATCH, setup_raw, timed_raw, 256, 0),
        ROW("log-append16-256", BENCH_BATCH, setup, timed_batches, 256, 0),
        ROW("raw-append16-8k", BENCH_BATCH, setup_raw, timed_raw, 8192, 0),
        ROW("log-append16-8k", BENCH_BATCH, setup, timed_batches, 8192, 0),
        ROW("log-commit1", 1, setup_slow, timed_commits, 256, 1),
        ROW("log-commit4", 1, setup_slow, timed_commits, 256, 4),
    };

    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        bench_add(&subjects[i].verb, NULL, &subjects[i],
                  (uint32_t)envol_log_record_bytes(subjects[i].data_bytes), NULL);
}
