/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries of a catalog of backups, honest and made up, taken one after the other. */
#include "catalog_harness.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "input_changes.h"
#include "volume/catalog.h"

#include <stdlib.h>
#include <string.h>

static void must(int holds)
{
    if (!holds)
        abort();
}

static struct envol_catalog_item *honest(void)
{
    struct envol_backup_entry entry = {
        .uuid = {1},
        .form = ENVOL_BACKUP_RAW,
        .epoch = 7,
        .lowest_epoch = 3,
        .label = "a label",
        .cmk_count = 2,
        .cmks = {{"file", "a key", "1"}, {"aws-kms", "arn:aws:kms:eu-central-1:1:key/2", ""}},
    };
    struct envol_catalog_item *item = envol_catalog_item_new(&entry);

    must(item != NULL);
    return item;
}

/* Exactly as long as it is, so that tools see an access beyond. */
static enum envol_status take(struct envol_catalog *catalog, uint32_t kind, const uint8_t *bytes,
                              size_t count)
{
    uint8_t *exact = malloc(count + (count == 0));
    enum envol_status status;

    must(exact != NULL);
    if (count > 0)
        memcpy(exact, bytes, count);
    status = envol_catalog_apply(catalog, kind, exact, count);
    free(exact);
    return status;
}

static enum envol_status take_changed(struct envol_catalog *catalog, const uint8_t *changes,
                                      size_t count)
{
    struct envol_catalog_item *item = honest();
    enum envol_status status;

    input_changes(item->payload, item->payload_bytes, changes, count);
    status = take(catalog, ENVOL_CATALOG_BACKUP, item->payload, item->payload_bytes);
    envol_free(item);
    return status;
}

/* What was taken can be written again, and is the same. */
static void check_item(const struct envol_catalog_item *item)
{
    struct envol_catalog_item *again = envol_catalog_item_new(&item->entry);

    must(again != NULL && again->payload_bytes == item->payload_bytes);
    must(memcmp(again->payload, item->payload, item->payload_bytes) == 0);
    envol_free(again);
}

int catalog_harness(const uint8_t *input, size_t input_bytes)
{
    struct envol_catalog catalog = {.count = 0};
    enum envol_status status = ENVOL_OK;
    int count;

    while (status == ENVOL_OK && input_bytes >= 3) {
        size_t left = input_bytes - 3, length = envol_load16(input + 1);
        length = length < left ? length : left;
        status = input[0] == 0 ? take_changed(&catalog, input + 3, length)
                               : take(&catalog, input[0], input + 3, length);
        must(status == ENVOL_OK || status == ENVOL_E_CORRUPT || status == ENVOL_E_VERSION);
        input += 3 + length;
        input_bytes = left - length;
    }
    for (size_t i = 0; i < catalog.count; i++) {
        check_item(catalog.items[i]);
        must(envol_catalog_find(&catalog, catalog.items[i]->entry.uuid) == i);
    }
    (void)envol_catalog_count_cmk(&catalog, "file", "a key");
    (void)envol_catalog_count_epoch(&catalog, 3);
    count = (int)catalog.count;
    envol_catalog_free(&catalog);
    return count;
}
