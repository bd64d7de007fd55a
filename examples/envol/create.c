/* SPDX-License-Identifier: BSD-2-Clause */
/* envol create: a new file, a volume in it, and no file at all when that fails. */
#include "command.h"

#include <string.h>
#include <unistd.h>

static int take_suite(const struct options *options, struct envol_header_params *params)
{
    const enum envol_suite suites[] = {ENVOL_SUITE_AES_256_GCM, ENVOL_SUITE_AES_256_XTS};

    params->suite = ENVOL_SUITE_AES_256_GCM;
    if (options->suite == NULL)
        return STATUS_OK;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        if (strcmp(options->suite, suite_name(suites[i])) == 0) {
            params->suite = suites[i];
            return STATUS_OK;
        }
    }
    return fail_usage(options, "--suite %s: there is aes-256-gcm and aes-256-xts", options->suite);
}

/* The rule for sizes is the library's: a header of that geometry is made, and thrown away. */
static int take_page_size(const struct options *options, struct envol_header_params *params)
{
    struct envol_header *header = NULL;
    enum envol_status status;

    if (options->page_size == NULL)
        return STATUS_OK;
    params->stride_bytes = parse_bytes(options->page_size);
    status = params->stride_bytes == 0 ? ENVOL_E_ARGUMENT : envol_header_new(params, &header);
    envol_header_free(header);
    if (status == ENVOL_OK)
        return STATUS_OK;
    if (status != ENVOL_E_ARGUMENT)
        return fail(options, status, NULL);
    if (params->suite == ENVOL_SUITE_AES_256_XTS)
        return fail_usage(options, "--page-size %s: under aes-256-xts a power of two, 512 to 16M",
                          options->page_size);
    return fail_usage(options,
                      "--page-size %s: 560 to 16M bytes (K or M may follow a number), best a "
                      "multiple of 4096",
                      options->page_size);
}

static enum envol_status create_volume(struct session *session,
                                       const struct envol_header_params *params,
                                       struct envol_error *error)
{
    const struct envol_volume_options how = {
        .struct_size = sizeof how,
        .params = params,
        .cancel_flag = &cancel_flag,
    };

    return envol_volume_create(session->store, session->cmks, session->cmk_count, &how,
                               &session->volume, error);
}

static int create_file(struct session *session, const struct options *options,
                       const struct envol_header_params *params)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status =
        envol_file_store_open(options->path, ENVOL_FILE_CREATE, &session->store, &error);
    int exit_status = STATUS_OK;

    if (status == ENVOL_E_STATE)
        return fail_text(options, status,
                         "the file exists, and is never overwritten; choose another name");
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    status = create_volume(session, params, &error);
    if (status != ENVOL_OK)
        exit_status = fail(options, status, &error);
    exit_status = session_finish(session, options, exit_status);
    if (exit_status != STATUS_OK)
        unlink(options->path);
    return exit_status;
}

int run_create(const struct options *options)
{
    struct envol_header_params params = {
        .struct_size = sizeof params,
        .sparse = (options->given & TAKES_SPARSE) != 0,
        .atomic_pages = (options->given & TAKES_ATOMIC) != 0,
    };
    struct session session = {.cmk_count = 0};
    int exit_status = take_suite(options, &params);

    if (exit_status == STATUS_OK)
        exit_status = take_page_size(options, &params);
    if (exit_status == STATUS_OK)
        exit_status = session_providers(&session, options);
    if (exit_status == STATUS_OK)
        exit_status = create_file(&session, options, &params);
    session_close(&session);
    return exit_status;
}
