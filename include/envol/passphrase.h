/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The passphrase provider, "passphrase": a CMK that somebody remembers.  Argon2id makes a key of
 * the passphrase, and that key wraps the DEK.  envol_passphrase_provider(3).
 */
#ifndef ENVOL_PASSPHRASE_H
#define ENVOL_PASSPHRASE_H

#include <envol/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest passphrase, in bytes. */
#define ENVOL_PASSPHRASE_BYTES_MAX 1024u
/* Key reference of slots whose maker names none. */
#define ENVOL_PASSPHRASE_LABEL "passphrase"

/* What Argon2id may cost: memory in KiB, and passes over it.  19 MiB and 2 passes are the least
 * that OWASP's cheat sheet on password storage accepts; the upper bounds hold a hostile header. */
#define ENVOL_PASSPHRASE_MEMORY_KIB_MIN     19456u
#define ENVOL_PASSPHRASE_MEMORY_KIB_DEFAULT 262144u
#define ENVOL_PASSPHRASE_MEMORY_KIB_MAX     1048576u
#define ENVOL_PASSPHRASE_PASSES_MIN         2u
#define ENVOL_PASSPHRASE_PASSES_DEFAULT     3u
#define ENVOL_PASSPHRASE_PASSES_MAX         16u

/* What a passphrase is asked for. */
enum envol_passphrase_use {
    ENVOL_PASSPHRASE_UNLOCK = 1, /* one that wrapped a DEK before */
    ENVOL_PASSPHRASE_NEW = 2     /* one that is about to: let people type it twice */
};

/*
 * Writes the passphrase, 1 to capacity bytes and any of them, into locked memory that the library
 * wipes, and its length to *bytes.  label is the slot's key reference: of a header that nobody has
 * authenticated, but without control characters.  Returns ENVOL_OK or any status of a provider's
 * (ENVOL_E_CANCELLED, ENVOL_E_CREDENTIALS), and may fill error, which is never NULL.  Called in the
 * thread of the call that needs it, from several threads at once if those calls are.
 */
typedef enum envol_status envol_passphrase_callback(void *ctx, const char *label,
                                                    enum envol_passphrase_use use,
                                                    uint8_t *passphrase, size_t capacity,
                                                    size_t *bytes, struct envol_error *error);

/* Either a callback or the bytes themselves, which are copied into locked memory. */
struct envol_passphrase_options {
    size_t struct_size;
    envol_passphrase_callback *callback;
    void *ctx;
    const void *passphrase; /* NULL: the callback is asked */
    size_t passphrase_bytes;
    const char
        *label; /* key reference, copied; NULL: new slots ENVOL_PASSPHRASE_LABEL, others any */
    uint32_t memory_kib; /* of new wrappings; 0: the default */
    uint32_t passes;     /* of new wrappings; 0: the default */
    uint32_t flags;      /* ENVOL_KEY_ALLOW_UNLOCKED: the copy of passphrase need not be locked */
};

/*
 * Opens a provider; options are needed, and may go when it returns.  *provider is NULL on failure.
 * A passphrase that is given is gone in a forked child: calls there answer ENVOL_E_FORKED.
 *
 * Its calls answer ENVOL_E_WRONG_KEY (another passphrase, label or context: they cannot be told
 * apart), ENVOL_E_KEY_NOT_FOUND (a slot of another label), ENVOL_E_CORRUPT (a wrapped DEK that is
 * not of 168 bytes, or costs more or less than the bounds), ENVOL_E_VERSION, ENVOL_E_ARGUMENT (a
 * passphrase that is empty or too long), ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY, ENVOL_E_RANDOM,
 * ENVOL_E_UNSUPPORTED (no AES kernel), ENVOL_E_CANCELLED, ENVOL_E_TIMEOUT, those of the callback.
 * Opening: ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_passphrase_provider_open(const struct envol_passphrase_options *options,
                               struct envol_provider **provider);

#ifdef __cplusplus
}
#endif
#endif
