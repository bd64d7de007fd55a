/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapping, protecting and dividing one region of the arena. */
#include "base/region.h"

#include <sys/mman.h>
#include <unistd.h>

/* Kind in the low bits, generation above: one word, so that both change at once. */
static uint64_t state_of(uint64_t generation, enum envol_region_kind kind)
{
    return generation << 2 | (uint64_t)kind;
}

static enum envol_region_kind kind_of(uint64_t state)
{
    return (enum envol_region_kind)(state & 3);
}

/* Bookkeeping page, guard, payload, guard; without access until it is given. */
struct envol_region *envol_region_map(bool inherit)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t total_bytes = 3 * page_bytes + ENVOL_REGION_BYTES;
    uint8_t *base = mmap(NULL, total_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct envol_region *region = (struct envol_region *)base;
    uint8_t *payload;

    _Static_assert(sizeof(struct envol_region) <= 4096, "the bookkeeping fits the smallest page");
    if (base == MAP_FAILED)
        return NULL;
    payload = base + 2 * page_bytes;
    if (mprotect(base, page_bytes, PROT_READ | PROT_WRITE) != 0 ||
        mprotect(payload, ENVOL_REGION_BYTES, PROT_READ | PROT_WRITE) != 0) {
        munmap(base, total_bytes);
        return NULL;
    }
    region->payload = payload;
    region->inherit = inherit;
    region->wipe_by_hand = !inherit && madvise(payload, ENVOL_REGION_BYTES, MADV_WIPEONFORK) != 0;
    atomic_store(&region->state, state_of(0, ENVOL_REGION_IDLE));
    return region;
}

/* Both, or it does not count: a locked key in a core dump is no secret either. */
static bool protect(const struct envol_region *region)
{
    return madvise(region->payload, ENVOL_REGION_BYTES, MADV_DONTDUMP) == 0 &&
           mlock(region->payload, ENVOL_REGION_BYTES) == 0;
}

enum envol_region_kind envol_region_kind(const struct envol_region *region, uint64_t generation)
{
    uint64_t state = atomic_load(&region->state);

    if (state >> 2 == generation)
        return kind_of(state);
    if (!region->inherit)
        return ENVOL_REGION_IDLE;
    return kind_of(state) == ENVOL_REGION_LOCKED ? ENVOL_REGION_LOST : kind_of(state);
}

bool envol_region_ready(struct envol_region *region, uint64_t generation, bool accept_unlocked)
{
    if (envol_region_kind(region, generation) == ENVOL_REGION_LOCKED)
        return true;
    if (protect(region)) {
        atomic_store(&region->state, state_of(generation, ENVOL_REGION_LOCKED));
        return true;
    }
    if (!accept_unlocked)
        return false;
    /* LOST must stay: older memory in it was promised to be locked. */
    if (envol_region_kind(region, generation) != ENVOL_REGION_LOST)
        atomic_store(&region->state, state_of(generation, ENVOL_REGION_UNLOCKED));
    return true;
}

/*
 * A compare-and-swap from what was seen: a thread that was held up here for long must not undo what
 * the arena did with the region since.  LOST is tried again in every generation.
 */
bool envol_region_relock(struct envol_region *region, uint64_t generation)
{
    uint64_t seen = atomic_load(&region->state);
    enum envol_region_kind kind = kind_of(seen);

    if (!region->inherit || (kind != ENVOL_REGION_LOCKED && kind != ENVOL_REGION_LOST))
        return true;
    if (seen >> 2 == generation)
        return kind == ENVOL_REGION_LOCKED;
    kind = protect(region) ? ENVOL_REGION_LOCKED : ENVOL_REGION_LOST;
    if (!atomic_compare_exchange_strong(&region->state, &seen, state_of(generation, kind)))
        kind = kind_of(seen);
    return kind != ENVOL_REGION_LOST;
}

static bool is_used(const struct envol_region *region, size_t slab)
{
    return region->used[slab / 64] >> slab % 64 & 1;
}

static void mark(struct envol_region *region, size_t first, size_t slabs, bool used)
{
    for (size_t slab = first; slab < first + slabs; slab++) {
        uint64_t bit = UINT64_C(1) << slab % 64;

        if (used)
            region->used[slab / 64] |= bit;
        else
            region->used[slab / 64] &= ~bit;
    }
    if (used)
        region->used_slabs += slabs;
    else
        region->used_slabs -= slabs;
}

void *envol_region_take(struct envol_region *region, size_t slabs)
{
    size_t run = 0;

    if (slabs > ENVOL_REGION_SLABS - region->used_slabs)
        return NULL;
    for (size_t slab = 0; slab < ENVOL_REGION_SLABS; slab++) {
        /* 10,000 small allocations must not look at 10,000 bits each. */
        if (slab % 64 == 0 && region->used[slab / 64] == UINT64_MAX) {
            slab += 63;
            run = 0;
            continue;
        }
        run = is_used(region, slab) ? 0 : run + 1;
        if (run == slabs) {
            mark(region, slab + 1 - slabs, slabs, true);
            return region->payload + (slab + 1 - slabs) * ENVOL_SLAB_BYTES;
        }
    }
    return NULL;
}

void envol_region_give(struct envol_region *region, void *memory, size_t slabs)
{
    size_t first = (size_t)((uint8_t *)memory - region->payload) / ENVOL_SLAB_BYTES;

    mark(region, first, slabs, false);
}

void envol_region_retire(struct envol_region *region)
{
    atomic_store(&region->state, state_of(0, ENVOL_REGION_IDLE));
    munlock(region->payload, ENVOL_REGION_BYTES);
    madvise(region->payload, ENVOL_REGION_BYTES, MADV_DONTNEED);
}

bool envol_region_holds(const struct envol_region *region, const void *memory)
{
    uintptr_t address = (uintptr_t)memory;
    uintptr_t start = (uintptr_t)region->payload;

    return address >= start && address - start < ENVOL_REGION_BYTES;
}
