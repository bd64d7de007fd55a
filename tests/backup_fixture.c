/* SPDX-License-Identifier: BSD-2-Clause */
/* Backups for tests: tapes, and volumes before and after. */
#include "backup_fixture.h"

#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool strikes(struct tape *tape)
{
    return ++tape->calls == tape->fail_at;
}

int tape_sink(void *ctx, const void *bytes, size_t count)
{
    struct tape *tape = ctx;

    if (strikes(tape))
        return tape->answer != 0 ? tape->answer : EPIPE;
    if (tape->count + count > tape->room) {
        tape->room = (tape->count + count) * 2;
        tape->bytes = realloc(tape->bytes, tape->room);
        ck_assert_ptr_nonnull(tape->bytes);
    }
    if (count > 0)
        memcpy(tape->bytes + tape->count, bytes, count);
    tape->count += count;
    return 0;
}

int tape_source(void *ctx, void *bytes, size_t capacity, size_t *count)
{
    struct tape *tape = ctx;
    size_t n = tape->count - tape->at;

    if (strikes(tape))
        return tape->answer != 0 ? tape->answer : EPIPE;
    n = n < capacity ? n : capacity;
    if (tape->step > 0 && n > tape->step)
        n = tape->step;
    if (n > 0)
        memcpy(bytes, tape->bytes + tape->at, n);
    tape->at += n;
    *count = n;
    return 0;
}

struct tape *tape_rewind(struct tape *tape)
{
    tape->at = 0;
    tape->calls = tape->fail_at = 0;
    tape->answer = 0;
    return tape;
}

void tape_clear(struct tape *tape)
{
    free(tape->bytes);
    memset(tape, 0, sizeof(*tape));
}

struct tape tape_copy(const struct tape *tape)
{
    struct tape copy = {.count = tape->count, .room = tape->count + 1};

    copy.bytes = malloc(copy.room);
    ck_assert_ptr_nonnull(copy.bytes);
    memcpy(copy.bytes, tape->bytes, tape->count);
    return copy;
}

bool backup_fixture_create(struct backup_fixture *b, const struct volume_shape *shape, int atomic)
{
    struct envol_store *store;

    memset(b, 0, sizeof(*b));
    ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
    if (atomic ? !volume_fixture_create_atomic(&b->f, shape, store)
               : !volume_fixture_create_on(&b->f, shape, store))
        return false;
    fake_kms_add_key(b->f.kms, BACKUP_KEY);
    fake_kms_add_key(b->f.kms, RESTORE_KEY);
    b->backup_cmk = (struct envol_cmk){b->f.provider, BACKUP_KEY};
    b->result.struct_size = sizeof(b->result);
    b->g = b->f;
    b->g.volume = NULL;
    b->g.store = NULL;
    b->g.cmk.key_ref = RESTORE_KEY;
    ck_assert_int_eq(envol_memory_store_open(&store), ENVOL_OK);
    backup_fixture_empty(b, store);
    return true;
}

void backup_fixture_empty(struct backup_fixture *b, struct envol_store *store)
{
    if (b->g.volume != NULL)
        volume_fixture_close(&b->g);
    envol_store_close(b->g.store);
    b->g.store = store;
}

void backup_fixture_free(struct backup_fixture *b)
{
    backup_fixture_empty(b, NULL);
    tape_clear(&b->tape);
    volume_fixture_free(&b->f);
}

void backup_take(struct backup_fixture *b, struct tape *tape, struct tape *before,
                 struct tape *after)
{
    const struct envol_backup_options options = {
        .struct_size = sizeof(options),
        .changes = before != NULL ? tape_source : NULL,
        .changes_ctx = before != NULL ? tape_rewind(before) : NULL,
        .new_changes = after != NULL ? tape_sink : NULL,
        .new_changes_ctx = after,
    };
    struct envol_backup_result written;

    ck_ok(envol_backup_write(b->f.volume, &b->backup_cmk, 1, &options, tape_sink, tape, &b->result,
                             &b->f.error));
    ck_assert_uint_eq(b->result.bytes, tape->count);
    written = b->result;
    ck_assert_int_eq(backup_verify(b, tape), ENVOL_OK);
    b->result.rotated = written.rotated;
    ck_assert_mem_eq(&written, &b->result, sizeof(written));
}

enum envol_status backup_verify(struct backup_fixture *b, struct tape *tape)
{
    return ck_note(envol_backup_verify(&b->backup_cmk, 1, NULL, tape_source, tape_rewind(tape),
                                       &b->result, &b->f.error));
}

enum envol_status restore_begin(struct backup_fixture *b, struct envol_restore **restore)
{
    return ck_note(envol_restore_begin(b->g.store, &b->g.cmk, 1, NULL, restore, &b->g.error));
}

enum envol_status restore_apply(struct backup_fixture *b, struct envol_restore *restore,
                                struct tape *tape)
{
    return ck_note(envol_restore_apply(restore, &b->backup_cmk, 1, tape_source, tape_rewind(tape),
                                       &b->result, &b->g.error));
}

void restore_whole(struct backup_fixture *b, struct tape *const *tapes, size_t count)
{
    struct envol_restore *restore;

    ck_assert_int_eq(restore_begin(b, &restore), ENVOL_OK);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(restore_apply(b, restore, tapes[i]) == ENVOL_OK, "%s: backup %zu: %s",
                      b->f.shape->name, i, b->g.error.message);
    ck_ok(envol_restore_finish(restore, &b->g.error));
    envol_restore_close(restore);
    volume_fixture_open(&b->g, 0, ENVOL_OK);
}

void backup_expect_same(struct backup_fixture *b)
{
    uint64_t pages = envol_volume_pages(b->f.volume);

    ck_assert_uint_eq(envol_volume_pages(b->g.volume), pages);
    for (uint64_t i = 0; i < pages; i++) {
        enum envol_status was = ck_note(envol_page_read(b->f.volume, i, b->f.page));
        enum envol_status is = ck_note(envol_page_read(b->g.volume, i, b->f.other));
        ck_assert_msg(was == is && memcmp(b->f.page, b->f.other, b->f.page_bytes) == 0,
                      "%s: page %llu: %s, was %s", b->f.shape->name, (unsigned long long)i,
                      envol_status_name(is), envol_status_name(was));
    }
}
