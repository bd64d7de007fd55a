/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks of a file store between processes, and interrupted; and a store on a block device. */
#include "base/memory.h"
#include "children.h"
#include "store/store.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    int lock_errno, interruptions;
    _Atomic int asked;
    _Atomic long slept_ms;
    bool sleeps_not, no_holes;
} fake;

static int refuse(int os_errno)
{
    errno = os_errno;
    return -1;
}

/* These stand in for the C library's in this program. */
int fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    if (command == F_OFD_SETLK || command == F_OFD_SETLKW) {
        ck_assert_int_ne(command, F_OFD_SETLKW); /* has no end */
        fake.asked++;
        if (fake.interruptions > 0 && fake.interruptions-- > 0)
            return refuse(EINTR);
        if (fake.lock_errno != 0)
            return refuse(fake.lock_errno);
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* Interrupted once at half of the time. */
int nanosleep(const struct timespec *pause, struct timespec *left)
{
    static _Thread_local bool was_interrupted;

    was_interrupted = !was_interrupted;
    if (was_interrupted && left != NULL) {
        fake.slept_ms += pause->tv_nsec / 2000000;
        left->tv_nsec = pause->tv_nsec - pause->tv_nsec / 2000000 * 1000000;
        return refuse(EINTR);
    }
    fake.slept_ms += pause->tv_nsec / 1000000;
    return fake.sleeps_not ? 0 : (int)syscall(SYS_nanosleep, pause, left);
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    return fake.no_holes ? refuse(EINVAL) : (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
}

static struct envol_store *open_file(const char *path, uint32_t flags)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_store *store = NULL;

    ck_assert_msg(envol_file_store_open(path, flags, &store, &error) == ENVOL_OK, "%s",
                  error.message);
    return store;
}

static enum envol_status take(struct envol_store *store, enum envol_store_lock lock,
                              enum envol_lock_mode mode, int wait)
{
    return envol_store_lock(store, lock, mode, wait, NULL);
}

/* --- failures --- */

START_TEST(interrupted_locks_are_asked_for_again)
{
    struct envol_store *store = open_file(test_path("x"), ENVOL_FILE_CREATE);

    for (int wait = 0; wait < 2; wait++) {
        fake.interruptions = 3;
        ck_assert_int_eq(take(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, wait), ENVOL_OK);
        ck_assert_int_eq(fake.interruptions, 0);
    }
    envol_store_close(store);
}
END_TEST

START_TEST(failures_of_locks)
{
    static const struct {
        int os_errno;
        enum envol_status expected;
    } cases[] = {
        {EAGAIN, ENVOL_E_BUSY},        {EACCES, ENVOL_E_BUSY}, {EINVAL, ENVOL_E_UNSUPPORTED},
        {ENOSYS, ENVOL_E_UNSUPPORTED}, {ENOLCK, ENVOL_E_IO},   {EOPNOTSUPP, ENVOL_E_UNSUPPORTED},
    };
    struct envol_store *store = open_file(test_path("x"), ENVOL_FILE_CREATE);
    struct envol_error error = ENVOL_ERROR_INIT;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake.lock_errno = cases[i].os_errno;
        ck_assert_int_eq(envol_store_lock(store, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED, 0, &error),
                         cases[i].expected);
        ck_assert_int_eq(error.os_errno, cases[i].expected == ENVOL_E_IO ? ENOLCK : 0);
    }
    envol_store_close(store);
}
END_TEST

/* --- two processes --- */

static int finds_it_locked(void *path)
{
    struct envol_store *store = open_file(path, 0);

    child_expects(take(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 0) == ENVOL_E_BUSY);
    child_expects(take(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_SHARED, 0) == ENVOL_E_BUSY);
    child_expects(take(store, ENVOL_LOCK_READERS, ENVOL_LOCK_EXCLUSIVE, 0) == ENVOL_E_BUSY);
    child_expects(take(store, ENVOL_LOCK_READERS, ENVOL_LOCK_SHARED, 0) == ENVOL_OK);
    child_expects(take(store, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE, 0) == ENVOL_OK);
    envol_store_close(store);
    return 0;
}

/* What a process still holds when it ends. */
static struct envol_store *held;

static int finds_it_free(void *path)
{
    held = open_file(path, 0);

    for (int i = ENVOL_LOCK_WRITER; i <= ENVOL_LOCK_HEADER; i++)
        child_expects(take(held, (enum envol_store_lock)i, ENVOL_LOCK_EXCLUSIVE, 0) == ENVOL_OK);
    return 0;
}

START_TEST(processes_see_each_other)
{
    char path[512];
    struct envol_store *store, *other;

    snprintf(path, sizeof(path), "%s", test_path("x"));
    store = open_file(path, ENVOL_FILE_CREATE);
    ck_assert_int_eq(take(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 0), ENVOL_OK);
    ck_assert_int_eq(take(store, ENVOL_LOCK_READERS, ENVOL_LOCK_SHARED, 0), ENVOL_OK);
    ck_assert_int_eq(test_in_child(finds_it_locked, path), 0);
    /* A POSIX lock would be lost here. */
    other = open_file(path, 0);
    envol_store_close(other);
    ck_assert_int_eq(test_in_child(finds_it_locked, path), 0);
    envol_store_close(store);
    ck_assert_int_eq(test_in_child(finds_it_free, path), 0);
    ck_assert_int_eq(test_in_child(finds_it_free, path), 0);
}
END_TEST

/* A child holds the lock until it is told to go on; it then ends by a signal. */
static pid_t start_holder(const char *path, int *tell)
{
    int ready[2], go[2];
    pid_t child;
    char byte = 0;

    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(go), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        held = open_file(path, 0);
        close(go[1]);
        if (take(held, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 0) != ENVOL_OK ||
            write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) < 0)
            _exit(1);
        usleep(500000);
        kill(getpid(), SIGKILL);
    }
    close(go[0]);
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *tell = go[1];
    return child;
}

/* A killed writer's lock is free at once, and one who waits gets it. */
START_TEST(locks_of_a_killed_process_are_free)
{
    struct envol_store *store;
    int tell, status;
    pid_t child;

    envol_store_close(open_file(test_path("x"), ENVOL_FILE_CREATE));
    child = start_holder(test_path("x"), &tell);
    store = open_file(test_path("x"), 0);
    ck_assert_int_eq(take(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 0), ENVOL_E_BUSY);
    close(tell);
    ck_assert_int_eq(take(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 1), ENVOL_OK);
    ck_assert_int_ge(fake.asked, 3);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    envol_store_close(store);
}
END_TEST

/* Whoever may read a file can lock it, and never let go. */
START_TEST(waiting_has_an_end)
{
    struct envol_store *store = open_file(test_path("x"), ENVOL_FILE_CREATE);
    struct envol_store *reader = open_file(test_path("x"), ENVOL_FILE_READ_ONLY);

    ck_assert_int_eq(take(reader, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED, 1), ENVOL_OK);
    fake.sleeps_not = true;
    fake.asked = 0;
    ck_assert_int_eq(take(store, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE, 1), ENVOL_E_BUSY);
    ck_assert_int_ge(fake.slept_ms, ENVOL_LOCK_WAIT_MS);
    ck_assert_int_le(fake.slept_ms, ENVOL_LOCK_WAIT_MS + 100);
    ck_assert_int_le(fake.asked, 400);
    ck_assert_int_eq(take(store, ENVOL_LOCK_HEADER, ENVOL_LOCK_SHARED, 1), ENVOL_OK);
    fake.slept_ms = 0;
    fake.lock_errno = ENOLCK; /* not what waiting helps against */
    ck_assert_int_eq(take(store, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE, 1), ENVOL_E_IO);
    ck_assert_int_eq(fake.slept_ms, 0);
    envol_store_close(reader);
    envol_store_close(store);
}
END_TEST

/* Locks do not stand where data can. */
START_TEST(locks_do_not_stop_data)
{
    struct envol_store *one = open_file(test_path("x"), ENVOL_FILE_CREATE);
    struct envol_store *two = open_file(test_path("x"), 0);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0};
    int fd = open(test_path("x"), O_RDWR | O_CLOEXEC);
    uint8_t byte;

    range.l_len = INT64_C(1) << 62;
    ck_assert_int_eq(take(one, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 0), ENVOL_OK);
    ck_assert_int_eq(take(one, ENVOL_LOCK_READERS, ENVOL_LOCK_EXCLUSIVE, 0), ENVOL_OK);
    ck_assert_int_eq(take(one, ENVOL_LOCK_HEADER, ENVOL_LOCK_EXCLUSIVE, 0), ENVOL_OK);
    ck_assert_int_eq(envol_store_write(two, 0, "x", 1, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_read_full(two, 0, &byte, 1, NULL), ENVOL_OK);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &range), 0);
    close(fd);
    envol_store_close(one);
    envol_store_close(two);
}
END_TEST

/* --- block devices --- */

enum { DEVICE_BYTES = 1 << 20 };

static char device_path[64];

/* A loop device over a file of 1 MiB, that goes when its last descriptor is closed; -1 without. */
static int attach_device(const char *path)
{
    struct loop_info64 info = {.lo_flags = LO_FLAGS_AUTOCLEAR};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int device = -1;

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(ftruncate(file, DEVICE_BYTES), 0);
    snprintf(device_path, sizeof(device_path), "/dev/loop%d", number);
    if (number >= 0)
        device = open(device_path, O_RDWR | O_CLOEXEC);
    if (device >= 0 &&
        (ioctl(device, LOOP_SET_FD, file) != 0 || ioctl(device, LOOP_SET_STATUS64, &info) != 0)) {
        close(device);
        device = -1;
    }
    close(file);
    if (control >= 0)
        close(control);
    return device;
}

static void use_device(struct envol_store *store)
{
    static _Alignas(4096) uint8_t data[8192], back[8192];
    struct envol_error error = ENVOL_ERROR_INIT;
    uint64_t size;
    size_t got;

    test_fill(data, sizeof(data));
    ck_assert_int_eq(envol_store_size(store, &size, NULL), ENVOL_OK);
    ck_assert_uint_eq(size, DEVICE_BYTES);
    ck_assert_int_eq(envol_store_resize(store, DEVICE_BYTES, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_resize(store, DEVICE_BYTES / 2, &error), ENVOL_E_UNSUPPORTED);
    ck_assert_int_eq(envol_store_write(store, 4096, data, 8192, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_sync(store, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_read_full(store, 4096, back, 8192, NULL), ENVOL_OK);
    ck_assert_mem_eq(back, data, 8192);
    ck_assert_int_eq(envol_store_discard(store, 4096, 4096, NULL), ENVOL_OK);
    fake.no_holes = true;
    ck_assert_int_eq(envol_store_discard(store, 8192, 4096, NULL), ENVOL_OK);
    fake.no_holes = false;
    ck_assert_int_eq(envol_store_read_full(store, 4096, back, 8192, NULL), ENVOL_OK);
    ck_assert(envol_is_zero(back, 8192));
    ck_assert_int_eq(envol_store_read(store, DEVICE_BYTES - 4096, back, 8192, &got, NULL),
                     ENVOL_OK);
    ck_assert_uint_eq(got, 4096);
    ck_assert_int_eq(envol_store_write(store, DEVICE_BYTES - 4096, data, 8192, &error), ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, ENOSPC);
    ck_assert_int_eq(take(store, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 0), ENVOL_OK);
}

START_TEST(block_devices)
{
    int device = attach_device(test_path("image"));
    struct envol_store *store, *other;

    if (device < 0) {
        test_skip("block devices", "no loop device to be had");
        return;
    }
    store = open_file(device_path, _i == 0 ? 0 : ENVOL_FILE_DIRECT);
    use_device(store);
    other = open_file(device_path, 0);
    ck_assert_int_eq(take(other, ENVOL_LOCK_WRITER, ENVOL_LOCK_EXCLUSIVE, 0), ENVOL_E_BUSY);
    envol_store_close(other);
    envol_store_close(store);
    close(device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_locks");
    TCase *tcase = tcase_create("file_locks");

    tcase_add_test(tcase, interrupted_locks_are_asked_for_again);
    tcase_add_test(tcase, failures_of_locks);
    tcase_add_test(tcase, processes_see_each_other);
    tcase_add_test(tcase, locks_of_a_killed_process_are_free);
    tcase_add_test(tcase, waiting_has_an_end);
    tcase_add_test(tcase, locks_do_not_stop_data);
    tcase_add_loop_test(tcase, block_devices, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
