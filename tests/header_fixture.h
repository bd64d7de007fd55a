/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers with a known DEK, and what an attacker does to their bytes. */
#ifndef ENVOL_TESTS_HEADER_FIXTURE_H
#define ENVOL_TESTS_HEADER_FIXTURE_H

#include "header/header.h"

/* A sealed header of generation 1 with one slot, and the bytes that are on disk. */
struct header_fixture {
    uint8_t dek[ENVOL_DEK_BYTES], uuid[ENVOL_UUID_BYTES];
    struct envol_header *header;
    struct envol_keyring *keyring;
    _Alignas(4096) uint8_t bytes[ENVOL_HEADER_BYTES];
};

#define HEADER_PROVIDER "file"
#define HEADER_KEY_REF  "8b6a6d2e-3c58-4c8e-9d3c-0b9c5d6a7e10"
#define HEADER_TIME_S   UINT64_C(1700000000)

/* suite 0: GCM.  Fails the test when anything fails. */
void header_fixture_open(struct header_fixture *f, enum envol_suite suite);
void header_fixture_close(struct header_fixture *f);

/* A new header that is not sealed, without slots. */
struct envol_header *header_new(const struct header_fixture *f, enum envol_suite suite);
/* A slot with so many bytes of wrapped DEK, at most ENVOL_WRAPPED_MAX, which are bytes of 0x5a. */
struct envol_slot header_slot(const char *key_ref, size_t wrapped_bytes);
void header_add_slot(struct envol_header *header, const char *key_ref, size_t wrapped_bytes);

/* Whatever the bytes are: decoded, and unlocked with the DEK of f. */
enum envol_status header_try(const struct header_fixture *f, const void *bytes);
/* A header of its own that reads f->bytes; unlocked. */
struct envol_header *header_again(const struct header_fixture *f, struct envol_keyring **keyring);

/* An update on f->bytes as envol_header_commit does it, with every step right. */
void header_update(struct header_fixture *f);

/* Both copies are changed by edit, then made whole again; with_mac: by someone who has the DEK. */
void header_forge(struct header_fixture *f, void (*edit)(uint8_t *copy), bool with_mac);
/* The CRC of a copy, as anybody can make it; its MAC under a DEK, for what the copy says. */
void header_make_crc(uint8_t *copy);
void header_make_mac(uint8_t *copy, const uint8_t dek[ENVOL_DEK_BYTES]);

#endif
