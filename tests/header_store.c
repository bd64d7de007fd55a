/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers on a store. */
#include "header_store.h"

#include "store/store.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static enum envol_status lock(void *ctx)
{
    struct header_hands *hands = ctx;
    enum envol_status status = hands->lock_status;

    if (status == ENVOL_OK)
        status = envol_store_lock(hands->store, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE, 0, NULL);
    hands->locks += status == ENVOL_OK;
    return status;
}

static void unlock(void *ctx)
{
    struct header_hands *hands = ctx;

    hands->unlocks++;
    ck_assert_int_eq(envol_store_lock(hands->store, ENVOL_LOCK_HEADER, ENVOL_LOCK_NONE, 0, NULL),
                     ENVOL_OK);
}

static enum envol_status read_copy(void *ctx, uint32_t copy, void *buffer)
{
    struct header_hands *hands = ctx;
    size_t got;
    enum envol_status status =
        envol_store_read(hands->store, (uint64_t)copy * ENVOL_HEADER_COPY_BYTES, buffer,
                         ENVOL_HEADER_COPY_BYTES, &got, NULL);

    hands->unaligned |= (uintptr_t)buffer % 4096 != 0;
    if (++hands->reads == hands->lie_at)
        ((uint8_t *)buffer)[20000] ^= 1;
    return status;
}

static enum envol_status write_copy(void *ctx, uint32_t copy, const void *buffer)
{
    struct header_hands *hands = ctx;

    hands->writes++;
    hands->unaligned |= (uintptr_t)buffer % 4096 != 0;
    return envol_store_write(hands->store, (uint64_t)copy * ENVOL_HEADER_COPY_BYTES, buffer,
                             ENVOL_HEADER_COPY_BYTES, NULL);
}

static enum envol_status sync_store(void *ctx)
{
    struct header_hands *hands = ctx;

    hands->syncs++;
    return envol_store_sync(hands->store, NULL);
}

struct envol_header_io header_io(struct header_hands *hands)
{
    return (struct envol_header_io){.struct_size = sizeof(struct envol_header_io),
                                    .ctx = hands,
                                    .lock = lock,
                                    .unlock = unlock,
                                    .read = read_copy,
                                    .write = write_copy,
                                    .sync = sync_store};
}

void header_put(struct envol_store *store, const uint8_t *bytes)
{
    ck_assert_int_eq(envol_store_write(store, 0, bytes, ENVOL_HEADER_BYTES, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
}

void header_get(struct envol_store *store, uint8_t *bytes)
{
    size_t got;

    ck_assert_int_eq(envol_store_read(store, 0, bytes, ENVOL_HEADER_BYTES, &got, NULL), ENVOL_OK);
}

enum envol_status header_load(const struct header_fixture *f, const uint8_t *bytes,
                              struct envol_header **header, struct envol_keyring **keyring)
{
    enum envol_status status = ck_note(envol_header_decode(bytes, 0, header, NULL));

    *keyring = NULL;
    if (status == ENVOL_OK)
        status = ck_note(envol_header_unlock(*header, f->dek, 0, NULL, keyring));
    if (status != ENVOL_OK) {
        envol_header_free(*header);
        *header = NULL;
    }
    return status;
}

enum envol_status header_commit(struct envol_header *header, const struct envol_keyring *keyring,
                                struct envol_store *store)
{
    struct header_hands hands = {.store = store};
    const struct envol_header_io io = header_io(&hands);
    enum envol_status status = ck_note(envol_header_commit(header, keyring, &io, NULL));

    ck_assert_uint_eq(hands.unlocks, hands.locks);
    return status;
}
