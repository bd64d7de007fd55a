/* SPDX-License-Identifier: BSD-2-Clause */
/* The recording half of the crash store: a memory store with a log and faults around it. */
#include "crash_store.h"

#include "crash_log.h"
#include "store/store.h"
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One handle: the bytes and locks are those of a memory store. */
struct handle {
    struct crash_store *crash;
    struct envol_store *inner;
};

static const struct envol_store_vtable crash_vtable;

void *crash_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes > 0 ? bytes : 1);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* True once, for the call whose turn it is. */
static bool is_faulty(struct crash_store *crash)
{
    if (crash->fail_in == 0 || --crash->fail_in > 0)
        return false;
    crash->failed = true;
    errno = EIO;
    return true;
}

static void append(struct crash_store *crash, const struct crash_call *call, const void *data)
{
    struct crash_call *added;

    if (crash->count == crash->capacity) {
        crash->capacity = crash->capacity * 2 + 64;
        crash->calls = realloc(crash->calls, crash->capacity * sizeof(*crash->calls));
        ck_assert_ptr_nonnull(crash->calls);
    }
    added = &crash->calls[crash->count++];
    *added = *call;
    if (data != NULL && call->bytes > 0)
        added->data = memcpy(crash_alloc(call->bytes), data, call->bytes);
}

static enum envol_status crash_read(void *state, uint64_t offset, void *buffer, size_t bytes,
                                    size_t *got)
{
    struct handle *handle = state;
    bool faulty;

    pthread_mutex_lock(&handle->crash->lock);
    faulty = is_faulty(handle->crash);
    pthread_mutex_unlock(&handle->crash->lock);
    return faulty ? ENVOL_E_IO
                  : handle->inner->vtable->read(handle->inner->state, offset, buffer, bytes, got);
}

static enum envol_status crash_write(void *state, uint64_t offset, const void *buffer, size_t bytes)
{
    struct handle *handle = state;
    struct crash_store *crash = handle->crash;
    enum envol_status status = ENVOL_OK;
    size_t done = bytes;
    bool faulty;

    pthread_mutex_lock(&crash->lock);
    faulty = is_faulty(crash);
    if (faulty && crash->fault != CRASH_FAULT_ALL)
        done = crash->fault == CRASH_FAULT_HALF ? bytes / 2 : 0;
    append(crash, &(struct crash_call){.kind = CRASH_WRITE, .offset = offset, .bytes = done},
           buffer);
    if (done > 0)
        status = handle->inner->vtable->write(handle->inner->state, offset, buffer, done);
    pthread_mutex_unlock(&crash->lock);
    return faulty ? ENVOL_E_IO : status;
}

static enum envol_status crash_resize(void *state, uint64_t bytes)
{
    struct handle *handle = state;
    struct crash_store *crash = handle->crash;
    enum envol_status status = ENVOL_OK;
    bool faulty;

    pthread_mutex_lock(&crash->lock);
    faulty = is_faulty(crash);
    if (!faulty || crash->fault == CRASH_FAULT_ALL) {
        append(crash, &(struct crash_call){.kind = CRASH_RESIZE, .offset = bytes}, NULL);
        status = handle->inner->vtable->resize(handle->inner->state, bytes);
    }
    pthread_mutex_unlock(&crash->lock);
    return faulty ? ENVOL_E_IO : status;
}

static enum envol_status crash_discard(void *state, uint64_t offset, uint64_t bytes)
{
    struct handle *handle = state;
    struct crash_store *crash = handle->crash;
    enum envol_status status = ENVOL_OK;
    bool faulty;

    pthread_mutex_lock(&crash->lock);
    faulty = is_faulty(crash);
    if (!faulty || crash->fault == CRASH_FAULT_ALL) {
        append(
            crash,
            &(struct crash_call){.kind = CRASH_DISCARD, .offset = offset, .bytes = (size_t)bytes},
            NULL);
        status = handle->inner->vtable->discard(handle->inner->state, offset, bytes);
    }
    pthread_mutex_unlock(&crash->lock);
    return faulty ? ENVOL_E_IO : status;
}

static enum envol_status crash_sync(void *state)
{
    struct crash_store *crash = ((struct handle *)state)->crash;
    bool faulty;

    pthread_mutex_lock(&crash->lock);
    faulty = is_faulty(crash);
    append(crash, &(struct crash_call){.kind = faulty ? CRASH_FAILED_SYNC : CRASH_SYNC}, NULL);
    pthread_mutex_unlock(&crash->lock);
    return faulty ? ENVOL_E_IO : ENVOL_OK;
}

static enum envol_status crash_size(void *state, uint64_t *bytes)
{
    struct envol_store *inner = ((struct handle *)state)->inner;

    return inner->vtable->size(inner->state, bytes);
}

static enum envol_status crash_lock(void *state, enum envol_store_lock lock,
                                    enum envol_lock_mode mode, int wait)
{
    struct envol_store *inner = ((struct handle *)state)->inner;

    return inner->vtable->lock(inner->state, lock, mode, wait);
}

static void forget(struct crash_store *crash)
{
    for (size_t i = 0; i < crash->count; i++)
        free(crash->calls[i].data);
    crash->count = 0;
    free(crash->base);
    crash->base = NULL;
    crash->base_bytes = 0;
}

static void crash_close(void *state)
{
    struct handle *handle = state;
    struct crash_store *crash = handle->crash;
    bool last;

    pthread_mutex_lock(&crash->lock);
    last = --crash->handles == 0;
    pthread_mutex_unlock(&crash->lock);
    envol_store_close(handle->inner);
    free(handle);
    if (!last)
        return;
    forget(crash);
    envol_store_close(crash->inner);
    free(crash->calls);
    pthread_mutex_destroy(&crash->lock);
    free(crash);
}

static const struct envol_store_vtable crash_vtable = {
    .struct_size = sizeof(crash_vtable),
    .name = "crash",
    .read = crash_read,
    .write = crash_write,
    .sync = crash_sync,
    .size = crash_size,
    .resize = crash_resize,
    .discard = crash_discard,
    .lock = crash_lock,
    .close = crash_close,
};

struct envol_store *crash_store_share(struct crash_store *crash)
{
    struct handle *handle = crash_alloc(sizeof(*handle));
    struct envol_store *store;

    handle->crash = crash;
    ck_assert_int_eq(envol_memory_store_share(crash->inner, &handle->inner), ENVOL_OK);
    pthread_mutex_lock(&crash->lock);
    crash->handles++;
    pthread_mutex_unlock(&crash->lock);
    ck_assert_int_eq(envol_store_open(&crash_vtable, handle, 1, &store), ENVOL_OK);
    return store;
}

static void keep_base(struct crash_store *crash, const uint8_t *image, size_t bytes)
{
    crash->base = crash_alloc(bytes);
    crash->base_bytes = bytes;
    if (bytes > 0)
        memcpy(crash->base, image, bytes);
}

struct crash_store *crash_store_new(const uint8_t *image, size_t bytes, struct envol_store **store)
{
    struct crash_store *crash = crash_alloc(sizeof(*crash));

    pthread_mutex_init(&crash->lock, NULL);
    keep_base(crash, image, bytes);
    ck_assert_int_eq(envol_memory_store_open(&crash->inner), ENVOL_OK);
    if (bytes > 0)
        ck_assert_int_eq(envol_store_write(crash->inner, 0, image, bytes, NULL), ENVOL_OK);
    *store = crash_store_share(crash);
    return crash;
}

size_t crash_store_calls(const struct crash_store *crash)
{
    struct crash_store *store = (struct crash_store *)crash; /* its lock is no part of its state */
    size_t count;

    pthread_mutex_lock(&store->lock);
    count = store->count;
    pthread_mutex_unlock(&store->lock);
    return count;
}

void crash_store_settle(struct crash_store *crash)
{
    uint64_t bytes;
    size_t got;
    uint8_t *image;

    ck_assert_int_eq(envol_store_size(crash->inner, &bytes, NULL), ENVOL_OK);
    image = crash_alloc((size_t)bytes);
    ck_assert_int_eq(envol_store_read(crash->inner, 0, image, (size_t)bytes, &got, NULL), ENVOL_OK);
    forget(crash);
    crash->base = image;
    crash->base_bytes = (size_t)bytes;
}

void crash_store_fail(struct crash_store *crash, unsigned nth, enum crash_fault fault)
{
    pthread_mutex_lock(&crash->lock);
    crash->fail_in = nth;
    crash->fault = fault;
    crash->failed = false;
    pthread_mutex_unlock(&crash->lock);
}

int crash_store_failed(const struct crash_store *crash)
{
    return crash->failed;
}
