/* SPDX-License-Identifier: BSD-2-Clause */
/* Crash histories of a store and a space beside it: which images there are, and which not. */
#include "crash_space.h"
#include "store/space.h"
#include "store/store.h"
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SEEN_MAX = 256, TEXT_MAX = 128 };

static struct envol_store *store;
static struct crash_store *crash;
static struct envol_space *space;
static char seen[SEEN_MAX][TEXT_MAX];
static size_t seen_count;

/* One character a file: nothing is torn, as each write lies in one sector. */
static void put(struct envol_store *to, char text)
{
    ck_assert_int_eq(envol_store_write(to, 0, &text, 1, NULL), ENVOL_OK);
}

static struct envol_store *make(const char *name)
{
    struct envol_store *made;

    ck_assert_int_eq(envol_space_store(space, name, ENVOL_SPACE_CREATE, &made, NULL), ENVOL_OK);
    return made;
}

static char text_of(const uint8_t *bytes, size_t size)
{
    return size == 0 ? '-' : bytes[0] == 0 ? '.' : (char)bytes[0];
}

/* "2:X a=A b=-" after two calls. */
static void remember(const struct crash_image *image, void *ctx)
{
    char *text = seen[seen_count];
    int at = snprintf(text, TEXT_MAX, "%zu:%c", image->calls, text_of(image->bytes, image->size));

    (void)ctx;
    for (size_t i = 0; i < image->file_count; i++)
        at += snprintf(text + at, TEXT_MAX - (size_t)at, " %s=%c", image->files[i].name,
                       text_of(image->files[i].bytes, image->files[i].size));
    for (size_t i = 0; i < seen_count; i++)
        if (strcmp(seen[i], text) == 0)
            return;
    ck_assert_uint_lt(++seen_count, SEEN_MAX);
}

static void begin(void)
{
    crash = crash_store_new(NULL, 0, &store);
    space = crash_space_new(crash, NULL);
}

static void end(void)
{
    envol_space_close(space);
    envol_store_close(store);
}

static void replay(void)
{
    seen_count = 0;
    ck_assert_uint_gt(crash_store_replay(crash, NULL, remember, NULL), 0);
}

static void ck_saw(size_t count, const char *const *expected)
{
    for (size_t i = 0; i < seen_count; i++) {
        bool found = false;

        for (size_t j = 0; j < count; j++)
            found |= strcmp(seen[i], expected[j]) == 0;
        ck_assert_msg(found, "%s should not be", seen[i]);
    }
    ck_assert_uint_eq(seen_count, count);
}

#define SAW(...)                                                                                   \
    ck_saw(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

/* A sync of one file says nothing about another. */
START_TEST(files_are_synced_one_by_one)
{
    struct envol_store *file;

    begin();
    file = make("a");
    put(store, 'X');
    put(file, 'A');
    ck_assert_int_eq(envol_store_sync(file, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    envol_store_close(file);
    replay();
    SAW("0:-", "1:- a=-", "2:X a=-", "3:- a=A", "3:X a=A", "4:- a=A", "4:X a=A", "5:X a=A");
    end();
}
END_TEST

START_TEST(names_are_durable_at_once)
{
    struct envol_store *file;

    begin();
    file = make("a");
    put(file, 'A');
    ck_assert_int_eq(envol_space_rename(space, "a", "b", NULL), ENVOL_OK);
    ck_assert_int_eq(envol_space_remove(space, "b", NULL), ENVOL_OK);
    put(file, 'B');
    envol_store_close(file);
    file = make("b");
    put(file, 'C');
    envol_store_close(file);
    replay();
    SAW("0:-", "1:- a=-", "2:- a=A", "3:- b=-", "3:- b=A", "4:-", "6:- b=-", "7:- b=C");
    end();
}
END_TEST

/* What an image held is there again, and stable. */
START_TEST(an_image_begins_a_history)
{
    static const struct crash_image_file files[] = {{"a", (const uint8_t *)"A", 1}, {"b", NULL, 0}};
    struct crash_image image = {.bytes = (const uint8_t *)"X", .size = 1, .files = files};
    struct envol_space *second;
    struct envol_store *file;

    image.file_count = 2;
    ck_assert_ptr_eq(crash_image_file(&image, "b"), &files[1]);
    ck_assert_ptr_null(crash_image_file(&image, "c"));
    crash = crash_store_new(image.bytes, image.size, &store);
    space = crash_space_new(crash, &image);
    second = crash_space_share(crash);
    ck_assert_int_eq(envol_space_store(second, "b", 0, &file, NULL), ENVOL_OK);
    put(file, 'B');
    envol_store_close(file);
    ck_assert_int_eq(envol_space_store(space, "c", 0, &file, NULL), ENVOL_E_RANGE);
    replay();
    SAW("0:X a=A b=-", "1:X a=A b=B");
    crash_store_settle(crash);
    replay();
    SAW("0:X a=A b=B");
    envol_space_close(second);
    end();
}
END_TEST

START_TEST(calls_of_the_space_fail)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_store *file = NULL;

    begin();
    crash_store_fail(crash, 1, CRASH_FAULT_NOTHING);
    ck_assert_int_eq(envol_space_store(space, "a", ENVOL_SPACE_CREATE, &file, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, EIO);
    ck_assert(crash_store_failed(crash));
    crash_store_fail(crash, 1, CRASH_FAULT_ALL);
    ck_assert_int_eq(envol_space_store(space, "a", ENVOL_SPACE_CREATE, &file, &error), ENVOL_E_IO);
    crash_store_fail(crash, 1, CRASH_FAULT_ALL);
    ck_assert_int_eq(envol_space_rename(space, "a", "b", NULL), ENVOL_E_IO);
    crash_store_fail(crash, 1, CRASH_FAULT_NOTHING);
    ck_assert_int_eq(envol_space_remove(space, "b", NULL), ENVOL_E_IO);
    replay();
    SAW("0:-", "1:- a=-", "2:- b=-");
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash_space");
    TCase *tcase = tcase_create("crash_space");

    tcase_add_test(tcase, files_are_synced_one_by_one);
    tcase_add_test(tcase, names_are_durable_at_once);
    tcase_add_test(tcase, an_image_begins_a_history);
    tcase_add_test(tcase, calls_of_the_space_fail);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
