/* SPDX-License-Identifier: BSD-2-Clause */
/* A volume with a space, a model of what its pages hold, and images held against it. */
#ifndef ENVOL_TESTS_SNAPSHOT_FIXTURE_H
#define ENVOL_TESTS_SNAPSHOT_FIXTURE_H

#include "volume_fixture.h"

#include <envol/snapshot.h>

enum { SNAPSHOT_PAGES_MAX = 4096, SNAPSHOT_HOLE = 0 };

/* What each page holds: a version from 1, or SNAPSHOT_HOLE. */
struct snapshot_model {
    uint64_t pages;
    unsigned char version[SNAPSHOT_PAGES_MAX];
};

struct snapshot_fixture {
    struct volume_fixture f;
    struct envol_space *space; /* of this handle */
    struct snapshot_model model;
    unsigned version; /* of the last write */
    uint64_t chunk;   /* pages of one */
};

/* A new volume on stores of memory, or on those given, opened for writing.  False: this build has
 * no kernel for the suite. */
bool snapshot_fixture_create(struct snapshot_fixture *s, const struct volume_shape *shape,
                             bool atomic);
bool snapshot_fixture_create_on(struct snapshot_fixture *s, const struct volume_shape *shape,
                                bool atomic, struct envol_store *store, struct envol_space *space);
void snapshot_fixture_free(struct snapshot_fixture *s);

/* Opens s->f.volume with the space; asserts the status. */
void snapshot_fixture_open(struct snapshot_fixture *s, uint32_t flags, enum envol_status expected);
void snapshot_fixture_reopen(struct snapshot_fixture *s);

/* Writes n pages of a new version; trims; truncates: all of it into the model too. */
void snapshot_put(struct snapshot_fixture *s, uint64_t first, uint64_t n);
void snapshot_trim(struct snapshot_fixture *s, uint64_t first, uint64_t n);
void snapshot_truncate(struct snapshot_fixture *s, uint64_t pages);

void snapshot_make(struct snapshot_fixture *s, uint8_t uuid[ENVOL_UUID_BYTES]);
/* Opens an image as another process does: over handles of its own, closed with
 * snapshot_image_close.  Its provider is s->f's. */
struct snapshot_image {
    struct envol_store *store;
    struct envol_space *space;
    struct envol_volume *volume;
};
enum envol_status snapshot_image_try(struct snapshot_fixture *s, struct envol_store *store,
                                     struct envol_space *space,
                                     const uint8_t uuid[ENVOL_UUID_BYTES],
                                     struct envol_volume **volume);
void snapshot_image_open(struct snapshot_fixture *s, const uint8_t uuid[ENVOL_UUID_BYTES],
                         struct snapshot_image *image);
void snapshot_image_close(struct snapshot_image *image);

/* For envol_space_list: counts into an unsigned. */
enum envol_status snapshot_count_name(const char *name, void *ctx);

/* Every page of an open volume is as the model says. */
void snapshot_expect(const struct snapshot_fixture *s, struct envol_volume *volume,
                     const struct snapshot_model *model, const char *story);
/* In both ways of opening an image, and verified. */
void snapshot_expect_image(struct snapshot_fixture *s, const uint8_t uuid[ENVOL_UUID_BYTES],
                           const struct snapshot_model *model, const char *story);

#endif
