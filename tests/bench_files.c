/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows read1-SUITE to write16-SUITE: the library's page I/O on a file in the page cache, beside
 * raw-read1 to raw-write16, pread and pwrite of the same strides at the same offsets.  Sixteen
 * pages are neighbours: one read or write for both.  Nothing waits for a device here, so this is
 * timed like computing, and can be held against the kernels' rows.  But for rows
 * write1-atomic-SUITE and write16-atomic-SUITE: each step syncs, and what that takes by the clock
 * on the wall is their price.
 */
#include "bench_volume.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What four rows of one page size share. */
struct target {
    unsigned users;
    struct bench_volume volume;
    int fd; /* raw */
};

enum kind { GCM, XTS, ATOMIC_GCM, ATOMIC_XTS, RAW, KINDS };

struct subject {
    struct bench_verb verb;
    enum kind kind;
    bool writes;
};

struct work {
    struct target *target;
    uint64_t pages, turn;
    uint32_t stride;
    uint8_t *buffer;
    struct envol_page_io ios[BENCH_BATCH];
};

static struct target *target_of(const struct bench_row *row)
{
    static struct target targets[KINDS][BENCH_SIZES];
    size_t size = 0;

    while (bench_sizes[size] != row->page_bytes)
        size++;
    return &targets[((const struct subject *)row->subject)->kind][size];
}

/* Written page by page, as a volume is: how the page cache keeps a file depends on it, and so do
 * later writes to it. */
static const char *open_raw(const struct bench_row *row, const char *name, struct target *t)
{
    uint8_t *page = bench_alloc(row->page_bytes);
    off_t end = ENVOL_HEADER_BYTES + BENCH_FILE_BYTES;

    bench_fill(page, row->page_bytes);
    t->fd = open(bench_path(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    for (off_t at = 0; t->fd >= 0 && at < end; at += row->page_bytes)
        if (pwrite(t->fd, page, row->page_bytes, at) != (ssize_t)row->page_bytes)
            bench_die("%s: cannot write its file", row->name);
    if (t->fd < 0 || fdatasync(t->fd) != 0)
        bench_die("%s: cannot make its file", row->name);
    free(page);
    return NULL;
}

static const char *open_target(const struct bench_row *row, struct target *t)
{
    static const char *const kinds[KINDS] = {"gcm", "xts", "atomic-gcm", "atomic-xts", "raw"};
    enum kind kind = ((const struct subject *)row->subject)->kind;
    char name[64];

    snprintf(name, sizeof(name), "%s-%u", kinds[kind], row->page_bytes);
    if (kind == RAW)
        return open_raw(row, name, t);
    return bench_volume_create(
        row, kind == GCM || kind == ATOMIC_GCM ? ENVOL_SUITE_AES_256_GCM : ENVOL_SUITE_AES_256_XTS,
        name, kind == ATOMIC_GCM || kind == ATOMIC_XTS ? BENCH_ATOMIC : 0, &t->volume);
}

static const char *setup(struct bench_row *row)
{
    struct target *t = target_of(row);
    const char *why = t->users == 0 ? open_target(row, t) : NULL;
    struct work *w;

    if (why != NULL)
        return why;
    t->users++;
    w = row->state = bench_alloc(sizeof(*w));
    w->target = t;
    w->pages = BENCH_FILE_BYTES / row->page_bytes;
    w->stride = row->page_bytes;
    w->buffer = bench_alloc((size_t)BENCH_BATCH * w->stride);
    for (size_t i = 0; i < BENCH_BATCH; i++)
        w->ios[i].page = w->buffer + i * w->stride;
    return NULL;
}

static void teardown(struct bench_row *row)
{
    struct work *w = row->state;
    struct target *t = w->target;

    free(w->buffer);
    free(w);
    if (--t->users > 0)
        return;
    bench_volume_close(&t->volume);
    if (t->fd > 0)
        close(t->fd);
}

/* The first page of the next run. */
static uint64_t next(struct work *w, uint64_t run)
{
    return bench_page_at(w->pages, run, w->turn++);
}

static void run_one(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    bool writes = ((const struct subject *)row->subject)->writes;

    for (size_t i = 0; i < steps; i++) {
        uint64_t page_no = next(w, 1);
        bench_ok(row, writes ? envol_page_write(w->target->volume.volume, page_no, w->buffer)
                             : envol_page_read(w->target->volume.volume, page_no, w->buffer));
    }
}

static void run_batch(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    struct envol_volume *volume = w->target->volume.volume;
    bool writes = ((const struct subject *)row->subject)->writes;

    for (size_t i = 0; i < steps; i++) {
        uint64_t first = next(w, BENCH_BATCH);
        for (size_t j = 0; j < BENCH_BATCH; j++)
            w->ios[j].page_no = first + j;
        bench_ok(row, writes ? envol_page_write_batch(volume, w->ios, BENCH_BATCH, NULL)
                             : envol_page_read_batch(volume, w->ios, BENCH_BATCH, NULL));
    }
}

static void run_raw(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    const struct subject *subject = row->subject;
    size_t bytes = subject->verb.pages * w->stride;

    for (size_t i = 0; i < steps; i++) {
        off_t offset = (off_t)(ENVOL_HEADER_BYTES + next(w, subject->verb.pages) * w->stride);
        ssize_t done = subject->writes ? pwrite(w->target->fd, w->buffer, bytes, offset)
                                       : pread(w->target->fd, w->buffer, bytes, offset);
        if (done != (ssize_t)bytes)
            bench_die("%s: a short transfer", row->name);
    }
}

#define FILES(row_name, row_kind, row_writes, row_pages, row_run)                                  \
    {                                                                                              \
        {.name = row_name,                                                                         \
         .clock = (row_kind) == ATOMIC_GCM || (row_kind) == ATOMIC_XTS ? BENCH_WALL : BENCH_CPU,   \
         .pages = row_pages,                                                                       \
         .setup = setup,                                                                           \
         .run = row_run,                                                                           \
         .teardown = teardown},                                                                    \
            row_kind, row_writes                                                                   \
    }

void bench_file_rows(void)
{
    static const struct subject subjects[] = {
        FILES("raw-read1", RAW, false, 1, run_raw),
        FILES("read1-gcm", GCM, false, 1, run_one),
        FILES("read1-xts", XTS, false, 1, run_one),
        FILES("raw-read16", RAW, false, BENCH_BATCH, run_raw),
        FILES("read16-gcm", GCM, false, BENCH_BATCH, run_batch),
        FILES("read16-xts", XTS, false, BENCH_BATCH, run_batch),
        FILES("raw-write1", RAW, true, 1, run_raw),
        FILES("write1-gcm", GCM, true, 1, run_one),
        FILES("write1-xts", XTS, true, 1, run_one),
        FILES("raw-write16", RAW, true, BENCH_BATCH, run_raw),
        FILES("write16-gcm", GCM, true, BENCH_BATCH, run_batch),
        FILES("write16-xts", XTS, true, BENCH_BATCH, run_batch),
        FILES("write1-atomic-gcm", ATOMIC_GCM, true, 1, run_one),
        FILES("write1-atomic-xts", ATOMIC_XTS, true, 1, run_one),
        FILES("write16-atomic-gcm", ATOMIC_GCM, true, BENCH_BATCH, run_batch),
        FILES("write16-atomic-xts", ATOMIC_XTS, true, BENCH_BATCH, run_batch),
    };

    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        bench_add_sizes(&subjects[i].verb, NULL, &subjects[i],
                        subjects[i].verb.clock == BENCH_WALL ? NULL : bench_limit_widest());
}
