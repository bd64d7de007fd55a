/* SPDX-License-Identifier: BSD-2-Clause */
/* A volume's life under two CMKs of a key service, the same for every provider: created, rewrapped,
 * gone dark while its CMK is refused, and back. */
#ifndef ENVOL_TESTS_CMK_LIFE_H
#define ENVOL_TESTS_CMK_LIFE_H

#include "support.h"

struct cmk_life {
    /* Of the key that the volume is created under, and of the one that it is rewrapped to. */
    struct envol_provider *providers[2];
    const char *key_refs[2]; /* NULL: the only one of its provider */
    /* What the service's administrator does; told by the CMK which key. */
    void (*revoke)(const struct envol_cmk *cmk), (*restore)(const struct envol_cmk *cmk);
    enum envol_status revoked; /* what opening answers while the key is revoked */
    enum envol_status left; /* what it answers with the first CMK, which no slot names any more */
    const char *rewrap;     /* uses of providers that a rewrap takes: "rewrap unwrap " */
};

/* The first key is revoked at the end. */
void cmk_life(const struct cmk_life *life);

#endif
