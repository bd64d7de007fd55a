/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libenvol-kms: key providers for AWS KMS, and for the Transit engine of HashiCorp Vault and
 * OpenBao.  A library of its own, as it needs libcurl and jansson.  Set-up: envol-kms(7).
 *
 * Each call of a provider is one attempt, and one more after fresh credentials where the service
 * refused the old ones.  It ends within 100 ms of the request's deadline or cancel flag.
 *
 * A provider is of the process that opened it: in a forked child its calls answer ENVOL_E_FORKED,
 * as its credentials are wiped there.  It can be closed there, and a child may open its own.
 */
#ifndef ENVOL_KMS_H
#define ENVOL_KMS_H

#include <envol/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Use the FIPS endpoints of KMS and STS. */
#define ENVOL_AWS_KMS_FIPS 1u
/* Use the replica of a multi-Region key (mrk-...) in the provider's Region, whatever Region the key
 * reference names: the way to open a volume while the Region of its slot is down. */
#define ENVOL_AWS_KMS_LOCAL_REPLICA 2u

/*
 * How to reach AWS KMS.  Strings are copied; NULL means: as the environment and the profile files
 * say (envol-kms(7)).  Zeroes but for struct_size are a whole configuration.
 */
struct envol_aws_kms_options {
    size_t struct_size;
    const char *region;        /* of keys named without ARN; an ARN's own Region goes first */
    const char *endpoint;      /* URL for every Region; http only on a loopback address */
    const char *profile;       /* in the credentials and config files */
    const char *ca_file;       /* PEM; the system's certificates if there is none */
    const char *access_key_id; /* with secret_access_key: these, and no other credentials */
    const char *secret_access_key;
    const char *session_token;
    const char *const *grant_tokens; /* sent with each request */
    size_t grant_token_count;        /* at most 10, as KMS says */
    uint32_t timeout_ms;             /* of one exchange; 0: 10,000 */
    uint32_t flags;                  /* ENVOL_AWS_KMS_* */
};

/*
 * The provider "aws-kms".  Key references are ARNs of keys and aliases, key ids and "alias/NAME";
 * what a slot holds is the ARN of the key.  The environment and the config file are read here,
 * credentials when a call first needs them and again 15 minutes before they expire.  options may
 * be NULL.  *provider is NULL on failure.  The statuses of its calls stand in
 * envol_aws_kms_provider(3).
 * ENVOL_E_ARGUMENT (options, endpoint, Region), ENVOL_E_CREDENTIALS (a config file of more than
 * 1 MiB), ENVOL_E_NO_MEMORY, ENVOL_E_UNSUPPORTED (a libcurl without TLS).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_aws_kms_provider_open(const struct envol_aws_kms_options *options,
                            struct envol_provider **provider, struct envol_error *error);

/* Accept keys that are not derived, which cannot bind the encryption context: a wrapped DEK then
 * opens in any header that names the key. */
#define ENVOL_VAULT_ALLOW_UNBOUND 1u

/* How to reach Vault or OpenBao.  Strings are copied; NULL: as the environment says. */
struct envol_vault_options {
    size_t struct_size;
    const char *address;       /* URL; http only on a loopback address.  VAULT_ADDR, BAO_ADDR */
    const char *token;         /* VAULT_TOKEN, BAO_TOKEN, then the file ~/.vault-token */
    const char *role_id;       /* AppRole, with secret_id; goes before a token */
    const char *secret_id;     /* VAULT_ROLE_ID, VAULT_SECRET_ID */
    const char *approle_mount; /* "approle" */
    const char *name_space;    /* VAULT_NAMESPACE, BAO_NAMESPACE */
    const char *ca_file;       /* PEM.  VAULT_CACERT, BAO_CACERT */
    uint32_t timeout_ms;       /* of one exchange; 0: 10,000 */
    uint32_t flags;            /* ENVOL_VAULT_* */
};

/*
 * The provider "vault".  A key reference is "MOUNT/KEY", "transit/orders" say; a key version is
 * Transit's number.  Keys have to be derived, so that the encryption context is bound, unless
 * ENVOL_VAULT_ALLOW_UNBOUND is given.  options may be NULL.  *provider is NULL on failure.  The
 * statuses of its calls stand in envol_vault_provider(3).
 * ENVOL_E_ARGUMENT (options, no address), ENVOL_E_NO_MEMORY, ENVOL_E_UNSUPPORTED (a libcurl
 * without TLS).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_vault_provider_open(const struct envol_vault_options *options,
                          struct envol_provider **provider, struct envol_error *error);

#ifdef __cplusplus
}
#endif
#endif
