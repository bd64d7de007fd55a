/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stores: where a volume's bytes live.  A file and memory are built in; envol_store(3) says how to
 * write another.
 */
#ifndef ENVOL_STORE_H
#define ENVOL_STORE_H

#include <envol/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Advisory locks of a store, held by a handle until it lets go or closes; a handle of the same
 * process counts as another.  The writer holds WRITER exclusively as long as it is open, readers
 * hold READERS shared; HEADER is held exclusively during a header update, shared while reading it.
 */
enum envol_store_lock { ENVOL_LOCK_WRITER = 0, ENVOL_LOCK_READERS = 1, ENVOL_LOCK_HEADER = 2 };
enum envol_lock_mode { ENVOL_LOCK_NONE = 0, ENVOL_LOCK_SHARED = 1, ENVOL_LOCK_EXCLUSIVE = 2 };

/*
 * A store's code.  Calls come from any thread; reads and writes of different bytes run side by
 * side.  On failure set errno and return ENVOL_E_IO, or another fitting status.
 *
 *   read     as many of the bytes as exist, fewer only at the end of the store; count to *got
 *   write    all bytes or a failure; grows the store when it goes past the end
 *   sync     returns when all earlier writes and resizes are on stable storage
 *   size     current size in bytes
 *   resize   cuts, or grows with zeros
 *   discard  makes a range within the store read as zeros and frees its space; may be NULL
 *   lock     takes, changes or (ENVOL_LOCK_NONE) drops a lock; ENVOL_E_BUSY at once when wait is
 *            0, else after a while (10 s in the built-in stores), as a reader may never let go
 *   close    frees state; may be NULL
 */
struct envol_store_vtable {
    size_t struct_size;
    const char *name;
    enum envol_status (*read)(void *state, uint64_t offset, void *buffer, size_t bytes,
                              size_t *got);
    enum envol_status (*write)(void *state, uint64_t offset, const void *buffer, size_t bytes);
    enum envol_status (*sync)(void *state);
    enum envol_status (*size)(void *state, uint64_t *bytes);
    enum envol_status (*resize)(void *state, uint64_t bytes);
    enum envol_status (*discard)(void *state, uint64_t offset, uint64_t bytes);
    enum envol_status (*lock)(void *state, enum envol_store_lock lock, enum envol_lock_mode mode,
                              int wait);
    void (*close)(void *state);
};

struct envol_store;

/*
 * A handle belongs to the process that opened it: a child that forked off shares its locks, and so
 * opens its own (opening a volume on the parent's: ENVOL_E_FORKED).
 *
 * Makes a store of a vtable (copied; name is borrowed) and its state (taken: closed by
 * envol_store_close, and at once if this call fails, unless the vtable's size is none of one).
 * alignment_bytes is what offsets, lengths and buffers of reads and writes must be multiples of: 1,
 * or a power of two up to 4096. ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_store_open(const struct envol_store_vtable *vtable, void *state, uint32_t alignment_bytes,
                 struct envol_store **store);
/* Close the volumes on it first.  NULL is ignored.  In a forked child the parent's locks stay. */
ENVOL_API void envol_store_close(struct envol_store *store);

/* Flags of envol_file_store_open. */
#define ENVOL_FILE_READ_ONLY 1u /* open for reading only */
#define ENVOL_FILE_CREATE    2u /* create it, mode 0600; an existing file: ENVOL_E_STATE */
#define ENVOL_FILE_DIRECT    4u /* O_DIRECT: no page cache; 4096-byte alignment */

/*
 * A file or block device.  Locks are open-file-description locks.  The directory of a created file
 * is synced.  *store is NULL on failure.
 * ENVOL_E_ARGUMENT, ENVOL_E_STATE, ENVOL_E_NO_MEMORY, ENVOL_E_IO (errno kept), ENVOL_E_UNSUPPORTED
 * (no O_DIRECT there; a directory, pipe, socket or character device).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_file_store_open(const char *path, uint32_t flags,
                                                                  struct envol_store **store,
                                                                  struct envol_error *error);

/*
 * Memory.  The first handle starts an empty image; _share opens another handle to the same image,
 * which lives until the last one is closed (for tests and caches; it is lost with the process).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_memory_store_open(struct envol_store **store);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_memory_store_share(struct envol_store *store,
                                                                     struct envol_store **shared);

#ifdef __cplusplus
}
#endif
#endif
