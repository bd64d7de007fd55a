/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the provider aws-kms share: settings, credentials, ARNs, errors, operations. */
#ifndef ENVOL_KMS_AWS_H
#define ENVOL_KMS_AWS_H

#include "kms/http.h"
#include "kms/json.h"
#include "kms/text.h"
#include <envol-kms.h>
#include <pthread.h>
#include <sys/types.h>
#include <time.h>

enum {
    ENVOL_AWS_NAME_MAX = 128,     /* profile, Region, session */
    ENVOL_AWS_TEXT_MAX = 2048,    /* ARN, URL, path */
    ENVOL_AWS_TOKEN_MAX = 8192,   /* session and web identity tokens: STS names no bound */
    ENVOL_AWS_ANSWER_MAX = 32768, /* of credentials */
    ENVOL_AWS_FILE_MAX = 1 << 20, /* of the config and credentials files: thousands of profiles */
    /* KMS: a blob of 6,144 bytes is 8,192 characters, and a KeyId has 2,048. */
    ENVOL_AWS_CALL_MAX = 16384,
    ENVOL_AWS_ROOM = 1024,
    ENVOL_AWS_GRANT_TOKENS_MAX = 10,
};

/* Lives in locked memory. */
struct envol_aws_credentials {
    char access_key_id[ENVOL_AWS_NAME_MAX + 1];
    char secret_access_key[ENVOL_AWS_NAME_MAX + 1];
    char session_token[ENVOL_AWS_TOKEN_MAX + 1]; /* "": none */
    time_t expires;                              /* 0: never */
};

/* Options, environment and config file, read once when the provider is opened. */
struct envol_aws_settings {
    char region[ENVOL_AWS_NAME_MAX + 1];
    char profile[ENVOL_AWS_NAME_MAX + 1];
    char kms_endpoint[ENVOL_AWS_TEXT_MAX + 1];
    char sts_endpoint[ENVOL_AWS_TEXT_MAX + 1];
    char ca_file[ENVOL_AWS_TEXT_MAX + 1];
    char config_file[ENVOL_AWS_TEXT_MAX + 1];
    char credentials_file[ENVOL_AWS_TEXT_MAX + 1];
    char role_arn[ENVOL_AWS_TEXT_MAX + 1];
    char role_session_name[ENVOL_AWS_NAME_MAX + 1];
    char web_identity_token_file[ENVOL_AWS_TEXT_MAX + 1];
    char container_relative_uri[ENVOL_AWS_TEXT_MAX + 1];
    char container_full_uri[ENVOL_AWS_TEXT_MAX + 1];
    char container_token[ENVOL_AWS_TOKEN_MAX + 1];
    char container_token_file[ENVOL_AWS_TEXT_MAX + 1];
    char metadata_endpoint[ENVOL_AWS_TEXT_MAX + 1];
    char grant_tokens[ENVOL_AWS_GRANT_TOKENS_MAX][ENVOL_AWS_TOKEN_MAX + 1];
    size_t grant_token_count;
    bool named_profile; /* by option or environment: it goes before the environment's role */
    bool use_fips;
    bool local_replica;
    bool no_metadata;
    uint32_t timeout_ms;
};

/* The state of a provider. */
struct envol_aws {
    struct envol_aws_settings settings;
    struct envol_aws_credentials *fixed; /* of the caller or the environment; NULL: to be fetched */
    struct envol_aws_credentials *fetched; /* under lock; access_key_id "" before the first */
    pthread_mutex_t lock;
    pid_t process; /* that opened it */
};

/* aws_settings.c */
enum envol_status envol_kms_aws_settings(const struct envol_aws_kms_options *options,
                                         struct envol_aws_settings *settings,
                                         struct envol_error *error);

/* Credentials of the options or of the environment; *fixed is NULL if neither has any. */
enum envol_status envol_kms_aws_fixed(const struct envol_aws_kms_options *options,
                                      struct envol_aws_credentials **fixed,
                                      struct envol_error *error);

/* aws_arn.c */
struct envol_aws_key {
    char region[ENVOL_AWS_NAME_MAX + 1];
    char id[ENVOL_KEY_REF_MAX + 1]; /* KeyId as it is sent */
};
/* What a key reference means under these settings: ENVOL_E_ARGUMENT. */
enum envol_status envol_kms_aws_key(const struct envol_aws_settings *settings, const char *key_ref,
                                    struct envol_aws_key *key, struct envol_error *error);
/* Whether an answer's ARN is of the key that was asked for; an alias may stand for any key. */
bool envol_kms_aws_same_key(const char *asked, const char *answered);
/* URL of kms or sts in a Region.  False if it does not fit. */
bool envol_kms_aws_endpoint(const struct envol_aws_settings *settings, const char *service,
                            const char *region, char *url, size_t capacity);

/* aws_ini.c: the credentials and config files, read whole; they may hold secrets. */
struct envol_aws_file {
    /* "" of a file that cannot be opened; NULL before it is read and after a failure. */
    char *text;
    size_t capacity;
};
/* ENVOL_E_CREDENTIALS: longer than ENVOL_AWS_FILE_MAX; ENVOL_E_NO_MEMORY. */
enum envol_status envol_kms_aws_file_read(const char *path, struct envol_aws_file *file,
                                          struct envol_error *error);
void envol_kms_aws_file_free(struct envol_aws_file *file);
bool envol_kms_ini_get(const char *file, const char *section, const char *name, char *value,
                       size_t capacity);

/* aws_credentials.c */
bool envol_kms_aws_is_set(const struct envol_aws_credentials *credentials);
/* A copy of credentials that are good for 15 minutes or cannot be had for longer; fresh ones if
 * refresh is set, but for fixed ones: ENVOL_E_CREDENTIALS then. */
enum envol_status envol_kms_aws_credentials(struct envol_aws *aws,
                                            const struct envol_kms_patience *patience, bool refresh,
                                            struct envol_aws_credentials *credentials,
                                            struct envol_error *error);

/* The sources.  Each: ENVOL_OK; ENVOL_E_CREDENTIALS with *is_there false if it is not configured;
 * any other failure ends the search. */
struct envol_aws_fetch {
    const struct envol_aws_settings *settings;
    const struct envol_kms_patience *patience;
    struct envol_aws_credentials *credentials; /* out */
    char *room;                                /* ENVOL_AWS_ANSWER_MAX, locked, scratch */
    char *room2;                               /* the same again */
    bool is_there;
    struct envol_error *error;
};
enum envol_status envol_kms_aws_from_profile(struct envol_aws_fetch *fetch);
enum envol_status envol_kms_aws_from_web_identity(struct envol_aws_fetch *fetch);
enum envol_status envol_kms_aws_from_container(struct envol_aws_fetch *fetch);
enum envol_status envol_kms_aws_from_instance(struct envol_aws_fetch *fetch);

struct envol_aws_role {
    const char *arn;
    const char *session_name;
    const char *external_id;
    const char *duration_s;
    const char *region;
};
/* AssumeRole with fetch->credentials, which are replaced; AssumeRoleWithWebIdentity with a file. */
enum envol_status envol_kms_aws_assume_role(struct envol_aws_fetch *fetch,
                                            const struct envol_aws_role *role);
enum envol_status envol_kms_aws_assume_web_role(struct envol_aws_fetch *fetch,
                                                const struct envol_aws_role *role,
                                                const char *token_file);
/* credential_process of a profile. */
enum envol_status envol_kms_aws_from_process(struct envol_aws_fetch *fetch, const char *command);
/* The JSON that containers, instances and processes answer, in fetch->room. */
enum envol_status envol_kms_aws_read_json(struct envol_aws_fetch *fetch, size_t bytes,
                                          const char *token_name, const char *source);
/* "2030-01-02T03:04:05Z"; 0 if it is none. */
time_t envol_kms_aws_time(const char *text);
/* A whole file, and a NUL, to at most capacity bytes; -1 with errno (EFBIG: too long). */
ssize_t envol_kms_read_file(const char *path, char *out, size_t capacity);

/* aws_error.c */
struct envol_aws_outcome {
    enum envol_status status;
    bool refresh; /* fresh credentials may help */
};
/* What an answer other than 200 means; fills error. */
struct envol_aws_outcome envol_kms_aws_failure(long code, char *answer, size_t bytes,
                                               struct envol_error *error);
/* One row of the table: an exception and its message. */
struct envol_aws_outcome envol_kms_aws_classify(long code, const char *type, const char *message);

/* aws_sign.c */
struct envol_aws_signing {
    const char *service;
    const char *region;
    const char *content_type;
    const char *target; /* X-Amz-Target; NULL: none */
    /* What the headers of the exchange point to. */
    char type_header[80];
    char target_header[80];
    char host_header[ENVOL_AWS_TEXT_MAX];
    char date_header[40];
    char token_header[ENVOL_AWS_TOKEN_MAX + 40];
    char authorization[1024];
};
/* Sets all headers of a POST.  False if they do not fit.  signing is wiped by the caller. */
bool envol_kms_aws_sign(const struct envol_aws_credentials *credentials,
                        struct envol_aws_signing *signing, struct envol_kms_exchange *exchange);

/* aws_call.c: what an operation's memory holds, all of it locked. */
struct envol_aws_call {
    struct envol_aws_credentials credentials;
    struct envol_aws_signing signing;
    struct envol_aws_key key;
    char url[ENVOL_AWS_TEXT_MAX + 2];
    char body[ENVOL_AWS_CALL_MAX];
    char answer[ENVOL_AWS_CALL_MAX];
    size_t answer_bytes;
    char room[ENVOL_AWS_ROOM];
    struct envol_kms_json json; /* of the answer */
};
/* Sends the body to the Region of call->key, at most twice, and parses the answer. */
enum envol_status envol_kms_aws_call(struct envol_aws *aws, const struct envol_key_request *request,
                                     const char *operation, size_t body_bytes,
                                     struct envol_aws_call *call, struct envol_error *error);

#endif
