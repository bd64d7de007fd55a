/* SPDX-License-Identifier: BSD-2-Clause */
/* Volumes with snapshots, and what their pages and images must hold. */
#include "snapshot_fixture.h"

#include "base/memory.h"
#include "kernels.h"
#include "support.h"
#include "volume/snapshot.h"

#include <stdlib.h>
#include <string.h>

enum { VERSIONS = 200 };

static struct envol_store *memory_store(void)
{
    struct envol_store *store;

    ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
    return store;
}

static struct envol_space *memory_space(void)
{
    struct envol_space *space;

    ck_assert_int_eq(envol_memory_space_open(&space), ENVOL_OK);
    return space;
}

bool snapshot_fixture_create_on(struct snapshot_fixture *s, const struct volume_shape *shape,
                                bool atomic, struct envol_store *store, struct envol_space *space)
{
    bool made;

    memset(s, 0, sizeof(*s));
    made = atomic ? volume_fixture_create_atomic(&s->f, shape, store)
                  : volume_fixture_create_on(&s->f, shape, store);
    if (!made) {
        envol_space_close(space);
        return false;
    }
    s->space = space;
    volume_fixture_close(&s->f);
    snapshot_fixture_open(s, 0, ENVOL_OK);
    s->chunk = s->f.stride_bytes < ENVOL_SNAPSHOT_CHUNK_BYTES
                   ? ENVOL_SNAPSHOT_CHUNK_BYTES / s->f.stride_bytes
                   : 1;
    return true;
}

bool snapshot_fixture_create(struct snapshot_fixture *s, const struct volume_shape *shape,
                             bool atomic)
{
    return snapshot_fixture_create_on(s, shape, atomic, memory_store(), memory_space());
}

void snapshot_fixture_free(struct snapshot_fixture *s)
{
    volume_fixture_free(&s->f);
    envol_space_close(s->space);
}

void snapshot_fixture_open(struct snapshot_fixture *s, uint32_t flags, enum envol_status expected)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof(options), .flags = flags, .space = s->space};
    struct volume_fixture *f = &s->f;
    enum envol_status status =
        ck_note(envol_volume_open(f->store, &f->cmk, 1, &options, &f->volume, &f->error));

    ck_assert_msg(status == expected, "%s: %s: %s", f->shape->name, envol_status_name(status),
                  f->error.message);
}

void snapshot_fixture_reopen(struct snapshot_fixture *s)
{
    volume_fixture_close(&s->f);
    snapshot_fixture_open(s, 0, ENVOL_OK);
}

/* --- Changing pages --- */

static void grow_model(struct snapshot_fixture *s, uint64_t pages)
{
    ck_assert_uint_le(pages, SNAPSHOT_PAGES_MAX);
    while (s->model.pages < pages)
        s->model.version[s->model.pages++] = SNAPSHOT_HOLE;
}

void snapshot_put(struct snapshot_fixture *s, uint64_t first, uint64_t n)
{
    struct envol_page_io ios[64];
    struct volume_fixture *f = &s->f;

    s->version = s->version % VERSIONS + 1;
    grow_model(s, first + n);
    for (uint64_t i = 0; i < n; i += 64) {
        size_t step = n - i < 64 ? (size_t)(n - i) : 64;
        uint8_t *memory = malloc(step * f->page_bytes);
        ck_assert_ptr_nonnull(memory);
        for (size_t k = 0; k < step; k++) {
            ios[k] = (struct envol_page_io){.page_no = first + i + k,
                                            .page = memory + k * f->page_bytes};
            volume_page_fill(f, first + i + k, s->version, ios[k].page);
            s->model.version[first + i + k] = (unsigned char)s->version;
        }
        ck_ok(envol_page_write_batch(f->volume, ios, step, &f->error));
        free(memory);
    }
}

void snapshot_trim(struct snapshot_fixture *s, uint64_t first, uint64_t n)
{
    ck_ok(envol_page_trim(s->f.volume, first, n));
    memset(s->model.version + first, SNAPSHOT_HOLE, n);
}

void snapshot_truncate(struct snapshot_fixture *s, uint64_t pages)
{
    ck_ok(envol_volume_truncate(s->f.volume, pages, &s->f.error));
    if (pages < s->model.pages)
        s->model.pages = pages;
    grow_model(s, pages);
}

void snapshot_make(struct snapshot_fixture *s, uint8_t uuid[ENVOL_UUID_BYTES])
{
    const struct envol_snapshot_options options = {.struct_size = sizeof(options),
                                                   .label = "before the change"};
    enum envol_status status =
        ck_note(envol_snapshot_create(s->f.volume, &options, uuid, &s->f.error));

    ck_assert_msg(status == ENVOL_OK, "%s: %s: %s", s->f.shape->name, envol_status_name(status),
                  s->f.error.message);
}

enum envol_status snapshot_count_name(const char *name, void *ctx)
{
    (void)name;
    ++*(unsigned *)ctx;
    return ENVOL_OK;
}

/* --- Images --- */

enum envol_status snapshot_image_try(struct snapshot_fixture *s, struct envol_store *store,
                                     struct envol_space *space,
                                     const uint8_t uuid[ENVOL_UUID_BYTES],
                                     struct envol_volume **volume)
{
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .flags = ENVOL_OPEN_READ_ONLY,
                                                 .space = space,
                                                 .snapshot = uuid};

    return ck_note(envol_volume_open(store, &s->f.cmk, 1, &options, volume, &s->f.error));
}

void snapshot_image_open(struct snapshot_fixture *s, const uint8_t uuid[ENVOL_UUID_BYTES],
                         struct snapshot_image *image)
{
    enum envol_status status;

    ck_assert_int_eq(envol_memory_store_share(s->f.store, &image->store), ENVOL_OK);
    ck_assert_int_eq(envol_memory_space_share(s->space, &image->space), ENVOL_OK);
    status = snapshot_image_try(s, image->store, image->space, uuid, &image->volume);
    ck_assert_msg(status == ENVOL_OK, "%s: %s: %s", s->f.shape->name, envol_status_name(status),
                  s->f.error.message);
}

void snapshot_image_close(struct snapshot_image *image)
{
    ck_ok(envol_volume_close(image->volume));
    envol_store_close(image->store);
    envol_space_close(image->space);
}

static bool is_right(const struct snapshot_fixture *s, uint64_t page_no, unsigned version,
                     enum envol_status status, const uint8_t *page)
{
    if (version != SNAPSHOT_HOLE)
        return status == ENVOL_OK && volume_page_version(&s->f, page_no, VERSIONS, page) == version;
    return envol_is_zero(page, s->f.page_bytes) &&
           (status == ENVOL_E_UNWRITTEN ||
            (status == ENVOL_OK && !s->f.gcm && !s->f.shape->sparse));
}

void snapshot_expect(const struct snapshot_fixture *s, struct envol_volume *volume,
                     const struct snapshot_model *model, const char *story)
{
    uint8_t *page = malloc(s->f.page_bytes);

    ck_assert_ptr_nonnull(page);
    ck_assert_msg(envol_volume_pages(volume) == model->pages, "%s: %s: %llu pages, not %llu",
                  s->f.shape->name, story, (unsigned long long)envol_volume_pages(volume),
                  (unsigned long long)model->pages);
    for (uint64_t i = 0; i < model->pages; i++) {
        enum envol_status status = ck_note(envol_page_read(volume, i, page));
        ck_assert_msg(is_right(s, i, model->version[i], status, page),
                      "%s: %s: page %llu: %s, version %u, not %u", s->f.shape->name, story,
                      (unsigned long long)i, envol_status_name(status),
                      volume_page_version(&s->f, i, VERSIONS, page), model->version[i]);
    }
    ck_assert_int_eq(envol_page_read(volume, model->pages, page), ENVOL_E_RANGE);
    free(page);
}

/* Runs of pages, over the boundaries of chunks. */
static void expect_runs(const struct snapshot_fixture *s, struct envol_volume *volume,
                        const struct snapshot_model *model, const char *story)
{
    struct envol_page_io ios[64];
    uint8_t *memory = malloc((size_t)64 * s->f.page_bytes);

    ck_assert_ptr_nonnull(memory);
    for (uint64_t first = 0; first < model->pages; first += 64) {
        size_t n = model->pages - first < 64 ? (size_t)(model->pages - first) : 64;
        for (size_t i = 0; i < n; i++)
            ios[i] =
                (struct envol_page_io){.page_no = first + i, .page = memory + i * s->f.page_bytes};
        (void)ck_note(envol_page_read_batch(volume, ios, n, NULL));
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(
                is_right(s, first + i, model->version[first + i], ios[i].status, ios[i].page),
                "%s: %s: page %llu of a run: %s", s->f.shape->name, story,
                (unsigned long long)(first + i), envol_status_name(ios[i].status));
    }
    free(memory);
}

static void expect_volume(const struct snapshot_fixture *s, struct envol_volume *volume,
                          const uint8_t uuid[ENVOL_UUID_BYTES], const struct snapshot_model *model,
                          const char *story)
{
    struct envol_verify_result result = {.struct_size = sizeof(result)};
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header.struct_size = sizeof(info.header)};

    snapshot_expect(s, volume, model, story);
    expect_runs(s, volume, model, story);
    ck_status(envol_volume_verify(volume, NULL, NULL, &result, NULL),
              s->f.gcm ? ENVOL_OK : ENVOL_E_UNSUPPORTED);
    if (s->f.gcm)
        ck_assert_uint_eq(result.pages, model->pages);
    ck_ok(envol_volume_info(volume, &info));
    ck_assert_mem_eq(info.snapshot, uuid, ENVOL_UUID_BYTES);
    ck_assert_uint_eq(info.pages, model->pages);
    ck_assert_int_eq(info.read_only, 1);
}

void snapshot_expect_image(struct snapshot_fixture *s, const uint8_t uuid[ENVOL_UUID_BYTES],
                           const struct snapshot_model *model, const char *story)
{
    struct snapshot_image other;
    struct envol_volume *image;
    unsigned calls = fake_kms_calls(s->f.kms, FAKE_ANY);

    ck_ok(envol_snapshot_open(s->f.volume, uuid, &image, &s->f.error));
    expect_volume(s, image, uuid, model, story);
    ck_ok(envol_volume_close(image));
    ck_assert_uint_eq(fake_kms_calls(s->f.kms, FAKE_ANY), calls);
    snapshot_image_open(s, uuid, &other);
    expect_volume(s, other.volume, uuid, model, story);
    snapshot_image_close(&other);
    ck_assert_uint_eq(fake_kms_calls(s->f.kms, FAKE_ANY), calls + 1);
}
