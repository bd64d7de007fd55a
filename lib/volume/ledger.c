/* SPDX-License-Identifier: BSD-2-Clause */
/* Which DEKs and slots are still needed, and by how many pages. */
#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "page/trailer.h"
#include "volume/catalog.h"
#include "volume/rotation.h"

#include <string.h>

/* Epochs that records name: those of the header at the beginning, and what begins meanwhile. */
#define TALLIES_MAX (ENVOL_LEDGER_EPOCHS_MAX + 3)

struct tally {
    uint32_t epoch; /* 0: not in use */
    uint64_t pages, holes;
};

struct count {
    struct envol_volume *volume;
    struct envol_volume_lane *lane;
    uint8_t *pages; /* plaintext of one transfer */
    struct envol_ledger *ledger;
    struct tally tallies[TALLIES_MAX];
    struct envol_catalog catalog;
    struct envol_error *error;
};

static struct tally *tally_of(struct tally *tallies, uint32_t epoch)
{
    size_t i = 0;

    while (i < TALLIES_MAX - 1 && tallies[i].epoch != epoch && tallies[i].epoch != 0)
        i++;
    tallies[i].epoch = epoch;
    return &tallies[i];
}

static enum envol_status note(struct count *c, const struct envol_page_io *io,
                              const uint8_t *record)
{
    struct envol_ledger *ledger = c->ledger;
    const uint8_t *at = record + c->volume->stride_bytes - ENVOL_TRAILER_BYTES;
    struct envol_trailer trailer;

    if (io->status == ENVOL_E_KEY_REVOKED)
        return envol_fail(c->error, io->status, NULL);
    ledger->pages++;
    if (io->status != ENVOL_OK && io->status != ENVOL_E_UNWRITTEN) {
        if (ledger->bad++ == 0)
            ledger->first_bad = io->page_no;
    } else if (!envol_trailer_decode(at, &trailer)) {
        ledger->unwritten++;
    } else if (io->status == ENVOL_OK) {
        tally_of(c->tallies, trailer.epoch)->pages++;
    } else {
        tally_of(c->tallies, trailer.epoch)->holes++;
    }
    return ENVOL_OK;
}

/* The lane's buffer holds the records of the last reading: where some were read more than once,
 * each page is read anew. */
static enum envol_status count_run(struct count *c, struct envol_page_io *ios, size_t n)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    enum envol_status status = ENVOL_OK;
    bool at_once;

    at_once = envol_volume_read_pages(c->volume, c->lane, ios, n, &details);
    for (size_t i = 0; status == ENVOL_OK && i < n; i++) {
        if (!at_once)
            envol_volume_read_pages(c->volume, c->lane, &ios[i], 1, &details);
        status = note(c, &ios[i], c->lane->records + (at_once ? i * c->volume->stride_bytes : 0));
    }
    return status;
}

/* The gate is passed anew for each run. */
static enum envol_status count_next(struct count *c, uint64_t *next)
{
    struct envol_volume *volume = c->volume;
    struct envol_page_io ios[ENVOL_RUN_MAX];
    uint64_t pages;
    size_t n = 0;
    enum envol_status status = envol_volume_enter(volume, ENVOL_ACCESS_READ);

    if (status != ENVOL_OK)
        return envol_fail(c->error, status, NULL);
    pages = atomic_load(&volume->pages);
    for (; n < volume->run && *next + n < pages; n++)
        ios[n] =
            (struct envol_page_io){.page_no = *next + n, .page = c->pages + n * volume->page_bytes};
    if (n > 0)
        status = count_run(c, ios, n);
    envol_volume_leave(volume);
    *next = n > 0 ? *next + n : UINT64_MAX;
    return status;
}

static enum envol_status count_gcm(struct count *c)
{
    size_t bytes = (size_t)c->volume->run * c->volume->page_bytes;
    enum envol_status status = ENVOL_E_NO_MEMORY;

    c->pages = envol_alloc(bytes, ENVOL_BUFFER_ALIGN);
    if (c->pages != NULL)
        status = envol_volume_lane_take(c->volume, &c->lane);
    if (status != ENVOL_OK) {
        envol_free(c->pages);
        return envol_fail(c->error, status, NULL);
    }
    for (uint64_t next = 0; status == ENVOL_OK && next != UINT64_MAX;)
        status = count_next(c, &next);
    envol_volume_lane_give(c->volume, c->lane);
    envol_wipe(c->pages, bytes);
    envol_free(c->pages);
    return status;
}

/* Where no record tells its epoch, the watermark does.  Holds growth. */
static void count_xts(struct count *c)
{
    const struct envol_header *header = c->volume->header;
    uint64_t pages = atomic_load(&c->volume->pages), next = pages;

    c->ledger->pages = pages;
    if (envol_rotation_is_xts(c->volume) && atomic_load(&c->volume->sweep.next) < pages)
        next = atomic_load(&c->volume->sweep.next);
    tally_of(c->tallies, header->epoch)->pages = next;
    if (next < pages)
        tally_of(c->tallies, header->rotation.from_epoch)->pages = pages - next;
}

static void add_epoch(struct count *c, uint32_t epoch, bool retained)
{
    struct envol_ledger *ledger = c->ledger;
    const struct tally *tally = tally_of(c->tallies, epoch);
    uint32_t snapshots = envol_snapshots_need(c->volume->header, epoch);

    ledger->epochs[ledger->epoch_count++] = (struct envol_ledger_epoch){
        .epoch = epoch,
        .retained = retained,
        .log_needs = envol_log_seal_needs(c->volume->header, epoch),
        .pages = tally->pages,
        .holes = tally->holes,
        .may_retire = retained && tally->pages == 0 && tally->holes == 0 && ledger->bad == 0 &&
                      snapshots == 0 && !envol_rotation_is_on(c->volume) &&
                      !envol_log_seal_needs(c->volume->header, epoch) &&
                      !envol_catalog_needs(c->volume->header, epoch),
        .snapshots = snapshots,
        .catalog_needs = envol_catalog_needs(c->volume->header, epoch),
        .raw_copies = envol_catalog_count_epoch(&c->catalog, epoch),
    };
}

static void add_slots(struct count *c)
{
    const struct envol_header *header = c->volume->header;

    for (uint32_t i = 0; i < header->slot_count; i++) {
        const struct envol_slot *slot = header->slots[i];
        struct envol_ledger_slot *shown = &c->ledger->slots[i];
        shown->id = slot->id;
        memcpy(shown->provider, slot->provider, strlen(slot->provider) + 1);
        memcpy(shown->key_ref, slot->key_ref, strlen(slot->key_ref) + 1);
        memcpy(shown->key_version, slot->key_version, strlen(slot->key_version) + 1);
        shown->backups = envol_catalog_count_cmk(&c->catalog, slot->provider, slot->key_ref);
        shown->may_retire =
            header->slot_count > 1 && shown->backups == 0 && c->ledger->catalog == ENVOL_OK;
    }
    c->ledger->slot_count = header->slot_count;
}

/* Retained epochs stand in the header in no order that is promised. */
static void add_epochs(struct count *c)
{
    const struct envol_header *header = c->volume->header;
    uint32_t below = header->epoch;

    add_epoch(c, header->epoch, false);
    for (uint32_t i = 0; i < header->retained_count; i++) {
        uint32_t newest = 0;
        for (uint32_t k = 0; k < header->retained_count; k++)
            if (header->retained[k].epoch < below && header->retained[k].epoch > newest)
                newest = header->retained[k].epoch;
        add_epoch(c, newest, true);
        below = newest;
    }
}

/* A catalog that cannot be read is a part of the answer: what it would tell is not known. */
static void read_catalog(struct count *c)
{
    c->ledger->catalog = envol_catalog_read(c->volume, false, &c->catalog, NULL);
    if (c->ledger->catalog != ENVOL_OK)
        envol_catalog_free(&c->catalog);
    c->ledger->backups = (uint32_t)c->catalog.count;
}

static enum envol_status count_all(struct count *c)
{
    struct envol_volume *volume = c->volume;
    enum envol_status status = volume->gcm ? count_gcm(c) : ENVOL_OK;
    bool is_own = envol_volume_is_own(volume);

    if (status == ENVOL_OK) {
        status = envol_volume_enter(volume, ENVOL_ACCESS_READ);
        if (status != ENVOL_OK)
            envol_fail(c->error, status, NULL);
    }
    if (status != ENVOL_OK)
        return status;
    read_catalog(c);
    if (is_own)
        pthread_mutex_lock(&volume->growth);
    if (!volume->gcm)
        count_xts(c);
    add_epochs(c);
    add_slots(c);
    if (is_own)
        pthread_mutex_unlock(&volume->growth);
    envol_volume_leave(volume);
    envol_catalog_free(&c->catalog);
    return ENVOL_OK;
}

enum envol_status envol_volume_ledger(struct envol_volume *volume, struct envol_ledger *ledger,
                                      struct envol_error *error)
{
    struct count count = {.volume = volume, .error = error};
    enum envol_status status;

    if (!ENVOL_FITS(ledger, ledger))
        return envol_fail(error, ENVOL_E_ARGUMENT, "the struct_size of ledger is too small");
    envol_sized_clear(ledger);
    count.ledger = envol_alloc(sizeof(*count.ledger), _Alignof(struct envol_ledger));
    if (count.ledger == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    count.ledger->first_bad = ENVOL_NO_PAGE;
    status = envol_volume_enter(volume, ENVOL_ACCESS_READ);
    if (status == ENVOL_OK) {
        envol_volume_leave(volume);
        status = count_all(&count);
    } else {
        envol_fail(error, status, NULL);
    }
    if (status == ENVOL_OK) {
        ENVOL_GIVE(ledger, ledger, count.ledger);
        envol_error_clear(error);
    }
    envol_free(count.ledger);
    return status;
}
