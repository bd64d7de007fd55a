/* SPDX-License-Identifier: BSD-2-Clause */
/* Hostile answers of key services: what the fuzzer and its short suite feed the parsers. */
#ifndef ENVOL_TESTS_KMS_HARNESS_H
#define ENVOL_TESTS_KMS_HARNESS_H

#include <stddef.h>
#include <stdint.h>

enum kms_depth {
    KMS_REFUSED,   /* not JSON, or not within bounds */
    KMS_PARSED,    /* an object */
    KMS_PLAINTEXT, /* an object with a secret Plaintext in base64 */
};

/*
 * The first byte says how the rest is read: as JSON of an answer, or as a profile file.  Aborts if
 * a parser breaks its contract.
 */
enum kms_depth kms_harness(const uint8_t *input, size_t bytes);

#endif
