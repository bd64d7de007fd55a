/* SPDX-License-Identifier: BSD-2-Clause */
/* A store in memory: one image, shared by any number of handles, with the locks of a file. */
#include "store/store.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { LOCKS = ENVOL_LOCK_HEADER + 1, FIRST_CAPACITY_BYTES = 65536 };

struct image {
    pthread_rwlock_t contents_lock;
    uint8_t *contents; /* zero from size_bytes to capacity_bytes */
    size_t size_bytes;
    size_t capacity_bytes;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t released;
    unsigned handles;
    unsigned holders[LOCKS][ENVOL_LOCK_EXCLUSIVE + 1]; /* how many hold it in which mode */
};

struct handle {
    struct image *image;
    enum envol_lock_mode modes[LOCKS];
};

static enum envol_status memory_read(void *state, uint64_t offset, void *buffer, size_t bytes,
                                     size_t *got)
{
    struct image *image = ((struct handle *)state)->image;
    size_t count = 0;

    pthread_rwlock_rdlock(&image->contents_lock);
    if (offset < image->size_bytes) {
        count = image->size_bytes - (size_t)offset;
        if (count > bytes)
            count = bytes;
        memcpy(buffer, image->contents + offset, count);
    }
    pthread_rwlock_unlock(&image->contents_lock);
    *got = count;
    return ENVOL_OK;
}

/* Doubles, so that a store that grows page by page is copied a bounded number of times. */
static enum envol_status reserve(struct image *image, uint64_t bytes)
{
    size_t capacity = image->capacity_bytes > 0 ? image->capacity_bytes : FIRST_CAPACITY_BYTES;
    uint8_t *contents;

    if (bytes <= image->capacity_bytes)
        return ENVOL_OK;
    /* No object is larger than half the address space: doubling stays below it. */
    if (bytes > SIZE_MAX / 4)
        return ENVOL_E_NO_MEMORY;
    while (capacity < bytes)
        capacity *= 2;
    contents = envol_alloc(capacity, 64);
    if (contents == NULL)
        return ENVOL_E_NO_MEMORY;
    if (image->size_bytes > 0)
        memcpy(contents, image->contents, image->size_bytes);
    envol_free(image->contents);
    image->contents = contents;
    image->capacity_bytes = capacity;
    return ENVOL_OK;
}

static enum envol_status memory_write(void *state, uint64_t offset, const void *buffer,
                                      size_t bytes)
{
    struct image *image = ((struct handle *)state)->image;
    enum envol_status status;

    pthread_rwlock_wrlock(&image->contents_lock);
    status = reserve(image, offset + bytes);
    if (status == ENVOL_OK) {
        memcpy(image->contents + offset, buffer, bytes);
        if (offset + bytes > image->size_bytes)
            image->size_bytes = (size_t)(offset + bytes);
    }
    pthread_rwlock_unlock(&image->contents_lock);
    return status;
}

/* Memory is as stable as it gets when the write returns. */
static enum envol_status memory_sync(void *state)
{
    (void)state;
    return ENVOL_OK;
}

static enum envol_status memory_size(void *state, uint64_t *bytes)
{
    struct image *image = ((struct handle *)state)->image;

    pthread_rwlock_rdlock(&image->contents_lock);
    *bytes = image->size_bytes;
    pthread_rwlock_unlock(&image->contents_lock);
    return ENVOL_OK;
}

static enum envol_status memory_resize(void *state, uint64_t bytes)
{
    struct image *image = ((struct handle *)state)->image;
    enum envol_status status;

    pthread_rwlock_wrlock(&image->contents_lock);
    status = reserve(image, bytes);
    if (status == ENVOL_OK) {
        if (bytes < image->size_bytes)
            memset(image->contents + bytes, 0, image->size_bytes - (size_t)bytes);
        image->size_bytes = (size_t)bytes;
    }
    pthread_rwlock_unlock(&image->contents_lock);
    return status;
}

/* Another handle may have cut the image since the range was checked. */
static enum envol_status memory_discard(void *state, uint64_t offset, uint64_t bytes)
{
    struct image *image = ((struct handle *)state)->image;

    pthread_rwlock_wrlock(&image->contents_lock);
    if (offset < image->size_bytes) {
        uint64_t within = image->size_bytes - offset;

        memset(image->contents + offset, 0, (size_t)(bytes < within ? bytes : within));
    }
    pthread_rwlock_unlock(&image->contents_lock);
    return ENVOL_OK;
}

static bool conflicts(const struct image *image, enum envol_store_lock lock,
                      enum envol_lock_mode own, enum envol_lock_mode wanted)
{
    unsigned shared = image->holders[lock][ENVOL_LOCK_SHARED] - (own == ENVOL_LOCK_SHARED);
    unsigned exclusive = image->holders[lock][ENVOL_LOCK_EXCLUSIVE] - (own == ENVOL_LOCK_EXCLUSIVE);

    if (wanted == ENVOL_LOCK_EXCLUSIVE)
        return shared + exclusive > 0;
    return wanted == ENVOL_LOCK_SHARED && exclusive > 0;
}

static void set_mode(struct handle *handle, enum envol_store_lock lock, enum envol_lock_mode mode)
{
    struct image *image = handle->image;

    image->holders[lock][handle->modes[lock]]--;
    image->holders[lock][mode]++;
    handle->modes[lock] = mode;
    pthread_cond_broadcast(&image->released);
}

static enum envol_status memory_lock(void *state, enum envol_store_lock lock,
                                     enum envol_lock_mode mode, int wait)
{
    struct handle *handle = state;
    struct image *image = handle->image;
    struct timespec until;
    enum envol_status status = ENVOL_OK;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ENVOL_LOCK_WAIT_MS / 1000;
    pthread_mutex_lock(&image->lock);
    while (status == ENVOL_OK && conflicts(image, lock, handle->modes[lock], mode)) {
        if (!wait || pthread_cond_timedwait(&image->released, &image->lock, &until) != 0)
            status = ENVOL_E_BUSY;
    }
    if (status == ENVOL_OK)
        set_mode(handle, lock, mode);
    pthread_mutex_unlock(&image->lock);
    return status;
}

static void free_image(struct image *image)
{
    pthread_cond_destroy(&image->released);
    pthread_mutex_destroy(&image->lock);
    pthread_rwlock_destroy(&image->contents_lock);
    envol_free(image->contents);
    envol_free(image);
}

static void memory_close(void *state)
{
    struct handle *handle = state;
    struct image *image = handle->image;
    bool last;

    pthread_mutex_lock(&image->lock);
    for (unsigned lock = 0; lock < LOCKS; lock++)
        set_mode(handle, (enum envol_store_lock)lock, ENVOL_LOCK_NONE);
    for (unsigned lock = 0; lock < LOCKS; lock++)
        image->holders[lock][ENVOL_LOCK_NONE]--;
    last = --image->handles == 0;
    pthread_mutex_unlock(&image->lock);
    if (last)
        free_image(image);
    envol_free(handle);
}

static const struct envol_store_vtable memory_vtable = {
    .struct_size = sizeof(struct envol_store_vtable),
    .name = "memory",
    .read = memory_read,
    .write = memory_write,
    .sync = memory_sync,
    .size = memory_size,
    .resize = memory_resize,
    .discard = memory_discard,
    .lock = memory_lock,
    .close = memory_close,
};

/* With these attributes none of the three can fail on Linux; without handles yet. */
static struct image *new_image(void)
{
    struct image *image = envol_alloc(sizeof(*image), _Alignof(struct image));
    pthread_condattr_t monotonic;

    if (image == NULL)
        return NULL;
    pthread_rwlock_init(&image->contents_lock, NULL);
    pthread_mutex_init(&image->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&image->released, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return image;
}

static struct handle *new_handle(struct image *image)
{
    struct handle *handle = envol_alloc(sizeof(*handle), _Alignof(struct handle));

    if (handle == NULL)
        return NULL;
    handle->image = image;
    pthread_mutex_lock(&image->lock);
    image->handles++;
    for (unsigned lock = 0; lock < LOCKS; lock++)
        image->holders[lock][ENVOL_LOCK_NONE]++;
    pthread_mutex_unlock(&image->lock);
    return handle;
}

enum envol_status envol_memory_store_open(struct envol_store **store)
{
    struct image *image;
    struct handle *handle;

    if (store == NULL)
        return ENVOL_E_ARGUMENT;
    *store = NULL;
    image = new_image();
    if (image == NULL)
        return ENVOL_E_NO_MEMORY;
    handle = new_handle(image);
    if (handle == NULL) {
        free_image(image);
        return ENVOL_E_NO_MEMORY;
    }
    return envol_store_open(&memory_vtable, handle, 1, store);
}

enum envol_status envol_memory_store_share(struct envol_store *store, struct envol_store **shared)
{
    struct handle *handle;

    if (shared == NULL)
        return ENVOL_E_ARGUMENT;
    *shared = NULL;
    if (store == NULL || store->vtable.read != memory_vtable.read)
        return ENVOL_E_ARGUMENT;
    handle = new_handle(((struct handle *)store->state)->image);
    if (handle == NULL)
        return ENVOL_E_NO_MEMORY;
    return envol_store_open(&memory_vtable, handle, 1, shared);
}
