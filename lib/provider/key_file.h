/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key files: local CMKs, with several versions and a state.  The image of a file, which holds the
 * keys, lives in the arena; what is decoded beside it is not secret.
 *
 * Offsets; numbers are little-endian (envol(5) shows the same table):
 *
 *   offset  size
 *        0     8  "ENVOLKEY"
 *        8     4  format version, 1
 *       12     4  state: 1 enabled, 2 disabled, 3 pending deletion
 *       16    16  id, a UUID (RFC 9562, version 4)
 *       32     4  number of the newest version
 *       36     4  count of versions, 1 to 64
 *       40        count entries of 48 bytes, numbers ascending, the newest last:
 *         0     4   number, 1 or more
 *         4     4   0
 *         8     8   time of creation, Unix seconds
 *        16    32   key, not all zeros
 *   40 + 48 x count
 *              4  CRC-32C of all before it; the file ends behind it
 *
 * The CRC tells a damaged file from a whole one.  A file that somebody else wrote with a right CRC
 * is kept out by its owner and mode, not by the format.
 */
#ifndef ENVOL_PROVIDER_KEY_FILE_H
#define ENVOL_PROVIDER_KEY_FILE_H

#include <envol/provider.h>

#define ENVOL_KEY_FILE_HEAD_BYTES   40u
#define ENVOL_KEY_FILE_ENTRY_BYTES  48u
#define ENVOL_KEY_FILE_CRC_BYTES    4u
#define ENVOL_KEY_FILE_VERSIONS_MAX 64u
#define ENVOL_CMK_BYTES             32u

/* Length of a file of so many versions; the longest is 3,116 bytes. */
#define ENVOL_KEY_FILE_BYTES(count)                                                                \
    (ENVOL_KEY_FILE_HEAD_BYTES + ENVOL_KEY_FILE_ENTRY_BYTES * (count) + ENVOL_KEY_FILE_CRC_BYTES)
#define ENVOL_KEY_FILE_BYTES_MAX ENVOL_KEY_FILE_BYTES(ENVOL_KEY_FILE_VERSIONS_MAX)

struct envol_key_file {
    enum envol_key_state state;
    uint8_t id[ENVOL_UUID_BYTES];
    uint32_t newest;
    uint32_t count;
    uint8_t *image; /* in the arena */
    size_t image_bytes;
};

/*
 * Checks the image of a file named path in messages, and reads it.  The image then belongs to file,
 * which is zeroed on failure.
 * ENVOL_E_FORMAT (not a key file), ENVOL_E_VERSION, ENVOL_E_CORRUPT.
 */
enum envol_status envol_key_file_decode(const char *path, uint8_t *image, size_t image_bytes,
                                        struct envol_key_file *file, struct envol_error *error);

/*
 * Reads the open file fd, named path in messages: type, owner and mode, then the content into the
 * arena (flags as of envol_arena_alloc).  envol_key_file_drop when done.
 * ENVOL_E_KEY_DENIED, ENVOL_E_IO, ENVOL_E_LOCKED_MEMORY, those of decode.
 */
enum envol_status envol_key_file_read(int fd, const char *path, uint32_t flags,
                                      struct envol_key_file *file, struct envol_error *error);
/* The same by path.  Symbolic links are followed.  ENVOL_E_KEY_NOT_FOUND: there is no such file. */
enum envol_status envol_key_file_load(const char *path, uint32_t flags, struct envol_key_file *file,
                                      struct envol_error *error);
/* Wipes and frees the image.  A zeroed file is ignored. */
void envol_key_file_drop(struct envol_key_file *file);

/* A failed open of path, as a status of a key file's. */
enum envol_status envol_key_file_no_open(int os_errno, const char *path, struct envol_error *error);

/* The 32 bytes of a version, within the image; NULL if there is none of that number. */
const uint8_t *envol_key_file_find(const struct envol_key_file *file, uint32_t number);

/* A new image: random id, one version, enabled.  ENVOL_E_RANDOM, those of the arena. */
enum envol_status envol_key_file_make(struct envol_key_file *file);
/* Changes of the image, which is whole again afterwards.  ENVOL_E_RANGE: no room for a version. */
void envol_key_file_put_state(struct envol_key_file *file, enum envol_key_state state);
enum envol_status envol_key_file_add_version(struct envol_key_file *file);

#endif
