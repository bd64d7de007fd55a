/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls in flight: a list on the stacks of those who make them. */
#include "provider/flight.h"

#include "base/arena.h"
#include "base/error.h"
#include "provider/line.h"
#include <string.h>

struct flight {
    struct flight *next;
    const struct envol_call *call; /* borrowed by those who compare and copy */
    pthread_cond_t ended, left;
    bool is_over;
    enum envol_status status;
    unsigned waiting;
    uint64_t generation; /* of the process that it began in */
};

static struct flight *flights; /* under the line's lock */

void envol_flight_forget(void)
{
    for (struct flight *flight = flights; flight != NULL; flight = flight->next)
        flight->waiting = 0;
    flights = NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_context(const struct envol_key_request *a, const struct envol_key_request *b)
{
    if (a->context_pairs != b->context_pairs)
        return false;
    for (size_t i = 0; i < a->context_pairs; i++) {
        if (strcmp(a->context[i].key, b->context[i].key) != 0 ||
            strcmp(a->context[i].value, b->context[i].value) != 0)
            return false;
    }
    return true;
}

static bool is_same(const struct envol_call *a, const struct envol_call *b)
{
    return a->provider == b->provider && a->wrapped_bytes == b->wrapped_bytes &&
           a->request.flags == b->request.flags &&
           memcmp(a->wrapped, b->wrapped, a->wrapped_bytes) == 0 &&
           same_text(a->request.key_ref, b->request.key_ref) &&
           same_text(a->request.key_version, b->request.key_version) &&
           same_context(&a->request, &b->request);
}

static struct flight *find(const struct envol_call *call)
{
    struct flight *flight = flights;

    while (flight != NULL && !is_same(flight->call, call))
        flight = flight->next;
    return flight;
}

/* An answer that would be the same for whoever asks. */
static bool is_shared(enum envol_status status)
{
    switch (status) {
    case ENVOL_E_CANCELLED:
    case ENVOL_E_TIMEOUT:
    case ENVOL_E_NO_MEMORY:
    case ENVOL_E_LOCKED_MEMORY:
    case ENVOL_E_RANDOM:
    case ENVOL_E_FORKED:
        return false;
    default:
        return true;
    }
}

static void take_answer(const struct flight *flight, struct envol_call *call)
{
    if (flight->status == ENVOL_OK)
        memcpy(call->dek, flight->call->dek, ENVOL_DEK_BYTES);
    else
        *call->error = *flight->call->error;
}

/* Under the lock.  True: *status is the answer, or why this caller did not wait for it. */
static bool wait_for(struct flight *flight, struct envol_call *call, enum envol_status *status)
{
    bool has_answer = false;

    flight->waiting++;
    *status = ENVOL_OK;
    while (!flight->is_over && *status == ENVOL_OK) {
        envol_line_wait(&flight->ended, &call->request, UINT64_MAX);
        if (!flight->is_over)
            *status = envol_request_time(&call->request, call->error);
    }
    if (*status != ENVOL_OK) {
        has_answer = true;
    } else if (is_shared(flight->status)) {
        *status = flight->status;
        take_answer(flight, call);
        has_answer = true;
    }
    if (--flight->waiting == 0)
        pthread_cond_signal(&flight->left);
    return has_answer;
}

static void unlist(const struct flight *flight)
{
    struct flight **at = &flights;

    while (*at != NULL && *at != flight)
        at = &(*at)->next;
    if (*at != NULL)
        *at = flight->next;
}

static bool init(struct flight *flight)
{
    if (!envol_cond_init(&flight->ended))
        return false;
    if (envol_cond_init(&flight->left))
        return true;
    pthread_cond_destroy(&flight->ended);
    return false;
}

/* A provider may fork, and in the child nobody comes back who waits for these. */
static void end(struct flight *flight)
{
    if (flight->generation != envol_process_generation())
        return;
    pthread_cond_destroy(&flight->ended);
    pthread_cond_destroy(&flight->left);
}

/* Under the lock, which is let go while the call runs.  What others copy is this caller's until
 * they have. */
static enum envol_status fly(struct envol_call *call,
                             enum envol_status (*run)(struct envol_call *call))
{
    const struct envol_key_request patient = {.struct_size = sizeof(patient)};
    struct flight own = {.call = call, .next = flights, .generation = envol_process_generation()};

    if (!init(&own))
        return envol_fail(call->error, ENVOL_E_NO_MEMORY, NULL);
    flights = &own;
    envol_line_unlock();
    own.status = run(call);
    if (envol_line_lock()) {
        unlist(&own);
        own.is_over = true;
        pthread_cond_broadcast(&own.ended);
        while (own.waiting > 0)
            envol_line_wait(&own.left, &patient, UINT64_MAX);
    }
    end(&own);
    return own.status;
}

enum envol_status envol_flight_run(struct envol_call *call,
                                   enum envol_status (*run)(struct envol_call *call))
{
    enum envol_status status = ENVOL_OK;
    struct flight *other;

    if (!envol_line_lock())
        return envol_fail(call->error, ENVOL_E_NO_MEMORY, NULL);
    while ((other = find(call)) != NULL) {
        if (wait_for(other, call, &status)) {
            envol_line_unlock();
            return status;
        }
    }
    status = fly(call, run);
    envol_line_unlock();
    return status;
}
