/* SPDX-License-Identifier: BSD-2-Clause */
/* A keyring with known DEKs, an object and a lane, for the suites of the page floor. */
#ifndef ENVOL_TESTS_PAGE_FIXTURE_H
#define ENVOL_TESTS_PAGE_FIXTURE_H

#include "page/keyring.h"
#include "page_oracle.h"

/* What a test asks for; zeros stand for the defaults in brackets. */
struct page_wish {
    enum envol_suite suite; /* [GCM] */
    uint32_t page_bytes;    /* [4096] */
    uint32_t gap_bytes;     /* GCM: zeros before the trailer */
    uint32_t flags;
    uint32_t epoch;    /* current [1] */
    uint32_t lowest;   /* accepted [epoch - retained] */
    uint32_t retained; /* epochs below the current one that are kept, at most 4 */
};

struct page_fixture {
    uint8_t dek[ENVOL_EPOCHS_MAX][ENVOL_DEK_BYTES]; /* [0]: the current epoch, [1] the one before */
    uint8_t uuid[ENVOL_UUID_BYTES], id[ENVOL_OBJECT_BYTES];
    struct page_wish wish;
    uint32_t page_bytes, stride_bytes;
    struct envol_keyring *keyring;
    struct envol_object *object;
    struct envol_lane *lane;
};

/* Fails the test when anything fails; wish may be NULL. */
void page_fixture_open(struct page_fixture *f, const struct page_wish *wish);
/* Another keyring and all, with the DEKs, UUID and object of f, but for what the wish changes. */
void page_fixture_again(struct page_fixture *again, const struct page_fixture *f,
                        const struct page_wish *wish);
void page_fixture_close(struct page_fixture *f);

/* The oracle's view of one page under the current epoch, with a nonce of zeros. */
struct oracle page_fixture_oracle(const struct page_fixture *f, uint64_t page_no);
/* The same under a retained epoch: back epochs before the current one. */
struct oracle page_fixture_oracle_of(const struct page_fixture *f, uint64_t page_no, uint32_t back);

/* Whether any kernel of this build does a suite: one without libcrypto may have no XTS. */
bool page_suite(enum envol_suite suite);

/*
 * For looped tests: how many kernels there are, and forcing one of them.  False where it does not
 * do the suite, and, after a counted skip, where this machine cannot run it.
 */
int page_kernels(void);
bool page_kernel_force(int i, enum envol_suite suite);

/* bytes of memory of its own, exactly, so that tools see an access beyond it. */
uint8_t *page_buffer(size_t bytes);

#endif
