/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of the catalog of backups: finding it, reading it, and removing what is none any more.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "store/space.h"
#include "volume/catalog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PREFIX       "backups-"
#define PREFIX_BYTES 8u

/* Files of no use that one open removes; the next one goes on. */
enum { ORPHANS_MAX = 8 };

void envol_catalog_name(uint64_t serial, char name[ENVOL_CATALOG_NAME_BYTES])
{
    snprintf(name, ENVOL_CATALOG_NAME_BYTES, PREFIX "%016" PRIx64, serial);
}

/* No two files of a volume have one id: none can stand for another. */
static void make_id(const struct envol_volume *volume, uint64_t serial,
                    uint8_t id[ENVOL_UUID_BYTES])
{
    memcpy(id, volume->header->uuid, 8);
    envol_store64(id + 8, serial);
}

void envol_catalog_free(struct envol_catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++)
        envol_free(catalog->items[i]);
    envol_free(catalog->items);
    envol_free(catalog->covered);
    envol_store_close(catalog->chain.store);
    *catalog = (struct envol_catalog){.count = 0};
}

enum envol_status envol_catalog_begin(const struct envol_volume *volume, uint64_t serial,
                                      struct envol_store *store, struct envol_catalog *catalog,
                                      struct envol_error *error)
{
    uint8_t id[ENVOL_UUID_BYTES];

    if (catalog->covered == NULL)
        catalog->covered = envol_alloc(ENVOL_CHAIN_COVERED_MAX, ENVOL_CHAIN_ALIGN);
    if (catalog->covered == NULL) {
        envol_store_close(store);
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    }
    make_id(volume, serial, id);
    return envol_chain_begin(&catalog->chain, store, volume->keyring, id, catalog->covered,
                             ENVOL_CHAIN_COVERED_MAX, error);
}

/* --- Reading --- */

static enum envol_status take_next(const struct envol_volume *volume, struct envol_catalog *catalog,
                                   struct envol_error *error)
{
    struct envol_chain_entry entry;
    enum envol_status status = envol_chain_next(&catalog->chain, &entry, error);

    if (status != ENVOL_OK)
        return status;
    if (entry.covered != entry.bytes || entry.epoch != volume->header->catalog.epoch)
        status = ENVOL_E_CORRUPT;
    else
        status = envol_catalog_apply(catalog, entry.kind, catalog->covered, entry.bytes);
    return status == ENVOL_OK ? status
                              : envol_fail(error, status, "entry %" PRIu64 ": %s", entry.sequence,
                                           envol_status_message(status));
}

static enum envol_status read_all(const struct envol_volume *volume, struct envol_catalog *catalog,
                                  struct envol_error *error)
{
    uint64_t known = volume->header->catalog.entries;
    enum envol_status status;

    do
        status = take_next(volume, catalog, error);
    while (status == ENVOL_OK);
    if (status != ENVOL_E_RANGE)
        return status;
    if (catalog->chain.entries >= known)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_CORRUPT,
                      "it has %" PRIu64 " entries, and had %" PRIu64 " before",
                      catalog->chain.entries, known);
}

static enum envol_status open_file(const struct envol_volume *volume, const char *name, bool writes,
                                   struct envol_store **store, struct envol_error *error)
{
    enum envol_status status =
        envol_space_store(volume->space, name, writes ? 0 : ENVOL_SPACE_READ_ONLY, store, error);

    if (status != ENVOL_E_RANGE)
        return status;
    return envol_fail(error, ENVOL_E_STATE, "the space does not have %s, which the %s names", name,
                      volume->read_only ? "header that this reader knows" : "header");
}

enum envol_status envol_catalog_read(const struct envol_volume *volume, bool writes,
                                     struct envol_catalog *catalog, struct envol_error *error)
{
    uint64_t serial = volume->header->catalog.serial;
    char name[ENVOL_CATALOG_NAME_BYTES];
    struct envol_error details = ENVOL_ERROR_INIT;
    struct envol_store *store;
    enum envol_status status;

    *catalog = (struct envol_catalog){.count = 0};
    if (serial == 0)
        return ENVOL_OK;
    if (volume->space == NULL)
        return envol_fail(error, ENVOL_E_STATE,
                          "the volume has a catalog of backups: give the space that it is in");
    envol_catalog_name(serial, name);
    status = open_file(volume, name, writes, &store, error);
    if (status == ENVOL_OK)
        status = envol_catalog_begin(volume, serial, store, catalog, error);
    if (status != ENVOL_OK)
        return status;
    status = read_all(volume, catalog, &details);
    if (status == ENVOL_OK && writes)
        status = envol_chain_settle(&catalog->chain, &details);
    if (status == ENVOL_OK)
        return status;
    envol_fail(error, status, "%s: %s", name,
               details.message[0] != 0 ? details.message : envol_status_message(status));
    envol_error_set_errno(error, details.os_errno);
    return status;
}

/* --- Files that the header does not name --- */

struct orphans {
    uint64_t named;
    uint32_t count;
    uint64_t serial[ORPHANS_MAX];
};

static bool parse(const char *name, uint64_t *serial)
{
    char again[ENVOL_CATALOG_NAME_BYTES];

    *serial = 0;
    if (strncmp(name, PREFIX, PREFIX_BYTES) != 0)
        return false;
    for (const char *c = name + PREFIX_BYTES; *c != 0; c++)
        *serial = *serial << 4 | (uint64_t)(envol_hex_digit(*c) & 15);
    envol_catalog_name(*serial, again);
    return strcmp(name, again) == 0;
}

static enum envol_status note_orphan(const char *name, void *ctx)
{
    struct orphans *orphans = ctx;
    uint64_t serial;

    if (orphans->count < ORPHANS_MAX && parse(name, &serial) && serial != orphans->named)
        orphans->serial[orphans->count++] = serial;
    return ENVOL_OK;
}

/* One of another volume, whose space this is by mistake, is left alone.  Nobody's begins with
 * zeros: a crash came before there was an entry. */
static bool is_own(const struct envol_volume *volume, uint64_t serial, struct envol_store *store)
{
    uint8_t head[ENVOL_CHAIN_HEAD_BYTES], id[ENVOL_UUID_BYTES];
    size_t got;

    if (envol_store_read(store, 0, head, sizeof(head), &got, NULL) != ENVOL_OK)
        return false;
    make_id(volume, serial, id);
    return got < sizeof(head) || envol_is_zero(head, sizeof(head)) ||
           memcmp(head + 8, id, sizeof(id)) == 0;
}

void envol_catalog_remove_orphans(const struct envol_volume *volume)
{
    struct orphans orphans = {.named = volume->header->catalog.serial};

    if (envol_space_list(volume->space, note_orphan, &orphans, NULL) != ENVOL_OK)
        return;
    for (uint32_t i = 0; i < orphans.count; i++) {
        char name[ENVOL_CATALOG_NAME_BYTES];
        struct envol_store *store;
        bool removes;
        envol_catalog_name(orphans.serial[i], name);
        if (envol_space_store(volume->space, name, ENVOL_SPACE_READ_ONLY, &store, NULL) != ENVOL_OK)
            continue;
        removes = is_own(volume, orphans.serial[i], store);
        envol_store_close(store);
        if (removes)
            (void)envol_space_remove(volume->space, name, NULL);
    }
}
