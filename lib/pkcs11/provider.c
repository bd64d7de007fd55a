/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider "pkcs11": its vtable, and its handle from open to close. */
#include "pkcs11/pkcs11.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Arguments of the calls, as their work takes them. */
struct wrap {
    const uint8_t *dek;
    uint8_t *fresh; /* generate: where the DEK goes */
    struct envol_wrapped_dek *wrapped;
};

struct unwrap {
    const void *wrapped;
    size_t wrapped_bytes;
    uint8_t *dek;
    size_t dek_capacity;
    size_t *dek_bytes;
};

static enum envol_status do_wrap(struct envol_pkcs11_call *call,
                                 const struct envol_pkcs11_session *session,
                                 const struct envol_pkcs11_key *key, void *arguments)
{
    struct wrap *wrap = arguments;
    enum envol_status status =
        envol_pkcs11_seal(call, session, key, wrap->dek, wrap->wrapped->wrapped);

    if (status != ENVOL_OK)
        return status;
    wrap->wrapped->wrapped_bytes = ENVOL_PKCS11_BLOB_BYTES;
    memcpy(wrap->wrapped->key_ref, key->ref, sizeof(key->ref));
    return ENVOL_OK;
}

/*
 * Bytes of the token and of the kernel, XORed: as good as the better of the two.  Neither half
 * alone says anything about the DEK, so that the one on the stack needs no locked memory.
 */
static enum envol_status do_generate(struct envol_pkcs11_call *call,
                                     const struct envol_pkcs11_session *session,
                                     const struct envol_pkcs11_key *key, void *arguments)
{
    struct wrap *wrap = arguments;
    uint8_t half[ENVOL_DEK_BYTES];
    CK_RV answer =
        session->functions->C_GenerateRandom(session->handle, wrap->fresh, ENVOL_DEK_BYTES);

    if (answer != CKR_OK)
        return envol_pkcs11_refuse(call, "C_GenerateRandom", answer);
    if (sodium_is_zero(wrap->fresh, ENVOL_DEK_BYTES))
        return envol_pkcs11_fail(call->error, ENVOL_E_PROVIDER,
                                 "C_GenerateRandom gave nothing but zeros");
    if (!envol_pkcs11_random(half, sizeof(half)))
        return envol_pkcs11_fail(call->error, ENVOL_E_RANDOM, "no random bytes for a DEK");
    for (size_t i = 0; i < sizeof(half); i++)
        wrap->fresh[i] ^= half[i];
    sodium_memzero(half, sizeof(half));
    return do_wrap(call, session, key, arguments);
}

static enum envol_status do_unwrap(struct envol_pkcs11_call *call,
                                   const struct envol_pkcs11_session *session,
                                   const struct envol_pkcs11_key *key, void *arguments)
{
    const struct unwrap *unwrap = arguments;

    return envol_pkcs11_open(call, session, key, unwrap->wrapped, unwrap->wrapped_bytes,
                             unwrap->dek, unwrap->dek_capacity, unwrap->dek_bytes);
}

static enum envol_status do_describe(struct envol_pkcs11_call *call,
                                     const struct envol_pkcs11_session *session,
                                     const struct envol_pkcs11_key *key, void *arguments)
{
    struct envol_key_info *info = arguments;

    (void)call;
    (void)session;
    info->state = key->decrypts ? ENVOL_KEY_ENABLED : ENVOL_KEY_DISABLED;
    memcpy(info->key_ref, key->ref, sizeof(key->ref));
    return ENVOL_OK;
}

static enum envol_status pkcs11_generate(void *state, const struct envol_key_request *request,
                                         uint8_t dek[ENVOL_DEK_BYTES],
                                         struct envol_wrapped_dek *wrapped,
                                         struct envol_error *error)
{
    struct wrap wrap = {dek, dek, wrapped};
    struct envol_pkcs11_work work = {ENVOL_PKCS11_ENCRYPTS, do_generate, &wrap};

    return envol_pkcs11_run(state, request, &work, error);
}

static enum envol_status pkcs11_wrap(void *state, const struct envol_key_request *request,
                                     const uint8_t dek[ENVOL_DEK_BYTES],
                                     struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    struct wrap wrap = {dek, NULL, wrapped};
    struct envol_pkcs11_work work = {ENVOL_PKCS11_ENCRYPTS, do_wrap, &wrap};

    return envol_pkcs11_run(state, request, &work, error);
}

static enum envol_status pkcs11_unwrap(void *state, const struct envol_key_request *request,
                                       const void *wrapped, size_t wrapped_bytes, uint8_t *dek,
                                       size_t dek_capacity, size_t *dek_bytes,
                                       struct envol_error *error)
{
    struct unwrap unwrap = {wrapped, wrapped_bytes, dek, dek_capacity, dek_bytes};
    struct envol_pkcs11_work work = {ENVOL_PKCS11_DECRYPTS, do_unwrap, &unwrap};

    if (dek_capacity < ENVOL_PKCS11_SEALED_BYTES)
        return envol_pkcs11_fail(error, ENVOL_E_ARGUMENT, "no room for a DEK and its tag");
    return envol_pkcs11_run(state, request, &work, error);
}

static enum envol_status pkcs11_describe(void *state, const struct envol_key_request *request,
                                         struct envol_key_info *info, struct envol_error *error)
{
    struct envol_pkcs11_work work = {ENVOL_PKCS11_DESCRIBES, do_describe, info};

    return envol_pkcs11_run(state, request, &work, error);
}

/* Nothing waits on locks that a fork left behind: what the modules hold is given up then. */
static void pkcs11_close(void *closed)
{
    struct envol_pkcs11 *state = closed;

    if (envol_pkcs11_enter(NULL) == ENVOL_OK) {
        envol_pkcs11_drop_idle(state);
        envol_pkcs11_modules_unload(state);
        envol_pkcs11_leave();
        pthread_cond_destroy(&state->changed);
        pthread_mutex_destroy(&state->lock);
    } else {
        free(state->modules);
    }
    envol_pkcs11_uri_free(state->uri);
    sodium_memzero(state, sizeof(*state));
    free(state);
}

/* No rewrap: PKCS#11 has no call that decrypts and encrypts within the token. */
static const struct envol_provider_vtable vtable = {
    .struct_size = sizeof(vtable),
    .name = "pkcs11",
    .capabilities = ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_GENERATES |
                    ENVOL_PROVIDER_SINGLE_KEY | ENVOL_PROVIDER_LOCAL,
    .generate = pkcs11_generate,
    .wrap = pkcs11_wrap,
    .unwrap = pkcs11_unwrap,
    .describe = pkcs11_describe,
    .close = pkcs11_close,
};

/* Waiting goes by the clock that deadlines go by. */
static bool make_locks(struct envol_pkcs11 *state)
{
    pthread_condattr_t attributes;
    bool made;

    if (pthread_condattr_init(&attributes) != 0)
        return false;
    made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
           pthread_cond_init(&state->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (made && pthread_mutex_init(&state->lock, NULL) != 0) {
        pthread_cond_destroy(&state->changed);
        made = false;
    }
    return made;
}

/* On failure *made is NULL. */
static enum envol_status make_state(const struct envol_pkcs11_options *options,
                                    struct envol_pkcs11 **made, struct envol_error *error)
{
    struct envol_pkcs11 *state = NULL;
    P11KitUri *uri = NULL;
    enum envol_status status = envol_pkcs11_uri_parse(options, &uri, error);

    *made = NULL;
    if (status != ENVOL_OK)
        return status;
    state = calloc(1, sizeof(*state));
    if (state == NULL || sodium_init() < 0 || !make_locks(state)) {
        free(state);
        envol_pkcs11_uri_free(uri);
        return envol_pkcs11_fail(error, ENVOL_E_NO_MEMORY, "PKCS#11 provider: no memory");
    }
    state->uri = uri;
    state->pin = options->pin;
    state->pin_ctx = options->pin_ctx;
    *made = state;
    return ENVOL_OK;
}

static enum envol_status fill_state(struct envol_pkcs11 *state,
                                    const struct envol_pkcs11_options *options,
                                    struct envol_error *error)
{
    enum envol_status status = envol_pkcs11_enter(error);

    if (status != ENVOL_OK)
        return status;
    status = envol_pkcs11_modules_load(state, options, error);
    envol_pkcs11_leave();
    if (status == ENVOL_OK && !envol_pkcs11_random(state->refused_key, sizeof(state->refused_key)))
        status = envol_pkcs11_fail(error, ENVOL_E_RANDOM, "no random bytes");
    return status;
}

enum envol_status envol_pkcs11_provider_open(const struct envol_pkcs11_options *options,
                                             struct envol_provider **provider,
                                             struct envol_error *error)
{
    struct envol_error local = ENVOL_ERROR_INIT;
    struct envol_pkcs11 *state = NULL;
    enum envol_status status = ENVOL_E_ARGUMENT;

    if (provider == NULL) {
        envol_pkcs11_fail(error, status, "provider: NULL");
        return status;
    }
    *provider = NULL;
    status = make_state(options, &state, &local);
    if (status == ENVOL_OK)
        status = fill_state(state, options, &local);
    if (status != ENVOL_OK && state != NULL)
        pkcs11_close(state);
    if (status == ENVOL_OK) {
        status = envol_provider_open(&vtable, state, provider);
        if (status != ENVOL_OK)
            envol_pkcs11_fail(&local, status, "PKCS#11 provider: %s", envol_status_message(status));
    }
    envol_pkcs11_give(error, &local);
    return status;
}
