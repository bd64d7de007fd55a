/* SPDX-License-Identifier: BSD-2-Clause */
/* From run to run: which one follows, and whether it is the one that must. */
#include "log/cursor.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "page/log_run.h"

#include <stdio.h>
#include <string.h>

void envol_log_name(uint64_t segment, char name[ENVOL_LOG_NAME_BYTES])
{
    snprintf(name, ENVOL_LOG_NAME_BYTES, "log-%016llx", (unsigned long long)segment);
}

uint64_t envol_log_number(const char *name)
{
    uint64_t number = 0;

    if (strlen(name) != ENVOL_LOG_NAME_BYTES - 1 || strncmp(name, "log-", 4) != 0)
        return 0;
    for (const char *c = name + 4; *c != '\0'; c++) {
        if (envol_hex_digit(*c) < 0)
            return 0;
        number = number << 4 | (uint64_t)envol_hex_digit(*c);
    }
    return number;
}

uint64_t envol_log_run_place(uint64_t offset)
{
    return (offset + ENVOL_LOG_RUN_ALIGN - 1) / ENVOL_LOG_RUN_ALIGN * ENVOL_LOG_RUN_ALIGN;
}

static enum envol_status corrupt(const struct envol_log_cursor *cursor, uint64_t segment,
                                 uint64_t offset, struct envol_error *error)
{
    return envol_fail(error, ENVOL_E_CORRUPT,
                      "segment %llu of the log: what begins at %llu is not the run that follows "
                      "run %llu",
                      (unsigned long long)segment, (unsigned long long)offset,
                      (unsigned long long)cursor->run_no);
}

/* ENVOL_E_UNWRITTEN: the store ends before or within it. */
static enum envol_status read_header(struct envol_store *store, uint64_t offset,
                                     uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES],
                                     struct envol_error *error)
{
    size_t got;
    enum envol_status status =
        envol_store_read(store, offset, header, ENVOL_LOG_RUN_HEADER_BYTES, &got, error);

    return status == ENVOL_OK && got < ENVOL_LOG_RUN_HEADER_BYTES ? ENVOL_E_UNWRITTEN : status;
}

static void enter(struct envol_log_cursor *cursor, struct envol_log_run *run,
                  const struct envol_log_run_info *info, uint64_t offset)
{
    envol_log_run_close(cursor->run);
    cursor->run = run;
    cursor->run_no = info->run;
    cursor->run_offset = offset;
    cursor->start_lsn = info->start_lsn;
    cursor->epoch = info->epoch;
    memcpy(cursor->log_id, info->log_id, sizeof(cursor->log_id));
    cursor->has_id = true;
    cursor->at = (struct envol_log_place){
        .offset = offset + ENVOL_LOG_RUN_HEADER_BYTES,
        .next_lsn = info->start_lsn,
    };
    memcpy(cursor->at.tag, info->tag, sizeof(info->tag));
    envol_log_cursor_forget(cursor);
}

enum envol_status envol_log_cursor_begin(struct envol_log_cursor *cursor, uint64_t segment,
                                         struct envol_store *store, struct envol_error *error)
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;
    enum envol_status status;

    envol_store_close(cursor->store);
    cursor->store = store;
    cursor->segment = segment;
    envol_log_cursor_forget(cursor);
    status = read_header(store, 0, header, error);
    if (status != ENVOL_OK)
        return status;
    if (envol_log_run_peek(header, &info) == ENVOL_E_FORMAT ||
        (cursor->has_id && memcmp(info.log_id, cursor->log_id, sizeof(info.log_id)) != 0))
        return ENVOL_E_UNWRITTEN;
    status = envol_log_run_open(cursor->keyring, header, NULL, &run);
    if (status != ENVOL_OK)
        return envol_fail(error, status, "segment %llu of the log: its first run: %s",
                          (unsigned long long)segment, envol_status_message(status));
    enter(cursor, run, &info, 0);
    return ENVOL_OK;
}

/*
 * Is it, or was it once, the header of the run that follows?  Then it must be that to the last bit.
 * What a segment that is used again has from former times names another tag and a lower run.
 */
static bool is_meant(const struct envol_log_cursor *cursor,
                     const uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES])
{
    static const char magic[8] = "ENVOLLOG";
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    int matches = memcmp(header, magic, sizeof(magic)) == 0;

    matches += memcmp(header + ENVOL_LOG_AT_UUID, cursor->keyring->uuid, ENVOL_UUID_BYTES) == 0;
    matches += memcmp(header + ENVOL_LOG_AT_ID, cursor->log_id, ENVOL_LOG_ID_BYTES) == 0;
    if (memcmp(header + ENVOL_LOG_AT_PREVIOUS, cursor->at.tag, ENVOL_LOG_TAG_BYTES) == 0)
        return true;
    /* A peek needs the magic to tell a run from anything else. */
    if (matches < 2)
        return false;
    return envol_log_run_peek(header, &info) != ENVOL_OK || info.run > cursor->run_no;
}

static enum envol_status follow(struct envol_log_cursor *cursor, struct envol_store *store,
                                uint64_t segment, uint64_t offset, struct envol_error *error)
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;
    enum envol_status status = read_header(store, offset, header, error);

    if (status != ENVOL_OK)
        return status;
    if (!is_meant(cursor, header))
        return ENVOL_E_UNWRITTEN;
    if (envol_log_run_peek(header, &info) != ENVOL_OK || info.run != cursor->run_no + 1 ||
        info.start_lsn < cursor->at.next_lsn ||
        memcmp(info.log_id, cursor->log_id, sizeof(info.log_id)) != 0 ||
        memcmp(info.previous_tag, cursor->at.tag, sizeof(info.previous_tag)) != 0)
        return corrupt(cursor, segment, offset, error);
    status = envol_log_run_open(cursor->keyring, header, NULL, &run);
    if (status == ENVOL_E_CORRUPT || status == ENVOL_E_FORMAT)
        return corrupt(cursor, segment, offset, error);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    enter(cursor, run, &info, offset);
    return ENVOL_OK;
}

/* Follows the same run as the one that the cursor is in, and is not the same. */
static bool is_anew(const struct envol_log_cursor *cursor,
                    const uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES],
                    struct envol_log_run_info *info)
{
    const uint8_t *before = cursor->run->header;

    return envol_log_run_peek(header, info) == ENVOL_OK && info->run == cursor->run_no &&
           memcmp(header, before, ENVOL_LOG_RUN_HEADER_BYTES) != 0 &&
           memcmp(info->log_id, cursor->log_id, sizeof(info->log_id)) == 0 &&
           memcmp(info->previous_tag, before + ENVOL_LOG_AT_PREVIOUS, ENVOL_LOG_TAG_BYTES) == 0;
}

bool envol_log_cursor_renew(struct envol_log_cursor *cursor, struct envol_store *store)
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run;

    if (cursor->at.offset == cursor->run_offset + ENVOL_LOG_RUN_HEADER_BYTES &&
        read_header(store, cursor->run_offset, header, NULL) == ENVOL_OK &&
        is_anew(cursor, header, &info) &&
        envol_log_run_open(cursor->keyring, header, NULL, &run) == ENVOL_OK) {
        enter(cursor, run, &info, cursor->run_offset);
        envol_store_close(cursor->store);
        cursor->store = store;
        return true;
    }
    envol_store_close(store);
    return false;
}

enum envol_status envol_log_cursor_next_run(struct envol_log_cursor *cursor,
                                            struct envol_error *error)
{
    if (cursor->at.ended)
        return ENVOL_E_UNWRITTEN;
    return follow(cursor, cursor->store, cursor->segment, envol_log_run_place(cursor->at.offset),
                  error);
}

enum envol_status envol_log_cursor_next_segment(struct envol_log_cursor *cursor,
                                                struct envol_store *store,
                                                struct envol_error *error)
{
    enum envol_status status = follow(cursor, store, cursor->segment + 1, 0, error);

    if (status != ENVOL_OK)
        return status;
    envol_store_close(cursor->store);
    cursor->store = store;
    cursor->segment++;
    envol_log_cursor_forget(cursor);
    return ENVOL_OK;
}
