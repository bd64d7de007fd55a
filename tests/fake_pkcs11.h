/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PKCS#11 module that answers whatever a test wants: build/tests/fake_pkcs11.so.  A test gets at
 * its token through fake_pkcs11(), a symbol of the module, which is loaded once in a process.
 */
#ifndef ENVOL_TESTS_FAKE_PKCS11_H
#define ENVOL_TESTS_FAKE_PKCS11_H

#include <p11-kit/pkcs11.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fake_call {
    FAKE_INITIALIZE,
    FAKE_FINALIZE,
    FAKE_GET_SLOT_LIST,
    FAKE_GET_TOKEN_INFO,
    FAKE_OPEN_SESSION,
    FAKE_CLOSE_SESSION,
    FAKE_LOGIN,
    FAKE_FIND_INIT,
    FAKE_FIND,
    FAKE_GET_ATTRIBUTE,
    FAKE_RANDOM,
    FAKE_ENCRYPT_INIT,
    FAKE_ENCRYPT,
    FAKE_DECRYPT_INIT,
    FAKE_DECRYPT,
    FAKE_CALLS
};

enum { FAKE_ALWAYS = 1 << 30, FAKE_SLOTS_MAX = 4 };

struct fake_token {
    /* The next `times` calls are refused with code. */
    struct {
        CK_RV code;
        _Atomic int times;
    } refuse[FAKE_CALLS];
    _Atomic unsigned calls[FAKE_CALLS];
    void (*before)(enum fake_call call); /* at the start of each; may be NULL */

    CK_FLAGS initialised_with;
    int initialised; /* the pid of the process that called C_Initialize last, 0 after C_Finalize */
    unsigned tokens; /* 0 to FAKE_SLOTS_MAX: alike, but for their serial numbers 0001, 0002, ... */
    bool blank_serial;
    bool needs_login, keypad;
    char pin[300]; /* the right one, each byte XORed with pin_mask */
    unsigned pin_bytes;
    uint8_t pin_mask;
    _Atomic bool logged_in;
    unsigned sessions_max;
    _Atomic unsigned sessions;

    unsigned keys; /* that match, whatever is looked for; all alike */
    CK_KEY_TYPE type;
    CK_ULONG value_bytes; /* 0: the attribute is not there */
    CK_BBOOL encrypts, decrypts;
    uint8_t id[300];
    unsigned id_bytes;
    CK_ATTRIBUTE wanted[8]; /* what the last search was for; values up to 64 bytes */
    uint8_t wanted_values[8][64];
    unsigned wanted_count;

    bool own_iv;       /* takes a buffer of zeros for the IV alone, and fills it */
    bool zero_iv;      /* takes it, and leaves the zeros */
    bool appends_iv;   /* gives 16 bytes more (Thales Luna in FIPS mode) */
    CK_RV mismatch;    /* what C_Decrypt answers to a tag that does not verify */
    uint8_t random;    /* each byte that C_GenerateRandom gives */
    CK_GCM_PARAMS gcm; /* those of the last C_EncryptInit or C_DecryptInit; pointers are stale */
    _Atomic CK_ULONG decrypt_room;
};

struct fake_token *fake_pkcs11(void);

#endif
