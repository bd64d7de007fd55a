/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes of key files: what can be asked for, several writers at once, and the last version that
 * fits.
 */
#undef _FORTIFY_SOURCE /* its inline functions would be in the way of those below */
#include "key_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the library calls, and what happens then. */
static struct {
    bool no_random;
    void (*before_lock)(void);
} plan;

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    if (command == F_OFD_SETLK && plan.before_lock != NULL)
        plan.before_lock();
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    if (plan.no_random) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_getrandom, out, bytes, flags);
}

static const char *second_path(void)
{
    static char path[sizeof(key.directory) + 8];

    snprintf(path, sizeof(path), "%s/new", key.directory);
    return path;
}

/* What can be asked for. */

START_TEST(paths_that_name_no_file)
{
    static const char *const bad[] = {"", ".", "..", "/", "sub/", "./", "sub/..", "/.."};
    char path[1024], *end;

    ck_assert_int_eq(chdir(key.directory), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_status(envol_key_file_create(bad[i], &key.error), ENVOL_E_ARGUMENT);
    ck_status(envol_key_file_create(NULL, &key.error), ENVOL_E_ARGUMENT);
    ck_status(envol_key_file_rotate(NULL, &key.error), ENVOL_E_ARGUMENT);
    ck_status(envol_key_file_set_state("", ENVOL_KEY_ENABLED, NULL), ENVOL_E_ARGUMENT);
    ck_status(envol_key_file_create("missing/key", &key.error), ENVOL_E_IO);
    ck_assert_int_eq(key.error.os_errno, ENOENT);
    ck_status(envol_key_file_create("key/key", &key.error), ENVOL_E_IO);
    ck_assert_int_eq(key.error.os_errno, ENOTDIR);
    memset(path, 'n', 255);
    path[255] = '\0';
    ck_status(envol_key_file_create(path, &key.error), ENVOL_E_IO);
    ck_assert_int_eq(key.error.os_errno, ENAMETOOLONG);
    end = path + snprintf(path, sizeof(path), "%s", "./");
    memset(end, '/', sizeof(path) - 8);
    strcpy(path + sizeof(path) - 8, "new");
    ck_ok(envol_key_file_create(path, &key.error)); /* many slashes are one */
}
END_TEST

START_TEST(states_that_there_are)
{
    uint8_t file[KEY_FILE_ROOM];
    size_t size = file_read(key.path, file);

    ck_status(envol_key_file_set_state(key.path, (enum envol_key_state)0, &key.error),
              ENVOL_E_ARGUMENT);
    ck_status(envol_key_file_set_state(key.path, (enum envol_key_state)4, &key.error),
              ENVOL_E_ARGUMENT);
    ck_assert(file_is(key.path, file, size));
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_PENDING_DELETION, &key.error));
    ck_ok(envol_key_file_rotate(key.path, &key.error));
    ck_assert_int_eq(key_state(), ENVOL_KEY_PENDING_DELETION);
    ck_assert_str_eq(key_newest(), "2");
}
END_TEST

static enum envol_status generate_and_wrap(void)
{
    struct envol_key_request request = key_request(NULL);
    struct envol_wrapped_dek other = {.struct_size = sizeof(other)};
    uint8_t dek[ENVOL_DEK_BYTES];
    enum envol_status generated, wrapped;

    plan.no_random = true;
    generated = envol_provider_generate(key.provider, &request, dek, &other, NULL);
    wrapped = envol_provider_wrap(key.provider, &request, key.dek, &other, &key.error);
    plan.no_random = false;
    test_note("envol_provider_generate", generated);
    test_note("envol_provider_wrap", wrapped);
    return generated == wrapped ? generated : ENVOL_OK;
}

START_TEST(without_randomness_there_is_no_key)
{
    uint8_t file[KEY_FILE_ROOM];
    size_t size = file_read(key.path, file);

    key_generate();
    ck_assert_int_eq(generate_and_wrap(), ENVOL_E_RANDOM);
    plan.no_random = true;
    ck_status(envol_key_file_create(second_path(), &key.error), ENVOL_E_RANDOM);
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_RANDOM);
    ck_status(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error), ENVOL_E_RANDOM);
    plan.no_random = false;
    key_unwraps();
    ck_assert_int_eq(access(second_path(), F_OK), -1);
    ck_assert(file_is(key.path, file, size));
}
END_TEST

/* Several writers. */

START_TEST(a_locked_file_is_busy)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(key.path, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &whole), 0);
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_BUSY);
    ck_status(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error), ENVOL_E_BUSY);
    ck_assert_int_eq(key_state(), ENVOL_KEY_ENABLED); /* readers do not wait */
    close(fd);
    ck_ok(envol_key_file_rotate(key.path, &key.error));
}
END_TEST

/* Another writer is done between this one's open and its lock. */
static void overtake(void)
{
    uint8_t file[KEY_FILE_ROOM];
    size_t size;

    plan.before_lock = NULL;
    size = file_read(key.path, file);
    file_write(second_path(), file, size);
    ck_assert_int_eq(rename(second_path(), key.path), 0);
}

START_TEST(a_file_replaced_meanwhile_is_busy)
{
    plan.before_lock = overtake;
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_BUSY);
    ck_assert_str_eq(key_newest(), "1");
    ck_ok(envol_key_file_rotate(key.path, &key.error));
    ck_assert_str_eq(key_newest(), "2");
}
END_TEST

enum { ROTATIONS = 15 };

static void rotate_often(void)
{
    for (int done = 0; done < ROTATIONS;) {
        enum envol_status status = envol_key_file_rotate(key.path, &key.error);

        if (status != ENVOL_OK && status != ENVOL_E_BUSY)
            _exit(1);
        done += status == ENVOL_OK;
        usleep(200);
    }
    _exit(0);
}

START_TEST(no_rotation_of_two_processes_is_lost)
{
    char expected[8], other[256];
    pid_t children[2];
    int state;

    key_generate();
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0)
            rotate_often();
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(waitpid(children[i], &state, 0), children[i]);
        ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
    }
    snprintf(expected, sizeof(expected), "%d", 1 + 2 * ROTATIONS);
    ck_assert_str_eq(key_newest(), expected);
    ck_assert_uint_eq(directory_entries(other), 1);
    key_unwraps();
}
END_TEST

START_TEST(sixty_four_versions_fit)
{
    static struct envol_wrapped_dek wrapped[64];
    static uint8_t dek[64][ENVOL_DEK_BYTES], file[KEY_FILE_ROOM];
    size_t size;

    for (int i = 0; i < 64; i++) {
        if (i > 0)
            ck_ok(envol_key_file_rotate(key.path, &key.error));
        key_generate();
        wrapped[i] = key.wrapped;
        memcpy(dek[i], key.dek, sizeof(dek[i]));
    }
    size = file_read(key.path, file);
    ck_assert_uint_eq(size, 3116);
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_RANGE);
    ck_assert(file_is(key.path, file, size));
    file_write(key.path, file, size + 1); /* the longest file, and more */
    ck_status(envol_key_file_rotate(key.path, &key.error), ENVOL_E_CORRUPT);
    file_write(key.path, file, size);
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error));
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_ENABLED, &key.error));
    for (int i = 0; i < 64; i++) {
        ck_assert_int_eq(atoi(wrapped[i].key_version), i + 1);
        key.wrapped = wrapped[i];
        memcpy(key.dek, dek[i], sizeof(dek[i]));
        key_unwraps();
    }
}
END_TEST

/* Behind another name the key would stay as it was; a name that a killed creator left is no such.
 */
START_TEST(several_names)
{
    char other[700];

    snprintf(other, sizeof(other), "%s/other", key.directory);
    ck_assert_int_eq(link(key.path, other), 0);
    ck_status(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error), ENVOL_E_STATE);
    ck_assert_ptr_nonnull(strstr(key.error.message, "2 names"));
    ck_status(envol_key_file_rotate(other, &key.error), ENVOL_E_STATE);
    ck_assert_int_eq(key_state(), ENVOL_KEY_ENABLED);
    key_generate();
    ck_assert_int_eq(unlink(other), 0);
    snprintf(other, sizeof(other), "%s/.key.0123456789abcdef.new", key.directory);
    ck_assert_int_eq(link(key.path, other), 0);
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error));
    ck_assert_int_eq(key_state(), ENVOL_KEY_DISABLED);
    ck_assert_int_ne(access(other, F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key changes");
    TCase *tests = key_case(suite, "changes");

    tcase_add_test(tests, paths_that_name_no_file);
    tcase_add_test(tests, states_that_there_are);
    tcase_add_test(tests, without_randomness_there_is_no_key);
    tcase_add_test(tests, a_locked_file_is_busy);
    tcase_add_test(tests, a_file_replaced_meanwhile_is_busy);
    tcase_add_test(tests, no_rotation_of_two_processes_is_lost);
    tcase_add_test(tests, sixty_four_versions_fit);
    tcase_add_test(tests, several_names);
    return test_run(suite);
}
