/* SPDX-License-Identifier: BSD-2-Clause */
/* A store in a file or block device: positioned I/O, syncs that stay failed, OFD locks. */
#include "store/file_store.h"

#include "base/error.h"
#include "base/memory.h"
#include "store/file_sync.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DIRECT_ALIGNMENT_BYTES = 4096, LOCK_PAUSE_MS_MAX = 32 };

#define FLAGS (ENVOL_FILE_READ_ONLY | ENVOL_FILE_CREATE | ENVOL_FILE_DIRECT)

/*
 * Locks are single bytes from here on: beyond any data, so that a file system with mandatory locks
 * does not stop I/O, and below 2^63 - 1, so that every file system can lock them.
 */
#define LOCK_OFFSET (INT64_C(1) << 62)

_Static_assert(sizeof(off_t) == 8, "file offsets have 64 bits");

struct file {
    int fd;
    bool is_device;
    bool read_only;
    uint32_t alignment_bytes;
    struct envol_file_syncs syncs;
};

static enum envol_status file_read(void *state, uint64_t offset, void *buffer, size_t bytes,
                                   size_t *got)
{
    const struct file *file = state;
    size_t done = 0;

    while (done < bytes) {
        ssize_t n = pread(file->fd, (char *)buffer + done, bytes - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ENVOL_E_IO;
        done += (size_t)n;
        /* O_DIRECT could not go on from an odd place; only the end of the file leads there. */
        if (n == 0 || done % file->alignment_bytes != 0)
            break;
    }
    *got = done;
    return ENVOL_OK;
}

static enum envol_status file_write(void *state, uint64_t offset, const void *buffer, size_t bytes)
{
    const struct file *file = state;
    size_t done = 0;

    if (file->read_only)
        return ENVOL_E_READ_ONLY;
    while (done < bytes) {
        ssize_t n =
            pwrite(file->fd, (const char *)buffer + done, bytes - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ENVOL_E_IO;
        /* O_DIRECT goes on from an aligned place; what lies between is written again. */
        n -= n % (ssize_t)file->alignment_bytes;
        if (n == 0) {
            errno = EIO;
            return ENVOL_E_IO;
        }
        done += (size_t)n;
    }
    return ENVOL_OK;
}

static enum envol_status file_sync(void *state)
{
    struct file *file = state;

    return file->read_only ? ENVOL_OK : envol_file_sync(&file->syncs, file->fd);
}

static enum envol_status file_size(void *state, uint64_t *bytes)
{
    const struct file *file = state;
    struct stat about;

    if (file->is_device)
        return ioctl(file->fd, BLKGETSIZE64, bytes) == 0 ? ENVOL_OK : ENVOL_E_IO;
    if (fstat(file->fd, &about) != 0)
        return ENVOL_E_IO;
    *bytes = (uint64_t)about.st_size;
    return ENVOL_OK;
}

static enum envol_status device_resize(void *state, uint64_t bytes)
{
    uint64_t size = 0;
    enum envol_status status = file_size(state, &size);

    if (status != ENVOL_OK)
        return status;
    return bytes == size ? ENVOL_OK : ENVOL_E_UNSUPPORTED;
}

static enum envol_status file_resize(void *state, uint64_t bytes)
{
    struct file *file = state;
    int result;

    if (file->read_only)
        return ENVOL_E_READ_ONLY;
    if (file->is_device)
        return device_resize(state, bytes);
    do
        result = ftruncate(file->fd, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return ENVOL_E_IO;
    envol_file_syncs_note_resize(&file->syncs);
    return ENVOL_OK;
}

static enum envol_status write_zeros(void *state, uint64_t offset, uint64_t bytes)
{
    static const _Alignas(DIRECT_ALIGNMENT_BYTES) char zeros[DIRECT_ALIGNMENT_BYTES];
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && bytes > 0) {
        size_t chunk = bytes < sizeof(zeros) ? (size_t)bytes : sizeof(zeros);

        status = file_write(state, offset, zeros, chunk);
        offset += chunk;
        bytes -= chunk;
    }
    return status;
}

/* Where holes cannot be punched zeros are written: space is a wish, what is read back is not. */
static enum envol_status file_discard(void *state, uint64_t offset, uint64_t bytes)
{
    const struct file *file = state;
    int result;

    if (file->read_only)
        return ENVOL_E_READ_ONLY;
    do
        result = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                           (off_t)bytes);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return ENVOL_OK;
    /* EINVAL: a block device whose sectors the range does not cover whole. */
    if (errno == EOPNOTSUPP || errno == ENOSYS || (errno == EINVAL && file->is_device))
        return write_zeros(state, offset, bytes);
    return ENVOL_E_IO;
}

static enum envol_status lock_failed(void)
{
    switch (errno) {
    case EAGAIN:
    case EACCES:
        return ENVOL_E_BUSY;
    case EINVAL: /* a kernel without OFD locks */
    case ENOSYS:
    case EOPNOTSUPP:
        return ENVOL_E_UNSUPPORTED;
    default:
        return ENVOL_E_IO;
    }
}

static int try_lock(int fd, struct flock *range)
{
    int result;

    do
        result = fcntl(fd, F_OFD_SETLK, range);
    while (result != 0 && errno == EINTR);
    return result;
}

static void sleep_ms(unsigned ms)
{
    struct timespec left = {.tv_nsec = ms * 1000000L};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/*
 * Asks again, ever less often, instead of F_OFD_SETLKW: whoever may read the file can hold a shared
 * lock for ever, and a wait without end for it would be theirs to command.
 */
static int wait_for_lock(int fd, struct flock *range)
{
    int result = try_lock(fd, range);

    for (unsigned waited = 0, pause = 1;
         result != 0 && (errno == EAGAIN || errno == EACCES) && waited < ENVOL_LOCK_WAIT_MS;
         waited += pause, pause = pause < LOCK_PAUSE_MS_MAX ? 2 * pause : pause) {
        sleep_ms(pause);
        result = try_lock(fd, range);
    }
    return result;
}

/*
 * Open-file-description locks: they belong to this handle, and not, as POSIX's older ones, to the
 * process, which would lose them whenever any descriptor of the file is closed.
 */
static enum envol_status file_lock(void *state, enum envol_store_lock lock,
                                   enum envol_lock_mode mode, int wait)
{
    static const short kinds[] = {
        [ENVOL_LOCK_NONE] = F_UNLCK,
        [ENVOL_LOCK_SHARED] = F_RDLCK,
        [ENVOL_LOCK_EXCLUSIVE] = F_WRLCK,
    };
    const struct file *file = state;
    struct flock range = {
        .l_type = kinds[mode],
        .l_whence = SEEK_SET,
        .l_start = LOCK_OFFSET + (off_t)lock,
        .l_len = 1,
    };
    int result;

    /* The kernel grants an exclusive lock only to a descriptor that may write. */
    if (file->read_only && mode == ENVOL_LOCK_EXCLUSIVE)
        return ENVOL_E_READ_ONLY;
    result = wait ? wait_for_lock(file->fd, &range) : try_lock(file->fd, &range);
    return result == 0 ? ENVOL_OK : lock_failed();
}

/* Drops the locks too, unless a forked child still has the description open. */
static void file_close(void *state)
{
    struct file *file = state;

    close(file->fd);
    envol_file_syncs_close(&file->syncs);
    envol_free(file);
}

static const struct envol_store_vtable file_vtable = {
    .struct_size = sizeof(struct envol_store_vtable),
    .name = "file",
    .read = file_read,
    .write = file_write,
    .sync = file_sync,
    .size = file_size,
    .resize = file_resize,
    .discard = file_discard,
    .lock = file_lock,
    .close = file_close,
};

static enum envol_status check_arguments(const char *path, uint32_t flags,
                                         struct envol_error *error)
{
    if (path == NULL || *path == '\0')
        return envol_fail(error, ENVOL_E_ARGUMENT, "a file store needs a path");
    if (flags & ~FLAGS)
        return envol_fail(error, ENVOL_E_ARGUMENT, "unknown flags of a file store: %#x",
                          (unsigned)(flags & ~FLAGS));
    if (flags & ENVOL_FILE_CREATE && flags & ENVOL_FILE_READ_ONLY)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a file cannot be created for reading only");
    return ENVOL_OK;
}

/* Created last of all, so that nothing but the store itself can fail once the file is there. */
enum envol_status envol_file_store_open(const char *path, uint32_t flags,
                                        struct envol_store **store, struct envol_error *error)
{
    struct file *file = NULL;
    enum envol_status status;

    if (store == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    *store = NULL;
    status = check_arguments(path, flags, error);
    if (status != ENVOL_OK)
        return status;
    file = envol_alloc(sizeof(*file), _Alignof(struct file));
    if (file == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    if (!envol_file_syncs_open(&file->syncs)) {
        envol_free(file);
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    }
    status = envol_file_open(path, flags, &file->fd, &file->is_device, error);
    if (status != ENVOL_OK) {
        envol_file_syncs_close(&file->syncs);
        envol_free(file);
        return status;
    }
    file->read_only = (flags & ENVOL_FILE_READ_ONLY) != 0;
    file->alignment_bytes = flags & ENVOL_FILE_DIRECT ? DIRECT_ALIGNMENT_BYTES : 1;
    status = envol_store_open(&file_vtable, file, file->alignment_bytes, store);
    if (status != ENVOL_OK) {
        if (flags & ENVOL_FILE_CREATE)
            unlink(path);
        return envol_fail(error, status, NULL);
    }
    envol_error_clear(error);
    return ENVOL_OK;
}
