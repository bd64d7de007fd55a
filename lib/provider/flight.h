/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One call in flight per wrapped DEK.  Whoever asks for an unwrapping that is under way (the same
 * provider handle, key, version, context, flags and wrapped bytes) waits for it and shares its
 * answer: a hundred readers that open one volume at once are one call of the service, not a hundred
 * in a row.  The DEK stays in the first caller's memory, which that caller holds until the last one
 * that waits has copied it, and no longer; an answer is never kept for those who come later.
 *
 * Answers that are about the first caller and not about the key (its deadline, its flag, its
 * memory) are not shared: the next one in line asks again.
 */
#ifndef ENVOL_PROVIDER_FLIGHT_H
#define ENVOL_PROVIDER_FLIGHT_H

#include "provider/call.h"

/* Runs an unwrapping through `run`, or shares another's: call->attempts is 0 then. */
enum envol_status envol_flight_run(struct envol_call *call,
                                   enum envol_status (*run)(struct envol_call *call));

/* In a child: its parent's threads have taken their calls with them.  Under the line's lock. */
void envol_flight_forget(void);

#endif
