/* SPDX-License-Identifier: BSD-2-Clause */
/* Local CMKs: keygen, and key show, disable, enable, rotate, schedule-deletion. */
#include "command.h"

/* People give the URI that --cmk takes where FILE is asked for; "./file:x" is a file of that name.
 */
static const char *key_path(const struct options *options)
{
    const char *path = cmk_file(options->path);

    return path != NULL && *path != '\0' ? path : options->path;
}

int run_keygen(const struct options *options)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = envol_key_file_create(key_path(options), &error);

    if (status == ENVOL_E_STATE)
        return fail_text(options, status,
                         "the file exists, and a key is never overwritten; choose another name");
    return status == ENVOL_OK ? STATUS_OK : fail(options, status, &error);
}

static int set_state(const struct options *options, enum envol_key_state state)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = envol_key_file_set_state(key_path(options), state, &error);

    return status == ENVOL_OK ? STATUS_OK : fail(options, status, &error);
}

int run_key_disable(const struct options *options)
{
    return set_state(options, ENVOL_KEY_DISABLED);
}

int run_key_enable(const struct options *options)
{
    return set_state(options, ENVOL_KEY_ENABLED);
}

int run_key_schedule_deletion(const struct options *options)
{
    return set_state(options, ENVOL_KEY_PENDING_DELETION);
}

int run_key_rotate(const struct options *options)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = envol_key_file_rotate(key_path(options), &error);

    return status == ENVOL_OK ? STATUS_OK : fail(options, status, &error);
}

static void print_key(const struct options *options, const struct envol_key_info *info)
{
    if (!(options->given & TAKES_JSON)) {
        printf("provider     file\nkey          %s\n", info->key_ref);
        printf("state        %s\nversion      %s\n", key_state_name(info->state),
               info->key_version);
        return;
    }
    printf("{\n  \"provider\": \"file\",\n  \"key_ref\": ");
    print_json_string(info->key_ref);
    printf(",\n  \"state\": \"%s\",\n  \"key_version\": ", key_state_name(info->state));
    print_json_string(info->key_version);
    printf("\n}\n");
}

int run_key_show(const struct options *options)
{
    const struct envol_key_request request = {.struct_size = sizeof request};
    struct envol_key_info info = {.struct_size = sizeof info};
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_provider *provider = NULL;
    enum envol_status status = envol_file_provider_open(key_path(options), &provider);

    if (status == ENVOL_OK)
        status = envol_provider_describe(provider, &request, &info, &error);
    envol_provider_close(provider);
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    print_key(options, &info);
    return STATUS_OK;
}
