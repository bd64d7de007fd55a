/* SPDX-License-Identifier: BSD-2-Clause */
/* A SoftHSM 2 token of a test's own, with a CMK in it, and its administration from another process.
 */
#ifndef ENVOL_TESTS_SOFTHSM_FIXTURE_H
#define ENVOL_TESTS_SOFTHSM_FIXTURE_H

#include "support.h"

#include <envol-pkcs11.h>
#include <p11-kit/pkcs11.h>

#define SOFTHSM_PIN   "98765432"
#define SOFTHSM_LABEL "envol test"

/* The key that softhsm_begin makes: CKA_ID 01, CKA_LABEL "cmk", of known value. */
struct softhsm_fixture {
    const char *module;
    struct envol_provider *provider; /* for pkcs11:token=envol%20test;id=%01 */
    struct envol_error error;
};
extern struct softhsm_fixture softhsm;

TCase *softhsm_case(Suite *suite, const char *name);

/* A provider for the key of this id (or other attributes), with the right PIN. */
struct envol_provider *softhsm_open(const char *key);

/* What an administrator does, in a process of its own; each must succeed. */
void softhsm_add_key(uint8_t id, CK_ULONG value_bytes, CK_BBOOL encrypts, CK_BBOOL decrypts);
void softhsm_destroy_key(uint8_t id);
void softhsm_set(uint8_t id, CK_ATTRIBUTE_TYPE attribute, CK_BBOOL value);

#endif
