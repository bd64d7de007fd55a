/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows threads1-SUITE and threads2-SUITE: sealing by one thread, and by two that share a keyring
 * and an object, pinned to two physical cores.  A row's pages are those of all its threads
 * together.  Timed from the first one's begin to the last one's end, and again if another process
 * had one of the cores meanwhile, which would be taken for a wait of ours; the shortest turn
 * counts.
 */
#include "bench_pages.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 2u

/* Turns that were disturbed are tried again so often, in vain on a machine that is always busy.
 * Disturbed: a thread computed for less than this share of the turn, be it that it began late. */
#define TRIES       6u
#define UNDISTURBED 0.98

struct cores {
    unsigned count;
    unsigned cpu[THREADS_MAX];
    int core[THREADS_MAX][2]; /* package and core */
};

struct worker {
    struct work *work;
    struct bench_side side;
    unsigned cpu;
    double begun, ended; /* BENCH_WALL */
    double computed;     /* ns of BENCH_CPU between them */
};

struct work {
    const struct bench_row *row;
    struct bench_ring ring;
    struct worker workers[THREADS_MAX];
    unsigned threads;
    size_t steps;
    _Atomic unsigned ready;
};

static int read_topology(unsigned cpu, const char *what)
{
    char path[128];
    int value = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/%s", cpu, what);
    file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%d", &value) != 1)
        value = -1;
    if (file != NULL)
        fclose(file);
    return value;
}

static void add_core(struct cores *cores, unsigned cpu)
{
    int core[2] = {read_topology(cpu, "physical_package_id"), read_topology(cpu, "core_id")};

    for (unsigned i = 0; i < cores->count; i++)
        if (memcmp(cores->core[i], core, sizeof(core)) == 0)
            return;
    cores->cpu[cores->count] = cpu;
    memcpy(cores->core[cores->count++], core, sizeof(core));
}

/* The first CPUs of different cores that this process may run on. */
static struct cores find_cores(void)
{
    struct cores cores = {0};
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return cores;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && cores.count < THREADS_MAX; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            add_core(&cores, cpu);
    return cores;
}

static const char *open_work(struct bench_row *row, struct work *w, enum envol_suite suite,
                             unsigned threads)
{
    struct cores cores = find_cores();
    const char *why;

    if (cores.count < threads)
        return "this process may not run on as many physical cores";
    why = bench_ring_open(row, suite, &w->ring);
    if (why != NULL)
        return why;
    w->threads = threads;
    for (unsigned i = 0; i < threads; i++) {
        w->workers[i].work = w;
        w->workers[i].cpu = cores.cpu[i];
        bench_side_open(row, &w->ring, &w->workers[i].side);
    }
    return NULL;
}

struct subject {
    struct bench_verb verb;
    enum envol_suite suite;
};

static const char *setup(struct bench_row *row)
{
    const struct subject *subject = row->subject;
    struct work *w = bench_alloc(sizeof(*w));
    const char *why = open_work(row, w, subject->suite, (unsigned)subject->verb.pages);

    if (why != NULL)
        free(w);
    else
        row->state = w;
    return why;
}

static void teardown(struct bench_row *row)
{
    struct work *w = row->state;

    for (unsigned i = 0; i < w->threads; i++)
        bench_side_close(&w->workers[i].side);
    bench_ring_close(&w->ring);
    free(w);
}

/* Waits, without sleeping, until all threads are there. */
static void meet(struct work *w)
{
    atomic_fetch_add(&w->ready, 1);
    while (atomic_load(&w->ready) < w->threads)
        sched_yield();
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(worker->cpu, &cpus);
    if (pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus) != 0)
        bench_die("cannot run on CPU %u", worker->cpu);
    meet(worker->work);
    worker->computed = -bench_now(BENCH_CPU);
    worker->begun = bench_now(BENCH_WALL);
    bench_side_seal(worker->work->row, &worker->work->ring, &worker->side, worker->work->steps);
    worker->ended = bench_now(BENCH_WALL);
    worker->computed += bench_now(BENCH_CPU);
    return NULL;
}

static void run_threads(struct work *w)
{
    pthread_t threads[THREADS_MAX];

    atomic_store(&w->ready, 0);
    for (unsigned i = 0; i < w->threads; i++)
        if (pthread_create(&threads[i], NULL, worker_main, &w->workers[i]) != 0)
            bench_die("%s: no thread", w->row->name);
    for (unsigned i = 0; i < w->threads; i++)
        pthread_join(threads[i], NULL);
}

static double elapsed(const struct work *w)
{
    double begun = w->workers[0].begun, ended = w->workers[0].ended;

    for (unsigned i = 1; i < w->threads; i++) {
        begun = w->workers[i].begun < begun ? w->workers[i].begun : begun;
        ended = w->workers[i].ended > ended ? w->workers[i].ended : ended;
    }
    return ended - begun;
}

static bool disturbed(const struct work *w)
{
    for (unsigned i = 0; i < w->threads; i++)
        if (w->workers[i].computed < elapsed(w) * UNDISTURBED)
            return true;
    return false;
}

static double timed(struct bench_row *row, size_t steps)
{
    struct work *w = row->state;
    double best = 0;

    w->row = row;
    w->steps = steps;
    for (unsigned tries = 0; tries < TRIES && (tries == 0 || disturbed(w)); tries++) {
        run_threads(w);
        if (tries == 0 || elapsed(w) < best)
            best = elapsed(w);
    }
    row->disturbed += disturbed(w);
    return best;
}

/* A step is one page of each thread. */
#define THREADS(row_name, threads, row_suite)                                                      \
    {                                                                                              \
        {.name = row_name,                                                                         \
         .clock = BENCH_WALL,                                                                      \
         .pages = threads,                                                                         \
         .setup = setup,                                                                           \
         .timed = timed,                                                                           \
         .teardown = teardown},                                                                    \
            row_suite                                                                              \
    }

void bench_thread_rows(void)
{
    static const struct subject subjects[] = {
        THREADS("threads1-gcm", 1, ENVOL_SUITE_AES_256_GCM),
        THREADS("threads2-gcm", 2, ENVOL_SUITE_AES_256_GCM),
        THREADS("threads1-xts", 1, ENVOL_SUITE_AES_256_XTS),
        THREADS("threads2-xts", 2, ENVOL_SUITE_AES_256_XTS),
    };

    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        bench_add_sizes(&subjects[i].verb, NULL, &subjects[i], bench_limit_widest());
}
