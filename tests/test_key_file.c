/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making and changing key files: what a failing or killed writer leaves behind, and who may read
 * the file meanwhile.  The system calls of the library are intercepted here.
 */
#undef _FORTIFY_SOURCE /* its inline openat would be in the way */
#include "key_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Interception.  Each call of the library's that changes something is a point, counted from 1. */

enum fault { NONE, FAIL_ONE, FAIL_REST, KILL };

static struct {
    bool armed;
    enum fault fault;
    unsigned at;       /* the point that fails */
    unsigned points;   /* so far */
    bool no_nameless;  /* as a file system without O_TMPFILE */
    bool no_proc;      /* as a system without /proc */
    bool no_noreplace; /* as a file system without RENAME_NOREPLACE */
    unsigned torn;     /* reads and writes: 1 interrupted and short ones, 2 nothing is read */
    char trace[32];    /* the marks of the points, in order */
    void (*watch)(void);
} plan;

/* True: the call, which mark stands for, fails here, with EIO. */
static bool fails(char mark)
{
    bool reached;

    if (!plan.armed)
        return false;
    if (plan.points < sizeof(plan.trace) - 1)
        plan.trace[plan.points] = mark;
    if (plan.watch != NULL)
        plan.watch();
    plan.points++;
    reached = plan.fault == FAIL_REST ? plan.points >= plan.at : plan.points == plan.at;
    if (plan.fault == NONE || !reached)
        return false;
    if (plan.fault == KILL)
        raise(SIGKILL);
    errno = EIO;
    return true;
}

static int refuse(int code)
{
    errno = code;
    return -1;
}

int fsync(int fd)
{
    struct stat is;
    bool directory = syscall(SYS_fstat, fd, &is) == 0 && S_ISDIR(is.st_mode);

    return fails(directory ? 'd' : 's') ? -1 : (int)syscall(SYS_fsync, fd);
}

/* Every second call is interrupted, the others get on by 7 bytes. */
static bool interrupts(size_t *size)
{
    static unsigned calls;

    if (!plan.armed || plan.torn != 1)
        return false;
    if (*size > 7)
        *size = 7;
    errno = EINTR;
    return calls++ % 2 == 0;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    if (interrupts(&size) || fails('w'))
        return -1;
    return syscall(SYS_write, fd, bytes, size);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    if (plan.armed && plan.torn == 2)
        return 0;
    if (interrupts(&size) || fails('r'))
        return -1;
    return syscall(SYS_pread64, fd, bytes, size, offset);
}

int fchmod(int fd, mode_t mode)
{
    return fails('m') ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (plan.armed && plan.no_proc && (flags & AT_SYMLINK_FOLLOW) != 0)
        return refuse(ENOENT);
    return fails('l') ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails('n') ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    if (plan.armed && plan.no_noreplace)
        return refuse(EINVAL);
    return fails('n') ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode = 0;

    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
        if (plan.armed && plan.no_nameless && (flags & O_TMPFILE) == O_TMPFILE)
            return refuse(EOPNOTSUPP);
        if (fails('o'))
            return -1;
    }
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

/* What is done to the key file, at each point of which something fails. */

enum change { CREATE, DISABLE, ROTATE, CHANGES };

static char second_path[700];

/* Disarms: what the tests themselves write is no point. */
static enum envol_status apply(enum change change)
{
    static const char *const names[] = {"envol_key_file_create", "envol_key_file_set_state",
                                        "envol_key_file_rotate"};
    enum envol_status status;

    plan.armed = true;
    if (change == CREATE)
        status = envol_key_file_create(second_path, &key.error);
    else if (change == DISABLE)
        status = envol_key_file_set_state(key.path, ENVOL_KEY_DISABLED, &key.error);
    else
        status = envol_key_file_rotate(key.path, &key.error);
    plan.armed = false;
    return test_note(names[change], status);
}

/* Four kinds of file system. */
static void choose_system(unsigned kind)
{
    plan.no_nameless = kind == 1 || kind == 2;
    plan.no_noreplace = kind == 2;
    plan.no_proc = kind == 3;
}

enum { SYSTEMS = 4 };

static void restore(const uint8_t *file, size_t size)
{
    unlink(second_path);
    unlink(key.path);
    file_write(key.path, file, size);
}

/* The file is whole, opens what it wrapped before, and is as it was or as it should become. */
static void ck_old_or_new(enum change change, const uint8_t *file, size_t size)
{
    if (file_is(key.path, file, size))
        return;
    ck_assert_int_ne(change, CREATE);
    if (change == DISABLE)
        ck_assert_int_eq(key_state(), ENVOL_KEY_DISABLED);
    else
        ck_assert_str_eq(key_newest(), "2");
    ck_ok(envol_key_file_set_state(key.path, ENVOL_KEY_ENABLED, NULL));
    key_unwraps();
}

static void ck_whole_if_there(const char *path)
{
    struct envol_provider *provider;
    struct envol_key_info info = {.struct_size = sizeof(info)};
    struct envol_key_request request = key_request(NULL);

    if (access(path, F_OK) != 0)
        return;
    ck_ok(envol_file_provider_open(path, &provider));
    ck_ok(envol_provider_describe(provider, &request, &info, &key.error));
    envol_provider_close(provider);
}

/* One call with a fault in it; false when the fault lies behind its last point. */
static bool fail_at(enum change change, enum fault fault, unsigned at, const uint8_t *file,
                    size_t size)
{
    char other[256];
    unsigned reached;
    enum envol_status status;

    plan.fault = fault;
    plan.at = at;
    plan.points = 0;
    status = apply(change);
    reached = plan.points;
    ck_assert(status == ENVOL_OK || status == ENVOL_E_IO);
    if (status == ENVOL_E_IO)
        ck_assert_int_eq(key.error.os_errno, EIO);
    if (reached < at)
        ck_assert_int_eq(status, ENVOL_OK);
    ck_assert_uint_eq(directory_entries(other), access(second_path, F_OK) == 0 ? 2 : 1);
    ck_whole_if_there(second_path);
    ck_old_or_new(change, file, size);
    restore(file, size);
    return reached >= at;
}

START_TEST(a_failing_call_leaves_a_whole_file)
{
    uint8_t file[KEY_FILE_ROOM];
    size_t size = file_read(key.path, file);
    unsigned at;

    key_generate();
    choose_system((unsigned)_i / CHANGES);
    for (int fault = FAIL_ONE; fault <= FAIL_REST; fault++) {
        for (at = 1; fail_at((enum change)(_i % CHANGES), (enum fault)fault, at, file, size); at++)
            ;
        ck_assert_uint_gt(at, 5); /* the interception works */
    }
}
END_TEST

/* Children are killed at a point; true if it was reached. */
static bool kill_at(enum change change, unsigned at)
{
    int state = 0;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        plan.fault = KILL;
        plan.at = at;
        _exit(apply(change) == ENVOL_OK ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    if (WIFSIGNALED(state)) {
        ck_assert_int_eq(WTERMSIG(state), SIGKILL);
        return true;
    }
    ck_assert_int_eq(WEXITSTATUS(state), 0);
    return false;
}

/* 1 if a temporary file was left, closed to others like the key file. */
static unsigned count_leftover(char path[800])
{
    char other[256];
    unsigned files = access(second_path, F_OK) == 0 ? 2 : 1;
    unsigned left = directory_entries(other) - files;
    struct stat is;

    ck_assert_uint_le(left, 1);
    if (left == 0)
        return 0;
    ck_assert_uint_eq(files, 1);
    snprintf(path, 800, "%s/%s", key.directory, other);
    ck_assert_int_eq(lstat(path, &is), 0);
    ck_assert_uint_eq(is.st_mode & 0777, 0600);
    return 1;
}

START_TEST(a_killed_call_leaves_a_whole_file)
{
    enum change change = (enum change)(_i % CHANGES);
    uint8_t file[KEY_FILE_ROOM];
    size_t size = file_read(key.path, file);
    unsigned total = 0, left, at;
    char path[800], other[256];

    key_generate();
    choose_system((unsigned)_i / CHANGES);
    for (at = 1; kill_at(change, at); at++) {
        total += left = count_leftover(path);
        ck_whole_if_there(second_path);
        ck_old_or_new(change, file, size);
        if (change == CREATE && left > 0)
            ck_assert_int_eq(unlink(path), 0);
        else if (change != CREATE) /* the next change cleans up */
            ck_ok(envol_key_file_rotate(key.path, NULL));
        restore(file, size);
        ck_assert_uint_eq(directory_entries(other), 1);
    }
    ck_assert_uint_gt(at, 5);
    /* Nameless files vanish: only between its two names can one be left. */
    if (_i / CHANGES == 0)
        ck_assert_uint_eq(total, change == CREATE ? 0 : 1);
}
END_TEST

/* read, open, mode, write, sync, link, rename, sync of the directory: in no other order. */
START_TEST(what_is_named_is_on_the_disk)
{
    static const char *const traces[SYSTEMS][2] = {
        {"omwsld", "romwslnd"},
        {"omwsnd", "romwsnd"},
        {"omwsld", "romwsnd"},
        {"omwsomwsnd", "romwsomwsnd"},
    };

    choose_system((unsigned)_i);
    ck_assert_int_eq(apply(CREATE), ENVOL_OK);
    ck_assert_str_eq(plan.trace, traces[_i][0]);
    memset(plan.trace, 0, sizeof(plan.trace));
    plan.points = 0;
    ck_assert_int_eq(apply(ROTATE), ENVOL_OK);
    ck_assert_str_eq(plan.trace, traces[_i][1]);
}
END_TEST

START_TEST(interrupted_reads_and_writes_go_on)
{
    key_generate();
    plan.torn = 1;
    ck_assert_int_eq(apply(CREATE), ENVOL_OK);
    ck_whole_if_there(second_path);
    ck_assert_int_eq(apply(ROTATE), ENVOL_OK);
    ck_assert_str_eq(key_newest(), "2");
    key_unwraps();
}
END_TEST

START_TEST(a_file_cut_while_it_is_read_is_corrupt)
{
    plan.torn = 2;
    ck_assert_int_eq(apply(ROTATE), ENVOL_E_CORRUPT);
    ck_assert_str_eq(key_newest(), "1");
}
END_TEST

START_TEST(leftovers_of_this_file_alone_are_removed)
{
    static const char *const names[] = {
        ".key.0123456789abcdef.new",  ".key.0123456789abcdeg.new", ".key.0123456789abcde.new",
        ".key2.0123456789abcdef.new", "key.0123456789abcdef.new",  ".key.0123456789abcdef.old",
        ".kez.0123456789abcdef.new",
    };
    char path[sizeof(key.directory) + 64], other[256];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", key.directory, names[i]);
        file_write(path, "x", 1);
    }
    ck_ok(envol_key_file_rotate(key.path, &key.error));
    ck_assert_uint_eq(directory_entries(other), 1 + 6);
    snprintf(path, sizeof(path), "%s/%s", key.directory, names[0]);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* Who may read what. */

static unsigned watched;

static void ck_closed_to_others(void)
{
    char other[256], path[sizeof(key.directory) + sizeof(other)];
    struct stat is;

    watched++;
    ck_assert_int_eq(stat(key.path, &is), 0);
    ck_assert_uint_eq(is.st_mode & 077, 0);
    directory_entries(other);
    if (other[0] == '\0')
        return;
    snprintf(path, sizeof(path), "%s/%s", key.directory, other);
    ck_assert_int_eq(stat(path, &is), 0);
    ck_assert_uint_eq(is.st_mode & 077, 0);
}

START_TEST(nobody_else_may_read_at_any_moment)
{
    static const mode_t masks[] = {0, 0777, 0022};
    struct stat is;

    choose_system((unsigned)_i);
    for (size_t i = 0; i < 3; i++) {
        umask(masks[i]);
        plan.watch = ck_closed_to_others;
        ck_assert_int_eq(apply(CREATE), ENVOL_OK);
        ck_assert_int_eq(apply(ROTATE), ENVOL_OK);
        ck_closed_to_others();
        ck_assert_int_eq(stat(second_path, &is), 0);
        ck_assert_uint_eq(is.st_mode & 07777, 0600);
        ck_assert_int_eq(stat(key.path, &is), 0);
        ck_assert_uint_eq(is.st_mode & 07777, 0600);
        ck_assert_int_eq(unlink(second_path), 0);
    }
    ck_assert_uint_gt(watched, 3 * 10);
}
END_TEST

/* Creating. */

START_TEST(create_overwrites_nothing)
{
    uint8_t file[KEY_FILE_ROOM];
    size_t size = file_read(key.path, file);
    char other[256];

    choose_system((unsigned)_i);
    file_write(second_path, file, size);
    ck_assert_int_eq(apply(CREATE), ENVOL_E_STATE);
    ck_assert_int_eq(key.error.os_errno, EEXIST);
    ck_assert(file_is(second_path, file, size));
    ck_assert_int_eq(unlink(second_path), 0);
    ck_assert_int_eq(symlink("nowhere", second_path), 0);
    ck_assert_int_eq(apply(CREATE), ENVOL_E_STATE);
    ck_assert_int_eq(unlink(second_path), 0);
    ck_assert_int_eq(mkdir(second_path, 0700), 0);
    ck_assert_int_eq(apply(CREATE), ENVOL_E_STATE);
    ck_assert_int_eq(rmdir(second_path), 0);
    ck_assert_uint_eq(directory_entries(other), 1);
}
END_TEST

static void set_up_second(void)
{
    snprintf(second_path, sizeof(second_path), "%s/new", key.directory);
}

int main(void)
{
    Suite *suite = suite_create("key file");
    TCase *faults = key_case(suite, "faults");

    tcase_add_checked_fixture(faults, set_up_second, NULL);
    tcase_add_loop_test(faults, a_failing_call_leaves_a_whole_file, 0, SYSTEMS * CHANGES);
    tcase_add_loop_test(faults, a_killed_call_leaves_a_whole_file, 0, SYSTEMS * CHANGES);
    tcase_add_loop_test(faults, nobody_else_may_read_at_any_moment, 0, SYSTEMS);
    tcase_add_loop_test(faults, create_overwrites_nothing, 0, SYSTEMS);
    tcase_add_loop_test(faults, what_is_named_is_on_the_disk, 0, SYSTEMS);
    tcase_add_test(faults, interrupted_reads_and_writes_go_on);
    tcase_add_test(faults, a_file_cut_while_it_is_read_is_corrupt);
    tcase_add_test(faults, leftovers_of_this_file_alone_are_removed);
    return test_run(suite);
}
