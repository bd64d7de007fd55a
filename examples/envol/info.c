/* SPDX-License-Identifier: BSD-2-Clause */
/* envol info: what a volume's header says, verified with a CMK, and labelled when not. */
#include "command.h"

#include <inttypes.h>
#include <time.h>

/* A DEK is due for rotation before so many seals (envol(7)). */
#define SEAL_LIMIT (UINT64_C(1) << 45)

struct report {
    const char *path;
    struct envol_volume_info volume; /* its header alone is filled without a CMK */
    struct slots slots;
    struct import_record import;
    enum envol_status content_status; /* of reading the import record */
    bool verified;
    struct envol_rotation rotation; /* verified alone */
    struct ledger ledger;
};

static const char *const lease_states[] = {
    [ENVOL_LEASE_NONE] = "none",
    [ENVOL_LEASE_AVAILABLE] = "available",
    [ENVOL_LEASE_SUSPECT] = "suspect",
    [ENVOL_LEASE_INACCESSIBLE] = "inaccessible",
};

/* When the lease of this process checked and would again.  0: not at all. */
struct lease_times {
    uint64_t checked_s, next_s, deadline_s;
};

/* Unix time of a time of CLOCK_MONOTONIC. */
static uint64_t unix_time(uint64_t at_ms)
{
    struct timespec now, monotonic;
    int64_t ahead_ms;

    if (at_ms == 0)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    ahead_ms = (int64_t)at_ms - (int64_t)monotonic.tv_sec * 1000 - monotonic.tv_nsec / 1000000;
    return (uint64_t)(((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + ahead_ms) / 1000);
}

static struct lease_times lease_times(const struct envol_volume_info *volume)
{
    return (struct lease_times){
        .checked_s = volume->lease_checked_at_s,
        .next_s = unix_time(volume->lease_next_ms),
        .deadline_s = unix_time(volume->lease_deadline_ms),
    };
}

static void print_time(const char *before, uint64_t unix_s)
{
    char when[TIME_BYTES];

    if (unix_s != 0 && format_time(unix_s, when))
        printf("%s%s", before, when);
}

static void print_lease(const struct envol_volume_info *volume)
{
    struct lease_times times = lease_times(volume);

    printf("lease        %s: the key service was asked once more: %s\n",
           lease_states[volume->lease_state], envol_status_message(volume->lease_status));
    print_time("checked      ", times.checked_s);
    print_time(", to be checked again at ", times.next_s);
    print_time(", keys are wiped at ", times.deadline_s);
    puts(", in this process alone");
}

static const char *content_name(const struct report *report)
{
    static const char *const names[] = {
        [CONTENT_NONE] = "none",
        [CONTENT_FOREIGN] = "pages",
        [CONTENT_PARTIAL] = "partial-import",
        [CONTENT_WHOLE] = "import",
    };

    return report->content_status == ENVOL_OK ? names[report->import.content] : "unreadable";
}

static void print_content(const struct report *report)
{
    if (report->content_status != ENVOL_OK)
        printf("content      unreadable: %s (%s)\n", envol_status_message(report->content_status),
               envol_status_name(report->content_status));
    else if (report->import.content == CONTENT_WHOLE && report->import.is_logged)
        printf("content      an import of %" PRIu64 " bytes, at LSN %" PRIu64 " of a log\n",
               report->import.bytes, report->import.lsn);
    else if (report->import.content == CONTENT_WHOLE)
        printf("content      an import of %" PRIu64 " bytes\n", report->import.bytes);
    else if (report->import.content == CONTENT_PARTIAL)
        puts("content      an import that was cut off, or still runs");
    else if (report->import.content == CONTENT_FOREIGN)
        puts("content      pages that no import wrote");
    else
        puts("content      none");
}

static void print_geometry(const struct envol_header_info *header)
{
    fputs("uuid         ", stdout);
    print_uuid(stdout, header->uuid);
    printf("\nsuite        %s%s%s\n", suite_name(header->suite), header->sparse ? ", sparse" : "",
           header->atomic_pages ? ", atomic pages" : "");
    printf("page         %" PRIu32 " bytes, in a record of %" PRIu32 ", from offset %" PRIu64 "\n",
           header->page_bytes, header->stride_bytes, header->data_offset);
    printf("generation   %" PRIu64 "\n", header->generation);
    printf("copies       %" PRIu32 " of 2 whole%s\n", header->whole_copies,
           header->whole_copies < 2 ? "; the next writer writes the other one again" : "");
    printf("epoch        %" PRIu32 ", lowest %" PRIu32 ", older DEKs kept: %" PRIu32 "\n",
           header->epoch, header->lowest_epoch, header->retained_epochs);
    printf("high water   %" PRIu64 " pages, %s\n", header->high_water,
           header->clean ? "clean" : "not clean: in use, or not closed");
    printf("seals        about %" PRIu64 " of at most %" PRIu64 " (2^45) under this DEK\n",
           header->seal_estimate, SEAL_LIMIT);
}

/* The figures of a header in use may be behind those of an open volume, which --cmk gives. */
static void print_rotation(const struct report *report)
{
    const struct envol_header_info *header = &report->volume.header;

    if (header->rotation == 0)
        return;
    printf("rotation     unfinished, from epoch %" PRIu32, header->rotation_from_epoch);
    if (report->verified)
        printf(": %" PRIu64 " of %" PRIu64 " pages visited, %" PRIu64
               " bad; envol rotate --resume goes on",
               report->rotation.done, report->rotation.pages, report->rotation.bad);
    putchar('\n');
}

static void print_log(const struct envol_header_info *header)
{
    if (header->log_seal != ENVOL_LOG_SEAL_NONE)
        printf("log          %s; needs DEKs from epoch %" PRIu32 " on\n",
               header->log_seal == ENVOL_LOG_SEAL_SEALED ? "closed" : "open, or was not closed",
               header->log_lowest_epoch);
}

static void print_json_log(const struct envol_header_info *header)
{
    if (header->log_seal == ENVOL_LOG_SEAL_NONE)
        puts("  \"log\": null,");
    else
        printf("  \"log\": {\"closed\": %s, \"lowest_epoch\": %" PRIu32 "},\n",
               header->log_seal == ENVOL_LOG_SEAL_SEALED ? "true" : "false",
               header->log_lowest_epoch);
}

static void print_report(const struct report *report)
{
    if (report->verified)
        printf("header       verified, by slot %" PRIu32 "\n", report->volume.opened_slot);
    else
        puts("header       UNVERIFIED: nobody vouches for what follows; --cmk URI verifies it");
    print_geometry(&report->volume.header);
    print_rotation(report);
    if (report->volume.header.restoring)
        puts("restore      unfinished: envol restore goes on with it");
    snapshots_print(&report->volume.header);
    print_log(&report->volume.header);
    if (report->verified) {
        printf("pages        %" PRIu64 "\n", report->volume.pages);
        print_content(report);
        printf("keys         %s, AES by %s\n",
               report->volume.keys_locked ? "in locked memory" : "in memory that is NOT LOCKED",
               report->volume.kernel);
        print_lease(&report->volume);
    }
    slots_print(&report->slots);
    if (report->ledger.volume.epoch_count > 0)
        ledger_print(&report->ledger);
}

static void print_json_header(const struct envol_header_info *header)
{
    fputs("  \"uuid\": \"", stdout);
    print_uuid(stdout, header->uuid);
    printf("\",\n  \"generation\": %" PRIu64 ",\n", header->generation);
    printf("  \"whole_copies\": %" PRIu32 ",\n", header->whole_copies);
    printf("  \"suite\": \"%s\",\n  \"page_bytes\": %" PRIu32 ",\n", suite_name(header->suite),
           header->page_bytes);
    printf("  \"stride_bytes\": %" PRIu32 ",\n  \"data_offset\": %" PRIu64 ",\n",
           header->stride_bytes, header->data_offset);
    printf("  \"sparse\": %s,\n  \"atomic_pages\": %s,\n", header->sparse ? "true" : "false",
           header->atomic_pages ? "true" : "false");
    printf("  \"epoch\": %" PRIu32 ",\n", header->epoch);
    printf("  \"lowest_epoch\": %" PRIu32 ",\n  \"retained_epochs\": %" PRIu32 ",\n",
           header->lowest_epoch, header->retained_epochs);
    printf("  \"restoring\": %s,\n", header->restoring ? "true" : "false");
    printf("  \"high_water\": %" PRIu64 ",\n  \"clean\": %s,\n", header->high_water,
           header->clean ? "true" : "false");
    printf("  \"seal_estimate\": %" PRIu64 ",\n  \"seal_limit\": %" PRIu64 ",\n",
           header->seal_estimate, SEAL_LIMIT);
}

static void print_json_time(const char *name, uint64_t unix_s)
{
    char when[TIME_BYTES];

    printf("  \"%s\": ", name);
    if (unix_s != 0 && format_time(unix_s, when))
        print_json_string(when);
    else
        fputs("null", stdout);
    fputs(",\n", stdout);
}

static void print_json_lease(const struct report *report)
{
    struct lease_times times = {.checked_s = 0};

    if (report->verified) {
        times = lease_times(&report->volume);
        printf("  \"lease_state\": \"%s\",\n  \"lease_status\": \"%s\",\n",
               lease_states[report->volume.lease_state],
               envol_status_name(report->volume.lease_status));
    } else
        fputs("  \"lease_state\": null,\n  \"lease_status\": null,\n", stdout);
    print_json_time("lease_checked_at", times.checked_s);
    print_json_time("lease_next_check_at", times.next_s);
    print_json_time("lease_deadline_at", times.deadline_s);
}

/* The same members in the same order always; null where only a CMK could tell. */
static void print_json_volume(const struct report *report)
{
    if (!report->verified) {
        fputs("  \"pages\": null,\n  \"opened_slot\": null,\n  \"keys_locked\": null,\n", stdout);
        print_json_lease(report);
        fputs("  \"content\": null,\n  \"content_bytes\": null,\n  \"content_lsn\": null,\n",
              stdout);
        return;
    }
    printf("  \"pages\": %" PRIu64 ",\n  \"opened_slot\": %" PRIu32 ",\n  \"keys_locked\": %s,\n",
           report->volume.pages, report->volume.opened_slot,
           report->volume.keys_locked ? "true" : "false");
    print_json_lease(report);
    printf("  \"content\": \"%s\",\n  \"content_bytes\": ", content_name(report));
    if (report->content_status == ENVOL_OK && report->import.content == CONTENT_WHOLE)
        printf("%" PRIu64 ",\n  \"content_lsn\": ", report->import.bytes);
    else
        fputs("null,\n  \"content_lsn\": ", stdout);
    if (report->content_status == ENVOL_OK && report->import.is_logged)
        printf("%" PRIu64 ",\n", report->import.lsn);
    else
        fputs("null,\n", stdout);
}

static void print_json_rotation(const struct report *report)
{
    const struct envol_header_info *header = &report->volume.header;

    printf("  \"rotation\": %s,\n  \"rotation_from_epoch\": ",
           header->rotation != 0 ? "true" : "false");
    if (header->rotation == 0)
        fputs("null", stdout);
    else
        printf("%" PRIu32, header->rotation_from_epoch);
    if (header->rotation == 0 || !report->verified)
        fputs(",\n  \"rotation_done\": null,\n  \"rotation_bad\": null,\n", stdout);
    else
        printf(",\n  \"rotation_done\": %" PRIu64 ",\n  \"rotation_bad\": %" PRIu64 ",\n",
               report->rotation.done, report->rotation.bad);
}

static void print_json(const struct report *report)
{
    fputs("{\n  \"path\": ", stdout);
    print_json_string(report->path);
    printf(",\n  \"verified\": %s,\n", report->verified ? "true" : "false");
    print_json_header(&report->volume.header);
    print_json_rotation(report);
    print_json_volume(report);
    fputs("  \"kernel\": ", stdout);
    print_json_string(envol_kernel_name());
    fputs(",\n", stdout);
    snapshots_print_json(&report->volume.header);
    fputs(",\n", stdout);
    print_json_log(&report->volume.header);
    ledger_print_json(report->ledger.volume.epoch_count > 0 ? &report->ledger : NULL);
    slots_print_json(&report->slots);
    puts("}");
}

/* Without a CMK: the header as it lies there. */
static int inspect(struct session *session, const struct options *options, struct report *report)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_header *header = NULL;
    enum envol_status status =
        envol_file_store_open(options->path, ENVOL_FILE_READ_ONLY, &session->store, &error);

    if (status == ENVOL_OK)
        status = envol_volume_inspect(session->store, &report->volume.header, &header, &error);
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    slots_of_header(&report->slots, header);
    envol_header_free(header);
    return STATUS_OK;
}

/* One check, as a long-running program makes them.  What it says is told, and no failure. */
static enum envol_status check_key(struct session *session)
{
    const struct envol_lease_options options = {.struct_size = sizeof options,
                                                .flags = ENVOL_LEASE_AT_ONCE};
    struct envol_lease *lease;
    enum envol_status status = envol_lease_start(session->volume, &options, &lease, NULL);

    return status == ENVOL_OK ? envol_lease_poll(lease, 0, NULL) : status;
}

static int open_verified(struct session *session, const struct options *options,
                         struct report *report)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    int exit_status = session_open(session, options, ENVOL_OPEN_READ_ONLY);

    if (exit_status != STATUS_OK)
        return exit_status;
    status = check_key(session);
    if (status == ENVOL_OK)
        status = envol_volume_info(session->volume, &report->volume);
    if (status == ENVOL_OK)
        status = envol_volume_rotate_status(session->volume, &report->rotation);
    if (status != ENVOL_OK)
        return fail(options, status, NULL);
    status = slots_of_volume(&report->slots, session, &error);
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    report->content_status = record_read(session, &report->import);
    if (options->given & TAKES_LEDGER)
        status = ledger_take(&report->ledger, session->volume, &error);
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    report->verified = true;
    return STATUS_OK;
}

int run_info(const struct options *options)
{
    struct session session = {.reads_space = (options->given & TAKES_LEDGER) != 0};
    static struct report report; /* 160 KiB */
    int exit_status;

    if ((options->given & TAKES_LEDGER) && options->cmk_count == 0)
        return fail_usage(options, "--ledger reads every page, and needs --cmk URI");
    report.rotation.struct_size = sizeof report.rotation;
    report.path = options->path;
    report.volume.struct_size = sizeof report.volume;
    report.volume.header.struct_size = sizeof report.volume.header;
    exit_status = options->cmk_count > 0 ? open_verified(&session, options, &report)
                                         : inspect(&session, options, &report);
    if (exit_status != STATUS_OK && options->cmk_is_default && session.store != NULL) {
        /* Nobody asked for this CMK here; why it failed has been said. */
        (void)session_close(&session);
        exit_status = inspect(&session, options, &report);
    }
    if (exit_status == STATUS_OK) {
        if (options->given & TAKES_JSON)
            print_json(&report);
        else
            print_report(&report);
    }
    return session_finish(&session, options, exit_status);
}
