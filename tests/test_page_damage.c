/* SPDX-License-Identifier: BSD-2-Clause */
/* Records that look like what other programs leave in a page's place: zeros, and plaintext. */
#include "support.h"
#include "volume_fixture.h"

#include <stdlib.h>
#include <string.h>

/* A volume with a page, and its record, which end frees.  NULL: no kernel. */
static uint8_t *begin_with_record(struct volume_fixture *f, int shape)
{
    uint8_t *record;

    if (!volume_fixture_create(f, &volume_shapes[shape]))
        return NULL;
    record = malloc(f->stride_bytes);
    ck_assert_ptr_nonnull(record);
    volume_page_put(f, 0, 1);
    volume_store_get(f->store, volume_record_at(f, 0), record, f->stride_bytes);
    return record;
}

static void end(struct volume_fixture *f, uint8_t *record)
{
    free(record);
    volume_fixture_free(f);
}

static void put_record(struct volume_fixture *f, const uint8_t *record)
{
    volume_store_put(f->store, volume_record_at(f, 0), record, f->stride_bytes);
}

/* A hole in a file begins like this; so does a record whose first sector was discarded. */
START_TEST(records_that_begin_with_zeros)
{
    struct volume_fixture f;
    uint8_t *record = begin_with_record(&f, _i);

    if (record == NULL)
        return;
    memset(record, 0, 32);
    put_record(&f, record);
    if (f.gcm) {
        volume_page_expect_status(&f, 0, ENVOL_E_CORRUPT);
    } else {
        ck_ok(envol_page_read(f.volume, 0, f.other));
        ck_assert(memcmp(f.other, f.page, 16) != 0);
        ck_assert(memcmp(f.other + 16, f.page + 16, 16) != 0);
        ck_assert_mem_eq(f.other + 32, f.page + 32, f.page_bytes - 32);
    }
    end(&f, record);
}
END_TEST

/* Plaintext that somebody put in a record's place is never taken for a page: alone, and before the
 * trailer of the record that was there. */
START_TEST(records_that_are_plaintext)
{
    struct volume_fixture f;
    uint8_t *record = begin_with_record(&f, _i);

    if (record == NULL)
        return;
    for (int with_trailer = 1; with_trailer >= 0; with_trailer--) {
        if (!with_trailer)
            memset(record, 0, f.stride_bytes);
        memcpy(record, f.page, f.page_bytes);
        put_record(&f, record);
        if (f.gcm) {
            volume_page_expect_status(&f, 0, ENVOL_E_CORRUPT);
            continue;
        }
        ck_ok(envol_page_read(f.volume, 0, f.other));
        for (uint32_t at = 0; at < f.page_bytes; at += 16)
            ck_assert(memcmp(f.other + at, f.page + at, 16) != 0);
    }
    end(&f, record);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_damage");
    TCase *tcase = tcase_create("records");

    tcase_add_loop_test(tcase, records_that_begin_with_zeros, 0, VOLUME_SHAPES);
    tcase_add_loop_test(tcase, records_that_are_plaintext, 0, VOLUME_SHAPES);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
