/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A heap that is watched: allocations of the calling thread counted, OpenSSL's kept in a list.  For
 * one source file of a test program: it replaces malloc, so it must not be in a library of helpers.
 */
#ifndef ENVOL_TESTS_RECORDED_HEAP_H
#define ENVOL_TESTS_RECORDED_HEAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if ENVOL_WITH_LIBCRYPTO
#include <openssl/crypto.h>
#endif

/* Whether malloc and its kin are counted too: sanitizers have their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RECORDED_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define RECORDED_MALLOC 0
#endif
#endif
#ifndef RECORDED_MALLOC
#define RECORDED_MALLOC 1
#endif

/* Of the calling thread.  volatile, because compilers know that malloc changes no variable. */
static _Thread_local volatile uint64_t recorded_count;
/* Which of OpenSSL's next allocations is to fail, 0 for none. */
static _Thread_local uint64_t recorded_failing;

/* Allocations of the calling thread so far. */
static inline uint64_t recorded_calls(void)
{
    return recorded_count;
}

/* OpenSSL's n-th allocation from now on fails, once; 0: none.  True if one that was ordered before
 * has not happened. */
static inline bool recorded_fail(uint64_t n)
{
    bool waiting = recorded_failing != 0;

    recorded_failing = n;
    return waiting;
}

#if RECORDED_MALLOC
/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

void *malloc(size_t bytes)
{
    recorded_count++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    recorded_count++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    recorded_count++;
    return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    recorded_count++;
    return __libc_memalign(align, bytes);
}

int posix_memalign(void **memory, size_t align, size_t bytes)
{
    *memory = aligned_alloc(align, bytes);
    return *memory != NULL ? 0 : 12; /* ENOMEM */
}
#endif

#if ENVOL_WITH_LIBCRYPTO
/* In front of each of OpenSSL's blocks; keeps the alignment of malloc. */
struct recorded_block {
    _Alignas(16) struct recorded_block *before;
    struct recorded_block *after;
    size_t bytes;
};

static struct recorded_block recorded_list = {&recorded_list, &recorded_list, 0};
static pthread_mutex_t recorded_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void recorded_freeze(void)
{
    pthread_mutex_lock(&recorded_lock);
}

static inline void recorded_thaw(void)
{
    pthread_mutex_unlock(&recorded_lock);
}

static inline void *recorded_alloc(size_t bytes, const char *file, int line)
{
    struct recorded_block *block = NULL;

    (void)file;
    (void)line;
    if (recorded_failing == 0 || --recorded_failing != 0)
        block = malloc(sizeof(*block) + bytes);
    if (block == NULL)
        return NULL;
    recorded_count += !RECORDED_MALLOC;
    recorded_freeze();
    *block = (struct recorded_block){&recorded_list, recorded_list.after, bytes};
    block->after->before = block;
    recorded_list.after = block;
    recorded_thaw();
    return block + 1;
}

static inline void recorded_free(void *memory, const char *file, int line)
{
    struct recorded_block *block;

    (void)file;
    (void)line;
    if (memory == NULL)
        return;
    block = (struct recorded_block *)memory - 1;
    recorded_freeze();
    block->before->after = block->after;
    block->after->before = block->before;
    recorded_thaw();
    free(block);
}

static inline void *recorded_realloc(void *memory, size_t bytes, const char *file, int line)
{
    void *larger = recorded_alloc(bytes, file, line);
    size_t old = memory != NULL ? ((struct recorded_block *)memory - 1)->bytes : 0;

    if (larger == NULL)
        return NULL;
    if (memory != NULL)
        memcpy(larger, memory, old < bytes ? old : bytes);
    recorded_free(memory, file, line);
    return larger;
}

/* Before OpenSSL allocates anything; false if it has. */
static inline bool recorded_begin(void)
{
    return CRYPTO_set_mem_functions(recorded_alloc, recorded_realloc, recorded_free) == 1 &&
           pthread_atfork(recorded_freeze, recorded_thaw, recorded_thaw) == 0;
}

/* Content of all of OpenSSL's live blocks, newest first; the length, 0 if it is more than fits. */
static inline size_t recorded_image(uint8_t *image, size_t capacity)
{
    size_t bytes = 0;

    recorded_freeze();
    for (const struct recorded_block *b = recorded_list.after; b != &recorded_list; b = b->after) {
        if (b->bytes > capacity - bytes) {
            bytes = 0;
            break;
        }
        memcpy(image + bytes, b + 1, b->bytes);
        bytes += b->bytes;
    }
    recorded_thaw();
    return bytes;
}
#else
static inline bool recorded_begin(void)
{
    return true;
}
#endif

#endif
