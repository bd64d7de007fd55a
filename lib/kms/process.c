/* SPDX-License-Identifier: BSD-2-Clause */
/* Forked children, told by the process's number: handlers of pthread_atfork run for fork alone. */
#include "kms/process.h"

#include "kms/fail.h"
#include <unistd.h>

enum envol_status envol_kms_process_check(pid_t opened_in, struct envol_error *error)
{
    if (opened_in == getpid())
        return ENVOL_OK;
    return envol_kms_fail(error, ENVOL_E_FORKED, "",
                          "the provider was opened by the parent of this process, which has to "
                          "open its own");
}
