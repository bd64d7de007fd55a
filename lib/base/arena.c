/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arena's list of regions: first fit, in regions of the right class.  The list only grows, and
 * its links are atomic, so that a child can lock regions again without the arena's lock.
 */
#include "base/arena.h"

#include "base/memory.h"
#include "base/process.h"
#include "base/region.h"
#include "base/sized.h"
#include <envol/memory.h>
#include <pthread.h>
#include <string.h>

/* Of a region's 64 KiB, so that the figure can stay when a region needs room for itself. */
enum { BYTES_MAX = 60 * 1024 };

enum effort { ONLY_LOCKED, LOCK_IF_POSSIBLE, ACCEPT_UNLOCKED };

struct request {
    size_t slabs;
    bool inherit;
    enum effort effort;
    uint64_t generation;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct envol_region *) first_region;

static size_t slabs_for(size_t bytes)
{
    return bytes == 0 ? 1 : (bytes + ENVOL_SLAB_BYTES - 1) / ENVOL_SLAB_BYTES;
}

static struct envol_region *first(void)
{
    return atomic_load(&first_region);
}

static struct envol_region *next(const struct envol_region *region)
{
    return atomic_load(&region->next);
}

static struct envol_region *region_of(const void *memory)
{
    struct envol_region *region = first();

    while (region != NULL && !envol_region_holds(region, memory))
        region = next(region);
    return region;
}

/* ENVOL_E_NO_MEMORY: no room.  ENVOL_E_LOCKED_MEMORY: there is room, but it cannot be locked. */
static enum envol_status search(const struct request *wanted, void **memory)
{
    enum envol_status status = ENVOL_E_NO_MEMORY;
    bool accept_unlocked = wanted->effort == ACCEPT_UNLOCKED;

    for (struct envol_region *region = first(); region != NULL; region = next(region)) {
        if (region->inherit != wanted->inherit)
            continue;
        if (wanted->effort == ONLY_LOCKED &&
            envol_region_kind(region, wanted->generation) != ENVOL_REGION_LOCKED)
            continue;
        *memory = envol_region_take(region, wanted->slabs);
        if (*memory == NULL)
            continue;
        if (envol_region_ready(region, wanted->generation, accept_unlocked))
            return ENVOL_OK;
        envol_region_give(region, *memory, wanted->slabs);
        *memory = NULL;
        status = ENVOL_E_LOCKED_MEMORY;
    }
    return status;
}

static enum envol_status search_with_growing_effort(struct request *wanted, enum effort most,
                                                    void **memory)
{
    enum envol_status status = ENVOL_E_NO_MEMORY;

    for (wanted->effort = ONLY_LOCKED; wanted->effort <= most; wanted->effort++) {
        status = search(wanted, memory);
        if (status == ENVOL_OK)
            break;
    }
    return status;
}

/* The new region stays in the list even if it cannot be locked: the next caller tries again. */
static bool grow(bool inherit)
{
    _Atomic(struct envol_region *) *end = &first_region;
    struct envol_region *region = envol_region_map(inherit);

    if (region == NULL)
        return false;
    while (atomic_load(end) != NULL)
        end = &atomic_load(end)->next;
    atomic_store(end, region);
    return true;
}

enum envol_status envol_arena_alloc(size_t bytes, uint32_t flags, void **memory)
{
    struct request wanted = {.inherit = (flags & ENVOL_OPEN_INHERIT) != 0};
    enum effort most = flags & ENVOL_OPEN_ALLOW_UNLOCKED ? ACCEPT_UNLOCKED : LOCK_IF_POSSIBLE;
    enum envol_status status;

    *memory = NULL;
    if (bytes > BYTES_MAX)
        return ENVOL_E_RANGE;
    wanted.slabs = slabs_for(bytes);
    wanted.generation = envol_process_generation();
    if (wanted.generation == 0)
        return ENVOL_E_NO_MEMORY;
    pthread_mutex_lock(&lock);
    status = search_with_growing_effort(&wanted, most, memory);
    if (status == ENVOL_E_NO_MEMORY && grow(wanted.inherit))
        status = search_with_growing_effort(&wanted, most, memory);
    pthread_mutex_unlock(&lock);
    if (status == ENVOL_OK)
        memset(*memory, 0, wanted.slabs * ENVOL_SLAB_BYTES);
    return status;
}

static bool another_is_empty(const struct envol_region *region, uint64_t generation)
{
    const struct envol_region *other = first();

    while (other != NULL &&
           (other == region || other->inherit != region->inherit || other->used_slabs > 0 ||
            envol_region_kind(other, generation) == ENVOL_REGION_IDLE))
        other = next(other);
    return other != NULL;
}

void envol_arena_free(void *memory, size_t bytes)
{
    uint64_t generation = envol_process_generation();
    struct envol_region *region = region_of(memory);
    size_t slabs = slabs_for(bytes);

    if (region == NULL)
        return;
    envol_wipe(memory, slabs * ENVOL_SLAB_BYTES);
    pthread_mutex_lock(&lock);
    envol_region_give(region, memory, slabs);
    /* Keeping one spares a caller at the edge of a region a lock and an unlock at every turn. */
    if (region->used_slabs == 0 && another_is_empty(region, generation))
        envol_region_retire(region);
    pthread_mutex_unlock(&lock);
}

bool envol_arena_is_locked(const void *memory)
{
    uint64_t generation = envol_process_generation();
    const struct envol_region *region = region_of(memory);

    return region != NULL && envol_region_kind(region, generation) == ENVOL_REGION_LOCKED;
}

bool envol_arena_uses_unlocked(uint32_t flags)
{
    bool inherit = (flags & ENVOL_OPEN_INHERIT) != 0;
    uint64_t generation = envol_process_generation();
    bool found = false;

    if ((flags & ENVOL_OPEN_ALLOW_UNLOCKED) == 0)
        return false; /* none was given out */
    pthread_mutex_lock(&lock);
    for (struct envol_region *region = first(); region != NULL; region = next(region))
        found |= region->inherit == inherit && region->used_slabs > 0 &&
                 envol_region_kind(region, generation) != ENVOL_REGION_LOCKED;
    pthread_mutex_unlock(&lock);
    return found;
}

enum envol_status envol_memory_stats(struct envol_memory_stats *stats)
{
    uint64_t generation = envol_process_generation();
    struct envol_memory_stats whole = {0};

    if (!ENVOL_FITS(memory_stats, stats))
        return ENVOL_E_ARGUMENT;
    pthread_mutex_lock(&lock);
    for (struct envol_region *region = first(); region != NULL; region = next(region)) {
        enum envol_region_kind kind = envol_region_kind(region, generation);

        whole.used_bytes += region->used_slabs * ENVOL_SLAB_BYTES;
        if (kind == ENVOL_REGION_LOCKED)
            whole.locked_bytes += ENVOL_REGION_BYTES;
        else if (kind != ENVOL_REGION_IDLE)
            whole.unlocked_bytes += ENVOL_REGION_BYTES;
    }
    pthread_mutex_unlock(&lock);
    ENVOL_GIVE(memory_stats, stats, &whole);
    return ENVOL_OK;
}

bool envol_arena_relock(uint64_t generation)
{
    bool all = true;

    for (struct envol_region *region = first(); region != NULL; region = next(region))
        all &= envol_region_relock(region, generation);
    return all;
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
    pthread_mutex_unlock(&lock);
    for (struct envol_region *region = first(); region != NULL; region = next(region)) {
        if (region->wipe_by_hand)
            envol_wipe(region->payload, ENVOL_REGION_BYTES);
    }
    envol_process_forget();
}

static bool fork_is_guarded;

static void guard_fork(void)
{
    fork_is_guarded = pthread_atfork(before_fork, in_parent, in_child) == 0;
}

bool envol_arena_guard_fork(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    return pthread_once(&once, guard_fork) == 0 && fork_is_guarded;
}
