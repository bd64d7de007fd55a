/* SPDX-License-Identifier: BSD-2-Clause */
/* envol slot list, add, remove: which CMKs open a volume. */
#include "command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int read_header(struct session *session, const struct options *options, struct slots *slots)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_header *header = NULL;
    enum envol_status status =
        envol_file_store_open(options->path, ENVOL_FILE_READ_ONLY, &session->store, &error);

    if (status == ENVOL_OK)
        status = envol_volume_inspect(session->store, &info, &header, &error);
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    slots_of_header(slots, header);
    envol_header_free(header);
    return STATUS_OK;
}

static int read_volume(struct session *session, const struct options *options, struct slots *slots)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    int exit_status = session_open(session, options, ENVOL_OPEN_READ_ONLY);

    if (exit_status != STATUS_OK)
        return exit_status;
    status = slots_of_volume(slots, session, &error);
    return status == ENVOL_OK ? STATUS_OK : fail(options, status, &error);
}

static void print(const struct options *options, const struct slots *slots, bool verified)
{
    if (!(options->given & TAKES_JSON)) {
        if (!verified)
            puts("UNVERIFIED: nobody vouches for what follows; --cmk URI verifies it");
        slots_print(slots);
        return;
    }
    fputs("{\n  \"path\": ", stdout);
    print_json_string(options->path);
    printf(",\n  \"verified\": %s,\n", verified ? "true" : "false");
    slots_print_json(slots);
    puts("}");
}

int run_slot_list(const struct options *options)
{
    struct session session = {.cmk_count = 0};
    static struct slots slots;
    bool verified = options->cmk_count > 0;
    int exit_status =
        verified ? read_volume(&session, options, &slots) : read_header(&session, options, &slots);

    if (exit_status == STATUS_OK)
        print(options, &slots, verified);
    return session_finish(&session, options, exit_status);
}

static int add(struct session *session, const struct options *options, const struct envol_cmk *cmk)
{
    const struct envol_volume_options how = {
        .struct_size = sizeof how,
        .cancel_flag = &cancel_flag,
    };
    struct envol_error error = ENVOL_ERROR_INIT;
    uint32_t id = 0;
    enum envol_status status = envol_volume_add_slot(session->volume, cmk, &how, &id, &error);

    if (status == ENVOL_E_STATE)
        return fail_text(options, status, "%s; envol rewrap renews it", error.message);
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    printf("slot %" PRIu32 "\n", id);
    return STATUS_OK;
}

int run_slot_add(const struct options *options)
{
    struct session session = {.cmk_count = 0};
    struct cmk_source to = {.provider = NULL};
    int exit_status = session_open(&session, options, 0);

    if (exit_status == STATUS_OK)
        exit_status = uri_open(&to, options, options->to);
    if (exit_status == STATUS_OK)
        exit_status = add(&session, options, &to.cmk);
    exit_status = session_finish(&session, options, exit_status);
    cmk_close(&to);
    return exit_status;
}

static bool parse_id(const char *text, uint32_t *id)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long number = digits < 10 ? strtoul(text, NULL, 10) : 0;

    *id = (uint32_t)number;
    return digits > 0 && text[digits] == '\0' && number > 0;
}

int run_slot_remove(const struct options *options)
{
    struct session session = {.cmk_count = 0};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    uint32_t id;
    int exit_status;

    if (options->file == NULL || !parse_id(options->file, &id))
        return fail_usage(options, "%s: not the number of a slot; see envol slot list",
                          options->file != NULL ? options->file : "-");
    exit_status = session_open(&session, options, 0);
    if (exit_status == STATUS_OK) {
        status = envol_volume_remove_slot(session.volume, id, &error);
        if (status != ENVOL_OK)
            exit_status = fail(options, status, &error);
    }
    return session_finish(&session, options, exit_status);
}
