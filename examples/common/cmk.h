/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URIs of CMKs, as envol(1) describes them, for every program that takes one: the command, the
 * block device, the SQLite VFS.  Nothing here prints: a failure is a status, and a struct
 * envol_error whose message is empty where the status says it all.
 */
#ifndef CMK_H
#define CMK_H

#include <envol.h>
#include <stdbool.h>

/*
 * Asks a person for a secret of the CMK that label names; question is "Passphrase", say.  Writes at
 * most capacity bytes to text.  ENVOL_E_UNSUPPORTED: there is nobody to ask.
 */
typedef enum envol_status cmk_ask(const char *question, const char *label, char *text,
                                  size_t capacity, size_t *bytes);

struct passphrase;

/* A CMK that a URI names: its provider, and what the provider's callback needs.  It stays where it
 * was opened. */
struct cmk_source {
    cmk_ask *ask; /* or NULL */
    struct envol_provider *provider;
    struct passphrase *passphrase;
    char *key_ref; /* what cmk names, where it is a part of the URI; freed */
    struct envol_cmk cmk;
};

/* Whether a URI is one, before anything is opened: ENVOL_E_ARGUMENT and what is wrong. */
enum envol_status cmk_check(const char *uri, struct envol_error *error);
/* uri must outlive source.  ask may be NULL: secrets come from files and the environment alone.
 * Close it whatever is returned. */
enum envol_status cmk_open(struct cmk_source *source, const char *uri, cmk_ask *ask,
                           struct envol_error *error);
void cmk_close(struct cmk_source *source);

/* What the URIs look like, service by service; NULL behind the last one. */
const char *cmk_usage(size_t i);
/* Path of a "file:" URI, NULL for any other service. */
const char *cmk_file(const char *uri);
/* A file that a URI names and that holds a secret: no volume's content.  NULL: none. */
const char *cmk_secret_file(const char *uri);
/* Whether a provider opened for one URI has the key of another as well. */
bool cmk_is_served_by(const char *uri, const char *opened);

/* --- For the files of this directory: rest is what stands behind the service's colon --- */

/* error, and its status. */
__attribute__((format(printf, 3, 4))) enum envol_status
cmk_fail(struct envol_error *error, enum envol_status status, const char *format, ...);

enum envol_status passphrase_check(const char *rest, struct envol_error *error);
enum envol_status passphrase_open(struct cmk_source *source, const char *rest,
                                  struct envol_error *error);
const char *passphrase_file(const char *rest);
void passphrase_drop(struct passphrase *passphrase);

/* Where this build has libenvol-kms and libenvol-pkcs11. */
enum envol_status aws_kms_open(struct cmk_source *source, const char *rest,
                               struct envol_error *error);
enum envol_status vault_open(struct cmk_source *source, const char *rest,
                             struct envol_error *error);
enum envol_status pkcs11_open(struct cmk_source *source, const char *rest,
                              struct envol_error *error);

/* Digits, and K or M behind them; 0 for anything else. */
uint32_t parse_bytes(const char *text);

#endif
