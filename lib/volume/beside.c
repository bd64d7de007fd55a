/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page I/O beside a rotation: out of the sweep's way, and under XTS with the keys that a page is
 * under.  What decides that does not change for a page that is being visited.
 */
#include "volume/rotation.h"

#include <string.h>

/*
 * A write beyond the end fills the gap before it too, and what is sealed there must be of the epoch
 * that it is read under: the end of a sweep, which turns all pages to come over to the new one,
 * waits for such a call as for one that is at every page there is going to be.
 */
static enum envol_status visit(struct envol_volume *volume, struct envol_hot_guest *guest,
                               uint64_t first, uint64_t n, bool reads)
{
    uint64_t end = first + n;

    *guest = (struct envol_hot_guest){.inside = false};
    if (!volume->sweep.is_open)
        return ENVOL_OK;
    if (end > atomic_load_explicit(&volume->pages, memory_order_acquire))
        end = UINT64_MAX;
    return envol_hot_enter(&volume->sweep.hot, guest, first, end, reads);
}

enum envol_status envol_volume_visit(struct envol_volume *volume, struct envol_hot_guest *guest,
                                     uint64_t first, uint64_t n)
{
    return visit(volume, guest, first, n, false);
}

enum envol_status envol_volume_visit_to_read(struct envol_volume *volume,
                                             struct envol_hot_guest *guest, uint64_t first,
                                             uint64_t n)
{
    return visit(volume, guest, first, n, true);
}

void envol_volume_depart(struct envol_volume *volume, struct envol_hot_guest *guest)
{
    envol_hot_leave(&volume->sweep.hot, guest);
}

static size_t min(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* Those before the copy, those of it, and those after it.  What the store ends before is not there,
 * and nor is anything that follows. */
enum envol_status envol_volume_fetch(struct envol_volume *volume,
                                     const struct envol_hot_guest *guest, uint64_t first, size_t n,
                                     uint8_t *records, size_t *got, struct envol_error *error)
{
    const struct envol_hot_copy *copy = &guest->copy;
    size_t stride = volume->stride_bytes, more = 0;
    enum envol_status status = ENVOL_OK;

    *got = 0;
    for (size_t i = 0, step; status == ENVOL_OK && i < n && *got == i * stride; i += step) {
        uint64_t page_no = first + i;
        if (copy->records != NULL && page_no >= copy->first && page_no < copy->end) {
            step = min(copy->end - page_no, n - i);
            more = step * stride;
            memcpy(records + i * stride, copy->records + (page_no - copy->first) * stride, more);
        } else {
            bool is_before = copy->records != NULL && page_no < copy->first;
            step = is_before ? min(copy->first - page_no, n - i) : n - i;
            status = envol_store_read(volume->store, envol_volume_offset(volume, page_no),
                                      records + i * stride, step * stride, &more, error);
        }
        *got += more;
    }
    return status;
}

/* How many of n consecutive pages were visited by an XTS sweep, as the guest has them: a copy is of
 * the new epoch before the sweep has got so far. */
static size_t count_swept(const struct envol_volume *volume, const struct envol_hot_guest *guest,
                          const struct envol_page_op *ops, size_t n)
{
    uint64_t next;

    if (volume->sweep.swept == NULL || n == 0)
        return 0;
    if (guest != NULL && guest->copy.records != NULL)
        next = guest->copy.end;
    else
        next = atomic_load_explicit(&volume->sweep.next, memory_order_acquire);
    return next <= ops[0].page_no ? 0 : min(next - ops[0].page_no, n);
}

typedef enum envol_status apply(const struct envol_object *object, struct envol_lane *lane,
                                struct envol_page_op *ops, size_t count);

static enum envol_status apply_to_both(struct envol_volume *volume, apply *what,
                                       const struct envol_hot_guest *guest, struct envol_lane *lane,
                                       struct envol_page_op *ops, size_t n)
{
    size_t swept = count_swept(volume, guest, ops, n);
    enum envol_status first = ENVOL_OK, second = ENVOL_OK;

    if (swept > 0)
        first = what(volume->sweep.swept, lane, ops, swept);
    if (swept < n)
        second = what(volume->object, lane, ops + swept, n - swept);
    return first != ENVOL_OK ? first : second;
}

enum envol_status envol_volume_seal(struct envol_volume *volume, struct envol_lane *lane,
                                    struct envol_page_op *ops, size_t n)
{
    return apply_to_both(volume, envol_page_seal_batch, NULL, lane, ops, n);
}

enum envol_status envol_volume_unseal(struct envol_volume *volume,
                                      const struct envol_hot_guest *guest, struct envol_lane *lane,
                                      struct envol_page_op *ops, size_t n)
{
    return apply_to_both(volume, envol_page_unseal_batch, guest, lane, ops, n);
}
