/* SPDX-License-Identifier: BSD-2-Clause */
/* A key file in a directory of its own, a provider on it, and what tests do with both. */
#ifndef ENVOL_TESTS_KEY_FIXTURE_H
#define ENVOL_TESTS_KEY_FIXTURE_H

#include "support.h"

/* Longest content that the tests of key files handle. */
#define KEY_FILE_ROOM 8192u

struct key_fixture {
    char start[512]; /* where the test began; it may change its directory */
    char directory[512];
    char path[600]; /* DIRECTORY/key */
    char id[ENVOL_UUID_TEXT_BYTES];
    struct envol_provider *provider;
    struct envol_wrapped_dek wrapped;
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_error error;
};
extern struct key_fixture key;

TCase *key_case(Suite *suite, const char *name);

/* Requests with a context of three pairs; key_ref NULL, version for unwrapping or NULL. */
struct envol_key_request key_request(const char *version);
/* Generates key.dek and key.wrapped. */
void key_generate(void);
/* Unwraps key.wrapped, which must give key.dek. */
void key_unwraps(void);
/* State and newest version, by describe. */
enum envol_key_state key_state(void);
const char *key_newest(void);

size_t file_read(const char *path, void *out);
/* Replaces the content of a file that is made with mode 0600. */
void file_write(const char *path, const void *bytes, size_t size);
/* Whether a file has exactly this content. */
bool file_is(const char *path, const uint8_t *content, size_t size);
/* How many entries the fixture's directory has; *other becomes the name of one that is not "key".
 */
unsigned directory_entries(char other[256]);

#endif
