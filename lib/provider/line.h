/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may call a key service now.  Callers stand in a line for each provider name, first come,
 * first served, and wait in their own threads; the library has none for it.  One lock, held for
 * moments, guards the lines, the bucket of retries and the calls in flight (flight.h).
 */
#ifndef ENVOL_PROVIDER_LINE_H
#define ENVOL_PROVIDER_LINE_H

#include "provider/check.h"
#include "provider/clock.h"
#include "provider/pace.h"
#include "provider/retry.h"

struct envol_line;

/* A call that was let through. */
struct envol_turn {
    struct envol_line *line;
    uint64_t begun_us;
    bool waited;
};

/*
 * Waits for a turn.  ENVOL_E_CANCELLED (within 100 ms of the flag), ENVOL_E_TIMEOUT,
 * ENVOL_E_NO_MEMORY.
 */
enum envol_status envol_turn_take(const struct envol_provider *provider,
                                  const struct envol_key_request *request, struct envol_turn *turn,
                                  struct envol_error *error);
/* The call's answer, which sets the pace for those in the line. */
void envol_turn_give(const struct envol_turn *turn, enum envol_status status);

/* The policy of retry.h on the process's bucket. */
bool envol_line_retry(struct envol_retry *retry, enum envol_status status, uint64_t *wait_us);
void envol_line_succeeded(const struct envol_retry *retry);
void envol_line_withdraw(const struct envol_retry *retry, const struct envol_retry *made);

/* Waits between two attempts.  ENVOL_E_TIMEOUT at once if the deadline comes first; CANCELLED. */
enum envol_status envol_line_pause(const struct envol_key_request *request, uint64_t wait_us);

/* The lock; in a child whatever the parent's threads had in it is forgotten.  False: no memory. */
bool envol_line_lock(void);
void envol_line_unlock(void);
/* Waits for cond under the lock, for a step that leaves time to look at the cancel flag. */
void envol_line_wait(pthread_cond_t *cond, const struct envol_key_request *request,
                     uint64_t until_us);
/* For tests: as in a process that has not called anything. */
void envol_line_forget(void);

#endif
