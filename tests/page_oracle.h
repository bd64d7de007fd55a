/* SPDX-License-Identifier: BSD-2-Clause */
/* Records and blobs made from the written format alone: what the page floor is held against.
 * Nothing of lib/page, lib/aes or lib/base is used. */
#ifndef ENVOL_TESTS_PAGE_ORACLE_H
#define ENVOL_TESTS_PAGE_ORACLE_H

#include <stddef.h>
#include <stdint.h>

enum { ORACLE_PAGE = 0, ORACLE_HOLE = 1, ORACLE_BLOB = 2, ORACLE_GCM = 1, ORACLE_XTS = 2 };

/* Every field that is bound into a record; a test changes one at a time. */
struct oracle {
    uint8_t dek[64];
    uint8_t uuid[16], object[16];
    uint16_t suite;
    uint32_t epoch;
    uint8_t format, type;
    uint16_t flags;
    uint32_t page_bytes, stride_bytes;
    uint64_t page_no;
    uint8_t nonce[24];
};

/* HKDF-Expand-SHA512 of the DEK; purpose is 8 bytes, object may be NULL, bytes at most 64. */
void oracle_key(const struct oracle *o, const char *purpose, const uint8_t *object, uint64_t aux,
                uint8_t *key, size_t bytes);

/* The AES-256-GCM key that XAES-256-GCM derives for a nonce's first 12 bytes. */
void oracle_subkey(const uint8_t key[32], const uint8_t salt[12], uint8_t subkey[32]);

/* A whole record: ciphertext, zeros, trailer.  The key is that of o->suite and o->epoch. */
void oracle_gcm_record(const struct oracle *o, const uint8_t *page, uint8_t *record);
/* AES-256-XTS: ciphertext alone. */
void oracle_xts_record(const struct oracle *o, const uint8_t *page, uint8_t *record);
/* Ciphertext and trailer. */
void oracle_blob(const struct oracle *o, const uint8_t *aad, size_t aad_bytes, const uint8_t *plain,
                 size_t plain_bytes, uint8_t *sealed);

#endif
