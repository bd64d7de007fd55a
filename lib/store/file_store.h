/* SPDX-License-Identifier: BSD-2-Clause */
/* A file store's two halves: opening the descriptor (file_open.c), and I/O on it (file_store.c). */
#ifndef ENVOL_STORE_FILE_STORE_H
#define ENVOL_STORE_FILE_STORE_H

#include <envol/store.h>
#include <stdbool.h>

/*
 * A descriptor for path, which is a regular file or (*is_device) a block device: above 2,
 * close-on-exec, and blocking.  A file that was created is removed again on failure.
 */
enum envol_status envol_file_open(const char *path, uint32_t flags, int *fd, bool *is_device,
                                  struct envol_error *error);

#endif
