/* SPDX-License-Identifier: BSD-2-Clause */
/* The limited service: a token bucket, a script, and a pause before each answer. */
#include "limited_service.h"

#include "provider/clock.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

enum { MASK = 0x5a };

void limited_service_init(struct limited_service *service)
{
    memset(service, 0, sizeof(*service));
    pthread_mutex_init(&service->lock, NULL);
}

static bool has_room(struct limited_service *service)
{
    uint64_t now = envol_clock()->now_us();
    bool room;

    if (service->rate <= 0)
        return true;
    if (service->refilled_us == 0)
        service->tokens = service->burst;
    else
        service->tokens += (double)(now - service->refilled_us) * service->rate / 1e6;
    if (service->tokens > service->burst)
        service->tokens = service->burst;
    service->refilled_us = now;
    room = service->tokens >= 1;
    if (room)
        service->tokens -= 1;
    return room;
}

static enum envol_status judge(struct limited_service *service, unsigned call)
{
    enum envol_status status = (enum envol_status)atomic_load(&service->always);

    pthread_mutex_lock(&service->lock);
    if (status == ENVOL_OK && call < service->script_length)
        status = service->script[call];
    else if (status == ENVOL_OK && !has_room(service))
        status = ENVOL_E_THROTTLED;
    pthread_mutex_unlock(&service->lock);
    if (status == ENVOL_E_THROTTLED)
        atomic_fetch_add(&service->throttled, 1);
    return status;
}

static enum envol_status serve(struct limited_service *service)
{
    unsigned call = atomic_fetch_add(&service->calls, 1);
    unsigned in_flight = atomic_fetch_add(&service->in_flight, 1) + 1;
    unsigned most = atomic_load(&service->most_in_flight);
    enum envol_status status;

    while (in_flight > most &&
           !atomic_compare_exchange_weak(&service->most_in_flight, &most, in_flight))
        ;
    status = judge(service, call);
    if (service->latency_us > 0)
        envol_clock()->sleep(envol_clock()->now_us() + service->latency_us);
    atomic_fetch_sub(&service->in_flight, 1);
    return status;
}

static void seal(const uint8_t *dek, struct envol_wrapped_dek *wrapped)
{
    for (size_t i = 0; i < ENVOL_DEK_BYTES; i++)
        wrapped->wrapped[i] = dek[i] ^ MASK;
    wrapped->wrapped_bytes = ENVOL_DEK_BYTES;
    strcpy(wrapped->key_ref, "key");
}

static enum envol_status limited_generate(void *state, const struct envol_key_request *request,
                                          uint8_t dek[ENVOL_DEK_BYTES],
                                          struct envol_wrapped_dek *wrapped,
                                          struct envol_error *error)
{
    enum envol_status status = serve(state);

    (void)request;
    (void)error;
    test_fill(dek, ENVOL_DEK_BYTES); /* whatever the status: the library clears it */
    seal(dek, wrapped);
    return status;
}

static enum envol_status limited_wrap(void *state, const struct envol_key_request *request,
                                      const uint8_t dek[ENVOL_DEK_BYTES],
                                      struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    (void)request;
    (void)error;
    ck_assert_uint_eq(wrapped->wrapped_bytes, 0); /* outputs come zeroed, in each attempt */
    seal(dek, wrapped);
    return serve(state);
}

static enum envol_status limited_unwrap(void *state, const struct envol_key_request *request,
                                        const void *wrapped, size_t wrapped_bytes, uint8_t *dek,
                                        size_t dek_capacity, size_t *dek_bytes,
                                        struct envol_error *error)
{
    enum envol_status status = serve(state);

    (void)request;
    for (size_t i = 0; i < wrapped_bytes && i < dek_capacity; i++)
        dek[i] = ((const uint8_t *)wrapped)[i] ^ MASK;
    *dek_bytes = wrapped_bytes;
    if (status != ENVOL_OK)
        snprintf(error->message, sizeof(error->message), "limited: %s", envol_status_name(status));
    return status;
}

static enum envol_status limited_describe(void *state, const struct envol_key_request *request,
                                          struct envol_key_info *info, struct envol_error *error)
{
    (void)error;
    ck_assert_uint_ne(request->deadline_ms, 0); /* nobody waits for ever */
    info->state = ENVOL_KEY_ENABLED;
    strcpy(info->key_ref, "key");
    return serve(state);
}

static const struct envol_provider_vtable vtable = {
    .struct_size = sizeof(vtable),
    .name = "limited",
    .generate = limited_generate,
    .wrap = limited_wrap,
    .unwrap = limited_unwrap,
    .describe = limited_describe,
};

struct envol_provider *limited_service_open(struct limited_service *service)
{
    struct envol_provider *provider;

    ck_assert_int_eq(envol_provider_open(&vtable, service, &provider), ENVOL_OK);
    return provider;
}
