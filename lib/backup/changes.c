/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of changes: a stream in, a stream out, a chunk of each in memory. */
#include "backup/changes.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "header/header.h"
#include "page/derive.h"
#include "page/revoke.h"

#include <inttypes.h>
#include <string.h>

/* The key of lists of the current epoch; in the arena. */
static enum envol_status derive(const struct envol_volume *volume, void **key)
{
    const struct envol_keyring *keyring = volume->keyring;
    enum envol_status status = envol_arena_alloc(32, keyring->flags, key);

    if (status != ENVOL_OK)
        return status;
    status = envol_keyring_hold(keyring, NULL);
    if (status == ENVOL_OK) {
        envol_derive(keyring->entry[0].keys->dek,
                     &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_BACKUP,
                                                      .uuid = keyring->uuid,
                                                      .suite = keyring->suite,
                                                      .epoch = keyring->entry[0].epoch},
                     *key, 32);
        envol_keyring_release(keyring, NULL);
    }
    if (status != ENVOL_OK)
        envol_arena_free(*key, 32);
    return status;
}

typedef enum envol_status begin_message(struct envol_message *message, const uint8_t key[32],
                                        const void *head, size_t head_bytes);

static enum envol_status begin(struct envol_changes *changes, struct envol_volume *volume,
                               begin_message *how)
{
    void *key;
    enum envol_status status = derive(volume, &key);

    if (status != ENVOL_OK)
        return envol_fail(changes->message.error, status, NULL);
    status = how(&changes->message, key, changes->head, sizeof(changes->head));
    envol_arena_free(key, 32);
    changes->is_open = status == ENVOL_OK;
    return status;
}

static enum envol_status check_head(const struct envol_changes *changes,
                                    const struct envol_volume *volume)
{
    struct envol_error *error = changes->message.error;
    const uint8_t *head = changes->head;
    uint32_t version = envol_load32(head + ENVOL_CHANGES_AT_VERSION);

    if (memcmp(head, ENVOL_CHANGES_MAGIC, 8) != 0)
        return envol_fail(error, ENVOL_E_FORMAT, "this is no list of changes");
    if (version != ENVOL_CHANGES_VERSION)
        return envol_fail(error, ENVOL_E_VERSION,
                          "the list of changes has version %" PRIu32 ", not %u", version,
                          ENVOL_CHANGES_VERSION);
    if (memcmp(head + ENVOL_CHANGES_AT_VOLUME, volume->keyring->uuid, ENVOL_UUID_BYTES) != 0)
        return envol_fail(error, ENVOL_E_STATE, "the list of changes is of another volume");
    return ENVOL_OK;
}

/* The DEK is the right one: what does not fit it was changed. */
static enum envol_status start(struct envol_message *message, const uint8_t key[32],
                               const void *head, size_t head_bytes)
{
    enum envol_status status = envol_message_start(message, key, head, head_bytes);

    if (status != ENVOL_E_WRONG_KEY || message->callback_failed)
        return status;
    return envol_fail(message->error, ENVOL_E_CORRUPT, "the head of %s is damaged", message->name);
}

enum envol_status envol_changes_read(struct envol_changes *changes, struct envol_volume *volume,
                                     bool *rotated)
{
    uint32_t epoch, current = envol_keyring_epoch(volume->keyring);
    enum envol_status status;

    changes->message.name = "the list of changes";
    status = envol_message_open(&changes->message, volume->keyring->flags);
    if (status == ENVOL_OK)
        status = envol_message_take(&changes->message, changes->head, sizeof(changes->head));
    if (status == ENVOL_OK)
        status = check_head(changes, volume);
    if (status != ENVOL_OK)
        return status;
    epoch = envol_load32(changes->head + ENVOL_CHANGES_AT_EPOCH);
    *rotated = epoch < current;
    if (*rotated)
        return ENVOL_OK;
    if (epoch > current)
        return envol_fail(changes->message.error, ENVOL_E_STALE,
                          "the list of changes is of a newer DEK");
    changes->pages = envol_load64(changes->head + ENVOL_CHANGES_AT_PAGES);
    return begin(changes, volume, start);
}

const uint8_t *envol_changes_backup(const struct envol_changes *changes)
{
    return changes->head + ENVOL_CHANGES_AT_BACKUP;
}

enum envol_status envol_changes_get(struct envol_changes *changes, uint8_t *nonces, size_t n)
{
    uint64_t left = changes->next < changes->pages ? changes->pages - changes->next : 0;
    size_t known = n < left ? n : (size_t)left;

    memset(nonces + known * ENVOL_NONCE_BYTES, 0xff, (n - known) * ENVOL_NONCE_BYTES);
    changes->next += known;
    return envol_message_get(&changes->message, nonces, known * ENVOL_NONCE_BYTES);
}

/* A volume that became shorter asks for no more than it has. */
enum envol_status envol_changes_finish(struct envol_changes *changes)
{
    uint8_t nonces[ENVOL_RUN_MAX * ENVOL_NONCE_BYTES];
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && changes->next < changes->pages) {
        uint64_t left = changes->pages - changes->next;
        status =
            envol_changes_get(changes, nonces, left < ENVOL_RUN_MAX ? (size_t)left : ENVOL_RUN_MAX);
    }
    return status == ENVOL_OK ? envol_message_finish(&changes->message) : status;
}

enum envol_status envol_changes_write(struct envol_changes *changes, struct envol_volume *volume,
                                      const uint8_t backup[ENVOL_UUID_BYTES], uint64_t pages)
{
    uint8_t *head = changes->head;
    enum envol_status status;

    changes->message.name = "the new list of changes";
    memset(head, 0, sizeof(changes->head));
    memcpy(head, ENVOL_CHANGES_MAGIC, 8);
    envol_store32(head + ENVOL_CHANGES_AT_VERSION, ENVOL_CHANGES_VERSION);
    envol_store32(head + ENVOL_CHANGES_AT_EPOCH, envol_keyring_epoch(volume->keyring));
    memcpy(head + ENVOL_CHANGES_AT_BACKUP, backup, ENVOL_UUID_BYTES);
    memcpy(head + ENVOL_CHANGES_AT_VOLUME, volume->keyring->uuid, ENVOL_UUID_BYTES);
    envol_store64(head + ENVOL_CHANGES_AT_PAGES, pages);
    status = envol_message_open(&changes->message, volume->keyring->flags);
    return status == ENVOL_OK ? begin(changes, volume, envol_message_begin) : status;
}

enum envol_status envol_changes_put(struct envol_changes *changes, const uint8_t *nonces, size_t n)
{
    return envol_message_put(&changes->message, nonces, n * ENVOL_NONCE_BYTES);
}

enum envol_status envol_changes_end(struct envol_changes *changes)
{
    return envol_message_end(&changes->message);
}

void envol_changes_close(struct envol_changes *changes)
{
    envol_message_close(&changes->message);
}
