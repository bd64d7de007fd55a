/* SPDX-License-Identifier: BSD-2-Clause */
/* Which process a provider is of. */
#ifndef ENVOL_KMS_PROCESS_H
#define ENVOL_KMS_PROCESS_H

#include <envol/status.h>
#include <sys/types.h>

/*
 * ENVOL_E_FORKED in another process than the one that opened the provider, which is a child of it:
 * credentials are wiped there, and a lock that was held at the fork is held for ever.
 */
enum envol_status envol_kms_process_check(pid_t opened_in, struct envol_error *error);

#endif
