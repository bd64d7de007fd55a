/* SPDX-License-Identifier: BSD-2-Clause */
/* The watched store: over a store in memory, and the rules of growth as a bystander sees them. */
#include "watched_store.h"

#include "header/header.h"
#include "store/store.h"
#include "support.h"
#include "volume/volume.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct watched_store {
    struct envol_store *inner;
    pthread_mutex_t lock; /* of what follows */
    unsigned calls[WATCHED_CALLS], header_writes;
    enum watched_call fail_call;
    unsigned fail_in;
    enum envol_status fail_status;
    bool fixed, no_discard, rules;
    struct envol_header_info synced; /* the header as of the last sync */
    uint64_t tear_offset;
    size_t tear_bytes;
    unsigned tear_times;
    bool tear_moves;
    uint64_t bad_offset;
    unsigned slow_ms;
    _Atomic bool has_waited;
    pthread_cond_t changed;
    unsigned halt_in[WATCHED_CALLS];
    bool halted[WATCHED_CALLS];
};

static enum envol_status enter(struct watched_store *w, enum watched_call call)
{
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(&w->lock);
    w->calls[call]++;
    if (w->fail_in > 0 && w->fail_call == call && --w->fail_in == 0)
        status = w->fail_status;
    pthread_mutex_unlock(&w->lock);
    errno = status == ENVOL_E_IO ? ENOSPC : 0;
    return status;
}

/* Whether this call is the one that is to stay where it is. */
static bool is_to_halt(struct watched_store *w, enum watched_call call)
{
    bool is_it;

    pthread_mutex_lock(&w->lock);
    is_it = w->halt_in[call] > 0 && --w->halt_in[call] == 0;
    pthread_mutex_unlock(&w->lock);
    return is_it;
}

static void halt(struct watched_store *w, enum watched_call call)
{
    pthread_mutex_lock(&w->lock);
    w->halted[call] = true;
    pthread_cond_broadcast(&w->changed);
    while (w->halted[call])
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static void tear(struct watched_store *w, uint64_t offset, uint8_t *buffer, size_t got)
{
    uint64_t end = w->tear_offset + w->tear_bytes / 2;

    pthread_mutex_lock(&w->lock);
    if (w->tear_times > 0 && offset <= w->tear_offset && end <= offset + got) {
        w->tear_times--;
        for (uint64_t at = w->tear_offset; at < end; at++)
            buffer[at - offset] ^= w->tear_moves ? (uint8_t)(w->tear_times + 1) : 0x5a;
    }
    pthread_mutex_unlock(&w->lock);
}

static enum envol_status watched_read(void *state, uint64_t offset, void *buffer, size_t bytes,
                                      size_t *got)
{
    struct watched_store *w = state;
    enum envol_status status = enter(w, WATCHED_READ);

    if (status == ENVOL_OK && w->bad_offset > 0 && offset <= w->bad_offset &&
        w->bad_offset < offset + bytes) {
        errno = EIO;
        return ENVOL_E_IO;
    }
    if (status == ENVOL_OK)
        status = envol_store_read(w->inner, offset, buffer, bytes, got, NULL);
    if (status == ENVOL_OK)
        tear(w, offset, buffer, *got);
    if (is_to_halt(w, WATCHED_READ))
        halt(w, WATCHED_READ);
    return status;
}

/* A crash now would leave the synced header and, at worst, this write. */
static void hold_rules(struct watched_store *w, uint64_t offset, size_t bytes)
{
    const struct envol_header_info *header = &w->synced;
    uint64_t end;

    if (!w->rules || offset < ENVOL_HEADER_BYTES)
        return;
    if (header->suite == ENVOL_SUITE_AES_256_GCM) {
        end = (offset + bytes - header->data_offset) / header->stride_bytes;
        ck_assert_msg(end <= header->high_water || !header->clean,
                      "record %llu above mark %llu of a clean volume", (unsigned long long)end - 1,
                      (unsigned long long)header->high_water);
        ck_assert_msg(end <= header->high_water + envol_volume_window(header->high_water),
                      "record %llu beyond the window of mark %llu", (unsigned long long)end - 1,
                      (unsigned long long)header->high_water);
    }
}

/* Half of it, a while, the rest. */
static enum envol_status write_slowly(struct watched_store *w, uint64_t offset, const void *buffer,
                                      size_t bytes, bool halts)
{
    const struct timespec pause = {.tv_nsec = w->slow_ms * 1000000L};
    enum envol_status status = envol_store_write(w->inner, offset, buffer, bytes / 2, NULL);

    if (halts) {
        halt(w, WATCHED_WRITE);
    } else {
        w->has_waited = true;
        (void)nanosleep(&pause, NULL);
    }
    if (status == ENVOL_OK)
        status = envol_store_write(w->inner, offset + bytes / 2,
                                   (const uint8_t *)buffer + bytes / 2, bytes - bytes / 2, NULL);
    return status;
}

static enum envol_status watched_write(void *state, uint64_t offset, const void *buffer,
                                       size_t bytes)
{
    struct watched_store *w = state;
    enum envol_status status = enter(w, WATCHED_WRITE);
    bool halts = is_to_halt(w, WATCHED_WRITE);

    pthread_mutex_lock(&w->lock);
    hold_rules(w, offset, bytes);
    if (offset < ENVOL_HEADER_BYTES)
        w->header_writes++;
    pthread_mutex_unlock(&w->lock);
    if (status != ENVOL_OK) {
        (void)envol_store_write(w->inner, offset, buffer, bytes / 2, NULL);
        errno = ENOSPC;
        return status;
    }
    if (halts || (w->slow_ms > 0 && offset >= ENVOL_HEADER_BYTES))
        return write_slowly(w, offset, buffer, bytes, halts);
    return envol_store_write(w->inner, offset, buffer, bytes, NULL);
}

static void learn_header(struct watched_store *w)
{
    uint8_t *bytes = malloc(ENVOL_HEADER_BYTES);
    struct envol_header *header;

    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(envol_store_read_full(w->inner, 0, bytes, ENVOL_HEADER_BYTES, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_header_decode(bytes, 0, &header, NULL), ENVOL_OK);
    w->synced.struct_size = sizeof(w->synced);
    ck_assert_int_eq(envol_header_info(header, &w->synced), ENVOL_OK);
    envol_header_free(header);
    free(bytes);
}

static enum envol_status watched_sync(void *state)
{
    struct watched_store *w = state;
    enum envol_status status = enter(w, WATCHED_SYNC);

    if (is_to_halt(w, WATCHED_SYNC))
        halt(w, WATCHED_SYNC);
    if (status != ENVOL_OK)
        return status;
    pthread_mutex_lock(&w->lock);
    if (w->rules)
        learn_header(w);
    pthread_mutex_unlock(&w->lock);
    return ENVOL_OK;
}

static enum envol_status watched_size(void *state, uint64_t *bytes)
{
    struct watched_store *w = state;
    enum envol_status status = enter(w, WATCHED_SIZE);

    return status == ENVOL_OK ? envol_store_size(w->inner, bytes, NULL) : status;
}

/* A cut must not come before the header that says so is on disk. */
static void hold_cut(const struct watched_store *w, uint64_t bytes)
{
    const struct envol_header_info *header = &w->synced;

    if (!w->rules || bytes < ENVOL_HEADER_BYTES)
        return;
    if (header->suite == ENVOL_SUITE_AES_256_GCM)
        ck_assert_uint_ge(bytes, header->data_offset + header->high_water * header->stride_bytes);
}

static enum envol_status resize_fixed(struct watched_store *w, uint64_t bytes)
{
    uint64_t size;
    enum envol_status status = envol_store_size(w->inner, &size, NULL);

    if (status != ENVOL_OK)
        return status;
    return bytes == size ? ENVOL_OK : ENVOL_E_UNSUPPORTED;
}

static enum envol_status watched_resize(void *state, uint64_t bytes)
{
    struct watched_store *w = state;
    enum envol_status status = enter(w, WATCHED_RESIZE);

    if (status != ENVOL_OK)
        return status;
    if (w->fixed)
        return resize_fixed(w, bytes);
    pthread_mutex_lock(&w->lock);
    hold_cut(w, bytes);
    pthread_mutex_unlock(&w->lock);
    return envol_store_resize(w->inner, bytes, NULL);
}

static enum envol_status watched_discard(void *state, uint64_t offset, uint64_t bytes)
{
    struct watched_store *w = state;
    enum envol_status status = enter(w, WATCHED_DISCARD);

    if (status == ENVOL_OK && w->no_discard)
        status = ENVOL_E_UNSUPPORTED;
    return status == ENVOL_OK ? envol_store_discard(w->inner, offset, bytes, NULL) : status;
}

static enum envol_status watched_lock(void *state, enum envol_store_lock lock,
                                      enum envol_lock_mode mode, int wait)
{
    struct watched_store *w = state;
    enum envol_status status = enter(w, WATCHED_LOCK);

    return status == ENVOL_OK ? envol_store_lock(w->inner, lock, mode, wait, NULL) : status;
}

static void watched_close(void *state)
{
    struct watched_store *w = state;

    envol_store_close(w->inner);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static const struct envol_store_vtable watched_vtable = {
    .struct_size = sizeof(watched_vtable),
    .name = "watched",
    .read = watched_read,
    .write = watched_write,
    .sync = watched_sync,
    .size = watched_size,
    .resize = watched_resize,
    .discard = watched_discard,
    .lock = watched_lock,
    .close = watched_close,
};

struct watched_store *watched_store_new(struct envol_store **store)
{
    struct watched_store *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    ck_ok(envol_memory_store_open(&w->inner));
    ck_ok(envol_store_open(&watched_vtable, w, 1, store));
    return w;
}

struct envol_store *watched_store_share(struct watched_store *watched)
{
    struct envol_store *shared;

    ck_ok(envol_memory_store_share(watched->inner, &shared));
    return shared;
}

unsigned watched_calls(const struct watched_store *watched, enum watched_call call)
{
    return watched->calls[call];
}

unsigned watched_header_writes(const struct watched_store *watched)
{
    return watched->header_writes;
}

void watched_fail(struct watched_store *watched, enum watched_call call, unsigned nth,
                  enum envol_status status)
{
    watched->fail_call = call;
    watched->fail_in = nth;
    watched->fail_status = status;
}

void watched_fix_size(struct watched_store *watched)
{
    watched->fixed = true;
}

void watched_drop_discard(struct watched_store *watched)
{
    watched->no_discard = true;
}

void watched_hold_rules(struct watched_store *watched)
{
    learn_header(watched);
    watched->rules = true;
}

void watched_tear_reads(struct watched_store *watched, uint64_t offset, size_t bytes,
                        unsigned times)
{
    watched->tear_offset = offset;
    watched->tear_bytes = bytes;
    watched->tear_times = times;
}

void watched_slow_writes(struct watched_store *watched, unsigned ms)
{
    watched->slow_ms = ms;
}

bool watched_has_waited(const struct watched_store *watched)
{
    return watched->has_waited;
}

void watched_bad_sector(struct watched_store *watched, uint64_t offset)
{
    watched->bad_offset = offset;
}

void watched_tear_anew(struct watched_store *watched, bool anew)
{
    watched->tear_moves = anew;
}

void watched_halt(struct watched_store *watched, enum watched_call call, unsigned nth)
{
    pthread_mutex_lock(&watched->lock);
    watched->halt_in[call] = nth;
    pthread_mutex_unlock(&watched->lock);
}

bool watched_await_halt(struct watched_store *watched, enum watched_call call,
                        const _Atomic bool *done)
{
    const struct timespec pause = {.tv_nsec = 200000};

    for (;;) {
        bool is_done = *done, is_there;
        pthread_mutex_lock(&watched->lock);
        is_there = watched->halted[call];
        pthread_mutex_unlock(&watched->lock);
        if (is_there || is_done)
            return is_there;
        (void)nanosleep(&pause, NULL);
    }
}

void watched_go_on(struct watched_store *watched, enum watched_call call)
{
    pthread_mutex_lock(&watched->lock);
    watched->halt_in[call] = 0;
    watched->halted[call] = false;
    pthread_cond_broadcast(&watched->changed);
    pthread_mutex_unlock(&watched->lock);
}
