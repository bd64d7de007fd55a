/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a backup: every number is held against the head, and the head against the key, before
 * anything is done with it. */
#include "backup/reading.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "volume/volume.h"

#include <inttypes.h>
#include <string.h>

bool envol_restore_options_take(const struct envol_restore_options *given,
                                struct envol_restore_options *options)
{
    return ENVOL_TAKE(restore_options, given, options) &&
           (options->flags & ~(ENVOL_OPEN_ALLOW_UNLOCKED | ENVOL_OPEN_DISCOVER)) == 0;
}

static enum envol_status alloc_pages(struct envol_reading *reading)
{
    uint32_t page_bytes = reading->head.header->page_bytes;
    size_t run = ENVOL_RUN_BYTES / page_bytes;

    run = run < ENVOL_RUN_MAX ? run : ENVOL_RUN_MAX;
    reading->run = run > 0 ? run : 1;
    reading->pages = envol_alloc(reading->run * page_bytes, ENVOL_BUFFER_ALIGN);
    return reading->pages != NULL ? ENVOL_OK
                                  : envol_fail(reading->message.error, ENVOL_E_NO_MEMORY, NULL);
}

enum envol_status envol_reading_open(struct envol_reading *reading, const struct envol_cmk *cmks,
                                     size_t cmk_count, const struct envol_restore_options *options,
                                     envol_backup_source *source, void *ctx,
                                     const struct envol_backup_result *result,
                                     struct envol_error *error)
{
    struct envol_key_call call;
    enum envol_status status;

    *reading = (struct envol_reading){
        .message = {.name = "the backup", .source = source, .ctx = ctx, .error = error},
        .result = {.first_bad = ENVOL_NO_PAGE},
    };
    if (source == NULL || !envol_restore_options_take(options, &reading->options) ||
        (result != NULL && !ENVOL_FITS(backup_result, result)))
        return envol_fail(error, ENVOL_E_ARGUMENT, NULL);
    if (result != NULL && result->note != NULL) {
        reading->result.note = result->note;
        reading->result.note_capacity = result->note_capacity;
        memset(result->note, 0, result->note_capacity);
    }
    status =
        envol_backup_call_make(cmks, cmk_count, reading->options.flags, reading->options.timeout_ms,
                               reading->options.cancel_flag, &call, error);
    if (status == ENVOL_OK)
        status = envol_message_open(&reading->message, call.flags & ENVOL_KEYRING_FLAGS);
    if (status == ENVOL_OK)
        status = envol_backup_head_read(&reading->head, &reading->message);
    if (status == ENVOL_OK)
        status = envol_backup_unseal(&call, &reading->head, &reading->message);
    return status == ENVOL_OK ? alloc_pages(reading) : status;
}

void envol_reading_close(struct envol_reading *reading)
{
    if (reading->pages != NULL)
        envol_wipe(reading->pages, reading->run * reading->head.header->page_bytes);
    envol_free(reading->pages);
    envol_message_close(&reading->message);
    envol_backup_head_free(&reading->head);
}

/* --- Items --- */

struct item {
    uint32_t kind, count;
    uint64_t first;
};

static bool is_full(const struct envol_reading *reading)
{
    return envol_is_zero(reading->head.parent, ENVOL_UUID_BYTES);
}

static enum envol_status fail_item(const struct envol_reading *reading, const struct item *item)
{
    return envol_fail(reading->message.error, ENVOL_E_CORRUPT,
                      "the backup has an item that fits nowhere: kind %" PRIu32 ", page %" PRIu64,
                      item->kind, item->first);
}

static enum envol_status get_item(struct envol_reading *reading, struct item *item)
{
    uint8_t bytes[ENVOL_ITEM_BYTES];
    enum envol_status status = envol_message_get(&reading->message, bytes, sizeof(bytes));

    if (status != ENVOL_OK)
        return status;
    *item = (struct item){envol_load32(bytes), envol_load32(bytes + 4), envol_load64(bytes + 8)};
    return ENVOL_OK;
}

static enum envol_status get_note(struct envol_reading *reading, const struct item *item)
{
    struct envol_backup_result *result = &reading->result;
    uint8_t piece[512];
    enum envol_status status = ENVOL_OK;

    if (reading->has_item || item->first != 0 || item->count == 0 ||
        item->count > ENVOL_BACKUP_NOTE_MAX)
        return fail_item(reading, item);
    result->note_bytes = item->count;
    for (size_t at = 0; status == ENVOL_OK && at < item->count; at += sizeof(piece)) {
        size_t n = item->count - at < sizeof(piece) ? item->count - at : sizeof(piece);
        size_t room = at < result->note_capacity ? result->note_capacity - at : 0;
        status = envol_message_get(&reading->message, piece, n);
        if (status == ENVOL_OK && result->note != NULL && room > 0)
            memcpy((uint8_t *)result->note + at, piece, n < room ? n : room);
    }
    envol_wipe(piece, sizeof(piece));
    return status;
}

static enum envol_status get_pages(struct envol_reading *reading, const struct item *item,
                                   const struct envol_reading_visitor *visitor)
{
    uint32_t page_bytes = reading->head.header->page_bytes;
    enum envol_status status = ENVOL_OK;
    size_t n;

    for (uint32_t done = 0; status == ENVOL_OK && done < item->count; done += (uint32_t)n) {
        n = item->count - done < reading->run ? item->count - done : reading->run;
        status = envol_message_get(&reading->message, reading->pages, n * page_bytes);
        if (status == ENVOL_OK && visitor->pages != NULL)
            status = visitor->pages(visitor->ctx, item->first + done, n, reading->pages);
    }
    reading->result.pages += item->count;
    return status;
}

static enum envol_status get_holes(struct envol_reading *reading, const struct item *item,
                                   const struct envol_reading_visitor *visitor)
{
    struct envol_backup_result *result = &reading->result;

    if (item->kind == ENVOL_ITEM_HOLES)
        result->holes += item->count;
    else if (result->bad == 0)
        result->first_bad = item->first;
    if (item->kind == ENVOL_ITEM_BAD)
        result->bad += item->count;
    return visitor->holes == NULL ? ENVOL_OK
                                  : visitor->holes(visitor->ctx, item->first, item->count);
}

/* Pages before an item's are left out: by an incremental backup, and in no other. */
static enum envol_status skip(struct envol_reading *reading, const struct item *item,
                              const struct envol_reading_visitor *visitor)
{
    if (item->first == reading->next)
        return ENVOL_OK;
    if (item->first < reading->next || item->first > reading->head.pages || is_full(reading))
        return fail_item(reading, item);
    return visitor->unchanged == NULL
               ? ENVOL_OK
               : visitor->unchanged(visitor->ctx, reading->next, item->first);
}

static enum envol_status get_range(struct envol_reading *reading, const struct item *item,
                                   const struct envol_reading_visitor *visitor)
{
    enum envol_status status = skip(reading, item, visitor);

    if (status != ENVOL_OK)
        return status;
    if (item->count == 0 || item->count > reading->head.pages - item->first)
        return fail_item(reading, item);
    if (item->kind == ENVOL_ITEM_PAGES)
        status = get_pages(reading, item, visitor);
    else
        status = get_holes(reading, item, visitor);
    reading->next = item->first + item->count;
    return status;
}

static enum envol_status get_end(struct envol_reading *reading, const struct item *item,
                                 const struct envol_reading_visitor *visitor)
{
    enum envol_status status = ENVOL_OK;

    if (item->count != 0 || item->first != reading->head.pages)
        return fail_item(reading, item);
    status = skip(reading, item, visitor);
    reading->ended = true;
    return status == ENVOL_OK ? envol_message_finish(&reading->message) : status;
}

static enum envol_status read_item(struct envol_reading *reading,
                                   const struct envol_reading_visitor *visitor)
{
    struct item item;
    enum envol_status status = get_item(reading, &item);

    if (status != ENVOL_OK)
        return status;
    if (item.kind == ENVOL_ITEM_NOTE)
        status = get_note(reading, &item);
    else if (item.kind == ENVOL_ITEM_PAGES || item.kind == ENVOL_ITEM_HOLES ||
             item.kind == ENVOL_ITEM_BAD)
        status = get_range(reading, &item, visitor);
    else if (item.kind == ENVOL_ITEM_END)
        status = get_end(reading, &item, visitor);
    else
        status = fail_item(reading, &item);
    reading->has_item = true;
    return status;
}

static enum envol_status go_on(const struct envol_reading *reading)
{
    const struct envol_restore_options *options = &reading->options;

    if ((options->cancel_flag != NULL && __atomic_load_n(options->cancel_flag, __ATOMIC_ACQUIRE)) ||
        (options->progress != NULL &&
         options->progress(options->progress_ctx, reading->next, reading->head.pages) != 0))
        return envol_fail(reading->message.error, ENVOL_E_CANCELLED, "cancelled");
    return ENVOL_OK;
}

enum envol_status envol_reading_run(struct envol_reading *reading,
                                    const struct envol_reading_visitor *visitor)
{
    enum envol_status status = go_on(reading);

    while (status == ENVOL_OK && !reading->ended) {
        status = read_item(reading, visitor);
        if (status == ENVOL_OK)
            status = go_on(reading);
    }
    return status;
}

void envol_reading_show(struct envol_reading *reading, enum envol_status status,
                        struct envol_backup_result *result)
{
    struct envol_backup_result shown = {.struct_size = 0};

    if (!ENVOL_FITS(backup_result, result))
        return;
    if (status == ENVOL_OK) {
        shown = reading->result;
        envol_backup_head_show(&reading->head, &shown);
        shown.bytes = reading->message.bytes;
    } else if (result->note != NULL) {
        memset(result->note, 0, result->note_capacity);
    }
    shown.note = result->note;
    shown.note_capacity = result->note_capacity;
    ENVOL_GIVE(backup_result, result, &shown);
}

enum envol_status envol_backup_verify(const struct envol_cmk *cmks, size_t cmk_count,
                                      const struct envol_restore_options *options,
                                      envol_backup_source *source, void *ctx,
                                      struct envol_backup_result *result, struct envol_error *error)
{
    static const struct envol_reading_visitor nobody = {.ctx = NULL};
    struct envol_reading reading;
    enum envol_status status =
        envol_reading_open(&reading, cmks, cmk_count, options, source, ctx, result, error);

    if (status == ENVOL_OK)
        status = envol_reading_run(&reading, &nobody);
    envol_reading_show(&reading, status, result);
    envol_reading_close(&reading);
    if (status == ENVOL_OK)
        envol_error_clear(error);
    return status;
}
