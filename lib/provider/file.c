/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The provider "file": CMKs in a local key file.  It is read anew at each call, so that disabling
 * the key counts at once, and its keys are in memory for as long as a call takes.
 */
#include "provider/key_file.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/uuid.h"
#include "page/chunked.h"
#include <stdio.h>
#include <string.h>

/* A state is the path, in one allocation. */

static enum envol_status check_enabled(const struct envol_key_file *file, const char *path,
                                       struct envol_error *error)
{
    switch (file->state) {
    case ENVOL_KEY_ENABLED:
        return ENVOL_OK;
    case ENVOL_KEY_DISABLED:
        return envol_fail(error, ENVOL_E_KEY_DISABLED, "%s: the key is disabled", path);
    case ENVOL_KEY_PENDING_DELETION:
        break;
    }
    return envol_fail(error, ENVOL_E_KEY_PENDING_DELETION, "%s: the key is pending deletion", path);
}

/* Other keys are refused by name: a slot of another key file must not look like a wrong key. */
static enum envol_status check_ref(const struct envol_key_file *file, const char *path,
                                   const char *key_ref, struct envol_error *error)
{
    char id[ENVOL_UUID_TEXT_BYTES];

    envol_uuid_format(file->id, id);
    if (key_ref == NULL || strcmp(key_ref, id) == 0)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_KEY_NOT_FOUND, "%s: holds key %s, not %.64s", path, id,
                      key_ref);
}

/* The key file, if it is the one asked for and may be used. */
static enum envol_status load_enabled(const char *path, const struct envol_key_request *request,
                                      struct envol_key_file *file, struct envol_error *error)
{
    enum envol_status status = envol_key_file_load(path, request->flags, file, error);

    if (status == ENVOL_OK)
        status = check_ref(file, path, request->key_ref, error);
    if (status == ENVOL_OK)
        status = check_enabled(file, path, error);
    if (status != ENVOL_OK)
        envol_key_file_drop(file);
    return status;
}

static enum envol_status encode_context(const struct envol_key_request *request, uint8_t *context,
                                        size_t *bytes, struct envol_error *error)
{
    enum envol_status status = envol_context_encode(request->context, request->context_pairs,
                                                    context, ENVOL_CONTEXT_BYTES_MAX, bytes);

    return status == ENVOL_OK ? ENVOL_OK : envol_fail(error, status, "encryption context");
}

static void name_key(const struct envol_key_file *file, char *key_ref, char *key_version)
{
    envol_uuid_format(file->id, key_ref);
    snprintf(key_version, ENVOL_KEY_VERSION_MAX + 1, "%u", file->newest);
}

static enum envol_status wrap_with(const struct envol_key_file *file,
                                   const struct envol_key_request *request, const uint8_t *dek,
                                   struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    uint8_t context[ENVOL_CONTEXT_BYTES_MAX];
    size_t context_bytes = 0;
    enum envol_status status = encode_context(request, context, &context_bytes, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_chunked_seal(envol_key_file_find(file, file->newest), context, context_bytes,
                                dek, ENVOL_DEK_BYTES, wrapped->wrapped);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    wrapped->wrapped_bytes = ENVOL_LOCAL_WRAP_BYTES;
    name_key(file, wrapped->key_ref, wrapped->key_version);
    return ENVOL_OK;
}

/* As snprintf writes it and no other way: 1 to 10 digits, none of them a leading zero. */
static const uint8_t *find_version(const struct envol_key_file *file, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;

    if (digits < 1 || digits > 10 || text[digits] != '\0' || text[0] == '0')
        return NULL;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    return number <= UINT32_MAX ? envol_key_file_find(file, (uint32_t)number) : NULL;
}

/* What does not verify is the wrong key, or another context: the two cannot be told apart. */
static bool is_mismatch(enum envol_status status)
{
    return status == ENVOL_E_WRONG_KEY || status == ENVOL_E_CORRUPT || status == ENVOL_E_TRUNCATED;
}

static enum envol_status unwrap_with(const struct envol_key_file *file,
                                     const struct envol_key_request *request, const void *wrapped,
                                     size_t wrapped_bytes, uint8_t *dek, struct envol_error *error)
{
    uint8_t context[ENVOL_CONTEXT_BYTES_MAX];
    size_t context_bytes = 0, dek_bytes = 0;
    const uint8_t *key = find_version(file, request->key_version);
    enum envol_status status = encode_context(request, context, &context_bytes, error);

    if (status != ENVOL_OK)
        return status;
    if (key == NULL)
        return envol_fail(error, ENVOL_E_KEY_NOT_FOUND, "the key file has no version \"%s\"",
                          request->key_version);
    if (wrapped_bytes != ENVOL_LOCAL_WRAP_BYTES)
        return envol_fail(error, ENVOL_E_WRONG_KEY, "wrapped DEK of %zu bytes, not %u",
                          wrapped_bytes, ENVOL_LOCAL_WRAP_BYTES);
    status =
        envol_chunked_open(key, context, context_bytes, wrapped, wrapped_bytes, dek, &dek_bytes);
    if (is_mismatch(status))
        return envol_fail(error, ENVOL_E_WRONG_KEY,
                          "wrapped DEK does not verify under this key and context");
    return status == ENVOL_OK ? ENVOL_OK : envol_fail(error, status, NULL);
}

static enum envol_status file_generate(void *state, const struct envol_key_request *request,
                                       uint8_t dek[ENVOL_DEK_BYTES],
                                       struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    struct envol_key_file file;
    enum envol_status status = load_enabled(state, request, &file, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_random(dek, ENVOL_DEK_BYTES);
    if (status == ENVOL_OK)
        status = wrap_with(&file, request, dek, wrapped, error);
    else
        envol_fail(error, status, NULL);
    envol_key_file_drop(&file);
    return status;
}

static enum envol_status file_wrap(void *state, const struct envol_key_request *request,
                                   const uint8_t dek[ENVOL_DEK_BYTES],
                                   struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    struct envol_key_file file;
    enum envol_status status = load_enabled(state, request, &file, error);

    if (status != ENVOL_OK)
        return status;
    status = wrap_with(&file, request, dek, wrapped, error);
    envol_key_file_drop(&file);
    return status;
}

static enum envol_status file_unwrap(void *state, const struct envol_key_request *request,
                                     const void *wrapped, size_t wrapped_bytes, uint8_t *dek,
                                     size_t dek_capacity, size_t *dek_bytes,
                                     struct envol_error *error)
{
    struct envol_key_file file;
    enum envol_status status;

    if (dek_capacity < ENVOL_DEK_BYTES)
        return envol_fail(error, ENVOL_E_ARGUMENT, "no room for a DEK");
    status = load_enabled(state, request, &file, error);
    if (status != ENVOL_OK)
        return status;
    status = unwrap_with(&file, request, wrapped, wrapped_bytes, dek, error);
    if (status == ENVOL_OK)
        *dek_bytes = ENVOL_DEK_BYTES;
    envol_key_file_drop(&file);
    return status;
}

/* Both ends are this file, read once: a change of it between the two halves counts for neither. */
static enum envol_status file_rewrap(void *state, const struct envol_key_request *from,
                                     const void *wrapped, size_t wrapped_bytes,
                                     const struct envol_key_request *to,
                                     struct envol_wrapped_dek *rewrapped, struct envol_error *error)
{
    struct envol_key_file file;
    void *dek = NULL;
    enum envol_status status = load_enabled(state, from, &file, error);

    if (status != ENVOL_OK)
        return status;
    status = check_ref(&file, state, to->key_ref, error);
    if (status != ENVOL_OK)
        goto out;
    status = envol_arena_alloc(ENVOL_DEK_BYTES, from->flags, &dek);
    if (status != ENVOL_OK) {
        envol_fail(error, status, NULL);
        goto out;
    }
    status = unwrap_with(&file, from, wrapped, wrapped_bytes, dek, error);
    if (status == ENVOL_OK)
        status = wrap_with(&file, to, dek, rewrapped, error);
out:
    envol_arena_free(dek, ENVOL_DEK_BYTES);
    envol_key_file_drop(&file);
    return status;
}

/* In any state: that is what it is asked for. */
static enum envol_status file_describe(void *state, const struct envol_key_request *request,
                                       struct envol_key_info *info, struct envol_error *error)
{
    struct envol_key_file file;
    enum envol_status status = envol_key_file_load(state, request->flags, &file, error);

    if (status != ENVOL_OK)
        return status;
    status = check_ref(&file, state, request->key_ref, error);
    if (status == ENVOL_OK) {
        info->state = file.state;
        name_key(&file, info->key_ref, info->key_version);
    }
    envol_key_file_drop(&file);
    return status;
}

static const struct envol_provider_vtable file_vtable = {
    .struct_size = sizeof(file_vtable),
    .name = "file",
    .capabilities = ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_REWRAPS |
                    ENVOL_PROVIDER_GENERATES | ENVOL_PROVIDER_SINGLE_KEY | ENVOL_PROVIDER_LOCAL,
    .generate = file_generate,
    .wrap = file_wrap,
    .unwrap = file_unwrap,
    .rewrap = file_rewrap,
    .describe = file_describe,
    .close = envol_free,
};

enum envol_status envol_file_provider_open(const char *path, struct envol_provider **provider)
{
    size_t bytes;
    char *copy;

    if (provider == NULL)
        return ENVOL_E_ARGUMENT;
    *provider = NULL;
    if (path == NULL || path[0] == '\0')
        return ENVOL_E_ARGUMENT;
    bytes = strlen(path) + 1;
    copy = envol_alloc(bytes, 1);
    if (copy == NULL)
        return ENVOL_E_NO_MEMORY;
    memcpy(copy, path, bytes);
    return envol_provider_open(&file_vtable, copy, provider);
}
