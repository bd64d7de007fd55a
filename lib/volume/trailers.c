/* SPDX-License-Identifier: BSD-2-Clause */
/* What a record says of itself without its key: a nonce that is not the one that was there before
 * tells that the page was written since, and its type that it never was. */
#include "base/error.h"
#include "base/memory.h"
#include "page/trailer.h"
#include "volume/area.h"
#include "volume/snapshot.h"

#include <string.h>

static void nonce_of(const struct envol_volume *volume, const uint8_t *record, uint8_t *nonce)
{
    const uint8_t *trailer = record + volume->stride_bytes - ENVOL_TRAILER_BYTES;
    struct envol_trailer decoded;

    if (envol_trailer_decode(trailer, &decoded))
        memcpy(nonce, trailer + ENVOL_TRAILER_NONCE, ENVOL_NONCE_BYTES);
    else
        memset(nonce, envol_is_zero(record, volume->stride_bytes) ? 0 : 0xff, ENVOL_NONCE_BYTES);
}

static enum envol_status load(struct envol_volume *volume, struct envol_volume_lane *lane,
                              uint64_t first, size_t n, size_t *got)
{
    if (volume->image != NULL)
        return envol_image_read(volume, first, n, lane->records, got, NULL);
    (void)envol_area_settle(volume, NULL);
    return envol_store_read(volume->store, envol_volume_offset(volume, first), lane->records,
                            n * volume->stride_bytes, got, NULL);
}

static bool looks_unwritten(const struct envol_volume *volume, const uint8_t *record)
{
    struct envol_trailer trailer;

    if (volume->gcm &&
        envol_trailer_decode(record + volume->stride_bytes - ENVOL_TRAILER_BYTES, &trailer))
        return trailer.type == ENVOL_RECORD_HOLE;
    return envol_is_zero(record, volume->stride_bytes);
}

void envol_volume_guess_holes(struct envol_volume *volume, struct envol_volume_lane *lane,
                              uint64_t first, size_t n, bool *unwritten)
{
    size_t got = 0;

    if (load(volume, lane, first, n, &got) != ENVOL_OK)
        got = 0;
    for (size_t i = 0; i < n; i++)
        unwritten[i] = (i + 1) * volume->stride_bytes <= got &&
                       looks_unwritten(volume, lane->records + i * volume->stride_bytes);
}

/* What cannot be read is for whoever reads the page to tell of. */
static void read_nonces(struct envol_volume *volume, struct envol_volume_lane *lane, uint64_t first,
                        size_t n, uint8_t *nonces)
{
    size_t got = 0;

    if (load(volume, lane, first, n, &got) != ENVOL_OK)
        got = 0;
    memset(nonces, 0xff, n * ENVOL_NONCE_BYTES);
    for (size_t i = 0; i < got / volume->stride_bytes; i++)
        nonce_of(volume, lane->records + i * volume->stride_bytes, nonces + i * ENVOL_NONCE_BYTES);
}

enum envol_status envol_volume_read_nonces(struct envol_volume *volume, uint64_t first, size_t n,
                                           uint8_t *nonces, struct envol_error *error)
{
    struct envol_volume_lane *lane;
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_READ);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_volume_lane_take(volume, &lane);
    if (status == ENVOL_OK) {
        read_nonces(volume, lane, first, n, nonces);
        envol_volume_lane_give(volume, lane);
    } else {
        envol_fail(error, status, NULL);
    }
    envol_volume_leave(volume);
    return status;
}
