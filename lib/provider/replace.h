/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Putting a small secret file in its place, whole or not at all: written under no name where the
 * file system can do that, synced, and named only then.
 */
#ifndef ENVOL_PROVIDER_REPLACE_H
#define ENVOL_PROVIDER_REPLACE_H

#include <envol/status.h>

enum envol_put { ENVOL_PUT_NEW, ENVOL_PUT_OVER };

/*
 * Writes bytes into a file of mode 0600 that takes the name path, and syncs it and its directory.
 * PUT_NEW: a file that is there stays (ENVOL_E_STATE).  PUT_OVER: whoever calls holds a lock that
 * keeps other writers of this path out; what a killed writer left behind is removed.
 * ENVOL_E_ARGUMENT (no file name), ENVOL_E_KEY_DENIED (permission), ENVOL_E_RANDOM, ENVOL_E_IO: the
 * path names the old file, whole, or the new one if it was the directory's sync that failed.
 */
enum envol_status envol_file_put(const char *path, enum envol_put how, const void *bytes,
                                 size_t size, struct envol_error *error);

/* Removes what killed writers of this path left behind, under the same lock as PUT_OVER. */
enum envol_status envol_file_tidy(const char *path, struct envol_error *error);

#endif
