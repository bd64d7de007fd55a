/* SPDX-License-Identifier: BSD-2-Clause */
#include "outside_runner.h"

/* Check's own, in its library but in no header. */
void setup_messaging(void);

void outside_runner(void)
{
    setup_messaging();
}
