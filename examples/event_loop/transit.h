/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of Vault's and OpenBao's Transit that never waits: each call is one HTTP request on the
 * event loop.  What it wraps is what libenvol-kms wraps, and the other way round: the slot's key
 * reference is MOUNT/KEY, the wrapped DEK the text "vault:vN:..." without an end, the key version
 * N, and `context` the base64 of envol_context_encode (envol-kms(7)).
 */
#ifndef EVENT_LOOP_TRANSIT_H
#define EVENT_LOOP_TRANSIT_H

#include "loop.h"

#include <envol.h>

enum transit_verb {
    TRANSIT_KEY,     /* is the key derived? */
    TRANSIT_DATAKEY, /* a new DEK and its wrapping */
    TRANSIT_ENCRYPT, /* wraps dek */
    TRANSIT_DECRYPT, /* unwraps wrapped into dek */
    TRANSIT_REWRAP   /* wrapped under the key's newest version; dek stays where it is */
};

enum { TRANSIT_WRAPPED_MAX = 6144, TRANSIT_BODY_MAX = 16384, TRANSIT_ANSWER_MAX = 65536 };

/* In locked memory.  One request at a time. */
struct transit {
    struct loop_transfer transfer; /* first */
    struct loop *loop;
    enum transit_verb verb;
    void (*done)(void *ctx, enum envol_status status); /* on the loop */
    void *ctx;
    uint8_t dek[ENVOL_DEK_BYTES];
    char wrapped[TRANSIT_WRAPPED_MAX + 1]; /* text, with its NUL */
    char version[16];                      /* of wrapped, in an answer */
    char message[256];                     /* why a call failed; no secret */
    struct curl_slist *headers;
    size_t answer_bytes;
    char url[4096];
    char body[TRANSIT_BODY_MAX];
    char answer[TRANSIT_ANSWER_MAX];
};

/* Address, token and authority are VAULT_ADDR, VAULT_TOKEN and VAULT_CACERT.  ENVOL_E_ARGUMENT. */
enum envol_status transit_open(struct transit *transit, struct loop *loop);
void transit_close(struct transit *transit);

/*
 * Starts a call under the key MOUNT/KEY and a header's context; done is called unless this fails.
 * ENVOL_E_ARGUMENT (no such key reference, or not a wrapping of Transit's), ENVOL_E_NO_MEMORY.
 */
enum envol_status transit_ask(struct transit *transit, enum transit_verb verb, const char *key_ref,
                              const struct envol_header *header);

/* Takes a slot's wrapped DEK over into wrapped. */
enum envol_status transit_take(struct transit *transit, const struct envol_slot *slot);

#endif
