/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of a snapshot: making it, reading it.  The manifest, which is its first entry
 * (envol(5) shows the same table):
 *
 *   OFFSET   SIZE  FIELD
 *        0     16  volume UUID
 *       16     16  UUID of the snapshot
 *       32      8  pages
 *       40      8  Unix time of its creation, seconds
 *       48      4  epoch that was the current one then; all entries are under it
 *       52      4  lowest epoch that its records may be of
 *       56      2  suite
 *       58      2  0
 *       60      4  page_bytes
 *       64      4  stride_bytes
 *       68      4  records of a chunk
 *       72     64  label, then zeros
 *      136      8  zeros
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "volume/snapshot.h"

#include <inttypes.h>
#include <string.h>

#define MANIFEST_BYTES 144u
#define AT_UUID        16u
#define AT_PAGES       32u
#define AT_CREATED     40u
#define AT_EPOCH       48u
#define AT_LOWEST      52u
#define AT_SUITE       56u
#define AT_PAGE_BYTES  60u
#define AT_STRIDE      64u
#define AT_CHUNK       68u
#define AT_LABEL       72u

void envol_snapshot_name(const uint8_t uuid[ENVOL_UUID_BYTES], char name[ENVOL_SNAPSHOT_NAME_BYTES])
{
    memcpy(name, "snapshot-", 9);
    envol_uuid_format(uuid, name + 9);
}

/* Puts which snapshot it is before what was said of a failure. */
static enum envol_status fail_of(const struct envol_snapshot_record *record,
                                 enum envol_status status, const struct envol_error *details,
                                 struct envol_error *error)
{
    char name[ENVOL_SNAPSHOT_NAME_BYTES];

    envol_snapshot_name(record->uuid, name);
    envol_fail(error, status, "%s: %s", name,
               details->message[0] != 0 ? details->message : envol_status_message(status));
    envol_error_set_errno(error, details->os_errno);
    return status;
}

static uint32_t chunk_pages_of(const struct envol_volume *volume)
{
    return volume->stride_bytes < ENVOL_SNAPSHOT_CHUNK_BYTES
               ? ENVOL_SNAPSHOT_CHUNK_BYTES / volume->stride_bytes
               : 1;
}

static struct envol_snapshot *make(const struct envol_volume *volume,
                                   const struct envol_snapshot_record *record,
                                   struct envol_store *store)
{
    struct envol_snapshot *made = envol_alloc(sizeof(*made), _Alignof(struct envol_snapshot));

    if (made == NULL)
        return NULL;
    made->record = *record;
    made->chunk_pages = chunk_pages_of(volume);
    made->stride_bytes = volume->stride_bytes;
    made->store = store;
    return made;
}

static enum envol_status begin_chain(struct envol_snapshot *snapshot,
                                     const struct envol_volume *volume, struct envol_error *error)
{
    return envol_chain_begin(&snapshot->chain, snapshot->store, volume->keyring,
                             snapshot->record.uuid, snapshot->covered, sizeof(snapshot->covered),
                             error);
}

void envol_snapshot_close(struct envol_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    envol_chunks_free(&snapshot->chunks);
    envol_store_close(snapshot->store);
    envol_free(snapshot);
}

enum envol_status envol_snapshot_hold(struct envol_space *space,
                                      const uint8_t uuid[ENVOL_UUID_BYTES],
                                      struct envol_store **store, struct envol_error *error)
{
    char name[ENVOL_SNAPSHOT_NAME_BYTES];
    enum envol_status status;

    envol_snapshot_name(uuid, name);
    status = envol_space_store(space, name, ENVOL_SPACE_READ_ONLY, store, error);
    if (status != ENVOL_OK)
        return status;
    status = envol_store_lock(*store, ENVOL_LOCK_READERS, ENVOL_LOCK_SHARED, 0, error);
    if (status != ENVOL_OK) {
        envol_store_close(*store);
        *store = NULL;
    }
    return status;
}

/* --- The manifest --- */

static void encode_manifest(const struct envol_volume *volume,
                            const struct envol_snapshot *snapshot, uint8_t *manifest)
{
    const struct envol_snapshot_record *record = &snapshot->record;

    memset(manifest, 0, MANIFEST_BYTES);
    memcpy(manifest, volume->header->uuid, ENVOL_UUID_BYTES);
    memcpy(manifest + AT_UUID, record->uuid, ENVOL_UUID_BYTES);
    envol_store64(manifest + AT_PAGES, record->pages);
    envol_store64(manifest + AT_CREATED, record->created_at_s);
    envol_store32(manifest + AT_EPOCH, record->epoch);
    envol_store32(manifest + AT_LOWEST, record->lowest_epoch);
    envol_store16(manifest + AT_SUITE, (uint16_t)volume->header->suite);
    envol_store32(manifest + AT_PAGE_BYTES, volume->page_bytes);
    envol_store32(manifest + AT_STRIDE, volume->stride_bytes);
    envol_store32(manifest + AT_CHUNK, snapshot->chunk_pages);
    memcpy(manifest + AT_LABEL, snapshot->label, sizeof(snapshot->label));
}

static bool is_manifest(const struct envol_chain_entry *entry)
{
    return entry->kind == ENVOL_SNAPSHOT_MANIFEST && entry->bytes == MANIFEST_BYTES &&
           entry->covered == MANIFEST_BYTES;
}

/* All of it but the label follows from the header. */
static enum envol_status take_manifest(const struct envol_volume *volume,
                                       struct envol_snapshot *snapshot,
                                       const struct envol_chain_entry *entry,
                                       struct envol_error *error)
{
    const uint8_t *manifest = snapshot->covered;
    uint8_t expected[MANIFEST_BYTES];

    if (!is_manifest(entry))
        return envol_fail(error, ENVOL_E_CORRUPT, "it does not begin with a manifest");
    memcpy(snapshot->label, manifest + AT_LABEL, sizeof(snapshot->label));
    snapshot->label[sizeof(snapshot->label) - 1] = 0;
    encode_manifest(volume, snapshot, expected);
    return memcmp(manifest, expected, sizeof(expected)) == 0
               ? ENVOL_OK
               : envol_fail(error, ENVOL_E_CORRUPT, "it is not what the header says of it");
}

static enum envol_status write_manifest(const struct envol_volume *volume,
                                        struct envol_snapshot *snapshot, struct envol_error *error)
{
    uint8_t *bytes = envol_alloc(ENVOL_CHAIN_HEAD_BYTES + MANIFEST_BYTES, ENVOL_CHAIN_ALIGN);
    enum envol_status status;

    if (bytes == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    encode_manifest(volume, snapshot, bytes + ENVOL_CHAIN_HEAD_BYTES);
    status = envol_chain_append(&snapshot->chain, ENVOL_SNAPSHOT_MANIFEST, snapshot->record.epoch,
                                bytes, MANIFEST_BYTES, MANIFEST_BYTES, error);
    envol_free(bytes);
    return status;
}

enum envol_status envol_snapshot_create_file(const struct envol_volume *volume,
                                             struct envol_space *space,
                                             struct envol_snapshot_record *record,
                                             const char *label, struct envol_snapshot **snapshot,
                                             struct envol_error *error)
{
    char name[ENVOL_SNAPSHOT_NAME_BYTES];
    struct envol_snapshot *made = NULL;
    struct envol_store *store = NULL;
    enum envol_status status;

    envol_snapshot_name(record->uuid, name);
    status = envol_space_store(space, name, ENVOL_SPACE_CREATE, &store, error);
    if (status != ENVOL_OK)
        return status;
    made = make(volume, record, store);
    if (made == NULL) {
        envol_store_close(store);
        status = envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
        goto out;
    }
    memcpy(made->label, label, strlen(label));
    status = begin_chain(made, volume, error);
    if (status == ENVOL_OK)
        status = write_manifest(volume, made, error);
    made->entries = record->entries = made->chain.entries;
    made->bytes = made->chain.end;
out:
    if (status != ENVOL_OK) {
        envol_snapshot_close(made);
        (void)envol_space_remove(space, name, NULL);
        return status;
    }
    *snapshot = made;
    return ENVOL_OK;
}

/* --- Reading --- */

/* A chunk is kept whole, up to the snapshot's end. */
static bool extent_is_sound(const struct envol_snapshot *snapshot, const uint8_t *extent)
{
    uint64_t first = envol_load64(extent), count = envol_load32(extent + 8);
    uint64_t pages = snapshot->record.pages, chunk = snapshot->chunk_pages;

    if (envol_load32(extent + 12) != 0 || first >= pages || first % chunk != 0)
        return false;
    return count == (pages - first < chunk ? pages - first : chunk);
}

static bool entry_is_sound(const struct envol_snapshot *snapshot,
                           const struct envol_chain_entry *entry)
{
    uint64_t bytes = entry->covered;

    if (entry->covered % ENVOL_EXTENT_BYTES != 0)
        return false;
    for (uint32_t i = 0; i < entry->covered; i += ENVOL_EXTENT_BYTES) {
        if (!extent_is_sound(snapshot, snapshot->covered + i))
            return false;
        bytes += (uint64_t)envol_load32(snapshot->covered + i + 8) * snapshot->stride_bytes;
    }
    return bytes == entry->bytes;
}

void envol_snapshot_put(struct envol_snapshot *snapshot, const uint8_t *extents, uint32_t count,
                        uint64_t at)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number =
            envol_load64(extents + (size_t)i * ENVOL_EXTENT_BYTES) / snapshot->chunk_pages;
        uint32_t records = envol_load32(extents + (size_t)i * ENVOL_EXTENT_BYTES + 8);
        if (envol_chunks_find(&snapshot->chunks, number) == 0)
            snapshot->kept += records;
        envol_chunks_put(&snapshot->chunks, number, at);
        at += (uint64_t)records * snapshot->stride_bytes;
    }
}

static enum envol_status take_chunks(struct envol_snapshot *snapshot,
                                     const struct envol_chain_entry *entry,
                                     struct envol_error *error)
{
    uint32_t count = entry->covered / ENVOL_EXTENT_BYTES;

    if (!entry_is_sound(snapshot, entry))
        return envol_fail(error, ENVOL_E_CORRUPT, "entry %" PRIu64 " is malformed",
                          entry->sequence);
    if (!envol_chunks_reserve(&snapshot->chunks, count))
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    envol_snapshot_put(snapshot, snapshot->covered, count, entry->at + entry->covered);
    return ENVOL_OK;
}

static enum envol_status take_entry(struct envol_snapshot *snapshot,
                                    const struct envol_chain_entry *entry,
                                    struct envol_error *error)
{
    if (entry->kind != ENVOL_SNAPSHOT_CHUNKS)
        return envol_fail(
            error, entry->kind == ENVOL_SNAPSHOT_MANIFEST ? ENVOL_E_CORRUPT : ENVOL_E_VERSION,
            "entry %" PRIu64 " is of kind %" PRIu32, entry->sequence, entry->kind);
    if (entry->epoch != snapshot->record.epoch)
        return envol_fail(error, ENVOL_E_CORRUPT, "entry %" PRIu64 " is of another epoch",
                          entry->sequence);
    return take_chunks(snapshot, entry, error);
}

/* An entry that could not be taken is read again the next time. */
static enum envol_status take_next(struct envol_snapshot *snapshot, struct envol_error *error)
{
    struct envol_chain before = snapshot->chain;
    struct envol_chain_entry entry;
    enum envol_status status = envol_chain_next(&snapshot->chain, &entry, error);

    if (status != ENVOL_OK)
        return status;
    status = take_entry(snapshot, &entry, error);
    if (status != ENVOL_OK) {
        snapshot->chain = before;
        return status;
    }
    snapshot->entries = snapshot->chain.entries;
    snapshot->bytes = snapshot->chain.end;
    return ENVOL_OK;
}

enum envol_status envol_snapshot_follow(struct envol_snapshot *snapshot, struct envol_error *error)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    enum envol_status status;

    do
        status = take_next(snapshot, &details);
    while (status == ENVOL_OK);
    return status == ENVOL_E_RANGE ? ENVOL_OK : fail_of(&snapshot->record, status, &details, error);
}

static enum envol_status read_first(const struct envol_volume *volume,
                                    struct envol_snapshot *snapshot, struct envol_error *error)
{
    struct envol_chain_entry entry;
    enum envol_status status = begin_chain(snapshot, volume, error);

    if (status == ENVOL_OK)
        status = envol_chain_next(&snapshot->chain, &entry, error);
    if (status == ENVOL_E_RANGE)
        return envol_fail(error, ENVOL_E_CORRUPT, "it does not begin with a manifest");
    if (status == ENVOL_OK)
        status = take_manifest(volume, snapshot, &entry, error);
    snapshot->entries = snapshot->chain.entries;
    snapshot->bytes = snapshot->chain.end;
    return status;
}

static enum envol_status read_all(const struct envol_volume *volume,
                                  struct envol_snapshot *snapshot, struct envol_error *error)
{
    enum envol_status status = read_first(volume, snapshot, error);

    while (status == ENVOL_OK)
        status = take_next(snapshot, error);
    if (status != ENVOL_E_RANGE)
        return status;
    if (snapshot->entries < snapshot->record.entries)
        return envol_fail(error, ENVOL_E_CORRUPT,
                          "it has %" PRIu64 " entries, and had %" PRIu64 " before",
                          snapshot->entries, snapshot->record.entries);
    return volume->read_only ? ENVOL_OK : envol_chain_settle(&snapshot->chain, error);
}

enum envol_status envol_snapshot_open_file(const struct envol_volume *volume,
                                           struct envol_store *store,
                                           const struct envol_snapshot_record *record,
                                           struct envol_snapshot **snapshot,
                                           struct envol_error *error)
{
    struct envol_snapshot *made = make(volume, record, store);
    struct envol_error details = ENVOL_ERROR_INIT;
    enum envol_status status;

    if (made == NULL) {
        envol_store_close(store);
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    }
    status = read_all(volume, made, &details);
    if (status != ENVOL_OK) {
        envol_snapshot_close(made);
        return fail_of(record, status, &details, error);
    }
    *snapshot = made;
    return ENVOL_OK;
}

/* --- Files that no header names --- */

bool envol_snapshot_is_orphan(const struct envol_volume *volume, struct envol_store *store,
                              const uint8_t uuid[ENVOL_UUID_BYTES])
{
    const uint64_t whole = ENVOL_CHAIN_HEAD_BYTES + MANIFEST_BYTES;
    struct envol_chain_entry entry;
    struct envol_chain chain;
    uint8_t manifest[MANIFEST_BYTES] = {0}, start[16];
    uint64_t bytes;
    enum envol_status status = envol_store_size(store, &bytes, NULL);

    if (status == ENVOL_OK)
        status = envol_chain_begin(&chain, store, volume->keyring, uuid, manifest, sizeof(manifest),
                                   NULL);
    if (status == ENVOL_OK)
        status = envol_chain_next(&chain, &entry, NULL);
    if (status == ENVOL_OK)
        return is_manifest(&entry) && memcmp(manifest, volume->header->uuid, ENVOL_UUID_BYTES) == 0;
    /* A crash came before there was a manifest; nobody's begins with zeros. */
    if (status != ENVOL_E_RANGE || bytes < whole)
        return status == ENVOL_E_RANGE;
    return bytes == whole &&
           envol_store_read_full(store, 0, start, sizeof(start), NULL) == ENVOL_OK &&
           envol_is_zero(start, sizeof(start));
}
