/* SPDX-License-Identifier: BSD-2-Clause */
/* Files: whole reads and writes, and the order of syncs that makes a new file or name durable. */
#ifndef TABLES_DISK_H
#define TABLES_DISK_H

#include <envol.h>

/* ENVOL_E_TRUNCATED if the file ends within the bytes; ENVOL_E_IO, errno kept. */
enum envol_status disk_read(int fd, void *bytes, size_t count, uint64_t offset);
enum envol_status disk_write(int fd, const void *bytes, size_t count, uint64_t offset);
enum envol_status disk_sync(int fd);
enum envol_status disk_size(int fd, uint64_t *bytes);

/* A whole file, into memory that the caller frees; no catalog or journal is longer. */
enum { DISK_LOAD_MAX = 1 << 28 };
enum envol_status disk_load(int dir, const char *name, void **bytes, size_t *count);

/* Replaces a file as a whole, durably: after a crash it is the old one or the new one. */
enum envol_status disk_replace(int dir, const char *name, const void *bytes, size_t count);

#endif
