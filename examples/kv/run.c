/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs: files that this store reads and writes itself.  A run's name for libenvol is its id, 16
 * random bytes that never come again: its pages pass for those of no other file, whatever that is
 * called, and page 3 not for page 4.  It is written once, as a whole, before the root names it.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { NAME_BYTES = 4 + 2 * ENVOL_OBJECT_BYTES + 1 };

static void run_name(const uint8_t id[ENVOL_OBJECT_BYTES], char name[NAME_BYTES])
{
    int at = sprintf(name, "run-");

    for (size_t i = 0; i < ENVOL_OBJECT_BYTES; i++)
        at += sprintf(name + at, "%02x", id[i]);
}

void run_close(struct table *run)
{
    if (run == NULL)
        return;
    envol_object_close(run->object);
    if (run->fd >= 0)
        close(run->fd);
    list_clear(&run->index);
    free(run);
}

/* The file, and the const context that its pages are sealed in: no call of the key service. */
static enum envol_status open_run(struct kv *kv, const uint8_t id[ENVOL_OBJECT_BYTES], int flags,
                                  struct table **run, struct envol_error *error)
{
    char name[NAME_BYTES];
    enum envol_status status;

    *run = calloc(1, sizeof **run);
    if (*run == NULL)
        return kv_fail(error, ENVOL_E_NO_MEMORY, "a run");
    run_name(id, name);
    memcpy((*run)->id, id, ENVOL_OBJECT_BYTES);
    (*run)->fd = openat(kv->dir, name, flags | O_CLOEXEC, 0600);
    if ((*run)->fd < 0)
        return kv_fail(error, ENVOL_E_IO, "%s", name);
    status = envol_object_open(envol_volume_keyring(kv->volume), id, &(*run)->object);
    return status == ENVOL_OK ? ENVOL_OK : kv_fail(error, status, "opening %s", name);
}

/* --- writing ---*/

/* All pages in one call: one draw of randomness, and no copy, as there is room for the records. */
static enum envol_status seal_pages(struct kv *kv, const struct table *run,
                                    const struct buffer *pages)
{
    size_t count = pages->count / STRIDE_BYTES;
    struct envol_page_op *ops = calloc(count, sizeof ops[0]);
    struct envol_lane *lane = lane_take(kv);
    enum envol_status status = ENVOL_E_NO_MEMORY;

    for (size_t i = 0; ops != NULL && i < count; i++) {
        uint8_t *page = pages->bytes + i * STRIDE_BYTES;

        ops[i] = (struct envol_page_op){.page_no = i, .page = page, .record = page};
    }
    if (ops != NULL)
        status = envol_page_seal_batch(run->object, lane, ops, count);
    lane_give(kv, lane);
    free(ops);
    return status;
}

static bool write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);

        if (written < 0 && errno != EINTR)
            return false;
        bytes += written > 0 ? written : 0;
        count -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

static bool index_pages(struct table *run, const struct buffer *pages)
{
    for (size_t i = 0; i < pages->count / STRIDE_BYTES; i++) {
        if (!list_add(&run->index, item_key(page_first(pages->bytes + i * STRIDE_BYTES)), i))
            return false;
    }
    return true;
}

static enum envol_status write_pages(struct kv *kv, struct table *run, const struct buffer *pages,
                                     struct envol_error *error)
{
    enum envol_status status = index_pages(run, pages) ? seal_pages(kv, run, pages) /* in place */
                                                       : ENVOL_E_NO_MEMORY;

    if (status == ENVOL_OK && (!write_all(run->fd, pages->bytes, pages->count) ||
                               fsync(run->fd) != 0 || fsync(kv->dir) != 0))
        status = ENVOL_E_IO;
    return status == ENVOL_OK ? ENVOL_OK : kv_fail(error, status, "writing a run");
}

static bool pack_memory(const struct list *memory, struct buffer *pages)
{
    struct buffer items = {.bytes = NULL};
    bool fits = true;

    for (size_t i = 0; fits && i < memory->count; i++)
        fits = buffer_add(&items, memory->entries[i]->item);
    fits = fits && pack(pages, &items);
    free(items.bytes);
    return fits;
}

static void remove_run(struct kv *kv, const uint8_t id[ENVOL_OBJECT_BYTES])
{
    char name[NAME_BYTES];

    run_name(id, name);
    (void)unlinkat(kv->dir, name, 0); /* what stays goes at the next open */
}

enum envol_status run_write(struct kv *kv, struct table **run, struct envol_error *error)
{
    struct buffer pages = {.bytes = NULL};
    uint8_t id[ENVOL_OBJECT_BYTES];
    enum envol_status status;

    *run = NULL;
    if (getrandom(id, sizeof id, 0) != sizeof id)
        return kv_fail(error, ENVOL_E_RANDOM, "an id");
    status = pack_memory(&kv->memory, &pages)
                 ? open_run(kv, id, O_RDWR | O_CREAT | O_EXCL, run, error)
                 : kv_fail(error, ENVOL_E_NO_MEMORY, "a run");
    if (status == ENVOL_OK)
        status = write_pages(kv, *run, &pages, error);
    free(pages.bytes);
    if (status != ENVOL_OK) {
        run_close(*run);
        *run = NULL;
        remove_run(kv, id);
    }
    return status;
}

/* --- opening ---*/

/* The index is that of the pages' first keys; reading them all proves the run whole, too. */
static enum envol_status load_index(struct kv *kv, struct table *run, uint64_t pages,
                                    struct envol_error *error)
{
    struct envol_lane *lane = lane_take(kv);
    enum envol_status status = ENVOL_OK;
    uint8_t page[STRIDE_BYTES];

    for (uint64_t i = 0; status == ENVOL_OK && i < pages; i++) {
        status = table_read(kv, run, i, lane, page, error);
        if (status == ENVOL_OK && page_first(page) == NULL)
            status = kv_fail(error, ENVOL_E_CORRUPT, "a run's page is empty");
        if (status == ENVOL_OK && !list_add(&run->index, item_key(page_first(page)), i))
            status = kv_fail(error, ENVOL_E_NO_MEMORY, "the index of a run");
    }
    lane_give(kv, lane);
    return status;
}

enum envol_status run_open(struct kv *kv, const uint8_t id[ENVOL_OBJECT_BYTES], uint64_t pages,
                           struct table **run, struct envol_error *error)
{
    enum envol_status status = open_run(kv, id, O_RDONLY, run, error);

    if (status == ENVOL_OK)
        status = load_index(kv, *run, pages, error);
    if (status != ENVOL_OK) {
        run_close(*run);
        *run = NULL;
    }
    return status;
}

static bool is_named(const struct kv *kv, const char *name)
{
    bool found = false;

    for (size_t i = 0; !found && i < kv->root.run_count; i++) {
        char run[NAME_BYTES];

        run_name(kv->root.runs[i].id, run);
        found = strcmp(name, run) == 0;
    }
    return found;
}

enum envol_status runs_clear_away(struct kv *kv, struct envol_error *error)
{
    int fd = openat(kv->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *file;

    if (directory == NULL) {
        if (fd >= 0)
            close(fd);
        return kv_fail(error, ENVOL_E_IO, "the directory");
    }
    while ((file = readdir(directory)) != NULL) {
        if (strncmp(file->d_name, "run-", 4) == 0 && !is_named(kv, file->d_name))
            (void)unlinkat(kv->dir, file->d_name, 0);
    }
    closedir(directory);
    return ENVOL_OK;
}
