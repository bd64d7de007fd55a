/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of sealing and unsealing calls. */
#include "page_calls.h"

#include "support.h"
#include <stdlib.h>
#include <string.h>

enum trait { SEALS = 1, UNSEALS = 2, BLOB = 4 };

static const struct {
    const char *name;
    int traits;
} table[CALLS] = {
    [CALL_SEAL] = {"envol_page_seal", SEALS},
    [CALL_SEAL_DETACHED] = {"envol_page_seal_detached", SEALS},
    [CALL_SEAL_HOLE] = {"envol_page_seal_hole", SEALS},
    [CALL_SEAL_BATCH] = {"envol_page_seal_batch", SEALS},
    [CALL_UNSEAL] = {"envol_page_unseal", UNSEALS},
    [CALL_UNSEAL_DETACHED] = {"envol_page_unseal_detached", UNSEALS},
    [CALL_UNSEAL_BATCH] = {"envol_page_unseal_batch", UNSEALS},
    [CALL_RESEAL] = {"envol_page_reseal", SEALS | UNSEALS},
    [CALL_BLOB_SEAL] = {"envol_blob_seal", SEALS | BLOB},
    [CALL_BLOB_UNSEAL] = {"envol_blob_unseal", UNSEALS | BLOB},
    [CALL_BLOB_RESEAL] = {"envol_blob_reseal", SEALS | UNSEALS | BLOB},
    [CALL_BLOB_SEAL_BATCH] = {"envol_blob_seal_batch", SEALS | BLOB},
};

const char *page_call_name(enum page_call call)
{
    return table[call].name;
}

bool page_call_seals(enum page_call call)
{
    return table[call].traits & SEALS;
}

bool page_call_unseals(enum page_call call)
{
    return table[call].traits & UNSEALS;
}

bool page_call_is_blob(enum page_call call)
{
    return table[call].traits & BLOB;
}

bool page_call_draws(enum page_call call, enum envol_suite suite)
{
    return page_call_seals(call) && (suite == ENVOL_SUITE_AES_256_GCM || page_call_is_blob(call));
}

static enum envol_status one_op(enum page_call call, const struct page_io *io)
{
    bool seals = call == CALL_SEAL_BATCH;
    struct envol_page_op op = {
        .page_no = io->page_no,
        .page = seals ? (void *)io->in : io->out,
        .record = seals ? io->out : (void *)io->in,
        .status = ENVOL_E_STATE,
    };
    enum envol_status status = seals ? envol_page_seal_batch(io->object, io->lane, &op, 1)
                                     : envol_page_unseal_batch(io->object, io->lane, &op, 1);

    return op.status == status ? status : ENVOL_E_STATE;
}

/* Under XTS there is no trailer. */
static const uint8_t *trailer_in(const struct page_io *io, const uint8_t *record)
{
    if (io->stride_bytes == io->page_bytes || record == NULL)
        return NULL;
    return record + io->stride_bytes - ENVOL_TRAILER_BYTES;
}

static enum envol_status detached(enum page_call call, const struct page_io *io)
{
    if (call == CALL_SEAL_DETACHED)
        return envol_page_seal_detached(io->object, io->lane, io->page_no, io->in, io->out,
                                        (void *)trailer_in(io, io->out));
    return envol_page_unseal_detached(io->object, io->lane, io->page_no, io->in,
                                      trailer_in(io, io->in), io->out);
}

static enum envol_status one_blob(const struct page_io *io)
{
    struct envol_blob_op op = {
        .aad = &io->page_no,
        .aad_bytes = sizeof(io->page_no),
        .plain = io->in,
        .plain_bytes = io->page_bytes,
        .sealed = io->out,
        .status = ENVOL_E_STATE,
    };
    enum envol_status status = envol_blob_seal_batch(io->object, io->lane, &op, 1);

    return op.status == status ? status : ENVOL_E_STATE;
}

static enum envol_status blob(enum page_call call, const struct page_io *io)
{
    const void *aad = &io->page_no;
    size_t aad_bytes = sizeof(io->page_no), bytes = io->page_bytes;

    if (call == CALL_BLOB_SEAL)
        return envol_blob_seal(io->object, io->lane, aad, aad_bytes, io->in, bytes, io->out);
    if (call == CALL_BLOB_SEAL_BATCH)
        return one_blob(io);
    bytes += ENVOL_TRAILER_BYTES;
    if (call == CALL_BLOB_UNSEAL)
        return envol_blob_unseal(io->object, io->lane, aad, aad_bytes, io->in, bytes, io->out);
    return envol_blob_reseal(io->object, io->lane, aad, aad_bytes, io->in, bytes, io->out);
}

enum envol_status page_call_quietly(enum page_call call, const struct page_io *io)
{
    uint32_t from_epoch = io->stride_bytes == io->page_bytes && io->object != NULL
                              ? envol_keyring_epoch(io->object->keyring)
                              : 0;

    switch (call) {
    case CALL_SEAL:
        return envol_page_seal(io->object, io->lane, io->page_no, io->in, io->out);
    case CALL_SEAL_HOLE:
        return envol_page_seal_hole(io->object, io->lane, io->page_no, io->out);
    case CALL_UNSEAL:
        return envol_page_unseal(io->object, io->lane, io->page_no, io->in, io->out);
    case CALL_RESEAL:
        return envol_page_reseal(io->object, io->lane, io->page_no, from_epoch, io->in, io->out);
    case CALL_SEAL_BATCH:
    case CALL_UNSEAL_BATCH:
        return one_op(call, io);
    case CALL_SEAL_DETACHED:
    case CALL_UNSEAL_DETACHED:
        return detached(call, io);
    default:
        return blob(call, io);
    }
}

enum envol_status page_call(enum page_call call, const struct page_io *io)
{
    return test_note(table[call].name, page_call_quietly(call, io));
}

size_t page_call_out_bytes(enum page_call call, const struct page_io *io)
{
    if (!page_call_seals(call))
        return io->page_bytes;
    return page_call_is_blob(call) ? io->page_bytes + ENVOL_TRAILER_BYTES : io->stride_bytes;
}

struct page_io page_io_new(enum page_call call, const struct page_fixture *f, uint64_t page_no)
{
    size_t room = f->page_bytes + ENVOL_TRAILER_BYTES + f->wish.gap_bytes;
    uint8_t *page = page_buffer(room), *out = page_buffer(room);
    struct page_io io = {f->object, f->lane, page_no, f->page_bytes, f->stride_bytes, page, out};
    enum page_call seal = page_call_is_blob(call) ? CALL_BLOB_SEAL : CALL_SEAL;

    test_fill(page, room);
    memset(out, 0xee, room);
    if (page_call_unseals(call)) {
        ck_assert_int_eq(page_call(seal, &io), ENVOL_OK);
        io.in = out;
        io.out = page;
        memset(page, 0xee, room);
    }
    return io;
}

void page_io_free(struct page_io *io)
{
    free((void *)io->in);
    free(io->out);
}
