/* SPDX-License-Identifier: BSD-2-Clause */
/* envol snapshot create, list, delete; and the snapshots in envol info. */
#include "command.h"

#include <inttypes.h>
#include <string.h>

bool parse_uuid(const char *text, uint8_t uuid[ENVOL_UUID_BYTES])
{
    return envol_uuid_parse(text, uuid) == ENVOL_OK;
}

void snapshots_print(const struct envol_header_info *header)
{
    for (uint32_t i = 0; i < header->snapshots; i++) {
        const struct envol_header_snapshot *snapshot = &header->snapshot[i];
        char when[TIME_BYTES];
        fputs("snapshot     ", stdout);
        print_uuid(stdout, snapshot->uuid);
        printf(", %" PRIu64 " pages", snapshot->pages);
        if (format_time(snapshot->created_at_s, when))
            printf(", of %s", when);
        putchar('\n');
    }
}

void snapshots_print_json(const struct envol_header_info *header)
{
    fputs("  \"snapshots\": [", stdout);
    for (uint32_t i = 0; i < header->snapshots; i++) {
        const struct envol_header_snapshot *snapshot = &header->snapshot[i];
        char when[TIME_BYTES];
        fputs(i > 0 ? ",\n    {\"uuid\": \"" : "\n    {\"uuid\": \"", stdout);
        print_uuid(stdout, snapshot->uuid);
        printf("\", \"pages\": %" PRIu64 ", \"generation\": %" PRIu64 ", \"epoch\": %" PRIu32
               ", \"lowest_epoch\": %" PRIu32 ", \"created_at\": ",
               snapshot->pages, snapshot->generation, snapshot->epoch, snapshot->lowest_epoch);
        if (format_time(snapshot->created_at_s, when))
            print_json_string(when);
        else
            fputs("null", stdout);
        putchar('}');
    }
    fputs(header->snapshots > 0 ? "\n  ]" : "]", stdout);
}

int run_snapshot_create(const struct options *options)
{
    struct session session = {.makes_space = true};
    struct envol_error error = ENVOL_ERROR_INIT;
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_status status;
    int exit_status = session_open(&session, options, 0);

    if (exit_status == STATUS_OK) {
        status = envol_snapshot_create(session.volume, NULL, uuid, &error);
        if (status != ENVOL_OK)
            exit_status = fail(options, status, &error);
    }
    if (exit_status == STATUS_OK) {
        print_uuid(stdout, uuid);
        putchar('\n');
    }
    return session_finish(&session, options, exit_status);
}

int run_snapshot_delete(const struct options *options)
{
    struct session session = {.cmk_count = 0};
    struct envol_error error = ENVOL_ERROR_INIT;
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_status status;
    int exit_status;

    if (options->file == NULL || !parse_uuid(options->file, uuid))
        return fail_usage(options, "%s: not the UUID of a snapshot; envol snapshot list shows them",
                          options->file == NULL ? "UUID" : options->file);
    if ((options->given & TAKES_FORCE) != 0)
        session.abandons = uuid;
    exit_status = session_open(&session, options, 0);
    if (exit_status == STATUS_OK && session.abandons == NULL) {
        status = envol_snapshot_delete(session.volume, uuid, &error);
        if (status != ENVOL_OK)
            exit_status = fail(options, status, &error);
    }
    return session_finish(&session, options, exit_status);
}

/* As the header has them: without a CMK nobody vouches for that. */
static int read_header(struct session *session, const struct options *options,
                       struct envol_volume_info *info)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;

    if (options->cmk_count > 0) {
        int exit_status = session_open(session, options, ENVOL_OPEN_READ_ONLY);
        if (exit_status != STATUS_OK)
            return exit_status;
        status = envol_volume_info(session->volume, info);
        return status == ENVOL_OK ? STATUS_OK : fail(options, status, NULL);
    }
    status = envol_file_store_open(options->path, ENVOL_FILE_READ_ONLY, &session->store, &error);
    if (status == ENVOL_OK)
        status = envol_volume_inspect(session->store, &info->header, NULL, &error);
    return status == ENVOL_OK ? STATUS_OK : fail(options, status, &error);
}

int run_snapshot_list(const struct options *options)
{
    struct session session = {.cmk_count = 0};
    struct envol_volume_info info = {.struct_size = sizeof info};
    bool verified = options->cmk_count > 0;
    int exit_status;

    info.header.struct_size = sizeof info.header;
    exit_status = read_header(&session, options, &info);
    if (exit_status == STATUS_OK && (options->given & TAKES_JSON)) {
        fputs("{\n  \"path\": ", stdout);
        print_json_string(options->path);
        printf(",\n  \"verified\": %s,\n", verified ? "true" : "false");
        snapshots_print_json(&info.header);
        puts("\n}");
    } else if (exit_status == STATUS_OK) {
        if (!verified)
            puts("UNVERIFIED: nobody vouches for what follows; --cmk URI verifies it");
        snapshots_print(&info.header);
    }
    return session_finish(&session, options, exit_status);
}
