/* SPDX-License-Identifier: BSD-2-Clause */
/* envol log verify: every record of the volume's transaction log. */
#include "command.h"

#include <envol/log.h>
#include <inttypes.h>

struct tally {
    uint64_t records, bytes;
    uint64_t first_lsn, last_lsn;
};

static int count_record(void *ctx, const struct envol_log_record *record)
{
    struct tally *tally = ctx;

    if (tally->records++ == 0)
        tally->first_lsn = record->lsn;
    tally->last_lsn = record->lsn;
    tally->bytes += record->bytes;
    return is_cancelled();
}

static int print_tally(const struct tally *tally)
{
    printf("%" PRIu64 " records sound", tally->records);
    if (tally->records > 0)
        printf(", LSN %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes", tally->first_lsn,
               tally->last_lsn, tally->bytes);
    putchar('\n');
    return STATUS_OK;
}

int run_log_verify(const struct options *options)
{
    struct session session = {.reads_space = true};
    struct tally tally = {.records = 0};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status;
    int exit_status = session_open(&session, options, ENVOL_OPEN_READ_ONLY);

    if (exit_status == STATUS_OK && session.space == NULL)
        exit_status =
            fail_text(options, ENVOL_E_STATE, "there is no directory for its log: --space");
    if (exit_status != STATUS_OK)
        return session_finish(&session, options, exit_status);
    status = envol_log_replay(session.volume, session.space, 0, 0, count_record, &tally, &error);
    if (status == ENVOL_OK)
        exit_status = print_tally(&tally);
    else if (is_cancelled())
        exit_status = check_cancelled(options);
    else /* "restore it from a backup" is no advice here */
        exit_status = fail_text(options, status, "%s", error.message);
    return session_finish(&session, options, exit_status);
}
