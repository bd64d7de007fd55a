/* SPDX-License-Identifier: BSD-2-Clause */
/* A clock for the waits of lib/provider that nothing moves but those who wait. */
#ifndef ENVOL_TESTS_SIMULATED_CLOCK_H
#define ENVOL_TESTS_SIMULATED_CLOCK_H

#include <stdint.h>

/* Of one thread at a time. */
extern uint64_t simulated_us;

/* From now on; envol_clock_set(NULL) ends it.  Of every jitter it draws the middle. */
void simulate(void);

#endif
