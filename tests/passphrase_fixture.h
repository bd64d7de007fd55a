/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the suites on passphrases: a person who answers the provider's callback, and stand-ins for
 * libsodium's Argon2id, which is counted and fails on order, and for mlock.
 */
#ifndef ENVOL_TESTS_PASSPHRASE_FIXTURE_H
#define ENVOL_TESTS_PASSPHRASE_FIXTURE_H

#include <envol/passphrase.h>
#include <stdbool.h>

#define PASSPHRASE "correct horse battery staple"

/* The least that there may be: tests are in a hurry. */
enum { LEAST_MEMORY = 19456, LEAST_PASSES = 2 };

/* How often Argon2id ran. */
extern unsigned passphrase_stretched;
/* From now on it has no memory; nothing can be locked. */
extern bool passphrase_no_memory, passphrase_no_lock;

/* What somebody answers, and what he was asked. */
struct passphrase_person {
    const char *answer;
    size_t bytes; /* of the answer; 0: its length */
    enum envol_status status;
    unsigned asked;
    enum envol_passphrase_use use;
    char label[64];
    int *cancel; /* set while it is asked */
    uint8_t *room;
};
extern struct passphrase_person person;

/* Options that ask the person, whose answer is PASSPHRASE, at the least cost. */
struct envol_passphrase_options passphrase_options(const char *label);
struct envol_provider *passphrase_open(const char *label);

#endif
