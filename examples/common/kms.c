/* SPDX-License-Identifier: BSD-2-Clause */
/* URIs of keys in AWS KMS, and in Vault or OpenBao, where this build has libenvol-kms. */
#include "cmk.h"

#if defined(ENVOL_WITH_KMS)

#include <envol-kms.h>
#include <stdlib.h>
#include <string.h>

/* The first bytes of rest are the key. */
static enum envol_status set_key(struct cmk_source *source, const char *rest, size_t bytes)
{
    source->key_ref = strndup(rest, bytes);
    source->cmk.key_ref = source->key_ref;
    return source->key_ref != NULL ? ENVOL_OK : ENVOL_E_NO_MEMORY;
}

/* aws-kms:ARN, and aws-kms:ARN?region=REGION for the replica of a multi-Region key there. */
enum envol_status aws_kms_open(struct cmk_source *source, const char *rest,
                               struct envol_error *error)
{
    static const char query[] = "?region=";
    const char *region = strstr(rest, query);
    struct envol_aws_kms_options how = {.struct_size = sizeof how};
    enum envol_status status;

    if (region != NULL) {
        how.region = region + sizeof query - 1;
        how.flags = ENVOL_AWS_KMS_LOCAL_REPLICA;
    }
    status = set_key(source, rest, region == NULL ? strlen(rest) : (size_t)(region - rest));
    if (status == ENVOL_OK)
        status = envol_aws_kms_provider_open(&how, &source->provider, error);
    return status;
}

/* vault:MOUNT/KEY, and vault:MOUNT/KEY?unbound for a key that is not derived. */
enum envol_status vault_open(struct cmk_source *source, const char *rest, struct envol_error *error)
{
    static const char query[] = "?unbound";
    size_t length = strlen(rest), tail = sizeof query - 1;
    struct envol_vault_options how = {.struct_size = sizeof how};
    enum envol_status status;

    if (length > tail && strcmp(rest + length - tail, query) == 0) {
        how.flags = ENVOL_VAULT_ALLOW_UNBOUND;
        length -= tail;
    }
    status = set_key(source, rest, length);
    if (status == ENVOL_OK)
        status = envol_vault_provider_open(&how, &source->provider, error);
    return status;
}

#else

/* A translation unit is not empty (C11, 6.9). */
typedef int kms_absent;

#endif
