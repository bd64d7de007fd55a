/* SPDX-License-Identifier: BSD-2-Clause */
/* The DEK of a backup, which is made, wrapped, proven and unwrapped as a volume's is. */
#include "backup/head.h"
#include "base/arena.h"
#include "base/error.h"
#include "page/derive.h"
#include "volume/volume.h"

enum envol_status envol_backup_call_make(const struct envol_cmk *cmks, size_t cmk_count,
                                         uint32_t flags, uint32_t timeout_ms,
                                         const int *cancel_flag, struct envol_key_call *call,
                                         struct envol_error *error)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof(options),
        .flags = flags,
        .timeout_ms = timeout_ms,
        .cancel_flag = cancel_flag,
    };

    return envol_key_call_make(cmks, cmk_count, &options, call, error);
}

/* A DEK, and behind it the key of the body. */
struct secrets {
    uint8_t dek[ENVOL_DEK_BYTES];
    uint8_t key[32];
};

static enum envol_status open_secrets(const struct envol_key_call *call, struct secrets **secrets,
                                      struct envol_error *error)
{
    void *memory;
    enum envol_status status =
        envol_arena_alloc(sizeof(**secrets), call->flags & ENVOL_KEYRING_FLAGS, &memory);

    *secrets = memory;
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

static void derive(const struct envol_header *header, struct secrets *secrets)
{
    envol_derive(secrets->dek,
                 &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_BACKUP,
                                                  .uuid = header->uuid,
                                                  .suite = header->suite,
                                                  .epoch = header->epoch},
                 secrets->key, sizeof(secrets->key));
}

enum envol_status envol_backup_seal(const struct envol_key_call *call,
                                    struct envol_backup_head *head, struct envol_message *message,
                                    enum envol_status (*ready)(void *ctx), void *ctx)
{
    struct secrets *secrets;
    enum envol_status status = open_secrets(call, &secrets, message->error);

    if (status != ENVOL_OK)
        return status;
    status = envol_keys_create(call, head->header, secrets->dek, message->error);
    if (status == ENVOL_OK && ready != NULL)
        status = ready(ctx);
    if (status == ENVOL_OK) {
        derive(head->header, secrets);
        envol_backup_head_encode(head);
        status = envol_message_begin(message, secrets->key, head->bytes, head->count);
    }
    envol_arena_free(secrets, sizeof(*secrets));
    return status;
}

enum envol_status envol_backup_unseal(const struct envol_key_call *call,
                                      const struct envol_backup_head *head,
                                      struct envol_message *message)
{
    struct secrets *secrets;
    uint32_t slot_id;
    enum envol_status status = open_secrets(call, &secrets, message->error);

    if (status != ENVOL_OK)
        return status;
    status = envol_keys_unwrap(call, head->header, secrets->dek, &slot_id, message->error);
    if (status == ENVOL_OK) {
        derive(head->header, secrets);
        status = envol_message_start(message, secrets->key, head->bytes, head->count);
    }
    envol_arena_free(secrets, sizeof(*secrets));
    return status;
}
