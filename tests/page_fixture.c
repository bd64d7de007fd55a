/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and closing keyrings for the suites of the page floor. */
#include "page_fixture.h"

#include "support.h"
#include <stdlib.h>
#include <string.h>

static void apply_defaults(struct page_fixture *f, const struct page_wish *wish)
{
    bool is_gcm;

    f->wish = wish != NULL ? *wish : (struct page_wish){0};
    if (f->wish.suite == 0)
        f->wish.suite = ENVOL_SUITE_AES_256_GCM;
    if (f->wish.page_bytes == 0)
        f->wish.page_bytes = 4096;
    if (f->wish.epoch == 0)
        f->wish.epoch = 1 + f->wish.retained;
    if (f->wish.lowest == 0)
        f->wish.lowest = f->wish.epoch - f->wish.retained;
    is_gcm = f->wish.suite == ENVOL_SUITE_AES_256_GCM;
    f->page_bytes = f->wish.page_bytes;
    f->stride_bytes = f->page_bytes + (is_gcm ? f->wish.gap_bytes + ENVOL_TRAILER_BYTES : 0);
}

static void open_all(struct page_fixture *f)
{
    const struct envol_keyring_params params = {
        .uuid = f->uuid,
        .suite = f->wish.suite,
        .page_bytes = f->page_bytes,
        .stride_bytes = f->stride_bytes,
        .flags = f->wish.flags,
        .epoch = f->wish.epoch,
        .lowest = f->wish.lowest,
    };

    f->keyring = NULL;
    f->object = NULL;
    f->lane = NULL;
    ck_assert_int_eq(envol_keyring_make(&params, f->dek[0], &f->keyring), ENVOL_OK);
    for (uint32_t i = 1; i <= f->wish.retained; i++)
        ck_assert_int_eq(envol_keyring_add(f->keyring, f->wish.epoch - i, f->dek[i]), ENVOL_OK);
    ck_ok(envol_object_open(f->keyring, f->id, &f->object));
    ck_ok(envol_lane_open(f->keyring, &f->lane));
}

void page_fixture_open(struct page_fixture *f, const struct page_wish *wish)
{
    test_fill(f->dek, sizeof(f->dek));
    test_fill(f->uuid, sizeof(f->uuid));
    test_fill(f->id, sizeof(f->id));
    apply_defaults(f, wish);
    open_all(f);
}

void page_fixture_again(struct page_fixture *again, const struct page_fixture *f,
                        const struct page_wish *wish)
{
    *again = *f;
    apply_defaults(again, wish);
    open_all(again);
}

void page_fixture_close(struct page_fixture *f)
{
    envol_lane_close(f->lane);
    envol_object_close(f->object);
    envol_keyring_close(f->keyring);
}

struct oracle page_fixture_oracle_of(const struct page_fixture *f, uint64_t page_no, uint32_t back)
{
    struct oracle o = {
        .suite = (uint16_t)f->wish.suite,
        .epoch = f->wish.epoch - back,
        .format = 1,
        .page_bytes = f->page_bytes,
        .stride_bytes = f->stride_bytes,
        .page_no = page_no,
    };

    memcpy(o.dek, f->dek[back], sizeof(o.dek));
    memcpy(o.uuid, f->uuid, sizeof(o.uuid));
    memcpy(o.object, f->id, sizeof(o.object));
    return o;
}

struct oracle page_fixture_oracle(const struct page_fixture *f, uint64_t page_no)
{
    return page_fixture_oracle_of(f, page_no, 0);
}

int page_kernels(void)
{
    int n = 0;

    while (envol_aes_kernels[n] != NULL)
        n++;
    return n;
}

bool page_suite(enum envol_suite suite)
{
    bool found = suite == ENVOL_SUITE_AES_256_GCM;

    for (int i = 0; i < page_kernels(); i++)
        found |= envol_aes_kernels[i]->xts_key_bytes > 0;
    if (!found)
        test_skip("XTS", "no kernel of this build does it");
    return found;
}

bool page_kernel_force(int i, enum envol_suite suite)
{
    const struct envol_aes_kernel *kernel = envol_aes_kernels[i];

    if (suite == ENVOL_SUITE_AES_256_XTS && kernel->xts_key_bytes == 0)
        return false;
    if (envol_aes_kernel_force(kernel->name))
        return true;
    test_skip(kernel->name, "this machine cannot run it");
    return false;
}

uint8_t *page_buffer(size_t bytes)
{
    uint8_t *buffer = malloc(bytes > 0 ? bytes : 1);

    ck_assert_ptr_nonnull(buffer);
    return buffer;
}
