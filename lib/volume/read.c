/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading pages: store -> record -> page. */
#include "base/crc32c.h"
#include "base/error.h"
#include "base/memory.h"
#include "header/header.h"
#include "volume/area.h"
#include "volume/rotation.h"
#include "volume/snapshot.h"

#include <string.h>
#include <time.h>

static bool is_beyond(const struct envol_volume *volume, const struct envol_page_io *io)
{
    return io->page_no >= atomic_load_explicit(&volume->pages, memory_order_relaxed);
}

/* A crash lost a record above the mark before it was synced: the next writer seals a hole there. */
static bool is_to_become_hole(const struct envol_volume *volume, const struct envol_page_io *io)
{
    return volume->gcm && volume->read_only && io->page_no >= atomic_load(&volume->mark);
}

/*
 * Whether pages may be sealed under a newer epoch than this handle knows: both copies of a header
 * say so before any is.  Without the header's lock, which is the handle's and may be in use: at
 * most one copy is torn.  Unverified: whoever can forge it chooses between two refusals.
 */
static bool epoch_may_be_newer(const struct envol_volume *volume)
{
    struct envol_header *header;
    bool is_newer;

    if (!volume->read_only && envol_volume_is_own(volume))
        return false; /* only this handle could begin one */
    if (envol_volume_read_header(volume->store, 0, false, &header, NULL) != ENVOL_OK)
        return true;
    is_newer = header->epoch > volume->keyring->epoch;
    envol_header_free(header);
    return is_newer;
}

/*
 * What a page's record means, once it was unsealed as far as it was there.  Beyond the known end a
 * reader may find records that a writer put into the window.
 */
static enum envol_status judge(const struct envol_volume *volume, const struct envol_page_io *io,
                               const uint8_t *record, bool is_there, enum envol_status unsealed)
{
    if (!is_there)
        return is_beyond(volume, io) ? ENVOL_E_RANGE : ENVOL_E_TRUNCATED;
    if (unsealed == ENVOL_E_STALE && !epoch_may_be_newer(volume))
        return ENVOL_E_CORRUPT;
    if (unsealed != (volume->gcm ? ENVOL_E_CORRUPT : ENVOL_OK) ||
        !envol_is_zero(record, volume->stride_bytes))
        return unsealed;
    if (is_beyond(volume, io))
        return ENVOL_E_RANGE;
    return volume->sparse || is_to_become_hole(volume, io) ? ENVOL_E_UNWRITTEN : unsealed;
}

static void settle(const struct envol_volume *volume, struct envol_page_io *io,
                   enum envol_status status)
{
    io->status = status;
    if (status != ENVOL_OK)
        memset(io->page, 0, volume->page_bytes);
}

static enum envol_status load(struct envol_volume *volume, const struct envol_hot_guest *guest,
                              uint64_t first, size_t n, uint8_t *records, size_t *got,
                              struct envol_error *error)
{
    if (volume->image != NULL)
        return envol_image_read(volume, first, n, records, got, error);
    return envol_volume_fetch(volume, guest, first, n, records, got, error);
}

static enum envol_status read_records(struct envol_volume *volume,
                                      const struct envol_hot_guest *guest,
                                      struct envol_volume_lane *lane, struct envol_page_io *ios,
                                      size_t n, struct envol_error *error)
{
    struct envol_page_op ops[ENVOL_RUN_MAX];
    size_t got;
    enum envol_status status = load(volume, guest, ios[0].page_no, n, lane->records, &got, error);

    for (size_t i = 0; i < n; i++) {
        settle(volume, &ios[i], status);
        ops[i] = (struct envol_page_op){.page_no = ios[i].page_no,
                                        .page = ios[i].page,
                                        .record = lane->records + i * volume->stride_bytes};
    }
    if (status != ENVOL_OK)
        return status;
    if (envol_volume_unseal(volume, guest, lane->lane, ops, n) == ENVOL_OK && volume->gcm &&
        got == n * volume->stride_bytes)
        return ENVOL_OK;
    for (size_t i = 0; i < n; i++)
        settle(volume, &ios[i],
               judge(volume, &ios[i], ops[i].record, (i + 1) * volume->stride_bytes <= got,
                     ops[i].status));
    return ENVOL_OK;
}

/* Under GCM a record that a sweep replaces meanwhile is sound before and after. */
static enum envol_status read_once(struct envol_volume *volume, struct envol_volume_lane *lane,
                                   struct envol_page_io *ios, size_t n, struct envol_error *error)
{
    struct envol_hot_guest guest = {.inside = false};
    enum envol_status status = ENVOL_OK;

    if (!volume->gcm)
        status = envol_volume_visit_to_read(volume, &guest, ios[0].page_no, n);
    if (status == ENVOL_OK)
        status = read_records(volume, &guest, lane, ios, n, error);
    else
        for (size_t i = 0; i < n; i++)
            settle(volume, &ios[i], envol_fail(error, status, NULL));
    envol_volume_depart(volume, &guest);
    return status;
}

/* A run that cannot be read at once, page by page: a bad sector fails the page that is on it.  The
 * error tells of the first. */
static void read_apart(struct envol_volume *volume, struct envol_volume_lane *lane,
                       struct envol_page_io *ios, size_t n, struct envol_error *error)
{
    envol_error_clear(error);
    for (size_t i = 0; i < n; i++) {
        struct envol_error details = ENVOL_ERROR_INIT;
        if (read_once(volume, lane, &ios[i], 1, &details) == ENVOL_OK || error->status != ENVOL_OK)
            continue;
        *error = details;
        envol_error_set_page(error, ios[i].page_no);
    }
}

/* Reads the pages that did not authenticate once more; how many still do not.  seen: checksums of
 * their records; moves: whether one of them is another than the last time. */
static size_t read_bad(struct envol_volume *volume, struct envol_volume_lane *lane,
                       struct envol_page_io *ios, size_t n, uint32_t *seen, bool *moves)
{
    size_t bad = 0;

    *moves = false;
    for (size_t i = 0; i < n; i++) {
        uint32_t checksum;
        if (ios[i].status != ENVOL_E_CORRUPT)
            continue;
        (void)read_once(volume, lane, &ios[i], 1, NULL);
        if (ios[i].status != ENVOL_E_CORRUPT)
            continue;
        checksum = envol_crc32c(0, lane->records, volume->stride_bytes);
        *moves |= checksum != seen[i];
        seen[i] = checksum;
        bad++;
    }
    return bad;
}

/* Readers do not see the writer; where keys are inherited, parent and children do not see one
 * another. */
static bool knows_all_writes(const struct envol_volume *volume)
{
    return !volume->read_only && (volume->keyring->flags & ENVOL_OPEN_INHERIT) == 0;
}

/* Rounds of reading again: with growing pauses, and beyond those for records that change. */
enum { PAUSES = 4, ROUNDS_MAX = PAUSES + 16 };

/* Milliseconds before a round; -1: the handle has waited enough. */
static int pause_of(const struct envol_volume *volume, size_t round, bool moves)
{
    static const int pauses_ms[PAUSES] = {0, 1, 10, 100};

    if (round < 2 || (round < PAUSES && atomic_load(&volume->patience_ms) > 0))
        return pauses_ms[round];
    return moves ? 1 : -1;
}

/*
 * Reads again what does not authenticate, with pauses that all pages of the run share: a writer
 * that lost its processor in the middle of a record leaves it torn until it runs again.  Nothing is
 * waited for where no write can have been in progress; where it cannot be known, the pauses that
 * were in vain are bounded for the handle, so that a damaged disk does not cost one for each page.
 * A record that is another at each reading is being written over and over, and not damaged: that is
 * waited for longer.
 */
static void read_again(struct envol_volume *volume, struct envol_volume_lane *lane,
                       struct envol_page_io *ios, size_t n, size_t bad)
{
    uint32_t seen[ENVOL_RUN_MAX] = {0};
    int waited_ms = 0;
    bool helped = false, moves = false;

    for (size_t round = 0; bad > 0 && (round < PAUSES || moves) && round < ROUNDS_MAX; round++) {
        int ms = pause_of(volume, round, moves);
        const struct timespec pause = {.tv_nsec = ms * 1000000L};
        uint64_t begun;
        size_t still_bad;
        bool quiet;
        if (ms < 0)
            break;
        if (ms > 0)
            nanosleep(&pause, NULL);
        waited_ms += ms;
        begun = atomic_load(&volume->writes_begun);
        quiet = knows_all_writes(volume) && atomic_load(&volume->writes_done) == begun;
        /* Only now: a write that is done by then, and failed on its way home, is seen to be owed.
         */
        (void)envol_area_settle(volume, NULL);
        still_bad = read_bad(volume, lane, ios, n, seen, &moves);
        helped |= round > 0 && still_bad < bad;
        bad = still_bad;
        if (quiet && atomic_load(&volume->writes_begun) == begun)
            break;
    }
    if (helped)
        atomic_store(&volume->patience_ms, ENVOL_PATIENCE_MS);
    else
        atomic_fetch_sub(&volume->patience_ms, waited_ms);
}

bool envol_volume_read_pages(struct envol_volume *volume, struct envol_volume_lane *lane,
                             struct envol_page_io *ios, size_t n, struct envol_error *details)
{
    enum envol_status status;
    size_t bad = 0;

    /* A page that failed on its way home is whole in the area: it is torn only if it fails again,
     * or fails beside the read, which read_again looks after. */
    (void)envol_area_settle(volume, NULL);
    status = read_once(volume, lane, ios, n, details);
    if (status != ENVOL_OK && n > 1)
        read_apart(volume, lane, ios, n, details);
    else if (status != ENVOL_OK)
        envol_error_set_page(details, ios[0].page_no);
    for (size_t i = 0; i < n; i++)
        bad += ios[i].status == ENVOL_E_CORRUPT;
    if (bad > 0)
        read_again(volume, lane, ios, n, bad);
    for (size_t i = 0; i < n; i++)
        if (ios[i].status == ENVOL_E_CORRUPT && is_beyond(volume, &ios[i]))
            ios[i].status = ENVOL_E_RANGE;
    return status == ENVOL_OK && bad == 0;
}

void envol_volume_tell(const struct envol_page_io *io, const struct envol_error *details,
                       struct envol_error *error)
{
    bool is_known = details->status == io->status && details->page_no == io->page_no;

    envol_fail(error, io->status, is_known ? "%s" : NULL, details->message);
    envol_error_set_page(error, io->page_no);
    if (is_known)
        envol_error_set_errno(error, details->os_errno);
}

enum envol_status envol_volume_read_run(struct envol_volume *volume, struct envol_volume_lane *lane,
                                        struct envol_page_io *ios, size_t n,
                                        struct envol_error *error)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    const struct envol_page_io *told = &ios[0];

    envol_volume_read_pages(volume, lane, ios, n, &details);
    for (size_t i = 1; i < n; i++)
        if (envol_volume_is_graver(ios[i].status, told->status))
            told = &ios[i];
    if (told->status != ENVOL_OK)
        envol_volume_tell(told, &details, error);
    return told->status;
}

enum envol_status envol_page_read_batch(struct envol_volume *volume, struct envol_page_io *ios,
                                        size_t count, struct envol_error *error)
{
    return envol_volume_batch(volume, ENVOL_ACCESS_READ, envol_volume_read_run, ios, count, error);
}

enum envol_status envol_page_read(struct envol_volume *volume, uint64_t page_no, void *page)
{
    struct envol_page_io io = {.page_no = page_no, .page = page};

    return envol_volume_batch(volume, ENVOL_ACCESS_READ, envol_volume_read_run, &io, 1, NULL);
}
