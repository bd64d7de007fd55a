/* SPDX-License-Identifier: BSD-2-Clause */
/* The crash store itself: which images there are, and which must not be. */
#include "crash_store.h"
#include "store/store.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

enum { SECTOR = 4, SEEN_MAX = 512, TEXT_MAX = 64 };

/* Images here are short strings, one character a sector of 4 bytes of it; '.' is zero. */
static struct envol_store *store;
static struct crash_store *crash;
static char seen[SEEN_MAX][TEXT_MAX];
static size_t seen_count;

static void begin(const char *text)
{
    uint8_t image[TEXT_MAX * SECTOR];
    size_t bytes = strlen(text) * SECTOR;

    for (size_t i = 0; i < bytes; i++)
        image[i] = text[i / SECTOR] == '.' ? 0 : (uint8_t)text[i / SECTOR];
    crash = crash_store_new(image, bytes, &store);
}

static void put(uint64_t sector, const char *text)
{
    uint8_t data[TEXT_MAX * SECTOR];
    size_t bytes = strlen(text) * SECTOR;

    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)text[i / SECTOR];
    (void)envol_store_write(store, sector * SECTOR, data, bytes, NULL);
}

static void sync_it(enum envol_status expected)
{
    ck_assert_int_eq(envol_store_sync(store, NULL), expected);
}

/* Whole sectors alone are ever seen: "3:AB.." after three calls. */
static void remember(const struct crash_image *image, void *ctx)
{
    char text[TEXT_MAX];
    int at = snprintf(text, sizeof(text), "%zu:", image->calls);

    (void)ctx;
    ck_assert_uint_eq(image->size % SECTOR, 0);
    for (size_t i = 0; i < image->size; i += SECTOR) {
        for (size_t j = 1; j < SECTOR; j++)
            ck_assert_msg(image->bytes[i] == image->bytes[i + j], "torn sector: %s", image->story);
        text[at++] = image->bytes[i] == 0 ? '.' : (char)image->bytes[i];
    }
    text[at] = '\0';
    for (size_t i = 0; i < seen_count; i++)
        if (strcmp(seen[i], text) == 0)
            return;
    ck_assert_uint_lt(seen_count, SEEN_MAX);
    memcpy(seen[seen_count++], text, sizeof(text));
}

static bool was_seen(const char *text)
{
    for (size_t i = 0; i < seen_count; i++)
        if (strcmp(seen[i], text) == 0)
            return true;
    return false;
}

/* Replays; the distinct images must be exactly these, up to a NULL. */
static void expect(const char *const *images)
{
    const struct crash_options options = {.sector_bytes = SECTOR};
    size_t count = 0;

    seen_count = 0;
    crash_store_replay(crash, &options, remember, NULL);
    for (; images[count] != NULL; count++)
        ck_assert_msg(was_seen(images[count]), "%s is missing", images[count]);
    ck_assert_msg(seen_count == count, "%zu images, not %zu: %s ...", seen_count, count, seen[0]);
    envol_store_close(store);
}

START_TEST(nothing_happened)
{
    begin("abc");
    expect((const char *const[]){"0:abc", NULL});
}
END_TEST

START_TEST(one_write_is_torn)
{
    begin("abcd");
    put(1, "XYZ");
    sync_it(ENVOL_OK);
    expect((const char *const[]){"0:abcd", "1:aXYZ", "1:aXcd", "1:aXYd", "1:abYZ", "1:abcZ",
                                 "2:aXYZ", NULL});
}
END_TEST

START_TEST(writes_overtake_each_other)
{
    begin("ab");
    put(0, "X");
    put(1, "Y");
    expect((const char *const[]){"0:ab", "1:Xb", "2:aY", "2:XY", NULL});
}
END_TEST

START_TEST(a_sync_keeps_them_apart)
{
    begin("ab");
    put(0, "X");
    sync_it(ENVOL_OK);
    put(1, "Y");
    expect((const char *const[]){"0:ab", "1:Xb", "2:Xb", "3:XY", NULL});
}
END_TEST

START_TEST(a_failed_sync_keeps_nothing)
{
    begin("ab");
    put(0, "X");
    crash_store_fail(crash, 1, CRASH_FAULT_NOTHING);
    sync_it(ENVOL_E_IO);
    put(1, "Y");
    sync_it(ENVOL_OK);
    put(0, "Z");
    sync_it(ENVOL_OK);
    /* X may be lost for ever, whatever was synced since, until it is written over. */
    expect((const char *const[]){"0:ab", "1:Xb", "2:ab", "2:Xb", "3:aY", "3:XY", "4:aY", "4:XY",
                                 "5:ZY", "6:ZY", NULL});
}
END_TEST

START_TEST(sizes_and_holes)
{
    begin("abcd");
    ck_assert_int_eq(envol_store_resize(store, 2 * SECTOR, NULL), ENVOL_OK);
    sync_it(ENVOL_OK);
    put(3, "X");
    ck_assert_int_eq(envol_store_discard(store, 0, SECTOR, NULL), ENVOL_OK);
    expect((const char *const[]){"0:abcd", "1:ab", "2:ab", "3:ab.X", "4:.b", "4:.b.X", NULL});
}
END_TEST

static size_t images_of(unsigned writes)
{
    const struct crash_options options = {.sector_bytes = SECTOR};

    begin("abcdefghij");
    for (unsigned i = 0; i < writes; i++)
        put(i, "X");
    seen_count = 0;
    return crash_store_replay(crash, &options, remember, NULL);
}

/* All combinations of four; of ten, each alone. */
START_TEST(many_writes)
{
    ck_assert_uint_lt(images_of(4), 2000);
    ck_assert(was_seen("4:abcXefghij"));
    ck_assert(was_seen("4:aXcXefghij"));
    ck_assert(was_seen("4:XbcXefghij"));
    envol_store_close(store);
    ck_assert_uint_lt(images_of(10), 4000);
    ck_assert(was_seen("10:abcdefghij"));
    ck_assert(was_seen("10:XXXXXXXXXX"));
    ck_assert(was_seen("10:XXXXXXXXXj"));
    ck_assert(was_seen("10:abcdefghiX"));
    ck_assert(was_seen("10:abXdefghij"));
    ck_assert(was_seen("10:XXcXXXXXXX"));
    ck_assert(was_seen("10:XXXXefghij"));
    envol_store_close(store);
}
END_TEST

START_TEST(faults)
{
    uint8_t data[4 * SECTOR] = {0};
    size_t got;

    begin("abcd");
    crash_store_fail(crash, 2, CRASH_FAULT_HALF);
    ck_assert_int_eq(envol_store_read(store, 0, data, 4, &got, NULL), ENVOL_OK);
    put(0, "WXYZ");
    ck_assert(crash_store_failed(crash));
    ck_assert_int_eq(envol_store_read(store, 0, data, sizeof(data), &got, NULL), ENVOL_OK);
    ck_assert_int_eq(data[SECTOR], 'X');
    ck_assert_int_eq(data[2 * SECTOR], 'c');
    crash_store_fail(crash, 1, CRASH_FAULT_ALL);
    ck_assert_int_eq(envol_store_read(store, 0, data, 4, &got, NULL), ENVOL_E_IO);
    crash_store_fail(crash, 1, CRASH_FAULT_ALL);
    put(2, "Y");
    ck_assert_int_eq(envol_store_read(store, 0, data, sizeof(data), &got, NULL), ENVOL_OK);
    ck_assert_int_eq(data[2 * SECTOR], 'Y');
    ck_assert_uint_eq(crash_store_calls(crash), 2);
    envol_store_close(store);
}
END_TEST

START_TEST(shared_and_settled)
{
    struct envol_store *first;

    begin("ab");
    put(0, "X");
    first = store;
    store = crash_store_share(crash);
    envol_store_close(first); /* the history goes on without it */
    put(1, "Y");
    crash_store_settle(crash);
    ck_assert_uint_eq(crash_store_calls(crash), 0);
    put(0, "Z");
    expect((const char *const[]){"0:XY", "1:ZY", NULL});
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("crash_store");
    TCase *c = tcase_create("crash_store");

    tcase_add_test(c, nothing_happened);
    tcase_add_test(c, one_write_is_torn);
    tcase_add_test(c, writes_overtake_each_other);
    tcase_add_test(c, a_sync_keeps_them_apart);
    tcase_add_test(c, a_failed_sync_keeps_nothing);
    tcase_add_test(c, sizes_and_holes);
    tcase_add_test(c, many_writes);
    tcase_add_test(c, faults);
    tcase_add_test(c, shared_and_settled);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
