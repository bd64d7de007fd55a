/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spaces as the library calls them: names are checked before, and failures are put into words.
 * Nothing in lib/ calls a space's vtable but space.c.
 */
#ifndef ENVOL_STORE_SPACE_H
#define ENVOL_STORE_SPACE_H

#include <envol/space.h>
#include <stdbool.h>

struct envol_space {
    struct envol_space_vtable vtable; /* whole, whatever version the caller's is of */
    void *state;
};

/* Is this a name that a space can have? */
bool envol_space_is_name(const char *name);

/*
 * All of these: error may be NULL, is filled on failure, and not touched on success; what a vtable
 * is asked for, and which status it answers, stands in envol/space.h.  Another name than
 * envol_space_is_name allows is ENVOL_E_ARGUMENT.  Any thread.
 */

/* *store is NULL on failure.  flags: ENVOL_SPACE_. */
enum envol_status envol_space_store(struct envol_space *space, const char *name, uint32_t flags,
                                    struct envol_store **store, struct envol_error *error);
enum envol_status envol_space_remove(struct envol_space *space, const char *name,
                                     struct envol_error *error);
enum envol_status envol_space_rename(struct envol_space *space, const char *from, const char *to,
                                     struct envol_error *error);
/* Names that no space has are left out.  What the callback answers is answered as it is. */
enum envol_status envol_space_list(struct envol_space *space,
                                   enum envol_status (*callback)(const char *name, void *ctx),
                                   void *ctx, struct envol_error *error);

#endif
