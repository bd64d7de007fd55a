/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading answers.  Secrets are lifted out of the text before the JSON library sees it: it copies
 * strings while it reads them, and frees copies without wiping them.
 */
#ifndef ENVOL_KMS_JSON_H
#define ENVOL_KMS_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum {
    ENVOL_KMS_JSON_DEPTH = 16,
    ENVOL_KMS_JSON_SECRETS = 4,
};

struct json_t; /* of <jansson.h> */

struct envol_kms_json {
    struct json_t *root;                         /* an object; NULL if the text is no JSON */
    const char *secrets[ENVOL_KMS_JSON_SECRETS]; /* into the caller's room, no NUL */
    size_t lengths[ENVOL_KMS_JSON_SECRETS];
    size_t count;
};

/*
 * Parses a text, which is changed: the values of members with the names of secrets (Plaintext and
 * others) move to room, which the caller wipes.  False, and root NULL, if the text is not one JSON
 * object, is nested too deeply, names a member twice, or has more secrets than there is room for.
 */
bool envol_kms_json_parse(char *text, size_t bytes, char *room, size_t room_bytes,
                          struct envol_kms_json *json);
void envol_kms_json_free(struct envol_kms_json *json);

/* A member that is a secret: true, and where it lies. */
bool envol_kms_json_secret(const struct envol_kms_json *json, const struct json_t *object,
                           const char *name, const char **secret, size_t *length);
/* A member that is a string; NULL if it is not there or is none. */
const char *envol_kms_json_string(const struct json_t *object, const char *name);

/* Base64 of RFC 4648 with padding and nothing else, to at most capacity bytes. */
bool envol_kms_base64_decode(const char *text, size_t length, void *out, size_t capacity,
                             size_t *bytes);

#endif
