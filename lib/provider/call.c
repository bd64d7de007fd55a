/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of a vtable, one function for each operation; around them retries, and around all of it the
 * audit.
 */
#include "provider/call.h"

#include "base/error.h"
#include "base/memory.h"
#include "provider/flight.h"
#include "provider/line.h"

/* Sizes of output structs are put back behind each call: what wipes them goes by them. */
static enum envol_status check_wrapped(const struct envol_call *call, enum envol_status status,
                                       size_t size)
{
    call->answer->struct_size = size;
    status = envol_answer_check(call->provider, status, call->error);
    return status == ENVOL_OK ? envol_wrapped_check(call->provider, call->answer, call->error)
                              : status;
}

static enum envol_status generate(const struct envol_call *call)
{
    const struct envol_provider *provider = call->provider;
    size_t size = call->answer->struct_size;
    enum envol_status status = provider->vtable.generate(provider->state, &call->request, call->dek,
                                                         call->answer, call->error);

    status = check_wrapped(call, status, size);
    return status == ENVOL_OK ? envol_dek_check(provider, call->dek, ENVOL_DEK_BYTES, call->error)
                              : status;
}

static enum envol_status wrap(const struct envol_call *call)
{
    const struct envol_provider *provider = call->provider;
    size_t size = call->answer->struct_size;

    return check_wrapped(call,
                         provider->vtable.wrap(provider->state, &call->request, call->plain,
                                               call->answer, call->error),
                         size);
}

static enum envol_status unwrap(const struct envol_call *call)
{
    const struct envol_provider *provider = call->provider;
    size_t dek_bytes = 0;
    enum envol_status status =
        provider->vtable.unwrap(provider->state, &call->request, call->wrapped, call->wrapped_bytes,
                                call->dek, ENVOL_UNWRAP_CAPACITY, &dek_bytes, call->error);

    status = envol_answer_check(provider, status, call->error);
    return status == ENVOL_OK ? envol_dek_check(provider, call->dek, dek_bytes, call->error)
                              : status;
}

static enum envol_status rewrap(const struct envol_call *call)
{
    const struct envol_provider *provider = call->provider;
    size_t size = call->answer->struct_size;

    return check_wrapped(call,
                         provider->vtable.rewrap(provider->state, &call->request, call->wrapped,
                                                 call->wrapped_bytes, &call->to, call->answer,
                                                 call->error),
                         size);
}

static enum envol_status describe(const struct envol_call *call)
{
    const struct envol_provider *provider = call->provider;
    size_t size = call->info->struct_size;
    enum envol_status status =
        provider->vtable.describe(provider->state, &call->request, call->info, call->error);

    call->info->struct_size = size;
    status = envol_answer_check(provider, status, call->error);
    return status == ENVOL_OK ? envol_info_check(provider, call->info, call->error) : status;
}

static enum envol_status attempt(struct envol_call *call)
{
    call->attempts++;
    switch (call->operation) {
    case ENVOL_KEY_GENERATE:
        return generate(call);
    case ENVOL_KEY_WRAP:
        return wrap(call);
    case ENVOL_KEY_UNWRAP:
        return unwrap(call);
    case ENVOL_KEY_REWRAP:
        return rewrap(call);
    case ENVOL_KEY_DESCRIBE:
        break;
    }
    return describe(call);
}

/* What a failed attempt left in outputs, which a provider is given zeroed. */
static void clear_outputs(const struct envol_call *call)
{
    if (call->answer != NULL)
        (void)envol_wrapped_reset(call->answer, NULL);
    if (call->info != NULL)
        (void)envol_info_reset(call->info, NULL);
    if (call->dek != NULL)
        envol_wipe(call->dek,
                   call->operation == ENVOL_KEY_UNWRAP ? ENVOL_UNWRAP_CAPACITY : ENVOL_DEK_BYTES);
    *call->error = (struct envol_error)ENVOL_ERROR_INIT;
}

/* One attempt, when it is this call's turn.  A caller whose time is up keeps the last answer: it
 * says more than that. */
static enum envol_status attempt_in_turn(struct envol_call *call, enum envol_status last)
{
    struct envol_error local = ENVOL_ERROR_INIT;
    struct envol_turn turn;
    enum envol_status status = envol_turn_take(call->provider, &call->request, &turn, &local);

    if (status != ENVOL_OK) {
        if (call->attempts > 0 && status == ENVOL_E_TIMEOUT)
            return last;
        *call->error = local;
        return status;
    }
    if (call->attempts > 0)
        clear_outputs(call);
    status = attempt(call);
    envol_turn_give(&turn, status);
    return status;
}

/* Whether there will be another attempt; *status becomes ENVOL_E_CANCELLED if that is why not. */
static bool goes_on(struct envol_call *call, struct envol_retry *retry, enum envol_status *status)
{
    uint64_t wait_us;
    enum envol_status paused;

    if (!envol_line_retry(retry, *status, &wait_us))
        return false;
    paused = envol_line_pause(&call->request, wait_us);
    /* The flag is not asked again: whoever set it may have cleared it. */
    if (paused == ENVOL_E_CANCELLED)
        *status = envol_fail(call->error, ENVOL_E_CANCELLED, "cancelled");
    return paused == ENVOL_OK;
}

/* A service over a network: in line, and more than once if it must be. */
static enum envol_status run_in_line(struct envol_call *call)
{
    struct envol_retry retry = {.failures = 0}, made = retry;
    enum envol_status status = ENVOL_OK;

    for (;;) {
        uint32_t before = call->attempts;

        status = attempt_in_turn(call, status);
        if (call->attempts == before)
            break;
        made = retry;
        if (status == ENVOL_OK || !goes_on(call, &retry, &status))
            break;
    }
    if (status == ENVOL_OK)
        envol_line_succeeded(&retry);
    else
        envol_line_withdraw(&retry, &made);
    return status;
}

/* So that nobody waits for ever who did not say how long. */
static void bound(struct envol_call *call, uint64_t begun_us)
{
    uint64_t deadline_ms = begun_us / 1000 + ENVOL_PROVIDER_DEADLINE_MS;

    if (call->request.deadline_ms == 0)
        call->request.deadline_ms = deadline_ms;
    if (call->operation == ENVOL_KEY_REWRAP && call->to.deadline_ms == 0)
        call->to.deadline_ms = call->request.deadline_ms;
}

static enum envol_status run(struct envol_call *call, uint64_t begun_us)
{
    if ((call->provider->vtable.capabilities & ENVOL_PROVIDER_LOCAL) != 0)
        return attempt(call);
    bound(call, begun_us);
    return call->operation == ENVOL_KEY_UNWRAP ? envol_flight_run(call, run_in_line)
                                               : run_in_line(call);
}

static const char *text_of(const char *text)
{
    return text == NULL ? "" : text;
}

/* What was answered says more than what was asked for, which may be NULL. */
static void name_key(const struct envol_call *call, enum envol_status status,
                     struct envol_audit_event *event)
{
    event->key_ref = text_of(call->request.key_ref);
    event->key_version = text_of(call->request.key_version);
    event->to_key_ref = call->operation == ENVOL_KEY_REWRAP ? text_of(call->to.key_ref) : "";
    if (status != ENVOL_OK)
        return;
    if (call->operation == ENVOL_KEY_REWRAP) {
        event->to_key_ref = call->answer->key_ref;
    } else if (call->answer != NULL) {
        event->key_ref = call->answer->key_ref;
        event->key_version = call->answer->key_version;
    } else if (call->info != NULL) {
        event->key_ref = call->info->key_ref;
        event->key_version = call->info->key_version;
    }
}

static void report(const struct envol_call *call, enum envol_status status, uint64_t duration_us)
{
    const struct envol_provider *provider = call->provider;
    struct envol_audit_event event = {
        .struct_size = sizeof(event),
        .operation = call->operation,
        .provider = provider->vtable.name,
        .context = call->request.context,
        .context_pairs = call->request.context_pairs,
        .status = status,
        .provider_code = status == ENVOL_OK ? "" : call->error->provider_code,
        .attempts = call->attempts,
        .duration_us = duration_us,
    };

    name_key(call, status, &event);
    provider->audit(provider->audit_ctx, &event);
}

enum envol_status envol_call_run(struct envol_call *call)
{
    uint64_t begun = envol_clock()->now_us();
    enum envol_status status;

    call->attempts = 0;
    status = envol_request_time(&call->request, call->error);
    if (status == ENVOL_OK && call->operation == ENVOL_KEY_REWRAP)
        status = envol_request_time(&call->to, call->error);
    if (status == ENVOL_OK)
        status = run(call, begun);
    if (call->provider->audit != NULL)
        report(call, status, envol_clock()->now_us() - begun);
    return status;
}

const char *envol_key_operation_name(enum envol_key_operation operation)
{
    static const char *const names[] = {"?", "generate", "wrap", "unwrap", "rewrap", "describe"};
    unsigned long number = (unsigned long)operation;

    return number < sizeof(names) / sizeof(names[0]) ? names[number] : names[0];
}

enum envol_status envol_provider_set_audit(struct envol_provider *provider,
                                           envol_audit_callback *callback, void *ctx)
{
    if (provider == NULL)
        return ENVOL_E_ARGUMENT;
    provider->audit = callback;
    provider->audit_ctx = ctx;
    return ENVOL_OK;
}
