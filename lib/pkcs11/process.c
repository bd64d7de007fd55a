/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which process is within a call of a module.  Fork copies the locks of modules, of p11-kit and of
 * ours as they are: a child of a fork that came while another thread held one would wait for ever.
 * One word for the whole process, as modules and their locks are the process's too: its number and
 * how many calls are in progress.  A child finds its parent's number there, and knows.
 */
#include "pkcs11/pkcs11.h"

#include <stdatomic.h>
#include <unistd.h>

static _Atomic uint64_t process_and_calls;

enum envol_status envol_pkcs11_enter(struct envol_error *error)
{
    uint64_t self = (uint64_t)getpid() << 32;
    uint64_t word = atomic_load(&process_and_calls), next;

    do {
        uint64_t calls = word & UINT32_MAX;

        if (word - calls == self)
            next = word + 1;
        else if (calls == 0)
            next = self + 1;
        else
            return envol_pkcs11_fail(error, ENVOL_E_FORKED,
                                     "forked while another thread was using a PKCS#11 module");
    } while (!atomic_compare_exchange_weak(&process_and_calls, &word, next));
    return ENVOL_OK;
}

void envol_pkcs11_leave(void)
{
    atomic_fetch_sub(&process_and_calls, 1);
}
