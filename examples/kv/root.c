/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The root, a page of the volume, and its copy behind it:
 *
 *     "KVROOT01" | count u64 | lsn u64 | index_page u64 | run_count u64 | { id 16 | pages u64 }...
 */
#include "store.h"

enum { RUNS_AT = 40, RUN_BYTES = ENVOL_OBJECT_BYTES + 8 };

static const char magic[8] = {'K', 'V', 'R', 'O', 'O', 'T', '0', '1'};

static enum envol_status decode(const uint8_t *page, struct root *root)
{
    if (memcmp(page, magic, sizeof magic) != 0)
        return ENVOL_E_FORMAT;
    root->count = load(page + 8, 8);
    root->lsn = load(page + 16, 8);
    root->index_page = load(page + 24, 8);
    root->run_count = load(page + 32, 8);
    if (root->run_count > RUNS_MAX)
        return ENVOL_E_FORMAT;
    for (size_t i = 0; i < root->run_count; i++) {
        const uint8_t *run = page + RUNS_AT + i * RUN_BYTES;

        memcpy(root->runs[i].id, run, ENVOL_OBJECT_BYTES);
        root->runs[i].pages = load(run + ENVOL_OBJECT_BYTES, 8);
    }
    return ENVOL_OK;
}

static void encode(const struct root *root, uint8_t page[PAGE_BYTES])
{
    memset(page, 0, PAGE_BYTES);
    memcpy(page, magic, sizeof magic);
    store(page + 8, 8, root->count);
    store(page + 16, 8, root->lsn);
    store(page + 24, 8, root->index_page);
    store(page + 32, 8, root->run_count);
    for (size_t i = 0; i < root->run_count; i++) {
        uint8_t *run = page + RUNS_AT + i * RUN_BYTES;

        memcpy(run, root->runs[i].id, ENVOL_OBJECT_BYTES);
        store(run + ENVOL_OBJECT_BYTES, 8, root->runs[i].pages);
    }
}

enum envol_status root_read(struct kv *kv, struct root *root, bool *is_whole,
                            struct envol_error *error)
{
    struct root copies[ROOT_PAGES] = {{.count = 0}, {.count = 0}};
    enum envol_status statuses[ROOT_PAGES];
    size_t newest;

    for (uint64_t i = 0; i < ROOT_PAGES; i++) {
        uint8_t page[PAGE_BYTES];

        statuses[i] = envol_page_read(kv->volume, i, page);
        if (statuses[i] == ENVOL_OK)
            statuses[i] = decode(page, &copies[i]);
    }
    newest = statuses[1] == ENVOL_OK && copies[1].count > copies[0].count;
    *root = copies[newest];
    root->page_no = newest;
    *is_whole =
        statuses[0] == ENVOL_OK && statuses[1] == ENVOL_OK && copies[0].count == copies[1].count;
    return statuses[newest] == ENVOL_OK ? ENVOL_OK : kv_fail(error, statuses[newest], "the root");
}

enum envol_status root_write(struct kv *kv, struct root *root, struct envol_error *error)
{
    /* Last the copy that is known to be whole: a crash before left the other one torn, perhaps. */
    const uint64_t order[ROOT_PAGES] = {1 - root->page_no, root->page_no};
    uint8_t page[PAGE_BYTES];

    root->count++;
    encode(root, page);
    for (size_t i = 0; i < ROOT_PAGES; i++) {
        enum envol_status written = envol_page_write(kv->volume, order[i], page);
        enum envol_status status = written == ENVOL_OK ? envol_volume_sync(kv->volume) : written;

        if (status == ENVOL_OK)
            continue;
        /* Without keys nothing was written, and the old root holds if that was the first copy. */
        if (i > 0 || written != ENVOL_E_KEY_REVOKED) {
            pthread_rwlock_wrlock(&kv->state);
            kv->failed = status;
            pthread_rwlock_unlock(&kv->state);
        }
        return kv_fail(error, status, "writing the root");
    }
    return ENVOL_OK;
}
