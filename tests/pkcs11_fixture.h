/* SPDX-License-Identifier: BSD-2-Clause */
/* A provider on the fake module, and what its calls are given. */
#ifndef ENVOL_TESTS_PKCS11_FIXTURE_H
#define ENVOL_TESTS_PKCS11_FIXTURE_H

#include "fake_pkcs11.h"
#include "support.h"

#include <envol-pkcs11.h>
#include <limits.h>

/* What the fake token's key is called in slots. */
#define FAKE_REF "pkcs11:serial=0001;id=%01%02"

struct pkcs11_fixture {
    char module[PATH_MAX]; /* path of the fake module */
    struct fake_token *token;
    struct envol_provider *provider; /* for pkcs11:id=%01%02, with the PIN of pkcs11.pin */
    struct envol_wrapped_dek wrapped;
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_error error;

    const char *pin; /* what the callback gives; NULL: it answers pin_status */
    enum envol_status pin_status;
    _Atomic unsigned pins_asked;
    char pin_token[64]; /* what it was told of the token */
};
extern struct pkcs11_fixture pkcs11;

/* A case of tests between which module, token and provider are new. */
TCase *pkcs11_case(Suite *suite, const char *name);

/* Opens a provider for a URI, on the fake module unless the URI names one. */
struct envol_provider *pkcs11_open(const char *uri);
/* The callback of pkcs11.provider. */
enum envol_status pkcs11_give_pin(void *ctx, const char *token, char *pin, size_t capacity,
                                  size_t *pin_bytes);

extern const struct envol_context_pair pkcs11_pairs[3];
struct envol_key_request pkcs11_request(const char *key_version);
/* Calls of pkcs11.provider, recorded; generate fills pkcs11.dek and wrapped. */
enum envol_status pkcs11_generate(void);
enum envol_status pkcs11_wrap(void);
enum envol_status pkcs11_unwrap(void);
enum envol_status pkcs11_describe(struct envol_key_info *info);
/* pkcs11.wrapped opens, and to pkcs11.dek. */
void pkcs11_unwraps(void);

void pkcs11_refuse(enum fake_call call, CK_RV code, int times);

#endif
