/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fake key service's answers.  Blob = nonce 24 | XChaCha20-Poly1305 of the DEK, 80 bytes; the
 * associated data is the canonical context, the key an HMAC of reference and version.
 */
#include "fake_provider_state.h"

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    BLOB_BYTES = NONCE_BYTES + ENVOL_DEK_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES,
    HANG_MS = 10000
};

static enum fake_misbehaviour how(struct fake_kms *fake)
{
    return (enum fake_misbehaviour)atomic_load(&fake->how);
}

/* Answers as AWS KMS does, its error code included. */
static enum envol_status refuse(struct envol_error *error, enum envol_status status,
                                const char *code)
{
    error->status = status;
    snprintf(error->provider_code, sizeof(error->provider_code), "%s", code);
    snprintf(error->message, sizeof(error->message), "fake-kms: %s", code);
    return status;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static enum envol_status wait_for_end(struct fake_kms *fake,
                                      const struct envol_key_request *request,
                                      struct envol_error *error)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t end = now_ms() + HANG_MS;

    while (atomic_load(&fake->hang)) {
        if (request->cancel_flag != NULL && __atomic_load_n(request->cancel_flag, __ATOMIC_ACQUIRE))
            return refuse(error, ENVOL_E_CANCELLED, "Cancelled");
        if (request->deadline_ms != 0 && now_ms() >= request->deadline_ms)
            return refuse(error, ENVOL_E_TIMEOUT, "TimedOut");
        if (now_ms() >= end)
            return refuse(error, ENVOL_E_UNREACHABLE, "Unreachable");
        nanosleep(&pause, NULL);
    }
    return ENVOL_OK;
}

static enum envol_status count(struct fake_kms *fake, enum fake_operation operation,
                               const struct envol_key_request *request, struct envol_error *error)
{
    enum envol_status planned = ENVOL_OK;

    fake_kms_take(fake);
    fake->calls[operation]++;
    fake->calls[FAKE_ANY]++;
    snprintf(fake->last_ref, sizeof(fake->last_ref), "%s",
             request->key_ref == NULL ? "" : request->key_ref);
    if ((fake->fail_operation == operation || fake->fail_operation == FAKE_ANY) &&
        fake->fail_in > 0 && --fake->fail_in == 0)
        planned = fake->fail_status;
    fake_kms_give(fake);
    return planned == ENVOL_OK ? ENVOL_OK : refuse(error, planned, "PlannedFailure");
}

/* What a call does before its own work, its failures included. */
static enum envol_status enter(struct fake_kms *fake, enum fake_operation operation,
                               const struct envol_key_request *request, struct envol_error *error)
{
    enum envol_status status = count(fake, operation, request, error);

    if (status == ENVOL_OK)
        status = wait_for_end(fake, request, error);
    if (status != ENVOL_OK)
        return status;
    switch (how(fake)) {
    case FAKE_STATUS_UNKNOWN:
        error->struct_size = 0;
        return refuse(error, (enum envol_status)999, "Unknown");
    case FAKE_STATUS_FOREIGN:
        return refuse(error, ENVOL_E_STALE, "Foreign");
    case FAKE_STATUS_REVOKED:
        return refuse(error, ENVOL_E_KEY_REVOKED, "Revoked");
    case FAKE_ERROR_UNTERMINATED:
        memset(error, 'x', sizeof(*error));
        return ENVOL_E_UNREACHABLE;
    default:
        return ENVOL_OK;
    }
}

static enum envol_status use_key(struct fake_kms *fake, const char *key_ref,
                                 const struct fake_key **key, struct envol_error *error)
{
    *key = fake_kms_find(fake, key_ref);
    if (*key == NULL || (*key)->state == FAKE_KEY_GONE)
        return refuse(error, ENVOL_E_KEY_NOT_FOUND, "NotFoundException");
    switch ((*key)->state) {
    case FAKE_KEY_DISABLED:
        return refuse(error, ENVOL_E_KEY_DISABLED, "DisabledException");
    case FAKE_KEY_PENDING_DELETION:
        return refuse(error, ENVOL_E_KEY_PENDING_DELETION, "KMSInvalidStateException");
    case FAKE_KEY_DENIED:
        return refuse(error, ENVOL_E_KEY_DENIED, "AccessDeniedException");
    default:
        return ENVOL_OK;
    }
}

/* 64 bytes of a label and numbers; libsodium wipes what the hash leaves behind. */
static void derive(const char *label, const char *text, unsigned a, unsigned b, uint8_t out[64])
{
    static const uint8_t key[crypto_auth_hmacsha512_KEYBYTES] = "fake-kms";
    char numbers[32];
    crypto_auth_hmacsha512_state state;

    snprintf(numbers, sizeof(numbers), "|%u|%u|", a, b);
    crypto_auth_hmacsha512_init(&state, key, sizeof(key));
    crypto_auth_hmacsha512_update(&state, (const uint8_t *)label, strlen(label));
    crypto_auth_hmacsha512_update(&state, (const uint8_t *)numbers, strlen(numbers));
    crypto_auth_hmacsha512_update(&state, (const uint8_t *)text, strlen(text));
    crypto_auth_hmacsha512_final(&state, out);
    sodium_memzero(&state, sizeof(state));
}

static void encode_context(const struct envol_key_request *request, uint8_t *out, size_t *bytes)
{
    ck_assert_int_eq(envol_context_encode(request->context, request->context_pairs, out,
                                          ENVOL_CONTEXT_BYTES_MAX, bytes),
                     ENVOL_OK);
}

static void seal(struct fake_kms *fake, const struct fake_key *key,
                 const struct envol_key_request *request, const uint8_t *dek,
                 struct envol_wrapped_dek *wrapped)
{
    uint8_t cmk[64], nonce[64], context[ENVOL_CONTEXT_BYTES_MAX];
    size_t context_bytes = 0;

    derive("cmk", key->ref, key->versions, 0, cmk);
    derive("nonce", "", fake->number, ++fake->sealed, nonce);
    encode_context(request, context, &context_bytes);
    memcpy(wrapped->wrapped, nonce, NONCE_BYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped->wrapped + NONCE_BYTES, NULL, dek,
                                               ENVOL_DEK_BYTES, context, context_bytes, NULL, nonce,
                                               cmk);
    wrapped->wrapped_bytes = how(fake) == FAKE_BLOB_6144 ? ENVOL_WRAPPED_MAX : BLOB_BYTES;
    strcpy(wrapped->key_ref, key->ref);
    snprintf(wrapped->key_version, sizeof(wrapped->key_version), "%u", key->versions);
    sodium_memzero(cmk, sizeof(cmk));
}

static enum envol_status open_blob(const struct fake_key *key,
                                   const struct envol_key_request *request, const uint8_t *blob,
                                   size_t blob_bytes, uint8_t *dek, struct envol_error *error)
{
    uint8_t cmk[64], context[ENVOL_CONTEXT_BYTES_MAX];
    size_t context_bytes = 0;
    unsigned version = (unsigned)strtoul(request->key_version, NULL, 10);
    int opened;

    if (version < 1 || version > key->versions)
        return refuse(error, ENVOL_E_KEY_NOT_FOUND, "NoSuchVersion");
    if (blob_bytes != BLOB_BYTES && blob_bytes != ENVOL_WRAPPED_MAX)
        return refuse(error, ENVOL_E_WRONG_KEY, "InvalidCiphertextException");
    derive("cmk", key->ref, version, 0, cmk);
    encode_context(request, context, &context_bytes);
    opened = crypto_aead_xchacha20poly1305_ietf_decrypt(dek, NULL, NULL, blob + NONCE_BYTES,
                                                        BLOB_BYTES - NONCE_BYTES, context,
                                                        context_bytes, blob, cmk);
    sodium_memzero(cmk, sizeof(cmk));
    return opened == 0 ? ENVOL_OK : refuse(error, ENVOL_E_WRONG_KEY, "InvalidCiphertextException");
}

static enum envol_status spoil_wrapped(struct fake_kms *fake, struct envol_wrapped_dek *wrapped,
                                       struct envol_error *error)
{
    switch (how(fake)) {
    case FAKE_BLOB_EMPTY:
        wrapped->wrapped_bytes = 0;
        break;
    case FAKE_BLOB_6145:
        wrapped->wrapped_bytes = ENVOL_WRAPPED_MAX + 1;
        break;
    case FAKE_REF_EMPTY:
        wrapped->key_ref[0] = '\0';
        break;
    case FAKE_REF_UNTERMINATED:
        memset(wrapped->key_ref, 'r', sizeof(wrapped->key_ref));
        break;
    case FAKE_REF_ESCAPE:
        strcpy(wrapped->key_ref, "key\x1b[2J");
        break;
    case FAKE_VERSION_UNTERMINATED:
        memset(wrapped->key_version, '7', sizeof(wrapped->key_version));
        break;
    case FAKE_NO_OUTPUT:
        memset((char *)wrapped + sizeof(wrapped->struct_size), 0,
               sizeof(*wrapped) - sizeof(wrapped->struct_size));
        break;
    case FAKE_OUTPUT_AND_FAILURE:
        memset(wrapped, 0xff, sizeof(*wrapped));
        wrapped->struct_size = 0;
        return refuse(error, ENVOL_E_UNREACHABLE, "DependencyTimeoutException");
    default:
        break;
    }
    return ENVOL_OK;
}

static void spoil_dek(struct fake_kms *fake, uint8_t *dek, size_t capacity, size_t *dek_bytes)
{
    *dek_bytes = ENVOL_DEK_BYTES;
    switch (how(fake)) {
    case FAKE_DEK_31:
        *dek_bytes = 31;
        break;
    case FAKE_DEK_65:
        dek[capacity > 64 ? 64 : 63] = 0x65;
        *dek_bytes = 65;
        break;
    case FAKE_DEK_ZERO:
        memset(dek, 0, ENVOL_DEK_BYTES);
        break;
    case FAKE_DEK_GARBAGE:
        memset(dek, 0x77, ENVOL_DEK_BYTES);
        break;
    case FAKE_DEK_OTHER:
        derive("dek", "", fake->number, fake->generated - 1, dek);
        break;
    case FAKE_NO_OUTPUT:
        *dek_bytes = 0;
        break;
    default:
        break;
    }
}

static void remember(struct fake_kms *fake, const uint8_t *dek)
{
    for (size_t i = 0; i < ENVOL_DEK_BYTES; i++)
        fake->last_masked[i] = dek[i] ^ FAKE_MASK;
    fake->has_last = true;
}

static void make_dek(struct fake_kms *fake, const struct fake_key *key,
                     const struct envol_key_request *request, uint8_t *dek,
                     struct envol_wrapped_dek *wrapped)
{
    uint8_t made[ENVOL_DEK_BYTES];

    derive("dek", "", fake->number, ++fake->generated, made);
    remember(fake, made);
    seal(fake, key, request, made, wrapped);
    if (how(fake) != FAKE_DEK_UNSET)
        memcpy(dek, made, sizeof(made));
    sodium_memzero(made, sizeof(made));
}

static enum envol_status fake_generate(void *state, const struct envol_key_request *request,
                                       uint8_t dek[ENVOL_DEK_BYTES],
                                       struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    struct fake_kms *fake = state;
    const struct fake_key *key;
    enum envol_status status = enter(fake, FAKE_GENERATE, request, error);

    if (status != ENVOL_OK)
        return status;
    fake_kms_take(fake);
    status = use_key(fake, request->key_ref, &key, error);
    if (status == ENVOL_OK) {
        make_dek(fake, key, request, dek, wrapped);
        status = spoil_wrapped(fake, wrapped, error);
        if (how(fake) == FAKE_DEK_ZERO || how(fake) == FAKE_NO_OUTPUT)
            memset(dek, 0, ENVOL_DEK_BYTES);
    }
    fake_kms_give(fake);
    return status;
}

static enum envol_status fake_wrap(void *state, const struct envol_key_request *request,
                                   const uint8_t dek[ENVOL_DEK_BYTES],
                                   struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    struct fake_kms *fake = state;
    const struct fake_key *key;
    enum envol_status status = enter(fake, FAKE_WRAP, request, error);

    if (status != ENVOL_OK)
        return status;
    fake_kms_take(fake);
    status = use_key(fake, request->key_ref, &key, error);
    if (status == ENVOL_OK) {
        seal(fake, key, request, dek, wrapped);
        status = spoil_wrapped(fake, wrapped, error);
    }
    fake_kms_give(fake);
    return status;
}

static void run_before(struct fake_kms *fake)
{
    void (*before)(void *ctx);

    fake_kms_take(fake);
    before = fake->before;
    fake->before = NULL;
    fake_kms_give(fake);
    if (before != NULL)
        before(fake->before_ctx);
}

static enum envol_status fake_unwrap(void *state, const struct envol_key_request *request,
                                     const void *wrapped, size_t wrapped_bytes, uint8_t *dek,
                                     size_t dek_capacity, size_t *dek_bytes,
                                     struct envol_error *error)
{
    struct fake_kms *fake = state;
    const struct fake_key *key;
    enum envol_status status = enter(fake, FAKE_UNWRAP, request, error);

    if (status != ENVOL_OK)
        return status;
    run_before(fake);
    fake_kms_take(fake);
    status = use_key(fake, request->key_ref, &key, error);
    if (status == ENVOL_OK)
        status = open_blob(key, request, wrapped, wrapped_bytes, dek, error);
    if (status == ENVOL_OK)
        spoil_dek(fake, dek, dek_capacity, dek_bytes);
    if (status == ENVOL_OK && how(fake) == FAKE_OUTPUT_AND_FAILURE)
        status = refuse(error, ENVOL_E_UNREACHABLE, "DependencyTimeoutException");
    fake_kms_give(fake);
    return status;
}

static enum envol_status fake_rewrap(void *state, const struct envol_key_request *from,
                                     const void *wrapped, size_t wrapped_bytes,
                                     const struct envol_key_request *to,
                                     struct envol_wrapped_dek *rewrapped, struct envol_error *error)
{
    struct fake_kms *fake = state;
    const struct fake_key *from_key, *to_key;
    uint8_t dek[ENVOL_DEK_BYTES];
    enum envol_status status = enter(fake, FAKE_REWRAP, from, error);

    /* Whatever the caller's struct was. */
    if (from->struct_size != sizeof(*from) || to->struct_size != sizeof(*to))
        return ENVOL_E_IO;
    if (status != ENVOL_OK)
        return status;
    fake_kms_take(fake);
    status = use_key(fake, from->key_ref, &from_key, error);
    if (status == ENVOL_OK)
        status = use_key(fake, to->key_ref, &to_key, error);
    if (status == ENVOL_OK)
        status = open_blob(from_key, from, wrapped, wrapped_bytes, dek, error);
    if (status == ENVOL_OK) {
        seal(fake, to_key, to, dek, rewrapped);
        status = spoil_wrapped(fake, rewrapped, error);
    }
    fake_kms_give(fake);
    sodium_memzero(dek, sizeof(dek));
    return status;
}

static enum envol_status answer_info(struct fake_kms *fake, const struct fake_key *key,
                                     struct envol_key_info *info, struct envol_error *error)
{
    if (how(fake) == FAKE_NO_OUTPUT)
        return ENVOL_OK;
    info->state = (enum envol_key_state)(ENVOL_KEY_ENABLED + (int)key->state);
    strcpy(info->key_ref, key->ref);
    snprintf(info->key_version, sizeof(info->key_version), "%u", key->versions);
    if (how(fake) == FAKE_STATE_UNKNOWN)
        info->state = (enum envol_key_state)99;
    if (how(fake) == FAKE_REF_EMPTY)
        info->key_ref[0] = '\0';
    if (how(fake) == FAKE_REF_UNTERMINATED)
        memset(info->key_ref, 'r', sizeof(info->key_ref));
    if (how(fake) == FAKE_VERSION_UNTERMINATED)
        memset(info->key_version, '7', sizeof(info->key_version));
    if (how(fake) != FAKE_OUTPUT_AND_FAILURE)
        return ENVOL_OK;
    info->struct_size = 0;
    return refuse(error, ENVOL_E_UNREACHABLE, "DependencyTimeoutException");
}

/* Disabled keys are described, as everywhere; those that are denied or gone are not. */
static enum envol_status fake_describe(void *state, const struct envol_key_request *request,
                                       struct envol_key_info *info, struct envol_error *error)
{
    struct fake_kms *fake = state;
    const struct fake_key *key;
    enum envol_status status = enter(fake, FAKE_DESCRIBE, request, error);

    if (status != ENVOL_OK)
        return status;
    fake_kms_take(fake);
    status = use_key(fake, request->key_ref, &key, error);
    if (status == ENVOL_OK || status == ENVOL_E_KEY_DISABLED ||
        status == ENVOL_E_KEY_PENDING_DELETION)
        status = answer_info(fake, key, info, error);
    fake_kms_give(fake);
    return status;
}

static void fake_close(void *state)
{
    struct fake_kms *fake = state;

    fake_kms_take(fake);
    fake->closed++;
    fake_kms_give(fake);
}

const struct envol_provider_vtable fake_kms_vtable = {
    .struct_size = sizeof(fake_kms_vtable),
    .name = "fake-kms",
    .capabilities = ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_REWRAPS |
                    ENVOL_PROVIDER_GENERATES | ENVOL_PROVIDER_LOCAL,
    .generate = fake_generate,
    .wrap = fake_wrap,
    .unwrap = fake_unwrap,
    .rewrap = fake_rewrap,
    .describe = fake_describe,
    .close = fake_close,
};

const struct envol_provider_vtable fake_kms_vtable_without_rewrap = {
    .struct_size = sizeof(fake_kms_vtable_without_rewrap),
    .name = "fake-kms",
    .capabilities = ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_GENERATES | ENVOL_PROVIDER_LOCAL,
    .generate = fake_generate,
    .wrap = fake_wrap,
    .unwrap = fake_unwrap,
    .describe = fake_describe,
    .close = fake_close,
};
