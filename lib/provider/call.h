/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One use of a provider, between the checks of its arguments and its answer: the call of the
 * vtable, what is checked of its outputs, and the audit.
 */
#ifndef ENVOL_PROVIDER_CALL_H
#define ENVOL_PROVIDER_CALL_H

#include "provider/check.h"

/* What unwrap may write: key services that authenticate in place need room behind the 64 bytes. */
#define ENVOL_UNWRAP_CAPACITY 128u

/* Pointers are borrowed; which are used depends on the operation. */
struct envol_call {
    const struct envol_provider *provider;
    enum envol_key_operation operation;
    struct envol_key_request request; /* rewrap: from */
    struct envol_key_request to;
    const void *wrapped; /* unwrap, rewrap */
    size_t wrapped_bytes;
    const uint8_t *plain;             /* wrap */
    uint8_t *dek;                     /* generate; unwrap: room of ENVOL_UNWRAP_CAPACITY */
    struct envol_wrapped_dek *answer; /* generate, wrap, rewrap */
    struct envol_key_info *info;      /* describe */
    struct envol_error *error;        /* whole */
    uint32_t attempts;                /* out */
};

/* Runs a call whose arguments were checked, time included; outputs may hold anything on failure. */
enum envol_status envol_call_run(struct envol_call *call);

#endif
