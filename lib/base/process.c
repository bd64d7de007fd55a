/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which process this is.  A page that the kernel wipes on fork holds the process's generation: a
 * child finds zero there, takes the next generation and locks inherited memory again.  Threads of a
 * child that race here all do the same work, which may be done twice; none waits for another,
 * because the first to come may have been stopped.
 */
#include "base/process.h"

#include "base/arena.h"
#include <stdatomic.h>
#include <sys/mman.h>

struct sentinel {
    _Atomic uint64_t generation; /* 0: this process has not settled it yet */
    _Atomic uint64_t claim;      /* what it will be; the first thread to write it decides */
    uint64_t wipe_by_hand;       /* the kernel knows no MADV_WIPEONFORK */
};

static _Atomic(struct sentinel *) sentinel_page;
/* The highest generation given out to this process and its ancestors: ordinary memory, inherited.
 */
static _Atomic uint64_t last_generation;
/* The generation in which memory that was locked could not be locked again. */
static _Atomic uint64_t lost_generation;

static uint64_t settle(struct sentinel *page)
{
    uint64_t unset = 0;
    uint64_t claim = 0;
    /* Counted before it is claimed: a process forked off in between counts on from here. */
    uint64_t mine = atomic_fetch_add(&last_generation, 1) + 1;

    if (atomic_compare_exchange_strong(&page->claim, &claim, mine))
        claim = mine;
    if (!envol_arena_relock(claim))
        atomic_store(&lost_generation, claim);
    atomic_compare_exchange_strong(&page->generation, &unset, claim);
    return claim;
}

static struct sentinel *map_sentinel(void)
{
    size_t bytes = sizeof(struct sentinel);
    struct sentinel *mine =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sentinel *other = NULL;

    if (mine == MAP_FAILED)
        return NULL;
    mine->wipe_by_hand = madvise(mine, bytes, MADV_WIPEONFORK) != 0;
    if (atomic_compare_exchange_strong(&sentinel_page, &other, mine))
        return mine;
    munmap(mine, bytes);
    return other;
}

uint64_t envol_process_generation(void)
{
    struct sentinel *page = atomic_load_explicit(&sentinel_page, memory_order_acquire);
    uint64_t generation;

    if (page == NULL) {
        page = envol_arena_guard_fork() ? map_sentinel() : NULL;
        if (page == NULL)
            return 0;
    }
    generation = atomic_load_explicit(&page->generation, memory_order_acquire);
    return generation != 0 ? generation : settle(page);
}

enum envol_status envol_process_check(uint64_t generation, uint32_t flags)
{
    uint64_t here = envol_process_generation();

    if (here == 0)
        return ENVOL_E_NO_MEMORY;
    if (generation == here)
        return ENVOL_OK;
    if (!(flags & ENVOL_OPEN_INHERIT))
        return ENVOL_E_FORKED;
    if (!(flags & ENVOL_OPEN_ALLOW_UNLOCKED) && atomic_load(&lost_generation) == here)
        return ENVOL_E_LOCKED_MEMORY;
    return ENVOL_OK;
}

void envol_process_forget(void)
{
    struct sentinel *page = atomic_load(&sentinel_page);

    if (page == NULL || !page->wipe_by_hand)
        return;
    atomic_store(&page->claim, 0);
    atomic_store(&page->generation, 0);
}
