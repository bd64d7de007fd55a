/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A space in the history of a crash store: a crash leaves the volume's store and all files beside
 * it as they could be at one moment, what was not synced of each lost or done on its own.
 *
 *     struct crash_store *crash = crash_store_new(NULL, 0, &store);
 *     struct envol_space *space = crash_space_new(crash, NULL);
 *     ... use both, then crash_store_replay(crash, &options, check, &ctx) ...
 *     envol_space_close(space);
 *     envol_store_close(store);
 *
 * and in check:
 *
 *     struct crash_store *after = crash_store_new(image->bytes, image->size, &store);
 *     struct envol_space *space = crash_space_new(after, image);
 *
 * Creating, removing and renaming are done or not done, and durable when they return, as a space
 * promises.  crash_store_calls, _fail and _settle count and mean the calls of all of it.  A call of
 * the space that fails does nothing, or with CRASH_FAULT_ALL all of what it should.
 */
#ifndef ENVOL_TESTS_CRASH_SPACE_H
#define ENVOL_TESTS_CRASH_SPACE_H

#include "crash_store.h"

#include <envol/space.h>

/* Once for each history; with the files of an image, which may be NULL, on stable storage. */
struct envol_space *crash_space_new(struct crash_store *crash, const struct crash_image *image);
/* Another handle to the same files. */
struct envol_space *crash_space_share(struct crash_store *crash);

/* A file of an image by its name, or NULL. */
const struct crash_image_file *crash_image_file(const struct crash_image *image, const char *name);

#endif
