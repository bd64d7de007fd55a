/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows write1-direct-SUITE: single pages, in an order without locality, through O_DIRECT, with the
 * bytes that reached the device.  These are the process's own (proc_pid_io(5), write_bytes), as
 * others may write to the device meanwhile.
 */
#include "bench_volume.h"

#include <stdlib.h>

struct subject {
    struct bench_verb verb;
    enum envol_suite suite;
};

struct work {
    struct bench_volume volume;
    uint8_t *page;
    uint64_t turn;
};

/* Negative where the kernel does not count. */
static double written_bytes(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    char line[128];
    double bytes = -1;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "write_bytes: %lf", &bytes) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return bytes;
}

static const char *setup(struct bench_row *row)
{
    const struct subject *subject = row->subject;
    struct work *w = bench_alloc(sizeof(*w));
    char name[64];
    const char *why;

    snprintf(name, sizeof(name), "%s-%u", subject->verb.name, row->page_bytes);
    why = bench_volume_create(row, subject->suite, name, ENVOL_FILE_DIRECT, &w->volume);
    if (why != NULL) {
        free(w);
        return why;
    }
    w->page = bench_alloc(row->page_bytes);
    row->state = w;
    return NULL;
}

static void teardown(struct bench_row *row)
{
    struct work *w = row->state;

    bench_volume_close(&w->volume);
    free(w->page);
    free(w);
}

static double timed(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    double before = written_bytes(), begun = bench_now(BENCH_WALL), ns, after;

    for (size_t i = 0; i < steps; i++)
        bench_ok(row, envol_page_write(w->volume.volume,
                                       bench_page_at(w->volume.pages, 1, w->turn++), w->page));
    ns = bench_now(BENCH_WALL) - begun;
    after = written_bytes();
    if (before >= 0 && after > before) {
        row->device_bytes += after - before;
        row->counted += steps;
    }
    return ns;
}

#define DIRECT(row_name, row_suite)                                                                \
    {                                                                                              \
        {.name = row_name,                                                                         \
         .clock = BENCH_WALL,                                                                      \
         .pages = 1,                                                                               \
         .setup = setup,                                                                           \
         .timed = timed,                                                                           \
         .teardown = teardown},                                                                    \
            row_suite                                                                              \
    }

void bench_direct_rows(void)
{
    static const struct subject subjects[] = {
        DIRECT("write1-direct-gcm", ENVOL_SUITE_AES_256_GCM),
        DIRECT("write1-direct-xts", ENVOL_SUITE_AES_256_XTS),
    };

    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        bench_add_sizes(&subjects[i].verb, NULL, &subjects[i], NULL);
}
