/* SPDX-License-Identifier: BSD-2-Clause */
/* A volume with a space, whose catalog of backups is held against what it should have. */
#ifndef ENVOL_TESTS_CATALOG_FIXTURE_H
#define ENVOL_TESTS_CATALOG_FIXTURE_H

#include "backup_fixture.h"
#include "snapshot_fixture.h"

enum { CATALOG_SEEN_MAX = 160 };

/* A backup as a list showed it; its strings are copies. */
struct catalog_seen_one {
    struct envol_backup_entry entry;
    char label[ENVOL_BACKUP_LABEL_BYTES];
    char key_ref[ENVOL_SLOTS_MAX][64];
};

struct catalog_seen {
    size_t count;
    struct catalog_seen_one one[CATALOG_SEEN_MAX];
};

/* Into seen, which becomes empty first. */
enum envol_status catalog_list(struct envol_volume *volume, struct catalog_seen *seen,
                               struct envol_error *error);
/* Asserts that it has exactly these, in this order. */
void catalog_expect(struct envol_volume *volume, const uint8_t uuids[][ENVOL_UUID_BYTES],
                    size_t count, const char *story);

/* Notes a raw copy; asserts that it works. */
void catalog_note(struct volume_fixture *f, uint8_t uuid[ENVOL_UUID_BYTES]);

/* The file that the header names; bytes are the caller's.  put: another content, of any size. */
struct catalog_file {
    char name[32];
    uint8_t *bytes;
    size_t size;
};
void catalog_file_get(struct snapshot_fixture *s, uint64_t serial, struct catalog_file *file);
void catalog_file_put(struct snapshot_fixture *s, const struct catalog_file *file,
                      const uint8_t *bytes, size_t size);
/* How many files the space has. */
unsigned catalog_files(struct envol_space *space);

#endif
