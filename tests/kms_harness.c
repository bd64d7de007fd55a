/* SPDX-License-Identifier: BSD-2-Clause */
/* One input through the parsers, in memory of its own size, so that a sanitizer sees every step. */
#include "kms_harness.h"

#include "kms/aws.h"
#include "kms/vault.h"
#include <stdlib.h>
#include <string.h>

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* A secret that was lifted lies within the room, and no longer in the text. */
static enum kms_depth use(const struct envol_kms_json *json, const char *room, size_t room_bytes)
{
    const char *secret = NULL;
    size_t length = 0, bytes = 0;
    uint8_t out[128];

    for (size_t i = 0; i < json->count; i++)
        expect(json->secrets[i] >= room &&
               json->secrets[i] + json->lengths[i] <= room + room_bytes);
    if (!envol_kms_json_secret(json, json->root, "Plaintext", &secret, &length))
        return KMS_PARSED;
    if (!envol_kms_base64_decode(secret, length, out, sizeof(out), &bytes))
        return KMS_PARSED;
    expect(bytes <= sizeof(out));
    return KMS_PLAINTEXT;
}

static enum kms_depth read_json(const uint8_t *input, size_t bytes)
{
    char *text = malloc(bytes + 1);
    char *room = malloc(bytes + 1);
    struct envol_kms_json json;
    enum kms_depth depth = KMS_REFUSED;

    expect(text != NULL && room != NULL);
    memcpy(text, input, bytes);
    if (envol_kms_json_parse(text, bytes, room, bytes, &json))
        depth = use(&json, room, bytes);
    else
        expect(json.root == NULL);
    envol_kms_json_free(&json);
    free(text);
    free(room);
    return depth;
}

static void read_failures(const uint8_t *input, size_t bytes)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_vault_call call = {.code = 400};
    char *text = malloc(bytes + 1);

    expect(text != NULL);
    memcpy(text, input, bytes);
    expect(envol_kms_aws_failure(400, text, bytes, &error).status != ENVOL_OK);
    expect(memchr(error.message, '\0', sizeof(error.message)) != NULL);
    memcpy(text, input, bytes);
    if (envol_kms_json_parse(text, bytes, call.room, sizeof(call.room), &call.json))
        expect(envol_kms_vault_failure(&call, &error) != ENVOL_OK);
    envol_kms_json_free(&call.json);
    free(text);
}

static void read_profile(const uint8_t *input, size_t bytes)
{
    static const char *const names[] = {"region", "services", "kms.endpoint_url", "role_arn"};
    char *text = malloc(bytes + 1);
    char value[64];

    expect(text != NULL);
    memcpy(text, input, bytes);
    text[bytes] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (envol_kms_ini_get(text, i % 2 == 0 ? "default" : "profile one", names[i], value,
                              sizeof(value)))
            expect(strlen(value) > 0 && strlen(value) < sizeof(value));
    }
    (void)envol_kms_aws_time(text);
    free(text);
}

enum kms_depth kms_harness(const uint8_t *input, size_t bytes)
{
    if (bytes == 0)
        return KMS_REFUSED;
    if (input[0] % 4 == 3) {
        read_profile(input + 1, bytes - 1);
        return KMS_REFUSED;
    }
    if (input[0] % 4 == 2)
        read_failures(input + 1, bytes - 1);
    return read_json(input + 1, bytes - 1);
}
