/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envol log replay: recovery to a point in time.  A restored volume says in page 0 of which log its
 * pages are, and up to which LSN (record.c); the records behind that are applied up to the LSN that
 * is asked for.
 *
 * The records are read twice: the first pass changes nothing and finds all that can be wrong with
 * them, so that a replay is refused before the volume is touched.  Before the second one changes a
 * page, page 0 says begun, and how far it will go; after all pages are synced it says what is there
 * now.  So a replay that was killed passes for nothing else, and is repeated from where it began.
 */
#include "replay.h"

#include <inttypes.h>
#include <string.h>

/* --- Where it starts --- */

/* The volume, which a writer cannot have open meanwhile: its program is about to write to it. */
static int open_engines(struct replay *replay, uint64_t start)
{
    const struct options *options = replay->options;
    struct import_record record;
    enum envol_status status;
    int exit_status = session_open(&replay->session, options, ENVOL_OPEN_READ_ONLY);

    if (exit_status != STATUS_OK)
        return exit_status;
    status = record_read(&replay->session, &record);
    if (status != ENVOL_OK)
        return fail(options, status, NULL);
    if (record.content == CONTENT_WHOLE || record.content == CONTENT_PARTIAL)
        return fail_text(options, ENVOL_E_STATE,
                         "it holds an import, which knows itself where to start; no --start");
    replay->at.lsn = start - 1;
    return session_finish(&replay->session, options, STATUS_OK);
}

static bool was_cut_off(const struct import_record *record)
{
    return record->content == CONTENT_PARTIAL && record->mark != 0;
}

static int open_import(struct replay *replay)
{
    const struct options *options = replay->options;
    uint8_t log_id[ENVOL_LOG_ID_BYTES];
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    int exit_status = session_open(&replay->session, options, 0);

    if (exit_status != STATUS_OK)
        return exit_status;
    status = record_read(&replay->session, &replay->at);
    if (status != ENVOL_OK)
        return fail(options, status, NULL);
    if (replay->at.content == CONTENT_NONE || replay->at.content == CONTENT_FOREIGN)
        return fail_text(options, ENVOL_E_STATE,
                         "it holds no import; an engine's volume takes --start LSN and --apply");
    if (!replay->at.is_logged)
        return fail_text(options, ENVOL_E_STATE,
                         "its import is of no log, so that nothing says where to start; import "
                         "--log, and back that up");
    status = log_id_read(&replay->source, log_id, &error);
    if (status != ENVOL_OK)
        return log_fail(&replay->of_log, status, &error);
    if (memcmp(log_id, replay->at.log_id, sizeof log_id) != 0)
        return fail_text(options, ENVOL_E_STATE, "its import is not of the log of %s",
                         replay->of_log.path);
    replay->knows_end = replay->at.content == CONTENT_WHOLE;
    /* One that was cut off checked these records, and may have cut pages that they begin with. */
    replay->pages =
        was_cut_off(&replay->at) ? UINT64_MAX : envol_volume_pages(replay->session.volume);
    return STATUS_OK;
}

/* --- The first pass --- */

static int refuse(struct replay *replay, enum envol_status status, uint64_t lsn, const char *why)
{
    replay->exit_status = fail_text(&replay->of_log, status, "record %" PRIu64 " %s", lsn, why);
    return 1;
}

/* Pages that have to be there: imports write theirs in order, and leave out none that is not. */
static uint64_t pages_below(const struct replay *replay, const struct redo *redo)
{
    return redo->kind == REDO_PAGE
               ? redo->number
               : CONTENT_FIRST_PAGE + content_pages(&replay->session, redo->number);
}

static int check_redo(struct replay *replay, const struct envol_log_record *record,
                      const struct redo *redo)
{
    struct import_record *at = &replay->at;
    bool knows_end = replay->knows_end;

    replay->redos++;
    replay->knows_end = true;
    if (redo->kind == REDO_BEGIN) {
        if (redo->number != 0 && knows_end && redo->number != at->mark)
            return refuse(replay, ENVOL_E_STATE, record->lsn,
                          "does not go on from what the volume holds");
        at->content = CONTENT_PARTIAL;
        /* Until a page follows: after a crash right behind it there is another one like it. */
        at->mark = redo->number;
        if (redo->number == 0)
            replay->pages = CONTENT_FIRST_PAGE;
    } else if (at->content != CONTENT_PARTIAL) {
        return refuse(replay, ENVOL_E_FORMAT, record->lsn, "is of an import that did not begin");
    } else if (pages_below(replay, redo) > replay->pages) {
        return refuse(replay, ENVOL_E_FORMAT, record->lsn, "leaves out pages that are not there");
    } else if (redo->kind == REDO_PAGE) {
        at->mark = 0;
        if (redo->number == replay->pages)
            replay->pages++;
    } else {
        replay->pages = pages_below(replay, redo);
        at->content = CONTENT_WHOLE;
        at->bytes = redo->number;
        at->mark = record->lsn;
    }
    return 0;
}

static int check_record(void *ctx, const struct envol_log_record *record)
{
    struct replay *replay = ctx;
    struct redo redo = {.kind = REDO_NONE};
    enum envol_status status = ENVOL_OK;

    replay->reached = replay->until != 0 && record->lsn >= replay->until;
    if (is_cancelled() || (replay->reached && record->lsn > replay->until))
        return 1;
    if (!replay->is_engines)
        status = redo_decode(record, replay->session.geometry.page_bytes, &redo);
    if (status != ENVOL_OK)
        return refuse(replay, status, record->lsn,
                      "is no change of pages that this command, or this volume, knows");
    if (redo.kind == REDO_NONE && replay->options->apply == NULL)
        return refuse(replay, ENVOL_E_UNSUPPORTED, record->lsn,
                      "changes no pages, but is an engine's: --apply names its program");
    if (redo.kind != REDO_NONE && check_redo(replay, record, &redo) != 0)
        return 1;
    replay->at.lsn = record->lsn;
    return replay->reached;
}

static int check_end(struct replay *replay, const struct import_record *before)
{
    if (replay->until != 0 && !replay->reached && replay->at.lsn < replay->until)
        return fail_text(&replay->of_log, ENVOL_E_RANGE,
                         "the log ends with LSN %" PRIu64 ", before --until", replay->at.lsn);
    if (was_cut_off(before) && before->mark > replay->at.lsn)
        return fail_text(replay->options, ENVOL_E_RANGE,
                         "a replay up to LSN %" PRIu64 " was cut off, so that pages may be of "
                         "later records than LSN %" PRIu64 "; restore it again",
                         before->mark, replay->at.lsn);
    return STATUS_OK;
}

static int check_log(struct replay *replay)
{
    const struct import_record before = replay->at;
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;

    if (replay->until != 0 && replay->until < before.lsn)
        return fail_text(replay->options, ENVOL_E_RANGE,
                         "it is at LSN %" PRIu64 " already; restore an earlier backup", before.lsn);
    /* What stays 0 unless a record says else: whoever comes next goes on from here. */
    if (before.content == CONTENT_PARTIAL)
        replay->at.mark = 0;
    status = envol_log_replay(replay->source.volume, replay->source.space, before.lsn + 1, 0,
                              check_record, replay, &error);
    if (replay->exit_status != STATUS_OK)
        return replay->exit_status;
    if (status != ENVOL_OK && (status != ENVOL_E_CANCELLED || !replay->reached || is_cancelled()))
        return log_fail(&replay->of_log, status, &error);
    replay->last = replay->at.lsn;
    if (replay->at.content == CONTENT_PARTIAL) {
        replay->at.mark = 0;
        replay->at.bytes = 0;
    }
    return check_end(replay, &before);
}

static int print_end(const struct replay *replay)
{
    printf("at LSN %" PRIu64, replay->at.lsn);
    if (!replay->is_engines && replay->at.content == CONTENT_WHOLE)
        printf(", an import of %" PRIu64 " bytes", replay->at.bytes);
    else if (!replay->is_engines)
        printf(", in the middle of an import");
    putchar('\n');
    return STATUS_OK;
}

static int replay_all(struct replay *replay)
{
    const struct import_record from = replay->at;
    int exit_status = check_log(replay);

    if (exit_status == STATUS_OK && replay->last > from.lsn)
        exit_status = replay_apply(replay, &from);
    return exit_status == STATUS_OK ? print_end(replay) : exit_status;
}

/* --- The command line --- */

/* --space is where the log is; what a restored volume has beside it lies in its own directory. */
static void name_source(struct replay *replay, const struct options *options,
                        struct options *of_volume)
{
    replay->of_log = *options;
    replay->of_log.path = options->file;
    replay->of_log.file = options->path;
    if (options->from_count > 0) {
        memcpy(replay->of_log.cmks, options->froms, sizeof options->froms);
        replay->of_log.cmk_count = options->from_count;
    }
    *of_volume = *options;
    of_volume->space = NULL;
    replay->options = of_volume;
}

static int check_options(struct replay *replay, const struct options *options, uint64_t *start)
{
    int exit_status = lsn_parse(options, "--until", options->until, &replay->until);

    if (exit_status == STATUS_OK)
        exit_status = lsn_parse(options, "--start", options->start, start);
    if (exit_status != STATUS_OK)
        return exit_status;
    if (options->file == NULL)
        return fail_usage(options, "the volume that the log is of is missing");
    replay->is_engines = *start != 0;
    if (replay->is_engines && options->apply == NULL)
        return fail_usage(options, "--start goes with --apply");
    return STATUS_OK;
}

int run_log_replay(const struct options *options)
{
    struct replay replay = {.source.reads_space = true, .applier.pipe = -1};
    struct options of_volume;
    uint64_t start = 0;
    int exit_status = check_options(&replay, options, &start);

    if (exit_status != STATUS_OK)
        return exit_status;
    name_source(&replay, options, &of_volume);
    exit_status = log_session_open(&replay.source, &replay.of_log, ENVOL_OPEN_READ_ONLY);
    if (exit_status == STATUS_OK)
        exit_status = replay.is_engines ? open_engines(&replay, start) : open_import(&replay);
    if (exit_status == STATUS_OK)
        exit_status = replay_all(&replay);
    exit_status = session_finish(&replay.session, replay.options, exit_status);
    return session_finish(&replay.source, &replay.of_log, exit_status);
}
