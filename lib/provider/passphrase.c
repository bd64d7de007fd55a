/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The provider "passphrase".  The passphrase is in memory for as long as a call takes, unless the
 * application gave it at open; then for as long as the provider lives.
 */
#include "provider/passphrase.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/sized.h"
#include "provider/check.h"
#include <stdio.h>
#include <string.h>

struct state {
    envol_passphrase_callback *callback;
    void *ctx;
    uint8_t *given; /* in the arena, or NULL: the callback is asked */
    size_t given_bytes;
    uint64_t generation; /* of the process that holds the given bytes */
    struct envol_passphrase_cost cost;
    char label[ENVOL_KEY_REF_MAX + 1]; /* "": any, and ENVOL_PASSPHRASE_LABEL for new slots */
};

/* Which slot this is about: what the request says, what the provider was opened for, the default.
 */
static enum envol_status choose_label(const struct state *state,
                                      const struct envol_key_request *request, const char **label,
                                      struct envol_error *error)
{
    const char *own = state->label[0] != '\0' ? state->label : NULL;

    *label = request->key_ref != NULL ? request->key_ref : own;
    if (*label == NULL)
        *label = ENVOL_PASSPHRASE_LABEL;
    if (own == NULL || strcmp(own, *label) == 0)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_KEY_NOT_FOUND,
                      "this passphrase is for \"%.64s\", not \"%.64s\"", own, *label);
}

static enum envol_status ask(const struct state *state, const char *label,
                             enum envol_passphrase_use use, uint8_t *room, size_t *bytes,
                             struct envol_error *error)
{
    enum envol_status status;

    if (state->given == NULL)
        return state->callback(state->ctx, label, use, room, ENVOL_PASSPHRASE_BYTES_MAX, bytes,
                               error);
    /* In a child they are wiped: a key made of zeros would be anybody's. */
    status = envol_process_check(state->generation, 0);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    memcpy(room, state->given, state->given_bytes);
    *bytes = state->given_bytes;
    return ENVOL_OK;
}

static void forget(struct envol_passphrase *passphrase)
{
    envol_arena_free((void *)passphrase->bytes, ENVOL_PASSPHRASE_BYTES_MAX);
    *passphrase = (struct envol_passphrase){.bytes = NULL};
}

/* People take their time: whether the caller still waits is looked at behind the callback. */
static enum envol_status obtain(const struct state *state, const char *label,
                                enum envol_passphrase_use use,
                                const struct envol_key_request *request,
                                struct envol_passphrase *passphrase, struct envol_error *error)
{
    void *room = NULL;
    size_t bytes = 0;
    enum envol_status status = envol_arena_alloc(ENVOL_PASSPHRASE_BYTES_MAX, request->flags, &room);

    *passphrase = (struct envol_passphrase){.bytes = room};
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = ask(state, label, use, room, &bytes, error);
    if (status == ENVOL_OK && (bytes == 0 || bytes > ENVOL_PASSPHRASE_BYTES_MAX))
        status = envol_fail(error, ENVOL_E_ARGUMENT,
                            bytes == 0 ? "the passphrase is empty" : "the passphrase is too long");
    if (status == ENVOL_OK)
        status = envol_request_time(request, error);
    passphrase->size = bytes;
    if (status != ENVOL_OK)
        forget(passphrase);
    return status;
}

static enum envol_status seal(const struct state *state, const struct envol_key_request *request,
                              const uint8_t *dek, struct envol_wrapped_dek *wrapped,
                              struct envol_error *error)
{
    struct envol_passphrase passphrase;
    const char *label;
    enum envol_status status = choose_label(state, request, &label, error);

    if (status == ENVOL_OK)
        status = obtain(state, label, ENVOL_PASSPHRASE_NEW, request, &passphrase, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_passphrase_seal(&passphrase, &state->cost, request->flags, request, dek,
                                   wrapped->wrapped, error);
    forget(&passphrase);
    if (status != ENVOL_OK)
        return status;
    wrapped->wrapped_bytes = ENVOL_PASSPHRASE_BLOB_BYTES;
    snprintf(wrapped->key_ref, sizeof(wrapped->key_ref), "%s", label);
    return ENVOL_OK;
}

static enum envol_status passphrase_generate(void *state, const struct envol_key_request *request,
                                             uint8_t dek[ENVOL_DEK_BYTES],
                                             struct envol_wrapped_dek *wrapped,
                                             struct envol_error *error)
{
    enum envol_status status = envol_random(dek, ENVOL_DEK_BYTES);

    return status == ENVOL_OK ? seal(state, request, dek, wrapped, error)
                              : envol_fail(error, status, NULL);
}

static enum envol_status passphrase_wrap(void *state, const struct envol_key_request *request,
                                         const uint8_t dek[ENVOL_DEK_BYTES],
                                         struct envol_wrapped_dek *wrapped,
                                         struct envol_error *error)
{
    return seal(state, request, dek, wrapped, error);
}

static enum envol_status passphrase_unwrap(void *state, const struct envol_key_request *request,
                                           const void *wrapped, size_t wrapped_bytes, uint8_t *dek,
                                           size_t dek_capacity, size_t *dek_bytes,
                                           struct envol_error *error)
{
    struct envol_passphrase passphrase;
    struct envol_passphrase_cost cost;
    const char *label;
    enum envol_status status = choose_label(state, request, &label, error);

    if (status == ENVOL_OK && dek_capacity < ENVOL_DEK_BYTES)
        status = envol_fail(error, ENVOL_E_ARGUMENT, "no room for a DEK");
    if (status == ENVOL_OK)
        status = envol_passphrase_read_cost(wrapped, wrapped_bytes, &cost, error);
    if (status == ENVOL_OK)
        status = obtain(state, label, ENVOL_PASSPHRASE_UNLOCK, request, &passphrase, error);
    if (status != ENVOL_OK)
        return status;
    status =
        envol_passphrase_open(&passphrase, &cost, request->flags, request, wrapped, dek, error);
    forget(&passphrase);
    if (status == ENVOL_OK)
        *dek_bytes = ENVOL_DEK_BYTES;
    return status;
}

/* A passphrase has one version and no state that anybody could ask for. */
static enum envol_status passphrase_describe(void *state, const struct envol_key_request *request,
                                             struct envol_key_info *info, struct envol_error *error)
{
    const char *label;
    enum envol_status status = choose_label(state, request, &label, error);

    if (status != ENVOL_OK)
        return status;
    info->state = ENVOL_KEY_ENABLED;
    snprintf(info->key_ref, sizeof(info->key_ref), "%s", label);
    return ENVOL_OK;
}

static void passphrase_close(void *memory)
{
    struct state *state = memory;

    envol_arena_free(state->given, state->given_bytes);
    envol_free(state);
}

static const struct envol_provider_vtable passphrase_vtable = {
    .struct_size = sizeof(passphrase_vtable),
    .name = "passphrase",
    .capabilities = ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_SINGLE_KEY |
                    ENVOL_PROVIDER_LOCAL | ENVOL_PROVIDER_ONE_TRY,
    .generate = passphrase_generate,
    .wrap = passphrase_wrap,
    .unwrap = passphrase_unwrap,
    .describe = passphrase_describe,
    .close = passphrase_close,
};

static int is_sound(const struct envol_passphrase_options *options)
{
    if ((options->flags & ~ENVOL_KEY_ALLOW_UNLOCKED) != 0)
        return 0;
    if ((options->callback == NULL) == (options->passphrase == NULL))
        return 0;
    return options->passphrase == NULL || (options->passphrase_bytes >= 1 &&
                                           options->passphrase_bytes <= ENVOL_PASSPHRASE_BYTES_MAX);
}

/* Zeros stand for the defaults. */
static enum envol_status take_cost(const struct envol_passphrase_options *options,
                                   struct envol_passphrase_cost *cost)
{
    cost->memory_kib =
        options->memory_kib != 0 ? options->memory_kib : ENVOL_PASSPHRASE_MEMORY_KIB_DEFAULT;
    cost->passes = options->passes != 0 ? options->passes : ENVOL_PASSPHRASE_PASSES_DEFAULT;
    return envol_passphrase_cost_fits(cost) ? ENVOL_OK : ENVOL_E_ARGUMENT;
}

static enum envol_status take_label(const char *label, struct state *state)
{
    if (label == NULL)
        return ENVOL_OK;
    if (!envol_is_key_ref(label))
        return ENVOL_E_ARGUMENT;
    memcpy(state->label, label, strlen(label) + 1);
    return ENVOL_OK;
}

static enum envol_status take_passphrase(const struct envol_passphrase_options *options,
                                         struct state *state)
{
    void *copy = NULL;
    enum envol_status status;

    state->callback = options->callback;
    state->ctx = options->ctx;
    if (options->passphrase == NULL)
        return ENVOL_OK;
    status = envol_arena_alloc(options->passphrase_bytes, options->flags, &copy);
    if (status != ENVOL_OK)
        return status;
    memcpy(copy, options->passphrase, options->passphrase_bytes);
    state->given = copy;
    state->given_bytes = options->passphrase_bytes;
    state->generation = envol_process_generation();
    return ENVOL_OK;
}

enum envol_status envol_passphrase_provider_open(const struct envol_passphrase_options *options,
                                                 struct envol_provider **provider)
{
    struct envol_passphrase_options whole;
    struct state *state;
    enum envol_status status;

    if (provider == NULL)
        return ENVOL_E_ARGUMENT;
    *provider = NULL;
    if (options == NULL || !ENVOL_TAKE(passphrase_options, options, &whole) || !is_sound(&whole))
        return ENVOL_E_ARGUMENT;
    state = envol_alloc(sizeof(*state), _Alignof(struct state));
    if (state == NULL)
        return ENVOL_E_NO_MEMORY;
    status = take_cost(options, &state->cost);
    if (status == ENVOL_OK)
        status = take_label(options->label, state);
    if (status == ENVOL_OK)
        status = take_passphrase(options, state);
    if (status == ENVOL_OK)
        return envol_provider_open(&passphrase_vtable, state, provider);
    passphrase_close(state);
    return status;
}
