/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes of format 1 as they were once written, opened by the library of today.  Run with
 * `--make DIRECTORY` it writes a new set; the one in tests/golden/ is never replaced.
 */
#include "golden.h"
#include "header/header.h"
#include "page/keyring.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 512, PAGES = 4, HOLE = 1, OLD_EPOCH_PAGE = 2, BLOB_BYTES = 77 };

static const uint8_t uuid[ENVOL_UUID_BYTES] = {0xe4, 0x9f, 0x01, 0x5a, 0x3c, 0x77, 0x4b, 0x2e,
                                               0x8d, 0x10, 0x6b, 0x5f, 0xc2, 0x94, 0x71, 0x0d};
static const uint8_t own_pages[ENVOL_OBJECT_BYTES];
static const uint8_t object_id[ENVOL_OBJECT_BYTES] = "golden object 1";
static const char aad[] = "offset 4096";

static void content(uint64_t page_no, uint8_t *page, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        page[i] = (uint8_t)(page_no * 31 + i * 7 + i / 256);
}

/* --- Making a set: the internal calls allow an epoch that a rotation would have left ------------
 */

struct making {
    enum envol_suite suite;
    struct envol_provider *provider;
    struct envol_header *header;
    struct envol_keyring *keyring; /* epoch 2, and 1 retained */
    struct envol_keyring *old;     /* epoch 1 */
    uint8_t image[ENVOL_HEADER_BYTES + PAGES * (PAGE_BYTES + ENVOL_TRAILER_BYTES)];
};

static enum envol_status make_keyrings(struct making *m, const uint8_t *old_dek)
{
    struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
    struct envol_key_request request = {.struct_size = sizeof(request)};
    struct envol_slot slot = {.struct_size = sizeof(slot), .provider = "file"};
    struct envol_keyring_params params = {.uuid = uuid,
                                          .suite = m->suite,
                                          .page_bytes = m->header->page_bytes,
                                          .stride_bytes = m->header->stride_bytes,
                                          .epoch = 1,
                                          .lowest = 1};
    uint8_t dek[ENVOL_DEK_BYTES];
    uint32_t id;
    enum envol_status status;

    request.context = envol_header_context(m->header, &request.context_pairs);
    status = envol_provider_generate(m->provider, &request, dek, &wrapped, NULL);
    if (status != ENVOL_OK)
        return status;
    slot.key_ref = wrapped.key_ref;
    slot.key_version = wrapped.key_version;
    slot.wrapped = wrapped.wrapped;
    slot.wrapped_bytes = wrapped.wrapped_bytes;
    slot.created_at_s = 1700000000;
    status = envol_header_add_slot(m->header, &slot, &id);
    if (status == ENVOL_OK)
        status = envol_header_retain(m->header, dek, 1, old_dek);
    if (status == ENVOL_OK)
        status = envol_header_seal(m->header, dek, 0, m->image, &m->keyring);
    return status == ENVOL_OK ? envol_keyring_make(&params, old_dek, &m->old) : status;
}

static enum envol_status make_page(struct making *m, uint64_t page_no)
{
    const struct envol_keyring *keyring = m->keyring;
    uint8_t *record = m->image + ENVOL_HEADER_BYTES + page_no * m->header->stride_bytes;
    uint8_t page[PAGE_BYTES];
    struct envol_object *object;
    enum envol_status status;

    if (page_no == OLD_EPOCH_PAGE && m->suite == ENVOL_SUITE_AES_256_GCM)
        keyring = m->old;
    status = envol_object_open(keyring, own_pages, &object);
    if (status != ENVOL_OK)
        return status;
    content(page_no, page, sizeof(page));
    if (page_no == HOLE && m->suite == ENVOL_SUITE_AES_256_GCM)
        status = envol_page_seal_hole(object, NULL, page_no, record);
    else
        status = envol_page_seal(object, NULL, page_no, page, record);
    envol_object_close(object);
    return status;
}

static enum envol_status make_blob(struct making *m, const char *directory)
{
    uint8_t plain[BLOB_BYTES], sealed[BLOB_BYTES + ENVOL_TRAILER_BYTES];
    struct envol_object *object;
    enum envol_status status = envol_object_open(m->keyring, object_id, &object);

    if (status != ENVOL_OK)
        return status;
    content(9, plain, sizeof(plain));
    status = envol_blob_seal(object, NULL, aad, sizeof(aad) - 1, plain, sizeof(plain), sealed);
    envol_object_close(object);
    if (status == ENVOL_OK && test_golden_save(directory, "blob", sealed, sizeof(sealed)) != 0)
        status = ENVOL_E_IO;
    return status;
}

static enum envol_status make_volume(struct making *m, const char *directory, const char *name)
{
    const struct envol_header_params params = {
        .struct_size = sizeof(params), .suite = m->suite, .page_bytes = PAGE_BYTES, .uuid = uuid};
    uint8_t old_dek[ENVOL_DEK_BYTES];
    enum envol_status status = envol_header_new(&params, &m->header);

    if (status != ENVOL_OK)
        return status;
    m->header->epoch = 2;
    m->header->high_water = PAGES;
    m->header->seal_estimate = 12345;
    envol_header_refresh_context(m->header);
    test_fill(old_dek, sizeof(old_dek));
    status = make_keyrings(m, old_dek);
    for (uint64_t i = 0; status == ENVOL_OK && i < PAGES; i++)
        status = make_page(m, i);
    if (status == ENVOL_OK && m->suite == ENVOL_SUITE_AES_256_GCM)
        status = make_blob(m, directory);
    if (status == ENVOL_OK &&
        test_golden_save(directory, name, m->image,
                         ENVOL_HEADER_BYTES + PAGES * m->header->stride_bytes) != 0)
        status = ENVOL_E_IO;
    envol_keyring_close(m->keyring);
    envol_keyring_close(m->old);
    envol_header_free(m->header);
    return status;
}

static enum envol_status make_key(const char *directory, char *path, size_t path_bytes)
{
    uint8_t image[4096];
    size_t bytes;
    FILE *file;
    enum envol_status status;

    snprintf(path, path_bytes, "%s/cmk", directory);
    status = envol_key_file_create(path, NULL);
    if (status != ENVOL_OK)
        return status;
    file = fopen(path, "rb");
    if (file == NULL)
        return ENVOL_E_IO;
    bytes = fread(image, 1, sizeof(image), file);
    fclose(file);
    return test_golden_save(directory, "cmk", image, bytes) == 0 ? ENVOL_OK : ENVOL_E_IO;
}

static int make_set(const char *directory)
{
    static struct making gcm = {.suite = ENVOL_SUITE_AES_256_GCM};
    static struct making xts = {.suite = ENVOL_SUITE_AES_256_XTS};
    char path[256];
    enum envol_status status = make_key(directory, path, sizeof(path));

    if (status == ENVOL_OK)
        status = envol_file_provider_open(path, &gcm.provider);
    xts.provider = gcm.provider;
    if (status == ENVOL_OK)
        status = make_volume(&gcm, directory, "gcm");
    if (status == ENVOL_OK)
        status = make_volume(&xts, directory, "xts");
    envol_provider_close(gcm.provider);
    printf("%s\n", envol_status_name(status));
    return status == ENVOL_OK ? 0 : 1;
}

/* --- Reading the one that is kept ------------------------------------------------------------- */

static struct envol_provider *provider;
static struct envol_store *store;
static struct envol_volume *volume;
static char image_path[512];

static void open_golden(const char *name, enum envol_suite suite, uint32_t flags)
{
    const struct envol_pins pins = {
        .struct_size = sizeof(pins), .uuid = uuid, .suites = 1u << suite};
    const struct envol_volume_options options = {
        .struct_size = sizeof(options), .flags = flags, .pins = &pins};
    const char *key_path = test_path("cmk");
    struct envol_cmk cmk = {0};

    test_golden_unpack("cmk", key_path);
    snprintf(image_path, sizeof(image_path), "%s", test_path(name));
    test_golden_unpack(name, image_path);
    ck_ok(envol_file_provider_open(key_path, &provider));
    ck_ok(envol_file_store_open(image_path, 0, &store, NULL));
    cmk.provider = provider;
    ck_ok(envol_volume_open(store, &cmk, 1, &options, &volume, NULL));
}

static void close_golden(void)
{
    ck_ok(envol_volume_close(volume));
    envol_store_close(store);
    envol_provider_close(provider);
}

static void check_info(enum envol_suite suite, uint32_t stride_bytes)
{
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header = {.struct_size = sizeof(info.header)}};

    ck_ok(envol_volume_info(volume, &info));
    ck_assert_int_eq(info.header.verified, 1);
    ck_assert_mem_eq(info.header.uuid, uuid, sizeof(uuid));
    ck_assert_uint_eq(info.header.generation, 1);
    ck_assert_uint_eq(info.header.suite, suite);
    ck_assert_uint_eq(info.header.page_bytes, PAGE_BYTES);
    ck_assert_uint_eq(info.header.stride_bytes, stride_bytes);
    ck_assert_uint_eq(info.header.data_offset, 65536);
    ck_assert_uint_eq(info.header.epoch, 2);
    ck_assert_uint_eq(info.header.lowest_epoch, 1);
    ck_assert_uint_eq(info.header.retained_epochs, 1);
    ck_assert_uint_eq(info.header.slots, 1);
    ck_assert_uint_eq(info.header.high_water, PAGES);
    ck_assert_int_eq(info.header.clean, 1);
    ck_assert_uint_eq(info.header.seal_estimate, 12345);
    ck_assert_uint_eq(info.pages, PAGES);
}

static void check_page(uint64_t page_no, enum envol_status expected)
{
    uint8_t page[PAGE_BYTES], want[PAGE_BYTES] = {0};

    if (expected == ENVOL_OK)
        content(page_no, want, sizeof(want));
    ck_status(envol_page_read(volume, page_no, page), expected);
    ck_assert_mem_eq(page, want, sizeof(page));
}

START_TEST(gcm_image_reads)
{
    open_golden("gcm", ENVOL_SUITE_AES_256_GCM, ENVOL_OPEN_READ_ONLY);
    check_info(ENVOL_SUITE_AES_256_GCM, PAGE_BYTES + ENVOL_TRAILER_BYTES);
    for (uint64_t i = 0; i < PAGES; i++)
        check_page(i, i == HOLE ? ENVOL_E_UNWRITTEN : ENVOL_OK);
    check_page(PAGES, ENVOL_E_RANGE);
    close_golden();
}
END_TEST

START_TEST(xts_image_reads)
{
    open_golden("xts", ENVOL_SUITE_AES_256_XTS, ENVOL_OPEN_READ_ONLY);
    check_info(ENVOL_SUITE_AES_256_XTS, PAGE_BYTES);
    for (uint64_t i = 0; i < PAGES; i++)
        check_page(i, ENVOL_OK);
    close_golden();
}
END_TEST

START_TEST(blob_opens)
{
    uint8_t plain[BLOB_BYTES], want[BLOB_BYTES];
    struct envol_object *object;
    size_t bytes;
    uint8_t *sealed = test_golden_load("blob", &bytes);

    open_golden("gcm", ENVOL_SUITE_AES_256_GCM, ENVOL_OPEN_READ_ONLY);
    ck_ok(envol_object_open(envol_volume_keyring(volume), object_id, &object));
    ck_ok(envol_blob_unseal(object, NULL, aad, sizeof(aad) - 1, sealed, bytes, plain));
    content(9, want, sizeof(want));
    ck_assert_mem_eq(plain, want, sizeof(plain));
    ck_status(envol_blob_unseal(object, NULL, aad, sizeof(aad) - 2, sealed, bytes, plain),
              ENVOL_E_CORRUPT);
    envol_object_close(object);
    close_golden();
    free(sealed);
}
END_TEST

/* Opening and closing without a write changes no byte, and a written page leaves the others. */
START_TEST(a_writer_goes_on)
{
    uint8_t page[PAGE_BYTES];
    uint8_t *want, *got = calloc(1, 1 << 20);
    size_t bytes;
    FILE *file;

    open_golden("gcm", ENVOL_SUITE_AES_256_GCM, 0);
    close_golden();
    want = test_golden_load("gcm", &bytes);
    file = fopen(image_path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(got, 1, 1 << 20, file), bytes);
    fclose(file);
    ck_assert_mem_eq(got, want, bytes);
    free(want);
    free(got);

    ck_assert_int_eq(remove(test_path("cmk")), 0);
    ck_assert_int_eq(remove(image_path), 0);
    open_golden("gcm", ENVOL_SUITE_AES_256_GCM, 0);
    content(HOLE, page, sizeof(page));
    ck_ok(envol_page_write(volume, HOLE, page));
    for (uint64_t i = 0; i < PAGES; i++)
        check_page(i, ENVOL_OK);
    close_golden();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("golden");
    TCase *c = tcase_create("format 1");

    tcase_add_test(c, gcm_image_reads);
    tcase_add_test(c, xts_image_reads);
    tcase_add_test(c, blob_opens);
    tcase_add_test(c, a_writer_goes_on);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--make") == 0)
        return make_set(argv[2]);
    return test_run(suite());
}
