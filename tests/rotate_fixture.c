/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of a rotation, recorded. */
#include "rotate_fixture.h"

#include "support.h"

#include <string.h>

enum envol_status rotate_begin_with(struct slot_fixture *s, const struct envol_cmk *cmks, size_t n,
                                    uint32_t flags, const struct envol_volume_options *options)
{
    enum envol_status status =
        ck_note(envol_volume_rotate_begin(s->f.volume, cmks, n, flags, options, &s->f.error));

    ck_assert_int_eq(s->f.error.status, status);
    return status;
}

enum envol_status rotate_begin(struct slot_fixture *s)
{
    return rotate_begin_with(s, s->cmks, 1, 0, NULL);
}

enum envol_status rotate_step(struct slot_fixture *s, uint64_t pages)
{
    return ck_note(envol_volume_rotate_step(s->f.volume, pages, NULL, &s->f.error));
}

enum envol_status rotate_run(struct slot_fixture *s)
{
    return ck_note(envol_volume_rotate_run(s->f.volume, 0, NULL, NULL, NULL, &s->f.error));
}

enum envol_status rotate_finish(struct slot_fixture *s, uint32_t flags)
{
    return ck_note(envol_volume_rotate_finish(s->f.volume, flags, &s->f.error));
}

struct envol_rotation rotate_status(struct slot_fixture *s)
{
    struct envol_rotation r = {.struct_size = sizeof(r)};

    ck_ok(envol_volume_rotate_status(s->f.volume, &r));
    return r;
}

const struct envol_ledger *rotate_ledger(struct slot_fixture *s)
{
    static struct envol_ledger ledger;

    memset(&ledger, 0xee, sizeof(ledger));
    ledger.struct_size = sizeof(ledger);
    ck_ok(envol_volume_ledger(s->f.volume, &ledger, &s->f.error));
    return &ledger;
}

void rotate_expect_all(struct slot_fixture *s)
{
    for (uint64_t i = 0; i < SLOT_PAGES; i++)
        volume_page_expect(&s->f, i, 1);
}
