/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Providers as handles, and the checked call around each function of their vtables: arguments
 * before it, and nothing left in an output on failure.
 */
#include "provider/call.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include <string.h>

_Static_assert(ENVOL_KEY_ALLOW_UNLOCKED == ENVOL_OPEN_ALLOW_UNLOCKED, "one bit for both");

static bool is_name(const char *name)
{
    size_t length = strnlen(name, ENVOL_PROVIDER_NAME_MAX + 1);

    return length >= 1 && length <= ENVOL_PROVIDER_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static bool is_vtable(const struct envol_provider_vtable *vtable)
{
    if (vtable->name == NULL || !is_name(vtable->name))
        return false;
    if (vtable->generate == NULL || vtable->wrap == NULL || vtable->unwrap == NULL ||
        vtable->describe == NULL)
        return false;
    return vtable->rewrap != NULL || (vtable->capabilities & ENVOL_PROVIDER_REWRAPS) == 0;
}

static void close_state(const struct envol_provider_vtable *vtable, void *state)
{
    if (vtable->close != NULL)
        vtable->close(state);
}

enum envol_status envol_provider_open(const struct envol_provider_vtable *vtable, void *state,
                                      struct envol_provider **provider)
{
    enum envol_status status = ENVOL_E_ARGUMENT;
    struct envol_provider_vtable whole;
    struct envol_provider *made = NULL;

    /* Zeros, without a close that could be called, if its size is none of a vtable's. */
    if (!ENVOL_TAKE(provider_vtable, vtable, &whole) || provider == NULL || !is_vtable(&whole))
        goto out;
    status = ENVOL_E_NO_MEMORY;
    made = envol_alloc(sizeof(*made), _Alignof(struct envol_provider));
    if (made == NULL)
        goto out;
    made->vtable = whole;
    made->state = state;
    status = ENVOL_OK;
out:
    if (status != ENVOL_OK)
        close_state(&whole, state);
    if (provider != NULL)
        *provider = made;
    return status;
}

void envol_provider_close(struct envol_provider *provider)
{
    if (provider == NULL)
        return;
    close_state(&provider->vtable, provider->state);
    envol_free(provider);
}

const char *envol_provider_name(const struct envol_provider *provider)
{
    return provider->vtable.name;
}

uint32_t envol_provider_capabilities(const struct envol_provider *provider)
{
    return provider->vtable.capabilities;
}

/* Everything that can be wrong before a provider is called, but for outputs and inputs. */
static enum envol_status begin(const struct envol_provider *provider,
                               const struct envol_key_request *request, enum envol_request_use use,
                               struct envol_error *local)
{
    if (provider == NULL)
        return envol_fail(local, ENVOL_E_ARGUMENT, "provider: NULL");
    return envol_request_check(request, use, local);
}

/* Outputs and inputs are the operation's. */
static struct envol_call make_call(const struct envol_provider *provider,
                                   enum envol_key_operation operation,
                                   const struct envol_key_request *request,
                                   struct envol_error *local)
{
    struct envol_call call = {.provider = provider, .operation = operation, .error = local};

    (void)ENVOL_TAKE(key_request, request, &call.request); /* checked */
    return call;
}

/*
 * The last step of every call: outputs of a failed one hold zeros, and error says what happened.
 * Page and slot are not a provider's to name.
 */
static enum envol_status finish(enum envol_status status, struct envol_error *local,
                                struct envol_error *error)
{
    const size_t head = sizeof(error->struct_size);
    size_t bytes;

    if (status == ENVOL_OK || error == NULL) {
        envol_error_clear(error);
        return status;
    }
    local->status = status;
    local->page_no = ENVOL_NO_PAGE;
    local->slot = ENVOL_NO_SLOT;
    bytes = error->struct_size < sizeof(*local) ? error->struct_size : sizeof(*local);
    if (bytes > head)
        memcpy((char *)error + head, (const char *)local + head, bytes - head);
    return status;
}

static void drop_wrapped(enum envol_status status, struct envol_wrapped_dek *wrapped)
{
    if (status != ENVOL_OK)
        (void)envol_wrapped_reset(wrapped, NULL);
}

static void drop_dek(enum envol_status status, uint8_t *dek)
{
    if (status != ENVOL_OK && dek != NULL)
        envol_wipe(dek, ENVOL_DEK_BYTES);
}

enum envol_status envol_provider_generate(const struct envol_provider *provider,
                                          const struct envol_key_request *request,
                                          uint8_t dek[ENVOL_DEK_BYTES],
                                          struct envol_wrapped_dek *wrapped,
                                          struct envol_error *error)
{
    struct envol_error local = ENVOL_ERROR_INIT;
    struct envol_call call;
    enum envol_status status = envol_wrapped_reset(wrapped, &local);

    if (dek == NULL)
        status = envol_fail(&local, ENVOL_E_ARGUMENT, "DEK: NULL");
    if (status == ENVOL_OK)
        status = begin(provider, request, ENVOL_REQUEST_NEWEST, &local);
    if (status != ENVOL_OK)
        goto out;
    envol_wipe(dek, ENVOL_DEK_BYTES);
    call = make_call(provider, ENVOL_KEY_GENERATE, request, &local);
    call.dek = dek;
    call.answer = wrapped;
    status = envol_call_run(&call);
out:
    drop_dek(status, dek);
    drop_wrapped(status, wrapped);
    return finish(status, &local, error);
}

enum envol_status envol_provider_wrap(const struct envol_provider *provider,
                                      const struct envol_key_request *request,
                                      const uint8_t dek[ENVOL_DEK_BYTES],
                                      struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    struct envol_error local = ENVOL_ERROR_INIT;
    struct envol_call call;
    enum envol_status status = envol_wrapped_reset(wrapped, &local);

    if (status == ENVOL_OK)
        status = envol_dek_argument(dek, &local);
    if (status == ENVOL_OK)
        status = begin(provider, request, ENVOL_REQUEST_NEWEST, &local);
    if (status != ENVOL_OK)
        goto out;
    call = make_call(provider, ENVOL_KEY_WRAP, request, &local);
    call.plain = dek;
    call.answer = wrapped;
    status = envol_call_run(&call);
out:
    drop_wrapped(status, wrapped);
    return finish(status, &local, error);
}

/* Into memory of our own: a provider that writes more than a DEK must not reach the caller's. */
static enum envol_status unwrap_into(const struct envol_provider *provider,
                                     const struct envol_key_request *request, const void *wrapped,
                                     size_t wrapped_bytes, uint8_t *dek, struct envol_error *local)
{
    struct envol_call call = make_call(provider, ENVOL_KEY_UNWRAP, request, local);
    void *room = NULL;
    enum envol_status status = envol_arena_alloc(ENVOL_UNWRAP_CAPACITY, request->flags, &room);

    if (status != ENVOL_OK)
        return envol_fail(local, status, NULL);
    call.wrapped = wrapped;
    call.wrapped_bytes = wrapped_bytes;
    call.dek = room;
    status = envol_call_run(&call);
    if (status == ENVOL_OK)
        memcpy(dek, room, ENVOL_DEK_BYTES);
    envol_arena_free(room, ENVOL_UNWRAP_CAPACITY);
    return status;
}

enum envol_status envol_provider_unwrap(const struct envol_provider *provider,
                                        const struct envol_key_request *request,
                                        const void *wrapped, size_t wrapped_bytes,
                                        uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error)
{
    struct envol_error local = ENVOL_ERROR_INIT;
    enum envol_status status = envol_wrapped_argument(wrapped, wrapped_bytes, &local);

    if (dek == NULL)
        status = envol_fail(&local, ENVOL_E_ARGUMENT, "DEK: NULL");
    if (status == ENVOL_OK)
        status = begin(provider, request, ENVOL_REQUEST_OF_SLOT, &local);
    if (status == ENVOL_OK)
        status = unwrap_into(provider, request, wrapped, wrapped_bytes, dek, &local);
    drop_dek(status, dek);
    return finish(status, &local, error);
}

static enum envol_status rewrap_inside(const struct envol_provider *provider,
                                       const struct envol_key_request *from, const void *wrapped,
                                       size_t wrapped_bytes, const struct envol_key_request *to,
                                       struct envol_wrapped_dek *rewrapped,
                                       struct envol_error *local)
{
    struct envol_call call = make_call(provider, ENVOL_KEY_REWRAP, from, local);

    if (provider->vtable.rewrap == NULL)
        return ENVOL_E_UNSUPPORTED;
    (void)ENVOL_TAKE(key_request, to, &call.to); /* checked before */
    call.wrapped = wrapped;
    call.wrapped_bytes = wrapped_bytes;
    call.answer = rewrapped;
    return envol_call_run(&call);
}

static enum envol_status rewrap_here(const struct envol_provider *provider,
                                     const struct envol_key_request *from, const void *wrapped,
                                     size_t wrapped_bytes, const struct envol_key_request *to,
                                     struct envol_wrapped_dek *rewrapped, struct envol_error *local)
{
    void *dek = NULL;
    enum envol_status status = envol_arena_alloc(ENVOL_DEK_BYTES, from->flags, &dek);

    if (status != ENVOL_OK)
        return envol_fail(local, status, NULL);
    status = envol_provider_unwrap(provider, from, wrapped, wrapped_bytes, dek, local);
    if (status == ENVOL_OK)
        status = envol_provider_wrap(provider, to, dek, rewrapped, local);
    envol_arena_free(dek, ENVOL_DEK_BYTES);
    return status;
}

/* output is as long as it says, if it is one at all. */
static bool overlaps(const struct envol_wrapped_dek *output, const void *input, size_t bytes)
{
    uintptr_t out = (uintptr_t)output;
    uintptr_t in = (uintptr_t)input;

    return ENVOL_FITS(wrapped_dek, output) && in < out + output->struct_size && out < in + bytes;
}

/* All that can be wrong with a rewrapping before a provider is called. */
static enum envol_status begin_rewrap(const struct envol_provider *provider,
                                      const struct envol_key_request *from, const void *wrapped,
                                      size_t wrapped_bytes, const struct envol_key_request *to,
                                      struct envol_wrapped_dek *rewrapped,
                                      struct envol_error *local)
{
    enum envol_status status = envol_wrapped_argument(wrapped, wrapped_bytes, local);

    /* Clearing the output would clear the only wrapping there is. */
    if (status == ENVOL_OK && overlaps(rewrapped, wrapped, wrapped_bytes))
        return envol_fail(local, ENVOL_E_ARGUMENT, "rewrapped overlaps wrapped");
    if (status == ENVOL_OK)
        status = envol_wrapped_reset(rewrapped, local);
    if (status == ENVOL_OK)
        status = begin(provider, from, ENVOL_REQUEST_OF_SLOT, local);
    if (status == ENVOL_OK)
        status = begin(provider, to, ENVOL_REQUEST_NEWEST, local);
    if (status != ENVOL_OK)
        drop_wrapped(status, rewrapped);
    return status;
}

enum envol_status envol_provider_rewrap_inside(const struct envol_provider *provider,
                                               const struct envol_key_request *from,
                                               const void *wrapped, size_t wrapped_bytes,
                                               const struct envol_key_request *to,
                                               struct envol_wrapped_dek *rewrapped,
                                               struct envol_error *error)
{
    struct envol_error local = ENVOL_ERROR_INIT;
    enum envol_status status =
        begin_rewrap(provider, from, wrapped, wrapped_bytes, to, rewrapped, &local);

    if (status != ENVOL_OK)
        return finish(status, &local, error);
    status = rewrap_inside(provider, from, wrapped, wrapped_bytes, to, rewrapped, &local);
    drop_wrapped(status, rewrapped);
    return finish(status, &local, error);
}

enum envol_status envol_provider_rewrap(const struct envol_provider *provider,
                                        const struct envol_key_request *from, const void *wrapped,
                                        size_t wrapped_bytes, const struct envol_key_request *to,
                                        struct envol_wrapped_dek *rewrapped,
                                        struct envol_error *error)
{
    struct envol_error local = ENVOL_ERROR_INIT;
    enum envol_status status =
        begin_rewrap(provider, from, wrapped, wrapped_bytes, to, rewrapped, &local);

    if (status != ENVOL_OK)
        return finish(status, &local, error);
    status = rewrap_inside(provider, from, wrapped, wrapped_bytes, to, rewrapped, &local);
    if (status == ENVOL_E_UNSUPPORTED)
        status = rewrap_here(provider, from, wrapped, wrapped_bytes, to, rewrapped, &local);
    drop_wrapped(status, rewrapped);
    return finish(status, &local, error);
}

enum envol_status envol_provider_describe(const struct envol_provider *provider,
                                          const struct envol_key_request *request,
                                          struct envol_key_info *info, struct envol_error *error)
{
    struct envol_error local = ENVOL_ERROR_INIT;
    struct envol_call call;
    enum envol_status status = envol_info_reset(info, &local);

    if (status == ENVOL_OK)
        status = begin(provider, request, ENVOL_REQUEST_NEWEST, &local);
    if (status != ENVOL_OK)
        goto out;
    call = make_call(provider, ENVOL_KEY_DESCRIBE, request, &local);
    call.info = info;
    status = envol_call_run(&call);
out:
    if (status != ENVOL_OK)
        (void)envol_info_reset(info, NULL);
    return finish(status, &local, error);
}
