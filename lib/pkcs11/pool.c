/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions: a session is used by one call at a time, and the logged-in state of a token lasts for
 * as long as this process has a session with it.  One thread at a time makes a session, so that a
 * PIN is asked for once; the others wait for that, or for a session that comes back.
 */
#include "pkcs11/pkcs11.h"

#include <time.h>
#include <unistd.h>

/* How often a waiting thread looks at its cancel flag. */
enum { WAIT_MS = 20 };

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

enum envol_status envol_pkcs11_check_time(struct envol_pkcs11_call *call)
{
    const struct envol_key_request *request = call->request;

    if (request->cancel_flag != NULL && __atomic_load_n(request->cancel_flag, __ATOMIC_ACQUIRE))
        return envol_pkcs11_fail(call->error, ENVOL_E_CANCELLED, "cancelled");
    if (request->deadline_ms != 0 && now_ms() >= request->deadline_ms)
        return envol_pkcs11_fail(call->error, ENVOL_E_TIMEOUT,
                                 "deadline over while the token was used");
    return ENVOL_OK;
}

static void wait_a_little(struct envol_pkcs11 *state)
{
    uint64_t until_ms = now_ms() + WAIT_MS;
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};

    pthread_cond_timedwait(&state->changed, &state->lock, &until);
}

/* What a fork copied is the parent's. */
static void forget_parent(struct envol_pkcs11 *state)
{
    if (state->owner == getpid())
        return;
    state->owner = getpid();
    state->idle_count = 0;
}

/* Another thread may have initialised them again since, and a later round may have ended too. */
void envol_pkcs11_note_finalised(struct envol_pkcs11_call *call)
{
    struct envol_pkcs11 *state = call->state;

    pthread_mutex_lock(&state->lock);
    if (call->round > state->finalised)
        state->finalised = call->round;
    pthread_mutex_unlock(&state->lock);
}

enum envol_status envol_pkcs11_begin_round(struct envol_pkcs11_call *call, bool *initialise)
{
    struct envol_pkcs11 *state = call->state;
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(&state->lock);
    *initialise = state->initialised_in != getpid() || state->finalised == state->round;
    while (*initialise && status == ENVOL_OK && state->in_use > 1) {
        wait_a_little(state);
        status = envol_pkcs11_check_time(call);
    }
    if (*initialise && status == ENVOL_OK) {
        state->idle_count = 0; /* what was sound ended with the round, and is not to be closed */
        state->round++;
    }
    call->round = state->round;
    pthread_mutex_unlock(&state->lock);
    return status;
}

/* Under the lock.  True: *session is an idle one, or (made false) this thread has to make one. */
static bool try_take(struct envol_pkcs11 *state, struct envol_pkcs11_session *session, bool *made)
{
    *made = state->idle_count > 0;
    if (*made)
        *session = state->idle[--state->idle_count];
    else if (!state->connecting)
        state->connecting = true;
    else
        return false;
    state->in_use++;
    return true;
}

/* A token with few sessions: another call's will come back, or did so meanwhile. */
static bool may_wait(const struct envol_pkcs11_call *call)
{
    const struct envol_pkcs11 *state = call->state;

    return call->refusal == CKR_SESSION_COUNT && state->in_use + state->idle_count > 0;
}

static enum envol_status connect_alone(struct envol_pkcs11_call *call,
                                       struct envol_pkcs11_session *session, bool *again)
{
    struct envol_pkcs11 *state = call->state;
    enum envol_status status;

    call->refusal = CKR_OK;
    status = envol_pkcs11_connect(call, session);
    pthread_mutex_lock(&state->lock);
    state->connecting = false;
    if (status != ENVOL_OK)
        state->in_use--;
    *again = status != ENVOL_OK && may_wait(call);
    pthread_cond_broadcast(&state->changed);
    if (*again && state->idle_count == 0)
        wait_a_little(state);
    pthread_mutex_unlock(&state->lock);
    return status;
}

enum envol_status envol_pkcs11_take(struct envol_pkcs11_call *call,
                                    struct envol_pkcs11_session *session)
{
    struct envol_pkcs11 *state = call->state;
    enum envol_status status = envol_pkcs11_check_time(call);

    while (status == ENVOL_OK) {
        bool taken, made, again;

        pthread_mutex_lock(&state->lock);
        forget_parent(state);
        taken = try_take(state, session, &made);
        if (!taken)
            wait_a_little(state);
        pthread_mutex_unlock(&state->lock);
        if (taken && made)
            return ENVOL_OK;
        if (taken) {
            status = connect_alone(call, session, &again);
            if (!again)
                return status;
        }
        status = envol_pkcs11_check_time(call);
    }
    return status;
}

/* Sessions count as in use until they are closed: who finds the token full waits for that. */
void envol_pkcs11_give_back(struct envol_pkcs11_call *call,
                            const struct envol_pkcs11_session *session, bool sound)
{
    struct envol_pkcs11 *state = call->state;
    bool kept;

    if (!sound)
        session->functions->C_CloseSession(session->handle);
    pthread_mutex_lock(&state->lock);
    state->in_use--;
    kept = sound && state->idle_count < ENVOL_PKCS11_IDLE_MAX;
    if (kept)
        state->idle[state->idle_count++] = *session;
    pthread_cond_broadcast(&state->changed);
    pthread_mutex_unlock(&state->lock);
    if (sound && !kept)
        session->functions->C_CloseSession(session->handle);
}

void envol_pkcs11_drop_idle(struct envol_pkcs11 *state)
{
    struct envol_pkcs11_session dropped[ENVOL_PKCS11_IDLE_MAX];
    unsigned count;

    pthread_mutex_lock(&state->lock);
    count = state->owner == getpid() ? state->idle_count : 0;
    for (unsigned i = 0; i < count; i++)
        dropped[i] = state->idle[i];
    state->idle_count = 0;
    state->in_use += count;
    pthread_mutex_unlock(&state->lock);
    for (unsigned i = 0; i < count; i++)
        dropped[i].functions->C_CloseSession(dropped[i].handle);
    pthread_mutex_lock(&state->lock);
    state->in_use -= count;
    pthread_cond_broadcast(&state->changed);
    pthread_mutex_unlock(&state->lock);
}
