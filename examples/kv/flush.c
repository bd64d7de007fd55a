/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory goes to a run, or with all runs to the base.  Whoever calls this has the gate: no commit
 * is under way, and what is in memory is all that the log has.  Readers go on all the while, and
 * see the old state until it is replaced as a whole.
 */
#include "store.h"

#include <stdlib.h>
#include <unistd.h>

/* Last, as the log is needed until the root is safe. */
static enum envol_status cut_log(struct kv *kv, struct envol_error *error)
{
    return envol_log_truncate(kv->log, kv->root.lsn + 1, error);
}

static enum envol_status add_run(struct kv *kv, struct envol_error *error)
{
    struct root root = kv->root;
    struct table *run;
    enum envol_status status = run_write(kv, &run, error);

    if (status != ENVOL_OK)
        return status;
    memcpy(root.runs[root.run_count].id, run->id, ENVOL_OBJECT_BYTES);
    root.runs[root.run_count++].pages = run->index.count;
    root.lsn = kv->lsn;
    status = root_write(kv, &root, error);
    if (status != ENVOL_OK) {
        run_close(run);
        return status;
    }
    pthread_rwlock_wrlock(&kv->state);
    kv->runs[kv->root.run_count] = run;
    kv->root = root;
    list_clear(&kv->memory);
    pthread_rwlock_unlock(&kv->state);
    return cut_log(kv, error);
}

enum envol_status flush(struct kv *kv, struct envol_error *error)
{
    if (kv->memory.count == 0)
        return ENVOL_OK;
    return kv->root.run_count < RUNS_MAX ? add_run(kv, error) : fold(kv, error);
}

/* No reader has the old state any more when this has the lock. */
static void replace_all(struct kv *kv, const struct root *root, const struct table *base)
{
    pthread_rwlock_wrlock(&kv->state);
    for (size_t i = 0; i < kv->root.run_count; i++)
        run_close(kv->runs[i]);
    list_clear(&kv->memory);
    base_clear(&kv->base);
    kv->base = *base;
    kv->root = *root;
    pthread_rwlock_unlock(&kv->state);
}

enum envol_status fold(struct kv *kv, struct envol_error *error)
{
    struct root root = kv->root;
    struct table base = {.chain = NULL};
    enum envol_status freed, status = base_fold(kv, &base, error);

    root.lsn = kv->lsn;
    root.index_page = base.chain_count > 0 ? base.chain[0] : 0;
    root.run_count = 0;
    if (status == ENVOL_OK)
        status = root_write(kv, &root, error);
    if (status == ENVOL_OK)
        replace_all(kv, &root, &base);
    else
        base_clear(&base);
    /* Either the old pages are free now, or the new ones are again. */
    freed = base_find_free(kv, status == ENVOL_OK ? error : &(struct envol_error)ENVOL_ERROR_INIT);
    if (status == ENVOL_OK)
        status = freed;
    if (status == ENVOL_OK)
        status = runs_clear_away(kv, error);
    return status == ENVOL_OK ? cut_log(kv, error) : status;
}
