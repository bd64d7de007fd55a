/* SPDX-License-Identifier: BSD-2-Clause */
/* Creating, opening, recovering, closing; and keys that come back. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What others write into the header does not make this store take a weaker suite. */
static const struct envol_pins pins = {.struct_size = sizeof pins,
                                       .suites = 1u << ENVOL_SUITE_AES_256_GCM};

enum envol_status kv_fail(struct envol_error *error, enum envol_status status, const char *format,
                          ...)
{
    int os_errno = status == ENVOL_E_IO ? errno : 0;
    va_list arguments;

    *error = (struct envol_error)ENVOL_ERROR_INIT;
    error->status = status;
    error->os_errno = os_errno;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

/* --- the handle ---*/

static enum envol_status kv_new(struct kv **kv, struct envol_error *error)
{
    pthread_rwlockattr_t attributes;

    *kv = calloc(1, sizeof **kv);
    if (*kv == NULL)
        return kv_fail(error, ENVOL_E_NO_MEMORY, "a store");
    (*kv)->dir = -1;
    pthread_mutex_init(&(*kv)->lanes_lock, NULL);
    pthread_rwlockattr_init(&attributes);
    /* Or a flush would wait for as long as commits come. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&(*kv)->gate, &attributes);
    pthread_rwlock_init(&(*kv)->state, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return ENVOL_OK;
}

/* Objects and lanes before the keyring that they borrow, the log before its volume, all before the
 * space and the store. */
enum envol_status kv_close(struct kv *kv, struct envol_error *error)
{
    enum envol_status logged, closed;

    if (kv == NULL)
        return ENVOL_OK;
    for (size_t i = 0; i < kv->root.run_count; i++)
        run_close(kv->runs[i]);
    while (kv->lane_count > 0)
        envol_lane_close(kv->lanes[--kv->lane_count]);
    logged = envol_log_close(kv->log, error);
    closed = envol_volume_close(kv->volume); /* and its lease */
    envol_space_close(kv->space);
    envol_store_close(kv->store);
    list_clear(&kv->memory); /* the log has it */
    base_clear(&kv->base);
    free(kv->used);
    pthread_rwlock_destroy(&kv->state);
    pthread_rwlock_destroy(&kv->gate);
    pthread_mutex_destroy(&kv->lanes_lock);
    if (kv->dir >= 0)
        close(kv->dir);
    free(kv);
    if (logged != ENVOL_OK)
        return logged;
    return closed == ENVOL_OK ? ENVOL_OK : kv_fail(error, closed, "closing the volume");
}

static void close_failed(struct kv *kv)
{
    struct envol_error unused = ENVOL_ERROR_INIT;
    enum envol_status closed = kv_close(kv, &unused);

    (void)closed; /* the first failure is the one to tell */
}

static char *path_in(const char *path, const char *name)
{
    char *whole;

    return asprintf(&whole, "%s/%s", path, name) >= 0 ? whole : NULL;
}

/* DIR/volume, and its space under the name that the command envol expects. */
static enum envol_status open_files(struct kv *kv, const char *path, uint32_t flags,
                                    struct envol_error *error)
{
    char *volume = path_in(path, "volume"), *space = path_in(path, "volume.d");
    enum envol_status status =
        volume != NULL && space != NULL ? ENVOL_OK : kv_fail(error, ENVOL_E_NO_MEMORY, "a path");

    kv->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (status == ENVOL_OK && kv->dir < 0)
        status = kv_fail(error, ENVOL_E_IO, "%.200s", path);
    if (status == ENVOL_OK)
        status = envol_file_store_open(volume, flags, &kv->store, error);
    if (status == ENVOL_OK)
        status = envol_directory_space_open(space, ENVOL_SPACE_CREATE_DIRECTORY, &kv->space, error);
    free(volume);
    free(space);
    return status;
}

/* --- create ---*/

/* A name is safe when its directory was synced. */
enum envol_status make_directory(const char *path, struct envol_error *error)
{
    char *parent = path_in(path, "..");
    int fd = -1;
    enum envol_status status = ENVOL_OK;

    if (parent == NULL)
        return kv_fail(error, ENVOL_E_NO_MEMORY, "a path");
    if (mkdir(path, 0700) != 0 || (fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
        fsync(fd) != 0)
        status = kv_fail(error, ENVOL_E_IO, "%.200s", path);
    if (fd >= 0)
        close(fd);
    free(parent);
    return status;
}

static enum envol_status create_volume(struct kv *kv, const struct envol_cmk *cmk,
                                       struct envol_error *error)
{
    const struct envol_header_params params = {.struct_size = sizeof params,
                                               .suite = ENVOL_SUITE_AES_256_GCM,
                                               .stride_bytes = STRIDE_BYTES};
    const struct envol_volume_options options = {.struct_size = sizeof options, .params = &params};

    return envol_volume_create(kv->store, cmk, 1, &options, &kv->volume, error);
}

enum envol_status kv_create(const char *path, const struct envol_cmk *cmk,
                            struct envol_error *error)
{
    struct root root = {.count = 0};
    struct kv *kv = NULL;
    enum envol_status status = make_directory(path, error);

    if (status != ENVOL_OK)
        return status;
    status = kv_new(&kv, error);
    if (status == ENVOL_OK)
        status = open_files(kv, path, ENVOL_FILE_CREATE, error);
    if (status == ENVOL_OK)
        status = create_volume(kv, cmk, error);
    if (status == ENVOL_OK)
        status = root_write(kv, &root, error); /* from here on it is a store */
    if (status == ENVOL_OK)
        return kv_close(kv, error);
    if (kv != NULL && kv->store != NULL)
        (void)unlinkat(kv->dir, "volume", 0);
    if (kv != NULL && kv->space != NULL)
        (void)unlinkat(kv->dir, "volume.d", AT_REMOVEDIR);
    close_failed(kv);
    (void)rmdir(path); /* no more than was made here: it is not empty otherwise */
    return status;
}

/* --- open ---*/

/* One provider call. */
static enum envol_status open_volume(struct kv *kv, const struct envol_cmk *cmk,
                                     const struct kv_options *options, struct envol_error *error)
{
    const struct envol_volume_options volume = {
        .struct_size = sizeof volume,
        .flags = options->snapshot != NULL ? ENVOL_OPEN_READ_ONLY : 0,
        .pins = &pins,
        .space = kv->space,
        .snapshot = options->snapshot};
    struct envol_geometry geometry = {.struct_size = sizeof geometry};
    enum envol_status status = envol_volume_open(kv->store, cmk, 1, &volume, &kv->volume, error);

    if (status == ENVOL_OK)
        status = envol_keyring_geometry(envol_volume_keyring(kv->volume), &geometry);
    if (status == ENVOL_OK && geometry.page_bytes != PAGE_BYTES)
        status = kv_fail(error, ENVOL_E_UNSUPPORTED, "its pages are not of %d bytes", PAGE_BYTES);
    return status;
}

/* Without keys the pages are dark by themselves; what this store has in memory it keeps back. */
static void key_changed(void *ctx, const struct envol_lease_change *change)
{
    struct kv *kv = ctx;

    kv->is_dark = change->to == ENVOL_LEASE_INACCESSIBLE;
}

enum envol_status check_light(struct kv *kv, struct envol_error *error)
{
    return kv->is_dark ? kv_fail(error, ENVOL_E_KEY_REVOKED, "the CMK was disabled") : ENVOL_OK;
}

/* A thread of the library's asks for the CMK now and then.  When it is disabled the keys are wiped
 * at once: what was committed is in the log, and nothing is lost by that. */
static enum envol_status start_lease(struct kv *kv, unsigned interval_ms, struct envol_error *error)
{
    const struct envol_lease_options options = {.struct_size = sizeof options,
                                                .flags = ENVOL_LEASE_THREAD | ENVOL_LEASE_NO_GRACE,
                                                .interval_ms = interval_ms,
                                                .callback = key_changed,
                                                .ctx = kv};
    struct envol_lease *lease; /* closing the volume ends it */

    return envol_lease_start(kv->volume, &options, &lease, error);
}

/* One for each thread that is at it at a time, opened once: a lane keeps derived keys. */
static enum envol_status open_lanes(struct kv *kv, struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && kv->lane_count < LANES) {
        status = envol_lane_open(envol_volume_keyring(kv->volume), &kv->lanes[kv->lane_count]);
        if (status == ENVOL_OK)
            kv->lane_count++;
    }
    return status == ENVOL_OK ? ENVOL_OK : kv_fail(error, status, "a lane");
}

struct envol_lane *lane_take(struct kv *kv)
{
    struct envol_lane *lane;

    pthread_mutex_lock(&kv->lanes_lock);
    lane = kv->lane_count > 0 ? kv->lanes[--kv->lane_count] : NULL;
    pthread_mutex_unlock(&kv->lanes_lock);
    return lane;
}

void lane_give(struct kv *kv, struct envol_lane *lane)
{
    pthread_mutex_lock(&kv->lanes_lock);
    if (lane != NULL)
        kv->lanes[kv->lane_count++] = lane;
    pthread_mutex_unlock(&kv->lanes_lock);
}

static enum envol_status load_state(struct kv *kv, struct envol_error *error)
{
    bool is_whole;
    struct root root;
    enum envol_status status = root_read(kv, &root, &is_whole, error);

    /* A crash came between the copies, or tore one; nothing was given up before both were safe. */
    if (status == ENVOL_OK && !is_whole && kv->is_writer)
        status = root_write(kv, &root, error);
    if (status != ENVOL_OK)
        return status;
    if (!kv->is_writer && root.run_count > 0)
        return kv_fail(error, ENVOL_E_STATE, "this snapshot was not made by the store");
    kv->lsn = root.lsn;
    for (size_t i = 0; status == ENVOL_OK && i < root.run_count; i++) {
        status = run_open(kv, root.runs[i].id, root.runs[i].pages, &kv->runs[i], error);
        kv->root.run_count += status == ENVOL_OK;
    }
    if (status != ENVOL_OK)
        return status; /* and closing closes the runs that were opened */
    kv->root = root;
    return base_load(kv, error);
}

/* --- the log ---*/

/* The header, which nobody can forge, says whether there is a log.  A restored volume has none: its
 * new one goes on with the LSNs behind what the pages have. */
static enum envol_status open_log(struct kv *kv, struct envol_error *error)
{
    const struct envol_log_options options = {.struct_size = sizeof options,
                                              .segment_bytes = SEGMENT_BYTES,
                                              .recycle = 1,
                                              .first_lsn = kv->lsn + 1};
    struct envol_volume_info info = {.struct_size = sizeof info,
                                     .header.struct_size = sizeof info.header};
    enum envol_status status = envol_volume_info(kv->volume, &info);

    if (status != ENVOL_OK)
        return kv_fail(error, status, "the volume");
    return info.header.log_seal == ENVOL_LOG_SEAL_NONE
               ? envol_log_create(kv->volume, kv->space, &options, &kv->log, error)
               : envol_log_open(kv->volume, kv->space, &options, &kv->log, error);
}

struct replay {
    struct kv *kv;
    enum envol_status status;
};

/* The library hands over whole batches only: what was committed, in the order of the log. */
static int replay_one(void *ctx, const struct envol_log_record *record)
{
    struct replay *replay = ctx;
    const uint8_t *item = record->data;
    struct entry *entry;

    replay->kv->lsn = record->lsn;
    if (!item_is_sound(item, record->bytes)) {
        replay->status = ENVOL_E_FORMAT;
        return 1;
    }
    entry = entry_new(item_key(item), item_value(item), record->lsn);
    if (entry == NULL || !list_reserve(&replay->kv->memory, 1)) {
        free(entry);
        replay->status = ENVOL_E_NO_MEMORY;
        return 1;
    }
    list_put(&replay->kv->memory, entry);
    return 0;
}

static enum envol_status recover(struct kv *kv, struct envol_error *error)
{
    struct replay replay = {kv, ENVOL_OK};
    enum envol_status status =
        envol_log_replay(kv->volume, kv->space, kv->lsn + 1, 0, replay_one, &replay, error);

    if (status == ENVOL_E_CANCELLED)
        status = kv_fail(error, replay.status, "replaying the log");
    return status;
}

static enum envol_status open_all(struct kv *kv, const char *path, const struct envol_cmk *cmk,
                                  const struct kv_options *options, struct envol_error *error)
{
    enum envol_status status = open_files(kv, path, 0, error);

    kv->is_writer = options->snapshot == NULL;
    if (status == ENVOL_OK)
        status = open_volume(kv, cmk, options, error);
    if (status == ENVOL_OK)
        status = start_lease(kv, options->check_key_ms, error);
    if (status == ENVOL_OK)
        status = open_lanes(kv, error);
    if (status == ENVOL_OK)
        status = load_state(kv, error);
    if (status != ENVOL_OK || !kv->is_writer)
        return status;
    status = open_log(kv, error);
    if (status == ENVOL_OK)
        status = recover(kv, error);
    if (status == ENVOL_OK)
        status = runs_clear_away(kv, error);
    return status == ENVOL_OK ? drop_unfinished_backups(kv, error) : status;
}

enum envol_status kv_open(const char *path, const struct envol_cmk *cmk,
                          const struct kv_options *options, struct kv **kv,
                          struct envol_error *error)
{
    static const struct kv_options none = {.snapshot = NULL};
    enum envol_status status = kv_new(kv, error);

    if (status == ENVOL_OK)
        status = open_all(*kv, path, cmk, options != NULL ? options : &none, error);
    if (status != ENVOL_OK) {
        close_failed(*kv);
        *kv = NULL;
    }
    return status;
}

enum envol_status kv_unlock(struct kv *kv, const struct envol_cmk *cmk, struct envol_error *error)
{
    return envol_volume_unlock(kv->volume, cmk, 1, NULL, error);
}
