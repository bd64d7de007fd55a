/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the provider vault share: settings, tokens, errors, exchanges. */
#ifndef ENVOL_KMS_VAULT_H
#define ENVOL_KMS_VAULT_H

#include "kms/http.h"
#include "kms/json.h"
#include "kms/text.h"
#include <envol-kms.h>
#include <pthread.h>
#include <sys/types.h>

enum {
    ENVOL_VAULT_TEXT_MAX = 2048,
    ENVOL_VAULT_TOKEN_MAX = 4096, /* batch tokens are long */
    ENVOL_VAULT_BODY_MAX = 24576, /* a wrapped DEK, and a context in base64 */
    /* The answer to GET keys/KEY lists every version of the key. */
    ENVOL_VAULT_ANSWER_MAX = 65536,
    ENVOL_VAULT_ROOM = ENVOL_VAULT_TOKEN_MAX + 1024,
};

struct envol_vault_settings {
    char address[ENVOL_VAULT_TEXT_MAX + 1];
    char name_space[ENVOL_VAULT_TEXT_MAX + 1];
    char ca_file[ENVOL_VAULT_TEXT_MAX + 1];
    char approle_mount[ENVOL_VAULT_TEXT_MAX + 1];
    char token_file[ENVOL_VAULT_TEXT_MAX + 1]; /* read at each call: agents rewrite it */
    uint32_t timeout_ms;
    uint32_t flags;
};

/* Lives in locked memory. */
struct envol_vault_secrets {
    char token[ENVOL_VAULT_TOKEN_MAX + 1]; /* given, or of the login; "": none yet */
    char role_id[ENVOL_VAULT_TOKEN_MAX + 1];
    char secret_id[ENVOL_VAULT_TOKEN_MAX + 1];
    uint64_t expires_ms; /* CLOCK_MONOTONIC; of a login; 0: never */
    uint64_t renew_ms;   /* from when on the token should be renewed; 0: never */
};

struct envol_vault {
    struct envol_vault_settings settings;
    struct envol_vault_secrets *secrets; /* the token under lock, the rest constant */
    pthread_mutex_t lock;
    pid_t process; /* that opened it */
};

/* Memory of a call, all of it locked. */
struct envol_vault_call {
    char token[ENVOL_VAULT_TOKEN_MAX + 1];
    char url[2 * ENVOL_VAULT_TEXT_MAX + 64];
    char body[ENVOL_VAULT_BODY_MAX];
    char room[ENVOL_VAULT_ROOM];
    char *answer; /* capacity bytes behind this struct */
    size_t capacity;
    struct envol_kms_json json; /* of the last answer */
    long code;
};

/* vault_settings.c */
enum envol_status envol_kms_vault_settings(const struct envol_vault_options *options,
                                           struct envol_vault *vault, struct envol_error *error);

/* vault_call.c */
enum envol_status envol_kms_vault_call_new(uint32_t flags, size_t capacity,
                                           struct envol_vault_call **call,
                                           struct envol_error *error);
void envol_kms_vault_call_free(struct envol_vault_call *call);
/*
 * One exchange with call->token: path is what follows "/v1/", encoded.  body NULL is a GET.
 * ENVOL_OK for 200 and 204, call->json.root NULL after the latter.
 */
enum envol_status envol_kms_vault_once(const struct envol_vault *vault,
                                       const struct envol_kms_patience *patience, const char *path,
                                       const struct envol_kms_text *body,
                                       struct envol_vault_call *call, struct envol_error *error);
/* The same with a token of the provider's, and once more with a fresh one where that may help. */
enum envol_status envol_kms_vault_ask(struct envol_vault *vault,
                                      const struct envol_key_request *request, const char *path,
                                      const struct envol_kms_text *body,
                                      struct envol_vault_call *call, struct envol_error *error);

/* vault_token.c: a token into call->token.  fresh: by a new login; ENVOL_E_CREDENTIALS without. */
enum envol_status envol_kms_vault_token(struct envol_vault *vault,
                                        const struct envol_kms_patience *patience, bool fresh,
                                        struct envol_vault_call *call, struct envol_error *error);

/* vault_error.c: what an answer means by its HTTP status and its first message. */
enum envol_status envol_kms_vault_classify(long code, const char *message);
enum envol_status envol_kms_vault_failure(const struct envol_vault_call *call,
                                          struct envol_error *error);

#endif
