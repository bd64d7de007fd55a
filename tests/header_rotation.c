/* SPDX-License-Identifier: BSD-2-Clause */
/* Rotating the DEK of a header fixture. */
#include "header_rotation.h"

#include "support.h"

#include <string.h>

void header_rotation_begin(const struct header_fixture *f, struct header_rotation *r)
{
    test_fill(r->dek, sizeof(r->dek));
    ck_ok(envol_header_next_epoch(f->header, &r->next));
    ck_ok(envol_header_rotate(r->next, f->keyring, r->dek, f->keyring->flags, &r->keyring));
    header_add_slot(r->next, HEADER_KEY_REF, 136);
}

void header_rotation_adopt(struct header_fixture *f, struct header_rotation *r)
{
    ck_ok(envol_keyring_adopt(f->keyring, r->keyring));
    envol_keyring_close(r->keyring);
    envol_header_free(f->header);
    f->header = r->next;
    memcpy(f->dek, r->dek, sizeof(f->dek));
    memset(r, 0, sizeof(*r));
}

void header_rotation_drop(struct header_rotation *r)
{
    envol_keyring_close(r->keyring);
    envol_header_free(r->next);
    memset(r, 0, sizeof(*r));
}

void header_rotate_all(struct header_fixture *f)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];
    struct header_rotation r;
    uint32_t first;

    header_rotation_begin(f, &r);
    ck_ok(envol_header_prepare(r.next, r.keyring, f->bytes, copy, &first));
    memcpy(f->bytes + (size_t)first * sizeof(copy), copy, sizeof(copy));
    memcpy(f->bytes + (size_t)(1 - first) * sizeof(copy), copy, sizeof(copy));
    ck_ok(envol_header_committed(r.next, copy));
    header_rotation_adopt(f, &r);
}
