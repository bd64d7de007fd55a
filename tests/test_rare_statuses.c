/* SPDX-License-Identifier: BSD-2-Clause */
/* Statuses that the manuals list and that take an unusual machine, file or service to come about.
 */
#undef _FORTIFY_SOURCE /* its inline functions would be in the way of those below */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "header/layout.h"
#include "key_fixture.h"
#include "volume_fixture.h"

#include <envol/header_keys.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What fails.  These stand in for the C library's functions in this program. */
static struct {
    bool mlock, mprotect, openat;
} fails;

int mlock(const void *address, size_t bytes)
{
    if (!fails.mlock)
        return (int)syscall(SYS_mlock, address, bytes);
    errno = ENOMEM;
    return -1;
}

int mprotect(void *address, size_t bytes, int protection)
{
    if (!fails.mprotect)
        return (int)syscall(SYS_mprotect, address, bytes, protection);
    errno = ENOMEM;
    return -1;
}

int openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (!fails.openat)
        return (int)syscall(SYS_openat, directory, path, flags, mode);
    errno = EACCES;
    return -1;
}

/* --- Key files --- */

static const char *other_path(void)
{
    static char path[sizeof(key.directory) + 8];

    snprintf(path, sizeof(path), "%s/other", key.directory);
    return path;
}

/* All three calls on a key file answer this, and leave it alone. */
static void ck_key_file_calls(enum envol_status expected)
{
    uint8_t before[KEY_FILE_ROOM];
    size_t bytes = file_read(key.path, before);
    char other[256];

    ck_status(envol_key_file_create(other_path(), &key.error), expected);
    ck_status(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error), expected);
    ck_status(envol_key_file_rotate(key.path, &key.error), expected);
    ck_assert(file_is(key.path, before, bytes));
    ck_assert_uint_eq(directory_entries(other), 1);
}

START_TEST(a_directory_that_may_not_be_written)
{
    fails.openat = true;
    ck_key_file_calls(ENVOL_E_KEY_DENIED);
    fails.openat = false;
    ck_ok(envol_key_file_create(other_path(), &key.error));
}
END_TEST

/* Fills what the arena has, so that the next allocation needs a new region. */
static enum envol_status fill_arena(void)
{
    enum envol_status status;
    void *memory;

    do
        status = envol_arena_alloc(1, 0, &memory);
    while (status == ENVOL_OK);
    return status;
}

START_TEST(no_memory_for_keys)
{
    struct envol_keyring *keyring;

    fails.mprotect = true;
    ck_assert_int_eq(fill_arena(), ENVOL_E_NO_MEMORY);
    ck_key_file_calls(ENVOL_E_NO_MEMORY);
    ck_status(envol_keyring_temporary(NULL, 0, &keyring), ENVOL_E_NO_MEMORY);
    fails.mprotect = false;
    ck_ok(envol_key_file_rotate(key.path, &key.error));
}
END_TEST

START_TEST(no_locked_memory_for_keys)
{
    struct envol_keyring *keyring;

    fails.mlock = true;
    ck_assert_int_eq(fill_arena(), ENVOL_E_LOCKED_MEMORY);
    ck_key_file_calls(ENVOL_E_LOCKED_MEMORY);
    ck_status(envol_keyring_temporary(NULL, 0, &keyring), ENVOL_E_LOCKED_MEMORY);
    fails.mlock = false;
    ck_ok(envol_key_file_rotate(key.path, &key.error));
}
END_TEST

static void ck_changes(const char *path, enum envol_status expected)
{
    ck_status(envol_key_file_set_state(path, ENVOL_KEY_DISABLED, &key.error), expected);
    ck_status(envol_key_file_rotate(path, &key.error), expected);
}

START_TEST(no_key_file_and_others)
{
    uint8_t image[KEY_FILE_ROOM];
    size_t bytes = file_read(key.path, image);

    ck_changes(other_path(), ENVOL_E_KEY_NOT_FOUND);
    file_write(other_path(), "not a key file", 14);
    ck_changes(other_path(), ENVOL_E_FORMAT);
    envol_store32(image + 8, 2); /* format version */
    envol_store32(image + bytes - 4, envol_crc32c(0, image, bytes - 4));
    file_write(other_path(), image, bytes);
    ck_changes(other_path(), ENVOL_E_VERSION);
    image[8] = 1;
    file_write(other_path(), image, bytes);
    ck_changes(other_path(), ENVOL_E_CORRUPT);
}
END_TEST

/* --- Providers --- */

START_TEST(neither_rewrap_nor_unwrap)
{
    struct fake_kms *kms = fake_kms_new();
    struct envol_provider *provider = fake_kms_open_without_rewrap(kms);
    struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
    struct envol_key_request from = {.struct_size = sizeof(from), .key_version = "1"};
    const struct envol_key_request to = {.struct_size = sizeof(to)};
    struct envol_error error = ENVOL_ERROR_INIT;
    const uint8_t blob[100] = {1};

    fake_kms_add_key(kms, VOLUME_KEY);
    fake_kms_fail(kms, FAKE_UNWRAP, 1, ENVOL_E_UNSUPPORTED);
    ck_status(envol_provider_rewrap(provider, &from, blob, sizeof(blob), &to, &wrapped, &error),
              ENVOL_E_UNSUPPORTED);
    ck_assert_int_eq(error.status, ENVOL_E_UNSUPPORTED);
    ck_assert_uint_eq(wrapped.wrapped_bytes, 0);
    envol_provider_close(provider);
    fake_kms_free(kms);
}
END_TEST

/* --- Volumes --- */

START_TEST(a_volume_in_a_file_opened_for_reading)
{
    const char *path = test_path("read-only");
    struct fake_kms *kms = fake_kms_new();
    struct envol_cmk cmk = {fake_kms_open(kms), VOLUME_KEY};
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_volume *volume;
    struct envol_store *store;

    fake_kms_add_key(kms, VOLUME_KEY);
    file_write(path, "", 0);
    ck_ok(envol_file_store_open(path, ENVOL_FILE_READ_ONLY, &store, &error));
    ck_status(envol_volume_create(store, &cmk, 1, NULL, &volume, &error), ENVOL_E_READ_ONLY);
    ck_assert_ptr_null(volume);
    ck_assert_uint_eq(fake_kms_calls(kms, FAKE_ANY), 0);
    envol_store_close(store);
    envol_provider_close((struct envol_provider *)cmk.provider);
    fake_kms_free(kms);
}
END_TEST

/* Both copies of the header become ones of format 2. */
static void write_newer_header(struct envol_store *store)
{
    uint8_t copy[ENVOL_HEADER_COPY_BYTES];

    volume_store_get(store, 0, copy, sizeof(copy));
    envol_store32(copy + ENVOL_AT_VERSION, 2);
    envol_store32(copy + ENVOL_AT_CRC, 0);
    envol_store32(copy + ENVOL_AT_CRC, envol_crc32c(0, copy, sizeof(copy)));
    volume_store_put(store, 0, copy, sizeof(copy));
    volume_store_put(store, sizeof(copy), copy, sizeof(copy));
}

START_TEST(a_header_of_a_newer_format_under_a_reader)
{
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    volume_fixture_close(&f);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    write_newer_header(f.store);
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_VERSION);
    ck_assert_int_eq(f.error.status, ENVOL_E_VERSION);
    volume_page_expect(&f, 0, 1); /* what was known stays */
    volume_fixture_free(&f);
}
END_TEST

/* A gap is what the store leaves behind, and this one does not grow. */
START_TEST(a_wide_gap_beyond_a_device)
{
    struct volume_fixture f;
    struct envol_page_io io = {.page_no = 100000};

    if (!volume_fixture_create(&f, &volume_shapes[VOLUME_GCM_SHAPES])) /* the sparse one */
        return;
    ck_assert(f.gcm && f.shape->sparse);
    volume_page_put(&f, 0, 1);
    watched_fix_size(f.watched);
    io.page = f.page;
    ck_status(envol_page_write(f.volume, io.page_no, f.page), ENVOL_E_UNSUPPORTED);
    ck_status(envol_page_write_batch(f.volume, &io, 1, &f.error), ENVOL_E_UNSUPPORTED);
    ck_assert_int_eq(io.status, ENVOL_E_UNSUPPORTED);
    ck_assert_uint_eq(envol_volume_pages(f.volume), 1);
    volume_page_expect(&f, 0, 1);
    volume_fixture_free(&f);
}
END_TEST

static Suite *rare_statuses(void)
{
    Suite *suite = suite_create("rare statuses");
    TCase *keys = key_case(suite, "key files");
    TCase *others = tcase_create("providers and volumes");

    tcase_add_test(keys, a_directory_that_may_not_be_written);
    tcase_add_test(keys, no_memory_for_keys);
    tcase_add_test(keys, no_locked_memory_for_keys);
    tcase_add_test(keys, no_key_file_and_others);
    tcase_add_test(others, neither_rewrap_nor_unwrap);
    tcase_add_test(others, a_volume_in_a_file_opened_for_reading);
    tcase_add_loop_test(others, a_header_of_a_newer_format_under_a_reader, 0, VOLUME_SHAPES);
    tcase_add_test(others, a_wide_gap_beyond_a_device);
    suite_add_tcase(suite, others);
    return suite;
}

int main(void)
{
    return test_run(rare_statuses());
}
