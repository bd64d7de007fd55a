/* SPDX-License-Identifier: BSD-2-Clause */
/* A fake key service with two keys, a provider on it, and what its calls are given. */
#ifndef ENVOL_TESTS_KMS_FIXTURE_H
#define ENVOL_TESTS_KMS_FIXTURE_H

#include "fake_provider.h"
#include "support.h"

#define REF   "arn:aws:kms:eu-central-1:111122223333:key/one"
#define OTHER "arn:aws:kms:eu-central-1:111122223333:key/two"

struct kms_fixture {
    struct fake_kms *fake; /* of keys REF, the default, and OTHER */
    struct envol_provider *provider;
    struct envol_wrapped_dek wrapped, second;
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_error error;
};
extern struct kms_fixture kms;

/* A case of tests between which the fixture is made anew. */
TCase *kms_case(Suite *suite, const char *name);

/* A request with a context of three pairs. */
extern const struct envol_context_pair kms_pairs[3];
struct envol_key_request kms_request(const char *key_ref, const char *key_version);
/* Generates kms.dek and kms.wrapped under REF. */
void kms_generate(void);
/* Fills kms.dek and kms.wrapped with rubbish, which a failing call must remove. */
void kms_fill_outputs(void);

void ck_zero(const void *memory, size_t bytes);
void ck_wrapped_empty(const struct envol_wrapped_dek *wrapped);
/* Every call refuses the request, as one of a slot or as one for a new wrapping, and the service
 * does not hear of it. */
void ck_request_refused(const struct envol_key_request *slot, const struct envol_key_request *fresh,
                        enum envol_status expected);

#endif
