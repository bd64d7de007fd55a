/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a page, in either way: the library's I/O for the base, this store's own for a run. */
#include "store.h"

#include <unistd.h>

size_t table_place(const struct table *table, struct kv_slice key)
{
    const struct list *index = &table->index;
    size_t place = list_find(index, key);
    bool begins_with =
        place < index->count && compare(item_key(index->entries[place]->item), key) == 0;

    return begins_with || place == 0 ? place : place - 1;
}

/* Own I/O: read the record, unseal it in place.  Without a byte of a record there is no page: what
 * was cut off is as bad as what was changed. */
static enum envol_status read_run(const struct table *run, uint64_t page_no,
                                  struct envol_lane *lane, uint8_t *page)
{
    ssize_t got = pread(run->fd, page, STRIDE_BYTES, (off_t)(page_no * STRIDE_BYTES));

    if (got != STRIDE_BYTES) {
        memset(page, 0, STRIDE_BYTES);
        return got < 0 ? ENVOL_E_IO : ENVOL_E_TRUNCATED;
    }
    return envol_page_unseal(run->object, lane, page_no, page, page);
}

enum envol_status table_read(struct kv *kv, const struct table *table, uint64_t page_no,
                             struct envol_lane *lane, uint8_t *page, struct envol_error *error)
{
    enum envol_status status = table->object != NULL ? read_run(table, page_no, lane, page)
                                                     : envol_page_read(kv->volume, page_no, page);

    if (status == ENVOL_OK)
        status = page_check(page);
    if (status == ENVOL_OK)
        return ENVOL_OK;
    memset(page, 0, STRIDE_BYTES);
    return kv_fail(error, status, "page %llu of %s", (unsigned long long)page_no,
                   table->object != NULL ? "a run" : "the volume");
}
