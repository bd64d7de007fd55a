/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the engine's DEK is kept; everything else knows the keyring alone.  One of two:
 *
 *     DIR/keyring    a volume of the library's, without pages: a few calls, which do it all.  This
 *                    is what to take, unless there is a reason for the other
 *     DIR/header     a header that the engine keeps itself (header.c).  For engines that have a
 *                    place for it already, or that may not wait for a key service as the library
 *                    does
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct envol_header_params params = {
    .struct_size = sizeof params,
    .suite = ENVOL_SUITE_AES_256_GCM,
    .stride_bytes = STRIDE_BYTES,
};
/* A header that says XTS is not one of ours, whoever wrote it. */
static const struct envol_pins pins = {
    .struct_size = sizeof pins,
    .suites = 1u << ENVOL_SUITE_AES_256_GCM,
};

/* --- CMKs ---*/

static void count_call(void *ctx, const struct envol_audit_event *event)
{
    struct engine *engine = ctx;

    engine->provider_calls += event->attempts;
}

static enum envol_status open_providers(struct engine *engine, const struct key_files *files)
{
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; status == ENVOL_OK && i < files->count; i++) {
        struct envol_provider *provider;

        status = envol_file_provider_open(files->path[i], &provider);
        if (status != ENVOL_OK)
            break;
        engine->providers[i] = provider;
        engine->cmks.cmk[i] = (struct envol_cmk){provider, NULL}; /* a key file holds one key */
        engine->cmks.count++;
        status = envol_provider_set_audit(provider, count_call, engine);
    }
    return status;
}

/* --- A volume ---*/

static enum envol_status open_store(struct engine *engine, const char *path, uint32_t flags)
{
    char *keyring = NULL;
    enum envol_status status = ENVOL_E_NO_MEMORY;

    if (asprintf(&keyring, "%s/keyring", path) >= 0)
        status = envol_file_store_open(keyring, flags, &engine->store, &engine->error);
    free(keyring);
    return status;
}

static enum envol_status open_volume(struct engine *engine, const char *path, bool create)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof options,
        .params = &params,
        .pins = &pins,
    };
    const struct cmks *cmks = &engine->cmks;
    enum envol_status status = open_store(engine, path, create ? ENVOL_FILE_CREATE : 0);

    if (status == ENVOL_OK)
        status = create ? envol_volume_create(engine->store, cmks->cmk, cmks->count, &options,
                                              &engine->volume, &engine->error)
                        : envol_volume_open(engine->store, cmks->cmk, cmks->count, &options,
                                            &engine->volume, &engine->error);
    if (status == ENVOL_OK)
        engine->keyring = envol_volume_keyring(engine->volume);
    return status;
}

static enum envol_status begin_in_volume(struct engine *engine)
{
    struct envol_rotation rotation = {.struct_size = sizeof rotation};
    enum envol_status status = envol_volume_rotate_status(engine->volume, &rotation);

    return status == ENVOL_OK && rotation.state == ENVOL_ROTATION_NONE
               ? envol_volume_rotate_begin(engine->volume, engine->cmks.cmk, engine->cmks.count, 0,
                                           NULL, &engine->error)
               : status;
}

static enum envol_status retire_in_volume(struct engine *engine)
{
    return envol_volume_rotate_finish(engine->volume, 0, &engine->error);
}

/* --- A header of the engine's own ---*/

static const char own_header[] = "header";

static enum envol_status say_more(struct engine *engine, enum envol_status status)
{
    return status == ENVOL_OK || engine->error.status == status
               ? status
               : engine_fail(engine, status, "the header");
}

static enum envol_status open_header(struct engine *engine, bool create)
{
    struct header *header = &engine->header;
    enum envol_status status;

    engine->has_own_header = true;
    header->cmks = &engine->cmks;
    header->error = &engine->error;
    status = create ? header_create(header, engine->dir, own_header, &params)
                    : header_open(header, engine->dir, own_header, &pins);
    engine->keyring = header->keyring;
    return say_more(engine, status);
}

/* --- Either ---*/

enum envol_status keys_create(struct engine *engine, const char *path,
                              const struct key_files *files, bool has_own_header)
{
    enum envol_status status = open_providers(engine, files);

    if (status != ENVOL_OK)
        return status;
    return has_own_header ? open_header(engine, true) : open_volume(engine, path, true);
}

/* Who can write DIR can exchange one for the other: it has to be of the same DEK, as of another one
 * the catalog does not open. */
enum envol_status keys_open(struct engine *engine, const char *path, const struct key_files *files)
{
    enum envol_status status = open_providers(engine, files);

    if (status != ENVOL_OK)
        return status;
    return faccessat(engine->dir, own_header, F_OK, 0) == 0 ? open_header(engine, false)
                                                            : open_volume(engine, path, false);
}

enum envol_status keys_rotate(struct engine *engine)
{
    if (!engine->has_own_header)
        return begin_in_volume(engine);
    return header_is_rotating(&engine->header) ? ENVOL_OK
                                               : say_more(engine, header_rotate(&engine->header));
}

/* A volume has no place for it. */
enum envol_status keys_note_bad(struct engine *engine, uint64_t tables, uint64_t bad)
{
    return engine->has_own_header
               ? say_more(engine, header_note_sweep(&engine->header, tables, bad))
               : ENVOL_OK;
}

enum envol_status keys_retire(struct engine *engine)
{
    return engine->has_own_header ? say_more(engine, header_retire(&engine->header))
                                  : retire_in_volume(engine);
}

enum envol_status keys_close(struct engine *engine)
{
    enum envol_status status =
        engine->has_own_header ? header_close(&engine->header) : envol_volume_close(engine->volume);

    envol_store_close(engine->store);
    while (engine->cmks.count > 0)
        envol_provider_close(engine->providers[--engine->cmks.count]);
    return status;
}
