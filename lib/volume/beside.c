/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page I/O beside a rotation: out of the sweep's way, and under XTS with the keys that a page is
 * under.  What decides that does not change for a page that is being visited.
 */
#include "volume/rotation.h"

/*
 * A write beyond the end fills the gap before it too, and what is sealed there must be of the epoch
 * that it is read under: the end of a sweep, which turns all pages to come over to the new one,
 * waits for such a call as for one that is at every page there is going to be.
 */
enum envol_status envol_volume_visit(struct envol_volume *volume, struct envol_hot_guest *guest,
                                     uint64_t first, uint64_t n)
{
    uint64_t end = first + n;

    guest->inside = false;
    if (!volume->sweep.is_open)
        return ENVOL_OK;
    if (end > atomic_load_explicit(&volume->pages, memory_order_acquire))
        end = UINT64_MAX;
    return envol_hot_enter(&volume->sweep.hot, guest, first, end);
}

void envol_volume_depart(struct envol_volume *volume, struct envol_hot_guest *guest)
{
    envol_hot_leave(&volume->sweep.hot, guest);
}

/* How many of n consecutive pages were visited by an XTS sweep. */
static size_t count_swept(const struct envol_volume *volume, const struct envol_page_op *ops,
                          size_t n)
{
    uint64_t next;

    if (volume->sweep.swept == NULL || n == 0)
        return 0;
    next = atomic_load_explicit(&volume->sweep.next, memory_order_acquire);
    if (next <= ops[0].page_no)
        return 0;
    return next - ops[0].page_no < n ? (size_t)(next - ops[0].page_no) : n;
}

typedef enum envol_status apply(const struct envol_object *object, struct envol_lane *lane,
                                struct envol_page_op *ops, size_t count);

static enum envol_status apply_to_both(struct envol_volume *volume, apply *what,
                                       struct envol_lane *lane, struct envol_page_op *ops, size_t n)
{
    size_t swept = count_swept(volume, ops, n);
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
    return apply_to_both(volume, envol_page_seal_batch, lane, ops, n);
}

enum envol_status envol_volume_unseal(struct envol_volume *volume, struct envol_lane *lane,
                                      struct envol_page_op *ops, size_t n)
{
    return apply_to_both(volume, envol_page_unseal_batch, lane, ops, n);
}
