/* SPDX-License-Identifier: BSD-2-Clause */
/* envol catalog list, forget: the backups that a volume knows of. */
#include "command.h"

#include <inttypes.h>
#include <string.h>

struct listing {
    bool json;
    size_t count;
};

static const char *form_of(const struct envol_backup_entry *entry)
{
    static const uint8_t none[ENVOL_UUID_BYTES];

    if (entry->form == ENVOL_BACKUP_RAW)
        return "raw copy";
    return memcmp(entry->parent, none, sizeof none) == 0 ? "full" : "incremental";
}

static void print_entry(const struct envol_backup_entry *entry)
{
    char when[TIME_BYTES];

    fputs("backup       ", stdout);
    print_uuid(stdout, entry->uuid);
    printf(", %s", form_of(entry));
    if (entry->form == ENVOL_BACKUP_STREAM && !entry->finished)
        fputs(", UNFINISHED", stdout);
    if (format_time(entry->created_at_s, when))
        printf(", of %s", when);
    printf(", epoch %" PRIu32, entry->epoch);
    if (entry->bytes > 0)
        printf(", %" PRIu64 " bytes", entry->bytes);
    if (*entry->label != '\0') {
        fputs(", ", stdout);
        print_text(stdout, entry->label);
    }
    putchar('\n');
    for (uint32_t i = 0; i < entry->cmk_count; i++) {
        fputs("             opened by ", stdout);
        print_text(stdout, entry->cmks[i].key_ref);
        putchar('\n');
    }
}

static void print_json_cmks(const struct envol_backup_entry *entry)
{
    for (uint32_t i = 0; i < entry->cmk_count; i++) {
        fputs(i > 0 ? ", {\"provider\": " : "{\"provider\": ", stdout);
        print_json_string(entry->cmks[i].provider);
        fputs(", \"key_ref\": ", stdout);
        print_json_string(entry->cmks[i].key_ref);
        fputs(", \"key_version\": ", stdout);
        print_json_string(entry->cmks[i].key_version);
        putchar('}');
    }
}

static void print_json_entry(const struct envol_backup_entry *entry, bool is_first)
{
    char when[TIME_BYTES];

    fputs(is_first ? "\n    {\"uuid\": \"" : ",\n    {\"uuid\": \"", stdout);
    print_uuid(stdout, entry->uuid);
    fputs("\", \"parent\": \"", stdout);
    print_uuid(stdout, entry->parent);
    printf("\", \"form\": \"%s\", \"finished\": %s, \"generation\": %" PRIu64
           ", \"volume_pages\": %" PRIu64 ", \"pages\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"epoch\": %" PRIu32 ", \"lowest_epoch\": %" PRIu32 ", \"created_at\": ",
           form_of(entry), entry->finished ? "true" : "false", entry->generation,
           entry->volume_pages, entry->pages, entry->bytes, entry->epoch, entry->lowest_epoch);
    if (format_time(entry->created_at_s, when))
        print_json_string(when);
    else
        fputs("null", stdout);
    fputs(", \"label\": ", stdout);
    print_json_string(entry->label);
    fputs(",\n     \"cmks\": [", stdout);
    print_json_cmks(entry);
    fputs("]}", stdout);
}

static int show(void *ctx, const struct envol_backup_entry *entry)
{
    struct listing *listing = ctx;

    if (listing->json)
        print_json_entry(entry, listing->count == 0);
    else
        print_entry(entry);
    listing->count++;
    return is_cancelled();
}

int run_catalog_list(const struct options *options)
{
    struct session session = {.reads_space = true};
    struct listing listing = {.json = (options->given & TAKES_JSON) != 0};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    int exit_status = session_open(&session, options, ENVOL_OPEN_READ_ONLY);

    if (exit_status != STATUS_OK)
        return session_finish(&session, options, exit_status);
    if (listing.json) {
        fputs("{\n  \"path\": ", stdout);
        print_json_string(options->path);
        fputs(",\n  \"backups\": [", stdout);
    }
    status = envol_backup_list(session.volume, show, &listing, &error);
    if (status != ENVOL_OK)
        exit_status = is_cancelled() ? check_cancelled(options) : fail(options, status, &error);
    else if (listing.json)
        puts(listing.count > 0 ? "\n  ]\n}" : "]\n}");
    return session_finish(&session, options, exit_status);
}

int run_catalog_forget(const struct options *options)
{
    struct session session = {.cmk_count = 0};
    struct envol_error error = ENVOL_ERROR_INIT;
    uint8_t uuid[ENVOL_UUID_BYTES];
    bool all = (options->given & TAKES_ALL) != 0;
    enum envol_status status;
    int exit_status;

    if (all && options->file != NULL)
        return fail_usage(options, "UUID and --all do not go together");
    if (!all && (options->file == NULL || !parse_uuid(options->file, uuid)))
        return fail_usage(options, "%s: not the UUID of a backup; envol catalog list shows them",
                          options->file == NULL ? "UUID" : options->file);
    exit_status = session_open(&session, options, 0);
    if (exit_status == STATUS_OK) {
        status = envol_backup_forget(session.volume, all ? NULL : uuid, &error);
        if (status != ENVOL_OK)
            exit_status = fail(options, status, &error);
    }
    return session_finish(&session, options, exit_status);
}
