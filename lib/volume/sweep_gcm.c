/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealing GCM records again, a transfer at a time.  What does not authenticate is counted and left
 * as it is; holes stay holes, and zeros of a sparse volume zeros.
 */
#include "base/error.h"
#include "base/memory.h"
#include "page/seal.h"
#include "volume/area.h"
#include "volume/rotation.h"

/* The run that is being visited. */
struct visit {
    struct envol_volume *volume;
    struct envol_volume_lane *lane; /* records, as they are and then as they become */
    uint8_t *pages;                 /* plaintext */
    uint64_t first;
    size_t n;
    struct envol_page_op ops[ENVOL_RUN_MAX];
    enum envol_status read[ENVOL_RUN_MAX]; /* ENVOL_OK, or why a record could not be read */
    bool fresh[ENVOL_RUN_MAX];             /* sealed again, and to be written */
};

static uint8_t *record_of(const struct visit *v, size_t i)
{
    return v->lane->records + i * v->volume->stride_bytes;
}

static enum envol_status read_records(struct visit *v, size_t i, size_t n)
{
    size_t stride = v->volume->stride_bytes, got = 0;
    enum envol_status status =
        envol_store_read(v->volume->store, envol_volume_offset(v->volume, v->first + i),
                         record_of(v, i), n * stride, &got, NULL);

    for (size_t k = 0; k < n; k++) {
        v->read[i + k] = status;
        if (status == ENVOL_OK && (k + 1) * stride > got)
            v->read[i + k] = ENVOL_E_TRUNCATED;
    }
    return status;
}

/* A bad sector fails the page that is on it, and no other. */
static void read_all(struct visit *v)
{
    if (read_records(v, 0, v->n) == ENVOL_OK || v->n == 1)
        return;
    for (size_t i = 0; i < v->n; i++)
        (void)read_records(v, i, 1);
}

static void unseal_all(struct visit *v)
{
    for (size_t i = 0; i < v->n; i++)
        v->ops[i] = (struct envol_page_op){.page_no = v->first + i,
                                           .page = v->pages + i * v->volume->page_bytes,
                                           .record = record_of(v, i)};
    envol_gcm_unseal_pages(v->volume->object, v->lane->lane, v->ops, v->n);
}

/* Whether a page of that outcome is bad, or the outcome says nothing of it. */
static enum envol_status judge(struct visit *v, size_t i)
{
    enum envol_status status = v->read[i] != ENVOL_OK ? v->read[i] : v->ops[i].status;

    switch (status) {
    case ENVOL_OK:
    case ENVOL_E_UNWRITTEN:
        return ENVOL_OK;
    case ENVOL_E_CORRUPT:
    case ENVOL_E_STALE:
        if (v->volume->sparse && envol_is_zero(record_of(v, i), v->volume->stride_bytes))
            return ENVOL_OK;
        break;
    case ENVOL_E_IO:
    case ENVOL_E_TRUNCATED:
        break;
    default:
        return status;
    }
    envol_rotation_note_bad(v->volume, v->first + i);
    return ENVOL_OK;
}

static bool is_current(const struct visit *v, size_t i)
{
    struct envol_trailer trailer;

    return envol_trailer_decode(record_of(v, i) + v->volume->stride_bytes - ENVOL_TRAILER_BYTES,
                                &trailer) &&
           trailer.epoch == v->volume->keyring->epoch;
}

/* Seals the records of one type in one go. */
static enum envol_status seal_type(struct visit *v, enum envol_status outcome,
                                   enum envol_record_type type)
{
    struct envol_page_op ops[ENVOL_RUN_MAX];
    size_t n = 0;

    for (size_t i = 0; i < v->n; i++) {
        if (v->read[i] != ENVOL_OK || v->ops[i].status != outcome || is_current(v, i))
            continue;
        v->fresh[i] = true;
        ops[n++] = v->ops[i];
    }
    if (n > 0)
        envol_gcm_seal_pages(v->volume->object, v->lane->lane, type, ops, n);
    return envol_ops_status(ops, n);
}

/* Keys are held: they do not go between the two.  Pages are sealed over their old records, whose
 * epochs are then looked at no more. */
static enum envol_status seal_again(struct visit *v)
{
    enum envol_status status = envol_lane_enter(v->volume->object, v->lane->lane);

    if (status != ENVOL_OK)
        return status;
    unseal_all(v);
    for (size_t i = 0; status == ENVOL_OK && i < v->n; i++)
        status = judge(v, i);
    if (status == ENVOL_OK)
        status = seal_type(v, ENVOL_OK, ENVOL_RECORD_PAGE);
    if (status == ENVOL_OK)
        status = seal_type(v, ENVOL_E_UNWRITTEN, ENVOL_RECORD_HOLE);
    envol_lane_leave(v->volume->object, v->lane->lane);
    return status;
}

/* A run that cannot be written at once is written page by page: nobody asked for these pages to be
 * written, and as few as can be are to be the worse for it. */
static enum envol_status write_apart(struct visit *v, size_t i, size_t n, struct envol_error *error)
{
    enum envol_status first = ENVOL_OK;

    for (size_t k = i; k < i + n; k++) {
        enum envol_status status = envol_volume_place(v->volume, record_of(v, k), v->first + k, 1,
                                                      first == ENVOL_OK ? error : NULL);
        if (status == ENVOL_OK || first != ENVOL_OK)
            continue;
        first = status;
        envol_error_set_page(error, v->first + k);
    }
    return first;
}

static enum envol_status write_all(struct visit *v, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;
    size_t n;

    for (size_t i = 0; status == ENVOL_OK && i < v->n; i += n) {
        for (n = 0; i + n < v->n && v->fresh[i + n]; n++)
            ;
        if (n > 0)
            status = envol_volume_place(v->volume, record_of(v, i), v->first + i, n, error);
        if (status != ENVOL_OK)
            status = write_apart(v, i, n, error);
        n = n > 0 ? n : 1;
    }
    return status;
}

/* Whoever wrote these pages has left: one that failed on its way home is whole in the double-write
 * area, and not bad. */
static enum envol_status visit(struct visit *v, struct envol_error *error)
{
    enum envol_status status = envol_area_settle(v->volume, error);

    if (status != ENVOL_OK)
        return status;
    read_all(v);
    status = seal_again(v);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    return write_all(v, error);
}

enum envol_status envol_sweep_gcm(struct envol_volume *volume, struct envol_volume_lane *lane,
                                  uint64_t max, uint64_t *visited, struct envol_error *error)
{
    struct envol_sweep *sweep = &volume->sweep;
    uint64_t next = atomic_load(&sweep->next), end = atomic_load(&volume->pages);
    uint64_t bad = atomic_load(&sweep->bad), first_bad = atomic_load(&sweep->first_bad);
    size_t bytes = (size_t)volume->run * volume->page_bytes;
    struct visit v = {.volume = volume, .lane = lane, .first = next};
    enum envol_status status;

    if (next >= end)
        return ENVOL_OK;
    v.pages = envol_sweep_memory(volume, bytes);
    if (v.pages == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    max = max < volume->run ? max : volume->run;
    v.n = (size_t)(end - next < max ? end - next : max);
    envol_hot_claim(&sweep->hot, v.first, v.first + v.n);
    status = visit(&v, error);
    envol_hot_release(&sweep->hot);
    envol_wipe(v.pages, bytes);
    if (status != ENVOL_OK) { /* they are visited again */
        atomic_store(&sweep->bad, bad);
        atomic_store(&sweep->first_bad, first_bad);
        return status;
    }
    atomic_store(&sweep->next, next + v.n);
    *visited = v.n;
    return ENVOL_OK;
}
