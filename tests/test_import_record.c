/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layout of imports, envol(5), read and written here through the library: what the command
 * writes is what the table says, and a record that is anything else is refused by its status.
 */
#include "support.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { CONTENT_BYTES = 10000, PAGE_MAX = 4096 };

static const char *const suites[] = {"aes-256-gcm", "aes-256-xts"};

/* Paths stand for themselves once copied: test_path reuses its buffers. */
static char key_path[512], volume_path[512], content_path[512], message_path[512];
static uint8_t content[CONTENT_BYTES];
static struct envol_provider *provider;
static struct envol_store *store;
static struct envol_volume *volume;
static size_t page_bytes;

/* Runs the command; its exit status. */
static int envol(const char *arguments)
{
    char line[2560];
    int status;

    snprintf(line, sizeof(line), "'%s/envol' %s --cmk 'file:%s' 2>'%s'", test_build(), arguments,
             key_path, message_path);
    status = system(line);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int on_volume(const char *verb, const char *file)
{
    char arguments[1600];

    snprintf(arguments, sizeof(arguments), "%s '%s' '%s'", verb, volume_path, file);
    return envol(arguments);
}

static void open_volume(void)
{
    struct envol_geometry geometry = {.struct_size = sizeof(geometry)};
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_cmk cmk = {NULL, NULL};

    ck_ok(envol_file_provider_open(key_path, &provider));
    ck_ok(envol_file_store_open(volume_path, 0, &store, &error));
    cmk.provider = provider;
    ck_ok(envol_volume_open(store, &cmk, 1, NULL, &volume, &error));
    ck_ok(envol_keyring_geometry(envol_volume_keyring(volume), &geometry));
    page_bytes = geometry.page_bytes;
    ck_assert_uint_le(page_bytes, PAGE_MAX);
}

static void close_volume(void)
{
    ck_ok(envol_volume_close(volume));
    envol_store_close(store);
    envol_provider_close(provider);
}

/* A volume of the suite, with the content imported; open. */
static void import(const char *suite)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    char arguments[1600];
    FILE *file;

    snprintf(key_path, sizeof(key_path), "%s", test_path("key"));
    snprintf(volume_path, sizeof(volume_path), "%s", test_path("volume"));
    snprintf(content_path, sizeof(content_path), "%s", test_path("content"));
    snprintf(message_path, sizeof(message_path), "%s", test_path("message"));
    test_fill(content, sizeof(content));
    file = fopen(content_path, "w");
    ck_assert(file != NULL && fwrite(content, 1, sizeof(content), file) == sizeof(content));
    ck_assert_int_eq(fclose(file), 0);
    remove(key_path);
    remove(volume_path);
    ck_ok(envol_key_file_create(key_path, &error));
    snprintf(arguments, sizeof(arguments), "create '%s' --suite %s --page-size 4096", volume_path,
             suite);
    ck_assert_int_eq(envol(arguments), 0);
    ck_assert_int_eq(on_volume("import", content_path), 0);
    open_volume();
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

START_TEST(layout)
{
    static const uint8_t magic_version_state[16] = "ENVOLIMP\x01\0\0\0\x02\0\0";
    uint8_t page[PAGE_MAX];
    size_t pages;

    import(suites[_i]);
    pages = (CONTENT_BYTES + page_bytes - 1) / page_bytes;
    ck_assert_uint_eq(envol_volume_pages(volume), 1 + pages);
    ck_ok(envol_page_read(volume, 0, page));
    ck_assert_mem_eq(page, magic_version_state, 16);
    ck_assert_uint_eq(envol_load64(page + 16), CONTENT_BYTES);
    ck_assert(is_zero(page + 24, 36));
    ck_assert_uint_eq(envol_load32(page + 60), envol_crc32c(0, page, 60));
    ck_assert(is_zero(page + 64, page_bytes - 64));
    for (size_t i = 0; i < pages; i++) {
        size_t at = i * page_bytes;
        size_t here = CONTENT_BYTES - at < page_bytes ? CONTENT_BYTES - at : page_bytes;
        ck_ok(envol_page_read(volume, 1 + i, page));
        ck_assert_mem_eq(page, content + at, here);
        ck_assert(is_zero(page + here, page_bytes - here));
    }
    close_volume();
}
END_TEST

/* A field of the record, and what a record with that value in it is. */
struct change {
    size_t offset, bytes;
    uint64_t value;
    bool keep_crc; /* the checksum is not made right again */
    const char *status;
};

static const struct change changes[] = {
    {0, 1, 'F', false, "(ENVOL_E_STATE)"},
    {8, 4, 0, false, "(ENVOL_E_VERSION)"},
    {8, 4, 2, false, "(ENVOL_E_CORRUPT)"}, /* of a log, yet of no LSN */
    {8, 4, 3, false, "(ENVOL_E_VERSION)"},
    {12, 4, 0, false, "(ENVOL_E_CORRUPT)"},
    {12, 4, 1, false, "(ENVOL_E_CORRUPT)"}, /* begun, yet with a length */
    {12, 4, 3, false, "(ENVOL_E_CORRUPT)"},
    {16, 8, CONTENT_BYTES - 1, true, "(ENVOL_E_CORRUPT)"},
    {16, 8, CONTENT_BYTES + 8192, false, "(ENVOL_E_TRUNCATED)"},
    {16, 8, UINT64_C(1) << 63, false, "(ENVOL_E_TRUNCATED)"},
    {16, 8, UINT64_MAX, false, "(ENVOL_E_TRUNCATED)"},
    {24, 1, 1, false, "(ENVOL_E_CORRUPT)"},
    {40, 1, 1, false, "(ENVOL_E_CORRUPT)"},
    {59, 1, 1, false, "(ENVOL_E_CORRUPT)"},
    {60, 1, 0, true, "(ENVOL_E_CORRUPT)"},
    {64, 1, 1, false, "(ENVOL_E_CORRUPT)"},
    {PAGE_MAX - ENVOL_TRAILER_BYTES - 1, 1, 1, false, "(ENVOL_E_CORRUPT)"},
};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

static void write_record(const struct change *change)
{
    uint8_t page[PAGE_MAX], before[PAGE_MAX];

    ck_ok(envol_page_read(volume, 0, page));
    memcpy(before, page, sizeof(page));
    for (size_t i = 0; i < change->bytes; i++)
        page[change->offset + i] = (uint8_t)(change->value >> (8 * i));
    if (change->offset == 60 && page[60] == before[60])
        page[60] ^= 1;
    if (!change->keep_crc)
        envol_store32(page + 60, envol_crc32c(0, page, 60));
    ck_assert(memcmp(before, page, page_bytes) != 0);
    ck_ok(envol_page_write(volume, 0, page));
    close_volume();
}

START_TEST(other_records_are_refused)
{
    const struct change *change = &changes[_i % CHANGES];
    char message[1024] = "", out[512];
    FILE *file;

    import(suites[_i / CHANGES]);
    write_record(change);
    snprintf(out, sizeof(out), "%s", test_path("out"));
    remove(out);
    ck_assert_int_eq(on_volume("export", out), 1);
    file = fopen(out, "r");
    ck_assert_msg(file == NULL, "%s: exported all the same", change->status);
    file = fopen(message_path, "r");
    ck_assert(file != NULL && fgets(message, sizeof(message), file) != NULL);
    fclose(file);
    ck_assert_msg(strstr(message, change->status) != NULL, "%s: %s", change->status, message);
}
END_TEST

/* Pages behind the content are an engine's, and nobody's business here. */
START_TEST(more_pages_do_not_matter)
{
    uint8_t page[PAGE_MAX] = {1};
    char out[512], line[1600];

    import(suites[_i]);
    ck_ok(envol_page_write(volume, 20, page));
    close_volume();
    snprintf(out, sizeof(out), "%s", test_path("out"));
    remove(out);
    ck_assert_int_eq(on_volume("export", out), 0);
    snprintf(line, sizeof(line), "cmp '%s' '%s'", content_path, out);
    ck_assert_int_eq(system(line), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("import_record");
    TCase *tcase = tcase_create("record");

    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, layout, 0, 2);
    tcase_add_loop_test(tcase, other_records_are_refused, 0, 2 * CHANGES);
    tcase_add_loop_test(tcase, more_pages_do_not_matter, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
