/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new DEK and its wrappings.  The first slot's CMK makes it, the others wrap it, and each is
 * asked to unwrap what it wrapped before that counts.  No lock of the volume is held.
 */
#include "base/error.h"
#include "base/memory.h"
#include "volume/rotation.h"

#include <string.h>

/* Whether a failure is one of a slot's CMK, and not of the call. */
static bool may_go_on(enum envol_status status)
{
    switch (status) {
    case ENVOL_E_CANCELLED:
    case ENVOL_E_TIMEOUT:
    case ENVOL_E_NO_MEMORY:
    case ENVOL_E_LOCKED_MEMORY:
    case ENVOL_E_RANDOM:
    case ENVOL_E_FORKED:
    case ENVOL_E_RANGE:
        return false;
    default:
        return true;
    }
}

static void note_outcome(struct envol_rotation_draft *draft, uint32_t i, enum envol_status status,
                         const struct envol_error *answer)
{
    struct envol_slot_outcome *outcome;

    if (draft->call.outcomes == NULL)
        return;
    outcome = &draft->call.outcomes->outcome[i];
    outcome->status = status;
    memcpy(outcome->provider_code, answer->provider_code, sizeof(outcome->provider_code));
    memcpy(outcome->message, answer->message, sizeof(outcome->message));
}

static void begin_outcomes(struct envol_rotation_draft *draft)
{
    struct envol_slot_outcomes *outcomes = draft->call.outcomes;

    if (outcomes == NULL)
        return;
    outcomes->count = draft->old_count;
    for (uint32_t i = 0; i < draft->old_count; i++) {
        struct envol_slot_outcome *outcome = &outcomes->outcome[i];
        *outcome =
            (struct envol_slot_outcome){.slot = draft->old[i]->id, .status = ENVOL_E_NO_PROVIDER};
        memcpy(outcome->provider, draft->old[i]->provider, strlen(draft->old[i]->provider) + 1);
    }
}

/* The wrapping in draft->wrapped becomes a slot of the new header, once it was unwrapped. */
static enum envol_status keep(struct envol_rotation_draft *draft,
                              const struct envol_key_binding *binding,
                              const struct envol_provider *provider, uint32_t id,
                              struct envol_error *error)
{
    struct envol_header *header = draft->header;
    struct envol_slot slot = envol_keys_slot(provider, draft->wrapped);
    enum envol_status status = envol_keys_check_unique(header, &slot, 0, error);

    slot.id = id;
    if (status == ENVOL_OK)
        status = envol_keys_prove(&draft->call, binding, provider, &slot, draft->dek, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_header_add_slot(header, &slot, NULL);
    if (status != ENVOL_OK)
        return envol_fail(error, status,
                          status == ENVOL_E_RANGE ? "the wrapped DEKs do not fit the header"
                                                  : NULL);
    header->slots[header->slot_count - 1]->id = id;
    draft->providers[header->slot_count - 1] = provider;
    return ENVOL_OK;
}

static enum envol_status wrap_with(struct envol_rotation_draft *draft, const struct envol_cmk *cmk,
                                   const struct envol_slot *old, struct envol_error *error)
{
    struct envol_key_binding binding;
    struct envol_key_request request;
    enum envol_status status;

    binding.pairs = envol_header_context(draft->header, &binding.count);
    request = envol_keys_request(&draft->call, &binding,
                                 cmk->key_ref != NULL ? cmk->key_ref : old->key_ref, NULL);
    draft->wrapped->struct_size = sizeof(*draft->wrapped);
    if (draft->header->slot_count == 0) /* or the DEK that was made was not proven */
        status =
            envol_provider_generate(cmk->provider, &request, draft->dek, draft->wrapped, error);
    else
        status = envol_provider_wrap(cmk->provider, &request, draft->dek, draft->wrapped, error);
    if (status == ENVOL_OK)
        status = keep(draft, &binding, cmk->provider, old->id, error);
    if (status != ENVOL_OK)
        envol_error_set_slot(error, (int32_t)old->id);
    return status;
}

/* Of two failures: that a CMK is not this slot's says nothing where another answer does. */
static bool tells_more(enum envol_status kept, enum envol_status status)
{
    return kept == ENVOL_E_NO_PROVIDER ||
           (kept == ENVOL_E_KEY_NOT_FOUND && status != ENVOL_E_KEY_NOT_FOUND);
}

/* With the first of the CMKs that the slot may be under and that can; else why not. */
static enum envol_status wrap_slot(struct envol_rotation_draft *draft, const struct envol_slot *old,
                                   struct envol_error *answer)
{
    enum envol_status kept = ENVOL_E_NO_PROVIDER;

    envol_fail(answer, ENVOL_E_NO_PROVIDER, "no CMK was given for slot %u", old->id);
    envol_error_set_slot(answer, (int32_t)old->id);
    for (size_t i = 0; i < draft->call.cmk_count; i++) {
        const struct envol_cmk *cmk = &draft->call.cmks[i];
        const struct envol_pin pin = {envol_provider_name(cmk->provider), cmk->key_ref};
        struct envol_error details = ENVOL_ERROR_INIT;
        enum envol_status status;
        if (!envol_pin_allows(&pin, old))
            continue;
        status = wrap_with(draft, cmk, old, &details);
        if (status == ENVOL_OK || !may_go_on(status) || tells_more(kept, status)) {
            kept = status;
            *answer = details;
        }
        if (status == ENVOL_OK || !may_go_on(status))
            break;
    }
    return kept;
}

enum envol_status envol_rotation_wrap(struct envol_rotation_draft *draft, struct envol_error *error)
{
    struct envol_error first = ENVOL_ERROR_INIT;
    enum envol_status first_status = ENVOL_OK;

    begin_outcomes(draft);
    for (uint32_t i = 0; i < draft->old_count; i++) {
        struct envol_error answer = ENVOL_ERROR_INIT;
        enum envol_status status = wrap_slot(draft, draft->old[i], &answer);
        if (status == ENVOL_OK)
            envol_error_clear(&answer);
        note_outcome(draft, i, status, &answer);
        if (status == ENVOL_OK)
            continue;
        if (!draft->may_drop || !may_go_on(status))
            return envol_keys_answer(status, &answer, error);
        if (first_status == ENVOL_OK) {
            first_status = status;
            first = answer;
        }
    }
    /* Without a slot nobody could open the volume. */
    return draft->header->slot_count > 0 ? ENVOL_OK
                                         : envol_keys_answer(first_status, &first, error);
}
