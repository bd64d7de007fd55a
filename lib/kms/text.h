/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building requests in memory of the caller's that never grows, so that no copy of a secret is left
 * behind by growing.  What does not fit is not written, and `full` says so at the end.
 */
#ifndef ENVOL_KMS_TEXT_H
#define ENVOL_KMS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct envol_kms_text {
    char *data; /* always ends with a NUL */
    size_t capacity;
    size_t length;
    bool full;
};

struct envol_kms_text envol_kms_text(char *data, size_t capacity);
void envol_kms_text_add(struct envol_kms_text *text, const char *string);
void envol_kms_text_bytes(struct envol_kms_text *text, const void *bytes, size_t count);
/* For what is no secret: printf may keep copies. */
void envol_kms_text_format(struct envol_kms_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes (RFC 8259). */
void envol_kms_text_json(struct envol_kms_text *text, const char *string);
void envol_kms_text_base64(struct envol_kms_text *text, const void *bytes, size_t count);
void envol_kms_text_hex(struct envol_kms_text *text, const void *bytes, size_t count);
/* Percent-encoded but for RFC 3986's unreserved characters, and "/" where keep_slashes. */
void envol_kms_text_uri(struct envol_kms_text *text, const char *string, bool keep_slashes);

#endif
