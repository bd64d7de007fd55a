/* SPDX-License-Identifier: BSD-2-Clause */
/* Stores of a caller's own: what is asked of a vtable, and what its answers become. */
#include "base/memory.h"
#include "store/store.h"
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BYTES = 100 };

/* A store whose every call answers what the test says, and counts. */
struct scripted {
    enum envol_status status;
    int os_errno;
    size_t got;
    uint64_t size;
    int calls, closes;
};

static enum envol_status answer(struct scripted *scripted)
{
    scripted->calls++;
    errno = scripted->os_errno;
    return scripted->status;
}

static enum envol_status scripted_read(void *state, uint64_t offset, void *buffer, size_t bytes,
                                       size_t *got)
{
    struct scripted *scripted = state;

    (void)offset;
    memset(buffer, 0xdd, bytes);
    *got = scripted->got;
    return answer(scripted);
}

static enum envol_status scripted_write(void *state, uint64_t offset, const void *buffer,
                                        size_t bytes)
{
    (void)offset;
    (void)buffer;
    (void)bytes;
    return answer(state);
}

static enum envol_status scripted_sync(void *state)
{
    return answer(state);
}

static enum envol_status scripted_size(void *state, uint64_t *bytes)
{
    *bytes = ((struct scripted *)state)->size;
    return answer(state);
}

static enum envol_status scripted_resize(void *state, uint64_t bytes)
{
    (void)bytes;
    return answer(state);
}

static enum envol_status scripted_discard(void *state, uint64_t offset, uint64_t bytes)
{
    (void)offset;
    (void)bytes;
    return answer(state);
}

static enum envol_status scripted_lock(void *state, enum envol_store_lock lock,
                                       enum envol_lock_mode mode, int wait)
{
    (void)lock;
    (void)mode;
    (void)wait;
    return answer(state);
}

static void scripted_close(void *state)
{
    ((struct scripted *)state)->closes++;
}

static const struct envol_store_vtable vtable = {
    .struct_size = sizeof(struct envol_store_vtable),
    .name = "scripted",
    .read = scripted_read,
    .write = scripted_write,
    .sync = scripted_sync,
    .size = scripted_size,
    .resize = scripted_resize,
    .discard = scripted_discard,
    .lock = scripted_lock,
    .close = scripted_close,
};

static struct envol_store *open_scripted(struct scripted *scripted)
{
    struct envol_store *store = NULL;

    ck_ok(envol_store_open(&vtable, scripted, 1, &store));
    ck_assert_ptr_nonnull(store);
    return store;
}

/* --- opening --- */

START_TEST(state_is_closed_once)
{
    struct scripted scripted = {0};
    struct envol_store *store = open_scripted(&scripted);

    ck_assert_int_eq(scripted.closes, 0);
    envol_store_close(store);
    ck_assert_int_eq(scripted.closes, 1);
    envol_store_close(NULL);
}
END_TEST

static void expect_refused(const struct envol_store_vtable *bad, uint32_t alignment, int closes)
{
    struct scripted scripted = {0};
    struct envol_store *store = (struct envol_store *)&scripted;

    ck_status(envol_store_open(bad, &scripted, alignment, &store), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(store);
    ck_assert_int_eq(scripted.closes, closes);
}

START_TEST(vtables_must_be_whole)
{
    struct envol_store_vtable bad;
    struct scripted scripted = {0};

    expect_refused(NULL, 1, 0);
    bad = vtable;
    bad.struct_size--;
    expect_refused(&bad, 1, 0); /* too short to have a close */
#define WITHOUT(function)                                                                          \
    bad = vtable;                                                                                  \
    bad.function = NULL;                                                                           \
    expect_refused(&bad, 1, 1)
    WITHOUT(name);
    WITHOUT(read);
    WITHOUT(write);
    WITHOUT(sync);
    WITHOUT(size);
    WITHOUT(resize);
    WITHOUT(lock);
    bad.close = NULL;
    expect_refused(&bad, 1, 0);
    ck_status(envol_store_open(&vtable, &scripted, 1, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(scripted.closes, 1);
}
END_TEST

START_TEST(newer_vtables_and_missing_options_are_fine)
{
    struct {
        struct envol_store_vtable vtable;
        void *later; /* a function of a newer version of the struct */
    } newer = {vtable, NULL};
    struct envol_error error = ENVOL_ERROR_INIT;
    struct scripted scripted = {.size = BYTES};
    struct envol_store *store = NULL;

    newer.vtable.struct_size = sizeof(newer);
    newer.vtable.discard = NULL;
    newer.vtable.close = NULL;
    ck_ok(envol_store_open(&newer.vtable, &scripted, 1, &store));
    ck_assert_int_eq(envol_store_discard(store, 0, 10, &error), ENVOL_E_UNSUPPORTED);
    ck_assert_int_eq(error.status, ENVOL_E_UNSUPPORTED);
    envol_store_close(store);
}
END_TEST

START_TEST(alignments)
{
    for (uint32_t alignment = 0; alignment <= 9000; alignment++) {
        struct scripted scripted = {0};
        struct envol_store *store;
        bool good = alignment > 0 && alignment <= 4096 && __builtin_popcount(alignment) == 1;

        if (!good) {
            expect_refused(&vtable, alignment, 1);
            continue;
        }
        ck_ok(envol_store_open(&vtable, &scripted, alignment, &store));
        envol_store_close(store);
    }
}
END_TEST

/* --- answers --- */

/* Calls each function once, and checks what became of the vtable's answer. */
static void expect_everywhere(struct scripted *scripted, enum envol_status expected, int os_errno)
{
    struct envol_store *store = open_scripted(scripted);
    struct envol_error error = ENVOL_ERROR_INIT;
    uint8_t buffer[BYTES];
    uint64_t size;
    size_t got;

#define EXPECT(call)                                                                               \
    memset(&error, 0xee, sizeof(error));                                                           \
    error.struct_size = sizeof(error);                                                             \
    ck_assert_int_eq(call, expected);                                                              \
    ck_assert_int_eq(error.status, expected);                                                      \
    ck_assert_int_eq(error.os_errno, os_errno);                                                    \
    ck_assert_uint_eq(error.page_no, ENVOL_NO_PAGE);                                               \
    ck_assert_msg(strncmp(error.message, "scripted store: ", 16) == 0, "%s", error.message)

    EXPECT(envol_store_read(store, 0, buffer, BYTES, &got, &error));
    ck_assert(envol_is_zero(buffer, BYTES));
    ck_assert_uint_eq(got, 0);
    EXPECT(envol_store_read_full(store, 0, buffer, BYTES, &error));
    ck_assert(envol_is_zero(buffer, BYTES));
    EXPECT(envol_store_write(store, 0, buffer, BYTES, &error));
    EXPECT(envol_store_sync(store, &error));
    EXPECT(envol_store_size(store, &size, &error));
    ck_assert_uint_eq(size, 0);
    EXPECT(envol_store_resize(store, BYTES, &error));
    EXPECT(envol_store_discard(store, 0, BYTES, &error));
    EXPECT(envol_store_lock(store, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED, 0, &error));
    ck_assert_int_eq(scripted->calls, 8);
    envol_store_close(store);
}

START_TEST(failures_keep_their_errno)
{
    struct scripted full = {.status = ENVOL_E_IO, .os_errno = ENOSPC, .got = 50, .size = BYTES};
    struct scripted silent = {.status = ENVOL_E_IO, .size = BYTES};
    struct scripted busy = {.status = ENVOL_E_BUSY, .os_errno = EAGAIN, .size = BYTES};
    struct scripted read_only = {.status = ENVOL_E_READ_ONLY, .size = BYTES};

    expect_everywhere(&full, ENVOL_E_IO, ENOSPC);
    expect_everywhere(&silent, ENVOL_E_IO, EIO);
    expect_everywhere(&busy, ENVOL_E_BUSY, 0);
    expect_everywhere(&read_only, ENVOL_E_READ_ONLY, 0);
}
END_TEST

START_TEST(success_leaves_the_error_alone)
{
    struct scripted scripted = {.got = BYTES, .size = BYTES};
    struct envol_store *store = open_scripted(&scripted);
    struct envol_error error = ENVOL_ERROR_INIT, before;
    uint8_t buffer[BYTES];
    uint64_t size;

    memset(error.message, 'x', sizeof(error.message));
    before = error;
    ck_assert_int_eq(envol_store_read_full(store, 0, buffer, BYTES, &error), ENVOL_OK);
    ck_assert_uint_eq(buffer[BYTES - 1], 0xdd);
    ck_assert_int_eq(envol_store_write(store, 0, buffer, BYTES, &error), ENVOL_OK);
    ck_assert_int_eq(envol_store_sync(store, &error), ENVOL_OK);
    ck_assert_int_eq(envol_store_size(store, &size, &error), ENVOL_OK);
    ck_assert_uint_eq(size, BYTES);
    ck_assert_int_eq(envol_store_discard(store, 0, BYTES, &error), ENVOL_OK);
    ck_assert_mem_eq(&error, &before, sizeof(error));
    envol_store_close(store);
}
END_TEST

/* What lies past the count is the vtable's scribble, and not what the caller sees. */
START_TEST(short_reads_are_zeroed_behind)
{
    struct scripted scripted = {.got = 40};
    struct envol_store *store = open_scripted(&scripted);
    uint8_t buffer[BYTES];
    size_t got;

    ck_assert_int_eq(envol_store_read(store, 0, buffer, BYTES, &got, NULL), ENVOL_OK);
    ck_assert_uint_eq(got, 40);
    ck_assert_uint_eq(buffer[39], 0xdd);
    ck_assert(envol_is_zero(buffer + 40, BYTES - 40));
    ck_assert_int_eq(envol_store_read_full(store, 0, buffer, BYTES, NULL), ENVOL_E_TRUNCATED);
    ck_assert(envol_is_zero(buffer, BYTES));
    envol_store_close(store);
}
END_TEST

START_TEST(impossible_answers_are_failures)
{
    struct scripted scripted = {.got = BYTES + 1, .size = ENVOL_STORE_END};
    struct envol_store *store = open_scripted(&scripted);
    struct envol_error error = ENVOL_ERROR_INIT;
    uint8_t buffer[BYTES];
    uint64_t size;
    size_t got;

    ck_assert_int_eq(envol_store_read(store, 0, buffer, BYTES, &got, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, EOVERFLOW);
    ck_assert(envol_is_zero(buffer, BYTES));
    ck_assert_int_eq(envol_store_size(store, &size, &error), ENVOL_E_RANGE);
    ck_assert_uint_eq(size, 0);
    ck_assert_int_eq(envol_store_discard(store, 0, 1, &error), ENVOL_E_RANGE);
    envol_store_close(store);
}
END_TEST

/* --- memory: the n-th allocation fails --- */

static struct {
    int until_failure, outstanding;
} heap;

static void *failing_alloc(void *ctx, size_t bytes, size_t align)
{
    void *memory = NULL;

    (void)ctx;
    if (heap.until_failure-- == 0 || posix_memalign(&memory, align, bytes) != 0)
        return NULL;
    heap.outstanding++;
    return memory;
}

static void failing_free(void *ctx, void *memory)
{
    (void)ctx;
    heap.outstanding--;
    free(memory);
}

static enum envol_status use_a_memory_store(void)
{
    struct envol_store *one = NULL, *two = NULL;
    uint8_t byte = 1;
    enum envol_status status = ck_note(envol_memory_store_open(&one));

    ck_assert((one != NULL) == (status == ENVOL_OK));
    if (status == ENVOL_OK)
        status = ck_note(envol_memory_store_share(one, &two));
    if (status == ENVOL_OK)
        status = envol_store_write(two, 70000, &byte, 1, NULL);
    if (status == ENVOL_OK)
        status = envol_store_resize(two, 200000, NULL);
    envol_store_close(one);
    envol_store_close(two);
    return status;
}

START_TEST(every_allocation_of_a_memory_store_fails_in_turn)
{
    struct envol_allocator allocator = {sizeof(allocator), NULL, failing_alloc, failing_free};
    int failures = 0;

    ck_ok(envol_set_allocator(&allocator));
    for (;; failures++) {
        enum envol_status status;

        heap.until_failure = failures;
        status = use_a_memory_store();
        ck_assert_int_eq(heap.outstanding, 0);
        if (status == ENVOL_OK)
            break;
        ck_assert_int_eq(status, ENVOL_E_NO_MEMORY);
    }
    ck_assert_int_eq(failures, 7); /* image, two handles and stores, contents twice */
    ck_ok(envol_set_allocator(NULL));
}
END_TEST

/* A file that could not become a store is not left behind. */
START_TEST(every_allocation_of_a_file_store_fails_in_turn)
{
    struct envol_allocator allocator = {sizeof(allocator), NULL, failing_alloc, failing_free};
    const char *path = test_path("x");
    int failures = 0;

    ck_ok(envol_set_allocator(&allocator));
    for (;; failures++) {
        struct envol_error error = ENVOL_ERROR_INIT;
        struct envol_store *store = NULL;
        enum envol_status status;

        heap.until_failure = failures;
        status = ck_note(envol_file_store_open(path, ENVOL_FILE_CREATE, &store, &error));
        ck_assert_int_eq(error.status, status);
        ck_assert_int_eq(access(path, F_OK), status == ENVOL_OK ? 0 : -1);
        envol_store_close(store);
        ck_assert_int_eq(heap.outstanding, 0);
        if (status == ENVOL_OK)
            break;
        ck_assert_int_eq(status, ENVOL_E_NO_MEMORY);
        ck_assert_ptr_null(store);
    }
    ck_assert_int_eq(failures, 3); /* its state, its directory's name, the store */
    ck_ok(envol_set_allocator(NULL));
}
END_TEST

START_TEST(no_allocation_no_store)
{
    struct envol_allocator allocator = {sizeof(allocator), NULL, failing_alloc, failing_free};
    struct scripted scripted = {0};
    struct envol_store *store = (struct envol_store *)&scripted;

    ck_ok(envol_set_allocator(&allocator));
    heap.until_failure = 0;
    ck_status(envol_store_open(&vtable, &scripted, 1, &store), ENVOL_E_NO_MEMORY);
    ck_assert_ptr_null(store);
    ck_assert_int_eq(scripted.closes, 1);
    ck_ok(envol_set_allocator(NULL));
}
END_TEST

START_TEST(memory_stores_share_with_their_like_only)
{
    struct scripted scripted = {0};
    struct envol_store *foreign = open_scripted(&scripted), *memory = NULL;
    struct envol_store *shared = foreign;

    ck_status(envol_memory_store_share(foreign, &shared), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(shared);
    ck_status(envol_memory_store_share(NULL, &shared), ENVOL_E_ARGUMENT);
    ck_ok(envol_memory_store_open(&memory));
    ck_status(envol_memory_store_share(memory, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_memory_store_open(NULL), ENVOL_E_ARGUMENT);
    /* More than there is address space for */
    ck_assert_int_eq(envol_store_resize(memory, ENVOL_STORE_END - 1, NULL), ENVOL_E_NO_MEMORY);
    ck_assert_int_eq(envol_store_write(memory, ENVOL_STORE_END - 9, "x", 1, NULL),
                     ENVOL_E_NO_MEMORY);
    envol_store_close(memory);
    envol_store_close(foreign);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_vtable");
    TCase *tcase = tcase_create("store_vtable");

    tcase_add_test(tcase, state_is_closed_once);
    tcase_add_test(tcase, vtables_must_be_whole);
    tcase_add_test(tcase, newer_vtables_and_missing_options_are_fine);
    tcase_add_test(tcase, alignments);
    tcase_add_test(tcase, failures_keep_their_errno);
    tcase_add_test(tcase, success_leaves_the_error_alone);
    tcase_add_test(tcase, short_reads_are_zeroed_behind);
    tcase_add_test(tcase, impossible_answers_are_failures);
    tcase_add_test(tcase, every_allocation_of_a_memory_store_fails_in_turn);
    tcase_add_test(tcase, every_allocation_of_a_file_store_fails_in_turn);
    tcase_add_test(tcase, no_allocation_no_store);
    tcase_add_test(tcase, memory_stores_share_with_their_like_only);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
