/* SPDX-License-Identifier: BSD-2-Clause */
/* Hostile streams: made of an input, read, and what must hold of them afterwards. */
#include "backup_harness.h"

#include "backup/head.h"
#include "backup_fixture.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 10 };

static struct backup_fixture b;
static struct tape sound;

static void must(int holds)
{
    if (!holds)
        abort();
}

/* Once for the process: inputs by the million use it. */
static int is_ready(void)
{
    static int ready;
    struct envol_backup_result result = {.struct_size = sizeof(result)};

    if (ready != 0)
        return ready > 0;
    ready = backup_fixture_create(&b, &volume_shapes[0], 0) ? 1 : -1;
    if (ready < 0)
        return 0;
    for (uint64_t i = 0; i < PAGES; i++)
        must(envol_page_write(b.f.volume, i, b.f.page) == ENVOL_OK);
    must(envol_backup_write(b.f.volume, &b.backup_cmk, 1, NULL, tape_sink, &sound, &result, NULL) ==
         ENVOL_OK);
    return 1;
}

/* Of a body as it stands; changes to the head come before it is sealed. */
static void seal(struct tape *tape, int incremental, const uint8_t *body, size_t bytes)
{
    struct envol_backup_head head;
    struct envol_key_call call;
    struct envol_message message = {.name = "hostile", .sink = tape_sink, .ctx = tape};

    must(envol_backup_head_new(&head, b.f.volume->header, PAGES, NULL) == ENVOL_OK);
    if (incremental)
        memset(head.parent, 7, sizeof(head.parent));
    must(envol_backup_call_make(&b.backup_cmk, 1, 0, 0, NULL, &call, NULL) == ENVOL_OK);
    must(envol_message_open(&message, 0) == ENVOL_OK);
    must(envol_backup_seal(&call, &head, &message, NULL, NULL) == ENVOL_OK);
    must(envol_message_put(&message, body, bytes) == ENVOL_OK);
    must(envol_message_end(&message) == ENVOL_OK);
    envol_message_close(&message);
    envol_backup_head_free(&head);
}

/* The number of pages, and the geometry, of one that is sealed all the same. */
static void seal_head(struct tape *tape, const uint8_t *changes, size_t bytes)
{
    struct envol_backup_head head;
    struct envol_key_call call;
    struct envol_message message = {.name = "hostile", .sink = tape_sink, .ctx = tape};
    uint8_t end[ENVOL_ITEM_BYTES] = {ENVOL_ITEM_END};

    must(envol_backup_head_new(&head, b.f.volume->header, 0, NULL) == ENVOL_OK);
    for (size_t i = 0; i < bytes && i < 8; i++)
        head.pages |= (uint64_t)changes[i] << 8 * i;
    if (bytes > 8)
        head.header->suite = changes[8];
    if (bytes > 10)
        head.header->page_bytes = envol_load16(changes + 9);
    if (bytes > 12)
        head.header->stride_bytes = envol_load16(changes + 11);
    envol_store64(end + 8, head.pages);
    must(envol_backup_call_make(&b.backup_cmk, 1, 0, 0, NULL, &call, NULL) == ENVOL_OK);
    must(envol_message_open(&message, 0) == ENVOL_OK);
    must(envol_backup_seal(&call, &head, &message, NULL, NULL) == ENVOL_OK);
    must(envol_message_put(&message, end, sizeof(end)) == ENVOL_OK);
    must(envol_message_end(&message) == ENVOL_OK);
    envol_message_close(&message);
    envol_backup_head_free(&head);
}

static void change(struct tape *tape, const uint8_t *changes, size_t bytes)
{
    tape_sink(tape, sound.bytes, sound.count);
    for (size_t i = 0; i + 3 <= bytes; i += 3)
        tape->bytes[envol_load16(changes + i) % tape->count] ^= changes[i + 2];
}

static enum harness_stream restore(struct tape *tape)
{
    struct envol_store *store;
    struct envol_restore *going;
    struct envol_volume *volume;
    enum envol_status status;

    must(envol_memory_store_open(&store) == ENVOL_OK);
    must(envol_restore_begin(store, &b.g.cmk, 1, NULL, &going, NULL) == ENVOL_OK);
    status =
        envol_restore_apply(going, &b.backup_cmk, 1, tape_source, tape_rewind(tape), NULL, NULL);
    must(envol_restore_finish(going, NULL) == (status == ENVOL_OK ? ENVOL_OK : ENVOL_E_STATE));
    envol_restore_close(going);
    must((envol_volume_open(store, &b.g.cmk, 1, NULL, &volume, NULL) == ENVOL_OK) ==
         (status == ENVOL_OK));
    must(envol_volume_close(volume) == ENVOL_OK);
    envol_store_close(store);
    return status == ENVOL_OK ? STREAM_RESTORED : STREAM_VERIFIED;
}

static enum harness_stream read_list(struct tape *tape)
{
    const struct envol_backup_options options = {
        .struct_size = sizeof(options), .changes = tape_source, .changes_ctx = tape};
    struct tape backup = {.count = 0};
    enum envol_status status =
        envol_backup_write(b.f.volume, &b.backup_cmk, 1, &options, tape_sink, &backup, NULL, NULL);

    tape_clear(&backup);
    return status == ENVOL_OK ? STREAM_VERIFIED : STREAM_REFUSED;
}

enum harness_stream backup_harness(const uint8_t *input, size_t bytes)
{
    struct tape tape = {.count = 0};
    enum harness_stream outcome = STREAM_REFUSED;
    struct envol_backup_result result = {.struct_size = sizeof(result)};

    if (bytes < 1 || !is_ready())
        return outcome;
    switch (input[0] % 6) {
    case 1:
    case 2:
        seal(&tape, input[0] % 6 == 2, input + 1, bytes - 1);
        break;
    case 3:
        change(&tape, input + 1, bytes - 1);
        break;
    case 4:
        seal_head(&tape, input + 1, bytes - 1);
        break;
    default:
        tape_sink(&tape, input + 1, bytes - 1);
        break;
    }
    if (input[0] % 6 == 5)
        outcome = read_list(&tape);
    else if (envol_backup_verify(&b.backup_cmk, 1, NULL, tape_source, tape_rewind(&tape), &result,
                                 NULL) == ENVOL_OK)
        outcome = restore(&tape);
    else
        must(result.volume_pages == 0 && restore(&tape) != STREAM_RESTORED);
    /* Nobody but an incremental one fails to be restored although it verifies. */
    must(outcome != STREAM_VERIFIED || input[0] % 6 == 2 || input[0] % 6 == 5);
    tape_clear(&tape);
    return outcome;
}
