/* SPDX-License-Identifier: BSD-2-Clause */
/* Hostile headers, and what must hold of them however far they come. */
#include "header_harness.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "header_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t base[ENVOL_HEADER_COPY_BYTES];
static uint8_t dek[ENVOL_DEK_BYTES];

/* Stays on in every build: this is the test. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            complain(__LINE__, #condition);                                                        \
    } while (0)

static void complain(int line, const char *condition)
{
    fprintf(stderr, "%s:%d: %s\n", __FILE__, line, condition);
    abort();
}

/* Epoch 5, of which 4 and 3 are kept; three slots; pages. */
static void make_base(void)
{
    static const uint8_t uuid[ENVOL_UUID_BYTES] = "harness's volume";
    const struct envol_header_params params = {
        .struct_size = sizeof(params), .page_bytes = 4096, .uuid = uuid};
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct envol_header *header;
    struct envol_keyring *keyring;

    memset(dek, 0x42, sizeof(dek));
    must(envol_header_new(&params, &header) == ENVOL_OK);
    header->epoch = 5;
    header->lowest_epoch = 2;
    envol_header_refresh_context(header);
    must(envol_header_retain(header, dek, 4, dek) == ENVOL_OK);
    must(envol_header_retain(header, dek, 3, dek) == ENVOL_OK);
    for (unsigned i = 0; i < 3; i++) {
        const struct envol_slot slot = header_slot(i == 1 ? "pinned" : "reference", 16 + i);
        must(envol_header_add_slot(header, &slot, NULL) == ENVOL_OK);
    }
    must(envol_header_set_pages(header, 1000, 1, 12345) == ENVOL_OK);
    must(envol_header_seal(header, dek, 0, bytes, &keyring) == ENVOL_OK);
    memcpy(base, bytes, sizeof(base));
    envol_keyring_close(keyring);
    envol_header_free(header);
}

static void change(const uint8_t *input, size_t bytes, uint8_t *copy)
{
    while (bytes > 3) {
        size_t at = envol_load16(input) & 0x7fff, n = input[2];
        input += 3;
        bytes -= 3;
        if (n > bytes)
            n = bytes;
        if (n > ENVOL_HEADER_COPY_BYTES - at)
            n = ENVOL_HEADER_COPY_BYTES - at;
        memcpy(copy + at, input, n);
        input += n;
        bytes -= n;
    }
}

static void build(uint8_t mode, const uint8_t *input, size_t bytes, uint8_t *both)
{
    uint8_t *changed = (mode & 8) != 0 ? both + ENVOL_HEADER_COPY_BYTES : both;
    uint8_t *other = (mode & 8) != 0 ? both : both + ENVOL_HEADER_COPY_BYTES;

    memset(both, 0, ENVOL_HEADER_BYTES);
    if ((mode & 4) == 0)
        memcpy(changed, base, sizeof(base));
    if ((mode & 16) == 0)
        memcpy(other, base, sizeof(base));
    if ((mode & HARNESS_RAW) == 0)
        change(input, bytes, changed);
    else
        memcpy(changed, input, bytes < sizeof(base) ? bytes : sizeof(base));
    if ((mode & 3) >= HARNESS_MAC)
        header_make_mac(changed, dek);
    else if ((mode & 3) == 1)
        header_make_crc(changed);
    if ((mode & 3) == 3)
        memcpy(other, changed, sizeof(base));
}

static void check_text(const char *text, size_t min, size_t max)
{
    size_t length = strlen(text);

    must(length >= min && length <= max);
    for (size_t i = 0; i < length; i++)
        must((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void check_slots(const struct envol_header *header, uint32_t count)
{
    const struct envol_pin pin = {HEADER_PROVIDER, "pinned"};
    const struct envol_pins pins = {.struct_size = sizeof(pins), .cmks = &pin, .cmk_count = 1};
    struct envol_slot slot = {.struct_size = sizeof(slot)};
    uint32_t cursor = 0;

    must(count >= 1 && count <= ENVOL_SLOTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        must(envol_header_slot(header, i, &slot) == ENVOL_OK && slot.id != 0);
        check_text(slot.provider, 1, ENVOL_PROVIDER_NAME_MAX);
        check_text(slot.key_ref, 1, ENVOL_KEY_REF_MAX);
        check_text(slot.key_version, 0, ENVOL_KEY_VERSION_MAX);
        must(slot.wrapped_bytes >= 1 && slot.wrapped_bytes <= ENVOL_WRAPPED_MAX);
        for (size_t j = 0; j < slot.wrapped_bytes; j++)
            must(((volatile const uint8_t *)slot.wrapped)[j] <= 255); /* it can be read */
    }
    must(envol_header_slot(header, count, &slot) == ENVOL_E_RANGE);
    while (envol_header_next_slot(header, &pins, &cursor, &slot, NULL) == ENVOL_OK)
        must(strcmp(slot.provider, pin.provider) == 0 && strcmp(slot.key_ref, pin.key_ref) == 0);
    must(cursor == count);
}

/* Whatever anybody may compute from a decoded header cannot overflow. */
static void check_info(const struct envol_header *header)
{
    struct envol_header_info info = {.struct_size = sizeof(info)};
    unsigned __int128 end;

    must(envol_header_info(header, &info) == ENVOL_OK && !info.verified);
    must(info.suite == ENVOL_SUITE_AES_256_GCM || info.suite == ENVOL_SUITE_AES_256_XTS);
    must(info.page_bytes >= 512 && info.page_bytes <= 16 << 20 && info.page_bytes % 16 == 0);
    must(info.stride_bytes >= info.page_bytes && info.stride_bytes < (16 << 20) + 48 + 4096);
    must(info.data_offset >= 65536 && info.data_offset % 4096 == 0);
    end = (unsigned __int128)info.high_water * info.stride_bytes + info.data_offset;
    must(end <= INT64_MAX);
    must(info.generation > 0 && info.epoch > 0 && info.lowest_epoch > 0 &&
         info.lowest_epoch <= info.epoch && info.retained_epochs <= ENVOL_RETAINED_MAX);
    check_slots(header, info.slots);
}

/* What an update writes opens by itself. */
static void check_prepared(const uint8_t *copy)
{
    static uint8_t alone[ENVOL_HEADER_BYTES];
    struct envol_header *header;
    struct envol_keyring *keyring;

    memcpy(alone, copy, ENVOL_HEADER_COPY_BYTES);
    must(envol_header_decode(alone, 0, &header, NULL) == ENVOL_OK);
    must(envol_header_unlock(header, dek, 0, NULL, &keyring) == ENVOL_OK);
    envol_keyring_close(keyring);
    envol_header_free(header);
}

static bool update(struct envol_header *header, const struct envol_keyring *keyring,
                   const uint8_t *both)
{
    static uint8_t copy[ENVOL_HEADER_COPY_BYTES];
    const struct envol_slot slot = header_slot("added", 100);
    uint32_t first, id;
    enum envol_status status = envol_header_add_slot(header, &slot, &id);

    must(status == ENVOL_OK || status == ENVOL_E_RANGE);
    if (header->slot_count > 1)
        must(envol_header_remove_slot(header, header->slots[0]->id) == ENVOL_OK);
    must(envol_header_set_pages(header, header->high_water / 2, 0, UINT64_MAX) == ENVOL_OK);
    status = envol_header_prepare(header, keyring, both, copy, &first);
    if (status == ENVOL_OK) {
        check_prepared(copy);
        must(envol_header_committed(header, copy) == ENVOL_OK);
        return true;
    }
    must(envol_is_zero(copy, sizeof(copy)));
    must(status == ENVOL_E_STALE || status == ENVOL_E_VERSION || status == ENVOL_E_RANGE);
    return false;
}

static enum harness_depth unlock(uint8_t mode, struct envol_header *header, const uint8_t *both)
{
    static uint8_t again[ENVOL_HEADER_COPY_BYTES];
    struct envol_keyring *keyring;
    enum envol_status status = envol_header_unlock(header, dek, 0, NULL, &keyring);
    enum harness_depth depth = HARNESS_UNLOCKED;

    if (status != ENVOL_OK) {
        must(keyring == NULL && !header->verified);
        must(status == ENVOL_E_WRONG_KEY || status == ENVOL_E_VERSION || status == ENVOL_E_CORRUPT);
        /* Wrong only for those who do not have the DEK. */
        must(status == ENVOL_E_WRONG_KEY || (mode & 3) >= HARNESS_MAC);
        return HARNESS_DECODED;
    }
    must((mode & 3) >= HARNESS_MAC || memcmp(header->image, base, sizeof(base)) == 0);
    must(envol_keyring_epoch(keyring) == header->epoch);
    /* There is one form of a header: written again, it is the same. */
    must(envol_image_encode(header, header->id.generation, dek, again) == ENVOL_OK);
    must(memcmp(again, header->image, sizeof(again)) == 0);
    if (update(header, keyring, both))
        depth = HARNESS_UPDATED;
    envol_keyring_close(keyring);
    return depth;
}

enum harness_depth header_harness(const uint8_t *input, size_t bytes)
{
    static uint8_t both[ENVOL_HEADER_BYTES];
    uint8_t mode = bytes > 0 ? input[0] : 0;
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_header *header;
    enum harness_depth depth;

    if (base[0] == 0)
        make_base();
    build(mode, bytes > 0 ? input + 1 : input, bytes > 0 ? bytes - 1 : 0, both);
    if (envol_header_decode(both, (mode & 32) != 0 ? ENVOL_HEADER_OTHER_COPY : 0, &header,
                            &error) != ENVOL_OK) {
        must(header == NULL && error.status != ENVOL_OK && error.message[0] != '\0');
        must(error.status == ENVOL_E_FORMAT || error.status == ENVOL_E_VERSION ||
             error.status == ENVOL_E_CORRUPT);
        return HARNESS_REFUSED;
    }
    check_info(header);
    depth = unlock(mode, header, both);
    envol_header_free(header);
    return depth;
}
