/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions: the providers of the CMKs that were given, a store, and the volume opened through both;
 * and the batches in which pages are moved. */
#include "command.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum { BATCH_BYTES = 1 << 20 };

int session_providers(struct session *session, const struct options *options)
{
    int exit_status = STATUS_OK;

    for (size_t i = 0; exit_status == STATUS_OK && i < options->cmk_count; i++) {
        exit_status = uri_open(&session->sources[i], options, options->cmks[i]);
        session->cmks[i] = session->sources[i].cmk;
        session->cmk_count = i + 1;
    }
    return exit_status;
}

/*
 * The directory of the volume's snapshots and catalog: what --space names, or VOL.d, which is there
 * since the first of them was made.  Whoever only reads the volume's pages does without.
 */
static enum envol_status open_space(struct session *session, const struct options *options,
                                    uint32_t flags, struct envol_error *error)
{
    uint32_t space_flags = session->makes_space ? ENVOL_SPACE_CREATE_DIRECTORY : 0;
    char path[PATH_MAX];
    const char *name = options->space;
    enum envol_status status;

    if ((flags & ENVOL_OPEN_READ_ONLY) != 0 && options->snapshot == NULL && !session->reads_space)
        return ENVOL_OK;
    if (name == NULL) {
        int length = snprintf(path, sizeof path, "%s.d", options->path);
        if (length < 0 || (size_t)length >= sizeof path)
            return ENVOL_OK;
        name = path;
    }
    status = envol_directory_space_open(name, space_flags, &session->space, error);
    if (status == ENVOL_E_IO && options->space == NULL && error->os_errno == ENOENT)
        return ENVOL_OK;
    return status;
}

static enum envol_status open_volume(struct session *session, const struct options *options,
                                     uint32_t flags, struct envol_slot_outcomes *outcomes,
                                     struct envol_error *error)
{
    uint8_t uuid[ENVOL_UUID_BYTES] = {0};
    struct envol_volume_options how = {
        .struct_size = sizeof how,
        .flags = flags,
        .cancel_flag = &cancel_flag,
        .outcomes = outcomes,
    };
    uint32_t file_flags = flags & ENVOL_OPEN_READ_ONLY ? ENVOL_FILE_READ_ONLY : 0;
    enum envol_status status =
        envol_file_store_open(options->path, file_flags, &session->store, error);

    if (status == ENVOL_OK)
        status = open_space(session, options, flags, error);
    how.space = session->space;
    if (options->snapshot != NULL && parse_uuid(options->snapshot, uuid) && how.space != NULL)
        how.snapshot = uuid;
    if (session->abandons != NULL) {
        how.flags |= ENVOL_OPEN_ABANDON_SNAPSHOTS;
        how.snapshot = session->abandons;
    }
    if (status == ENVOL_OK && options->snapshot != NULL && how.snapshot == NULL) {
        error->status = ENVOL_E_RANGE;
        snprintf(error->message, sizeof error->message, "the volume has no such snapshot");
        return ENVOL_E_RANGE;
    }
    if (status == ENVOL_OK)
        status = envol_volume_open(session->store, session->cmks, session->cmk_count, &how,
                                   &session->volume, error);
    if (status == ENVOL_OK) {
        session->geometry.struct_size = sizeof session->geometry;
        status = envol_keyring_geometry(envol_volume_keyring(session->volume), &session->geometry);
    }
    return status;
}

/* Why each slot did not open, where several were tried: one line still. */
static int fail_slots(const struct options *options, enum envol_status status,
                      const struct envol_error *error, const struct envol_slot_outcomes *outcomes)
{
    char text[900];
    size_t used = 0, tried = 0;

    for (size_t i = 0; i < outcomes->count && used < sizeof text; i++) {
        const struct envol_slot_outcome *outcome = &outcomes->outcome[i];
        if (outcome->status == ENVOL_OK)
            return fail(options, status, error); /* the slots were not the reason */
        /* That a CMK is not this slot's says nothing where another answer does. */
        if (outcome->message[0] == '\0' ||
            (outcome->status == ENVOL_E_KEY_NOT_FOUND && status != outcome->status))
            continue;
        used += (size_t)snprintf(text + used, sizeof text - used, "%sslot %u (%s): %s",
                                 tried++ > 0 ? "; " : "", outcome->slot, outcome->provider,
                                 outcome->message);
    }
    return tried > 1 ? fail_text(options, status, "no slot opens: %s", text)
                     : fail(options, status, error);
}

int session_open(struct session *session, const struct options *options, uint32_t flags)
{
    struct envol_slot_outcomes outcomes = {.struct_size = sizeof outcomes};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    int exit_status = session_providers(session, options);

    if (exit_status != STATUS_OK)
        return exit_status;
    status = open_volume(session, options, flags, &outcomes, &error);
    return status == ENVOL_OK ? STATUS_OK : fail_slots(options, status, &error, &outcomes);
}

enum envol_status session_close(struct session *session)
{
    enum envol_status status = envol_volume_close(session->volume);

    envol_store_close(session->store);
    envol_space_close(session->space);
    for (size_t i = 0; i < session->cmk_count; i++)
        cmk_close(&session->sources[i]);
    *session = (struct session){.cmk_count = 0};
    return status;
}

int session_finish(struct session *session, const struct options *options, int exit_status)
{
    enum envol_status status = session_close(session);

    if (exit_status == STATUS_OK && status != ENVOL_OK)
        return fail(options, status, NULL);
    return exit_status;
}

static bool is_at(const struct stat *about, const char *path)
{
    struct stat named;

    return path != NULL && stat(path, &named) == 0 && named.st_dev == about->st_dev &&
           named.st_ino == about->st_ino;
}

bool is_named_file(const struct options *options, const struct stat *about)
{
    bool is_named = is_at(about, options->path);

    for (size_t i = 0; i < options->cmk_count; i++)
        is_named = is_named || is_at(about, cmk_secret_file(options->cmks[i]));
    for (size_t i = 0; i < options->to_count; i++)
        is_named = is_named || is_at(about, cmk_secret_file(options->tos[i]));
    return is_named;
}

int check_cancelled(const struct options *options)
{
    if (!is_cancelled())
        return STATUS_OK;
    return fail_text(options, ENVOL_E_CANCELLED, "stopped by a signal; run it again");
}

int batch_alloc(struct batch *batch, const struct options *options, size_t page_bytes)
{
    batch->page_bytes = page_bytes;
    batch->capacity = page_bytes < BATCH_BYTES ? BATCH_BYTES / page_bytes : 1;
    batch->ios = calloc(batch->capacity, sizeof *batch->ios);
    batch->bytes = malloc(batch->capacity * page_bytes);
    if (batch->ios == NULL || batch->bytes == NULL)
        return fail(options, ENVOL_E_NO_MEMORY, NULL);
    return STATUS_OK;
}

void batch_free(struct batch *batch)
{
    free(batch->ios);
    free(batch->bytes);
    *batch = (struct batch){.ios = NULL};
}

void batch_aim(struct batch *batch, uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        batch->ios[i] = (struct envol_page_io){
            .page_no = first + i,
            .page = batch->bytes + i * batch->page_bytes,
        };
    }
}
