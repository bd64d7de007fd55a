/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backups that were damaged, cut, put together anew, or made by somebody who has the key and means
 * no good: none verifies, and none becomes a volume.
 */
#include "backup/head.h"
#include "backup_fixture.h"
#include "base/bytes.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 150, SEALED_CHUNK = ENVOL_CHUNK_BYTES + ENVOL_CHUNKED_TAG_BYTES };

static struct backup_fixture b;
static size_t body; /* where the chunks of b.tape begin */

static bool begin(int shape)
{
    if (!backup_fixture_create(&b, &volume_shapes[shape], 0))
        return false;
    for (uint64_t i = 0; i < PAGES; i++)
        if (i % 50 != 7)
            volume_page_put(&b.f, i, 1);
    backup_take(&b, &b.tape, NULL, NULL);
    body = envol_load32(b.tape.bytes + ENVOL_HEAD_AT_BYTES) + ENVOL_CHUNKED_HEADER_BYTES;
    ck_assert_uint_gt(b.tape.count, body + 2 * SEALED_CHUNK);
    return true;
}

/* A stream that must not restore; what it is said to be. */
static enum envol_status refused(struct tape *tape, const char *what, size_t where)
{
    struct envol_store *store;
    struct envol_restore *restore;
    enum envol_status verified = backup_verify(&b, tape), applied;

    ck_assert_msg(verified != ENVOL_OK, "%s %zu verifies", what, where);
    ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
    backup_fixture_empty(&b, store);
    ck_assert_int_eq(restore_begin(&b, &restore), ENVOL_OK);
    applied = restore_apply(&b, restore, tape);
    ck_assert_msg(applied == verified, "%s %zu: %s, and %s of a restore", what, where,
                  envol_status_name(verified), envol_status_name(applied));
    ck_assert_uint_eq(b.result.volume_pages, 0);
    ck_status(envol_restore_finish(restore, NULL), ENVOL_E_STATE);
    envol_restore_close(restore);
    ck_status(envol_volume_open(store, &b.g.cmk, 1, NULL, &b.g.volume, &b.g.error),
              volume_store_bytes(store) == 0 ? ENVOL_E_FORMAT : ENVOL_E_STATE);
    return verified;
}

START_TEST(cut_at_any_byte)
{
    struct tape cut;
    size_t whole;

    if (!begin(0))
        return;
    cut = tape_copy(&b.tape);
    whole = cut.count;
    for (size_t at = 0; at < whole; at += at < body + 40 ? 1 : 1 + test_random() % 700) {
        size_t chunk = (at - body) % SEALED_CHUNK;
        enum envol_status status;
        cut.count = at;
        status = refused(&cut, "cut at", at);
        if (at < body || chunk < ENVOL_CHUNKED_TAG_BYTES)
            ck_assert_int_eq(status, ENVOL_E_TRUNCATED);
        else
            ck_assert_int_eq(status, ENVOL_E_CORRUPT);
    }
    for (size_t at = body; at < whole; at += SEALED_CHUNK)
        for (size_t near = at - 2; near <= at + 18 && near < whole; near++) {
            cut.count = near;
            refused(&cut, "cut at", near);
        }
    cut.count = whole - 1;
    refused(&cut, "cut at", whole - 1);
    tape_clear(&cut);
    backup_fixture_free(&b);
}
END_TEST

START_TEST(each_bit_of_the_head)
{
    struct tape bad;

    if (!begin(0))
        return;
    bad = tape_copy(&b.tape);
    for (size_t bit = 0; bit < body * 8; bit++) {
        enum envol_status status;
        bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* Every eighth one all the way. */
        status = bit % 8 == 0 ? refused(&bad, "bit", bit) : backup_verify(&b, &bad);
        ck_assert_msg(status != ENVOL_OK, "bit %zu verifies", bit);
        if (bit < 64)
            ck_assert_int_eq(status, ENVOL_E_FORMAT);
        else if (bit < 96)
            ck_assert_int_eq(status, ENVOL_E_VERSION);
        bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_eq(backup_verify(&b, &bad), ENVOL_OK);
    tape_clear(&bad);
    backup_fixture_free(&b);
}
END_TEST

START_TEST(bits_of_the_body)
{
    struct tape bad;

    if (!begin(0))
        return;
    bad = tape_copy(&b.tape);
    for (unsigned i = 0; i < 300; i++) {
        size_t at = body + test_random() % (bad.count - body);
        if (i < 16)
            at = bad.count - 1 - i;
        bad.bytes[at] ^= (uint8_t)(1 << i % 8);
        ck_assert_int_eq(refused(&bad, "bit of byte", at), ENVOL_E_CORRUPT);
        bad.bytes[at] ^= (uint8_t)(1 << i % 8);
    }
    tape_clear(&bad);
    backup_fixture_free(&b);
}
END_TEST

/* A stream of the head and the given chunks of the original. */
static struct tape assemble(const size_t *chunks, size_t count)
{
    struct tape tape = {.count = 0};

    tape_sink(&tape, b.tape.bytes, body);
    for (size_t i = 0; i < count; i++) {
        size_t at = body + chunks[i] * SEALED_CHUNK;
        size_t left = b.tape.count - at;
        tape_sink(&tape, b.tape.bytes + at, left < SEALED_CHUNK ? left : SEALED_CHUNK);
    }
    return tape;
}

START_TEST(chunks_out_of_place)
{
    size_t chunks[16], count, order[16];
    struct tape bad;

    if (!begin(0))
        return;
    count = (b.tape.count - body + SEALED_CHUNK - 1) / SEALED_CHUNK;
    ck_assert_uint_le(count, 14);
    for (size_t i = 0; i < count; i++)
        chunks[i] = i;
    bad = assemble(chunks, count);
    ck_assert_int_eq(backup_verify(&b, &bad), ENVOL_OK);
    tape_clear(&bad);
    bad = assemble(chunks, count - 1);
    ck_assert_int_eq(refused(&bad, "the last chunk is missing", 0), ENVOL_E_TRUNCATED);
    tape_clear(&bad);
    for (size_t i = 0; i < count; i++) {
        size_t n = 0;
        for (size_t j = 0; j < count; j++) /* dropped */
            if (j != i)
                order[n++] = j;
        bad = assemble(order, n);
        refused(&bad, "dropped", i);
        tape_clear(&bad);
        n = 0;
        for (size_t j = 0; j < count; j++) { /* doubled */
            order[n++] = j;
            if (j == i)
                order[n++] = j;
        }
        bad = assemble(order, n);
        refused(&bad, "doubled", i);
        tape_clear(&bad);
        memcpy(order, chunks, sizeof(order)); /* swapped */
        if (i + 1 < count) {
            order[i] = i + 1;
            order[i + 1] = i;
            bad = assemble(order, count);
            refused(&bad, "swapped", i);
            tape_clear(&bad);
        }
    }
    backup_fixture_free(&b);
}
END_TEST

START_TEST(bytes_behind_the_end)
{
    static const size_t lengths[] = {1, 15, 16, 17, 4096, SEALED_CHUNK};
    static const uint8_t zeros[SEALED_CHUNK];
    struct tape bad;

    if (!begin(_i))
        return;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        bad = tape_copy(&b.tape);
        tape_sink(&bad, zeros, lengths[i]);
        ck_assert_int_eq(refused(&bad, "behind the end", lengths[i]), ENVOL_E_CORRUPT);
        tape_clear(&bad);
    }
    bad = tape_copy(&b.tape); /* a backup after a backup */
    tape_sink(&bad, b.tape.bytes, b.tape.count);
    ck_assert_int_eq(refused(&bad, "twice", 0), ENVOL_E_CORRUPT);
    tape_clear(&bad);
    backup_fixture_free(&b);
}
END_TEST

/* The head of one backup, the body of another of the same volume under the same CMK. */
START_TEST(head_of_another)
{
    struct tape other = {.count = 0}, bad;
    size_t head;

    if (!begin(0))
        return;
    head = body - ENVOL_CHUNKED_HEADER_BYTES;
    backup_take(&b, &other, NULL, NULL);
    ck_assert_uint_eq(other.count, b.tape.count);
    bad = tape_copy(&b.tape);
    memcpy(bad.bytes, other.bytes, head);
    ck_assert_int_eq(refused(&bad, "head of another", 0), ENVOL_E_WRONG_KEY);
    memcpy(bad.bytes, other.bytes, body);
    ck_assert_int_eq(refused(&bad, "head and start of another", 0), ENVOL_E_CORRUPT);
    /* Its slot alone: the UUID is bound by the wrapping. */
    memcpy(bad.bytes, b.tape.bytes, body);
    memcpy(bad.bytes + ENVOL_HEAD_FIXED_BYTES, other.bytes + ENVOL_HEAD_FIXED_BYTES,
           head - ENVOL_HEAD_FIXED_BYTES);
    ck_assert_int_eq(refused(&bad, "slot of another", 0), ENVOL_E_WRONG_KEY);
    tape_clear(&bad);
    tape_clear(&other);
    backup_fixture_free(&b);
}
END_TEST

/* What is no backup at all. */
START_TEST(other_files)
{
    struct tape bad = {.count = 0};
    uint8_t noise[4096];

    if (!begin(0))
        return;
    test_fill(noise, sizeof(noise));
    tape_sink(&bad, noise, sizeof(noise));
    ck_assert_int_eq(refused(&bad, "noise", 0), ENVOL_E_FORMAT);
    memcpy(bad.bytes, ENVOL_HEADER_MAGIC, 8);
    ck_assert_int_eq(refused(&bad, "a volume", 0), ENVOL_E_FORMAT);
    tape_clear(&bad);
    backup_fixture_free(&b);
}
END_TEST

/* --- Whoever has the key --- */

struct forged_item {
    uint32_t kind, count;
    uint64_t first;
    size_t payload; /* bytes of zeros behind it */
};

enum { FORGED_PAGES = 10, PAGE = 512, BORDER = ENVOL_CHUNK_BYTES - 2 * ENVOL_ITEM_BYTES };

static const struct forgery {
    const char *name;
    int incremental;
    struct forged_item items[5];
    size_t count, behind; /* bytes behind the last item */
    enum envol_status status;
} forgeries[] = {
    {"sound", 0, {{1, 10, 0, 5120}, {5, 0, 10, 0}}, 2, 0, ENVOL_OK},
    {"sound, holes", 0, {{2, 10, 0, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_OK},
    {"sound, empty last chunk",
     0,
     {{3, BORDER - 16, 0, BORDER - 16}, {2, 10, 0, 0}, {5, 0, 10, 0}},
     3,
     0,
     ENVOL_OK},
    {"nothing", 0, {{0, 0, 0, 0}}, 0, 0, ENVOL_E_CORRUPT},
    {"no end", 0, {{2, 10, 0, 0}}, 1, 0, ENVOL_E_CORRUPT},
    {"half an item", 0, {{2, 10, 0, 0}}, 1, 15, ENVOL_E_CORRUPT},
    {"pages left out", 0, {{1, 5, 0, 2560}, {1, 4, 6, 2048}, {5, 0, 10, 0}}, 3, 0, ENVOL_E_CORRUPT},
    {"the first left out", 0, {{2, 9, 1, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"the last left out", 0, {{2, 9, 0, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"all left out", 0, {{5, 0, 10, 0}}, 1, 0, ENVOL_E_CORRUPT},
    {"too many pages", 0, {{1, 11, 0, 5632}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"too many holes", 0, {{2, 11, 0, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"2^32 - 1 pages", 0, {{1, UINT32_MAX, 0, 0}}, 1, 0, ENVOL_E_CORRUPT},
    {"2^32 - 1 holes", 0, {{2, UINT32_MAX, 0, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"page 2^64 - 1", 0, {{1, 1, UINT64_MAX, 512}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"no pages", 0, {{1, 0, 0, 0}, {2, 10, 0, 0}, {5, 0, 10, 0}}, 3, 0, ENVOL_E_CORRUPT},
    {"no holes", 0, {{2, 0, 0, 0}, {2, 10, 0, 0}, {5, 0, 10, 0}}, 3, 0, ENVOL_E_CORRUPT},
    {"twice", 0, {{2, 5, 0, 0}, {2, 5, 0, 0}, {2, 5, 5, 0}, {5, 0, 10, 0}}, 4, 0, ENVOL_E_CORRUPT},
    {"backwards", 0, {{2, 5, 5, 0}, {2, 5, 0, 0}, {5, 0, 10, 0}}, 3, 0, ENVOL_E_CORRUPT},
    {"fewer bytes", 0, {{1, 10, 0, 5104}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"more bytes", 0, {{1, 10, 0, 5136}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"kind 0", 0, {{0, 10, 0, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"kind 6", 0, {{6, 10, 0, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"end with a count", 0, {{2, 10, 0, 0}, {5, 1, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"end elsewhere", 0, {{2, 10, 0, 0}, {5, 0, 9, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"end far away", 0, {{2, 10, 0, 0}, {5, 0, UINT64_MAX, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"a byte behind the end", 0, {{2, 10, 0, 0}, {5, 0, 10, 0}}, 2, 1, ENVOL_E_CORRUPT},
    {"a chunk behind the end", 0, {{2, 10, 0, 0}, {5, 0, 10, 0}}, 2, 16384, ENVOL_E_CORRUPT},
    {"an item behind the end",
     0,
     {{2, 10, 0, 0}, {5, 0, 10, 0}, {5, 0, 10, 0}},
     3,
     0,
     ENVOL_E_CORRUPT},
    {"a chunk behind a border",
     0,
     {{3, BORDER - 16, 0, BORDER - 16}, {2, 10, 0, 0}, {5, 0, 10, 0}},
     3,
     1,
     ENVOL_E_CORRUPT},
    {"a note behind pages", 0, {{2, 10, 0, 0}, {3, 1, 0, 1}, {5, 0, 10, 0}}, 3, 0, ENVOL_E_CORRUPT},
    {"two notes",
     0,
     {{3, 1, 0, 1}, {3, 1, 0, 1}, {2, 10, 0, 0}, {5, 0, 10, 0}},
     4,
     0,
     ENVOL_E_CORRUPT},
    {"a note of a page", 0, {{3, 1, 1, 1}, {2, 10, 0, 0}, {5, 0, 10, 0}}, 3, 0, ENVOL_E_CORRUPT},
    {"an empty note", 0, {{3, 0, 0, 0}, {2, 10, 0, 0}, {5, 0, 10, 0}}, 3, 0, ENVOL_E_CORRUPT},
    {"a long note", 0, {{3, 65537, 0, 65537}, {2, 10, 0, 0}, {5, 0, 10, 0}}, 3, 0, ENVOL_E_CORRUPT},
    {"incremental, backwards",
     1,
     {{2, 1, 5, 0}, {2, 1, 4, 0}, {5, 0, 10, 0}},
     3,
     0,
     ENVOL_E_CORRUPT},
    {"incremental, beyond", 1, {{2, 1, 10, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
    {"incremental, far beyond", 1, {{2, 1, UINT64_MAX, 0}, {5, 0, 10, 0}}, 2, 0, ENVOL_E_CORRUPT},
};
enum { FORGERIES = sizeof(forgeries) / sizeof(forgeries[0]) };

static void put_zeros(struct envol_message *message, size_t bytes)
{
    static const uint8_t zeros[70000];

    ck_assert_uint_le(bytes, sizeof(zeros));
    ck_assert_int_eq(envol_message_put(message, zeros, bytes), ENVOL_OK);
}

static void forge(struct tape *tape, const struct forgery *forgery, uint64_t pages)
{
    struct envol_backup_head head;
    struct envol_key_call call;
    struct envol_message message = {.name = "forged", .sink = tape_sink, .ctx = tape};

    ck_assert_int_eq(envol_backup_head_new(&head, b.f.volume->header, pages, NULL), ENVOL_OK);
    if (forgery->incremental)
        memset(head.parent, 0x77, sizeof(head.parent));
    ck_assert_int_eq(envol_backup_call_make(&b.backup_cmk, 1, 0, 0, NULL, &call, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_message_open(&message, 0), ENVOL_OK);
    ck_assert_int_eq(envol_backup_seal(&call, &head, &message, NULL, NULL), ENVOL_OK);
    for (size_t i = 0; i < forgery->count; i++) {
        const struct forged_item *from = &forgery->items[i];
        uint8_t item[ENVOL_ITEM_BYTES];
        envol_store32(item, from->kind);
        envol_store32(item + 4, from->count);
        envol_store64(item + 8, from->first);
        ck_assert_int_eq(envol_message_put(&message, item, sizeof(item)), ENVOL_OK);
        put_zeros(&message, from->payload);
    }
    put_zeros(&message, forgery->behind);
    ck_assert_int_eq(envol_message_end(&message), ENVOL_OK);
    envol_message_close(&message);
    envol_backup_head_free(&head);
}

START_TEST(forgeries_by_a_holder_of_the_key)
{
    const struct forgery *forgery = &forgeries[_i];
    struct tape tape = {.count = 0};
    enum envol_status status;

    if (!begin(0))
        return;
    forge(&tape, forgery, FORGED_PAGES);
    status = backup_verify(&b, &tape);
    ck_assert_msg(status == forgery->status, "%s: %s", forgery->name, envol_status_name(status));
    if (status != ENVOL_OK && !forgery->incremental)
        refused(&tape, forgery->name, 0);
    tape_clear(&tape);
    backup_fixture_free(&b);
}
END_TEST

/* Numbers of the head, behind a commitment that is right. */
START_TEST(forged_sizes)
{
    static const uint64_t pages[] = {UINT64_MAX, UINT64_C(1) << 63, UINT64_C(1) << 54};
    struct tape tape = {.count = 0};

    if (!begin(0))
        return;
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        forge(&tape, &forgeries[0], pages[i]);
        ck_assert_int_eq(refused(&tape, "pages", i), ENVOL_E_CORRUPT);
        tape_clear(&tape);
    }
    backup_fixture_free(&b);
}
END_TEST

/* Lengths of the head, which nothing has authenticated when they are read. */
START_TEST(hostile_lengths)
{
    static const uint32_t lengths[] = {0, 15, 16, 87, 88, 89, 28729, 28736, 1u << 31, UINT32_MAX};
    struct tape bad;

    if (!begin(0))
        return;
    bad = tape_copy(&b.tape);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        envol_store32(bad.bytes + ENVOL_HEAD_AT_BYTES, lengths[i]);
        ck_assert_int_eq(refused(&bad, "length", lengths[i]), ENVOL_E_CORRUPT);
    }
    tape_clear(&bad);
    backup_fixture_free(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup_damage");
    TCase *tcase = tcase_create("damage");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, cut_at_any_byte);
    tcase_add_test(tcase, each_bit_of_the_head);
    tcase_add_test(tcase, bits_of_the_body);
    tcase_add_test(tcase, chunks_out_of_place);
    tcase_add_loop_test(tcase, bytes_behind_the_end, 0, 2);
    tcase_add_test(tcase, head_of_another);
    tcase_add_test(tcase, other_files);
    tcase_add_loop_test(tcase, forgeries_by_a_holder_of_the_key, 0, FORGERIES);
    tcase_add_test(tcase, forged_sizes);
    tcase_add_test(tcase, hostile_lengths);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
