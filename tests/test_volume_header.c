/* SPDX-License-Identifier: BSD-2-Clause */
/* An open volume and its header: slots, anchors, damaged copies, updates that fail half-way. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "children.h"
#include "faults.h"
#include "header/layout.h"
#include "page/revoke.h"
#include "store/store.h"
#include "support.h"
#include "volume_fixture.h"

#include <stdlib.h>

/* They are those of the header that was verified, whatever has become of it on the store. */
START_TEST(slots_of_an_open_volume)
{
    struct volume_fixture f;
    struct envol_slot_info slot = {.struct_size = sizeof(slot)};
    struct envol_header_info info = {.struct_size = sizeof(info)};
    static const uint8_t garbage[ENVOL_HEADER_BYTES] = {1};
    size_t count;

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    volume_fixture_close(&f);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    volume_store_put(f.store, 0, garbage, sizeof(garbage));
    ck_ok(envol_volume_slots(f.volume, NULL, 0, NULL, &slot, 1, &count, &f.error));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(slot.id, 1);
    ck_assert_str_eq(slot.key_ref, VOLUME_KEY);
    ck_assert_str_eq(slot.provider, envol_provider_name(f.provider));
    ck_status(envol_volume_inspect(f.store, &info, NULL, NULL), ENVOL_E_FORMAT);
    volume_fixture_free(&f);
}
END_TEST

static void expect_bytes(struct volume_fixture *f, struct envol_volume *volume)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES], stored[ENVOL_HEADER_BYTES];
    struct envol_header_info info = {.struct_size = sizeof(info)};
    struct envol_header *header;

    memset(bytes, 0xee, sizeof(bytes));
    ck_ok(envol_volume_header_bytes(volume, bytes, &f->error));
    volume_store_get(f->store, 0, stored, sizeof(stored));
    ck_assert_mem_eq(bytes, stored, sizeof(bytes));
    ck_ok(envol_header_decode(bytes, 0, &header, &f->error));
    ck_ok(envol_header_info(header, &info));
    ck_assert_uint_eq(info.generation, volume_info_of(f).header.generation);
    envol_header_free(header);
}

static int bytes_in_a_child(void *argument)
{
    struct volume_fixture *f = argument;
    static uint8_t bytes[ENVOL_HEADER_BYTES] = {1};

    child_expects(ck_note(envol_volume_header_bytes(f->volume, bytes, NULL)) == ENVOL_E_FORKED);
    child_expects(envol_is_zero(bytes, sizeof(bytes)));
    return 0;
}

/* With inherited keys, too: the header's lock is the parent's. */
START_TEST(bytes_in_children_and_without_memory)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct volume_fixture f;

    faults_set_allocator();
    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    ck_assert_int_eq(test_in_child(bytes_in_a_child, &f), 0);
    faults_arm(FAULT_ALLOC, 1, false);
    ck_status(envol_volume_header_bytes(f.volume, bytes, &f.error), ENVOL_E_NO_MEMORY);
    (void)faults_disarm();
    volume_fixture_close(&f);
    volume_fixture_open(&f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    ck_assert_int_eq(test_in_child(bytes_in_a_child, &f), 0);
    expect_bytes(&f, f.volume);
    volume_fixture_free(&f);
}
END_TEST

/* Of any handle, with keys or without them. */
START_TEST(bytes_of_an_open_volume)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct volume_fixture f;

    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    expect_bytes(&f, f.volume);
    volume_page_put(&f, 3, 1);
    ck_ok(envol_volume_sync(f.volume));
    expect_bytes(&f, f.volume);
    envol_keyring_revoke(f.volume->keyring);
    expect_bytes(&f, f.volume);
    volume_fixture_kill(&f);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    expect_bytes(&f, f.volume);
    ck_status(envol_volume_header_bytes(f.volume, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_header_bytes(NULL, bytes, NULL), ENVOL_E_ARGUMENT);
    watched_fail(f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    ck_status(envol_volume_header_bytes(f.volume, bytes, &f.error), ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
    ck_status(envol_volume_header_bytes(f.volume, bytes, &f.error), ENVOL_E_BUSY);
    ck_assert(envol_is_zero(bytes, sizeof(bytes)));
    ck_assert_int_eq(envol_store_resize(f.store, 40000, NULL), ENVOL_OK);
    ck_status(envol_volume_header_bytes(f.volume, bytes, &f.error), ENVOL_E_TRUNCATED);
    ck_assert(envol_is_zero(bytes, sizeof(bytes)));
    volume_fixture_free(&f);
}
END_TEST

static void renumber_version(uint8_t *copy)
{
    envol_store32(copy + ENVOL_AT_VERSION, ENVOL_HEADER_VERSION + 1);
    envol_store32(copy + ENVOL_AT_CRC, 0);
    envol_store32(copy + ENVOL_AT_CRC, envol_crc32c(0, copy, ENVOL_HEADER_COPY_BYTES));
}

START_TEST(inspecting_what_is_no_header)
{
    struct volume_fixture f;
    struct envol_header_info info = {.struct_size = sizeof(info)};
    uint8_t *bytes = malloc(ENVOL_HEADER_BYTES);

    ck_assert_ptr_nonnull(bytes);
    if (!volume_fixture_create(&f, &volume_shapes[0]))
        return;
    volume_fixture_close(&f);
    volume_store_get(f.store, 0, bytes, ENVOL_HEADER_BYTES);
    watched_fail(f.watched, WATCHED_READ, 1, ENVOL_E_IO);
    ck_status(envol_volume_inspect(f.store, &info, NULL, &f.error), ENVOL_E_IO);
    bytes[99] ^= 1;
    bytes[ENVOL_HEADER_COPY_BYTES + 99] ^= 1;
    volume_store_put(f.store, 0, bytes, ENVOL_HEADER_BYTES);
    ck_status(envol_volume_inspect(f.store, &info, NULL, &f.error), ENVOL_E_CORRUPT);
    renumber_version(bytes);
    renumber_version(bytes + ENVOL_HEADER_COPY_BYTES);
    volume_store_put(f.store, 0, bytes, ENVOL_HEADER_BYTES);
    ck_status(envol_volume_inspect(f.store, &info, NULL, &f.error), ENVOL_E_VERSION);
    volume_fixture_open(&f, 0, ENVOL_E_VERSION);
    ck_assert_int_eq(envol_store_resize(f.store, 100, NULL), ENVOL_OK);
    ck_status(envol_volume_inspect(f.store, &info, NULL, &f.error), ENVOL_E_TRUNCATED);
    volume_fixture_free(&f);
    free(bytes);
}
END_TEST

static enum envol_status open_with_anchor(struct volume_fixture *f,
                                          const struct envol_anchor *anchor)
{
    const struct envol_pins pins = {.struct_size = sizeof(pins), .anchor = anchor};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .pins = &pins};
    enum envol_status status =
        ck_note(envol_volume_open(f->store, &f->cmk, 1, &options, &f->volume, &f->error));

    if (status == ENVOL_OK)
        volume_fixture_close(f);
    return status;
}

/* Overwritten in place and synced: the header did not move, the anchor moves it. */
START_TEST(anchors_are_newer_than_what_was_synced)
{
    struct volume_fixture f;
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)}, readers = anchor;
    uint64_t bytes;
    uint8_t *old;

    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    volume_page_put(&f, 0, 1);
    volume_fixture_reopen(&f);
    bytes = volume_store_bytes(f.store);
    old = malloc(bytes);
    ck_assert_ptr_nonnull(old);
    volume_store_get(f.store, 0, old, bytes);
    volume_page_put(&f, 0, 2);
    ck_ok(envol_volume_anchor(f.volume, &anchor));
    ck_assert_int_eq(volume_info_of(&f).header.clean, 1);
    volume_fixture_close(&f);
    ck_assert_int_eq(open_with_anchor(&f, &anchor), ENVOL_OK);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_ok(envol_volume_anchor(f.volume, &readers));
    ck_assert_uint_ge(readers.generation, anchor.generation);
    volume_fixture_close(&f);
    volume_store_put(f.store, 0, old, bytes);
    ck_assert_int_eq(open_with_anchor(&f, &anchor), ENVOL_E_STALE);
    volume_fixture_free(&f);
    free(old);
}
END_TEST

START_TEST(anchors_bar_the_way_back)
{
    struct volume_fixture f;
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)}, newer = anchor, wrong;
    uint8_t *old = malloc(ENVOL_HEADER_BYTES);

    ck_assert_ptr_nonnull(old);
    if (!volume_fixture_create(&f, &volume_shapes[_i]))
        return;
    ck_ok(envol_volume_anchor(f.volume, &anchor));
    volume_store_get(f.store, 0, old, ENVOL_HEADER_BYTES);
    volume_page_put(&f, 0, 1);
    volume_fixture_reopen(&f);
    ck_ok(envol_volume_anchor(f.volume, &newer));
    ck_assert_uint_gt(newer.generation, anchor.generation);
    volume_fixture_close(&f);
    ck_assert_int_eq(open_with_anchor(&f, &anchor), ENVOL_OK);
    ck_assert_int_eq(open_with_anchor(&f, &newer), ENVOL_OK);
    wrong = newer;
    wrong.mac[31] ^= 1;
    ck_assert_int_eq(open_with_anchor(&f, &wrong), ENVOL_E_STALE);
    wrong = newer;
    wrong.uuid[0] ^= 1;
    ck_assert_int_eq(open_with_anchor(&f, &wrong), ENVOL_E_POLICY);
    wrong = newer;
    wrong.struct_size--;
    ck_assert_int_eq(open_with_anchor(&f, &wrong), ENVOL_E_ARGUMENT);
    volume_store_put(f.store, 0, old, ENVOL_HEADER_BYTES);
    ck_assert_int_eq(open_with_anchor(&f, &newer), ENVOL_E_STALE);
    ck_assert_int_eq(open_with_anchor(&f, &anchor), ENVOL_OK);
    volume_fixture_open(&f, 0, ENVOL_OK);
    anchor.struct_size--;
    ck_status(envol_volume_anchor(f.volume, &anchor), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_anchor(f.volume, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_volume_anchor(NULL, &newer), ENVOL_E_ARGUMENT);
    volume_fixture_free(&f);
    free(old);
}
END_TEST

/* One damaged copy is told of, and mended by the next writer. */
START_TEST(a_damaged_copy)
{
    struct volume_fixture f;
    struct envol_header_info info = {.struct_size = sizeof(info)};
    uint32_t copy = (uint32_t)_i % 2;

    if (!volume_fixture_create(&f, &volume_shapes[_i / 2 * 5]))
        return;
    ck_assert_uint_eq(volume_info_of(&f).header.whole_copies, 2);
    volume_page_put(&f, 0, 1);
    volume_fixture_close(&f);
    volume_store_put(f.store, (uint64_t)copy * ENVOL_HEADER_COPY_BYTES + 300, "damaged", 7);
    ck_ok(envol_volume_inspect(f.store, &info, NULL, &f.error));
    ck_assert_uint_eq(info.whole_copies, 1);
    volume_fixture_open(&f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&f).header.whole_copies, 1);
    volume_fixture_close(&f);
    volume_fixture_open(&f, 0, ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&f).header.whole_copies, 2);
    volume_page_expect(&f, 0, 1);
    volume_fixture_kill(&f);
    ck_ok(envol_volume_inspect(f.store, &info, NULL, &f.error));
    ck_assert_uint_eq(info.whole_copies, 2);
    volume_fixture_free(&f);
}
END_TEST

/* Three pages, opened anew. */
static bool begin(struct volume_fixture *f)
{
    if (!volume_fixture_create(f, &volume_shapes[0]))
        return false;
    for (uint64_t i = 0; i < 3; i++)
        volume_page_put(f, i, 1);
    volume_fixture_reopen(f);
    return true;
}

/* Half of an update is a header that this handle never called its own; a refresh repeats it. */
START_TEST(a_refresh_after_half_an_update)
{
    struct volume_fixture f;
    struct envol_anchor anchor = {.struct_size = sizeof(anchor)};

    if (!begin(&f))
        return;
    watched_fail(f.watched, WATCHED_WRITE, 2, ENVOL_E_IO);
    ck_status(envol_page_write(f.volume, 3, f.page), ENVOL_E_IO);
    ck_ok(envol_volume_refresh(f.volume, &f.error));
    ck_ok(envol_volume_sync(f.volume));
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_volume_anchor(f.volume, &anchor), ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_WRITE, 2, ENVOL_E_IO);
    ck_status(envol_volume_truncate(f.volume, 1, &f.error), ENVOL_E_IO);
    watched_fail(f.watched, WATCHED_WRITE, 1, ENVOL_E_IO);
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_IO);
    ck_ok(envol_volume_refresh(f.volume, &f.error));
    volume_fixture_free(&f);
}
END_TEST

/* Who waited for it in vain does not wait again, until it was free once. */
START_TEST(a_header_lock_that_is_held)
{
    struct volume_fixture f;
    struct envol_header_info info = {.struct_size = sizeof(info)};
    struct envol_store *other;

    if (!begin(&f))
        return;
    other = watched_store_share(f.watched);
    ck_assert_int_eq(envol_store_lock(other, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE, 0, NULL),
                     ENVOL_OK);
    watched_fail(f.watched, WATCHED_LOCK, 1, ENVOL_E_BUSY); /* as after the wait */
    ck_status(envol_page_write(f.volume, 3, f.page), ENVOL_E_BUSY);
    ck_assert(f.volume->header_busy);
    for (int i = 0; i < 100; i++) /* would take 1000 seconds */
        ck_status(envol_page_write(f.volume, 3, f.page), ENVOL_E_BUSY);
    volume_page_expect(&f, 0, 1);
    watched_fail(f.watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
    ck_ok(envol_volume_inspect(f.store, &info, NULL, &f.error)); /* by a writer without the lock */
    ck_status(envol_volume_refresh(f.volume, &f.error), ENVOL_E_BUSY);
    ck_assert_int_eq(envol_store_lock(other, ENVOL_LOCK_HEADER, ENVOL_LOCK_NONE, 0, NULL),
                     ENVOL_OK);
    ck_ok(envol_page_write(f.volume, 3, f.page));
    ck_assert(!f.volume->header_busy);
    volume_fixture_close(&f);
    watched_fail(f.watched, WATCHED_LOCK, 1, ENVOL_E_BUSY);
    ck_status(envol_volume_inspect(f.store, &info, NULL, &f.error), ENVOL_E_BUSY);
    envol_store_close(other);
    volume_fixture_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("volume_header");
    TCase *tcase = tcase_create("volume_header");

    tcase_add_test(tcase, slots_of_an_open_volume);
    tcase_add_test(tcase, bytes_of_an_open_volume);
    tcase_add_test(tcase, bytes_in_children_and_without_memory);
    tcase_add_test(tcase, inspecting_what_is_no_header);
    tcase_add_loop_test(tcase, anchors_are_newer_than_what_was_synced, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, anchors_bar_the_way_back, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, a_damaged_copy, 0, 4);
    tcase_add_test(tcase, a_refresh_after_half_an_update);
    tcase_add_test(tcase, a_header_lock_that_is_held);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
