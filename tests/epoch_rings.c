/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyrings of one volume at any epoch. */
#include "epoch_rings.h"

#include "base/bytes.h"
#include "support.h"

#include <string.h>

void epoch_rings_init(struct epoch_rings *rings, enum envol_suite suite, uint32_t flags)
{
    rings->suite = suite;
    rings->flags = flags;
    test_fill(rings->uuid, sizeof(rings->uuid));
    test_fill(rings->id, sizeof(rings->id));
    test_fill(rings->seed, sizeof(rings->seed));
}

void epoch_dek(const struct epoch_rings *rings, uint32_t epoch, uint8_t dek[ENVOL_DEK_BYTES])
{
    memcpy(dek, rings->seed, ENVOL_DEK_BYTES);
    envol_store32(dek, epoch);
}

struct envol_keyring *epoch_ring_try(const struct epoch_rings *rings, uint32_t epoch,
                                     uint32_t lowest)
{
    const bool gcm = rings->suite == ENVOL_SUITE_AES_256_GCM;
    const struct envol_keyring_params params = {
        .uuid = rings->uuid,
        .suite = rings->suite,
        .page_bytes = RING_PAGE,
        .stride_bytes = gcm ? RING_STRIDE : RING_PAGE,
        .flags = rings->flags,
        .epoch = epoch,
        .lowest = lowest,
    };
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_keyring *keyring;
    enum envol_status status;

    epoch_dek(rings, epoch, dek);
    status = envol_keyring_make(&params, dek, &keyring);
    for (uint32_t older = epoch; status == ENVOL_OK && older-- > lowest;) {
        epoch_dek(rings, older, dek);
        status = envol_keyring_add(keyring, older, dek);
    }
    if (status == ENVOL_OK)
        return keyring;
    envol_keyring_close(keyring);
    return NULL;
}

struct envol_keyring *epoch_ring(const struct epoch_rings *rings, uint32_t epoch, uint32_t lowest)
{
    struct envol_keyring *keyring = epoch_ring_try(rings, epoch, lowest);

    ck_assert_ptr_nonnull(keyring);
    return keyring;
}

void epoch_move(const struct epoch_rings *rings, struct envol_keyring *keyring, uint32_t epoch,
                uint32_t lowest)
{
    struct envol_keyring *from = epoch_ring(rings, epoch, lowest);

    ck_ok(envol_keyring_adopt(keyring, from));
    envol_keyring_close(from);
}
