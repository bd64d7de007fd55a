/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AWS Signature Version 4 (AWS General Reference, "Signature Version 4 signing process"): HMAC with
 * SHA-256 over a canonical form of the request.
 */
#ifndef ENVOL_KMS_SIGV4_H
#define ENVOL_KMS_SIGV4_H

#include "kms/text.h"
#include <time.h>

enum {
    ENVOL_KMS_DATE_BYTES = 17, /* "20150830T123600Z" */
    ENVOL_KMS_SIGNED_MAX = 8,
};

struct envol_kms_signed {
    const char *access_key_id;
    const char *secret_access_key;
    const char *region;
    const char *service;
    const char *date; /* "20150830T123600Z", which is also the header x-amz-date */
    const char *method;
    const char *path;  /* as it is sent, encoded */
    const char *query; /* canonical; "" */
    struct {
        const char *name; /* lower case, in byte order */
        const char *value;
    } headers[ENVOL_KMS_SIGNED_MAX];
    size_t header_count;
    const void *body;
    size_t body_bytes;
};

void envol_kms_sigv4_date(time_t when, char date[ENVOL_KMS_DATE_BYTES]);
/* The key that signs: HMACs of date (its first 8 characters), Region, service, "aws4_request". */
void envol_kms_sigv4_key(const struct envol_kms_signed *request, unsigned char key[32]);
/* Adds the value of the header Authorization. */
void envol_kms_sigv4_sign(const struct envol_kms_signed *request, struct envol_kms_text *out);

#endif
