/* SPDX-License-Identifier: BSD-2-Clause */
/* What a catalog of backups shows, and its file past the library. */
#include "catalog_fixture.h"

#include "store/space.h"
#include "support.h"
#include "volume/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int see(void *ctx, const struct envol_backup_entry *entry)
{
    struct catalog_seen *seen = ctx;
    struct catalog_seen_one *one = &seen->one[seen->count++];

    ck_assert_uint_le(seen->count, CATALOG_SEEN_MAX);
    ck_assert_uint_eq(entry->struct_size, sizeof(*entry));
    one->entry = *entry;
    snprintf(one->label, sizeof(one->label), "%s", entry->label);
    for (uint32_t i = 0; i < entry->cmk_count; i++) {
        ck_assert_str_eq(entry->cmks[i].provider, "fake-kms");
        snprintf(one->key_ref[i], sizeof(one->key_ref[i]), "%s", entry->cmks[i].key_ref);
    }
    return 0;
}

enum envol_status catalog_list(struct envol_volume *volume, struct catalog_seen *seen,
                               struct envol_error *error)
{
    seen->count = 0;
    return ck_note(envol_backup_list(volume, see, seen, error));
}

void catalog_expect(struct envol_volume *volume, const uint8_t uuids[][ENVOL_UUID_BYTES],
                    size_t count, const char *story)
{
    static struct catalog_seen seen;
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = catalog_list(volume, &seen, &error);

    ck_assert_msg(status == ENVOL_OK, "%s: %s: %s", story, envol_status_name(status),
                  error.message);
    ck_assert_msg(seen.count == count, "%s: %zu backups, not %zu", story, seen.count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(memcmp(seen.one[i].entry.uuid, uuids[i], ENVOL_UUID_BYTES) == 0,
                      "%s: backup %zu is another one", story, i);
}

void catalog_note(struct volume_fixture *f, uint8_t uuid[ENVOL_UUID_BYTES])
{
    ck_ok(envol_backup_note_raw(f->volume, "raw", uuid, &f->error));
}

void catalog_file_get(struct snapshot_fixture *s, uint64_t serial, struct catalog_file *file)
{
    struct envol_store *store;

    envol_catalog_name(serial, file->name);
    ck_assert_int_eq(envol_space_store(s->space, file->name, 0, &store, NULL), ENVOL_OK);
    file->size = (size_t)volume_store_bytes(store);
    file->bytes = malloc(file->size);
    ck_assert_ptr_nonnull(file->bytes);
    volume_store_get(store, 0, file->bytes, file->size);
    envol_store_close(store);
}

void catalog_file_put(struct snapshot_fixture *s, const struct catalog_file *file,
                      const uint8_t *bytes, size_t size)
{
    struct envol_store *store;

    ck_assert_int_eq(envol_space_store(s->space, file->name, 0, &store, NULL), ENVOL_OK);
    ck_assert_int_eq(envol_store_resize(store, size, NULL), ENVOL_OK);
    volume_store_put(store, 0, bytes, size);
    envol_store_close(store);
}

unsigned catalog_files(struct envol_space *space)
{
    unsigned count = 0;

    ck_assert_int_eq(envol_space_list(space, snapshot_count_name, &count, NULL), ENVOL_OK);
    return count;
}
