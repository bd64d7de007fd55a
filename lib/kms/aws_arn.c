/* SPDX-License-Identifier: BSD-2-Clause */
/* Key references, partitions and endpoints.  An ARN: arn:PARTITION:kms:REGION:ACCOUNT:RESOURCE. */
#include "kms/aws.h"

#include "kms/fail.h"
#include <string.h>

enum { ARN_FIELDS = 6, PARTITION = 1, SERVICE = 2, REGION = 3, RESOURCE = 5 };

/* Suffixes of endpoints by the beginning of a Region's name (botocore's endpoints.json). */
static const struct {
    const char *prefix;
    const char *suffix;
} partitions[] = {
    {"cn-", "amazonaws.com.cn"},    /* aws-cn */
    {"us-iso-", "c2s.ic.gov"},      /* aws-iso */
    {"us-isob-", "sc2s.sgov.gov"},  /* aws-iso-b */
    {"eu-isoe-", "cloud.adc-e.uk"}, /* aws-iso-e */
    {"us-isof-", "csp.hci.ic.gov"}, /* aws-iso-f */
    {"eusc-", "amazonaws.eu"},      /* aws-eusc */
    {"", "amazonaws.com"},          /* aws, aws-us-gov */
};

struct arn {
    const char *at[ARN_FIELDS];
    size_t length[ARN_FIELDS];
};

static bool parse(const char *text, struct arn *arn)
{
    for (size_t i = 0; i < ARN_FIELDS; i++) {
        size_t length = i + 1 < ARN_FIELDS ? strcspn(text, ":") : strlen(text);

        if (length == 0 || (i + 1 < ARN_FIELDS && text[length] != ':'))
            return false;
        arn->at[i] = text;
        arn->length[i] = length;
        text += length + 1;
    }
    return arn->length[0] == 3 && memcmp(arn->at[0], "arn", 3) == 0 && arn->length[SERVICE] == 3 &&
           memcmp(arn->at[SERVICE], "kms", 3) == 0;
}

static bool is_region(const char *text, size_t length)
{
    return length > 0 && length <= ENVOL_AWS_NAME_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") >= length;
}

static bool is_replicated(const struct arn *arn)
{
    static const char prefix[] = "key/mrk-";

    return strncmp(arn->at[RESOURCE], prefix, sizeof(prefix) - 1) == 0;
}

/* The same ARN, of the replica in the provider's own Region. */
static enum envol_status use_replica(const struct envol_aws_settings *settings,
                                     const struct arn *arn, struct envol_aws_key *key,
                                     struct envol_error *error)
{
    struct envol_kms_text region = envol_kms_text(key->region, sizeof(key->region));
    struct envol_kms_text id = envol_kms_text(key->id, sizeof(key->id));

    if (settings->region[0] == '\0')
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "no Region: which replica is meant?");
    envol_kms_text_add(&region, settings->region);
    envol_kms_text_bytes(&id, arn->at[0], (size_t)(arn->at[REGION] - arn->at[0]));
    envol_kms_text_add(&id, settings->region);
    envol_kms_text_add(&id, arn->at[REGION] + arn->length[REGION]);
    return id.full ? envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "key reference: too long")
                   : ENVOL_OK;
}

enum envol_status envol_kms_aws_key(const struct envol_aws_settings *settings, const char *key_ref,
                                    struct envol_aws_key *key, struct envol_error *error)
{
    struct envol_kms_text region = envol_kms_text(key->region, sizeof(key->region));
    struct envol_kms_text id = envol_kms_text(key->id, sizeof(key->id));
    struct arn arn;

    if (key_ref == NULL)
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "aws-kms: no key is named");
    if (strncmp(key_ref, "arn:", 4) != 0) {
        if (settings->region[0] == '\0')
            return envol_kms_fail(error, ENVOL_E_ARGUMENT, "",
                                  "%.128s: no ARN, and no Region is set", key_ref);
        envol_kms_text_add(&region, settings->region);
        envol_kms_text_add(&id, key_ref);
        return ENVOL_OK;
    }
    if (!parse(key_ref, &arn) || !is_region(arn.at[REGION], arn.length[REGION]))
        return envol_kms_fail(error, ENVOL_E_ARGUMENT, "", "%.128s: not the ARN of a KMS key",
                              key_ref);
    if (settings->local_replica && is_replicated(&arn))
        return use_replica(settings, &arn, key, error);
    envol_kms_text_bytes(&region, arn.at[REGION], arn.length[REGION]);
    envol_kms_text_add(&id, key_ref);
    return ENVOL_OK;
}

bool envol_kms_aws_same_key(const char *asked, const char *answered)
{
    const char *slash;
    struct arn arn;

    if (!parse(answered, &arn) || strncmp(arn.at[RESOURCE], "key/", 4) != 0)
        return false;
    if (strncmp(asked, "alias/", 6) == 0 || strstr(asked, ":alias/") != NULL)
        return true;
    if (strncmp(asked, "arn:", 4) == 0)
        return strcmp(asked, answered) == 0;
    slash = strchr(arn.at[RESOURCE], '/');
    return strcmp(asked, slash + 1) == 0;
}

bool envol_kms_aws_endpoint(const struct envol_aws_settings *settings, const char *service,
                            const char *region, char *url, size_t capacity)
{
    const char *set = strcmp(service, "kms") == 0 ? settings->kms_endpoint : settings->sts_endpoint;
    struct envol_kms_text text = envol_kms_text(url, capacity);
    size_t i = 0;

    if (set[0] != '\0') {
        envol_kms_text_add(&text, set);
        return !text.full;
    }
    while (strncmp(region, partitions[i].prefix, strlen(partitions[i].prefix)) != 0)
        i++;
    envol_kms_text_format(&text, "https://%s%s.%s.%s", service, settings->use_fips ? "-fips" : "",
                          region, partitions[i].suffix);
    return !text.full;
}
