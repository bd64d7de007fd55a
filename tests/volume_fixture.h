/* SPDX-License-Identifier: BSD-2-Clause */
/* A volume on a store of choice under a fake CMK, for the suites of the volume floor. */
#ifndef ENVOL_TESTS_VOLUME_FIXTURE_H
#define ENVOL_TESTS_VOLUME_FIXTURE_H

#include "fake_provider.h"
#include "volume/volume.h"
#include "watched_store.h"

/* A shape of volumes that tests run over. */
struct volume_shape {
    const char *name;
    enum envol_suite suite;
    uint32_t page_bytes, stride_bytes; /* 0: as envol_header_params says */
    int sparse;
};

/* [0, VOLUME_SHAPES): 512-byte pages to 1 MiB, both suites, sparse ones; the first
 * VOLUME_GCM_SHAPES are GCM and not sparse. */
enum { VOLUME_GCM_SHAPES = 4, VOLUME_SHAPES = 9 };
extern const struct volume_shape volume_shapes[VOLUME_SHAPES];

#define VOLUME_KEY "arn:fake:key/1"

struct volume_fixture {
    const struct volume_shape *shape;
    struct fake_kms *kms;
    struct envol_provider *provider;
    struct envol_cmk cmk;
    struct watched_store *watched;
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_error error;
    uint32_t page_bytes, stride_bytes;
    bool gcm;
    uint8_t *page, *other; /* page_bytes each */
};

/* A new volume on a watched store in memory.  False: this build has no kernel for the suite. */
bool volume_fixture_create(struct volume_fixture *f, const struct volume_shape *shape);
/* The same on a store that the caller opened. */
bool volume_fixture_create_on(struct volume_fixture *f, const struct volume_shape *shape,
                              struct envol_store *store);
/* The same, with atomic pages. */
bool volume_fixture_create_atomic(struct volume_fixture *f, const struct volume_shape *shape,
                                  struct envol_store *store);
void volume_fixture_free(struct volume_fixture *f);

/* Opens f->volume with these flags; asserts the status. */
void volume_fixture_open(struct volume_fixture *f, uint32_t flags, enum envol_status expected);
/* Closes, which must succeed. */
void volume_fixture_close(struct volume_fixture *f);
/* Close and open. */
void volume_fixture_reopen(struct volume_fixture *f);
/* The process is gone: nothing more is written, locks are dropped. */
void volume_fixture_kill(struct volume_fixture *f);

/* Page contents that number and version decide; a page that holds them. */
void volume_page_fill(const struct volume_fixture *f, uint64_t page_no, unsigned version,
                      uint8_t *page);
/* Which version, from 0 to max, a page holds; max + 1 for none. */
unsigned volume_page_version(const struct volume_fixture *f, uint64_t page_no, unsigned max,
                             const uint8_t *page);
void volume_page_put(struct volume_fixture *f, uint64_t page_no, unsigned version);
/* Reads; asserts the status, and the contents or zeros. */
void volume_page_expect(struct volume_fixture *f, uint64_t page_no, unsigned version);
void volume_page_expect_status(struct volume_fixture *f, uint64_t page_no,
                               enum envol_status expected);

/* What envol_volume_info says. */
struct envol_volume_info volume_info_of(struct volume_fixture *f);

/* Bytes of the store, past the library. */
uint64_t volume_store_bytes(struct envol_store *store);
void volume_store_get(struct envol_store *store, uint64_t offset, void *out, size_t bytes);
void volume_store_put(struct envol_store *store, uint64_t offset, const void *in, size_t bytes);
uint64_t volume_record_at(const struct volume_fixture *f, uint64_t page_no);

#endif
