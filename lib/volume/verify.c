/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading every page to see whether it authenticates. */
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "volume/volume.h"

struct verification {
    struct envol_volume *volume;
    struct envol_volume_lane *lane;
    uint8_t *pages; /* plaintext of one transfer */
    envol_verify_callback *callback;
    void *ctx;
    struct envol_error *error;
    struct envol_verify_result result;
    enum envol_status first; /* of the first bad page */
};

static enum envol_status note(struct verification *v, const struct envol_page_io *io,
                              const struct envol_error *details)
{
    /* The keys went meanwhile: that is nothing to say against a page. */
    if (io->status == ENVOL_E_KEY_REVOKED)
        return envol_fail(v->error, ENVOL_E_KEY_REVOKED, NULL);
    v->result.pages++;
    if (io->status == ENVOL_E_UNWRITTEN)
        v->result.unwritten++;
    if (io->status == ENVOL_OK || io->status == ENVOL_E_UNWRITTEN)
        return ENVOL_OK;
    v->result.bad++;
    if (v->first == ENVOL_OK) {
        v->first = io->status;
        envol_volume_tell(io, details, v->error);
    }
    if (v->callback != NULL && v->callback(v->ctx, io->page_no, io->status) != 0)
        return envol_fail(v->error, ENVOL_E_CANCELLED, "the callback stopped at a bad page");
    return ENVOL_OK;
}

/* Reads the next run, of *n pages; none at the end. */
static enum envol_status read_next(struct verification *v, uint64_t first,
                                   struct envol_page_io *ios, size_t *n,
                                   struct envol_error *details)
{
    enum envol_status status = envol_volume_enter(v->volume, ENVOL_ACCESS_READ);
    uint64_t pages;

    *n = 0;
    if (status != ENVOL_OK)
        return envol_fail(v->error, status, NULL);
    pages = atomic_load(&v->volume->pages);
    if (first < pages)
        *n = pages - first < v->volume->run ? (size_t)(pages - first) : v->volume->run;
    for (size_t i = 0; i < *n; i++)
        ios[i] = (struct envol_page_io){.page_no = first + i,
                                        .page = v->pages + i * v->volume->page_bytes};
    if (*n > 0)
        envol_volume_read_pages(v->volume, v->lane, ios, *n, details);
    envol_volume_leave(v->volume);
    return ENVOL_OK;
}

/* The gate is passed anew for each run: verifying a large volume holds nobody up, and the callback
 * may itself use the volume. */
static enum envol_status verify_next(struct verification *v, uint64_t *next)
{
    struct envol_page_io ios[ENVOL_RUN_MAX];
    struct envol_error details = ENVOL_ERROR_INIT;
    size_t n;
    enum envol_status status = read_next(v, *next, ios, &n, &details);

    for (size_t i = 0; status == ENVOL_OK && i < n; i++)
        status = note(v, &ios[i], &details);
    *next = n > 0 ? *next + n : UINT64_MAX;
    return status;
}

static enum envol_status verify_all(struct verification *v)
{
    size_t bytes = (size_t)v->volume->run * v->volume->page_bytes;
    enum envol_status status = ENVOL_E_NO_MEMORY;

    v->pages = envol_alloc(bytes, ENVOL_BUFFER_ALIGN);
    if (v->pages != NULL)
        status = envol_volume_lane_take(v->volume, &v->lane);
    if (status != ENVOL_OK) {
        envol_free(v->pages);
        return envol_fail(v->error, status, NULL);
    }
    for (uint64_t next = 0; status == ENVOL_OK && next != UINT64_MAX;)
        status = verify_next(v, &next);
    envol_volume_lane_give(v->volume, v->lane);
    envol_wipe(v->pages, bytes);
    envol_free(v->pages);
    return status;
}

static enum envol_status check_arguments(struct envol_volume *volume,
                                         const struct envol_verify_result *result)
{
    enum envol_status status;

    if (result != NULL && !ENVOL_FITS(verify_result, result))
        return ENVOL_E_ARGUMENT;
    status = envol_volume_enter(volume, ENVOL_ACCESS_READ);
    if (status != ENVOL_OK)
        return status;
    envol_volume_leave(volume);
    return volume->gcm ? ENVOL_OK : ENVOL_E_UNSUPPORTED;
}

enum envol_status envol_volume_verify(struct envol_volume *volume, envol_verify_callback *callback,
                                      void *ctx, struct envol_verify_result *result,
                                      struct envol_error *error)
{
    struct verification v = {
        .volume = volume,
        .callback = callback,
        .ctx = ctx,
        .error = error,
    };
    enum envol_status status = check_arguments(volume, result);

    if (status == ENVOL_OK)
        status = verify_all(&v);
    else
        envol_fail(error, status, NULL);
    if (ENVOL_FITS(verify_result, result))
        ENVOL_GIVE(verify_result, result, &v.result);
    if (status == ENVOL_OK)
        status = v.first;
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
