/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots that do not wrap one DEK, in headers whose MAC is right under one of the two: whoever is
 * given the other by his key service is refused before anything but the header is read.
 */
#include "header_fixture.h"
#include "slot_fixture.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

struct forgery {
    struct slot_fixture s;
    uint8_t dek[ENVOL_DEK_BYTES], other[ENVOL_DEK_BYTES];
    uint8_t bytes[ENVOL_HEADER_BYTES];
    unsigned header_reads; /* that reading a header takes */
};

/* Another DEK, wrapped for slot 2 of this header by the key service itself. */
static void wrap_other(struct forgery *g, const struct envol_header *header,
                       struct envol_wrapped_dek *wrapped)
{
    struct envol_key_request request = {.struct_size = sizeof(request),
                                        .key_ref = g->s.cmks[1].key_ref};

    request.context = envol_header_context(header, &request.context_pairs);
    test_fill(g->other, sizeof(g->other));
    wrapped->struct_size = sizeof(*wrapped);
    ck_ok(envol_provider_wrap(g->s.f.provider, &request, g->other, wrapped, NULL));
}

/* In both copies slot 2 holds that instead; the MAC is made anew under a DEK. */
static void forge(struct forgery *g, const struct envol_header *header, const uint8_t *mac_dek)
{
    const struct envol_pin pin = {envol_provider_name(g->s.f.provider), g->s.cmks[1].key_ref};
    const struct envol_pins pins = {.struct_size = sizeof(pins), .cmks = &pin, .cmk_count = 1};
    struct envol_wrapped_dek *wrapped = calloc(1, sizeof(*wrapped));
    struct envol_slot slot = {.struct_size = sizeof(slot)};
    uint32_t cursor = 0;

    ck_assert_ptr_nonnull(wrapped);
    wrap_other(g, header, wrapped);
    ck_ok(envol_header_next_slot(header, &pins, &cursor, &slot, NULL));
    ck_assert_uint_eq(slot.id, 2);
    ck_assert_uint_eq(slot.wrapped_bytes, wrapped->wrapped_bytes);
    for (size_t at = 0; at < ENVOL_HEADER_BYTES; at += ENVOL_HEADER_COPY_BYTES) {
        uint8_t *copy = g->bytes + at;
        uint8_t *old = memmem(copy, ENVOL_HEADER_COPY_BYTES, slot.wrapped, slot.wrapped_bytes);
        ck_assert_ptr_nonnull(old);
        memcpy(old, wrapped->wrapped, slot.wrapped_bytes);
        header_make_mac(copy, mac_dek);
    }
    volume_store_put(g->s.f.store, 0, g->bytes, ENVOL_HEADER_BYTES);
    free(wrapped);
}

static struct forgery *begin(bool xts, bool mac_of_other)
{
    struct forgery *g = calloc(1, sizeof(*g));
    struct envol_header_info info = {.struct_size = sizeof(info)};
    struct envol_header *header;

    ck_assert_ptr_nonnull(g);
    if (!slot_fixture_begin(&g->s, xts, NULL)) {
        free(g);
        return NULL;
    }
    ck_assert(fake_kms_last_dek(g->s.f.kms, g->dek));
    slot_fixture_fill(&g->s, 2);
    for (size_t i = 0; i < 2; i++)
        slot_reopen(&g->s, &g->s.cmks[i], ENVOL_OK); /* both slots are honest so far */
    volume_fixture_close(&g->s.f);
    volume_store_get(g->s.f.store, 0, g->bytes, ENVOL_HEADER_BYTES);
    g->header_reads = watched_calls(g->s.f.watched, WATCHED_READ);
    ck_ok(envol_volume_inspect(g->s.f.store, &info, &header, NULL));
    g->header_reads = watched_calls(g->s.f.watched, WATCHED_READ) - g->header_reads;
    ck_assert_uint_gt(g->header_reads, 0);
    forge(g, header, mac_of_other ? g->other : g->dek);
    envol_header_free(header);
    return g;
}

static void end(struct forgery *g)
{
    slot_fixture_end(&g->s);
    free(g);
}

/* One provider call, which answers a DEK; the header is read, nothing else is, nothing written. */
static void expect_refused(struct forgery *g, size_t cmk, size_t count, uint32_t flags)
{
    const struct envol_volume_options options = {.struct_size = sizeof(options), .flags = flags};
    struct volume_fixture *f = &g->s.f;
    unsigned reads = watched_calls(f->watched, WATCHED_READ);
    unsigned writes = watched_calls(f->watched, WATCHED_WRITE);
    unsigned calls = fake_kms_calls(f->kms, FAKE_ANY);

    ck_status(envol_volume_open(f->store, &g->s.cmks[cmk], count, &options, &f->volume, &f->error),
              ENVOL_E_WRONG_KEY);
    ck_assert_ptr_null(f->volume);
    ck_assert_int_eq(f->error.slot, (int32_t)cmk + 1);
    ck_assert_uint_eq(fake_kms_calls(f->kms, FAKE_ANY), calls + 1);
    ck_assert_uint_eq(watched_calls(f->watched, WATCHED_READ), reads + g->header_reads);
    ck_assert_uint_eq(watched_calls(f->watched, WATCHED_WRITE), writes);
}

static void expect_refused_any_way(struct forgery *g, size_t cmk, size_t count)
{
    expect_refused(g, cmk, count, 0);
    expect_refused(g, cmk, count, ENVOL_OPEN_READ_ONLY);
    expect_refused(g, cmk, count, ENVOL_OPEN_READ_ONLY | ENVOL_OPEN_OTHER_COPY);
}

/* By someone who holds the DEK, against whoever opens by slot 2. */
START_TEST(the_second_slot_wraps_another_dek)
{
    struct forgery *g = begin(_i == 1, false);

    if (g == NULL)
        return;
    expect_refused_any_way(g, 1, 1);
    slot_reopen(&g->s, &g->s.cmks[0], ENVOL_OK);
    ck_assert_uint_eq(volume_info_of(&g->s.f).opened_slot, 1);
    end(g);
}
END_TEST

/* By someone who knows the other DEK alone, against whoever opens by slot 1, or by any. */
START_TEST(the_mac_is_under_the_other_dek)
{
    struct forgery *g = begin(_i == 1, true);

    if (g == NULL)
        return;
    expect_refused_any_way(g, 0, 1);
    expect_refused_any_way(g, 0, 2);
    end(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slot_forgery");
    TCase *tcase = tcase_create("forgeries");

    tcase_add_loop_test(tcase, the_second_slot_wraps_another_dek, 0, 2);
    tcase_add_loop_test(tcase, the_mac_is_under_the_other_dek, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
