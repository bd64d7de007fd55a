/* SPDX-License-Identifier: BSD-2-Clause */
/* The fixture of the suites on slots. */
#include "slot_fixture.h"

#include "support.h"

#include <stdio.h>
#include <string.h>

static const char *const refs[SLOT_KEYS] = {
    VOLUME_KEY,       "arn:fake:key/2", "arn:fake:key/3", "arn:fake:key/4",
    "arn:fake:key/5", "arn:fake:key/6", "arn:fake:key/7", "arn:fake:key/8",
};

static void add_keys(struct slot_fixture *s)
{
    for (size_t i = 0; i < SLOT_KEYS; i++) {
        if (i > 0)
            fake_kms_add_key(s->f.kms, refs[i]);
        s->cmks[i] = (struct envol_cmk){s->f.provider, refs[i]};
    }
    s->elsewhere = fake_kms_new();
    fake_kms_add_key(s->elsewhere, "arn:elsewhere:key/1");
    s->foreign = fake_kms_open(s->elsewhere);
    s->other = (struct envol_cmk){s->foreign, "arn:elsewhere:key/1"};
}

bool slot_fixture_begin(struct slot_fixture *s, bool xts, struct envol_store *store)
{
    const struct volume_shape *shape = &volume_shapes[xts ? 5 : 0];

    memset(s, 0, sizeof(*s));
    if (store == NULL ? !volume_fixture_create(&s->f, shape)
                      : !volume_fixture_create_on(&s->f, shape, store))
        return false;
    add_keys(s);
    for (uint64_t i = 0; i < SLOT_PAGES; i++)
        volume_page_put(&s->f, i, 1);
    ck_ok(envol_volume_sync(s->f.volume));
    return true;
}

void slot_fixture_end(struct slot_fixture *s)
{
    volume_fixture_free(&s->f);
    envol_provider_close(s->foreign);
    fake_kms_free(s->elsewhere);
}

void slot_fixture_fill(struct slot_fixture *s, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        uint32_t id = 0;
        ck_ok(envol_volume_add_slot(s->f.volume, &s->cmks[i], NULL, &id, &s->f.error));
        ck_assert_uint_eq(id, i + 1);
    }
}

const struct envol_slot_info *slot_list(struct slot_fixture *s, size_t *count)
{
    static struct envol_slot_info slots[ENVOL_SLOTS_MAX];

    memset(slots, 0xee, sizeof(slots));
    slots[0].struct_size = sizeof(slots[0]);
    ck_ok(
        envol_volume_slots(s->f.volume, NULL, 0, NULL, slots, ENVOL_SLOTS_MAX, count, &s->f.error));
    return slots;
}

void slot_expect(struct slot_fixture *s, const uint32_t *ids, const char *const *key_refs)
{
    size_t count, expected = 0;
    const struct envol_slot_info *slots = slot_list(s, &count);

    for (; ids[expected] != 0; expected++) {
        ck_assert_uint_lt(expected, count);
        ck_assert_uint_eq(slots[expected].id, ids[expected]);
        ck_assert_str_eq(slots[expected].key_ref, key_refs[expected]);
    }
    ck_assert_uint_eq(count, expected);
}

void slot_reopen(struct slot_fixture *s, const struct envol_cmk *cmk, enum envol_status expected)
{
    if (s->f.volume != NULL) {
        volume_page_expect(&s->f, SLOT_PAGES - 1, 1);
        volume_fixture_close(&s->f);
    }
    ck_status(envol_volume_open(s->f.store, cmk, 1, NULL, &s->f.volume, &s->f.error), expected);
    if (expected == ENVOL_OK)
        volume_page_expect(&s->f, SLOT_PAGES - 1, 1);
}

unsigned slot_store_holds(struct slot_fixture *s, const void *bytes, size_t size)
{
    static uint8_t header[ENVOL_HEADER_BYTES];
    const uint8_t *at = header;
    unsigned found = 0;

    volume_store_get(s->f.store, 0, header, sizeof(header));
    while ((at = memmem(at, (size_t)(header + sizeof(header) - at), bytes, size)) != NULL) {
        found++;
        at++;
    }
    return found;
}
