/* SPDX-License-Identifier: BSD-2-Clause */
/* "To within 100 ms": asserted on machines that others use too. */
#ifndef ENVOL_TESTS_PROMPT_H
#define ENVOL_TESTS_PROMPT_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed before the first try. */
struct prompt {
    unsigned tries;
};

/*
 * One try took so long.  False if that is below 100 ms, or below 2 s under a tool; true if it is to
 * be tried again, as the machine may have been busy.  The fifth that is late fails the test: code
 * that waits longer is late each time.
 */
bool prompt_is_late(struct prompt *prompt, uint64_t late_ms);

#endif
