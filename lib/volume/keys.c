/* SPDX-License-Identifier: BSD-2-Clause */
/* Wrapping and unwrapping the DEK with the application's CMKs. */
#include "volume/keys.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "header/header.h"
#include "volume/volume.h"

#include <string.h>
#include <time.h>

/* Without a key reference a header could name any key that the provider reaches. */
bool envol_cmk_is_pinned(const struct envol_cmk *cmk, uint32_t flags)
{
    return cmk->key_ref != NULL || (flags & ENVOL_OPEN_DISCOVER) != 0 ||
           (envol_provider_capabilities(cmk->provider) & ENVOL_PROVIDER_SINGLE_KEY) != 0;
}

bool envol_volume_options_take(const struct envol_volume_options *given, uint32_t flags,
                               struct envol_volume_options *options)
{
    return ENVOL_TAKE(volume_options, given, options) && (options->flags & ~flags) == 0 &&
           (options->outcomes == NULL || ENVOL_FITS(slot_outcomes, options->outcomes));
}

enum envol_status envol_key_call_make(const struct envol_cmk *cmks, size_t cmk_count,
                                      const struct envol_volume_options *options,
                                      struct envol_key_call *call, struct envol_error *error)
{
    uint32_t flags = options == NULL ? 0 : options->flags;

    if (cmks == NULL || cmk_count == 0 || cmk_count > ENVOL_SLOTS_MAX)
        return envol_fail(error, ENVOL_E_ARGUMENT, "one to %u CMKs are needed", ENVOL_SLOTS_MAX);
    for (size_t i = 0; i < cmk_count; i++) {
        if (cmks[i].provider == NULL)
            return envol_fail(error, ENVOL_E_ARGUMENT, "a CMK without a provider");
        if (!envol_cmk_is_pinned(&cmks[i], flags))
            return envol_fail(error, ENVOL_E_ARGUMENT, "provider %s needs a key reference",
                              envol_provider_name(cmks[i].provider));
    }
    *call = (struct envol_key_call){.cmks = cmks, .cmk_count = cmk_count, .flags = flags};
    if (options != NULL) {
        call->cancel_flag = options->cancel_flag;
        call->outcomes = options->outcomes;
        if (options->timeout_ms != 0)
            call->deadline_ms = envol_now_ms() + options->timeout_ms;
    }
    return ENVOL_OK;
}

struct envol_key_request envol_keys_request(const struct envol_key_call *call,
                                            const struct envol_key_binding *binding,
                                            const char *key_ref, const char *key_version)
{
    return (struct envol_key_request){
        .struct_size = sizeof(struct envol_key_request),
        .key_ref = key_ref,
        .key_version = key_version,
        .context = binding->pairs,
        .context_pairs = binding->count,
        .deadline_ms = call->deadline_ms,
        .cancel_flag = call->cancel_flag,
        .flags = call->flags & ENVOL_KEY_ALLOW_UNLOCKED,
    };
}

static struct envol_key_binding binding_of(const struct envol_header *header)
{
    struct envol_key_binding binding;

    binding.pairs = envol_header_context(header, &binding.count);
    return binding;
}

static enum envol_status unwrap_slot(const struct envol_key_call *call,
                                     const struct envol_key_binding *binding,
                                     const struct envol_provider *provider,
                                     const struct envol_slot *slot, uint8_t dek[ENVOL_DEK_BYTES],
                                     struct envol_error *error)
{
    const struct envol_key_request request =
        envol_keys_request(call, binding, slot->key_ref, slot->key_version);
    enum envol_status status =
        envol_provider_unwrap(provider, &request, slot->wrapped, slot->wrapped_bytes, dek, error);

    if (status != ENVOL_OK)
        envol_error_set_slot(error, slot->id != 0 ? (int32_t)slot->id : ENVOL_NO_SLOT);
    return status;
}

enum envol_status envol_keys_prove(const struct envol_key_call *call,
                                   const struct envol_key_binding *binding,
                                   const struct envol_provider *provider,
                                   const struct envol_slot *slot,
                                   const uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error)
{
    void *again;
    enum envol_status status =
        envol_arena_alloc(ENVOL_DEK_BYTES, call->flags & ENVOL_KEYRING_FLAGS, &again);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = unwrap_slot(call, binding, provider, slot, again, error);
    if (status == ENVOL_OK && !envol_equal(again, dek, ENVOL_DEK_BYTES)) {
        status = envol_fail(error, ENVOL_E_PROVIDER, "%s unwraps another DEK than it wrapped",
                            envol_provider_name(provider));
        envol_error_set_slot(error, slot->id != 0 ? (int32_t)slot->id : ENVOL_NO_SLOT);
    }
    envol_arena_free(again, ENVOL_DEK_BYTES);
    return status;
}

struct envol_slot envol_keys_slot(const struct envol_provider *provider,
                                  const struct envol_wrapped_dek *wrapped)
{
    return (struct envol_slot){
        .struct_size = sizeof(struct envol_slot),
        .provider = envol_provider_name(provider),
        .key_ref = wrapped->key_ref,
        .key_version = wrapped->key_version,
        .wrapped = wrapped->wrapped,
        .wrapped_bytes = wrapped->wrapped_bytes,
        .created_at_s = (uint64_t)time(NULL),
    };
}

enum envol_status envol_keys_check_unique(const struct envol_header *header,
                                          const struct envol_slot *slot, uint32_t except,
                                          struct envol_error *error)
{
    for (uint32_t i = 0; i < header->slot_count; i++) {
        const struct envol_slot *other = header->slots[i];
        if (other->id == except || strcmp(other->provider, slot->provider) != 0 ||
            strcmp(other->key_ref, slot->key_ref) != 0)
            continue;
        envol_fail(error, ENVOL_E_STATE, "slot %u is under this CMK already", other->id);
        envol_error_set_slot(error, (int32_t)other->id);
        return ENVOL_E_STATE;
    }
    return ENVOL_OK;
}

/* Nothing is added that its provider does not unwrap. */
static enum envol_status add_slot(const struct envol_key_call *call, struct envol_header *header,
                                  const struct envol_provider *provider,
                                  const struct envol_wrapped_dek *wrapped,
                                  const uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error)
{
    const struct envol_key_binding binding = binding_of(header);
    struct envol_slot slot = envol_keys_slot(provider, wrapped);
    enum envol_status status = envol_keys_check_unique(header, &slot, 0, error);

    if (status != ENVOL_OK)
        return status;
    status = envol_header_add_slot(header, &slot, &slot.id);
    if (status != ENVOL_OK)
        return envol_fail(error, status,
                          status == ENVOL_E_RANGE ? "the wrapped DEKs do not fit the header"
                                                  : NULL);
    status = envol_keys_prove(call, &binding, provider, &slot, dek, error);
    if (status != ENVOL_OK) {
        envol_free(header->slots[--header->slot_count]);
        header->slots[header->slot_count] = NULL;
    }
    return status;
}

/* Wraps a DEK, or has it made first. */
static enum envol_status wrap(const struct envol_key_call *call, struct envol_header *header,
                              const struct envol_cmk *cmk, bool makes, uint8_t dek[ENVOL_DEK_BYTES],
                              struct envol_error *error)
{
    const struct envol_key_binding binding = binding_of(header);
    const struct envol_key_request request = envol_keys_request(call, &binding, cmk->key_ref, NULL);
    struct envol_wrapped_dek *wrapped = envol_alloc(sizeof(*wrapped), _Alignof(max_align_t));
    enum envol_status status;

    if (wrapped == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    wrapped->struct_size = sizeof(*wrapped);
    status = makes ? envol_provider_generate(cmk->provider, &request, dek, wrapped, error)
                   : envol_provider_wrap(cmk->provider, &request, dek, wrapped, error);
    if (status == ENVOL_OK)
        status = add_slot(call, header, cmk->provider, wrapped, dek, error);
    envol_free(wrapped);
    return status;
}

enum envol_status envol_keys_create(const struct envol_key_call *call, struct envol_header *header,
                                    uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    for (size_t i = 0; status == ENVOL_OK && i < call->cmk_count; i++)
        status = wrap(call, header, &call->cmks[i], i == 0, dek, error);
    return status;
}

enum envol_status envol_keys_wrap(const struct envol_key_call *call, struct envol_header *header,
                                  uint8_t dek[ENVOL_DEK_BYTES], struct envol_error *error)
{
    return wrap(call, header, &call->cmks[0], false, dek, error);
}

/* One open's search for a slot that unwraps. */
struct search {
    const struct envol_key_call *call;
    const struct envol_header *header;
    uint8_t *dek;
    enum envol_status kept_status; /* the answer that says most so far */
    struct envol_error kept;
    bool had_costly_try;
};

/* Before the first try: nobody was asked. */
static void begin_outcomes(const struct envol_header *header, struct envol_slot_outcomes *outcomes)
{
    if (outcomes == NULL)
        return;
    outcomes->count = header->slot_count;
    for (uint32_t i = 0; i < header->slot_count; i++) {
        struct envol_slot_outcome *outcome = &outcomes->outcome[i];
        *outcome = (struct envol_slot_outcome){.slot = header->slots[i]->id,
                                               .status = ENVOL_E_NO_PROVIDER};
        memcpy(outcome->provider, header->slots[i]->provider, strlen(header->slots[i]->provider));
    }
}

/* Whether an answer about a slot says more than the one that is kept. */
static bool says_more(enum envol_status kept, enum envol_status status)
{
    /* The caller's own wish, whatever else was found out before. */
    if (status == ENVOL_OK || status == ENVOL_E_CANCELLED || kept == ENVOL_E_NO_PROVIDER)
        return true;
    return kept == ENVOL_E_KEY_NOT_FOUND && status != ENVOL_E_KEY_NOT_FOUND;
}

static void note_outcome(const struct search *search, uint32_t slot_id, enum envol_status status,
                         const struct envol_error *answer)
{
    struct envol_slot_outcomes *outcomes = search->call->outcomes;

    for (size_t i = 0; outcomes != NULL && i < outcomes->count; i++) {
        struct envol_slot_outcome *outcome = &outcomes->outcome[i];
        if (outcome->slot != slot_id || !says_more(outcome->status, status))
            continue;
        outcome->status = status;
        memcpy(outcome->provider_code, answer->provider_code, sizeof(outcome->provider_code));
        memcpy(outcome->message, answer->message, sizeof(outcome->message));
    }
}

/* Keeps the answer that says most: that a service does not know a key says least. */
static void keep_answer(struct search *search, enum envol_status status,
                        const struct envol_error *answer)
{
    if (!says_more(search->kept_status, status))
        return;
    search->kept_status = status;
    search->kept = *answer;
}

/* A header must not make a process spend 1 GiB and a minute for each of eight slots. */
static bool may_try(const struct search *search, const struct envol_cmk *cmk, uint32_t slot_id)
{
    struct envol_error answer = ENVOL_ERROR_INIT;

    if (!search->had_costly_try ||
        (envol_provider_capabilities(cmk->provider) & ENVOL_PROVIDER_ONE_TRY) == 0)
        return true;
    envol_fail(&answer, ENVOL_E_NO_PROVIDER, "not tried: an open tries one %s slot",
               envol_provider_name(cmk->provider));
    note_outcome(search, slot_id, ENVOL_E_NO_PROVIDER, &answer);
    return false;
}

static enum envol_status try_cmk(struct search *search, const struct envol_cmk *cmk,
                                 const struct envol_slot *slot)
{
    const struct envol_key_binding binding = binding_of(search->header);
    struct envol_error answer = ENVOL_ERROR_INIT;
    enum envol_status status =
        unwrap_slot(search->call, &binding, cmk->provider, slot, search->dek, &answer);

    note_outcome(search, slot->id, status, &answer);
    if (status == ENVOL_OK && search->call->winner != NULL)
        *search->call->winner = cmk->provider;
    if (status == ENVOL_OK)
        return status;
    if (status != ENVOL_E_KEY_NOT_FOUND &&
        (envol_provider_capabilities(cmk->provider) & ENVOL_PROVIDER_ONE_TRY) != 0)
        search->had_costly_try = true;
    keep_answer(search, status, &answer);
    return status;
}

static enum envol_status try_slot(struct search *search, const struct envol_slot *slot)
{
    for (size_t i = 0; i < search->call->cmk_count; i++) {
        const struct envol_cmk *cmk = &search->call->cmks[i];
        const struct envol_pin pin = {envol_provider_name(cmk->provider), cmk->key_ref};
        enum envol_status status;
        if (!envol_pin_allows(&pin, slot) || !may_try(search, cmk, slot->id))
            continue;
        status = try_cmk(search, cmk, slot);
        if (status == ENVOL_OK || status == ENVOL_E_CANCELLED || status == ENVOL_E_TIMEOUT)
            return status;
    }
    return ENVOL_E_NO_PROVIDER;
}

/* The caller's struct may be the shorter one of an older header. */
enum envol_status envol_keys_answer(enum envol_status status, const struct envol_error *answer,
                                    struct envol_error *error)
{
    envol_fail(error, status, "%s", answer->message);
    envol_error_set_slot(error, answer->slot);
    envol_error_set_provider_code(error, answer->provider_code);
    envol_error_set_errno(error, answer->os_errno);
    return status;
}

enum envol_status envol_keys_unwrap(const struct envol_key_call *call,
                                    const struct envol_header *header, uint8_t dek[ENVOL_DEK_BYTES],
                                    uint32_t *slot_id, struct envol_error *error)
{
    struct search search = {
        .call = call,
        .header = header,
        .dek = dek,
        .kept_status = ENVOL_E_NO_PROVIDER,
        .kept = ENVOL_ERROR_INIT,
    };

    envol_fail(&search.kept, ENVOL_E_NO_PROVIDER, NULL);
    begin_outcomes(header, call->outcomes);
    for (uint32_t i = 0; i < header->slot_count; i++) {
        enum envol_status status = try_slot(&search, header->slots[i]);
        if (status == ENVOL_OK) {
            *slot_id = header->slots[i]->id;
            return ENVOL_OK;
        }
        if (status != ENVOL_E_NO_PROVIDER)
            break;
    }
    return envol_keys_answer(search.kept_status, &search.kept, error);
}
