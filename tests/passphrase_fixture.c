/* SPDX-License-Identifier: BSD-2-Clause */
/* Passphrases for tests: Argon2id counted, locks that fail, and somebody who is asked. */
#include "passphrase_fixture.h"

#include "support.h"

#include <dlfcn.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- What stands between the library and the system --- */

unsigned passphrase_stretched;
bool passphrase_no_memory, passphrase_no_lock;

typedef int stretch_function(unsigned char *const, unsigned long long, const char *const,
                             unsigned long long, const unsigned char *const, unsigned long long,
                             size_t, int);

/* Stands in for libsodium's, which it calls and counts. */
int crypto_pwhash_argon2id(unsigned char *const out, unsigned long long out_bytes,
                           const char *const passphrase, unsigned long long bytes,
                           const unsigned char *const salt, unsigned long long passes,
                           size_t memory, int algorithm)
{
    stretch_function *real;

    *(void **)&real = dlsym(RTLD_NEXT, "crypto_pwhash_argon2id");
    passphrase_stretched++;
    if (passphrase_no_memory) {
        errno = ENOMEM;
        return -1;
    }
    return real(out, out_bytes, passphrase, bytes, salt, passes, memory, algorithm);
}

int mlock(const void *address, size_t bytes)
{
    if (!passphrase_no_lock)
        return (int)syscall(SYS_mlock, address, bytes);
    errno = ENOMEM;
    return -1;
}

/* --- A callback, and what it was asked --- */

struct passphrase_person person;

static enum envol_status ask(void *ctx, const char *label, enum envol_passphrase_use use,
                             uint8_t *passphrase, size_t capacity, size_t *bytes,
                             struct envol_error *error)
{
    ck_assert_ptr_eq(ctx, &person);
    ck_assert_ptr_nonnull(error);
    ck_assert_uint_eq(capacity, ENVOL_PASSPHRASE_BYTES_MAX);
    person.asked++;
    person.use = use;
    person.room = passphrase;
    snprintf(person.label, sizeof(person.label), "%s", label);
    strcpy((char *)passphrase, person.answer);
    *bytes = person.bytes != 0 ? person.bytes : strlen(person.answer);
    if (person.cancel != NULL)
        *person.cancel = 1;
    return person.status;
}

struct envol_passphrase_options passphrase_options(const char *label)
{
    person.answer = PASSPHRASE;
    return (struct envol_passphrase_options){
        .struct_size = sizeof(struct envol_passphrase_options),
        .callback = ask,
        .ctx = &person,
        .label = label,
        .memory_kib = LEAST_MEMORY,
        .passes = LEAST_PASSES,
    };
}

struct envol_provider *passphrase_open(const char *label)
{
    const struct envol_passphrase_options options = passphrase_options(label);
    struct envol_provider *provider;

    ck_ok(envol_passphrase_provider_open(&options, &provider));
    return provider;
}
