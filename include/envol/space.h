/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spaces: where the files beside a volume live: the segments of its log, what its snapshots keep,
 * the catalog of its backups.  A space gives stores names.  A directory and memory are built in;
 * envol_space(3) says how to write another.
 */
#ifndef ENVOL_SPACE_H
#define ENVOL_SPACE_H

#include <envol/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A name has 1 to 64 characters of [a-z0-9.-], and does not begin with a dot. */
#define ENVOL_SPACE_NAME_MAX 64

/* Flags of a space's open. */
#define ENVOL_SPACE_CREATE    1u /* makes the store, which must not exist (ENVOL_E_STATE) */
#define ENVOL_SPACE_READ_ONLY 2u /* for reading only */

/*
 * A space's code.  Names are checked before it sees them.  Calls come from any thread, but never
 * two that change the same name at a time.  On failure set errno and return ENVOL_E_IO, or another
 * fitting status.
 *
 *   open     a store, to be closed with envol_store_close; its alignment is at most 4096 bytes.  A
 *            created name is durable when the call returns.  A name that is not there is
 *            ENVOL_E_RANGE; error may be NULL, and need not be filled
 *   remove   durable when it returns; a name that is not there is ENVOL_OK.  A store that is open
 *            keeps its bytes until it is closed
 *   rename   durable when it returns, and never half done; `to` must not exist (ENVOL_E_STATE),
 *            `from` must (ENVOL_E_RANGE).  A store that is open stays the same one
 *   list     hands each name to the callback, in no order, until that answers something else than
 *            ENVOL_OK; answers that.  The callback does not call the space
 *   close    frees state; may be NULL
 */
struct envol_space_vtable {
    size_t struct_size;
    const char *name;
    enum envol_status (*open)(void *state, const char *name, uint32_t flags,
                              struct envol_store **store, struct envol_error *error);
    enum envol_status (*remove)(void *state, const char *name);
    enum envol_status (*rename)(void *state, const char *from, const char *to);
    enum envol_status (*list)(void *state,
                              enum envol_status (*callback)(const char *name, void *ctx),
                              void *ctx);
    void (*close)(void *state);
};

struct envol_space;

/*
 * Makes a space of a vtable (copied; name is borrowed) and its state (taken: closed by
 * envol_space_close, and at once if this call fails, unless the vtable's size is none of one).  One
 * space serves one volume: the names in it are the library's.  Any number of threads may use it.
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_space_open(const struct envol_space_vtable *vtable, void *state, struct envol_space **space);
/* Close what uses it first: logs, snapshots, volumes.  NULL is ignored. */
ENVOL_API void envol_space_close(struct envol_space *space);

/* Flags of envol_directory_space_open. */
#define ENVOL_SPACE_CREATE_DIRECTORY 1u /* make it, mode 0700, if it does not exist */

/*
 * The files of a directory, made with mode 0600.  The directory is synced after a file is created,
 * removed or renamed; its path is resolved once, here.  Files whose names are none of a space's are
 * left alone.  *space is NULL on failure.
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY, ENVOL_E_IO (errno kept: ENOENT, ENOTDIR, ...).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_directory_space_open(const char *path,
                                                                       uint32_t flags,
                                                                       struct envol_space **space,
                                                                       struct envol_error *error);

/*
 * Memory.  The first handle starts an empty space; _share opens another handle to the same stores,
 * which live until the last handle is closed (for tests; they are lost with the process).
 * ENVOL_E_ARGUMENT, ENVOL_E_NO_MEMORY.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_memory_space_open(struct envol_space **space);
ENVOL_API ENVOL_NODISCARD enum envol_status envol_memory_space_share(struct envol_space *space,
                                                                     struct envol_space **shared);

#ifdef __cplusplus
}
#endif
#endif
