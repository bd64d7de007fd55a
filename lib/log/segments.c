/* SPDX-License-Identifier: BSD-2-Clause */
/* The segments of a log as names of a space. */
#include "log/log.h"

#include "base/error.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

static enum envol_status add(const char *name, void *ctx)
{
    struct envol_log_segments *segments = ctx;
    uint64_t number = envol_log_number(name), *numbers;

    if (number == 0)
        return ENVOL_OK;
    if (segments->count == segments->room) {
        size_t room = segments->room > 0 ? 2 * segments->room : FIRST_ROOM;

        numbers = envol_alloc(room * sizeof(*numbers), _Alignof(uint64_t));
        if (numbers == NULL)
            return ENVOL_E_NO_MEMORY;
        if (segments->count > 0)
            memcpy(numbers, segments->numbers, segments->count * sizeof(*numbers));
        envol_free(segments->numbers);
        segments->numbers = numbers;
        segments->room = room;
    }
    segments->numbers[segments->count++] = number;
    return ENVOL_OK;
}

static int ascending(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

    return (first > second) - (first < second);
}

enum envol_status envol_log_list(struct envol_space *space, struct envol_log_segments *segments,
                                 struct envol_error *error)
{
    enum envol_status status;

    *segments = (struct envol_log_segments){.count = 0};
    status = envol_space_list(space, add, segments, error);
    if (status != ENVOL_OK)
        envol_log_segments_free(segments);
    else if (segments->count > 0)
        qsort(segments->numbers, segments->count, sizeof(uint64_t), ascending);
    return status;
}

void envol_log_segments_free(struct envol_log_segments *segments)
{
    envol_free(segments->numbers);
    *segments = (struct envol_log_segments){.count = 0};
}

bool envol_log_segments_have(const struct envol_log_segments *segments, uint64_t number)
{
    return segments->count > 0 && bsearch(&number, segments->numbers, segments->count,
                                          sizeof(uint64_t), ascending) != NULL;
}

/* Records are written where they belong, at any multiple of 16. */
static enum envol_status check_alignment(struct envol_store *store, struct envol_error *error)
{
    if (store->alignment_bytes == 1)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_UNSUPPORTED,
                      "a log needs a space whose stores are not aligned");
}

enum envol_status envol_log_segment_open(struct envol_space *space, uint64_t number, uint32_t flags,
                                         struct envol_store **store, struct envol_error *error)
{
    char name[ENVOL_LOG_NAME_BYTES];
    enum envol_status status;

    envol_log_name(number, name);
    status = envol_space_store(space, name, flags, store, error);
    if (status != ENVOL_OK)
        return status;
    status = check_alignment(*store, error);
    if (status != ENVOL_OK) {
        envol_store_close(*store);
        *store = NULL;
    }
    return status;
}

enum envol_status envol_log_segment_remove(struct envol_space *space, uint64_t number,
                                           struct envol_error *error)
{
    char name[ENVOL_LOG_NAME_BYTES];

    envol_log_name(number, name);
    return envol_space_remove(space, name, error);
}

enum envol_status envol_log_segment_next(struct envol_log *log, struct envol_store **store,
                                         struct envol_error *error)
{
    uint64_t number = log->seal.newest_segment + 1;
    enum envol_status status;

    if (log->spares > 0)
        return envol_log_segment_open(log->space, number, 0, store, error);
    status = envol_log_segment_open(log->space, number, ENVOL_SPACE_CREATE, store, error);
    log->spares += status == ENVOL_OK;
    return status;
}
