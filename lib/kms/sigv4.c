/* SPDX-License-Identifier: BSD-2-Clause */
/* Signing.  The canonical request is hashed as it is put together and never lies in memory whole.
 */
#include "kms/sigv4.h"

#include <sodium.h>
#include <string.h>

enum { HASH_BYTES = crypto_hash_sha256_BYTES, DAY_CHARACTERS = 8 };

static void hash_text(crypto_hash_sha256_state *state, const char *text)
{
    crypto_hash_sha256_update(state, (const unsigned char *)text, strlen(text));
}

static void hash_hex(crypto_hash_sha256_state *state, const unsigned char hash[HASH_BYTES])
{
    char hex[2 * HASH_BYTES + 1];

    sodium_bin2hex(hex, sizeof(hex), hash, HASH_BYTES);
    hash_text(state, hex);
}

static void hmac(const void *key, size_t key_bytes, const void *text, size_t bytes,
                 unsigned char out[HASH_BYTES])
{
    crypto_auth_hmacsha256_state state;

    crypto_auth_hmacsha256_init(&state, key, key_bytes);
    crypto_auth_hmacsha256_update(&state, text, bytes);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof(state));
}

void envol_kms_sigv4_date(time_t when, char date[ENVOL_KMS_DATE_BYTES])
{
    struct tm utc;

    gmtime_r(&when, &utc);
    strftime(date, ENVOL_KMS_DATE_BYTES, "%Y%m%dT%H%M%SZ", &utc);
}

void envol_kms_sigv4_key(const struct envol_kms_signed *request, unsigned char key[32])
{
    static const char prefix[] = "AWS4", suffix[] = "aws4_request";
    const char *secret = request->secret_access_key;
    unsigned char first[260];
    size_t length = strnlen(secret, sizeof(first) - 4);

    memcpy(first, prefix, 4);
    memcpy(first + 4, secret, length);
    hmac(first, 4 + length, request->date, DAY_CHARACTERS, key);
    hmac(key, HASH_BYTES, request->region, strlen(request->region), key);
    hmac(key, HASH_BYTES, request->service, strlen(request->service), key);
    hmac(key, HASH_BYTES, suffix, sizeof(suffix) - 1, key);
    sodium_memzero(first, sizeof(first));
}

static void hash_signed_names(crypto_hash_sha256_state *state,
                              const struct envol_kms_signed *request)
{
    for (size_t i = 0; i < request->header_count; i++) {
        hash_text(state, i > 0 ? ";" : "");
        hash_text(state, request->headers[i].name);
    }
}

static void hash_request(const struct envol_kms_signed *request, unsigned char hash[HASH_BYTES])
{
    crypto_hash_sha256_state state;
    unsigned char body[HASH_BYTES];

    crypto_hash_sha256(body, request->body, request->body_bytes);
    crypto_hash_sha256_init(&state);
    hash_text(&state, request->method);
    hash_text(&state, "\n");
    hash_text(&state, request->path);
    hash_text(&state, "\n");
    hash_text(&state, request->query);
    hash_text(&state, "\n");
    for (size_t i = 0; i < request->header_count; i++) {
        hash_text(&state, request->headers[i].name);
        hash_text(&state, ":");
        hash_text(&state, request->headers[i].value);
        hash_text(&state, "\n");
    }
    hash_text(&state, "\n");
    hash_signed_names(&state, request);
    hash_text(&state, "\n");
    hash_hex(&state, body);
    crypto_hash_sha256_final(&state, hash);
}

static void sign_hash(const struct envol_kms_signed *request, const unsigned char hash[HASH_BYTES],
                      const char *scope, unsigned char signature[HASH_BYTES])
{
    static const char algorithm[] = "AWS4-HMAC-SHA256\n";
    char hex[2 * HASH_BYTES + 1];
    unsigned char key[HASH_BYTES];
    crypto_auth_hmacsha256_state state;

    sodium_bin2hex(hex, sizeof(hex), hash, HASH_BYTES);
    envol_kms_sigv4_key(request, key);
    crypto_auth_hmacsha256_init(&state, key, sizeof(key));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)algorithm, sizeof(algorithm) - 1);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)request->date,
                                  strlen(request->date));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)"\n", 1);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)scope, strlen(scope));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)"\n", 1);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)hex, 2 * HASH_BYTES);
    crypto_auth_hmacsha256_final(&state, signature);
    sodium_memzero(&state, sizeof(state));
    sodium_memzero(key, sizeof(key));
}

void envol_kms_sigv4_sign(const struct envol_kms_signed *request, struct envol_kms_text *out)
{
    unsigned char hash[HASH_BYTES], signature[HASH_BYTES];
    char room[256];
    struct envol_kms_text scope = envol_kms_text(room, sizeof(room));

    envol_kms_text_format(&scope, "%.*s/%s/%s/aws4_request", DAY_CHARACTERS, request->date,
                          request->region, request->service);
    hash_request(request, hash);
    sign_hash(request, hash, room, signature);
    envol_kms_text_format(
        out, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=", request->access_key_id, room);
    for (size_t i = 0; i < request->header_count; i++)
        envol_kms_text_format(out, "%s%s", i > 0 ? ";" : "", request->headers[i].name);
    envol_kms_text_add(out, ", Signature=");
    envol_kms_text_hex(out, signature, sizeof(signature));
    out->full = out->full || scope.full;
}
