/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol log append: records from standard input, a line each, or frames.  What one read of the
 * input brings is synced together; only then its LSNs are printed, so that whoever writes into the
 * pipe knows by them what is safe.
 */
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16 };

struct appender {
    const struct options *options;
    struct session session;
    struct envol_log *log;
    uint8_t *bytes; /* of the input, from the first record that is not appended */
    size_t count, capacity;
    size_t scanned; /* of them, without a newline */
    bool ended;
    struct envol_log_entry *entries; /* of one batch */
    size_t entry_count, entry_capacity;
    uint64_t *lsns; /* appended, and not printed yet */
    size_t lsn_count, lsn_capacity;
};

/* Room for one more element; false if there is no memory. */
static bool grow(void **array, size_t *capacity, size_t count, size_t size)
{
    size_t wanted = *capacity == 0 ? 64 : 2 * *capacity;
    void *grown;

    if (count < *capacity)
        return true;
    grown = realloc(*array, wanted * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

/* Data that passed for a redo record would change the pages of whoever replays the log. */
static enum envol_status add_entry(struct appender *a, uint64_t lsn, const void *data, size_t bytes)
{
    void *entries = a->entries;
    bool has_room;

    if (is_redo(data, bytes))
        return ENVOL_E_ARGUMENT;
    has_room = grow(&entries, &a->entry_capacity, a->entry_count, sizeof *a->entries);
    a->entries = entries;
    if (!has_room)
        return ENVOL_E_NO_MEMORY;
    a->entries[a->entry_count++] = (struct envol_log_entry){lsn, data, bytes};
    return ENVOL_OK;
}

/* *used: bytes of the line that begins at `at`; 0: it is not all there.  The last one may lack its
 * newline. */
static enum envol_status take_line(struct appender *a, size_t at, size_t *used)
{
    const uint8_t *from = a->bytes + at;
    size_t left = a->count - at;
    size_t skip = at == 0 ? a->scanned : 0;
    const uint8_t *end = left > skip ? memchr(from + skip, '\n', left - skip) : NULL;
    size_t bytes = end != NULL ? (size_t)(end - from) : left;

    a->scanned = end == NULL ? left : 0;
    *used = end != NULL ? bytes + 1 : a->ended ? left : 0;
    if (bytes > ENVOL_LOG_DATA_MAX)
        return ENVOL_E_RANGE;
    return *used > 0 ? add_entry(a, 0, from, bytes) : ENVOL_OK;
}

/* The same of frames, up to the last one of a batch. */
static enum envol_status take_frames(struct appender *a, size_t at, size_t *used)
{
    struct envol_log_record record = {.flags = 0};
    size_t to = at;

    *used = 0;
    while ((record.flags & ENVOL_LOG_LAST) == 0) {
        enum envol_status status;
        if (a->count - to < FRAME_HEAD_BYTES)
            return ENVOL_OK;
        if (!frame_decode(a->bytes + to, &record))
            return ENVOL_E_FORMAT;
        to += FRAME_HEAD_BYTES + record.bytes;
        if (to - at > ENVOL_LOG_UNSYNCED_MAX)
            return ENVOL_E_RANGE;
        if (to > a->count)
            return ENVOL_OK;
        status = add_entry(a, record.lsn, record.data, record.bytes);
        if (status != ENVOL_OK)
            return status;
    }
    *used = to - at;
    return ENVOL_OK;
}

static enum envol_status append_batch(struct appender *a, struct envol_error *error)
{
    enum envol_status status = envol_log_append_batch(a->log, a->entries, a->entry_count, error);

    for (size_t i = 0; status == ENVOL_OK && i < a->entry_count; i++) {
        void *lsns = a->lsns;
        bool has_room = grow(&lsns, &a->lsn_capacity, a->lsn_count, sizeof *a->lsns);
        a->lsns = lsns;
        if (!has_room)
            return ENVOL_E_NO_MEMORY;
        a->lsns[a->lsn_count++] = a->entries[i].lsn;
    }
    return status;
}

/* Appends what is whole, and keeps the rest. */
static enum envol_status append_all(struct appender *a, struct envol_error *error)
{
    bool framed = (a->options->given & TAKES_FRAMED) != 0;
    size_t at = 0, used = 1;
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && used > 0) {
        a->entry_count = 0;
        status = framed ? take_frames(a, at, &used) : take_line(a, at, &used);
        if (status == ENVOL_OK && used > 0)
            status = append_batch(a, error);
        at += used;
    }
    if (status == ENVOL_OK) {
        memmove(a->bytes, a->bytes + at, a->count - at);
        a->count -= at;
    }
    return status;
}

static enum envol_status sync_and_print(struct appender *a, struct envol_error *error)
{
    enum envol_status status = a->lsn_count == 0 ? ENVOL_OK : envol_log_sync(a->log, 0, error);

    for (size_t i = 0; status == ENVOL_OK && i < a->lsn_count; i++)
        printf("%" PRIu64 "\n", a->lsns[i]);
    a->lsn_count = 0;
    fflush(stdout); /* a failure is told at the end */
    return status;
}

static int read_more(struct appender *a)
{
    ssize_t n;

    if (a->capacity - a->count < READ_BYTES) {
        size_t wanted = 2 * a->capacity + READ_BYTES;
        uint8_t *grown = realloc(a->bytes, wanted);
        if (grown == NULL)
            return fail(a->options, ENVOL_E_NO_MEMORY, NULL);
        a->bytes = grown;
        a->capacity = wanted;
    }
    n = read_until_signal(STDIN_FILENO, a->bytes + a->count, a->capacity - a->count);
    if (is_cancelled())
        return check_cancelled(a->options);
    if (n < 0)
        return fail_errno(a->options, "standard input", errno);
    a->count += (size_t)n;
    a->ended = n == 0;
    return STATUS_OK;
}

static int fail_append(const struct appender *a, enum envol_status status,
                       const struct envol_error *error)
{
    if (status == ENVOL_E_FORMAT)
        return fail_text(a->options, status, "standard input: no frame");
    if (status == ENVOL_E_RANGE && error->message[0] == '\0')
        return fail_text(a->options, status, "standard input: too long for a record or a batch");
    if (status == ENVOL_E_ARGUMENT && error->message[0] == '\0')
        return fail_text(a->options, status,
                         "standard input: a record begins with ENVOLRDO, as the command's own do");
    return log_fail(a->options, status, error);
}

static int append_input(struct appender *a)
{
    int exit_status = STATUS_OK;

    while (exit_status == STATUS_OK && !a->ended) {
        struct envol_error error = ENVOL_ERROR_INIT, sync_error = ENVOL_ERROR_INIT;
        enum envol_status status, synced;
        exit_status = read_more(a);
        if (exit_status != STATUS_OK)
            break;
        status = append_all(a, &error);
        synced = sync_and_print(a, &sync_error); /* what came before a failure is appended, too */
        if (status != ENVOL_OK)
            exit_status = fail_append(a, status, &error);
        else if (synced != ENVOL_OK)
            exit_status = fail_append(a, synced, &sync_error);
        else if (ferror(stdout))
            return STATUS_OK; /* main says why */
    }
    if (exit_status == STATUS_OK && a->count > 0)
        exit_status = fail_text(a->options, ENVOL_E_TRUNCATED,
                                "standard input ends within a frame or a batch, which is left out");
    return exit_status;
}

int run_log_append(const struct options *options)
{
    struct appender a = {.options = options, .session.makes_space = true};
    int exit_status = log_session_open(&a.session, options, 0);

    if (exit_status == STATUS_OK)
        exit_status = log_open(&a.session, options, true, &a.log);
    if (exit_status == STATUS_OK)
        exit_status = append_input(&a);
    exit_status = log_finish(a.log, options, exit_status);
    exit_status = session_finish(&a.session, options, exit_status);
    free(a.bytes);
    free(a.entries);
    free(a.lsns);
    return exit_status;
}
