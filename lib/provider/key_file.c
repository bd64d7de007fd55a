/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key files: codec of the image, whose offsets stand in key_file.h.  No I/O here.
 */
#include "provider/key_file.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/uuid.h"
#include <string.h>
#include <time.h>

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_STATE = 12,
    AT_ID = 16,
    AT_NEWEST = 32,
    AT_COUNT = 36,
    AT_ENTRIES = ENVOL_KEY_FILE_HEAD_BYTES,
    AT_ENTRY_NUMBER = 0,
    AT_ENTRY_ZERO = 4,
    AT_ENTRY_CREATED = 8,
    AT_ENTRY_KEY = 16,
    FORMAT_VERSION = 1
};

static const uint8_t magic[8] = {'E', 'N', 'V', 'O', 'L', 'K', 'E', 'Y'};
static const uint8_t zeros[ENVOL_CMK_BYTES];

static const uint8_t *entry_at(const uint8_t *image, uint32_t index)
{
    return image + AT_ENTRIES + (size_t)index * ENVOL_KEY_FILE_ENTRY_BYTES;
}

/* Whose it is, before anything else of it is read. */
static enum envol_status check_kind(const char *path, const uint8_t *image, size_t bytes,
                                    struct envol_error *error)
{
    if (bytes < sizeof(magic) || memcmp(image + AT_MAGIC, magic, sizeof(magic)) != 0)
        return envol_fail(error, ENVOL_E_FORMAT, "%s: not a key file", path);
    if (bytes < AT_STATE)
        return envol_fail(error, ENVOL_E_CORRUPT, "%s: key file ends after %zu bytes", path, bytes);
    if (envol_load32(image + AT_VERSION) != FORMAT_VERSION)
        return envol_fail(error, ENVOL_E_VERSION, "%s: key file has format version %u, not %d",
                          path, envol_load32(image + AT_VERSION), FORMAT_VERSION);
    return ENVOL_OK;
}

static enum envol_status check_whole(const char *path, const uint8_t *image, size_t bytes,
                                     struct envol_error *error)
{
    uint32_t count;
    size_t expected;

    if (bytes < ENVOL_KEY_FILE_BYTES(1))
        return envol_fail(error, ENVOL_E_CORRUPT, "%s: key file ends after %zu bytes", path, bytes);
    count = envol_load32(image + AT_COUNT);
    if (count < 1 || count > ENVOL_KEY_FILE_VERSIONS_MAX)
        return envol_fail(error, ENVOL_E_CORRUPT, "%s: key file has %u versions", path, count);
    expected = ENVOL_KEY_FILE_BYTES(count);
    if (bytes != expected)
        return envol_fail(error, ENVOL_E_CORRUPT, "%s: key file is not of %zu bytes", path,
                          expected);
    if (envol_load32(image + bytes - ENVOL_KEY_FILE_CRC_BYTES) !=
        envol_crc32c(0, image, bytes - ENVOL_KEY_FILE_CRC_BYTES))
        return envol_fail(error, ENVOL_E_CORRUPT, "%s: key file is damaged: its checksum is wrong",
                          path);
    return ENVOL_OK;
}

/* Numbers ascend, so that none occurs twice and the newest is the last. */
static enum envol_status check_entries(const char *path, const uint8_t *image,
                                       struct envol_error *error)
{
    uint32_t count = envol_load32(image + AT_COUNT);
    uint32_t before = 0;

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = entry_at(image, i);
        uint32_t number = envol_load32(entry + AT_ENTRY_NUMBER);

        if (number <= before || envol_load32(entry + AT_ENTRY_ZERO) != 0 ||
            envol_equal(entry + AT_ENTRY_KEY, zeros, sizeof(zeros)))
            return envol_fail(error, ENVOL_E_CORRUPT, "%s: entry %u of the key file is not valid",
                              path, i);
        before = number;
    }
    if (envol_load32(image + AT_NEWEST) != before)
        return envol_fail(error, ENVOL_E_CORRUPT, "%s: newest version of the key file is missing",
                          path);
    return ENVOL_OK;
}

static enum envol_status check_state(const char *path, const uint8_t *image,
                                     struct envol_error *error)
{
    uint32_t state = envol_load32(image + AT_STATE);

    if (state < ENVOL_KEY_ENABLED || state > ENVOL_KEY_PENDING_DELETION)
        return envol_fail(error, ENVOL_E_CORRUPT, "%s: key file has state %u", path, state);
    return ENVOL_OK;
}

static void read_head(uint8_t *image, size_t bytes, struct envol_key_file *file)
{
    file->state = (enum envol_key_state)envol_load32(image + AT_STATE);
    memcpy(file->id, image + AT_ID, sizeof(file->id));
    file->newest = envol_load32(image + AT_NEWEST);
    file->count = envol_load32(image + AT_COUNT);
    file->image = image;
    file->image_bytes = bytes;
}

enum envol_status envol_key_file_decode(const char *path, uint8_t *image, size_t image_bytes,
                                        struct envol_key_file *file, struct envol_error *error)
{
    enum envol_status status = check_kind(path, image, image_bytes, error);

    memset(file, 0, sizeof(*file));
    if (status == ENVOL_OK)
        status = check_whole(path, image, image_bytes, error);
    if (status == ENVOL_OK)
        status = check_state(path, image, error);
    if (status == ENVOL_OK)
        status = check_entries(path, image, error);
    if (status == ENVOL_OK)
        read_head(image, image_bytes, file);
    return status;
}

void envol_key_file_drop(struct envol_key_file *file)
{
    envol_arena_free(file->image, file->image_bytes);
    memset(file, 0, sizeof(*file));
}

const uint8_t *envol_key_file_find(const struct envol_key_file *file, uint32_t number)
{
    for (uint32_t i = 0; i < file->count; i++) {
        const uint8_t *entry = entry_at(file->image, i);

        if (envol_load32(entry + AT_ENTRY_NUMBER) == number)
            return entry + AT_ENTRY_KEY;
    }
    return NULL;
}

static void put_crc(struct envol_key_file *file)
{
    size_t bytes = file->image_bytes - ENVOL_KEY_FILE_CRC_BYTES;

    envol_store32(file->image + bytes, envol_crc32c(0, file->image, bytes));
}

void envol_key_file_put_state(struct envol_key_file *file, enum envol_key_state state)
{
    file->state = state;
    envol_store32(file->image + AT_STATE, (uint32_t)state);
    put_crc(file);
}

/* A clock before 1970 is no reason to have no key. */
static uint64_t now_s(void)
{
    time_t now = time(NULL);

    return now > 0 ? (uint64_t)now : 0;
}

/* Adds an entry to an image that has room for it. */
static enum envol_status append(struct envol_key_file *file)
{
    uint8_t *entry = file->image + AT_ENTRIES + (size_t)file->count * ENVOL_KEY_FILE_ENTRY_BYTES;
    enum envol_status status = envol_random(entry + AT_ENTRY_KEY, ENVOL_CMK_BYTES);

    if (status != ENVOL_OK)
        return status;
    envol_store32(entry + AT_ENTRY_NUMBER, file->newest + 1);
    envol_store32(entry + AT_ENTRY_ZERO, 0);
    envol_store64(entry + AT_ENTRY_CREATED, now_s());
    file->newest++;
    file->count++;
    envol_store32(file->image + AT_NEWEST, file->newest);
    envol_store32(file->image + AT_COUNT, file->count);
    put_crc(file);
    return ENVOL_OK;
}

enum envol_status envol_key_file_make(struct envol_key_file *file)
{
    struct envol_key_file made = {.image_bytes = ENVOL_KEY_FILE_BYTES(1)};
    void *image = NULL;
    enum envol_status status = envol_arena_alloc(made.image_bytes, 0, &image);

    memset(file, 0, sizeof(*file));
    if (status != ENVOL_OK)
        return status;
    made.image = image;
    memcpy(made.image + AT_MAGIC, magic, sizeof(magic));
    envol_store32(made.image + AT_VERSION, FORMAT_VERSION);
    status = envol_uuid_make(made.id);
    if (status != ENVOL_OK)
        goto out;
    memcpy(made.image + AT_ID, made.id, sizeof(made.id));
    status = append(&made);
    if (status != ENVOL_OK)
        goto out;
    envol_key_file_put_state(&made, ENVOL_KEY_ENABLED);
    *file = made;
out:
    if (status != ENVOL_OK)
        envol_key_file_drop(&made);
    return status;
}

enum envol_status envol_key_file_add_version(struct envol_key_file *file)
{
    struct envol_key_file longer = *file;
    void *image = NULL;
    enum envol_status status;

    if (file->count >= ENVOL_KEY_FILE_VERSIONS_MAX || file->newest == UINT32_MAX)
        return ENVOL_E_RANGE;
    longer.image_bytes = ENVOL_KEY_FILE_BYTES(file->count + 1);
    status = envol_arena_alloc(longer.image_bytes, 0, &image);
    if (status != ENVOL_OK)
        return status;
    longer.image = image;
    memcpy(longer.image, file->image, file->image_bytes - ENVOL_KEY_FILE_CRC_BYTES);
    status = append(&longer);
    if (status != ENVOL_OK) {
        envol_key_file_drop(&longer);
        return status;
    }
    envol_key_file_drop(file);
    *file = longer;
    return ENVOL_OK;
}
