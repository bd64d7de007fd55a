/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of libenvol-pkcs11 share.
 *
 * A call of the provider takes a session with the token (pool.c, which makes one through token.c
 * where none is idle), looks the key up in it (key.c), and seals or opens one blob (gcm.c).  What
 * the module answers becomes a status by one table (refusal.c).  A session that was lost is
 * replaced and the call made once more (call.c).
 */
#ifndef ENVOL_PKCS11_PKCS11_H
#define ENVOL_PKCS11_PKCS11_H

#include <envol-pkcs11.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <sys/types.h>

/* Sessions kept for the next call.  More calls than that at once open sessions and close them. */
#define ENVOL_PKCS11_IDLE_MAX 8
/* Longest CKA_ID and CKA_LABEL: three characters a byte, they fit a key reference. */
#define ENVOL_PKCS11_ID_MAX 255

/* version, mechanism, IV, the encrypted DEK, tag: envol(5), WRAPPING BY A PKCS#11 TOKEN. */
enum {
    ENVOL_PKCS11_IV_BYTES = 12,
    ENVOL_PKCS11_TAG_BYTES = 16,
    ENVOL_PKCS11_SEALED_BYTES = ENVOL_DEK_BYTES + ENVOL_PKCS11_TAG_BYTES,
    ENVOL_PKCS11_BLOB_BYTES = 2 + ENVOL_PKCS11_IV_BYTES + ENVOL_PKCS11_SEALED_BYTES
};

/* One session, of a token that wanted no login or has one. */
struct envol_pkcs11_session {
    CK_FUNCTION_LIST *functions;
    CK_SESSION_HANDLE handle;
    char token[33];  /* label, blanks at its end cut off */
    char serial[17]; /* the same of the serial number */
    bool needs_login;
    unsigned round; /* of its modules' initialisation */
};

struct envol_pkcs11 {
    P11KitUri *uri;
    enum envol_status (*pin)(void *pin_ctx, const char *token, char *pin, size_t capacity,
                             size_t *pin_bytes);
    void *pin_ctx;
    CK_FUNCTION_LIST **modules; /* NULL behind the last */
    bool configured;            /* they are p11-kit's, and freed as one */

    /* Under the lock, which is never held while a module or a callback runs. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a session came back, or an attempt to make one ended */
    pid_t owner;            /* the process that the sessions belong to; 0: none yet */
    bool connecting;        /* a thread makes a session */
    unsigned in_use;
    unsigned idle_count;
    struct envol_pkcs11_session idle[ENVOL_PKCS11_IDLE_MAX];
    unsigned round;     /* how often this handle initialised the modules */
    unsigned finalised; /* the last round that a module said somebody had ended */

    /* Of the thread that makes a session. */
    pid_t initialised_in; /* the process that called C_Initialize; 0: none yet */
    bool pin_refused;
    uint8_t refused_key[crypto_generichash_KEYBYTES]; /* random, from open on */
    uint8_t refused_hash[crypto_generichash_BYTES];   /* of the PIN that the token refused last */
};

/* One call of the provider.  error is whole (sizeof(struct envol_error)). */
struct envol_pkcs11_call {
    struct envol_pkcs11 *state;
    const struct envol_key_request *request;
    struct envol_error *error;
    CK_RV refusal;  /* what the module refused with last, or CKR_OK */
    unsigned round; /* of the session that was used last, or was to be opened */
};

/* The key of the URI, as the token has it now. */
struct envol_pkcs11_key {
    CK_OBJECT_HANDLE handle;
    bool decrypts, encrypts;
    char ref[ENVOL_KEY_REF_MAX + 1]; /* canonical */
};

enum envol_pkcs11_use { ENVOL_PKCS11_DESCRIBES, ENVOL_PKCS11_DECRYPTS, ENVOL_PKCS11_ENCRYPTS };

/* What a call does with a session and the key: run, once the key was found fit for use. */
struct envol_pkcs11_work {
    enum envol_pkcs11_use use;
    enum envol_status (*run)(struct envol_pkcs11_call *call,
                             const struct envol_pkcs11_session *session,
                             const struct envol_pkcs11_key *key, void *arguments);
    void *arguments;
};

/* error.c: fills error (NULL is ignored) and returns status; no text holds a secret. */
enum envol_status envol_pkcs11_fail(struct envol_error *error, enum envol_status status,
                                    const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Copies a whole error as far as the caller's struct_size goes. */
void envol_pkcs11_give(struct envol_error *error, const struct envol_error *filled);

/* refusal.c: status, name and text of what a module answered (never CKR_OK) to function. */
enum envol_status envol_pkcs11_refuse(struct envol_pkcs11_call *call, const char *function,
                                      CK_RV refusal);
/* Whether a new session may do better than the one that got this. */
bool envol_pkcs11_is_lost(CK_RV refusal);
/* Whether C_Decrypt means by it, or may mean by it, that the blob does not verify. */
bool envol_pkcs11_is_mismatch(CK_RV refusal);
bool envol_pkcs11_may_be_mismatch(CK_RV refusal);

/* uri.c: checks the options and parses the URI into *uri, which is the caller's to free. */
enum envol_status envol_pkcs11_uri_parse(const struct envol_pkcs11_options *options,
                                         P11KitUri **uri, struct envol_error *error);
void envol_pkcs11_uri_free(P11KitUri *uri);
/* Whether the URI names the token by its serial number. */
bool envol_pkcs11_uri_names_serial(P11KitUri *uri);
/* The key reference that slots store: by serial number, or label where there is none, and by id,
 * or label where there is none; false if it does not fit. */
bool envol_pkcs11_uri_canonical(const struct envol_pkcs11_session *session, const uint8_t *id,
                                size_t id_bytes, const uint8_t *label, size_t label_bytes,
                                char ref[ENVOL_KEY_REF_MAX + 1]);

/* module.c: loads modules into state->modules; unloads them whatever state they are in. */
enum envol_status envol_pkcs11_modules_load(struct envol_pkcs11 *state,
                                            const struct envol_pkcs11_options *options,
                                            struct envol_error *error);
void envol_pkcs11_modules_unload(struct envol_pkcs11 *state);
/* C_Initialize in this process, after C_Finalize where something is left to finalise. */
enum envol_status envol_pkcs11_modules_initialise(struct envol_pkcs11_call *call);

/* process.c: brackets every use of modules.  ENVOL_E_FORKED in a child whose parent was within one
 * when it forked: locks of a module may be held there for ever.  leave only after enter's success.
 */
enum envol_status envol_pkcs11_enter(struct envol_error *error);
void envol_pkcs11_leave(void);

/* pin.c: asks where the options say, and logs in. */
enum envol_status envol_pkcs11_login(struct envol_pkcs11_call *call,
                                     const struct envol_pkcs11_session *session,
                                     const CK_TOKEN_INFO *token);

/* token.c: finds the token, opens a session, logs in where that is needed. */
bool envol_pkcs11_is_logged_in(const struct envol_pkcs11_session *session);
enum envol_status envol_pkcs11_connect(struct envol_pkcs11_call *call,
                                       struct envol_pkcs11_session *session);

/* pool.c: a session for this call alone.  Waits within the request's deadline and cancel flag. */
enum envol_status envol_pkcs11_take(struct envol_pkcs11_call *call,
                                    struct envol_pkcs11_session *session);
/* Gives it back.  One that is not sound, and one too many, is closed. */
void envol_pkcs11_give_back(struct envol_pkcs11_call *call,
                            const struct envol_pkcs11_session *session, bool sound);
/* The modules of the call's round are no longer initialised. */
void envol_pkcs11_note_finalised(struct envol_pkcs11_call *call);
/*
 * By the thread that makes a session: whether it has to initialise the modules before.  Then no
 * other call is in them, as none would survive that, and no session is left.  Waits as take does.
 */
enum envol_status envol_pkcs11_begin_round(struct envol_pkcs11_call *call, bool *initialise);
/* Closes the idle sessions of this process. */
void envol_pkcs11_drop_idle(struct envol_pkcs11 *state);
/* Cancel flag, then deadline, as envol_provider(3) says. */
enum envol_status envol_pkcs11_check_time(struct envol_pkcs11_call *call);

/* key.c: the one secret key that the URI names, if it is what the request asks for; and whether its
 * attributes let it be used so. */
enum envol_status envol_pkcs11_find_key(struct envol_pkcs11_call *call,
                                        const struct envol_pkcs11_session *session,
                                        struct envol_pkcs11_key *key);
enum envol_status envol_pkcs11_check_use(struct envol_pkcs11_call *call,
                                         const struct envol_pkcs11_key *key,
                                         enum envol_pkcs11_use use);

/* gcm.c: a blob of ENVOL_PKCS11_BLOB_BYTES and back; room is what dek has. */
enum envol_status envol_pkcs11_seal(struct envol_pkcs11_call *call,
                                    const struct envol_pkcs11_session *session,
                                    const struct envol_pkcs11_key *key, const uint8_t *dek,
                                    uint8_t *blob);
enum envol_status envol_pkcs11_open(struct envol_pkcs11_call *call,
                                    const struct envol_pkcs11_session *session,
                                    const struct envol_pkcs11_key *key, const uint8_t *blob,
                                    size_t blob_bytes, uint8_t *dek, size_t room,
                                    size_t *dek_bytes);
/* random.c: bytes from the kernel; false if there are none. */
bool envol_pkcs11_random(void *out, size_t bytes);

/* call.c: the frame of every call. */
enum envol_status envol_pkcs11_run(struct envol_pkcs11 *state,
                                   const struct envol_key_request *request,
                                   const struct envol_pkcs11_work *work, struct envol_error *error);

#endif
