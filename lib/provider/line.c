/* SPDX-License-Identifier: BSD-2-Clause */
/* The lines before key services, and what else a process's calls have in common. */
#include "provider/line.h"

#include "base/arena.h"
#include "base/error.h"
#include "provider/flight.h"
#include <string.h>

struct waiter {
    struct waiter *next;
    pthread_cond_t first; /* it is its turn to look at the pace */
};

struct envol_line {
    char name[ENVOL_PROVIDER_NAME_MAX + 1];
    struct envol_pace pace;
    struct waiter *waiters;
};

/* Providers beyond the last line share it: they wait more than they need to, and no less. */
enum { LINES = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct envol_line lines[LINES];
static struct envol_retry_bucket bucket;
static uint64_t generation; /* of the process that all this is of */

/* The line's threads are the parent's; what it learnt of the service holds here too. */
static void leave_parent(void)
{
    for (size_t i = 0; i < LINES; i++) {
        lines[i].waiters = NULL;
        lines[i].pace.in_flight = 0;
    }
    envol_flight_forget();
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* At once: the stacks that the lists lead through are soon other threads'. */
static void in_child(void)
{
    leave_parent();
    pthread_mutex_unlock(&lock);
}

static int fork_failed;

static void guard_fork(void)
{
    fork_failed = pthread_atfork(before_fork, in_parent, in_child);
}

bool envol_line_lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t here = envol_process_generation();

    if (pthread_once(&once, guard_fork) != 0 || fork_failed != 0 || here == 0)
        return false;
    pthread_mutex_lock(&lock);
    if (generation != here && generation != 0)
        leave_parent(); /* of a clone that ran no handlers */
    generation = here;
    return true;
}

void envol_line_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void envol_line_forget(void)
{
    if (!envol_line_lock())
        return;
    memset(lines, 0, sizeof(lines));
    memset(&bucket, 0, sizeof(bucket));
    envol_line_unlock();
}

static uint64_t now_us(void)
{
    return envol_clock()->now_us();
}

void envol_line_wait(pthread_cond_t *cond, const struct envol_key_request *request,
                     uint64_t until_us)
{
    uint64_t step = now_us() + ENVOL_CANCEL_STEP_US;

    if (request->deadline_ms != 0 && request->deadline_ms * 1000 < until_us)
        until_us = request->deadline_ms * 1000;
    if (request->cancel_flag != NULL && step < until_us)
        until_us = step;
    /* No clock goes that far, and time_t may not. */
    if (until_us > now_us() + ENVOL_PACE_FORGET_US)
        until_us = now_us() + ENVOL_PACE_FORGET_US;
    envol_clock()->wait(cond, &lock, until_us);
}

static struct envol_line *line_of(const char *name)
{
    size_t i = 0;

    while (i + 1 < LINES && lines[i].name[0] != '\0' && strcmp(lines[i].name, name) != 0)
        i++;
    if (lines[i].name[0] == '\0')
        memcpy(lines[i].name, name, strlen(name) + 1);
    return &lines[i];
}

static void call_first(struct envol_line *line)
{
    if (line->waiters != NULL)
        pthread_cond_signal(&line->waiters->first);
}

static void join(struct envol_line *line, struct waiter *waiter)
{
    struct waiter **end = &line->waiters;

    while (*end != NULL)
        end = &(*end)->next;
    waiter->next = NULL;
    *end = waiter;
}

static void quit(struct envol_line *line, const struct waiter *waiter)
{
    struct waiter **at = &line->waiters;

    while (*at != NULL && *at != waiter)
        at = &(*at)->next;
    if (*at != NULL)
        *at = waiter->next;
    call_first(line);
}

static uint64_t after(uint64_t wait_us)
{
    uint64_t now = now_us();

    return wait_us < UINT64_MAX - now ? now + wait_us : UINT64_MAX;
}

/* Only the first one looks at the pace; the others sleep until they are it. */
static enum envol_status wait_in(struct envol_line *line, const struct envol_key_request *request,
                                 struct envol_error *error)
{
    struct waiter self = {.next = NULL};
    enum envol_status status = ENVOL_OK;

    if (!envol_cond_init(&self.first))
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    join(line, &self);
    for (;;) {
        uint64_t wait_us = line->waiters == &self ? envol_pace_wait_us(&line->pace, now_us())
                                                  : ENVOL_PACE_WAIT_FOR_END;
        status = envol_request_time(request, error);
        if (status != ENVOL_OK || wait_us == 0)
            break;
        envol_line_wait(&self.first, request, after(wait_us));
    }
    quit(line, &self);
    pthread_cond_destroy(&self.first);
    return status;
}

enum envol_status envol_turn_take(const struct envol_provider *provider,
                                  const struct envol_key_request *request, struct envol_turn *turn,
                                  struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (!envol_line_lock())
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    *turn = (struct envol_turn){.line = line_of(provider->vtable.name)};
    turn->waited =
        turn->line->waiters != NULL || envol_pace_wait_us(&turn->line->pace, now_us()) != 0;
    status =
        turn->waited ? wait_in(turn->line, request, error) : envol_request_time(request, error);
    if (status == ENVOL_OK) {
        turn->begun_us = now_us();
        envol_pace_begin(&turn->line->pace, turn->begun_us);
    }
    /* It may be that the next one need not wait either. */
    call_first(turn->line);
    envol_line_unlock();
    return status;
}

static enum envol_pace_outcome outcome_of(enum envol_status status)
{
    if (status == ENVOL_E_THROTTLED)
        return ENVOL_PACE_THROTTLED;
    return status == ENVOL_E_UNREACHABLE || status == ENVOL_E_TIMEOUT || status == ENVOL_E_CANCELLED
               ? ENVOL_PACE_LOST
               : ENVOL_PACE_SERVED;
}

void envol_turn_give(const struct envol_turn *turn, enum envol_status status)
{
    if (!envol_line_lock())
        return;
    envol_pace_end(&turn->line->pace, turn->begun_us, now_us(), outcome_of(status), turn->waited);
    call_first(turn->line);
    envol_line_unlock();
}

bool envol_line_retry(struct envol_retry *retry, enum envol_status status, uint64_t *wait_us)
{
    double chance = envol_clock()->chance();
    bool again;

    *wait_us = 0;
    if (!envol_line_lock())
        return false;
    again = envol_retry_again(retry, &bucket, status, chance, wait_us);
    envol_line_unlock();
    return again;
}

void envol_line_succeeded(const struct envol_retry *retry)
{
    if (!envol_line_lock())
        return;
    envol_retry_succeeded(retry, &bucket);
    envol_line_unlock();
}

void envol_line_withdraw(const struct envol_retry *retry, const struct envol_retry *made)
{
    if (!envol_line_lock())
        return;
    envol_retry_withdraw(retry, made, &bucket);
    envol_line_unlock();
}

enum envol_status envol_line_pause(const struct envol_key_request *request, uint64_t wait_us)
{
    uint64_t end = after(wait_us);

    if (request->deadline_ms != 0 && end / 1000 >= request->deadline_ms)
        return ENVOL_E_TIMEOUT;
    while (now_us() < end) {
        uint64_t step = now_us() + ENVOL_CANCEL_STEP_US;
        enum envol_status status = envol_request_time(request, NULL);
        if (status != ENVOL_OK)
            return status;
        envol_clock()->sleep(request->cancel_flag == NULL || end < step ? end : step);
    }
    return envol_request_time(request, NULL);
}
