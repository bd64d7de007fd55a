/* SPDX-License-Identifier: BSD-2-Clause */
/* The file store's system calls: what it opens, and each call interrupted, short and failing. */
#include "base/memory.h"
#include "children.h"
#include "store/store.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { UNIT = 4096, BYTES = 10000 };

enum fault { NONE, INTERRUPTED, SHORT, FAILING, FAILING_LATE, NOTHING, ODD };

static struct {
    enum fault fault; /* of pread and pwrite */
    int calls;
    int sync_errno, fallocate_errno, setfl_errno, truncate_errno, fstat_errno;
    int fsyncs, fdatasyncs, interruptions;
} fake;

static _Alignas(UNIT) uint8_t data[4 * UNIT];
static _Alignas(UNIT) uint8_t back[4 * UNIT];

static int refuse(int os_errno)
{
    errno = os_errno;
    return -1;
}

/* True for the calls of a fault that must fail, or be interrupted. */
static bool faulty(int *os_errno)
{
    int call = fake.calls++;

    *os_errno = fake.fault == INTERRUPTED ? EINTR : ENOSPC;
    return (fake.fault == INTERRUPTED && call % 3 < 2) || fake.fault == FAILING ||
           (fake.fault == FAILING_LATE && call > 0);
}

static size_t part_of(size_t bytes)
{
    size_t most = fake.fault == NOTHING ? 0 : 1300;

    return (fake.fault == SHORT || fake.fault == FAILING_LATE || fake.fault == NOTHING) &&
                   bytes > most
               ? most
               : bytes;
}

/* These stand in for the C library's in this program. */
ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    int os_errno;

    return faulty(&os_errno) ? refuse(os_errno)
                             : syscall(SYS_pread64, fd, buffer, part_of(bytes), offset);
}

/* ODD: two units are written, and all but 100 bytes of them reported. */
ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    int os_errno;

    if (fake.fault == ODD && bytes > UNIT)
        return syscall(SYS_pwrite64, fd, buffer, 2 * UNIT, offset) - 100;
    return faulty(&os_errno) ? refuse(os_errno)
                             : syscall(SYS_pwrite64, fd, buffer, part_of(bytes), offset);
}

static bool interrupted(void)
{
    return fake.interruptions > 0 && fake.interruptions-- > 0;
}

int fsync(int fd)
{
    fake.fsyncs++;
    if (interrupted())
        return refuse(EINTR);
    return fake.sync_errno != 0 ? refuse(fake.sync_errno) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    fake.fdatasyncs++;
    if (interrupted())
        return refuse(EINTR);
    return fake.sync_errno != 0 ? refuse(fake.sync_errno) : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t bytes)
{
    if (interrupted())
        return refuse(EINTR);
    return fake.truncate_errno != 0 ? refuse(fake.truncate_errno)
                                    : (int)syscall(SYS_ftruncate, fd, bytes);
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    if (interrupted())
        return refuse(EINTR);
    return fake.fallocate_errno != 0 ? refuse(fake.fallocate_errno)
                                     : (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
}

int fstat(int fd, struct stat *about)
{
    return fake.fstat_errno != 0 ? refuse(fake.fstat_errno) : (int)syscall(SYS_fstat, fd, about);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    if (command == F_SETFL && fake.setfl_errno != 0)
        return refuse(fake.setfl_errno);
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

static struct envol_store *create(const char *name)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_store *store = NULL;

    ck_assert_msg(envol_file_store_open(test_path(name), ENVOL_FILE_CREATE, &store, &error) ==
                      ENVOL_OK,
                  "%s", error.message);
    return store;
}

static void expect_open(const char *path, uint32_t flags, enum envol_status expected, int os_errno)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_store *store = (struct envol_store *)data;

    ck_status(envol_file_store_open(path, flags, &store, &error), expected);
    ck_assert_ptr_null(store);
    ck_assert_int_eq(error.status, expected);
    ck_assert_int_eq(error.os_errno, os_errno);
    ck_assert_uint_gt(strlen(error.message), 10);
}

/* --- opening --- */

START_TEST(created_files_are_private_and_new)
{
    struct envol_store *store, *other = NULL;
    struct stat about;

    umask(0);
    store = create("new");
    ck_assert_int_eq(stat(test_path("new"), &about), 0);
    ck_assert_uint_eq(about.st_mode & 07777, 0600);
    ck_assert_int_eq(fake.fsyncs, 1); /* the directory's */
    expect_open(test_path("new"), ENVOL_FILE_CREATE, ENVOL_E_STATE, EEXIST);
    ck_assert_int_eq(symlink("nowhere", test_path("link")), 0);
    expect_open(test_path("link"), ENVOL_FILE_CREATE, ENVOL_E_STATE, EEXIST);
    ck_ok(envol_file_store_open(test_path("new"), 0, &other, NULL));
    envol_store_close(other);
    envol_store_close(store);
}
END_TEST

START_TEST(an_open_clears_the_error)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_store *store = NULL;

    error.status = ENVOL_E_IO;
    ck_ok(envol_file_store_open(test_path("x"), ENVOL_FILE_CREATE, &store, &error));
    ck_assert_int_eq(error.status, ENVOL_OK);
    envol_store_close(store);
}
END_TEST

/* Paths without a directory, and directly below the root. */
START_TEST(relative_paths)
{
    struct envol_store *store = NULL;
    char directory[4096];

    ck_assert_ptr_nonnull(realpath(".", directory));
    envol_store_close(create("first"));
    ck_assert_int_eq(chdir(dirname(strdupa(test_path("first")))), 0);
    ck_ok(envol_file_store_open("plain", ENVOL_FILE_CREATE, &store, NULL));
    ck_assert_int_eq(access("plain", R_OK), 0);
    envol_store_close(store);
    ck_assert_int_eq(unlink("plain"), 0);
    ck_assert_int_eq(chdir(directory), 0);
    expect_open("/proc", ENVOL_FILE_CREATE, ENVOL_E_STATE, EEXIST);
}
END_TEST

START_TEST(arguments_that_are_refused)
{
    expect_open(NULL, 0, ENVOL_E_ARGUMENT, 0);
    expect_open("", 0, ENVOL_E_ARGUMENT, 0);
    expect_open(test_path("x"), 8, ENVOL_E_ARGUMENT, 0);
    expect_open(test_path("x"), ENVOL_FILE_CREATE | ENVOL_FILE_READ_ONLY, ENVOL_E_ARGUMENT, 0);
    ck_status(envol_file_store_open(test_path("x"), 0, NULL, NULL), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(access(test_path("x"), F_OK), -1);
    expect_open(test_path("x"), 0, ENVOL_E_IO, ENOENT);
    expect_open(test_path("no/x"), ENVOL_FILE_CREATE, ENVOL_E_IO, ENOENT);
}
END_TEST

/* None of them may hang, for reading or writing. */
START_TEST(only_files_and_block_devices)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    ck_assert_int_eq(mkfifo(test_path("fifo"), 0600), 0);
    ck_assert_int_eq(mkdir(test_path("dir"), 0700), 0);
    ck_assert_uint_lt(strlen(test_path("socket")), sizeof(address.sun_path));
    strcpy(address.sun_path, test_path("socket"));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    for (uint32_t flags = 0; flags <= ENVOL_FILE_READ_ONLY; flags++) {
        expect_open(test_path("fifo"), flags, ENVOL_E_UNSUPPORTED, 0);
        expect_open(test_path("dir"), flags, ENVOL_E_UNSUPPORTED, 0);
        expect_open(test_path("socket"), flags, ENVOL_E_UNSUPPORTED, 0);
        expect_open("/dev/full", flags, ENVOL_E_UNSUPPORTED, 0);
        expect_open("/dev/null", flags, ENVOL_E_UNSUPPORTED, 0);
    }
    close(fd);
}
END_TEST

/* A file that was just created does not stay behind when the open fails. */
START_TEST(failed_creations_leave_nothing)
{
    fake.setfl_errno = EINVAL;
    expect_open(test_path("x"), ENVOL_FILE_CREATE | ENVOL_FILE_DIRECT, ENVOL_E_UNSUPPORTED, EINVAL);
    ck_assert_int_eq(access(test_path("x"), F_OK), -1);
    fake.setfl_errno = EBADF;
    expect_open(test_path("x"), ENVOL_FILE_CREATE, ENVOL_E_IO, EBADF);
    ck_assert_int_eq(access(test_path("x"), F_OK), -1);
    fake.setfl_errno = 0;
    fake.sync_errno = EIO;
    expect_open(test_path("x"), ENVOL_FILE_CREATE, ENVOL_E_IO, EIO);
    ck_assert_int_eq(access(test_path("x"), F_OK), -1);
    fake.sync_errno = 0;
    fake.fstat_errno = ENOMEM;
    expect_open(test_path("x"), ENVOL_FILE_CREATE, ENVOL_E_IO, ENOMEM);
    fake.fstat_errno = 0;
    ck_assert_int_eq(access(test_path("x"), F_OK), -1);
    fake.sync_errno = EINVAL; /* a file system that cannot sync directories */
    envol_store_close(create("x"));
    fake.setfl_errno = EINVAL; /* and a file that existed stays */
    expect_open(test_path("x"), ENVOL_FILE_DIRECT, ENVOL_E_UNSUPPORTED, EINVAL);
    ck_assert_int_eq(access(test_path("x"), F_OK), 0);
}
END_TEST

static int without_standard_descriptors(void *path)
{
    struct envol_store *store = NULL;

    close(0);
    close(1);
    close(2);
    if (envol_file_store_open(path, ENVOL_FILE_CREATE, &store, NULL) != ENVOL_OK)
        return 1;
    if (write(1, "x", 1) != -1 || write(2, "x", 1) != -1 || syscall(SYS_fcntl, 0, F_GETFD) != -1)
        return 2;
    envol_store_close(store);
    return 0;
}

START_TEST(standard_descriptors_stay_free)
{
    struct stat about;

    ck_assert_int_eq(test_in_child(without_standard_descriptors, (void *)test_path("x")), 0);
    ck_assert_int_eq(stat(test_path("x"), &about), 0);
    ck_assert_int_eq(about.st_size, 0);
}
END_TEST

/* No descriptor is left over, and none goes to a program that is executed. */
START_TEST(descriptors_are_closed)
{
    int before = (int)syscall(SYS_dup, 2), after;

    close(before);
    for (int i = 0; i < 3; i++) {
        struct envol_store *store = create(i == 0 ? "a" : i == 1 ? "b" : "c");

        ck_assert_int_eq((int)syscall(SYS_fcntl, before, F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq((int)syscall(SYS_fcntl, before, F_GETFL) & O_NONBLOCK, 0);
        envol_store_close(store);
    }
    expect_open(test_path("a"), ENVOL_FILE_CREATE, ENVOL_E_STATE, EEXIST);
    expect_open("/dev/null", 0, ENVOL_E_UNSUPPORTED, 0);
    after = (int)syscall(SYS_dup, 2);
    close(after);
    ck_assert_int_eq(after, before);
}
END_TEST

/* --- reading and writing --- */

START_TEST(interrupted_and_short_transfers_go_on)
{
    struct envol_store *store = create("x");

    test_fill(data, sizeof(data));
    fake.fault = (enum fault)_i;
    ck_assert_int_eq(envol_store_write(store, 77, data, BYTES, NULL), ENVOL_OK);
    ck_assert_int_gt(fake.calls, 2);
    fake.calls = 0;
    ck_assert_int_eq(envol_store_read_full(store, 77, back, BYTES, NULL), ENVOL_OK);
    ck_assert_int_gt(fake.calls, 2);
    ck_assert_mem_eq(back, data, BYTES);
    envol_store_close(store);
}
END_TEST

START_TEST(failed_transfers_say_why)
{
    struct envol_store *store = create("x");
    struct envol_error error = ENVOL_ERROR_INIT;
    size_t got = 1;

    test_fill(data, sizeof(data));
    ck_assert_int_eq(envol_store_write(store, 0, data, BYTES, NULL), ENVOL_OK);
    fake.fault = (enum fault)_i;
    fake.calls = 0;
    ck_assert_int_eq(envol_store_write(store, 0, data, BYTES, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, _i == NOTHING ? EIO : ENOSPC);
    if (_i != NOTHING)
        ck_assert_ptr_nonnull(strstr(error.message, "No space left on device"));
    fake.calls = 0;
    memset(back, 0xee, BYTES);
    if (_i == NOTHING) { /* reading nothing is the end */
        ck_assert_int_eq(envol_store_read_full(store, 0, back, BYTES, &error), ENVOL_E_TRUNCATED);
    } else {
        ck_assert_int_eq(envol_store_read(store, 0, back, BYTES, &got, &error), ENVOL_E_IO);
        ck_assert_int_eq(error.os_errno, ENOSPC);
        ck_assert_uint_eq(got, 0);
    }
    ck_assert(envol_is_zero(back, BYTES));
    envol_store_close(store);
}
END_TEST

/* A short write under O_DIRECT goes on from an aligned place, or gives up; never misaligned. */
START_TEST(short_direct_writes)
{
    struct envol_store *store = NULL;
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = ck_note(envol_file_store_open(
        test_path("x"), ENVOL_FILE_CREATE | ENVOL_FILE_DIRECT, &store, &error));

    if (status == ENVOL_E_UNSUPPORTED) {
        test_skip("O_DIRECT", error.message);
        return;
    }
    ck_assert_int_eq(status, ENVOL_OK);
    fake.fault = NOTHING;
    ck_assert_int_eq(envol_store_write(store, 0, data, UNIT, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, EIO);
    fake.fault = ODD;
    test_fill(data, sizeof(data));
    ck_assert_int_eq(envol_store_write(store, 0, data, sizeof(data), &error), ENVOL_OK);
    fake.fault = NONE;
    ck_assert_int_eq(envol_store_read_full(store, 0, back, sizeof(back), NULL), ENVOL_OK);
    ck_assert_mem_eq(back, data, sizeof(data));
    envol_store_close(store);
}
END_TEST

static int beyond_the_file_size_limit(void *argument)
{
    struct envol_store *store = argument;
    struct envol_error error = ENVOL_ERROR_INIT;
    struct rlimit limit = {2 * UNIT, 2 * UNIT};

    signal(SIGXFSZ, SIG_IGN);
    child_expects(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    child_expects(envol_store_write(store, 0, data, 2 * UNIT, &error) == ENVOL_OK);
    child_expects(envol_store_write(store, UNIT, data, 2 * UNIT, &error) == ENVOL_E_IO);
    child_expects(error.os_errno == EFBIG);
    child_expects(envol_store_resize(store, 3 * UNIT, &error) == ENVOL_E_IO);
    child_expects(error.os_errno == EFBIG);
    return 0;
}

START_TEST(file_size_limit)
{
    struct envol_store *store = create("x");

    ck_assert_int_eq(test_in_child(beyond_the_file_size_limit, store), 0);
    envol_store_close(store);
}
END_TEST

/* --- syncs, sizes, discards --- */

START_TEST(syncs_cover_what_was_done)
{
    struct envol_store *store = create("x");

    fake.fsyncs = 0;
    ck_assert_int_eq(envol_store_write(store, 0, data, UNIT, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    ck_assert_int_eq(fake.fdatasyncs, 1);
    ck_assert_int_eq(fake.fsyncs, 0);
    fake.interruptions = 2;
    ck_assert_int_eq(envol_store_resize(store, 100, NULL), ENVOL_OK);
    fake.interruptions = 2;
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    ck_assert_int_eq(fake.fsyncs, 3);
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    ck_assert_int_eq(fake.fsyncs, 3);
    ck_assert_int_eq(fake.fdatasyncs, 2);
    envol_store_close(store);
}
END_TEST

/* The kernel would say yes the second time; the pages are lost all the same. */
START_TEST(a_failed_sync_stays_failed)
{
    struct envol_store *store = create("x");
    struct envol_error error = ENVOL_ERROR_INIT;

    fake.sync_errno = ENOSPC;
    ck_assert_int_eq(envol_store_sync(store, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, ENOSPC);
    fake.sync_errno = 0;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(envol_store_sync(store, &error), ENVOL_E_IO);
        ck_assert_int_eq(error.os_errno, ENOSPC);
    }
    ck_assert_int_eq(fake.fdatasyncs, 1);
    envol_store_close(store);
}
END_TEST

START_TEST(sizes_that_fail)
{
    struct envol_store *store = create("x");
    struct envol_error error = ENVOL_ERROR_INIT;
    uint64_t size = 1;

    fake.fstat_errno = EIO;
    ck_assert_int_eq(envol_store_size(store, &size, &error), ENVOL_E_IO);
    ck_assert_uint_eq(size, 0);
    ck_assert_int_eq(error.os_errno, EIO);
    ck_assert_int_eq(envol_store_discard(store, 0, 0, &error), ENVOL_E_IO);
    fake.fstat_errno = 0;
    fake.truncate_errno = EPERM;
    ck_assert_int_eq(envol_store_resize(store, 10, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, EPERM);
    envol_store_close(store);
}
END_TEST

START_TEST(discards_free_space)
{
    struct envol_store *store = create("x");
    struct stat before, after;

    memset(data, 1, sizeof(data));
    for (uint64_t i = 0; i < 64; i++)
        ck_assert_int_eq(envol_store_write(store, i * sizeof(data), data, sizeof(data), NULL),
                         ENVOL_OK);
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    ck_assert_int_eq(stat(test_path("x"), &before), 0);
    fake.interruptions = 1;
    ck_assert_int_eq(envol_store_discard(store, 0, 60 * sizeof(data), NULL), ENVOL_OK);
    ck_assert_int_eq(stat(test_path("x"), &after), 0);
    ck_assert_int_lt(after.st_blocks, before.st_blocks);
    ck_assert_int_eq(after.st_size, before.st_size);
    envol_store_close(store);
}
END_TEST

/* Where there are no holes, zeros are written. */
START_TEST(discards_without_holes)
{
    struct envol_store *store = create("x");
    struct envol_error error = ENVOL_ERROR_INIT;

    test_fill(data, sizeof(data));
    ck_assert_int_eq(envol_store_write(store, 0, data, sizeof(data), NULL), ENVOL_OK);
    fake.fallocate_errno = _i == 0 ? EOPNOTSUPP : ENOSYS;
    fake.fault = SHORT;
    ck_assert_int_eq(envol_store_discard(store, 100, BYTES, NULL), ENVOL_OK);
    fake.fault = NONE;
    ck_assert_int_eq(envol_store_read_full(store, 0, back, sizeof(back), NULL), ENVOL_OK);
    memset(data + 100, 0, BYTES);
    ck_assert_mem_eq(back, data, sizeof(data));
    fake.fault = FAILING;
    ck_assert_int_eq(envol_store_discard(store, 100, BYTES, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, ENOSPC);
    fake.fault = NONE;
    fake.fallocate_errno = EPERM; /* a file that may only grow */
    ck_assert_int_eq(envol_store_discard(store, 100, BYTES, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, EPERM);
    envol_store_close(store);
}
END_TEST

/* --- read-only --- */

START_TEST(read_only_handles_change_nothing)
{
    struct envol_store *store = create("x"), *reader = NULL;
    struct envol_error error = ENVOL_ERROR_INIT;
    uint64_t size;

    test_fill(data, sizeof(data));
    ck_assert_int_eq(envol_store_write(store, 0, data, BYTES, NULL), ENVOL_OK);
    ck_ok(envol_file_store_open(test_path("x"), ENVOL_FILE_READ_ONLY, &reader, NULL));
    ck_assert_int_eq(envol_store_write(reader, 0, data, 1, &error), ENVOL_E_READ_ONLY);
    ck_assert_int_eq(error.status, ENVOL_E_READ_ONLY);
    ck_assert_int_eq(envol_store_resize(reader, 1, NULL), ENVOL_E_READ_ONLY);
    ck_assert_int_eq(envol_store_discard(reader, 0, 1, NULL), ENVOL_E_READ_ONLY);
    ck_assert_int_eq(envol_store_sync(reader, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_size(reader, &size, NULL), ENVOL_OK);
    ck_assert_uint_eq(size, BYTES);
    ck_assert_int_eq(envol_store_read_full(reader, 0, back, BYTES, NULL), ENVOL_OK);
    ck_assert_mem_eq(back, data, BYTES);
    for (int i = ENVOL_LOCK_WRITER; i <= ENVOL_LOCK_HEADER; i++) {
        enum envol_store_lock which = (enum envol_store_lock)i;

        ck_assert_int_eq(envol_store_lock(reader, which, ENVOL_LOCK_EXCLUSIVE, 0, NULL),
                         ENVOL_E_READ_ONLY);
        ck_assert_int_eq(envol_store_lock(reader, which, ENVOL_LOCK_SHARED, 0, NULL), ENVOL_OK);
        ck_assert_int_eq(envol_store_lock(store, which, ENVOL_LOCK_EXCLUSIVE, 0, NULL),
                         ENVOL_E_BUSY);
        ck_assert_int_eq(envol_store_lock(reader, which, ENVOL_LOCK_NONE, 0, NULL), ENVOL_OK);
    }
    envol_store_close(reader);
    envol_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_store");
    TCase *tcase = tcase_create("file_store");

    tcase_add_test(tcase, created_files_are_private_and_new);
    tcase_add_test(tcase, an_open_clears_the_error);
    tcase_add_test(tcase, relative_paths);
    tcase_add_test(tcase, arguments_that_are_refused);
    tcase_add_test(tcase, only_files_and_block_devices);
    tcase_add_test(tcase, failed_creations_leave_nothing);
    tcase_add_test(tcase, standard_descriptors_stay_free);
    tcase_add_test(tcase, descriptors_are_closed);
    tcase_add_loop_test(tcase, interrupted_and_short_transfers_go_on, INTERRUPTED, SHORT + 1);
    tcase_add_loop_test(tcase, failed_transfers_say_why, FAILING, NOTHING + 1);
    tcase_add_test(tcase, short_direct_writes);
    tcase_add_test(tcase, file_size_limit);
    tcase_add_test(tcase, syncs_cover_what_was_done);
    tcase_add_test(tcase, a_failed_sync_stays_failed);
    tcase_add_test(tcase, sizes_that_fail);
    tcase_add_test(tcase, discards_free_space);
    tcase_add_loop_test(tcase, discards_without_holes, 0, 2);
    tcase_add_test(tcase, read_only_handles_change_nothing);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
