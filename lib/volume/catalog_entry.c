/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries of the catalog of backups: catalog.h has the bytes. */
#include "base/bytes.h"
#include "base/memory.h"
#include "volume/catalog.h"

#include <string.h>

#define AT_PARENT     16u
#define AT_FORM       32u
#define AT_STATE      36u
#define AT_CREATED    40u
#define AT_GENERATION 48u
#define AT_VOLUME     56u
#define AT_PAGES      64u
#define AT_BYTES      72u
#define AT_EPOCH      80u
#define AT_LOWEST     84u
#define AT_LABEL      88u
#define AT_CMK_COUNT  152u
#define AT_SPARE      156u
#define AT_CMKS       160u

#define CMK_HEAD_BYTES 8u

/* --- Encoding --- */

static size_t cmk_bytes(const struct envol_backup_cmk *cmk)
{
    size_t used = CMK_HEAD_BYTES + strlen(cmk->provider) + strlen(cmk->key_ref) +
                  strlen(cmk->key_version) + 3;

    return (used + 7) / 8 * 8;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t bytes = strlen(text) + 1;

    memcpy(at, text, bytes);
    return at + bytes;
}

static void encode_cmk(const struct envol_backup_cmk *cmk, uint8_t *at)
{
    envol_store16(at, (uint16_t)strlen(cmk->provider));
    envol_store16(at + 2, (uint16_t)strlen(cmk->key_ref));
    envol_store16(at + 4, (uint16_t)strlen(cmk->key_version));
    at = put_text(at + CMK_HEAD_BYTES, cmk->provider);
    at = put_text(at, cmk->key_ref);
    put_text(at, cmk->key_version);
}

/* payload holds zeros. */
static void encode(const struct envol_backup_entry *entry, uint8_t *payload)
{
    uint8_t *at = payload + AT_CMKS;

    memcpy(payload, entry->uuid, ENVOL_UUID_BYTES);
    memcpy(payload + AT_PARENT, entry->parent, ENVOL_UUID_BYTES);
    envol_store32(payload + AT_FORM, entry->form);
    envol_store32(payload + AT_STATE, entry->finished != 0);
    envol_store64(payload + AT_CREATED, entry->created_at_s);
    envol_store64(payload + AT_GENERATION, entry->generation);
    envol_store64(payload + AT_VOLUME, entry->volume_pages);
    envol_store64(payload + AT_PAGES, entry->pages);
    envol_store64(payload + AT_BYTES, entry->bytes);
    envol_store32(payload + AT_EPOCH, entry->epoch);
    envol_store32(payload + AT_LOWEST, entry->lowest_epoch);
    put_text(payload + AT_LABEL, entry->label);
    envol_store32(payload + AT_CMK_COUNT, entry->cmk_count);
    for (uint32_t i = 0; i < entry->cmk_count; i++) {
        encode_cmk(&entry->cmks[i], at);
        at += cmk_bytes(&entry->cmks[i]);
    }
}

/* --- Decoding --- */

/* A text of so many characters, with its zero, within what is left. */
static bool take_text(const uint8_t **at, const uint8_t *end, size_t length, const char **text)
{
    if ((size_t)(end - *at) < length + 1 || strnlen((const char *)*at, length + 1) != length)
        return false;
    *text = (const char *)*at;
    *at += length + 1;
    return true;
}

static bool decode_cmk(const uint8_t **at, const uint8_t *end, struct envol_backup_cmk *cmk)
{
    const uint8_t *head = *at, *text = head + CMK_HEAD_BYTES;
    size_t provider, key_ref, key_version, padding;

    if ((size_t)(end - head) < CMK_HEAD_BYTES)
        return false;
    provider = envol_load16(head);
    key_ref = envol_load16(head + 2);
    key_version = envol_load16(head + 4);
    if (provider == 0 || provider > ENVOL_PROVIDER_NAME_MAX || key_ref == 0 ||
        key_ref > ENVOL_KEY_REF_MAX || key_version > ENVOL_KEY_VERSION_MAX ||
        envol_load16(head + 6) != 0 || !take_text(&text, end, provider, &cmk->provider) ||
        !take_text(&text, end, key_ref, &cmk->key_ref) ||
        !take_text(&text, end, key_version, &cmk->key_version))
        return false;
    padding = (size_t)(8 - (text - head) % 8) % 8;
    if ((size_t)(end - text) < padding || !envol_is_zero(text, padding))
        return false;
    *at = text + padding;
    return true;
}

static bool decode_cmks(const uint8_t *at, const uint8_t *end, struct envol_backup_entry *entry)
{
    for (uint32_t i = 0; i < entry->cmk_count; i++)
        if (!decode_cmk(&at, end, &entry->cmks[i]))
            return false;
    return at == end;
}

static bool label_is_sound(const uint8_t *label)
{
    size_t length = strnlen((const char *)label, ENVOL_BACKUP_LABEL_BYTES);

    return length < ENVOL_BACKUP_LABEL_BYTES &&
           envol_is_zero(label + length, ENVOL_BACKUP_LABEL_BYTES - length);
}

static bool decode(struct envol_catalog_item *item)
{
    const uint8_t *payload = item->payload;
    struct envol_backup_entry *entry = &item->entry;

    memcpy(entry->uuid, payload, ENVOL_UUID_BYTES);
    memcpy(entry->parent, payload + AT_PARENT, ENVOL_UUID_BYTES);
    entry->form = envol_load32(payload + AT_FORM);
    entry->finished = envol_load32(payload + AT_STATE) == 1;
    entry->created_at_s = envol_load64(payload + AT_CREATED);
    entry->generation = envol_load64(payload + AT_GENERATION);
    entry->volume_pages = envol_load64(payload + AT_VOLUME);
    entry->pages = envol_load64(payload + AT_PAGES);
    entry->bytes = envol_load64(payload + AT_BYTES);
    entry->epoch = envol_load32(payload + AT_EPOCH);
    entry->lowest_epoch = envol_load32(payload + AT_LOWEST);
    entry->label = (const char *)payload + AT_LABEL;
    entry->cmk_count = envol_load32(payload + AT_CMK_COUNT);
    return (entry->form == ENVOL_BACKUP_STREAM || entry->form == ENVOL_BACKUP_RAW) &&
           envol_load32(payload + AT_STATE) <= 1 && entry->epoch != 0 &&
           entry->lowest_epoch <= entry->epoch && label_is_sound(payload + AT_LABEL) &&
           entry->cmk_count >= 1 && entry->cmk_count <= ENVOL_SLOTS_MAX &&
           envol_load32(payload + AT_SPARE) == 0 &&
           decode_cmks(payload + AT_CMKS, payload + item->payload_bytes, entry);
}

/* --- Items --- */

static struct envol_catalog_item *make(size_t payload_bytes)
{
    struct envol_catalog_item *item =
        envol_alloc(sizeof(*item) + payload_bytes, _Alignof(struct envol_catalog_item));

    if (item == NULL)
        return NULL;
    item->entry.struct_size = sizeof(item->entry);
    item->payload_bytes = (uint32_t)payload_bytes;
    return item;
}

struct envol_catalog_item *envol_catalog_item_new(const struct envol_backup_entry *entry)
{
    struct envol_catalog_item *item;
    size_t bytes = AT_CMKS;

    for (uint32_t i = 0; i < entry->cmk_count; i++)
        bytes += cmk_bytes(&entry->cmks[i]);
    item = make(bytes);
    if (item == NULL)
        return NULL;
    encode(entry, item->payload);
    if (decode(item))
        return item;
    envol_free(item); /* not reached: what slots have fits */
    return NULL;
}

size_t envol_catalog_find(const struct envol_catalog *catalog, const uint8_t uuid[ENVOL_UUID_BYTES])
{
    size_t i = 0;

    while (i < catalog->count && memcmp(catalog->items[i]->entry.uuid, uuid, ENVOL_UUID_BYTES) != 0)
        i++;
    return i;
}

static bool make_room(struct envol_catalog *catalog)
{
    size_t room = catalog->room == 0 ? 16 : 2 * catalog->room;
    struct envol_catalog_item **items;

    if (catalog->count < catalog->room)
        return true;
    items = envol_alloc(room * sizeof(items[0]), _Alignof(struct envol_catalog_item *));
    if (items == NULL)
        return false;
    if (catalog->count > 0)
        memcpy(items, catalog->items, catalog->count * sizeof(items[0]));
    envol_free(catalog->items);
    catalog->items = items;
    catalog->room = room;
    return true;
}

static enum envol_status apply_backup(struct envol_catalog *catalog, const uint8_t *payload,
                                      uint64_t bytes)
{
    struct envol_catalog_item *item;

    if (bytes < AT_CMKS || bytes > ENVOL_CHAIN_COVERED_MAX ||
        envol_catalog_find(catalog, payload) < catalog->count)
        return ENVOL_E_CORRUPT;
    item = make((size_t)bytes);
    if (item == NULL || !make_room(catalog)) {
        envol_free(item);
        return ENVOL_E_NO_MEMORY;
    }
    memcpy(item->payload, payload, (size_t)bytes);
    if (!decode(item)) {
        envol_free(item);
        return ENVOL_E_CORRUPT;
    }
    catalog->items[catalog->count++] = item;
    return ENVOL_OK;
}

static void finish(struct envol_catalog_item *item, const uint8_t *payload)
{
    memcpy(item->payload + AT_PAGES, payload + 16, 16);
    envol_store32(item->payload + AT_STATE, 1);
    item->entry.finished = 1;
    item->entry.pages = envol_load64(payload + 16);
    item->entry.bytes = envol_load64(payload + 24);
}

static void remove_at(struct envol_catalog *catalog, size_t at)
{
    envol_free(catalog->items[at]);
    catalog->count--;
    memmove(&catalog->items[at], &catalog->items[at + 1],
            (catalog->count - at) * sizeof(catalog->items[0]));
}

enum envol_status envol_catalog_apply(struct envol_catalog *catalog, uint32_t kind,
                                      const uint8_t *payload, uint64_t bytes)
{
    size_t at;

    if (kind == ENVOL_CATALOG_BACKUP)
        return apply_backup(catalog, payload, bytes);
    if (kind != ENVOL_CATALOG_FINISHED && kind != ENVOL_CATALOG_FORGOTTEN)
        return ENVOL_E_VERSION;
    if (bytes != (kind == ENVOL_CATALOG_FINISHED ? ENVOL_CATALOG_FINISHED_BYTES : ENVOL_UUID_BYTES))
        return ENVOL_E_CORRUPT;
    at = envol_catalog_find(catalog, payload);
    if (at == catalog->count)
        return ENVOL_E_CORRUPT;
    if (kind == ENVOL_CATALOG_FINISHED)
        finish(catalog->items[at], payload);
    else
        remove_at(catalog, at);
    return ENVOL_OK;
}

/* --- What is needed --- */

static bool has_cmk(const struct envol_backup_entry *entry, const char *provider,
                    const char *key_ref)
{
    for (uint32_t i = 0; i < entry->cmk_count; i++)
        if (strcmp(entry->cmks[i].provider, provider) == 0 &&
            strcmp(entry->cmks[i].key_ref, key_ref) == 0)
            return true;
    return false;
}

uint32_t envol_catalog_count_cmk(const struct envol_catalog *catalog, const char *provider,
                                 const char *key_ref)
{
    uint32_t count = 0;

    for (size_t i = 0; i < catalog->count; i++)
        count += has_cmk(&catalog->items[i]->entry, provider, key_ref);
    return count;
}

uint32_t envol_catalog_count_epoch(const struct envol_catalog *catalog, uint32_t epoch)
{
    uint32_t count = 0;

    for (size_t i = 0; i < catalog->count; i++) {
        const struct envol_backup_entry *entry = &catalog->items[i]->entry;
        count += entry->form == ENVOL_BACKUP_RAW && entry->lowest_epoch <= epoch &&
                 epoch <= entry->epoch;
    }
    return count;
}
