/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots: what they keep, and who looks for it (envol(5), SNAPSHOTS).
 *
 * A snapshot's file is a chain.  Its first entry says what it is of; each of the others has the
 * records of some chunks as they were.  A chunk is kept whole, and only once; what is not kept is
 * still in its place in the volume.  So whoever overwrites records keeps them first, durably, and
 * whoever reads an image looks for the chunk in the file, else reads the volume, and then looks in
 * the file again: had the records been overwritten by then, the chunk would be there.
 *
 * The set's lock is a leaf: nothing else is taken and nothing is read or written under it, but that
 * a reader in another process follows the file.
 */
#ifndef ENVOL_VOLUME_SNAPSHOT_H
#define ENVOL_VOLUME_SNAPSHOT_H

#include "header/header.h"
#include "store/space.h"
#include "volume/chain.h"
#include "volume/chunks.h"
#include "volume/volume.h"

#include <envol/snapshot.h>

/* Kinds of entries. */
#define ENVOL_SNAPSHOT_MANIFEST 1u
#define ENVOL_SNAPSHOT_CHUNKS   2u

/* Records of a chunk: as many as fit, at least 1. */
#define ENVOL_SNAPSHOT_CHUNK_BYTES 262144u
/* An entry begins with an extent for each chunk, which the MAC takes in: first page u64, number of
 * records u32, 0 u32.  Their records follow. */
#define ENVOL_EXTENT_BYTES 16u
/* Chunks of one entry: so many, or fewer, down to 1, that have more than ENVOL_ENTRY_BYTES. */
#define ENVOL_ENTRY_CHUNKS 16u
#define ENVOL_ENTRY_BYTES  (4u << 20)

#define ENVOL_SNAPSHOT_NAME_BYTES (9 + ENVOL_UUID_TEXT_BYTES)

struct envol_snapshot {
    struct envol_snapshot_record record; /* as the header has it; entries: see below */
    char label[ENVOL_SNAPSHOT_LABEL_BYTES];
    uint32_t chunk_pages, stride_bytes;
    struct envol_store *store;
    struct envol_chain chain; /* a writer's: whoever is busy */
    uint8_t covered[ENVOL_ENTRY_CHUNKS * ENVOL_EXTENT_BYTES];
    /* The set's lock: */
    struct envol_chunks chunks;
    uint64_t entries, kept, bytes; /* that are durable */
    unsigned images;
};

struct envol_preserve_request;

/* Those of a writer that has a space. */
struct envol_snapshots {
    struct envol_space *space;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool busy; /* somebody reads records and appends them */
    struct envol_preserve_request *queue;
    uint8_t *buffer; /* of whoever is busy */
    size_t buffer_bytes;
    uint32_t count; /* changes with access alone, too */
    struct envol_snapshot *snapshot[ENVOL_SNAPSHOTS_MAX];
};

/* What makes a volume an image. */
struct envol_image {
    struct envol_snapshot *snapshot;
    struct envol_volume *of; /* the writer's, in this process; NULL: the file is followed */
    pthread_mutex_t own;
    pthread_mutex_t *lock; /* of the snapshot's index */
};

/* snapshot_file.c */
void envol_snapshot_name(const uint8_t uuid[ENVOL_UUID_BYTES],
                         char name[ENVOL_SNAPSHOT_NAME_BYTES]);
/* Opens the file without looking into it, and keeps it from being deleted until it is closed.
 * ENVOL_E_RANGE: there is no such file; ENVOL_E_BUSY: it is being deleted. */
enum envol_status envol_snapshot_hold(struct envol_space *space,
                                      const uint8_t uuid[ENVOL_UUID_BYTES],
                                      struct envol_store **store, struct envol_error *error);
/* A new file, with its manifest, synced.  What failed half-way is removed again. */
enum envol_status envol_snapshot_create_file(const struct envol_volume *volume,
                                             struct envol_space *space,
                                             struct envol_snapshot_record *record,
                                             const char *label, struct envol_snapshot **snapshot,
                                             struct envol_error *error);
/* Reads the file of a snapshot that the volume's header names; takes the store.  A writer's is cut
 * where a crash tore it.  ENVOL_E_CORRUPT, ENVOL_E_VERSION (an entry of a kind to come). */
enum envol_status envol_snapshot_open_file(const struct envol_volume *volume,
                                           struct envol_store *store,
                                           const struct envol_snapshot_record *record,
                                           struct envol_snapshot **snapshot,
                                           struct envol_error *error);
/* Reads the entries that were appended since. */
enum envol_status envol_snapshot_follow(struct envol_snapshot *snapshot, struct envol_error *error);
/* Notes the chunks of an entry that was appended, for which there is room: the set's lock. */
void envol_snapshot_put(struct envol_snapshot *snapshot, const uint8_t *extents, uint32_t count,
                        uint64_t at);
/* Whether a file that no header names is one of this volume's, or of no use to any. */
bool envol_snapshot_is_orphan(const struct envol_volume *volume, struct envol_store *store,
                              const uint8_t uuid[ENVOL_UUID_BYTES]);
void envol_snapshot_close(struct envol_snapshot *snapshot);

/* snapshot_set.c */
/* A new volume's. */
enum envol_status envol_snapshots_begin(struct envol_volume *volume, struct envol_space *space);
/* A writer's at open, before it changes any page: space may be NULL.  abandon: all of them go, or
 * the one of the uuid (ENVOL_E_RANGE). */
enum envol_status envol_snapshots_open(struct envol_volume *volume, struct envol_space *space,
                                       bool abandon, const uint8_t *uuid,
                                       struct envol_error *error);
void envol_snapshots_close(struct envol_snapshots *set, bool own);
/* Tells the header what the files hold by now; whether that is news.  Growth, or access alone. */
bool envol_snapshots_note(struct envol_volume *volume);
/* After a snapshot came or went; access alone. */
void envol_snapshots_measure(struct envol_volume *volume);
struct envol_snapshot *envol_snapshots_get(const struct envol_snapshots *set,
                                           const uint8_t uuid[ENVOL_UUID_BYTES]);

/* image.c */
/* Makes a read-only volume the image of a snapshot that its header names; takes the store. */
enum envol_status envol_image_take(struct envol_volume *volume, struct envol_store *store,
                                   const uint8_t uuid[ENVOL_UUID_BYTES], struct envol_error *error);
/* Reads records of the image, as envol_store_read does. */
enum envol_status envol_image_read(struct envol_volume *volume, uint64_t first, size_t n,
                                   uint8_t *records, size_t *got, struct envol_error *error);
/* Whether the volume's keys are those of a writer's handle in this process. */
bool envol_image_is_own(const struct envol_volume *volume);
void envol_image_close(struct envol_image *image, bool own);

#endif
