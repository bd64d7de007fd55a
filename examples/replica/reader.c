/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads beside a writer: what it wrote, before its checkpoint too.  Pages that a crash tore are
 * ENVOL_E_CORRUPT until the writer is back, which heals them first of all. */
#include "engine.h"
#include "say.h"

#include <stdlib.h>

enum envol_status reader_open(struct reader *reader, const char *path, const struct envol_cmk *cmk,
                              struct envol_error *error)
{
    const struct envol_pins pins = {.struct_size = sizeof pins,
                                    .suites = 1u << ENVOL_SUITE_AES_256_GCM};
    const struct envol_volume_options options = {
        .struct_size = sizeof options, .flags = ENVOL_OPEN_READ_ONLY, .pins = &pins};
    char *name = path_in(path, "volume");
    enum envol_status status;

    *reader = (struct reader){NULL, NULL};
    if (name == NULL)
        return fail(error, ENVOL_E_NO_MEMORY, "a path");
    status = envol_file_store_open(name, ENVOL_FILE_READ_ONLY, &reader->store, error);
    if (status == ENVOL_OK)
        status = envol_volume_open(reader->store, cmk, 1, &options, &reader->volume, error);
    free(name);
    return status;
}

void reader_close(struct reader *reader)
{
    (void)envol_volume_close(reader->volume); /* a reader has nothing to lose */
    envol_store_close(reader->store);
}

enum envol_status reader_get(struct reader *reader, uint64_t page_no, void *page)
{
    if (page_no >= PAGES_MAX)
        return ENVOL_E_RANGE;
    return envol_page_read(reader->volume, CONTROL_PAGES + page_no, page);
}

/* FNV-1a, 64 bits. */
static void hash_add(uint64_t *hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        *hash = (*hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
}

enum envol_status reader_sum(struct reader *reader, uint64_t *pages, uint64_t *hash,
                             struct envol_error *error)
{
    uint64_t end = envol_volume_pages(reader->volume);
    uint8_t page[PAGE_BYTES];

    *pages = 0;
    *hash = UINT64_C(0xcbf29ce484222325);
    for (uint64_t i = 0; CONTROL_PAGES + i < end; i++) {
        enum envol_status status = reader_get(reader, i, page);

        if (status == ENVOL_E_UNWRITTEN)
            continue;
        if (status != ENVOL_OK)
            return fail(error, status, "page %llu", (unsigned long long)i);
        hash_add(hash, &i, sizeof i);
        hash_add(hash, page, sizeof page);
        ++*pages;
    }
    return ENVOL_OK;
}
