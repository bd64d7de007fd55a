/* SPDX-License-Identifier: BSD-2-Clause */
/* Fixtures in a program that is no suite: a fuzz target. */
#ifndef ENVOL_TESTS_OUTSIDE_RUNNER_H
#define ENVOL_TESTS_OUTSIDE_RUNNER_H

/* Before the first fixture: the marks that assertions leave have somewhere to go.  Without it they
 * end the process. */
void outside_runner(void);

#endif
