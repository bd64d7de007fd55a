/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol rotate: another DEK, under which every page of the volume is sealed again.  What stops it
 * half-way, be it a signal, leaves a rotation that --resume goes on with.
 */
#include "command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct rotate {
    const struct options *options;
    struct session session;
    struct progress progress;
    struct envol_rotation rotation;
    struct envol_slot_outcomes dropped; /* of a begin */
    uint64_t bytes_per_second;
    uint64_t *bad; /* numbers of pages, at the end of the sweep */
    uint64_t bad_count;
    bool begun, kept, engine; /* engine: its own records are left */
};

static bool is_given(const struct rotate *rotate, uint64_t option)
{
    return (rotate->options->given & option) != 0;
}

/* --- What is asked for --- */

/* MB of a million bytes; more than a million of them are no bound. */
static int take_throttle(struct rotate *rotate)
{
    const char *text = rotate->options->throttle;
    size_t digits = text != NULL ? strspn(text, "0123456789") : 0;

    if (text == NULL)
        return STATUS_OK;
    if (digits > 0 && digits < 8 && text[digits] == '\0')
        rotate->bytes_per_second = strtoul(text, NULL, 10) * 1000000u;
    return rotate->bytes_per_second > 0
               ? STATUS_OK
               : fail_usage(rotate->options,
                            "--throttle %s: megabytes in a second, a number from 1 to 9999999",
                            text);
}

static int check_options(struct rotate *rotate)
{
    if (is_given(rotate, TAKES_RESUME) && is_given(rotate, TAKES_DROP_SLOTS))
        return fail_usage(rotate->options, "--drop-slots is of a rotation's beginning, and "
                                           "--resume goes on with one");
    if (is_given(rotate, TAKES_KEEP_OLD) && is_given(rotate, TAKES_ABANDON_BAD))
        return fail_usage(rotate->options,
                          "--keep-old keeps the older DEKs, and --abandon-bad gives them up");
    return take_throttle(rotate);
}

static bool has_retained(const struct rotate *rotate)
{
    struct envol_volume_info info = {.struct_size = sizeof info};

    info.header.struct_size = sizeof info.header;
    return envol_volume_info(rotate->session.volume, &info) == ENVOL_OK &&
           info.header.retained_epochs > 0;
}

static int check_state(struct rotate *rotate)
{
    const struct envol_rotation *rotation = &rotate->rotation;
    bool resume = is_given(rotate, TAKES_RESUME);

    if (rotation->pages == 0 && !is_given(rotate, TAKES_FORCE))
        return fail_text(rotate->options, ENVOL_E_STATE,
                         "the volume has no pages; if an engine keeps its records elsewhere, it "
                         "has to rotate, else --force begins");
    if (rotation->state != ENVOL_ROTATION_NONE && !resume)
        return fail_text(rotate->options, ENVOL_E_STATE,
                         "a rotation to epoch %" PRIu32 " is unfinished, %" PRIu64 " of %" PRIu64
                         " pages were visited; --resume goes on with it",
                         rotation->epoch, rotation->done, rotation->pages);
    if (rotation->state == ENVOL_ROTATION_NONE && resume &&
        !(is_given(rotate, TAKES_ABANDON_BAD) && has_retained(rotate)))
        return fail_text(rotate->options, ENVOL_E_STATE,
                         "no rotation is unfinished; without --resume one begins");
    return STATUS_OK;
}

static enum envol_status look(struct rotate *rotate)
{
    rotate->rotation.struct_size = sizeof rotate->rotation;
    return envol_volume_rotate_status(rotate->session.volume, &rotate->rotation);
}

/* --- The beginning --- */

/* "slot 2 (file): why; ", of those that were not wrapped for; most at most. */
static void list_slots(const struct envol_slot_outcomes *outcomes, size_t most, char *text,
                       size_t capacity)
{
    size_t used = 0, listed = 0;

    text[0] = '\0';
    for (size_t i = 0; i < outcomes->count && used < capacity && listed < most; i++) {
        const struct envol_slot_outcome *outcome = &outcomes->outcome[i];
        const char *why = outcome->message;
        if (outcome->status == ENVOL_OK)
            continue;
        if (outcome->status == ENVOL_E_NO_PROVIDER)
            why = "no --cmk serves it";
        else if (why[0] == '\0')
            why = envol_status_message(outcome->status);
        listed++;
        used += (size_t)snprintf(text + used, capacity - used, "slot %u (%s): %s; ", outcome->slot,
                                 outcome->provider, why);
    }
}

static int fail_begin(const struct rotate *rotate, enum envol_status status,
                      const struct envol_error *error)
{
    bool drop = is_given(rotate, TAKES_DROP_SLOTS);
    char text[900];

    /* Slots behind the first that failed were not asked. */
    list_slots(&rotate->dropped, drop ? ENVOL_SLOTS_MAX : 1, text, sizeof text);
    if (text[0] == '\0' || status == ENVOL_E_CANCELLED)
        return fail(rotate->options, status, error);
    if (drop)
        return fail_text(rotate->options, status, "%sno slot would be left", text);
    return fail_text(rotate->options, status, "%s--drop-slots gives up what cannot be wrapped for",
                     text);
}

static void print_dropped(const struct rotate *rotate)
{
    for (size_t i = 0; i < rotate->dropped.count; i++) {
        const struct envol_slot_outcome *outcome = &rotate->dropped.outcome[i];
        if (outcome->status == ENVOL_OK)
            continue;
        printf("slot %u (%s) was dropped: ", outcome->slot, outcome->provider);
        print_text(stdout, outcome->status == ENVOL_E_NO_PROVIDER ? "no --cmk serves it"
                           : outcome->message[0] != '\0'          ? outcome->message
                                                         : envol_status_message(outcome->status));
        printf(" (%s)\n", envol_status_name(outcome->status));
    }
    fflush(stdout);
}

static int begin(struct rotate *rotate)
{
    struct session *session = &rotate->session;
    const struct envol_volume_options how = {
        .struct_size = sizeof how,
        .cancel_flag = &cancel_flag,
        .outcomes = &rotate->dropped,
    };
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;

    rotate->dropped.struct_size = sizeof rotate->dropped;
    status = envol_volume_rotate_begin(
        session->volume, session->cmks, session->cmk_count,
        is_given(rotate, TAKES_DROP_SLOTS) ? ENVOL_ROTATE_DROP_SLOTS : 0, &how, &error);
    if (status != ENVOL_OK)
        return fail_begin(rotate, status, &error);
    rotate->begun = true;
    if (!is_given(rotate, TAKES_JSON))
        print_dropped(rotate);
    return STATUS_OK;
}

/* --- The sweep --- */

static int on_progress(void *ctx, const struct envol_rotation *rotation)
{
    struct rotate *rotate = ctx;
    uint64_t stride = rotate->session.geometry.stride_bytes;
    uint64_t done = rotation->done * stride;

    rotate->progress.total_bytes = rotation->pages * stride;
    if (done > rotate->progress.done_bytes)
        progress_add(&rotate->progress, done - rotate->progress.done_bytes);
    return is_cancelled();
}

static int fail_sweep(struct rotate *rotate, enum envol_status status,
                      const struct envol_error *error)
{
    progress_hide(&rotate->progress);
    if (status == ENVOL_E_CANCELLED)
        return fail_text(rotate->options, status,
                         "stopped at page %" PRIu64 " of %" PRIu64
                         "; the volume can be used, and --resume goes on",
                         rotate->rotation.done, rotate->rotation.pages);
    return fail_text(rotate->options, status, "%s; --resume goes on once that is mended",
                     error->message[0] != '\0' ? error->message : envol_status_message(status));
}

static int sweep(struct rotate *rotate)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    uint64_t stride = rotate->session.geometry.stride_bytes;
    enum envol_status status;

    progress_start(&rotate->progress, "rotate", rotate->rotation.pages * stride);
    progress_skip(&rotate->progress, rotate->rotation.done * stride);
    status = envol_volume_rotate_run(rotate->session.volume, rotate->bytes_per_second, on_progress,
                                     rotate, &rotate->rotation, &error);
    if (status != ENVOL_OK)
        return fail_sweep(rotate, status, &error);
    progress_done(&rotate->progress);
    return STATUS_OK;
}

/* --- Pages that do not read --- */

/* The numbers of a rotation that was resumed are not kept anywhere: they are found by reading. */
static int note_bad(struct rotate *rotate, const struct envol_page_io *io)
{
    /* Room for so many pages doubles at each power of two. */
    if ((rotate->bad_count & (rotate->bad_count - 1)) == 0) {
        size_t room = rotate->bad_count > 0 ? (size_t)rotate->bad_count * 2 : 1;
        uint64_t *bad = realloc(rotate->bad, room * sizeof *bad);
        if (bad == NULL)
            return fail(rotate->options, ENVOL_E_NO_MEMORY, NULL);
        rotate->bad = bad;
    }
    rotate->bad[rotate->bad_count++] = io->page_no;
    if (!is_given(rotate, TAKES_JSON))
        printf("page %" PRIu64 ": %s (%s)\n", io->page_no, envol_status_message(io->status),
               envol_status_name(io->status));
    return STATUS_OK;
}

static int find_bad_in(struct rotate *rotate, struct batch *batch, uint64_t first, size_t pages)
{
    int exit_status = check_cancelled(rotate->options);

    batch_aim(batch, first, pages);
    (void)!envol_page_read_batch(rotate->session.volume, batch->ios, pages, NULL);
    for (size_t i = 0; exit_status == STATUS_OK && i < pages; i++)
        if (batch->ios[i].status != ENVOL_OK && batch->ios[i].status != ENVOL_E_UNWRITTEN)
            exit_status = note_bad(rotate, &batch->ios[i]);
    return exit_status;
}

static int find_bad(struct rotate *rotate)
{
    uint64_t total = envol_volume_pages(rotate->session.volume);
    struct batch batch = {.ios = NULL};
    int exit_status = batch_alloc(&batch, rotate->options, rotate->session.geometry.page_bytes);

    for (uint64_t next = 0; exit_status == STATUS_OK && next < total; next += batch.capacity) {
        size_t pages = total - next < batch.capacity ? (size_t)(total - next) : batch.capacity;
        exit_status = find_bad_in(rotate, &batch, next, pages);
    }
    batch_free(&batch);
    return exit_status;
}

/* --- The end --- */

static void print_json(const struct rotate *rotate)
{
    const struct envol_rotation *rotation = &rotate->rotation;
    const char *comma = "";

    fputs("{\n  \"path\": ", stdout);
    print_json_string(rotate->options->path);
    printf(",\n  \"epoch\": %" PRIu32 ",\n  \"from_epoch\": %" PRIu32 ",\n  \"resumed\": %s,\n",
           rotation->epoch, rotation->from_epoch, rotate->begun ? "false" : "true");
    printf("  \"finished\": %s,\n  \"older_dek_kept\": %s,\n", rotate->engine ? "false" : "true",
           rotate->kept ? "true" : "false");
    printf("  \"pages\": %" PRIu64 ",\n  \"bad\": %" PRIu64 ",\n  \"bad_pages\": [",
           rotation->pages, rotate->bad_count);
    for (uint64_t i = 0; i < rotate->bad_count; i++)
        printf("%s%" PRIu64, i > 0 ? ", " : "", rotate->bad[i]);
    fputs("],\n  \"dropped_slots\": [", stdout);
    for (size_t i = 0; i < rotate->dropped.count; i++) {
        const struct envol_slot_outcome *outcome = &rotate->dropped.outcome[i];
        if (outcome->status == ENVOL_OK)
            continue;
        printf("%s{\"id\": %" PRIu32 ", \"provider\": ", comma, outcome->slot);
        print_json_string(outcome->provider);
        printf(", \"status\": \"%s\"}", envol_status_name(outcome->status));
        comma = ", ";
    }
    puts("]\n}");
}

static void print_result(const struct rotate *rotate)
{
    const struct envol_rotation *rotation = &rotate->rotation;

    if (is_given(rotate, TAKES_JSON))
        print_json(rotate);
    else if (rotate->engine)
        printf("epoch %" PRIu32 " began; the DEK of epoch %" PRIu32
               " is kept until the engine has sealed its records again and finishes\n",
               rotation->epoch, rotation->from_epoch);
    else if (rotation->from_epoch == 0)
        puts("the older DEKs that were kept are gone");
    else
        printf("epoch %" PRIu32 ": %" PRIu64 " pages, %" PRIu64 " bad; the DEK of epoch %" PRIu32
               " %s\n",
               rotation->epoch, rotation->pages, rotate->bad_count, rotation->from_epoch,
               rotate->kept ? "is kept" : "is gone");
    fflush(stdout);
}

/* Whether the header still has the DEK that was left: the log or a snapshot may need it. */
static bool is_kept(const struct rotate *rotate)
{
    struct envol_volume_info info = {.struct_size = sizeof info,
                                     .header = {.struct_size = sizeof info.header}};

    return envol_volume_info(rotate->session.volume, &info) == ENVOL_OK &&
           info.header.retained_epochs > 0;
}

static int finish(struct rotate *rotate)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    bool abandon = is_given(rotate, TAKES_ABANDON_BAD);
    uint32_t flags = abandon                            ? ENVOL_ROTATE_ABANDON_BAD
                     : is_given(rotate, TAKES_KEEP_OLD) ? ENVOL_ROTATE_KEEP_OLD
                                                        : 0;
    bool is_bad = rotate->rotation.bad > 0 && !abandon;
    enum envol_status status;

    status = envol_volume_rotate_finish(rotate->session.volume, flags, &error);
    if (status != ENVOL_OK)
        return fail(rotate->options, status, &error);
    rotate->kept = is_kept(rotate);
    print_result(rotate);
    if (is_bad)
        return fail_text(rotate->options, ENVOL_E_CORRUPT,
                         "bad pages: %" PRIu64 "; the DEK of epoch %" PRIu32
                         " is kept for their repair from a backup, --resume --abandon-bad gives "
                         "it up",
                         rotate->rotation.bad, rotate->rotation.from_epoch);
    return STATUS_OK;
}

/* DEKs that an earlier rotation kept.  A page that was repaired since is lost without them. */
static int give_up_kept(struct rotate *rotate)
{
    static struct envol_ledger ledger;
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    uint64_t pages = 0;

    ledger.struct_size = sizeof ledger;
    status = envol_volume_ledger(rotate->session.volume, &ledger, &error);
    if (status != ENVOL_OK)
        return fail(rotate->options, status, &error);
    for (uint32_t i = 0; i < ledger.epoch_count; i++)
        pages += ledger.epochs[i].retained ? ledger.epochs[i].pages + ledger.epochs[i].holes : 0;
    if (pages > 0)
        return fail_text(rotate->options, ENVOL_E_STATE,
                         "%" PRIu64 " pages under older DEKs read again; rotate without --resume",
                         pages);
    if (ledger.bad > 0) {
        int exit_status = find_bad(rotate);
        if (exit_status != STATUS_OK)
            return exit_status;
    }
    return finish(rotate);
}

/* Who keeps records elsewhere has them under the older DEK still: the end is for that engine. */
static int leave_to_engine(struct rotate *rotate)
{
    rotate->engine = true;
    rotate->kept = true;
    print_result(rotate);
    return STATUS_OK;
}

static int run(struct rotate *rotate)
{
    int exit_status = STATUS_OK;

    if (rotate->rotation.state == ENVOL_ROTATION_NONE && is_given(rotate, TAKES_RESUME))
        return give_up_kept(rotate);
    if (rotate->rotation.state == ENVOL_ROTATION_NONE) {
        exit_status = begin(rotate);
        if (exit_status == STATUS_OK && look(rotate) != ENVOL_OK)
            return fail(rotate->options, ENVOL_E_LOCKED_MEMORY, NULL);
    }
    if (exit_status == STATUS_OK && rotate->rotation.pages == 0)
        return leave_to_engine(rotate);
    if (exit_status == STATUS_OK)
        exit_status = sweep(rotate);
    if (exit_status == STATUS_OK && rotate->rotation.bad > 0)
        exit_status = find_bad(rotate);
    return exit_status == STATUS_OK ? finish(rotate) : exit_status;
}

int run_rotate(const struct options *options)
{
    static struct rotate rotate;
    enum envol_status status;
    int exit_status;

    rotate.options = options;
    exit_status = check_options(&rotate);
    if (exit_status == STATUS_OK)
        exit_status = session_open(&rotate.session, options, 0);
    if (exit_status == STATUS_OK) {
        status = look(&rotate);
        exit_status = status == ENVOL_OK ? check_state(&rotate) : fail(options, status, NULL);
    }
    if (exit_status == STATUS_OK)
        exit_status = run(&rotate);
    exit_status = session_finish(&rotate.session, options, exit_status);
    free(rotate.bad);
    return exit_status;
}
