/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of pages that are alike, written or not.  What a record says of itself is a guess that costs
 * no decryption; that a page was never written is believed only when its record authenticates as
 * a hole, as else somebody on the disk could have data taken for zeros.
 */
#include "base/error.h"
#include "base/memory.h"
#include "volume/volume.h"

#include <string.h>

struct search {
    struct envol_volume *volume;
    struct envol_volume_lane *lane;
    uint8_t *pages;                /* plaintext of one transfer; of holes, mostly */
    bool unwritten[ENVOL_RUN_MAX]; /* of the run that was looked at last */
};

static void prove(struct search *s, uint64_t first, size_t from, size_t to)
{
    struct envol_page_io ios[ENVOL_RUN_MAX];
    struct envol_error details = ENVOL_ERROR_INIT;

    for (size_t i = from; i < to; i++)
        ios[i] = (struct envol_page_io){.page_no = first + i,
                                        .page = s->pages + i * s->volume->page_bytes};
    envol_volume_read_pages(s->volume, s->lane, ios + from, to - from, &details);
    for (size_t i = from; i < to; i++)
        s->unwritten[i] = ios[i].status == ENVOL_E_UNWRITTEN;
}

static void look(struct search *s, uint64_t first, size_t n)
{
    size_t next;

    envol_volume_guess_holes(s->volume, s->lane, first, n, s->unwritten);
    for (size_t i = 0; i < n; i = next) {
        next = i + 1;
        if (!s->unwritten[i])
            continue;
        while (next < n && s->unwritten[next])
            next++;
        prove(s, first, i, next);
    }
}

/* How many of count pages from first are as the first of them. */
static uint64_t count_alike(struct search *s, uint64_t first, uint64_t count, bool *unwritten)
{
    uint64_t alike = 0;

    while (alike < count) {
        size_t n = count - alike < s->volume->run ? (size_t)(count - alike) : s->volume->run;
        look(s, first + alike, n);
        if (alike == 0)
            *unwritten = s->unwritten[0];
        for (size_t i = 0; i < n; i++, alike++)
            if (s->unwritten[i] != *unwritten)
                return alike;
    }
    return alike;
}

static enum envol_status search(struct envol_volume *volume, uint64_t first, uint64_t count,
                                uint64_t *alike, bool *unwritten)
{
    size_t bytes = (size_t)volume->run * volume->page_bytes;
    struct search s = {.volume = volume, .pages = envol_alloc(bytes, ENVOL_BUFFER_ALIGN)};
    enum envol_status status = ENVOL_E_NO_MEMORY;

    if (s.pages != NULL)
        status = envol_volume_lane_take(volume, &s.lane);
    if (status == ENVOL_OK) {
        *alike = count_alike(&s, first, count, unwritten);
        envol_volume_lane_give(volume, s.lane);
        envol_wipe(s.pages, bytes);
    }
    envol_free(s.pages);
    return status;
}

enum envol_status envol_page_extent(struct envol_volume *volume, uint64_t first, uint64_t max_pages,
                                    uint64_t *pages, int *unwritten, struct envol_error *error)
{
    uint64_t alike, end;
    bool holes = false;
    enum envol_status status;

    if (pages != NULL)
        *pages = 0;
    if (unwritten != NULL)
        *unwritten = 0;
    if (pages == NULL || unwritten == NULL || max_pages == 0)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL output, or an extent of no pages");
    status = envol_volume_enter(volume, ENVOL_ACCESS_READ);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    end = atomic_load(&volume->pages);
    alike = first < end && max_pages > end - first ? end - first : max_pages;
    if (first >= end)
        status = ENVOL_E_RANGE;
    else if (volume->gcm || volume->sparse) /* else nothing marks a hole */
        status = search(volume, first, alike, &alike, &holes);
    envol_volume_leave(volume);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    *pages = alike;
    *unwritten = holes;
    envol_error_clear(error);
    return ENVOL_OK;
}
