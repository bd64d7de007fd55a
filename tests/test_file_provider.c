/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider "file": wrapping, states, versions, access to the key file, and damaged ones. */
#include "key_fixture.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "page/chunked.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534 };

/* Made by an independent implementation of the two formats, with versions 3 and 7. */
static const char golden_file[] =
    "454e564f4c4b455901000000010000003f2a1b0c9d8e4f7086a5b4c3d2e1f0090700000002000000"
    "030000000000000000f1536500000000"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "070000000000000001f1536500000000"
    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f76022687";
static const char golden_blob[] = "808182838485868788898a8b8c8d8e8f9091929394959697"
                                  "b89309e89b4ca60cd712e55f61656b09b88fd34575808ebd03ee5a2bb903e0ee"
                                  "81e5ee3cd6a6516a0f8673904e303886b1ebe5ca79f657f9c40d3cf43f09f668"
                                  "fa34885e7c06db184a98be1b08524d5ab04e2c5ab9f852ccda854de82b314c9d"
                                  "c51cbf0c4a7d2476b24ee972313cb8f7";

/* What each call that uses the key answers. */
static void ck_use(const char *key_ref, enum envol_status expected)
{
    struct envol_key_request fresh = key_request(NULL), slot = key_request("1");
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};
    uint8_t dek[ENVOL_DEK_BYTES], in[ENVOL_DEK_BYTES] = {1};

    fresh.key_ref = slot.key_ref = key_ref;
    ck_status(envol_provider_generate(key.provider, &fresh, dek, &other, &key.error), expected);
    ck_status(envol_provider_wrap(key.provider, &fresh, in, &other, &key.error), expected);
    ck_status(envol_provider_unwrap(key.provider, &slot, key.wrapped.wrapped,
                                    key.wrapped.wrapped_bytes, dek, &key.error),
              expected);
    ck_status(envol_provider_rewrap(key.provider, &slot, key.wrapped.wrapped,
                                    key.wrapped.wrapped_bytes, &fresh, &other, &key.error),
              expected);
    ck_assert_int_eq(key.error.status, expected);
}

static enum envol_status describe(void)
{
    struct envol_key_request request = key_request(NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};

    return ck_note(envol_provider_describe(key.provider, &request, &info, &key.error));
}

static enum envol_status unwrap(const struct envol_key_request *request, const void *wrapped,
                                size_t wrapped_bytes)
{
    uint8_t dek[ENVOL_DEK_BYTES];
    enum envol_status status =
        envol_provider_unwrap(key.provider, request, wrapped, wrapped_bytes, dek, &key.error);

    if (status != ENVOL_OK)
        ck_assert(envol_is_zero(dek, sizeof(dek)));
    return test_note("envol_provider_unwrap", status);
}

/* Wrapping. */

START_TEST(end_to_end)
{
    key_generate();
    ck_assert_str_eq(envol_provider_name(key.provider), "file");
    ck_assert_uint_eq(envol_provider_capabilities(key.provider),
                      ENVOL_PROVIDER_BINDS_CONTEXT | ENVOL_PROVIDER_REWRAPS |
                          ENVOL_PROVIDER_GENERATES | ENVOL_PROVIDER_SINGLE_KEY |
                          ENVOL_PROVIDER_LOCAL);
    ck_assert_uint_eq(key.wrapped.wrapped_bytes, 136);
    ck_assert_str_eq(key.wrapped.key_ref, key.id);
    ck_assert_str_eq(key.wrapped.key_version, "1");
    key_unwraps();
    ck_use(NULL, ENVOL_OK);
    ck_use(key.id, ENVOL_OK);
}
END_TEST

START_TEST(two_wrappings_of_one_dek_differ)
{
    struct envol_key_request request = key_request(NULL);
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};

    key_generate();
    ck_ok(envol_provider_wrap(key.provider, &request, key.dek, &other, NULL));
    ck_assert_mem_ne(other.wrapped, key.wrapped.wrapped, 136);
    key.wrapped = other;
    key_unwraps();
}
END_TEST

START_TEST(the_formats_are_those_of_another_implementation)
{
    struct envol_key_request request = key_request("3");
    uint8_t file[KEY_FILE_ROOM], blob[136], dek[ENVOL_DEK_BYTES];

    file_write(key.path, file, test_unhex(golden_file, file, sizeof(file)));
    test_unhex(golden_blob, blob, sizeof(blob));
    request.key_ref = "3f2a1b0c-9d8e-4f70-86a5-b4c3d2e1f009";
    ck_ok(envol_provider_unwrap(key.provider, &request, blob, sizeof(blob), dek, &key.error));
    for (size_t i = 0; i < sizeof(dek); i++)
        ck_assert_uint_eq(dek[i], 0xa0 + i);
    ck_assert_str_eq(key_newest(), "7");
}
END_TEST

START_TEST(a_changed_blob_is_the_wrong_key)
{
    struct envol_key_request request = key_request("1");

    key_generate();
    for (size_t bit = 0; bit < key.wrapped.wrapped_bytes * 8; bit++) {
        key.wrapped.wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(unwrap(&request, key.wrapped.wrapped, key.wrapped.wrapped_bytes),
                         ENVOL_E_WRONG_KEY);
        key.wrapped.wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bytes = 1; bytes <= ENVOL_WRAPPED_MAX; bytes += bytes < 200 ? 1 : 743) {
        if (bytes != 136)
            ck_assert_int_eq(unwrap(&request, key.wrapped.wrapped, bytes), ENVOL_E_WRONG_KEY);
    }
    key_unwraps();
}
END_TEST

/* The same key and context, but not a DEK: longer than any room for one, and shorter. */
START_TEST(a_message_that_is_no_dek_is_the_wrong_key)
{
    static const size_t lengths[] = {0, 32, 63, 65, 128, 300};
    struct envol_key_request request = key_request("3");
    uint8_t file[KEY_FILE_ROOM], context[256], cmk[32], plain[300], blob[400];
    size_t context_bytes;

    file_write(key.path, file, test_unhex(golden_file, file, sizeof(file)));
    memcpy(cmk, file + 56, sizeof(cmk));
    memset(plain, 0x5a, sizeof(plain));
    ck_ok(envol_context_encode(request.context, request.context_pairs, context, sizeof(context),
                               &context_bytes));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        ck_assert_int_eq(envol_chunked_seal(cmk, context, context_bytes, plain, lengths[i], blob),
                         ENVOL_OK);
        ck_assert_int_eq(unwrap(&request, blob, 72 + lengths[i]), ENVOL_E_WRONG_KEY);
    }
    ck_assert_int_eq(envol_chunked_seal(cmk, context, context_bytes, plain, 64, blob), ENVOL_OK);
    ck_assert_int_eq(unwrap(&request, blob, 136), ENVOL_OK);
}
END_TEST

START_TEST(another_context_is_the_wrong_key)
{
    static const struct envol_context_pair other[] = {
        {"envol:epoch", "2"},
        {"envol:purpose", "dek"},
        {"envol:volume", "0b3f1e5a-7d4c-4a8e-9a57-8b6f0d1c2e3f"},
    };
    struct envol_key_request request = key_request("1");

    key_generate();
    request.context_pairs = 2;
    ck_assert_int_eq(unwrap(&request, key.wrapped.wrapped, 136), ENVOL_E_WRONG_KEY);
    request.context_pairs = 3;
    request.context = other;
    ck_assert_int_eq(unwrap(&request, key.wrapped.wrapped, 136), ENVOL_E_WRONG_KEY);
}
END_TEST

START_TEST(another_key_file_is_the_wrong_key_or_not_the_one)
{
    struct envol_key_request request = key_request("1");

    key_generate();
    ck_assert_int_eq(unlink(key.path), 0);
    ck_ok(envol_key_file_create(key.path, NULL));
    ck_assert_int_eq(unwrap(&request, key.wrapped.wrapped, 136), ENVOL_E_WRONG_KEY);
    ck_use(key.id, ENVOL_E_KEY_NOT_FOUND);
    request = key_request(NULL);
    request.key_ref = key.id;
    ck_status(envol_provider_describe(
                  key.provider, &request,
                  &(struct envol_key_info){.struct_size = sizeof(struct envol_key_info)},
                  &key.error),
              ENVOL_E_KEY_NOT_FOUND);
}
END_TEST

/* States and versions. */

START_TEST(an_open_provider_sees_changes_of_state)
{
    key_generate();
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error));
    ck_use(NULL, ENVOL_E_KEY_DISABLED);
    ck_assert_int_eq(key_state(), ENVOL_KEY_DISABLED);
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_PENDING_DELETION, &key.error));
    ck_use(NULL, ENVOL_E_KEY_PENDING_DELETION);
    ck_assert_int_eq(key_state(), ENVOL_KEY_PENDING_DELETION);
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_ENABLED, &key.error));
    ck_assert_int_eq(key_state(), ENVOL_KEY_ENABLED);
    key_unwraps();
    ck_use(NULL, ENVOL_OK);
}
END_TEST

START_TEST(rotation_keeps_what_was_wrapped)
{
    struct envol_key_request from = key_request("1"), to = key_request(NULL);
    struct envol_wrapped_dek newer = {.struct_size = sizeof(newer)};

    key_generate();
    ck_ok(envol_key_file_rotate(key.path, &key.error));
    ck_assert_str_eq(key_newest(), "2");
    key_unwraps();
    ck_ok(envol_provider_rewrap(key.provider, &from, key.wrapped.wrapped, 136, &to, &newer,
                                &key.error));
    ck_assert_str_eq(newer.key_version, "2");
    ck_assert_int_eq(unwrap(&from, newer.wrapped, 136), ENVOL_E_WRONG_KEY);
    key.wrapped = newer;
    key_unwraps();
    to.key_ref = "3f2a1b0c-9d8e-4f70-86a5-b4c3d2e1f009";
    ck_status(envol_provider_rewrap(key.provider, &from, key.wrapped.wrapped, 136, &to, &newer,
                                    &key.error),
              ENVOL_E_KEY_NOT_FOUND);
}
END_TEST

START_TEST(versions_are_plain_numbers)
{
    static const char *const missing[] = {
        "", "0", "2", "01", "+1", "1 ", " 1", "-1", "1x", "4294967297", "18446744073709551617"};
    struct envol_key_request request;

    key_generate();
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        request = key_request(missing[i]);
        ck_assert_int_eq(unwrap(&request, key.wrapped.wrapped, 136), ENVOL_E_KEY_NOT_FOUND);
    }
}
END_TEST

/* Access. */

START_TEST(other_modes_are_refused)
{
    char octal[8];

    key_generate();
    for (mode_t bits = 0; bits <= 077; bits++) {
        ck_assert_int_eq(chmod(key.path, 0600 | bits), 0);
        if (bits == 0) {
            ck_assert_int_eq(describe(), ENVOL_OK);
            continue;
        }
        ck_assert_int_eq(describe(), ENVOL_E_KEY_DENIED);
        snprintf(octal, sizeof(octal), "0%o", 0600 | bits);
        ck_assert_ptr_nonnull(strstr(key.error.message, octal));
        ck_assert_ptr_nonnull(strstr(key.error.message, "0600"));
    }
    ck_use(NULL, ENVOL_E_KEY_DENIED);
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_KEY_DENIED);
    ck_status(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error),
              ENVOL_E_KEY_DENIED);
    ck_assert_int_eq(chmod(key.path, 0400), 0);
    ck_use(NULL, ENVOL_OK);
}
END_TEST

/* Directories above may be closed to the user that a test turns into: paths become relative. */
static void enter_directory(void)
{
    ck_assert_int_eq(chdir(key.directory), 0);
    envol_provider_close(key.provider);
    ck_ok(envol_file_provider_open("key", &key.provider));
}

START_TEST(other_owners_are_refused)
{
    if (geteuid() != 0) {
        test_skip("key files of other owners", "only root can give files away");
        return;
    }
    enter_directory();
    ck_assert_int_eq(chown("key", NOBODY, NOBODY), 0);
    ck_assert_int_eq(describe(), ENVOL_E_KEY_DENIED);
    ck_assert_ptr_nonnull(strstr(key.error.message, "65534"));
    ck_assert_int_eq(seteuid(NOBODY), 0);
    ck_assert_int_eq(describe(), ENVOL_OK); /* its own */
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chown("key", 0, 0), 0);
    ck_assert_int_eq(seteuid(NOBODY), 0);
    ck_assert_int_eq(describe(), ENVOL_E_KEY_DENIED); /* root's, and closed to it */
    ck_assert_int_eq(key.error.os_errno, EACCES);
    ck_status(envol_key_file_rotate("key", &key.error), ENVOL_E_KEY_DENIED);
    ck_status(envol_key_file_create("new", &key.error), ENVOL_E_KEY_DENIED);
    ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(only_regular_files_are_read)
{
    ck_assert_int_eq(unlink(key.path), 0);
    ck_assert_int_eq(describe(), ENVOL_E_KEY_NOT_FOUND);
    ck_assert_int_eq(key.error.os_errno, ENOENT);
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_KEY_NOT_FOUND);
    ck_assert_int_eq(mkfifo(key.path, 0600), 0);
    ck_assert_int_eq(describe(), ENVOL_E_KEY_DENIED); /* and does not wait for a writer */
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_KEY_DENIED);
    ck_assert_int_eq(unlink(key.path), 0);
    ck_assert_int_eq(mkdir(key.path, 0700), 0);
    ck_assert_int_eq(describe(), ENVOL_E_KEY_DENIED);
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_KEY_DENIED);
}
END_TEST

/* As Kubernetes mounts secrets: the name is a link through a directory that is a link. */
START_TEST(links_are_followed_for_reading_only)
{
    char target[700], data[700];

    key_generate();
    snprintf(target, sizeof(target), "%s/..data", key.directory);
    snprintf(data, sizeof(data), "%s/key.real", key.directory);
    ck_assert_int_eq(rename(key.path, data), 0);
    ck_assert_int_eq(symlink(".", target), 0);
    ck_assert_int_eq(symlink("..data/key.real", key.path), 0);
    key_unwraps();
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_STATE);
    ck_status(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error), ENVOL_E_STATE);
    ck_assert_ptr_nonnull(strstr(key.error.message, "name the key file itself"));
    ck_assert(key.error.os_errno == ELOOP && key_state() == ENVOL_KEY_ENABLED);
    ck_assert_int_eq(chmod(data, 0644), 0);
    ck_assert_int_eq(describe(), ENVOL_E_KEY_DENIED); /* of the file, not of the link */
    ck_assert_int_eq(chmod(data, 0600), 0);
    ck_assert_int_eq(unlink(target), 0);
    ck_assert_int_eq(describe(), ENVOL_E_KEY_NOT_FOUND);
    ck_assert_int_eq(unlink(key.path), 0);
    ck_assert_int_eq(symlink("key", key.path), 0);
    ck_assert_int_eq(describe(), ENVOL_E_IO);
    ck_assert_int_eq(key.error.os_errno, ELOOP);
}
END_TEST

/* Damaged files. */

START_TEST(cut_files_are_refused)
{
    uint8_t file[KEY_FILE_ROOM] = {0};
    size_t size = file_read(key.path, file);

    ck_assert_uint_eq(size, 92);
    for (size_t bytes = 0; bytes < size; bytes++) {
        file_write(key.path, file, bytes);
        ck_assert_int_eq(describe(), bytes < 8 ? ENVOL_E_FORMAT : ENVOL_E_CORRUPT);
    }
    for (size_t bytes = size + 1; bytes <= KEY_FILE_ROOM; bytes += bytes < 100 ? 1 : 1011) {
        file_write(key.path, file, bytes);
        ck_assert_int_eq(describe(), ENVOL_E_CORRUPT);
    }
    file_write(key.path, file, size);
    ck_assert_int_eq(describe(), ENVOL_OK);
}
END_TEST

static enum envol_status damage_at(size_t byte)
{
    if (byte < 8)
        return ENVOL_E_FORMAT;
    return byte < 12 ? ENVOL_E_VERSION : ENVOL_E_CORRUPT;
}

START_TEST(flipped_bits_are_found)
{
    uint8_t file[KEY_FILE_ROOM];
    size_t size = file_read(key.path, file);

    key_generate();
    for (size_t bit = 0; bit < size * 8; bit++) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        file_write(key.path, file, size);
        ck_assert_int_eq(describe(), damage_at(bit / 8));
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    file[20] ^= 1;
    file_write(key.path, file, size);
    ck_use(NULL, ENVOL_E_CORRUPT);
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_CORRUPT);
    ck_status(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error), ENVOL_E_CORRUPT);
    file[8] = 2;
    file_write(key.path, file, size);
    ck_use(NULL, ENVOL_E_VERSION);
    ck_status(envol_key_file_rotate(key.path, NULL), ENVOL_E_VERSION);
    file[0] = 'e';
    file_write(key.path, file, size);
    ck_use(NULL, ENVOL_E_FORMAT);
    ck_status(envol_key_file_set_state(key.path, ENVOL_KEY_ENABLED, NULL), ENVOL_E_FORMAT);
}
END_TEST

/* A file of two versions with one number changed and a right checksum. */
static enum envol_status with_number(size_t offset, uint32_t number)
{
    uint8_t file[KEY_FILE_ROOM];
    size_t size = test_unhex(golden_file, file, sizeof(file));

    envol_store32(file + offset, number);
    envol_store32(file + size - 4, envol_crc32c(0, file, size - 4));
    file_write(key.path, file, size);
    return describe();
}

START_TEST(bounds_hold_under_a_right_checksum)
{
    enum { STATE = 12, NEWEST = 32, COUNT = 36, FIRST = 40, SECOND = 88, ZERO = 4 };

    ck_assert_int_eq(with_number(STATE, 3), ENVOL_OK);
    ck_assert_int_eq(with_number(STATE, 0), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(STATE, 4), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(STATE, UINT32_MAX), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(NEWEST, 3), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(NEWEST, 8), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(COUNT, 0), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(COUNT, 1), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(COUNT, 65), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(COUNT, UINT32_MAX), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(FIRST, 0), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(FIRST, 7), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(FIRST, 6), ENVOL_OK);
    ck_assert_int_eq(with_number(SECOND, 3), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(FIRST + ZERO, 1), ENVOL_E_CORRUPT);
    ck_assert_int_eq(with_number(SECOND + ZERO, 1), ENVOL_E_CORRUPT);
}
END_TEST

START_TEST(longer_and_shorter_files_are_refused_under_a_right_checksum)
{
    uint8_t file[KEY_FILE_ROOM] = {0};
    size_t size = test_unhex(golden_file, file, sizeof(file));

    for (size_t bytes = 92; bytes <= size + 96; bytes += 4) {
        envol_store32(file + bytes - 4, envol_crc32c(0, file, bytes - 4));
        file_write(key.path, file, bytes);
        ck_assert_int_eq(describe(), bytes == size ? ENVOL_OK : ENVOL_E_CORRUPT);
        test_unhex(golden_file, file, sizeof(file));
    }
}
END_TEST

START_TEST(a_key_of_zeros_is_refused)
{
    uint8_t file[KEY_FILE_ROOM];
    size_t size = file_read(key.path, file);

    key_generate();
    memset(file + 56, 0, 32);
    envol_store32(file + size - 4, envol_crc32c(0, file, size - 4));
    file_write(key.path, file, size);
    ck_use(NULL, ENVOL_E_CORRUPT);
}
END_TEST

/* Memory. */

/* The address and thread sanitizers replace mlock by nothing. */
static bool limit_counts(void)
{
    static char page[4096];
    bool locked = mlock(page, sizeof(page)) == 0;

    if (locked)
        munlock(page, sizeof(page));
    return !locked;
}

/* Without the fixture: what it does leaves locked memory that later calls get. */
START_TEST(keys_are_locked_unless_the_request_says_otherwise)
{
    struct rlimit none = {0, 0};
    struct envol_key_request request = key_request(NULL);
    uint8_t file[KEY_FILE_ROOM];

    key.error = (struct envol_error)ENVOL_ERROR_INIT;
    key.wrapped.struct_size = sizeof(key.wrapped);
    key.wrapped.wrapped_bytes = 136;
    snprintf(key.directory, sizeof(key.directory), "%s", test_path("unlocked"));
    ck_assert_int_eq(mkdir(key.directory, 0755), 0);
    ck_assert_int_eq(chdir(key.directory), 0);
    file_write("key", file, test_unhex(golden_file, file, sizeof(file)));
    ck_ok(envol_file_provider_open("key", &key.provider));
    if (geteuid() == 0)
        ck_assert_int_eq(chown("key", NOBODY, NOBODY), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(NOBODY), 0); /* drops CAP_IPC_LOCK */
    if (limit_counts()) {
        ck_use(NULL, ENVOL_E_LOCKED_MEMORY);
        ck_assert_int_eq(describe(), ENVOL_E_LOCKED_MEMORY);
        ck_status(envol_key_file_rotate("key", &key.error), ENVOL_E_LOCKED_MEMORY);
        ck_status(envol_key_file_create("new", &key.error), ENVOL_E_LOCKED_MEMORY);
    } else {
        test_skip("key files at the limit of locked memory", "mlock knows no limit here");
    }
    request.flags = ENVOL_KEY_ALLOW_UNLOCKED;
    ck_ok(envol_provider_generate(key.provider, &request, key.dek, &key.wrapped, &key.error));
    request = key_request("7");
    request.flags = ENVOL_KEY_ALLOW_UNLOCKED;
    ck_assert_int_eq(unwrap(&request, key.wrapped.wrapped, 136), ENVOL_OK);
    envol_provider_close(key.provider);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(every_call_gives_its_memory_back)
{
    struct envol_memory_stats before = {.struct_size = sizeof(before)}, after = before;

    ck_ok(envol_memory_stats(&before));
    key_generate();
    key_unwraps();
    ck_use("elsewhere", ENVOL_E_KEY_NOT_FOUND);
    ck_ok(envol_key_file_rotate(key.path, NULL));
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, NULL));
    ck_use(NULL, ENVOL_E_KEY_DISABLED);
    file_write(key.path, "ENVOLKEY....", 12);
    ck_use(NULL, ENVOL_E_VERSION);
    ck_ok(envol_memory_stats(&after));
    ck_assert_uint_eq(before.used_bytes, after.used_bytes);
}
END_TEST

START_TEST(opening_reads_nothing)
{
    struct envol_provider *made = key.provider;

    ck_status(envol_file_provider_open(NULL, &made), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(made);
    made = key.provider;
    ck_status(envol_file_provider_open("", &made), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(made);
    ck_status(envol_file_provider_open(key.path, NULL), ENVOL_E_ARGUMENT);
    ck_ok(envol_file_provider_open("/nowhere/at all", &made));
    envol_provider_close(made);
}
END_TEST

static void add_keys(Suite *suite)
{
    TCase *tests = key_case(suite, "wrapping");

    tcase_add_test(tests, end_to_end);
    tcase_add_test(tests, two_wrappings_of_one_dek_differ);
    tcase_add_test(tests, the_formats_are_those_of_another_implementation);
    tcase_add_test(tests, a_changed_blob_is_the_wrong_key);
    tcase_add_test(tests, a_message_that_is_no_dek_is_the_wrong_key);
    tcase_add_test(tests, another_context_is_the_wrong_key);
    tcase_add_test(tests, another_key_file_is_the_wrong_key_or_not_the_one);
    tcase_add_test(tests, an_open_provider_sees_changes_of_state);
    tcase_add_test(tests, rotation_keeps_what_was_wrapped);
    tcase_add_test(tests, versions_are_plain_numbers);
    tcase_add_test(tests, opening_reads_nothing);
}

static void add_files(Suite *suite)
{
    TCase *tests = key_case(suite, "the file");

    tcase_add_test(tests, other_modes_are_refused);
    tcase_add_test(tests, other_owners_are_refused);
    tcase_add_test(tests, only_regular_files_are_read);
    tcase_add_test(tests, links_are_followed_for_reading_only);
    tcase_add_test(tests, cut_files_are_refused);
    tcase_add_test(tests, flipped_bits_are_found);
    tcase_add_test(tests, bounds_hold_under_a_right_checksum);
    tcase_add_test(tests, longer_and_shorter_files_are_refused_under_a_right_checksum);
    tcase_add_test(tests, a_key_of_zeros_is_refused);
    tcase_add_test(tests, every_call_gives_its_memory_back);
}

int main(void)
{
    Suite *suite = suite_create("file provider");
    TCase *memory = tcase_create("locked memory");

    add_keys(suite);
    add_files(suite);
    suite_add_tcase(suite, memory);
    tcase_add_test(memory, keys_are_locked_unless_the_request_says_otherwise);
    return test_run(suite);
}
