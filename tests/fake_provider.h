/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "fake-kms": a key service in memory that tests order about.  Its keys are enabled, disabled and
 * deleted at run time, it counts every call, fails the n-th one, hangs, and breaks its contract in
 * named ways.  Its memory is shared with forked children: calls of theirs are counted too.
 */
#ifndef ENVOL_TESTS_FAKE_PROVIDER_H
#define ENVOL_TESTS_FAKE_PROVIDER_H

#include <envol/provider.h>
#include <stdbool.h>

struct fake_kms;

enum fake_operation {
    FAKE_GENERATE,
    FAKE_WRAP,
    FAKE_UNWRAP,
    FAKE_REWRAP,
    FAKE_DESCRIBE,
    FAKE_ANY /* all of them together */
};

enum fake_key_state {
    FAKE_KEY_ENABLED,
    FAKE_KEY_DISABLED,
    FAKE_KEY_PENDING_DELETION,
    FAKE_KEY_DENIED,
    FAKE_KEY_GONE
};

enum fake_misbehaviour {
    FAKE_HONEST,
    FAKE_BLOB_6144,            /* honest too: the longest blob there may be */
    FAKE_DEK_31,               /* unwrap: 31 bytes */
    FAKE_DEK_65,               /* unwrap: 65 bytes */
    FAKE_DEK_UNSET,            /* generate: a wrapping, and no DEK */
    FAKE_DEK_ZERO,             /* generate, unwrap: zeros */
    FAKE_DEK_GARBAGE,          /* unwrap: 64 bytes that nobody wrapped */
    FAKE_DEK_OTHER,            /* unwrap: the DEK that was generated before this one */
    FAKE_BLOB_EMPTY,           /* a wrapping of no bytes */
    FAKE_BLOB_6145,            /* a wrapping that says it is longer than its array */
    FAKE_REF_EMPTY,            /* no key reference */
    FAKE_REF_UNTERMINATED,     /* no NUL in the key reference */
    FAKE_REF_ESCAPE,           /* a terminal's escape sequence in it */
    FAKE_VERSION_UNTERMINATED, /* no NUL in the key version */
    FAKE_STATE_UNKNOWN,        /* describe: a state of 99 */
    FAKE_NO_OUTPUT,            /* success, and no output */
    FAKE_STATUS_UNKNOWN,       /* status 999, and struct_size of the error cleared */
    FAKE_STATUS_FOREIGN,       /* ENVOL_E_STALE: a status, but not a provider's */
    FAKE_STATUS_REVOKED,       /* ENVOL_E_KEY_REVOKED, which only a lease may answer */
    FAKE_OUTPUT_AND_FAILURE,   /* fills every output, struct_size included, and fails */
    FAKE_ERROR_UNTERMINATED    /* fails, with a message and a code that have no NUL */
};

/* All that a provider may answer but ENVOL_OK. */
enum { FAKE_STATUSES = 21 };
extern const enum envol_status fake_statuses[FAKE_STATUSES];

/* Fails the test if there is no memory.  Providers opened on it must be closed before. */
struct fake_kms *fake_kms_new(void);
void fake_kms_free(struct fake_kms *fake);

/* A provider, with a rewrap of its own or without.  Any number of them on one service.  LOCAL, so
 * that a call is one call: limited_service.h has one that the library retries. */
struct envol_provider *fake_kms_open(struct fake_kms *fake);
struct envol_provider *fake_kms_open_without_rewrap(struct fake_kms *fake);
/* How many of them were closed. */
unsigned fake_kms_closed(struct fake_kms *fake);

/* A key, enabled, of version 1; the first one is the default.  At most 8.  Key material depends on
 * reference and version alone, so that another service of the same keys unwraps the same blobs. */
void fake_kms_add_key(struct fake_kms *fake, const char *key_ref);
void fake_kms_set_state(struct fake_kms *fake, const char *key_ref, enum fake_key_state state);
void fake_kms_rotate(struct fake_kms *fake, const char *key_ref);

unsigned fake_kms_calls(struct fake_kms *fake, enum fake_operation operation);
/* The n-th call from now on (1: the next) answers status; 0: none does. */
void fake_kms_fail(struct fake_kms *fake, enum fake_operation operation, unsigned nth,
                   enum envol_status status);
/* From now on; one at a time. */
void fake_kms_misbehave(struct fake_kms *fake, enum fake_misbehaviour how);
/* Calls wait until their deadline, their cancel flag, or ten seconds (ENVOL_E_UNREACHABLE). */
void fake_kms_hang(struct fake_kms *fake, bool hang);
/* What happens once, while the next unwrapping is under way. */
void fake_kms_before(struct fake_kms *fake, void (*before)(void *ctx), void *ctx);

/* The DEK that was generated last.  It is kept masked, so that a scan of memory for it finds only
 * what the library left there.  False if there was none. */
bool fake_kms_last_dek(struct fake_kms *fake, uint8_t dek[ENVOL_DEK_BYTES]);
/* The key reference that was asked for last, "" for NULL; a static buffer. */
const char *fake_kms_last_key_ref(struct fake_kms *fake);

#endif
