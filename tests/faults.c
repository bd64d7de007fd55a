/* SPDX-License-Identifier: BSD-2-Clause */
/* The failing allocator, the failing store, and the counter that decides for both. */
#include "faults.h"

#include "store/store.h"
#include "support.h"

#include <envol/memory.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* One order at a time, for the whole process: a test's. */
static struct {
    _Atomic bool armed;
    enum fault fault;
    bool for_good;
    _Atomic unsigned left; /* to go before it strikes */
    _Atomic int struck;    /* enum fault_place */
} order;

void faults_arm(enum fault fault, unsigned nth, bool for_good)
{
    ck_assert_uint_gt(nth, 0);
    order.fault = fault;
    order.for_good = for_good;
    atomic_store(&order.left, nth);
    atomic_store(&order.struck, FAULT_AT_NOTHING);
    atomic_store(&order.armed, true);
}

enum fault_place faults_disarm(void)
{
    atomic_store(&order.armed, false);
    return (enum fault_place)atomic_load(&order.struck);
}

bool faults_strike(enum fault fault, enum fault_place place)
{
    int nothing = FAULT_AT_NOTHING;

    if (!atomic_load(&order.armed) || order.fault != fault)
        return false;
    if (atomic_load(&order.struck) != FAULT_AT_NOTHING)
        return order.for_good;
    if (atomic_fetch_sub(&order.left, 1) != 1)
        return false;
    atomic_compare_exchange_strong(&order.struck, &nothing, (int)place);
    return true;
}

/* --- Memory --- */

static _Atomic size_t allocations;

static void *counted_alloc(void *ctx, size_t bytes, size_t align)
{
    void *memory = NULL;

    (void)ctx;
    if (faults_strike(FAULT_ALLOC, FAULT_AT_MEMORY) || posix_memalign(&memory, align, bytes) != 0)
        return NULL;
    atomic_fetch_add(&allocations, 1);
    return memory;
}

static void counted_free(void *ctx, void *memory)
{
    (void)ctx;
    atomic_fetch_sub(&allocations, 1);
    free(memory);
}

void faults_set_allocator(void)
{
    static const struct envol_allocator counted = {
        .struct_size = sizeof(counted), .alloc = counted_alloc, .free = counted_free};

    ck_ok(envol_set_allocator(&counted));
}

size_t faults_allocations(void)
{
    return atomic_load(&allocations);
}

size_t faults_locked_bytes(void)
{
    struct envol_memory_stats stats = {.struct_size = sizeof(stats)};

    ck_ok(envol_memory_stats(&stats));
    return stats.used_bytes;
}

/* --- The store; its state is the store in memory --- */

static bool fails(enum fault_place place)
{
    bool grows = place == FAULT_AT_WRITE || place == FAULT_AT_RESIZE || place == FAULT_AT_DISCARD;

    if (faults_strike(FAULT_EIO, place))
        errno = EIO;
    else if (grows && faults_strike(FAULT_ENOSPC, place))
        errno = ENOSPC;
    else
        return false;
    return true;
}

static enum envol_status failing_read(void *state, uint64_t offset, void *buffer, size_t bytes,
                                      size_t *got)
{
    if (fails(FAULT_AT_READ))
        return ENVOL_E_IO;
    if (faults_strike(FAULT_SHORT, FAULT_AT_READ))
        bytes /= 2;
    if (faults_strike(FAULT_EMPTY, FAULT_AT_READ))
        bytes = 0;
    return envol_store_read(state, offset, buffer, bytes, got, NULL);
}

static enum envol_status failing_write(void *state, uint64_t offset, const void *buffer,
                                       size_t bytes)
{
    if (offset < 65536 && faults_strike(FAULT_HEADER_WRITE, FAULT_AT_WRITE)) {
        errno = EIO;
        return ENVOL_E_IO;
    }
    if (fails(FAULT_AT_WRITE)) {
        int kept = errno;
        if (kept == EIO)
            (void)envol_store_write(state, offset, buffer, bytes / 2, NULL);
        errno = kept;
        return ENVOL_E_IO;
    }
    return envol_store_write(state, offset, buffer, bytes, NULL);
}

static enum envol_status failing_sync(void *state)
{
    return fails(FAULT_AT_SYNC) ? ENVOL_E_IO : envol_store_sync(state, NULL);
}

static enum envol_status failing_size(void *state, uint64_t *bytes)
{
    return fails(FAULT_AT_SIZE) ? ENVOL_E_IO : envol_store_size(state, bytes, NULL);
}

static enum envol_status failing_resize(void *state, uint64_t bytes)
{
    return fails(FAULT_AT_RESIZE) ? ENVOL_E_IO : envol_store_resize(state, bytes, NULL);
}

static enum envol_status failing_discard(void *state, uint64_t offset, uint64_t bytes)
{
    if (fails(FAULT_AT_DISCARD))
        return ENVOL_E_IO;
    return envol_store_discard(state, offset, bytes, NULL);
}

static enum envol_status failing_lock(void *state, enum envol_store_lock lock,
                                      enum envol_lock_mode mode, int wait)
{
    enum fault_place place = mode == ENVOL_LOCK_NONE ? FAULT_AT_UNLOCK : FAULT_AT_LOCK;
    bool failed = fails(place);
    enum envol_status status = ENVOL_OK;

    if (!failed || mode == ENVOL_LOCK_NONE)
        status = envol_store_lock(state, lock, mode, wait, NULL);
    if (failed)
        errno = EIO;
    return failed ? ENVOL_E_IO : status;
}

static void failing_close(void *state)
{
    envol_store_close(state);
}

struct envol_store *faults_store_new(void)
{
    static const struct envol_store_vtable vtable = {
        .struct_size = sizeof(vtable),
        .name = "failing",
        .read = failing_read,
        .write = failing_write,
        .sync = failing_sync,
        .size = failing_size,
        .resize = failing_resize,
        .discard = failing_discard,
        .lock = failing_lock,
        .close = failing_close,
    };
    struct envol_store *inner, *store;

    ck_ok(envol_memory_store_open(&inner));
    ck_ok(envol_store_open(&vtable, inner, 1, &store));
    return store;
}
