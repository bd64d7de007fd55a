/* SPDX-License-Identifier: BSD-2-Clause */
/* Appending: a place in the order, then sealing and writing beside other threads. */
#include "log/log.h"

#include "base/error.h"
#include "base/memory.h"
#include "page/revoke.h"

#include <string.h>

enum { STACK_RECORDS = 32 };

/* One call. */
struct append {
    struct envol_log *log;
    struct envol_log_entry *entries;
    size_t count, bytes;              /* sealed */
    struct envol_log_record *records; /* of the same count */
    uint8_t *sealed;
    uint64_t offset;
    uint32_t end_index;
    struct envol_store *store;
    const struct envol_log_run *run;
    struct envol_log_write write;
};

/* --- Buffers --- */

static struct envol_log_buffer *make_buffer(size_t bytes)
{
    size_t room = ENVOL_LOG_BUFFER_BYTES_MIN;
    struct envol_log_buffer *buffer;

    while (room < bytes)
        room *= 2;
    buffer = envol_alloc(sizeof(*buffer) + room, _Alignof(struct envol_log_buffer));
    if (buffer != NULL)
        buffer->room = room;
    return buffer;
}

/* The first that waits; one that is too short makes way for a longer one. */
static struct envol_log_buffer *take_buffer(struct envol_log *log, size_t bytes)
{
    for (size_t i = 0; i < ENVOL_LOG_BUFFERS; i++) {
        struct envol_log_buffer *buffer;

        if (atomic_load_explicit(&log->buffers[i], memory_order_relaxed) == NULL)
            continue;
        buffer = atomic_exchange_explicit(&log->buffers[i], NULL, memory_order_acquire);
        if (buffer != NULL && buffer->room >= bytes)
            return buffer;
        envol_free(buffer);
    }
    return make_buffer(bytes);
}

static void give_buffer(struct envol_log *log, struct envol_log_buffer *buffer)
{
    for (size_t i = 0; i < ENVOL_LOG_BUFFERS && buffer->room <= ENVOL_LOG_BUFFER_BYTES_MAX; i++) {
        struct envol_log_buffer *none = NULL;

        if (atomic_compare_exchange_strong_explicit(&log->buffers[i], &none, buffer,
                                                    memory_order_release, memory_order_relaxed))
            return;
    }
    envol_free(buffer);
}

/* --- The place in the order --- */

static void link_write(struct envol_log *log, struct envol_log_write *write)
{
    write->ticket = ++log->ticket;
    write->next = NULL;
    write->previous = log->youngest;
    if (log->youngest != NULL)
        log->youngest->next = write;
    else
        log->oldest = write;
    log->youngest = write;
}

static void unlink_write(struct envol_log *log, struct envol_log_write *write)
{
    if (write->previous != NULL)
        write->previous->next = write->next;
    else
        log->oldest = write->next;
    if (write->next != NULL)
        write->next->previous = write->previous;
    else
        log->youngest = write->previous;
}

/* Fills the records' LSNs; the log's next one is *next then. */
static enum envol_status number(const struct append *a, uint64_t *next, struct envol_error *error)
{
    *next = a->log->next_lsn;
    for (size_t i = 0; i < a->count; i++) {
        uint64_t lsn = a->entries[i].lsn != 0 ? a->entries[i].lsn : *next;

        if (lsn < *next || lsn == UINT64_MAX)
            return envol_fail(error, ENVOL_E_RANGE,
                              "LSN %llu: the next one is %llu at least, and below 2^64 - 1",
                              (unsigned long long)lsn, (unsigned long long)*next);
        a->records[i].lsn = lsn;
        *next = lsn + 1;
    }
    return ENVOL_OK;
}

/* With the keys held, so that what has a place can be sealed. */
static enum envol_status reserve(struct append *a, struct envol_error *error)
{
    struct envol_log *log = a->log;
    uint64_t next;
    enum envol_status status = number(a, &next, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_keyring_hold(log->keyring, NULL);
    if (status == ENVOL_OK && log->run->state != ENVOL_OK) {
        status = log->run->state;
        envol_keyring_release(log->keyring, NULL);
    }
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    for (size_t i = 0; i < a->count; i++) {
        a->records[i].index = log->index + (uint32_t)i;
        a->records[i].durable = log->durable;
    }
    a->offset = log->offset;
    a->store = log->store;
    a->run = log->run;
    log->next_lsn = next;
    log->index += (uint32_t)a->count;
    log->offset += a->bytes;
    a->end_index = log->index;
    link_write(log, &a->write);
    return ENVOL_OK;
}

static bool is_full(const struct append *a)
{
    const struct envol_log *log = a->log;

    return log->ended || (log->index > 0 && log->offset + a->bytes > log->segment_bytes);
}

/* An index is left for the segment's last record.  What would follow a run that another one was
 * begun behind could reach its header. */
static bool run_is_over(const struct append *a)
{
    const struct envol_log *log = a->log;

    return log->stray || log->index + a->count >= log->run_records ||
           log->epoch != envol_keyring_epoch(log->keyring);
}

/* Until nothing stands between the call and its place: a wait, a sync, a new run, and all again. */
static enum envol_status prepare(struct append *a, struct envol_error *error)
{
    struct envol_log *log = a->log;
    enum envol_status status = envol_log_failure(log, error);

    while (status == ENVOL_OK) {
        if (log->switching)
            envol_log_wait(log);
        else if (is_full(a))
            status = envol_log_change(log, true, error);
        else if (run_is_over(a))
            status = envol_log_change(log, false, error);
        else if (log->offset > log->durable_offset &&
                 log->offset + a->bytes - log->durable_offset > log->unsynced_bytes)
            status = envol_log_sync_to(log, log->next_lsn - 1, error);
        else
            return ENVOL_OK;
        if (status == ENVOL_OK)
            status = envol_log_failure(log, error);
    }
    return status;
}

/* --- The call --- */

static enum envol_status seal_and_write(struct append *a, struct envol_error *error)
{
    enum envol_status status = envol_log_records_seal_held(a->run, a->records, a->count, a->sealed);

    envol_keyring_release(a->log->keyring, NULL);
    if (status != ENVOL_OK)
        return envol_log_harm(envol_fail(error, status, NULL), error);
    status = envol_store_write(a->store, a->offset, a->sealed, a->bytes, error);
    return envol_log_harm(status, error);
}

static void finish(struct append *a, enum envol_status status, const struct envol_error *error)
{
    struct envol_log *log = a->log;

    unlink_write(log, &a->write);
    if (status != ENVOL_OK) {
        envol_log_note(log, status, error);
    } else if (a->end_index > log->tag_index) {
        log->tag_index = a->end_index;
        memcpy(log->tag, a->sealed + a->bytes - sizeof(log->tag), sizeof(log->tag));
    }
    if (log->patient > 0)
        pthread_cond_broadcast(&log->changed);
}

static enum envol_status run_append(struct append *a, struct envol_error *error)
{
    struct envol_log *log = a->log;
    struct envol_error details = ENVOL_ERROR_INIT;
    enum envol_status status;

    pthread_mutex_lock(&log->lock);
    status = prepare(a, error);
    if (status == ENVOL_OK)
        status = reserve(a, error);
    pthread_mutex_unlock(&log->lock);
    if (status != ENVOL_OK)
        return status;
    status = seal_and_write(a, &details);
    pthread_mutex_lock(&log->lock);
    finish(a, status, &details);
    pthread_mutex_unlock(&log->lock);
    if (status != ENVOL_OK) {
        envol_fail(error, status, "%s", details.message);
        envol_error_set_errno(error, details.os_errno);
    }
    return status;
}

/* Flags, data and sizes; the rest is known when the call has its place. */
static enum envol_status measure(struct append *a, struct envol_error *error)
{
    a->bytes = 0;
    for (size_t i = 0; i < a->count; i++) {
        const struct envol_log_entry *entry = &a->entries[i];

        if (entry->data == NULL && entry->bytes > 0)
            return envol_fail(error, ENVOL_E_ARGUMENT, "a record without its data");
        if (entry->bytes > ENVOL_LOG_DATA_MAX)
            return envol_fail(error, ENVOL_E_RANGE, "a record of more than %u bytes",
                              ENVOL_LOG_DATA_MAX);
        a->records[i] = (struct envol_log_record){.data = entry->data, .bytes = entry->bytes};
        a->bytes += envol_log_record_bytes(entry->bytes);
        if (a->bytes > ENVOL_LOG_UNSYNCED_MAX)
            return envol_fail(error, ENVOL_E_RANGE, "a batch of more than %u bytes",
                              ENVOL_LOG_UNSYNCED_MAX);
    }
    a->records[a->count - 1].flags = ENVOL_LOG_LAST;
    return ENVOL_OK;
}

static enum envol_status append(struct append *a, struct envol_error *error)
{
    struct envol_log_buffer *buffer;
    enum envol_status status = measure(a, error);

    if (status != ENVOL_OK)
        return status;
    buffer = take_buffer(a->log, a->bytes);
    if (buffer == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    a->sealed = buffer->bytes;
    status = run_append(a, error);
    give_buffer(a->log, buffer);
    for (size_t i = 0; i < a->count && status == ENVOL_OK; i++)
        a->entries[i].lsn = a->records[i].lsn;
    return status;
}

enum envol_status envol_log_append(struct envol_log *log, const void *data, size_t bytes,
                                   uint64_t *lsn, struct envol_error *error)
{
    struct envol_log_entry entry = {.lsn = lsn != NULL ? *lsn : 0, .data = data, .bytes = bytes};
    struct envol_log_record record;
    struct append a = {.log = log, .entries = &entry, .count = 1, .records = &record};
    enum envol_status status = envol_log_check(log, error);

    if (status == ENVOL_OK)
        status = append(&a, error);
    if (status != ENVOL_OK)
        return status;
    if (lsn != NULL)
        *lsn = entry.lsn;
    envol_error_clear(error);
    return ENVOL_OK;
}

enum envol_status envol_log_append_batch(struct envol_log *log, struct envol_log_entry *entries,
                                         size_t count, struct envol_error *error)
{
    struct envol_log_record few[STACK_RECORDS];
    struct append a = {.log = log, .entries = entries, .count = count, .records = few};
    enum envol_status status = envol_log_check(log, error);

    if (status != ENVOL_OK)
        return status;
    if (entries == NULL || count == 0)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a batch without records");
    if (count > ENVOL_LOG_UNSYNCED_MAX / envol_log_record_bytes(0) || count >= log->run_records)
        return envol_fail(error, ENVOL_E_RANGE, "a batch of more than %u bytes",
                          ENVOL_LOG_UNSYNCED_MAX);
    if (count > STACK_RECORDS)
        a.records = envol_alloc(count * sizeof(*a.records), _Alignof(struct envol_log_record));
    if (a.records == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = append(&a, error);
    if (a.records != few)
        envol_free(a.records);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
