/* SPDX-License-Identifier: BSD-2-Clause */
/* Volumes for tests: shapes, life and death of a fixture, pages that say which they are. */
#include "volume_fixture.h"

#include "base/memory.h"
#include "kernels.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

const struct volume_shape volume_shapes[VOLUME_SHAPES] = {
    {"gcm 512", ENVOL_SUITE_AES_256_GCM, 512, 0, 0},
    {"gcm 8192 in 8256", ENVOL_SUITE_AES_256_GCM, 8192, 8256, 0},
    {"gcm in 16384", ENVOL_SUITE_AES_256_GCM, 0, 16384, 0},
    {"gcm 1 MiB", ENVOL_SUITE_AES_256_GCM, 0, 1 << 20, 0},
    {"gcm sparse", ENVOL_SUITE_AES_256_GCM, 0, 4096, 1},
    {"xts 512", ENVOL_SUITE_AES_256_XTS, 512, 0, 0},
    {"xts 16384", ENVOL_SUITE_AES_256_XTS, 16384, 0, 0},
    {"xts 1 MiB", ENVOL_SUITE_AES_256_XTS, 1 << 20, 0, 0},
    {"xts sparse", ENVOL_SUITE_AES_256_XTS, 4096, 0, 1},
};

static void begin(struct volume_fixture *f, const struct volume_shape *shape)
{
    *f = (struct volume_fixture){.shape = shape, .error = ENVOL_ERROR_INIT};
    f->gcm = shape->suite == ENVOL_SUITE_AES_256_GCM;
    f->kms = fake_kms_new();
    fake_kms_add_key(f->kms, VOLUME_KEY);
    f->provider = fake_kms_open(f->kms);
    f->cmk = (struct envol_cmk){f->provider, VOLUME_KEY};
}

static void create(struct volume_fixture *f, int atomic_pages)
{
    const struct volume_shape *shape = f->shape;
    const struct envol_header_params params = {
        .struct_size = sizeof(params),
        .suite = shape->suite,
        .page_bytes = shape->page_bytes,
        .stride_bytes = shape->stride_bytes,
        .sparse = shape->sparse,
        .atomic_pages = atomic_pages,
    };
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};

    test_expect("envol_volume_create",
                envol_volume_create(f->store, &f->cmk, 1, &options, &f->volume, &f->error),
                ENVOL_OK, shape->name, 0);
    f->page_bytes = f->volume->page_bytes;
    f->stride_bytes = f->volume->stride_bytes;
    f->page = calloc(1, f->page_bytes);
    f->other = calloc(1, f->page_bytes);
    ck_assert_ptr_nonnull(f->page);
    ck_assert_ptr_nonnull(f->other);
}

static bool create_on(struct volume_fixture *f, const struct volume_shape *shape,
                      struct envol_store *store, int atomic_pages)
{
    bool xts = shape->suite == ENVOL_SUITE_AES_256_XTS;

    if (envol_aes_kernel(xts) == NULL) {
        envol_store_close(store);
        test_skip(shape->name, "this build has no kernel for the suite");
        return false;
    }
    begin(f, shape);
    f->store = store;
    create(f, atomic_pages);
    return true;
}

bool volume_fixture_create_on(struct volume_fixture *f, const struct volume_shape *shape,
                              struct envol_store *store)
{
    return create_on(f, shape, store, 0);
}

bool volume_fixture_create_atomic(struct volume_fixture *f, const struct volume_shape *shape,
                                  struct envol_store *store)
{
    return create_on(f, shape, store, 1);
}

bool volume_fixture_create(struct volume_fixture *f, const struct volume_shape *shape)
{
    struct envol_store *store;
    struct watched_store *watched = watched_store_new(&store);

    if (!volume_fixture_create_on(f, shape, store))
        return false;
    f->watched = watched;
    return true;
}

void volume_fixture_free(struct volume_fixture *f)
{
    if (f->volume != NULL)
        volume_fixture_close(f);
    envol_store_close(f->store);
    envol_provider_close(f->provider);
    fake_kms_free(f->kms);
    free(f->page);
    free(f->other);
}

void volume_fixture_open(struct volume_fixture *f, uint32_t flags, enum envol_status expected)
{
    const struct envol_volume_options options = {.struct_size = sizeof(options), .flags = flags};

    ck_status(envol_volume_open(f->store, &f->cmk, 1, &options, &f->volume, &f->error), expected);
    ck_assert_int_eq(f->error.status, expected);
    ck_assert_int_eq(f->volume == NULL, expected != ENVOL_OK);
}

void volume_fixture_close(struct volume_fixture *f)
{
    struct envol_volume *volume = f->volume;

    f->volume = NULL;
    ck_ok(envol_volume_close(volume));
}

void volume_fixture_reopen(struct volume_fixture *f)
{
    volume_fixture_close(f);
    volume_fixture_open(f, 0, ENVOL_OK);
}

void volume_fixture_kill(struct volume_fixture *f)
{
    envol_volume_free(f->volume);
    f->volume = NULL;
}

static uint64_t word_of(uint64_t page_no, unsigned version, uint32_t index)
{
    uint64_t state = page_no * UINT64_C(0x9e3779b97f4a7c15) + version +
                     (index + UINT64_C(1)) * UINT64_C(0xd1342543de82ef95);

    return state ^ state >> 29;
}

void volume_page_fill(const struct volume_fixture *f, uint64_t page_no, unsigned version,
                      uint8_t *page)
{
    for (uint32_t i = 0; i < f->page_bytes / 8; i++) {
        uint64_t word = word_of(page_no, version, i);
        memcpy(page + (size_t)i * 8, &word, 8);
    }
}

static bool holds_version(const struct volume_fixture *f, uint64_t page_no, unsigned version,
                          const uint8_t *page)
{
    for (uint32_t i = 0; i < f->page_bytes / 8; i++) {
        uint64_t word = word_of(page_no, version, i);
        if (memcmp(page + (size_t)i * 8, &word, 8) != 0)
            return false;
    }
    return true;
}

unsigned volume_page_version(const struct volume_fixture *f, uint64_t page_no, unsigned max,
                             const uint8_t *page)
{
    unsigned version = 0;

    while (version <= max && !holds_version(f, page_no, version, page))
        version++;
    return version;
}

void volume_page_put(struct volume_fixture *f, uint64_t page_no, unsigned version)
{
    volume_page_fill(f, page_no, version, f->page);
    ck_ok(envol_page_write(f->volume, page_no, f->page));
}

void volume_page_expect(struct volume_fixture *f, uint64_t page_no, unsigned version)
{
    enum envol_status status = ck_note(envol_page_read(f->volume, page_no, f->other));

    ck_assert_msg(status == ENVOL_OK, "%s: page %llu: %s", f->shape->name,
                  (unsigned long long)page_no, envol_status_name(status));
    volume_page_fill(f, page_no, version, f->page);
    ck_assert_msg(memcmp(f->page, f->other, f->page_bytes) == 0, "%s: page %llu: contents",
                  f->shape->name, (unsigned long long)page_no);
}

void volume_page_expect_status(struct volume_fixture *f, uint64_t page_no,
                               enum envol_status expected)
{
    enum envol_status status;

    memset(f->other, 0xee, f->page_bytes);
    status = ck_note(envol_page_read(f->volume, page_no, f->other));
    ck_assert_msg(status == expected, "%s: page %llu: %s, expected %s", f->shape->name,
                  (unsigned long long)page_no, envol_status_name(status),
                  envol_status_name(expected));
    ck_assert(envol_is_zero(f->other, f->page_bytes));
}

struct envol_volume_info volume_info_of(struct volume_fixture *f)
{
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header.struct_size = sizeof(info.header)};

    ck_ok(envol_volume_info(f->volume, &info));
    return info;
}

uint64_t volume_store_bytes(struct envol_store *store)
{
    uint64_t bytes;

    ck_assert_int_eq(envol_store_size(store, &bytes, NULL), ENVOL_OK);
    return bytes;
}

void volume_store_get(struct envol_store *store, uint64_t offset, void *out, size_t bytes)
{
    ck_assert_int_eq(envol_store_read_full(store, offset, out, bytes, NULL), ENVOL_OK);
}

void volume_store_put(struct envol_store *store, uint64_t offset, const void *in, size_t bytes)
{
    ck_assert_int_eq(envol_store_write(store, offset, in, bytes, NULL), ENVOL_OK);
}

uint64_t volume_record_at(const struct volume_fixture *f, uint64_t page_no)
{
    uint64_t start = f->volume != NULL ? f->volume->data_offset : ENVOL_HEADER_BYTES;

    return start + page_no * f->stride_bytes;
}
