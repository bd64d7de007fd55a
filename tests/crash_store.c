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
    struct crash_file *file;
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
bool crash_is_faulty(struct crash_store *crash)
{
    if (crash->fail_in == 0 || --crash->fail_in > 0)
        return false;
    crash->failed = true;
    errno = EIO;
    return true;
}

void crash_append(struct crash_store *crash, const struct crash_call *call, const void *data)
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
    faulty = crash_is_faulty(handle->crash);
    pthread_mutex_unlock(&handle->crash->lock);
    return faulty ? ENVOL_E_IO
                  : handle->inner->vtable.read(handle->inner->state, offset, buffer, bytes, got);
}

static enum envol_status crash_write(void *state, uint64_t offset, const void *buffer, size_t bytes)
{
    struct handle *handle = state;
    struct crash_store *crash = handle->crash;
    enum envol_status status = ENVOL_OK;
    size_t done = bytes;
    bool faulty;

    pthread_mutex_lock(&crash->lock);
    faulty = crash_is_faulty(crash);
    if (faulty && crash->fault != CRASH_FAULT_ALL)
        done = crash->fault == CRASH_FAULT_HALF ? bytes / 2 : 0;
    crash_append(
        crash,
        &(struct crash_call){
            .file = handle->file->number, .kind = CRASH_WRITE, .offset = offset, .bytes = done},
        buffer);
    if (done > 0)
        status = handle->inner->vtable.write(handle->inner->state, offset, buffer, done);
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
    faulty = crash_is_faulty(crash);
    if (!faulty || crash->fault == CRASH_FAULT_ALL) {
        crash_append(crash,
                     &(struct crash_call){
                         .file = handle->file->number, .kind = CRASH_RESIZE, .offset = bytes},
                     NULL);
        status = handle->inner->vtable.resize(handle->inner->state, bytes);
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
    faulty = crash_is_faulty(crash);
    if (!faulty || crash->fault == CRASH_FAULT_ALL) {
        crash_append(crash,
                     &(struct crash_call){.file = handle->file->number,
                                          .kind = CRASH_DISCARD,
                                          .offset = offset,
                                          .bytes = (size_t)bytes},
                     NULL);
        status = handle->inner->vtable.discard(handle->inner->state, offset, bytes);
    }
    pthread_mutex_unlock(&crash->lock);
    return faulty ? ENVOL_E_IO : status;
}

static enum envol_status crash_sync(void *state)
{
    struct handle *handle = state;
    struct crash_store *crash = handle->crash;
    bool faulty;

    pthread_mutex_lock(&crash->lock);
    faulty = crash_is_faulty(crash);
    crash_append(crash,
                 &(struct crash_call){.file = handle->file->number,
                                      .kind = faulty ? CRASH_FAILED_SYNC : CRASH_SYNC},
                 NULL);
    pthread_mutex_unlock(&crash->lock);
    return faulty ? ENVOL_E_IO : ENVOL_OK;
}

static enum envol_status crash_size(void *state, uint64_t *bytes)
{
    struct envol_store *inner = ((struct handle *)state)->inner;

    return inner->vtable.size(inner->state, bytes);
}

static enum envol_status crash_lock(void *state, enum envol_store_lock lock,
                                    enum envol_lock_mode mode, int wait)
{
    struct envol_store *inner = ((struct handle *)state)->inner;

    return inner->vtable.lock(inner->state, lock, mode, wait);
}

static void forget(struct crash_store *crash)
{
    for (size_t i = 0; i < crash->count; i++)
        free(crash->calls[i].data);
    crash->count = 0;
}

static void free_history(struct crash_store *crash)
{
    forget(crash);
    for (size_t i = 0; i < crash->file_count; i++) {
        envol_store_close(crash->files[i]->inner);
        free(crash->files[i]->base);
        free(crash->files[i]);
    }
    free(crash->files);
    free(crash->calls);
    pthread_mutex_destroy(&crash->lock);
    free(crash);
}

void crash_hold(struct crash_store *crash)
{
    pthread_mutex_lock(&crash->lock);
    crash->handles++;
    pthread_mutex_unlock(&crash->lock);
}

void crash_let_go(struct crash_store *crash)
{
    bool last;

    pthread_mutex_lock(&crash->lock);
    last = --crash->handles == 0;
    pthread_mutex_unlock(&crash->lock);
    if (last)
        free_history(crash);
}

static void crash_close(void *state)
{
    struct handle *handle = state;

    envol_store_close(handle->inner);
    crash_let_go(handle->crash);
    free(handle);
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

struct envol_store *crash_open_file(struct crash_store *crash, struct crash_file *file)
{
    struct handle *handle = crash_alloc(sizeof(*handle));
    struct envol_store *store;

    handle->crash = crash;
    handle->file = file;
    ck_assert_int_eq(envol_memory_store_share(file->inner, &handle->inner), ENVOL_OK);
    crash_hold(crash);
    ck_assert_int_eq(envol_store_open(&crash_vtable, handle, 1, &store), ENVOL_OK);
    return store;
}

struct envol_store *crash_store_share(struct crash_store *crash)
{
    return crash_open_file(crash, crash->files[0]);
}

struct crash_file *crash_add_file(struct crash_store *crash, const uint8_t *image, size_t bytes)
{
    struct crash_file *file = crash_alloc(sizeof(*file));

    file->number = crash->file_count++;
    crash->files = realloc(crash->files, crash->file_count * sizeof(struct crash_file *));
    ck_assert_ptr_nonnull(crash->files);
    crash->files[file->number] = file;
    file->base = crash_alloc(bytes);
    file->base_bytes = bytes;
    ck_assert_int_eq(envol_memory_store_open(&file->inner), ENVOL_OK);
    if (bytes > 0) {
        memcpy(file->base, image, bytes);
        ck_assert_int_eq(envol_store_write(file->inner, 0, image, bytes, NULL), ENVOL_OK);
    }
    return file;
}

struct crash_store *crash_store_new(const uint8_t *image, size_t bytes, struct envol_store **store)
{
    struct crash_store *crash = crash_alloc(sizeof(*crash));

    pthread_mutex_init(&crash->lock, NULL);
    crash_add_file(crash, image, bytes);
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

static void settle_file(struct crash_file *file)
{
    uint64_t bytes;
    size_t got;

    ck_assert_int_eq(envol_store_size(file->inner, &bytes, NULL), ENVOL_OK);
    free(file->base);
    file->base = crash_alloc((size_t)bytes);
    file->base_bytes = (size_t)bytes;
    memcpy(file->base_name, file->name, sizeof(file->name));
    ck_assert_int_eq(envol_store_read(file->inner, 0, file->base, (size_t)bytes, &got, NULL),
                     ENVOL_OK);
}

void crash_store_settle(struct crash_store *crash)
{
    forget(crash);
    for (size_t i = 0; i < crash->file_count; i++)
        settle_file(crash->files[i]);
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
