/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Beginning a rotation of the DEK.  First the key services work, with nothing held up; then, with
 * nobody else at the volume, both copies of the header are written under the new DEK, and only when
 * they are synced does anybody seal under it.
 */
#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include "page/revoke.h"
#include "volume/rotation.h"

#include <string.h>

/* --- What the key services are asked for --- */

static void end_draft(struct envol_rotation_draft *draft)
{
    for (uint32_t i = 0; i < draft->old_count; i++)
        envol_free(draft->old[i]);
    envol_header_free(draft->header);
    envol_free(draft->wrapped);
    envol_arena_free(draft->dek, ENVOL_DEK_BYTES);
}

static enum envol_status check_ready(const struct envol_volume *volume, struct envol_error *error)
{
    if (envol_rotation_is_on(volume))
        return envol_fail(error, ENVOL_E_STATE, "a rotation is unfinished");
    if (!volume->gcm && volume->header->snapshot_count > 0)
        return envol_fail(error, ENVOL_E_STATE,
                          "the volume has snapshots, and no XTS record tells its epoch");
    if ((volume->keyring->flags & ENVOL_OPEN_INHERIT) != 0)
        return envol_fail(error, ENVOL_E_STATE,
                          "forked children that inherit the keys would not see the new DEK");
    return ENVOL_OK;
}

static enum envol_status next_header(const struct envol_header *header, struct envol_header **next,
                                     struct envol_error *error)
{
    enum envol_status status = envol_header_next_epoch(header, next);

    if (status == ENVOL_E_RANGE)
        return envol_fail(error, status, "%u older DEKs are kept already", header->retained_count);
    return status == ENVOL_OK ? status : envol_fail(error, status, NULL);
}

/* Slots as they are now: the key services take their time. */
static enum envol_status copy_slots(struct envol_rotation_draft *draft,
                                    const struct envol_header *header, struct envol_error *error)
{
    for (uint32_t i = 0; i < header->slot_count; i++) {
        enum envol_status status = envol_slot_copy(header->slots[i], &draft->old[i]);
        if (status != ENVOL_OK)
            return envol_fail(error, status, NULL);
        draft->old_count++;
    }
    return ENVOL_OK;
}

static enum envol_status take_copies(struct envol_volume *volume,
                                     struct envol_rotation_draft *draft, struct envol_error *error)
{
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_WRITE);

    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    if (!envol_volume_is_own(volume)) {
        envol_volume_leave(volume);
        return envol_fail(error, ENVOL_E_FORKED, "a forked child cannot rotate the DEK");
    }
    pthread_mutex_lock(&volume->growth);
    status = check_ready(volume, error);
    if (status == ENVOL_OK)
        status = next_header(volume->header, &draft->header, error);
    if (status == ENVOL_OK)
        status = copy_slots(draft, volume->header, error);
    pthread_mutex_unlock(&volume->growth);
    envol_volume_leave(volume);
    return status;
}

static enum envol_status begin_draft(struct envol_volume *volume,
                                     struct envol_rotation_draft *draft, struct envol_error *error)
{
    void *dek;
    enum envol_status status = take_copies(volume, draft, error);

    if (status != ENVOL_OK)
        return status;
    draft->call.flags |= volume->keyring->flags;
    draft->wrapped = envol_alloc(sizeof(*draft->wrapped), _Alignof(struct envol_wrapped_dek));
    if (draft->wrapped == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    status = envol_arena_alloc(ENVOL_DEK_BYTES, volume->keyring->flags, &dek);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    draft->dek = dek;
    return envol_rotation_wrap(draft, error);
}

/* --- The change of the header --- */

/* A slot that came or went meanwhile would be lost, or come back. */
static enum envol_status check_slots(const struct envol_volume *volume,
                                     const struct envol_rotation_draft *draft,
                                     struct envol_error *error)
{
    const struct envol_header *header = volume->header;
    bool same = header->slot_count == draft->old_count && header->epoch + 1 == draft->header->epoch;

    for (uint32_t i = 0; same && i < draft->old_count; i++)
        same = header->slots[i]->id == draft->old[i]->id &&
               header->slots[i]->wrapped_bytes == draft->old[i]->wrapped_bytes &&
               memcmp(header->slots[i]->wrapped, draft->old[i]->wrapped,
                      draft->old[i]->wrapped_bytes) == 0;
    return same ? ENVOL_OK : envol_fail(error, ENVOL_E_STALE, "the slots were changed meanwhile");
}

/* The header as it is by now, with the draft's slots, and the keyring of it. */
static enum envol_status make_next(struct envol_volume *volume, struct envol_rotation_draft *draft,
                                   struct envol_header **next, struct envol_keyring **keyring,
                                   struct envol_error *error)
{
    struct envol_header *from = draft->header;
    enum envol_status status = next_header(volume->header, next, error);

    if (status != ENVOL_OK)
        return status;
    status =
        envol_header_rotate(*next, volume->keyring, draft->dek, volume->keyring->flags, keyring);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    memcpy((*next)->slots, from->slots, sizeof(from->slots));
    (*next)->slot_count = from->slot_count;
    from->slot_count = 0;
    /* Pages to come are of the new epoch. */
    if (volume->gcm && atomic_load(&volume->pages) == 0)
        return envol_header_set_sweep(*next, ENVOL_SWEEP_DONE, 0, ENVOL_NO_PAGE);
    if (volume->gcm)
        return ENVOL_OK;
    (*next)->rotation.kind = ENVOL_ROTATION_PAGES;
    (*next)->rotation.pages = (*next)->rotation.journal_page = atomic_load(&volume->pages);
    return ENVOL_OK;
}

/* A lease follows the slot that opened the volume to who wrapped it now; if that was given up, the
 * first one. */
static void follow_slot(struct envol_volume *volume, const struct envol_rotation_draft *draft)
{
    const struct envol_header *header = volume->header;
    uint32_t place = 0;

    for (uint32_t i = 0; i < header->slot_count; i++)
        if (header->slots[i]->id == volume->opened_slot)
            place = i;
    volume->opened_slot = header->slots[place]->id;
    volume->opened_by = draft->providers[place];
}

/*
 * What failed half-way may be on the disk or not.  The old header is written over it before any
 * page is: it counts as an update of its own.
 */
static void take_back(struct envol_volume *volume, struct envol_header *next)
{
    if (next->attempt.generation != 0) {
        volume->header->attempt = next->attempt;
        volume->header->settled = false;
        atomic_store(&volume->header_due, true);
    }
    envol_header_free(next);
}

static enum envol_status install(struct envol_volume *volume, struct envol_rotation_draft *draft,
                                 struct envol_error *error)
{
    struct envol_header *next = NULL, *old = volume->header;
    struct envol_keyring *keyring = NULL;
    enum envol_status status = make_next(volume, draft, &next, &keyring, error);

    if (status != ENVOL_OK) {
        envol_header_free(next);
        goto out;
    }
    status = envol_volume_write_header(volume, next, keyring, error);
    if (status != ENVOL_OK) {
        take_back(volume, next);
        goto out;
    }
    volume->header = next;
    envol_header_free(old);
    follow_slot(volume, draft);
    /* Nobody took the keys away meanwhile: whoever could waits for its turn. */
    status = envol_keyring_adopt(volume->keyring, keyring);
    if (status != ENVOL_OK)
        envol_fail(error, status, NULL);
    volume->seals = envol_keyring_seals(volume->keyring);
    if (status == ENVOL_OK)
        status = envol_rotation_measure(volume, error);
out:
    envol_keyring_close(keyring);
    return status;
}

/* Under XTS nothing tells a reader under which DEK a page is by now, and the journal of a sweep
 * lies beyond the end of the pages. */
static enum envol_status prepare_xts(struct envol_volume *volume, struct envol_error *error)
{
    uint64_t end = envol_volume_offset(volume, atomic_load(&volume->pages));
    enum envol_status status = envol_sweep_lock_readers(volume, error);

    if (status == ENVOL_OK)
        status = envol_volume_flush(volume, error);
    if (status == ENVOL_OK)
        status = envol_store_resize(volume->store, end + 1, error);
    if (status == ENVOL_OK)
        status = envol_store_resize(volume->store, end, error);
    return status;
}

static enum envol_status begin_alone(struct envol_volume *volume,
                                     struct envol_rotation_draft *draft, struct envol_error *error)
{
    enum envol_status status = check_ready(volume, error);

    if (status == ENVOL_OK)
        status = check_slots(volume, draft, error);
    if (status == ENVOL_OK && !volume->gcm)
        status = prepare_xts(volume, error);
    if (status == ENVOL_OK)
        status = install(volume, draft, error);
    if (status == ENVOL_OK)
        atomic_store(&volume->sweep.paused, false);
    else if (!envol_rotation_is_on(volume))
        envol_sweep_unlock_readers(volume);
    return status;
}

static enum envol_status lock(struct envol_volume *volume, const struct envol_key_call *call,
                              struct envol_error *error)
{
    const struct envol_patience patience = {call->deadline_ms, call->cancel_flag};

    return envol_rotation_lock(volume, &patience, error);
}

enum envol_status envol_volume_rotate_begin(struct envol_volume *volume,
                                            const struct envol_cmk *cmks, size_t cmk_count,
                                            uint32_t flags,
                                            const struct envol_volume_options *options,
                                            struct envol_error *error)
{
    struct envol_rotation_draft draft = {.may_drop = (flags & ENVOL_ROTATE_DROP_SLOTS) != 0};
    struct envol_volume_options whole;
    enum envol_status status;

    if (volume == NULL || (flags & ~ENVOL_ROTATE_DROP_SLOTS) != 0 ||
        !envol_volume_options_take(options, ENVOL_OPEN_DISCOVER, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT,
                          "a NULL volume, or options of another size or with flags that begin does "
                          "not know");
    if (whole.outcomes != NULL)
        whole.outcomes->count = 0;
    status = envol_key_call_make(cmks, cmk_count, &whole, &draft.call, error);
    if (status == ENVOL_OK)
        status = begin_draft(volume, &draft, error);
    if (status == ENVOL_OK)
        status = lock(volume, &draft.call, error);
    if (status == ENVOL_OK) {
        status = begin_alone(volume, &draft, error);
        envol_rotation_unlock(volume);
    }
    end_draft(&draft);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
