/* SPDX-License-Identifier: BSD-2-Clause */
/* Making, reading and forging headers. */
#include "header_fixture.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/kdf.h"
#include "page/derive.h"
#include "support.h"

#include <string.h>

struct envol_header *header_new(const struct header_fixture *f, enum envol_suite suite)
{
    const struct envol_header_params params = {
        .struct_size = sizeof(params), .suite = suite, .page_bytes = 4096, .uuid = f->uuid};
    struct envol_header *header;

    ck_ok(envol_header_new(&params, &header));
    return header;
}

struct envol_slot header_slot(const char *key_ref, size_t wrapped_bytes)
{
    static uint8_t wrapped[ENVOL_WRAPPED_MAX + 1];

    memset(wrapped, 0x5a, sizeof(wrapped));
    return (struct envol_slot){.struct_size = sizeof(struct envol_slot),
                               .provider = HEADER_PROVIDER,
                               .key_ref = key_ref,
                               .key_version = "1",
                               .wrapped = wrapped,
                               .wrapped_bytes = wrapped_bytes,
                               .created_at_s = HEADER_TIME_S};
}

void header_add_slot(struct envol_header *header, const char *key_ref, size_t wrapped_bytes)
{
    const struct envol_slot slot = header_slot(key_ref, wrapped_bytes);

    ck_ok(envol_header_add_slot(header, &slot, NULL));
}

void header_fixture_open(struct header_fixture *f, enum envol_suite suite)
{
    test_fill(f->dek, sizeof(f->dek));
    test_fill(f->uuid, sizeof(f->uuid));
    f->header = header_new(f, suite);
    header_add_slot(f->header, HEADER_KEY_REF, 136);
    ck_ok(envol_header_seal(f->header, f->dek, 0, f->bytes, &f->keyring));
}

void header_fixture_close(struct header_fixture *f)
{
    envol_keyring_close(f->keyring);
    envol_header_free(f->header);
}

enum envol_status header_try(const struct header_fixture *f, const void *bytes)
{
    struct envol_header *header;
    struct envol_keyring *keyring;
    enum envol_status status = ck_note(envol_header_decode(bytes, 0, &header, NULL));

    if (status != ENVOL_OK) {
        ck_assert_ptr_null(header);
        return status;
    }
    status = ck_note(envol_header_unlock(header, f->dek, 0, NULL, &keyring));
    ck_assert_int_eq(keyring != NULL, status == ENVOL_OK);
    envol_keyring_close(keyring);
    envol_header_free(header);
    return status;
}

struct envol_header *header_again(const struct header_fixture *f, struct envol_keyring **keyring)
{
    struct envol_header *header;

    ck_ok(envol_header_decode(f->bytes, 0, &header, NULL));
    ck_ok(envol_header_unlock(header, f->dek, 0, NULL, keyring));
    return header;
}

void header_update(struct header_fixture *f)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];
    uint32_t first;

    ck_ok(envol_header_prepare(f->header, f->keyring, f->bytes, copy, &first));
    memcpy(f->bytes + (size_t)first * sizeof(copy), copy, sizeof(copy));
    memcpy(f->bytes + (size_t)(1 - first) * sizeof(copy), copy, sizeof(copy));
    ck_ok(envol_header_committed(f->header, copy));
}

void header_make_crc(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_CRC, 0);
    envol_store32(copy + ENVOL_AT_CRC, envol_crc32c(0, copy, ENVOL_HEADER_COPY_BYTES));
}

void header_make_mac(uint8_t *copy, const uint8_t dek[ENVOL_DEK_BYTES])
{
    const struct envol_derivation what = {.purpose = ENVOL_PURPOSE_HEADER_MAC,
                                          .uuid = copy + ENVOL_AT_UUID,
                                          .suite =
                                              (enum envol_suite)envol_load16(copy + ENVOL_AT_SUITE),
                                          .epoch = envol_load32(copy + ENVOL_AT_EPOCH)};
    const struct envol_part part = {copy, ENVOL_AT_MAC};
    uint8_t key[32], mac[64];

    envol_store32(copy + ENVOL_AT_CRC, 0);
    envol_derive(dek, &what, key, sizeof(key));
    envol_hmac_sha512(key, sizeof(key), &part, 1, mac);
    memcpy(copy + ENVOL_AT_MAC, mac, ENVOL_HEADER_MAC_BYTES);
    header_make_crc(copy);
}

void header_forge(struct header_fixture *f, void (*edit)(uint8_t *copy), bool with_mac)
{
    for (size_t at = 0; at < sizeof(f->bytes); at += ENVOL_HEADER_COPY_BYTES) {
        edit(f->bytes + at);
        header_make_crc(f->bytes + at);
        if (with_mac)
            header_make_mac(f->bytes + at, f->dek);
    }
}
