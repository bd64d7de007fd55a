/* SPDX-License-Identifier: BSD-2-Clause */
/* DEKs between a header and the key services. */
#include "wrap.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct secret *secret_alloc(void)
{
    struct secret *secret =
        mmap(NULL, sizeof *secret, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (secret == MAP_FAILED)
        return NULL;
    if (mlock(secret, sizeof *secret) != 0) {
        munmap(secret, sizeof *secret);
        return NULL;
    }
    (void)madvise(secret, sizeof *secret, MADV_DONTDUMP);
    return secret;
}

void secret_free(struct secret *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, sizeof *secret);
    munmap(secret, sizeof *secret);
}

/* Every wrapping is bound to the header's context: its UUID, and the epoch of the DEK. */
static struct envol_key_request request_for(const struct envol_header *header, const char *key_ref,
                                            const char *key_version)
{
    struct envol_key_request request = {
        .struct_size = sizeof request,
        .key_ref = key_ref,
        .key_version = key_version,
    };

    request.context = envol_header_context(header, &request.context_pairs);
    return request;
}

/* --- Wrapping ---*/

/* In a time that says nothing about where they differ. */
static int is_equal(const uint8_t *one, const uint8_t *other)
{
    uint8_t differs = 0;

    for (size_t i = 0; i < ENVOL_DEK_BYTES; i++)
        differs |= one[i] ^ other[i];
    return differs == 0;
}

/* What cannot be unwrapped, or unwraps to another DEK, must not come into a header: it would be
 * found out when nothing else is left that opens. */
static enum envol_status prove(const struct envol_header *header,
                               const struct envol_provider *provider,
                               const struct envol_wrapped_dek *wrapped, struct secret *secret,
                               struct envol_error *error)
{
    const struct envol_key_request request =
        request_for(header, wrapped->key_ref, wrapped->key_version);
    enum envol_status status = envol_provider_unwrap(provider, &request, wrapped->wrapped,
                                                     wrapped->wrapped_bytes, secret->proof, error);

    return status == ENVOL_OK && !is_equal(secret->dek, secret->proof) ? ENVOL_E_PROVIDER : status;
}

/* A second slot under a CMK would open nothing more, and be forgotten when the first is removed. */
static int has_slot(const struct envol_header *header, const struct envol_provider *provider,
                    const char *key_ref)
{
    struct envol_slot slot = {.struct_size = sizeof slot};

    for (uint32_t i = 0; envol_header_slot(header, i, &slot) == ENVOL_OK; i++) {
        if (strcmp(slot.provider, envol_provider_name(provider)) == 0 &&
            strcmp(slot.key_ref, key_ref) == 0)
            return 1;
    }
    return 0;
}

/* The first wrapping comes with the DEK; the others are of it. */
static enum envol_status add_slot(struct envol_header *header, const struct envol_cmk *cmk,
                                  const char *key_ref, struct secret *secret,
                                  struct envol_error *error)
{
    const struct envol_key_request request = request_for(header, key_ref, NULL);
    struct envol_header_info info = {.struct_size = sizeof info};
    struct envol_wrapped_dek wrapped = {.struct_size = sizeof wrapped};
    enum envol_status status = envol_header_info(header, &info);

    if (status == ENVOL_OK)
        status =
            info.slots == 0
                ? envol_provider_generate(cmk->provider, &request, secret->dek, &wrapped, error)
                : envol_provider_wrap(cmk->provider, &request, secret->dek, &wrapped, error);
    if (status == ENVOL_OK && has_slot(header, cmk->provider, wrapped.key_ref))
        status = ENVOL_E_STATE;
    if (status == ENVOL_OK)
        status = prove(header, cmk->provider, &wrapped, secret, error);
    if (status == ENVOL_OK)
        status = envol_header_add_slot(header,
                                       &(struct envol_slot){
                                           .struct_size = sizeof(struct envol_slot),
                                           .provider = envol_provider_name(cmk->provider),
                                           .key_ref = wrapped.key_ref,
                                           .key_version = wrapped.key_version,
                                           .wrapped = wrapped.wrapped,
                                           .wrapped_bytes = wrapped.wrapped_bytes,
                                           .created_at_s = (uint64_t)time(NULL),
                                       },
                                       NULL);
    return status;
}

enum envol_status wrap_new(struct envol_header *header, const struct cmks *cmks,
                           struct secret *secret, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; status == ENVOL_OK && i < cmks->count; i++)
        status = add_slot(header, &cmks->cmk[i], cmks->cmk[i].key_ref, secret, error);
    return status;
}

/* --- Which CMK a slot is under ---*/

/* Of providers that hold one key (ENVOL_PROVIDER_SINGLE_KEY) there may be several, and which one it
 * is, only the provider can tell: ENVOL_E_KEY_NOT_FOUND.  Others need a reference in their CMK: a
 * header that somebody else wrote could name any key that the service knows. */
static struct envol_pin pin_of(const struct envol_cmk *cmk)
{
    return (struct envol_pin){envol_provider_name(cmk->provider), cmk->key_ref};
}

static int may_be_under(const struct envol_slot *slot, const struct envol_cmk *cmk)
{
    const struct envol_pin pin = pin_of(cmk);

    return strcmp(slot->provider, pin.provider) == 0 &&
           (pin.key_ref == NULL || strcmp(slot->key_ref, pin.key_ref) == 0);
}

/* Of several answers, that a service does not know the key says the least. */
static void keep_answer(enum envol_status *kept, enum envol_status status,
                        const struct envol_error *answer, struct envol_error *error)
{
    if (*kept != ENVOL_E_NO_PROVIDER && *kept != ENVOL_E_KEY_NOT_FOUND && status != ENVOL_OK)
        return;
    *kept = status;
    *error = *answer;
}

static enum envol_status wrap_like(struct envol_header *next, const struct envol_slot *slot,
                                   const struct cmks *cmks, struct secret *secret,
                                   struct envol_error *error)
{
    enum envol_status status = ENVOL_E_NO_PROVIDER;

    for (size_t i = 0; status != ENVOL_OK && i < cmks->count; i++) {
        struct envol_error answer = ENVOL_ERROR_INIT;

        if (may_be_under(slot, &cmks->cmk[i]))
            keep_answer(&status, add_slot(next, &cmks->cmk[i], slot->key_ref, secret, &answer),
                        &answer, error);
    }
    return status;
}

enum envol_status wrap_next(struct envol_header *next, const struct envol_header *old,
                            const struct cmks *cmks, struct secret *secret,
                            struct envol_error *error)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    struct envol_slot slot = {.struct_size = sizeof slot};
    enum envol_status status = envol_header_info(old, &info);

    for (uint32_t i = 0; status == ENVOL_OK && i < info.slots; i++) {
        status = envol_header_slot(old, i, &slot);
        if (status == ENVOL_OK)
            status = wrap_like(next, &slot, cmks, secret, error);
    }
    return status;
}

/* --- Unwrapping ---*/

/* envol_header_next_slot gives those slots alone that the pin allows to be sent to its provider. */
static enum envol_status unwrap_with(const struct envol_header *header, const struct envol_cmk *cmk,
                                     struct secret *secret, struct envol_error *error)
{
    const struct envol_pin pin = pin_of(cmk);
    const struct envol_pins pins = {.struct_size = sizeof pins, .cmks = &pin, .cmk_count = 1};
    struct envol_slot slot = {.struct_size = sizeof slot};
    enum envol_status status = ENVOL_E_NO_PROVIDER;
    uint32_t cursor = 0;

    while (status != ENVOL_OK &&
           envol_header_next_slot(header, &pins, &cursor, &slot, NULL) == ENVOL_OK) {
        const struct envol_key_request request =
            request_for(header, slot.key_ref, slot.key_version);
        struct envol_error answer = ENVOL_ERROR_INIT;

        keep_answer(&status,
                    envol_provider_unwrap(cmk->provider, &request, slot.wrapped, slot.wrapped_bytes,
                                          secret->dek, &answer),
                    &answer, error);
    }
    return status;
}

enum envol_status unwrap(const struct envol_header *header, const struct cmks *cmks,
                         struct secret *secret, struct envol_error *error)
{
    enum envol_status status = ENVOL_E_NO_PROVIDER;

    for (size_t i = 0; status != ENVOL_OK && i < cmks->count; i++) {
        struct envol_error answer = ENVOL_ERROR_INIT;

        keep_answer(&status, unwrap_with(header, &cmks->cmk[i], secret, &answer), &answer, error);
    }
    return status;
}
