/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol verify: reads every page and goes on past bad ones.  In batches of its own rather than
 * through envol_volume_verify, which answers at its end: a large volume takes hours, and they want
 * a progress bar and a way to stop.
 */
#include "command.h"

#include <inttypes.h>

struct verification {
    const struct options *options;
    struct session session;
    struct batch batch;
    struct progress progress;
    uint64_t written, unwritten, bad;
    enum envol_status first; /* of the first bad page */
};

static void note(struct verification *verification, const struct envol_page_io *io)
{
    if (io->status == ENVOL_OK)
        verification->written++;
    else if (io->status == ENVOL_E_UNWRITTEN)
        verification->unwritten++;
    else {
        progress_hide(&verification->progress);
        printf("page %" PRIu64 ": %s (%s)\n", io->page_no, envol_status_message(io->status),
               envol_status_name(io->status));
        fflush(stdout);
        if (verification->bad++ == 0)
            verification->first = io->status;
    }
}

/* Faults that are not a page's would repeat for all that follow. */
static bool is_fatal(enum envol_status status)
{
    return status == ENVOL_E_NO_MEMORY || status == ENVOL_E_LOCKED_MEMORY;
}

static int verify_batch(struct verification *verification, uint64_t first, size_t pages)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct batch *batch = &verification->batch;
    enum envol_status status;

    batch_aim(batch, first, pages);
    status = envol_page_read_batch(verification->session.volume, batch->ios, pages, &error);
    if (is_fatal(status)) {
        progress_hide(&verification->progress);
        return fail(verification->options, status, &error);
    }
    for (size_t i = 0; i < pages; i++)
        note(verification, &batch->ios[i]);
    progress_add(&verification->progress, (uint64_t)pages * batch->page_bytes);
    return STATUS_OK;
}

static int verify_pages(struct verification *verification)
{
    uint64_t total = envol_volume_pages(verification->session.volume);
    size_t capacity = verification->batch.capacity;
    int exit_status = STATUS_OK;

    progress_start(&verification->progress, "verify", total * verification->batch.page_bytes);
    for (uint64_t next = 0; exit_status == STATUS_OK && next < total; next += capacity) {
        size_t pages = total - next < capacity ? (size_t)(total - next) : capacity;
        exit_status = verify_batch(verification, next, pages);
        if (exit_status == STATUS_OK && is_cancelled()) {
            progress_hide(&verification->progress);
            exit_status = check_cancelled(verification->options);
        }
    }
    if (exit_status == STATUS_OK)
        progress_done(&verification->progress);
    return exit_status;
}

/* A reader cannot tell a crash from a writer at work. */
static int conclude(struct verification *verification, const struct envol_header_info *header)
{
    printf("%" PRIu64 " pages sound, %" PRIu64 " unwritten, %" PRIu64 " bad\n",
           verification->written, verification->unwritten, verification->bad);
    if (!header->clean)
        puts("not clean: a writer is at work, or did not close; what it adds meanwhile is not "
             "counted");
    if (verification->bad > 0)
        return fail_text(verification->options, verification->first,
                         "bad pages: %" PRIu64 "; restore them from a backup", verification->bad);
    if (header->whole_copies < 2)
        return fail_text(verification->options, ENVOL_E_CORRUPT,
                         "one copy of the header is damaged; opening the volume for writing "
                         "writes it again");
    return STATUS_OK;
}

static int verify_volume(struct verification *verification)
{
    struct envol_volume_info info = {.struct_size = sizeof info};
    enum envol_status status;
    int exit_status;

    info.header.struct_size = sizeof info.header;
    status = envol_volume_info(verification->session.volume, &info);
    if (status != ENVOL_OK)
        return fail(verification->options, status, NULL);
    if (verification->session.geometry.suite == ENVOL_SUITE_AES_256_XTS)
        return fail_text(verification->options, ENVOL_E_UNSUPPORTED,
                         "pages under aes-256-xts carry no tag that could be verified; "
                         "the header is sound");
    exit_status = batch_alloc(&verification->batch, verification->options,
                              verification->session.geometry.page_bytes);
    if (exit_status == STATUS_OK)
        exit_status = verify_pages(verification);
    return exit_status == STATUS_OK ? conclude(verification, &info.header) : exit_status;
}

int run_verify(const struct options *options)
{
    struct verification verification = {.options = options};
    int exit_status = session_open(&verification.session, options, ENVOL_OPEN_READ_ONLY);

    if (exit_status == STATUS_OK)
        exit_status = verify_volume(&verification);
    exit_status = session_finish(&verification.session, options, exit_status);
    batch_free(&verification.batch);
    return exit_status;
}
