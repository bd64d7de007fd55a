/* SPDX-License-Identifier: BSD-2-Clause */
/* Two segments of a log, changed, and read as an archive, then taken over by a writer. */
#include "segment_harness.h"

#include "base/bytes.h"
#include "input_changes.h"
#include "log_fixture.h"
#include "log_oracle.h"
#include "page/revoke.h"

#include <envol/memory.h>
#include <stdlib.h>
#include <string.h>

/* A window of a reader, what a writer copies at a time, and some; inputs are far below it. */
#define ALLOCATION_MAX (2u << 20)
#define FILE_MAX       65536u

enum { HEADER = ENVOL_LOG_RUN_HEADER_BYTES, HEAD = ENVOL_LOG_RECORD_HEADER_BYTES };

/* The bytes of a store. */
struct image {
    uint8_t *bytes;
    size_t count;
};

static struct log_fixture f;
static struct image volumes[2]; /* with the log open, and closed */
static struct image sound[2];   /* segments */
static struct envol_keyring *keyring;

static void must(int holds)
{
    if (!holds)
        abort();
}

static void *bounded_alloc(void *state, size_t bytes, size_t alignment)
{
    void *memory;

    (void)state;
    must(bytes <= ALLOCATION_MAX);
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void bounded_free(void *state, void *memory)
{
    (void)state;
    free(memory);
}

static struct image image_of(struct envol_store *store)
{
    struct image image;
    uint64_t size;

    must(envol_store_size(store, &size, NULL) == ENVOL_OK);
    image.count = (size_t)size;
    image.bytes = malloc(image.count + 1);
    must(image.bytes != NULL &&
         envol_store_read_full(store, 0, image.bytes, image.count, NULL) == ENVOL_OK);
    return image;
}

/* --- The sound log --- */

static void put(unsigned count, size_t bytes)
{
    log_put_batch(&f, count, bytes);
}

static int make_sound(void)
{
    static const struct envol_allocator bounded = {
        .struct_size = sizeof(bounded), .alloc = bounded_alloc, .free = bounded_free};

    must(envol_set_allocator(&bounded) == ENVOL_OK);
    if (envol_aes_kernel(false) == NULL)
        return 0;
    log_fixture_create(&f, 0);
    put(1, 0);
    put(1, 8);
    put(1, 100);
    put(3, 20);
    must(envol_log_next_segment(f.log, NULL) == ENVOL_OK);
    put(2, 40);
    log_fixture_reopen(&f); /* another run */
    put(1, 0);
    put(1, 64);
    log_sync(&f);
    volumes[0] = image_of(f.v.store);
    log_fixture_close(&f);
    volumes[1] = image_of(f.v.store);
    for (uint64_t i = 0; i < 2; i++)
        sound[i].bytes = log_segment_get(f.space, i + 1, &sound[i].count);
    keyring = f.v.volume->keyring;
    return 1;
}

static int is_ready(void)
{
    static int ready;

    if (ready == 0)
        ready = make_sound() ? 1 : -1;
    return ready > 0;
}

/* --- Made right --- */

static struct oracle oracle_of(uint32_t epoch)
{
    struct oracle o = {.suite = ORACLE_GCM, .epoch = epoch};
    const struct envol_epoch_keys *keys;

    must(envol_keyring_hold(keyring, NULL) == ENVOL_OK);
    keys = envol_keyring_find(keyring, epoch);
    if (keys != NULL)
        memcpy(o.dek, keys->dek, sizeof(o.dek));
    envol_keyring_release(keyring, NULL);
    memcpy(o.uuid, keyring->uuid, sizeof(o.uuid));
    return o;
}

/* Records as far as their lengths lead; the ciphertext becomes the data.  Where they end. */
static size_t make_tags(struct envol_log_run *run, uint8_t *file, size_t at, size_t count,
                        uint8_t tag[ENVOL_LOG_TAG_BYTES])
{
    static uint8_t data[FILE_MAX];

    while (at + HEAD <= count) {
        struct envol_log_record record = {.bytes = envol_load32(file + at),
                                          .flags = envol_load32(file + at + 4),
                                          .lsn = envol_load64(file + at + 8),
                                          .index = envol_load32(file + at + 16),
                                          .durable = envol_load32(file + at + 20),
                                          .data = data};
        size_t bytes = envol_log_record_bytes(record.bytes);
        if (bytes == 0 || bytes > count - at || record.lsn == 0)
            break;
        memcpy(data, file + at + HEAD, record.bytes);
        must(envol_keyring_hold(keyring, NULL) == ENVOL_OK);
        must(envol_log_records_seal_held(run, &record, 1, file + at) == ENVOL_OK);
        envol_keyring_release(keyring, NULL);
        at += bytes;
        memcpy(tag, file + at - ENVOL_LOG_TAG_BYTES, ENVOL_LOG_TAG_BYTES);
    }
    return at;
}

/* Every run of a segment: those of the headers that say so. */
static void make_runs(struct image *segment, uint8_t tag[ENVOL_LOG_TAG_BYTES])
{
    for (size_t at = 0; at + HEADER <= segment->count; at += ENVOL_LOG_RUN_ALIGN) {
        uint8_t *header = segment->bytes + at;
        struct envol_log_run *run;
        struct log_oracle keys;
        struct oracle o;

        if (memcmp(header, "ENVOLLOG", 8) != 0)
            continue;
        memcpy(header + ENVOL_LOG_AT_UUID, sound[0].bytes + ENVOL_LOG_AT_UUID, 32);
        memcpy(header + ENVOL_LOG_AT_PREVIOUS, tag, ENVOL_LOG_TAG_BYTES);
        o = oracle_of(envol_load32(header + ENVOL_LOG_AT_EPOCH));
        keys = log_oracle_run(&o, header);
        memcpy(header + ENVOL_LOG_AT_COMMITMENT, keys.commitment, sizeof(keys.commitment));
        memcpy(tag, keys.commitment, ENVOL_LOG_TAG_BYTES);
        if (envol_log_run_open(keyring, header, NULL, &run) != ENVOL_OK)
            continue;
        make_tags(run, segment->bytes, at + HEADER, segment->count, tag);
        envol_log_run_close(run);
    }
}

/* --- Inputs --- */

static struct image copy(const uint8_t *bytes, size_t count)
{
    struct image image = {malloc(count + 1), count};

    must(image.bytes != NULL);
    if (count > 0)
        memcpy(image.bytes, bytes, count);
    return image;
}

static void changed(const uint8_t *input, size_t bytes, struct image segments[2])
{
    size_t first = sound[0].count;
    struct image both = copy(sound[0].bytes, first);

    both.bytes = realloc(both.bytes, first + sound[1].count);
    must(both.bytes != NULL);
    memcpy(both.bytes + first, sound[1].bytes, sound[1].count);
    input_changes(both.bytes, first + sound[1].count, input, bytes);
    segments[0] = copy(both.bytes, first);
    segments[1] = copy(both.bytes + first, sound[1].count);
    free(both.bytes);
}

static void make_segments(uint8_t mode, const uint8_t *input, size_t bytes,
                          struct image segments[2])
{
    uint8_t tag[ENVOL_LOG_TAG_BYTES] = {0};
    size_t cut = SIZE_MAX, first;

    if ((mode & SEGMENT_HARNESS_CUT) != 0 && bytes >= 2) {
        bytes -= 2;
        cut = envol_load16(input + bytes);
    }
    if ((mode & SEGMENT_HARNESS_FILES) != 0 && bytes >= 2) {
        first = envol_load16(input);
        input += 2;
        bytes -= 2;
        first = first < bytes ? first : bytes;
        segments[0] = copy(input, first);
        segments[1] = copy(input + first, bytes - first);
    } else {
        changed(input, bytes, segments);
    }
    for (size_t i = 0; i < 2 && (mode & SEGMENT_HARNESS_TAGS) != 0; i++)
        make_runs(&segments[i], tag);
    if (cut < segments[1].count)
        segments[1].count = cut;
}

/* --- What must hold --- */

static int is_fair(enum envol_status status)
{
    return status == ENVOL_E_CORRUPT || status == ENVOL_E_STALE || status == ENVOL_E_STATE ||
           status == ENVOL_E_RANGE || status == ENVOL_E_FORMAT || status == ENVOL_E_TIMEOUT;
}

/* In order, and no more than there is room for. */
static void read_archive(struct envol_space *space, size_t room, struct segment_outcome *outcome)
{
    struct envol_log_reader *reader;
    struct envol_log_record record = {.lsn = 0};
    uint64_t last = 0, bytes = 0;
    enum envol_status status = envol_log_reader_open_archive(keyring, space, 0, &reader, NULL);

    must((reader != NULL) == (status == ENVOL_OK));
    while (status == ENVOL_OK) {
        status = envol_log_reader_next(reader, 0, &record, NULL);
        if (status != ENVOL_OK)
            break;
        must(record.lsn > last && (record.data != NULL || record.bytes == 0));
        bytes += envol_log_record_bytes(record.bytes);
        must(bytes <= room);
        last = record.lsn;
        outcome->records++;
    }
    must(is_fair(status) && record.lsn == 0);
    outcome->corrupt = status == ENVOL_E_CORRUPT;
    outcome->whole = status == ENVOL_E_TIMEOUT;
    envol_log_reader_close(reader);
}

/* A writer looks at the newest segment alone; a reader that is to find the LSN begins with the
 * oldest one, and may meet what is wrong with that. */
static void read_back(struct envol_volume *volume, struct envol_space *space, uint64_t lsn,
                      int is_whole)
{
    struct envol_log_reader *reader;
    struct envol_log_record record = {.lsn = 0};
    enum envol_status status = envol_log_reader_open(volume, space, lsn, &reader, NULL);

    if (status == ENVOL_OK)
        status = envol_log_reader_next(reader, 0, &record, NULL);
    must(status == ENVOL_OK || (!is_whole && is_fair(status)));
    if (status == ENVOL_OK) {
        must(record.lsn == lsn && record.bytes == 4 && memcmp(record.data, "mine", 4) == 0);
        must(envol_log_reader_next(reader, 0, &record, NULL) == ENVOL_E_TIMEOUT);
    }
    envol_log_reader_close(reader);
}

/* Whoever could open it can go on, unless its LSNs are used up. */
static int go_on(struct envol_volume *volume, struct envol_space *space, int is_whole)
{
    struct envol_log *log;
    uint64_t lsn = 0;
    enum envol_status status = envol_log_open(volume, space, &f.options, &log, NULL);

    must((log != NULL) == (status == ENVOL_OK) && (status == ENVOL_OK || is_fair(status)));
    if (status != ENVOL_OK)
        return 0;
    status = envol_log_append(log, "mine", 4, &lsn, NULL);
    must(status == ENVOL_OK || status == ENVOL_E_RANGE);
    must(envol_log_sync(log, 0, NULL) == ENVOL_OK);
    if (status == ENVOL_OK)
        read_back(volume, space, lsn, is_whole);
    must(envol_log_close(log, NULL) == ENVOL_OK);
    return 1;
}

static int take_over(const struct image *image, struct envol_space *space, int is_whole)
{
    struct envol_store *store;
    struct envol_volume *volume;
    int opened;

    must(envol_memory_store_open(&store) == ENVOL_OK);
    must(envol_store_write(store, 0, image->bytes, image->count, NULL) == ENVOL_OK);
    must(envol_volume_open(store, &f.v.cmk, 1, NULL, &volume, NULL) == ENVOL_OK);
    opened = go_on(volume, space, is_whole);
    must(envol_volume_close(volume) == ENVOL_OK);
    envol_store_close(store);
    return opened;
}

struct segment_outcome segment_harness(const uint8_t *input, size_t bytes)
{
    struct segment_outcome outcome = {.records = 0};
    uint8_t mode = bytes > 0 ? input[0] : 0;
    struct image segments[2];
    struct envol_space *space;

    if (bytes > FILE_MAX || !is_ready())
        return outcome;
    make_segments(mode, input + (bytes > 0), bytes - (bytes > 0), segments);
    must(envol_memory_space_open(&space) == ENVOL_OK);
    log_segment_put(space, 1, segments[0].bytes, segments[0].count);
    if ((mode & SEGMENT_HARNESS_FIRST) == 0)
        log_segment_put(space, 2, segments[1].bytes, segments[1].count);
    read_archive(space, segments[0].count + segments[1].count, &outcome);
    /* Whoever has the key can make two runs that read, of which no reader gets to the second. */
    outcome.opened = take_over(&volumes[(mode & SEGMENT_HARNESS_CLOSED) != 0], space,
                               outcome.whole && (mode & SEGMENT_HARNESS_TAGS) == 0);
    envol_space_close(space);
    free(segments[0].bytes);
    free(segments[1].bytes);
    return outcome;
}
