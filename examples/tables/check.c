/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads all that there is: every page of every table, every long value that a row names.  Threads
 * share the tables' objects, and have a lane and buffers each.
 */
#include "disk.h"
#include "engine.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH_PAGES = 16, THREADS_MAX = 16 };

struct check {
    struct engine *engine;
    bad_callback *callback;
    void *ctx;
    atomic_size_t next_table;
    pthread_mutex_t lock; /* of the rest */
    struct check_result *result;
    enum envol_status status; /* of what kept a thread from working */
};

struct worker {
    struct check *check;
    struct envol_lane *lane;
    const struct table *table; /* the one at hand */
    uint32_t swept;            /* what its page 0 says */
    struct check_result found;
    uint8_t records[BATCH_PAGES * STRIDE_BYTES];
};

static void report(struct worker *worker, uint32_t page_no, const char *what,
                   enum envol_status status)
{
    struct check *check = worker->check;

    worker->found.bad++;
    pthread_mutex_lock(&check->lock);
    check->callback(check->ctx, worker->table, page_no, what, status);
    pthread_mutex_unlock(&check->lock);
}

/* An old DEK is dropped on the word of page 0.  The trailer is behind the plaintext, as it was. */
static void check_epoch(struct worker *worker, uint32_t page_no, const uint8_t *trailer,
                        uint64_t counts[ENVOL_LEDGER_EPOCHS_MAX])
{
    const struct envol_keyring *keyring = worker->check->engine->keyring;
    uint32_t epoch;
    enum envol_status status = envol_trailer_epoch(trailer, &epoch);

    if (status == ENVOL_OK && epoch < worker->swept)
        status = ENVOL_E_CORRUPT;
    if (status != ENVOL_OK)
        report(worker, page_no, "an epoch that the table has left", status);
    else /* it authenticated: the keyring has the epoch */
        counts[epoch - envol_keyring_lowest_epoch(keyring)]++;
}

static void check_rows(struct worker *worker, uint32_t page_no, const uint8_t *page)
{
    struct row row = {.at = 0};
    enum envol_status status, read;
    void *value;

    while ((status = page_next(page, &row)) == ENVOL_OK) {
        if (!row.is_long)
            continue;
        read = values_read(worker->check->engine, worker->lane, &row, &value);
        worker->found.values++;
        if (read != ENVOL_OK)
            report(worker, page_no, "a long value", read);
        else
            check_epoch(worker, page_no, (const uint8_t *)value + row.value_bytes,
                        worker->found.values_of);
        free(value);
    }
    if (status != ENVOL_E_UNWRITTEN)
        report(worker, page_no, "a row", status);
}

static void check_head(struct worker *worker, const uint8_t *page, uint32_t pages)
{
    if (page_number(page, PAGE_COUNT) != pages)
        report(worker, 0, "not as many pages as it says", ENVOL_E_TRUNCATED);
    worker->swept = page_number(page, PAGE_SWEPT);
}

static void check_page(struct worker *worker, const struct envol_page_op *op, uint32_t pages)
{
    uint32_t page_no = (uint32_t)op->page_no;

    worker->found.pages++;
    if (op->status != ENVOL_OK) {
        report(worker, page_no, "a page", op->status);
        return;
    }
    if (page_no == 0)
        check_head(worker, op->page, pages);
    check_epoch(worker, page_no, (const uint8_t *)op->record + PAGE_BYTES, worker->found.pages_of);
    check_rows(worker, page_no, op->page);
}

/* Unsealed in place: a page that does not authenticate is zeros, the others are there. */
static enum envol_status check_batch(struct worker *worker, int fd, uint32_t first, uint32_t count,
                                     uint32_t pages)
{
    struct envol_page_op ops[BATCH_PAGES];
    enum envol_status status = disk_read(fd, worker->records, (size_t)count * STRIDE_BYTES,
                                         (uint64_t)first * STRIDE_BYTES);

    if (status != ENVOL_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *record = worker->records + (size_t)i * STRIDE_BYTES;

        ops[i] = (struct envol_page_op){.page_no = first + i, .page = record, .record = record};
    }
    (void)!envol_page_unseal_batch(worker->table->object, worker->lane, ops,
                                   count); /* each has its own */
    for (uint32_t i = 0; i < count; i++)
        check_page(worker, &ops[i], pages);
    return ENVOL_OK;
}

static void check_table(struct worker *worker)
{
    char name[FILE_NAME_BYTES];
    uint64_t bytes = 0;
    enum envol_status status;
    int fd;

    worker->swept = 0; /* until page 0 was read */
    object_file(worker->table->id, name);
    fd = openat(worker->check->engine->dir, name, O_RDONLY | O_CLOEXEC);
    status = fd < 0 ? ENVOL_E_IO : disk_size(fd, &bytes);
    if (status == ENVOL_OK && bytes < STRIDE_BYTES)
        status = ENVOL_E_TRUNCATED;
    for (uint32_t first = 0, pages = (uint32_t)(bytes / STRIDE_BYTES);
         status == ENVOL_OK && first < pages; first += BATCH_PAGES)
        status = check_batch(worker, fd, first,
                             pages - first < BATCH_PAGES ? pages - first : BATCH_PAGES, pages);
    if (status != ENVOL_OK)
        report(worker, 0, "the file", status);
    if (worker->swept < worker->found.swept)
        worker->found.swept = worker->swept;
    if (fd >= 0)
        close(fd);
}

static void add_result(struct check *check, const struct check_result *found,
                       enum envol_status status)
{
    pthread_mutex_lock(&check->lock);
    check->result->pages += found->pages;
    check->result->values += found->values;
    check->result->bad += found->bad;
    for (size_t i = 0; i < ENVOL_LEDGER_EPOCHS_MAX; i++) {
        check->result->pages_of[i] += found->pages_of[i];
        check->result->values_of[i] += found->values_of[i];
    }
    if (found->swept < check->result->swept)
        check->result->swept = found->swept;
    if (check->status == ENVOL_OK)
        check->status = status;
    pthread_mutex_unlock(&check->lock);
}

static void *work(void *argument)
{
    struct check *check = argument;
    const struct engine *engine = check->engine;
    struct worker *worker = calloc(1, sizeof *worker);
    enum envol_status status = ENVOL_E_NO_MEMORY;
    size_t i;

    if (worker == NULL)
        return add_result(check, &(struct check_result){.swept = UINT32_MAX}, status), NULL;
    worker->check = check;
    worker->found.swept = UINT32_MAX;
    status = envol_lane_open(engine->keyring, &worker->lane);
    while (status == ENVOL_OK &&
           (i = atomic_fetch_add(&check->next_table, 1)) < engine->table_count) {
        worker->table = engine->tables[i];
        check_table(worker);
    }
    add_result(check, &worker->found, status);
    envol_lane_close(worker->lane);
    free(worker);
    return NULL;
}

enum envol_status engine_check(struct engine *engine, unsigned threads, bad_callback *callback,
                               void *ctx, struct check_result *result)
{
    struct check check = {.engine = engine,
                          .callback = callback,
                          .ctx = ctx,
                          .result = result,
                          .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread[THREADS_MAX];
    unsigned started = 0;

    *result = (struct check_result){.swept = envol_keyring_epoch(engine->keyring)};
    while (started < threads && started < THREADS_MAX &&
           pthread_create(&thread[started], NULL, work, &check) == 0)
        started++;
    if (started == 0)
        (void)work(&check);
    for (unsigned i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    return check.status == ENVOL_OK ? ENVOL_OK
                                    : engine_fail(engine, check.status, "a thread of the check");
}
