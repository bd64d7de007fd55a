/* SPDX-License-Identifier: BSD-2-Clause */
/* Spaces: names and what they stand for, in a directory, in memory, and of a caller's own. */
#include "store/space.h"

#include "base/memory.h"
#include "faults.h"
#include "store/store.h"
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORY, MEMORY, KINDS };
enum { NAMES_MAX = 16 };

static char where[512];

static struct envol_space *new_space(int kind)
{
    static unsigned made; /* tests that do not fork share a directory */
    struct envol_space *space;
    char name[32];

    snprintf(name, sizeof(name), "space%u", made++);
    snprintf(where, sizeof(where), "%s", test_path(name));
    if (kind == DIRECTORY)
        ck_ok(envol_directory_space_open(where, ENVOL_SPACE_CREATE_DIRECTORY, &space, NULL));
    else
        ck_ok(envol_memory_space_open(&space));
    return space;
}

static struct envol_space *again(int kind, struct envol_space *space)
{
    struct envol_space *second;

    if (kind == DIRECTORY)
        ck_ok(envol_directory_space_open(where, 0, &second, NULL));
    else
        ck_ok(envol_memory_space_share(space, &second));
    return second;
}

static struct envol_store *make(struct envol_space *space, const char *name, const char *text)
{
    struct envol_store *store;

    ck_assert_int_eq(envol_space_store(space, name, ENVOL_SPACE_CREATE, &store, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_write(store, 0, text, strlen(text), NULL), ENVOL_OK);
    return store;
}

static void ck_holds(struct envol_store *store, const char *text)
{
    char got[64];
    size_t bytes;

    ck_assert_int_eq(envol_store_read(store, 0, got, sizeof(got), &bytes, NULL), ENVOL_OK);
    ck_assert_uint_eq(bytes, strlen(text));
    ck_assert_mem_eq(got, text, bytes);
}

static void ck_named(struct envol_space *space, const char *name, const char *text)
{
    struct envol_store *store;

    ck_assert_int_eq(envol_space_store(space, name, ENVOL_SPACE_READ_ONLY, &store, NULL), ENVOL_OK);
    ck_holds(store, text);
    envol_store_close(store);
}

static void ck_missing(struct envol_space *space, const char *name)
{
    struct envol_store *store = (struct envol_store *)&store;
    struct envol_error error = ENVOL_ERROR_INIT;

    ck_assert_int_eq(envol_space_store(space, name, 0, &store, &error), ENVOL_E_RANGE);
    ck_assert_ptr_null(store);
    ck_assert_int_eq(error.status, ENVOL_E_RANGE);
    ck_assert_ptr_nonnull(strstr(error.message, name));
    ck_assert_ptr_nonnull(strstr(error.message, "there is no such name"));
}

struct names {
    unsigned count, stop_at;
    char names[NAMES_MAX][ENVOL_SPACE_NAME_MAX + 1];
};

static enum envol_status note(const char *name, void *ctx)
{
    struct names *names = ctx;

    ck_assert_uint_lt(names->count, NAMES_MAX);
    snprintf(names->names[names->count++], sizeof(names->names[0]), "%s", name);
    return names->stop_at == names->count ? ENVOL_E_CANCELLED : ENVOL_OK;
}

/* Which of them are there, in no order, and nothing else. */
static void ck_names(struct envol_space *space, unsigned count, const char *const *expected)
{
    struct names names = {0};

    ck_assert_int_eq(envol_space_list(space, note, &names, NULL), ENVOL_OK);
    ck_assert_uint_eq(names.count, count);
    for (unsigned i = 0; i < count; i++) {
        bool found = false;

        for (unsigned j = 0; j < count; j++)
            found |= strcmp(names.names[j], expected[i]) == 0;
        ck_assert_msg(found, "%s is missing", expected[i]);
    }
}

START_TEST(names_stand_for_stores)
{
    struct envol_space *space = new_space(_i), *second = again(_i, space);
    struct envol_store *one = make(space, "log-0000000000000001", "first");
    struct envol_store *two = make(second, "backups", "second"), *refused;

    ck_named(second, "log-0000000000000001", "first");
    ck_named(space, "backups", "second");
    ck_missing(space, "log-0000000000000002");
    ck_assert_int_eq(envol_space_store(space, "backups", ENVOL_SPACE_CREATE, &refused, NULL),
                     ENVOL_E_STATE);
    ck_assert_ptr_null(refused);
    ck_names(second, 2, (const char *const[]){"log-0000000000000001", "backups"});
    envol_store_close(one);
    envol_store_close(two);
    envol_space_close(space);
    ck_named(second, "backups", "second");
    envol_space_close(second);
    envol_space_close(NULL);
}
END_TEST

START_TEST(names_are_removed_and_changed)
{
    struct envol_space *space = new_space(_i);
    struct envol_store *one = make(space, "one", "first"), *two = make(space, "two", "second");

    ck_assert_int_eq(envol_space_rename(space, "one", "two", NULL), ENVOL_E_STATE);
    ck_assert_int_eq(envol_space_rename(space, "three", "four", NULL), ENVOL_E_RANGE);
    ck_assert_int_eq(envol_space_rename(space, "one", "three", NULL), ENVOL_OK);
    ck_missing(space, "one");
    ck_named(space, "three", "first");
    ck_named(space, "two", "second");
    ck_assert_int_eq(envol_store_write(one, 0, "FIRST", 5, NULL), ENVOL_OK);
    ck_named(space, "three", "FIRST");
    ck_assert_int_eq(envol_space_remove(space, "three", NULL), ENVOL_OK);
    ck_assert_int_eq(envol_space_remove(space, "three", NULL), ENVOL_OK);
    ck_missing(space, "three");
    ck_holds(one, "FIRST");
    ck_names(space, 1, (const char *const[]){"two"});
    envol_store_close(one);
    envol_store_close(two);
    one = make(space, "three", "anew");
    ck_named(space, "three", "anew");
    envol_store_close(one);
    envol_space_close(space);
}
END_TEST

START_TEST(other_names_are_refused)
{
    static const char *const bad[] = {
        "",      ".",
        "..",    ".hidden",
        "a/b",   "/etc",
        "Upper", "under_score",
        "a b",   "\xc3\xa4",
        "a\n",   "0123456789012345678901234567890123456789012345678901234567890123x",
    };
    char longest[ENVOL_SPACE_NAME_MAX + 1];
    struct envol_space *space = new_space(_i);
    struct envol_store *store = make(space, "good", "text");
    struct envol_error error = ENVOL_ERROR_INIT;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct envol_store *refused;

        ck_assert_int_eq(envol_space_store(space, bad[i], ENVOL_SPACE_CREATE, &refused, &error),
                         ENVOL_E_ARGUMENT);
        ck_assert_int_eq(error.status, ENVOL_E_ARGUMENT);
        ck_assert_int_eq(envol_space_remove(space, bad[i], NULL), ENVOL_E_ARGUMENT);
        ck_assert_int_eq(envol_space_rename(space, "good", bad[i], NULL), ENVOL_E_ARGUMENT);
        ck_assert_int_eq(envol_space_rename(space, bad[i], "other", NULL), ENVOL_E_ARGUMENT);
    }
    ck_assert_int_eq(envol_space_rename(space, "good", "good", NULL), ENVOL_E_ARGUMENT);
    envol_store_close(store);
    memset(longest, 'z', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    envol_store_close(make(space, longest, "long"));
    ck_names(space, 2, (const char *const[]){"good", longest});
    ck_assert_int_eq(envol_space_store(space, "x", 4, &store, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(envol_space_store(space, "x", 3, &store, NULL), ENVOL_E_ARGUMENT);
    envol_space_close(space);
}
END_TEST

START_TEST(a_listing_ends_where_its_callback_says)
{
    struct envol_space *space = new_space(_i);
    struct names names = {.stop_at = 2};
    struct envol_error error = ENVOL_ERROR_INIT;

    envol_store_close(make(space, "a", ""));
    envol_store_close(make(space, "b", ""));
    envol_store_close(make(space, "c", ""));
    ck_assert_int_eq(envol_space_list(space, note, &names, &error), ENVOL_E_CANCELLED);
    ck_assert_uint_eq(names.count, 2);
    ck_assert_int_eq(error.status, ENVOL_E_CANCELLED);
    envol_space_close(space);
}
END_TEST

/* --- the directory --- */

static mode_t mode_of(const char *path)
{
    struct stat about;

    ck_assert_int_eq(stat(path, &about), 0);
    return about.st_mode & 07777;
}

START_TEST(a_directory_is_its_owners)
{
    mode_t before = umask(0);
    struct envol_space *space = new_space(DIRECTORY);
    char path[600];

    envol_store_close(make(space, "file", "text"));
    snprintf(path, sizeof(path), "%s/file", where);
    ck_assert_uint_eq(mode_of(where), 0700);
    ck_assert_uint_eq(mode_of(path), 0600);
    umask(before);
    envol_space_close(space);
}
END_TEST

/* What lies in it beside the library's own is neither seen nor touched. */
START_TEST(a_directory_has_other_files)
{
    struct envol_space *space = new_space(DIRECTORY);
    char path[600];
    int fd;

    envol_store_close(make(space, "file", "text"));
    snprintf(path, sizeof(path), "%s/README.TXT", where);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    snprintf(path, sizeof(path), "%s/sub", where);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_names(space, 1, (const char *const[]){"file"});
    envol_space_close(space);
}
END_TEST

START_TEST(a_directory_stays_the_same)
{
    struct envol_space *space;
    const char *home = test_path("home");

    ck_assert_int_eq(mkdir(home, 0700), 0);
    ck_assert_int_eq(chdir(home), 0);
    ck_ok(envol_directory_space_open("here", ENVOL_SPACE_CREATE_DIRECTORY, &space, NULL));
    ck_assert_int_eq(chdir("/"), 0);
    envol_store_close(make(space, "file", "text"));
    ck_named(space, "file", "text");
    ck_names(space, 1, (const char *const[]){"file"});
    envol_space_close(space);
}
END_TEST

START_TEST(directories_that_cannot_be_opened)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_space *space = (struct envol_space *)&error;
    const char *missing = test_path("missing/deep"), *file = test_path("file");
    int fd = open(file, O_CREAT | O_WRONLY, 0600);

    close(fd);
    ck_status(envol_directory_space_open(missing, 0, &space, &error), ENVOL_E_IO);
    ck_assert_ptr_null(space);
    ck_assert_int_eq(error.os_errno, ENOENT);
    ck_status(envol_directory_space_open(missing, ENVOL_SPACE_CREATE_DIRECTORY, &space, &error),
              ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, ENOENT);
    ck_status(envol_directory_space_open(file, ENVOL_SPACE_CREATE_DIRECTORY, &space, &error),
              ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, ENOTDIR);
    ck_status(envol_directory_space_open(NULL, 0, &space, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_directory_space_open("", 0, &space, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_directory_space_open(file, 2, &space, &error), ENVOL_E_ARGUMENT);
    ck_status(envol_directory_space_open(file, 0, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_memory_space_open(NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_memory_space_share(NULL, &space), ENVOL_E_ARGUMENT);
    ck_ok(envol_memory_space_open(&space));
    ck_status(envol_memory_space_share(space, NULL), ENVOL_E_ARGUMENT);
    envol_space_close(space);
}
END_TEST

/* What went wrong is said once, with the path and the system's reason. */
START_TEST(a_failure_names_the_file)
{
    struct envol_space *space = new_space(DIRECTORY);
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_store *store;
    char path[600];

    snprintf(path, sizeof(path), "%s/loop", where);
    ck_assert_int_eq(symlink(path, path), 0);
    ck_assert_int_eq(envol_space_store(space, "loop", 0, &store, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, ELOOP);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_assert_ptr_nonnull(strstr(error.message, strerror(ELOOP)));
    ck_assert_ptr_null(strstr(strstr(error.message, strerror(ELOOP)) + 1, strerror(ELOOP)));
    envol_space_close(space);
}
END_TEST

/* Every allocation fails once: a status, and nothing is left. */
START_TEST(memory_runs_out)
{
    bool failed = true;

    faults_set_allocator();
    for (unsigned nth = 1; failed; nth++) {
        struct envol_space *space = NULL;
        struct envol_store *store = NULL;
        enum envol_status status;

        faults_arm(FAULT_ALLOC, nth, false);
        status = _i == DIRECTORY
                     ? ck_note(envol_directory_space_open(
                           test_path("space"), ENVOL_SPACE_CREATE_DIRECTORY, &space, NULL))
                     : ck_note(envol_memory_space_open(&space));
        if (status == ENVOL_OK)
            status = envol_space_store(space, "name", ENVOL_SPACE_CREATE, &store, NULL);
        failed = faults_disarm() != FAULT_AT_NOTHING;
        ck_assert_int_eq(status, failed ? ENVOL_E_NO_MEMORY : ENVOL_OK);
        if (failed)
            ck_assert_ptr_null(store);
        if (failed && space != NULL)
            ck_missing(space, "name");
        envol_store_close(store);
        envol_space_close(space);
        ck_assert_uint_eq(faults_allocations(), 0);
    }
}
END_TEST

/* --- a caller's own --- */

struct scripted {
    enum envol_status status;
    int os_errno;
    int calls, closes;
};

static enum envol_status answer(struct scripted *scripted)
{
    scripted->calls++;
    errno = scripted->os_errno;
    return scripted->status;
}

static enum envol_status scripted_open(void *state, const char *name, uint32_t flags,
                                       struct envol_store **store, struct envol_error *error)
{
    (void)name;
    (void)flags;
    (void)error;
    *store = NULL;
    return answer(state);
}

static enum envol_status scripted_remove(void *state, const char *name)
{
    (void)name;
    return answer(state);
}

static enum envol_status scripted_rename(void *state, const char *from, const char *to)
{
    (void)from;
    (void)to;
    return answer(state);
}

static enum envol_status
scripted_list(void *state, enum envol_status (*callback)(const char *name, void *ctx), void *ctx)
{
    if (callback("NOT A NAME", ctx) == ENVOL_OK)
        (void)callback("name", ctx);
    return answer(state);
}

static void scripted_close(void *state)
{
    ((struct scripted *)state)->closes++;
}

static struct envol_space_vtable scripted_vtable(void)
{
    return (struct envol_space_vtable){
        sizeof(struct envol_space_vtable),
        "scripted",
        scripted_open,
        scripted_remove,
        scripted_rename,
        scripted_list,
        scripted_close,
    };
}

START_TEST(what_a_vtable_answers)
{
    struct scripted scripted = {ENVOL_E_IO, ENOSPC, 0, 0};
    struct envol_space_vtable vtable = scripted_vtable();
    struct envol_error error = ENVOL_ERROR_INIT;
    struct names names = {0};
    struct envol_space *space;
    struct envol_store *store;

    ck_ok(envol_space_open(&vtable, &scripted, &space));
    ck_assert_int_eq(envol_space_store(space, "name", 0, &store, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, ENOSPC);
    ck_assert_int_eq(envol_space_remove(space, "name", &error), ENVOL_E_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "scripted space: remove name"));
    scripted.os_errno = 0;
    ck_assert_int_eq(envol_space_rename(space, "name", "other", &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, EIO);
    ck_assert_int_eq(envol_space_list(space, note, &names, &error), ENVOL_E_IO);
    ck_assert_uint_eq(names.count, 1);
    ck_assert_str_eq(names.names[0], "name");
    ck_assert_int_eq(envol_space_list(space, note, &(struct names){.stop_at = 1}, &error),
                     ENVOL_E_CANCELLED);
    ck_assert_int_eq(scripted.calls, 5);
    /* It says that it opened a store, and hands out none. */
    scripted.status = ENVOL_OK;
    ck_assert_int_eq(envol_space_store(space, "name", 0, &store, &error), ENVOL_E_IO);
    ck_assert_int_eq(scripted.closes, 0);
    envol_space_close(space);
    ck_assert_int_eq(scripted.closes, 1);
}
END_TEST

START_TEST(vtables_that_lack_something)
{
    struct scripted scripted = {0};
    struct envol_space_vtable vtable = scripted_vtable();
    struct envol_space *space = (struct envol_space *)&scripted, *shared = space;

    vtable.struct_size--;
    ck_status(envol_space_open(&vtable, &scripted, &space), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(space);
    ck_status(envol_space_open(NULL, &scripted, &space), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(scripted.closes, 0);
    vtable = scripted_vtable();
    vtable.rename = NULL;
    ck_status(envol_space_open(&vtable, &scripted, &space), ENVOL_E_ARGUMENT);
    vtable = scripted_vtable();
    ck_status(envol_space_open(&vtable, &scripted, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(scripted.closes, 2);
    ck_ok(envol_space_open(&vtable, &scripted, &space));
    ck_status(envol_memory_space_share(space, &shared), ENVOL_E_ARGUMENT);
    ck_assert_ptr_null(shared);
    envol_space_close(space);
    ck_assert_int_eq(scripted.closes, 3);
    faults_set_allocator();
    faults_arm(FAULT_ALLOC, 1, false);
    ck_status(envol_space_open(&vtable, &scripted, &space), ENVOL_E_NO_MEMORY);
    faults_disarm();
    ck_assert_int_eq(scripted.closes, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("space");
    TCase *tcase = tcase_create("space");

    tcase_add_loop_test(tcase, names_stand_for_stores, 0, KINDS);
    tcase_add_loop_test(tcase, names_are_removed_and_changed, 0, KINDS);
    tcase_add_loop_test(tcase, other_names_are_refused, 0, KINDS);
    tcase_add_loop_test(tcase, a_listing_ends_where_its_callback_says, 0, KINDS);
    tcase_add_test(tcase, a_directory_is_its_owners);
    tcase_add_test(tcase, a_directory_has_other_files);
    tcase_add_test(tcase, a_directory_stays_the_same);
    tcase_add_test(tcase, directories_that_cannot_be_opened);
    tcase_add_test(tcase, a_failure_names_the_file);
    tcase_add_loop_test(tcase, memory_runs_out, 0, KINDS);
    tcase_add_test(tcase, what_a_vtable_answers);
    tcase_add_test(tcase, vtables_that_lack_something);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
