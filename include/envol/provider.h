/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key providers: code that speaks to one key service.  envol_provider(3) says how to write one,
 * envol_file_provider(3) describes the built-in one for local key files.
 *
 * A provider wraps and unwraps DEKs under a customer managed key (CMK) that never leaves its
 * service.  The library calls it on create, open and key changes only, never on the page path.
 */
#ifndef ENVOL_PROVIDER_H
#define ENVOL_PROVIDER_H

#include <envol/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest strings and blobs, without a final NUL.  2048 and 6144 are the bounds of AWS KMS. */
#define ENVOL_PROVIDER_NAME_MAX 32
#define ENVOL_KEY_REF_MAX       2048
#define ENVOL_KEY_VERSION_MAX   128
#define ENVOL_WRAPPED_MAX       6144
/* Canonical encoding of a whole encryption context; 8192 is AWS KMS's bound for its text. */
#define ENVOL_CONTEXT_BYTES_MAX 8192

/* Longest that a call of a provider with a service may take, where its request has no deadline. */
#define ENVOL_PROVIDER_DEADLINE_MS 120000u

/* Flag of a request, the same bit as ENVOL_OPEN_ALLOW_UNLOCKED of the volume it is for. */
#define ENVOL_KEY_ALLOW_UNLOCKED 2u

/* What a provider is asked.  All pointers are borrowed for the duration of the call. */
struct envol_key_request {
    size_t struct_size;
    const char *key_ref;     /* the CMK; NULL: the provider's only or default one */
    const char *key_version; /* unwrap, rewrap's from: as the slot says, "" if none; else NULL */
    const struct envol_context_pair *context; /* sorted by key; bind it where the service can */
    size_t context_pairs;
    uint64_t deadline_ms;   /* CLOCK_MONOTONIC, milliseconds; 0: none given */
    const int *cancel_flag; /* not 0 (read atomically): give up, ENVOL_E_CANCELLED; may be NULL */
    uint32_t flags;         /* ENVOL_KEY_ALLOW_UNLOCKED: scratch for keys need not be locked */
};

/* A wrapped DEK, as a provider returns it and as a header slot stores it. */
struct envol_wrapped_dek {
    size_t struct_size;
    char key_ref[ENVOL_KEY_REF_MAX + 1]; /* canonical: the key's ARN or id, never an alias */
    char key_version[ENVOL_KEY_VERSION_MAX + 1];
    size_t wrapped_bytes;
    uint8_t wrapped[ENVOL_WRAPPED_MAX];
};

enum envol_key_state {
    ENVOL_KEY_ENABLED = 1,
    ENVOL_KEY_DISABLED = 2,
    ENVOL_KEY_PENDING_DELETION = 3
};

struct envol_key_info {
    size_t struct_size;
    enum envol_key_state state;
    char key_ref[ENVOL_KEY_REF_MAX + 1];
    char key_version[ENVOL_KEY_VERSION_MAX + 1]; /* the newest, which a wrap would use */
};

/* Bits of envol_provider_vtable.capabilities. */
#define ENVOL_PROVIDER_BINDS_CONTEXT 1u  /* unwrap under another context fails */
#define ENVOL_PROVIDER_REWRAPS       2u  /* rewrap happens inside the service */
#define ENVOL_PROVIDER_GENERATES     4u  /* DEKs come from the service's random source */
#define ENVOL_PROVIDER_SINGLE_KEY    8u  /* holds one CMK: a NULL key_ref pins that one */
#define ENVOL_PROVIDER_LOCAL         16u /* no service behind it: calls are made once, at once */
#define ENVOL_PROVIDER_ONE_TRY       32u /* unwrap is costly: an open tries one slot of its own */

/*
 * A provider's code.  Every function returns a status, fills error (never NULL) on failure, and may
 * be called from several threads at once.  On failure outputs are ignored and wiped by the library.
 * Output structs come zeroed, as long as their struct_size says: fill no field behind that, and
 * read none of a request.  Strings hold no control characters, in and out.  A status may be any
 * KEY_* but KEY_REVOKED, WRONG_KEY, THROTTLED, UNREACHABLE, TIMEOUT, CANCELLED, CREDENTIALS,
 * PROVIDER, UNSUPPORTED, ARGUMENT, NO_MEMORY, LOCKED_MEMORY, RANDOM, IO, FORKED, and of a local key
 * store FORMAT, VERSION and CORRUPT; any other becomes ENVOL_E_PROVIDER.
 *
 *   generate  a new 64-byte DEK and its wrapping
 *   wrap      wraps the given DEK
 *   unwrap    writes the DEK, at most dek_capacity bytes (128: room for a tag behind it), and its
 *             true length to *dek_bytes: the library refuses any other length than 64
 *   rewrap    from `from`'s key to `to`'s without the DEK leaving the service; may be NULL, or
 *             answer ENVOL_E_UNSUPPORTED for these two keys: the library unwraps and wraps then
 *   describe  state, canonical reference and newest version of a CMK; never used to decide access
 *   close     frees state; may be NULL
 */
struct envol_provider_vtable {
    size_t struct_size;
    const char *name; /* [a-z0-9-], 1 to 32 characters; stored in slots */
    uint32_t capabilities;
    enum envol_status (*generate)(void *state, const struct envol_key_request *request,
                                  uint8_t dek[ENVOL_DEK_BYTES], struct envol_wrapped_dek *wrapped,
                                  struct envol_error *error);
    enum envol_status (*wrap)(void *state, const struct envol_key_request *request,
                              const uint8_t dek[ENVOL_DEK_BYTES], struct envol_wrapped_dek *wrapped,
                              struct envol_error *error);
    enum envol_status (*unwrap)(void *state, const struct envol_key_request *request,
                                const void *wrapped, size_t wrapped_bytes, uint8_t *dek,
                                size_t dek_capacity, size_t *dek_bytes, struct envol_error *error);
    enum envol_status (*rewrap)(void *state, const struct envol_key_request *from,
                                const void *wrapped, size_t wrapped_bytes,
                                const struct envol_key_request *to,
                                struct envol_wrapped_dek *rewrapped, struct envol_error *error);
    enum envol_status (*describe)(void *state, const struct envol_key_request *request,
                                  struct envol_key_info *info, struct envol_error *error);
    void (*close)(void *state);
};

struct envol_provider;

/*
 * Makes a provider of a vtable (copied; name is borrowed) and its state (taken: closed by
 * envol_provider_close, and at once if this call fails, unless the vtable's size is none of one).
 * *provider is NULL on failure. ENVOL_E_ARGUMENT (a missing function, a bad name),
 * ENVOL_E_NO_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_provider_open(const struct envol_provider_vtable *vtable, void *state,
                    struct envol_provider **provider);
/* No call may be in progress.  NULL is ignored. */
ENVOL_API void envol_provider_close(struct envol_provider *provider);
ENVOL_API ENVOL_NONNULL(1) const char *envol_provider_name(const struct envol_provider *provider);
ENVOL_API ENVOL_NONNULL(1) uint32_t
    envol_provider_capabilities(const struct envol_provider *provider);

/*
 * The provider's calls, checked: bounds of every string and blob, length of the DEK, wiping on
 * failure, cancel flag and deadline before the call.  Without ENVOL_PROVIDER_LOCAL also in line,
 * retried, one in flight per wrapped DEK, and bounded by ENVOL_PROVIDER_DEADLINE_MS where no
 * deadline is given: the caller's thread waits (envol_provider(3)).  Any thread.  error may be
 * NULL.  Outputs are zeroed on failure, but for struct_size, and overlap no input.  dek of generate
 * and unwrap should lie in memory that the caller locks and wipes.  rewrap falls back to unwrap and
 * wrap where the provider has none.  A DEK of zeros is refused: ENVOL_E_PROVIDER from a provider,
 * else ENVOL_E_ARGUMENT.  Statuses: those that a provider may return, above.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_provider_generate(const struct envol_provider *provider,
                        const struct envol_key_request *request, uint8_t dek[ENVOL_DEK_BYTES],
                        struct envol_wrapped_dek *wrapped, struct envol_error *error);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_provider_wrap(const struct envol_provider *provider, const struct envol_key_request *request,
                    const uint8_t dek[ENVOL_DEK_BYTES], struct envol_wrapped_dek *wrapped,
                    struct envol_error *error);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_provider_unwrap(const struct envol_provider *provider,
                      const struct envol_key_request *request, const void *wrapped,
                      size_t wrapped_bytes, uint8_t dek[ENVOL_DEK_BYTES],
                      struct envol_error *error);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_provider_rewrap(const struct envol_provider *provider, const struct envol_key_request *from,
                      const void *wrapped, size_t wrapped_bytes, const struct envol_key_request *to,
                      struct envol_wrapped_dek *rewrapped, struct envol_error *error);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_provider_describe(const struct envol_provider *provider,
                        const struct envol_key_request *request, struct envol_key_info *info,
                        struct envol_error *error);

/*
 * The canonical encoding of a context (envol(5)): pairs in byte order of their keys, each string as
 * its u32 little-endian length and its bytes.  Writes at most capacity bytes and the true length to
 * *bytes.  ENVOL_E_RANGE if it does not fit: out then holds zeros and *bytes what is needed (out
 * may be NULL if capacity is 0).  ENVOL_E_ARGUMENT for a NULL, an empty key, or pairs out of order
 * or doubled: *bytes is 0.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_context_encode(const struct envol_context_pair *pairs, size_t count, void *out,
                     size_t capacity, size_t *bytes);

/* One CMK of the application's choice: a provider and the reference of a key in it. */
struct envol_cmk {
    const struct envol_provider *provider;
    const char *key_ref; /* NULL: the provider's only key (ENVOL_PROVIDER_SINGLE_KEY) */
};

/*
 * The file provider, "file": CMKs in a local key file of mode 0600 (envol(5)) with several versions
 * and a state.  The file is read anew at each call, so a change of state counts at once.  Opening
 * does not read it.  The key reference is the key file's id, a UUID, wherever the file lies.
 * Symbolic links are followed (mounted secrets are links); type, owner and mode are checked on the
 * file that was opened: regular, the effective user's or root's, closed to group and others.
 *
 * Its calls answer ENVOL_E_KEY_NOT_FOUND (no file, no such version, another id than asked for),
 * ENVOL_E_KEY_DENIED (mode, owner, permission), ENVOL_E_KEY_DISABLED, ENVOL_E_KEY_PENDING_DELETION,
 * ENVOL_E_FORMAT, ENVOL_E_VERSION and ENVOL_E_CORRUPT (the key file), ENVOL_E_WRONG_KEY,
 * ENVOL_E_IO, ENVOL_E_RANDOM, ENVOL_E_LOCKED_MEMORY, ENVOL_E_NO_MEMORY, ENVOL_E_UNSUPPORTED (no AES
 * kernel).  Opening: ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_file_provider_open(const char *path, struct envol_provider **provider);

/*
 * Managing a key file.  Each change is written to a new file that replaces the old one atomically
 * and is synced; concurrent changes of one file answer ENVOL_E_BUSY.  create never overwrites
 * (ENVOL_E_STATE).  rotate adds a version, which new wraps use, in any state; older ones still
 * unwrap (ENVOL_E_RANGE beyond 64).  set_state takes any envol_key_state.  A change through a
 * symbolic link would leave the file behind the link as it was: ENVOL_E_STATE.  After ENVOL_E_IO
 * the file is whole, either as it was or changed.  Other statuses: as of the file provider.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_key_file_create(const char *path,
                                                                  struct envol_error *error);
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_key_file_set_state(const char *path, enum envol_key_state state, struct envol_error *error);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_key_file_rotate(const char *path,
                                                                  struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
