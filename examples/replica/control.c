/* SPDX-License-Identifier: BSD-2-Clause */
/* Control pages: magic8 | count u64 | lsn u64 | history16 | role u32, and zeros. */
#include "common/bytes.h"
#include "engine.h"
#include "say.h"

#include <string.h>
#include <sys/random.h>

static const char magic[] = "REPLICA1";
enum { AT_COUNT = 8, AT_LSN = 16, AT_HISTORY = 24, AT_ROLE = 40 };

/* The library says if a page is what was written; what was written is then ours. */
static bool decode(const uint8_t page[PAGE_BYTES], struct control *control)
{
    if (memcmp(page, magic, 8) != 0)
        return false;
    control->count = load(page + AT_COUNT, 8);
    control->lsn = load(page + AT_LSN, 8);
    control->role = (enum role)load(page + AT_ROLE, 4);
    memcpy(control->history, page + AT_HISTORY, HISTORY_BYTES);
    return true;
}

/* A crash tears the one that was being written, which was not counted on yet. */
enum envol_status control_read(struct envol_volume *volume, struct control *control,
                               struct envol_error *error)
{
    enum envol_status status, first_bad = ENVOL_E_FORMAT;
    struct control one;
    uint8_t page[PAGE_BYTES];

    *control = (struct control){0};
    for (uint64_t i = 0; i < CONTROL_PAGES; i++) {
        status = envol_page_read(volume, i, page);
        if (status == ENVOL_OK && decode(page, &one) && one.count > control->count)
            *control = one;
        else if (status != ENVOL_OK)
            first_bad = status;
    }
    return control->count > 0 ? ENVOL_OK : fail(error, first_bad, "the control pages");
}

enum envol_status control_write(struct envol_volume *volume, struct control *control,
                                struct envol_error *error)
{
    uint8_t page[PAGE_BYTES] = {0};
    enum envol_status status;

    memcpy(page, magic, 8);
    store(page + AT_COUNT, 8, control->count + 1);
    store(page + AT_LSN, 8, control->lsn);
    store(page + AT_ROLE, 4, control->role);
    memcpy(page + AT_HISTORY, control->history, HISTORY_BYTES);
    status = envol_page_write(volume, (control->count + 1) % CONTROL_PAGES, page);
    if (status != ENVOL_OK)
        return fail(error, status, "a control page");
    control->count++;
    return ENVOL_OK;
}

enum envol_status control_new_history(struct control *control, struct envol_error *error)
{
    if (getrandom(control->history, HISTORY_BYTES, 0) != HISTORY_BYTES)
        return fail(error, ENVOL_E_RANDOM, "a history");
    return ENVOL_OK;
}
