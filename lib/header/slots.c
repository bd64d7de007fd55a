/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots: their packed form, their bounds, their place in the header. */
#include "base/bytes.h"
#include "base/memory.h"
#include "base/sized.h"
#include "header/header.h"

#include <string.h>

#define SLOT_ALIGN 8u

struct slot_lengths {
    size_t provider, key_ref, key_version, wrapped;
};

static size_t entry_bytes(const struct slot_lengths *lengths)
{
    size_t bytes = ENVOL_SLOT_HEAD_BYTES + lengths->provider + lengths->key_ref +
                   lengths->key_version + lengths->wrapped;
    return (bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

static bool lengths_fit(const struct slot_lengths *lengths)
{
    return lengths->provider >= 1 && lengths->provider <= ENVOL_PROVIDER_NAME_MAX &&
           lengths->key_ref >= 1 && lengths->key_ref <= ENVOL_KEY_REF_MAX &&
           lengths->key_version <= ENVOL_KEY_VERSION_MAX && lengths->wrapped >= 1 &&
           lengths->wrapped <= ENVOL_WRAPPED_MAX;
}

static bool is_provider_name(const char *name, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') &&
            name[i] != '-')
            return false;
    return true;
}

/* Strings are shown to people before they are authenticated: no control characters. */
static bool is_printable(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

static struct envol_slot *new_slot(const struct slot_lengths *lengths, const char *provider,
                                   const char *key_ref, const char *key_version,
                                   const void *wrapped)
{
    size_t strings = lengths->provider + lengths->key_ref + lengths->key_version + 3;
    struct envol_slot *slot =
        envol_alloc(sizeof(*slot) + strings + lengths->wrapped, _Alignof(struct envol_slot));
    char *next = (char *)(slot + 1);

    if (slot == NULL)
        return NULL;
    slot->struct_size = sizeof(*slot);
    slot->provider = memcpy(next, provider, lengths->provider);
    next += lengths->provider + 1;
    slot->key_ref = memcpy(next, key_ref, lengths->key_ref);
    next += lengths->key_ref + 1;
    slot->key_version = memcpy(next, key_version, lengths->key_version);
    next += lengths->key_version + 1;
    slot->wrapped = memcpy(next, wrapped, lengths->wrapped);
    slot->wrapped_bytes = lengths->wrapped;
    return slot;
}

enum envol_status envol_slot_copy(const struct envol_slot *from, struct envol_slot **copy)
{
    struct slot_lengths lengths;
    const char *version;

    *copy = NULL;
    if (from->provider == NULL || from->key_ref == NULL || from->wrapped == NULL)
        return ENVOL_E_ARGUMENT;
    version = from->key_version == NULL ? "" : from->key_version;
    lengths = (struct slot_lengths){strlen(from->provider), strlen(from->key_ref), strlen(version),
                                    from->wrapped_bytes};
    if (!lengths_fit(&lengths) || !is_provider_name(from->provider, lengths.provider) ||
        !is_printable(from->key_ref, lengths.key_ref) ||
        !is_printable(version, lengths.key_version))
        return ENVOL_E_ARGUMENT;
    *copy = new_slot(&lengths, from->provider, from->key_ref, version, from->wrapped);
    if (*copy == NULL)
        return ENVOL_E_NO_MEMORY;
    (*copy)->id = from->id;
    (*copy)->created_at_s = from->created_at_s;
    return ENVOL_OK;
}

void envol_slot_show(const struct envol_slot *from, struct envol_slot *slot)
{
    ENVOL_GIVE(slot, slot, from);
}

static bool id_is_taken(const struct envol_header *header, uint32_t id)
{
    for (uint32_t i = 0; i < header->slot_count; i++)
        if (header->slots[i]->id == id)
            return true;
    return false;
}

/* One entry at the start of `left` bytes; its length to *used. */
static enum envol_status decode_slot(const uint8_t *entry, size_t left, struct envol_header *header,
                                     size_t *used)
{
    struct slot_lengths lengths;
    const char *text = (const char *)entry + ENVOL_SLOT_HEAD_BYTES;
    struct envol_slot *slot;
    size_t filled;

    if (left < ENVOL_SLOT_HEAD_BYTES)
        return ENVOL_E_CORRUPT;
    lengths = (struct slot_lengths){envol_load16(entry + 16), envol_load16(entry + 18),
                                    envol_load16(entry + 20), envol_load16(entry + 22)};
    *used = envol_load32(entry);
    if (!lengths_fit(&lengths) || *used != entry_bytes(&lengths) || *used > left)
        return ENVOL_E_CORRUPT;
    filled = ENVOL_SLOT_HEAD_BYTES + lengths.provider + lengths.key_ref + lengths.key_version +
             lengths.wrapped;
    if (!is_provider_name(text, lengths.provider) ||
        !is_printable(text + lengths.provider, lengths.key_ref + lengths.key_version) ||
        !envol_is_zero(entry + filled, *used - filled))
        return ENVOL_E_CORRUPT;
    if (envol_load32(entry + 4) == 0 || id_is_taken(header, envol_load32(entry + 4)))
        return ENVOL_E_CORRUPT;
    slot =
        new_slot(&lengths, text, text + lengths.provider, text + lengths.provider + lengths.key_ref,
                 text + lengths.provider + lengths.key_ref + lengths.key_version);
    if (slot == NULL)
        return ENVOL_E_NO_MEMORY;
    slot->id = envol_load32(entry + 4);
    slot->created_at_s = envol_load64(entry + 8);
    header->slots[header->slot_count++] = slot;
    return ENVOL_OK;
}

enum envol_status envol_slots_decode(const uint8_t *area, size_t bytes, uint32_t count,
                                     struct envol_header *header)
{
    size_t at = 0;

    if (count < 1 || count > ENVOL_SLOTS_MAX)
        return ENVOL_E_CORRUPT;
    for (uint32_t i = 0; i < count; i++) {
        size_t used = 0;
        enum envol_status status = decode_slot(area + at, bytes - at, header, &used);
        if (status != ENVOL_OK)
            return status;
        at += used;
    }
    return envol_is_zero(area + at, bytes - at) ? ENVOL_OK : ENVOL_E_CORRUPT;
}

static uint8_t *put(uint8_t *at, const void *data, size_t bytes)
{
    memcpy(at, data, bytes);
    return at + bytes;
}

static void encode_slot(const struct envol_slot *slot, const struct slot_lengths *lengths,
                        uint8_t *entry)
{
    uint8_t *at = entry + ENVOL_SLOT_HEAD_BYTES;

    envol_store32(entry, (uint32_t)entry_bytes(lengths));
    envol_store32(entry + 4, slot->id);
    envol_store64(entry + 8, slot->created_at_s);
    envol_store16(entry + 16, (uint16_t)lengths->provider);
    envol_store16(entry + 18, (uint16_t)lengths->key_ref);
    envol_store16(entry + 20, (uint16_t)lengths->key_version);
    envol_store16(entry + 22, (uint16_t)lengths->wrapped);
    at = put(at, slot->provider, lengths->provider);
    at = put(at, slot->key_ref, lengths->key_ref);
    at = put(at, slot->key_version, lengths->key_version);
    put(at, slot->wrapped, lengths->wrapped);
}

size_t envol_slots_encode(const struct envol_header *header, uint8_t *area)
{
    size_t at = 0;

    if (area != NULL)
        memset(area, 0, ENVOL_SLOT_AREA_BYTES);
    for (uint32_t i = 0; i < header->slot_count; i++) {
        const struct envol_slot *slot = header->slots[i];
        struct slot_lengths lengths = {strlen(slot->provider), strlen(slot->key_ref),
                                       strlen(slot->key_version), slot->wrapped_bytes};
        if (area != NULL)
            encode_slot(slot, &lengths, area + at);
        at += entry_bytes(&lengths);
    }
    return at;
}

uint32_t envol_slot_unused_id(const struct envol_header *header)
{
    uint32_t id = 1;

    while (id_is_taken(header, id))
        id++;
    return id;
}

enum envol_status envol_header_add_slot(struct envol_header *header, const struct envol_slot *slot,
                                        uint32_t *id)
{
    struct envol_slot whole;
    struct envol_slot *copy;
    enum envol_status status;

    if (id != NULL)
        *id = 0;
    if (header == NULL || slot == NULL || !ENVOL_TAKE(slot, slot, &whole))
        return ENVOL_E_ARGUMENT;
    if (header->slot_count == ENVOL_SLOTS_MAX)
        return ENVOL_E_RANGE;
    status = envol_slot_copy(&whole, &copy);
    if (status != ENVOL_OK)
        return status;
    copy->id = envol_slot_unused_id(header);
    header->slots[header->slot_count++] = copy;
    if (envol_slots_encode(header, NULL) > ENVOL_SLOT_AREA_BYTES) {
        header->slot_count--;
        envol_free(copy);
        return ENVOL_E_RANGE;
    }
    if (id != NULL)
        *id = copy->id;
    return ENVOL_OK;
}

enum envol_status envol_header_remove_slot(struct envol_header *header, uint32_t id)
{
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    for (uint32_t i = 0; i < header->slot_count; i++) {
        if (header->slots[i]->id != id)
            continue;
        if (header->slot_count == 1)
            return ENVOL_E_STATE;
        envol_free(header->slots[i]);
        header->slot_count--;
        memmove(&header->slots[i], &header->slots[i + 1],
                (header->slot_count - i) * sizeof(header->slots[0]));
        return ENVOL_OK;
    }
    return ENVOL_E_ARGUMENT;
}

enum envol_status envol_header_slot(const struct envol_header *header, uint32_t index,
                                    struct envol_slot *slot)
{
    if (!ENVOL_FITS(slot, slot))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(slot);
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    if (index >= header->slot_count)
        return ENVOL_E_RANGE;
    envol_slot_show(header->slots[index], slot);
    return ENVOL_OK;
}
