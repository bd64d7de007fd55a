/* SPDX-License-Identifier: BSD-2-Clause */
/* envol log verify and truncate; and what all verbs of logs share. */
#include "log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int lsn_parse(const struct options *options, const char *option, const char *text, uint64_t *lsn)
{
    uint64_t number = 0;

    *lsn = 0;
    if (text == NULL)
        return STATUS_OK;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || number > (UINT64_MAX - 9) / 10)
            return fail_usage(options, "%s %s: not an LSN", option, text);
        number = 10 * number + (uint64_t)(*at - '0');
    }
    if (number == 0)
        return fail_usage(options, "%s %s: not an LSN; they count from 1", option, text);
    *lsn = number;
    return STATUS_OK;
}

int log_session_open(struct session *session, const struct options *options, uint32_t flags)
{
    int exit_status = session_open(session, options, flags);

    if (exit_status == STATUS_OK && session->space == NULL)
        exit_status =
            fail_text(options, ENVOL_E_STATE, "there is no directory for its log: --space");
    return exit_status;
}

/* "Restore it from a backup" is no advice here. */
int log_fail(const struct options *options, enum envol_status status,
             const struct envol_error *error)
{
    bool has_message = error != NULL && error->message[0] != '\0';

    if (is_cancelled())
        return check_cancelled(options);
    if (status != ENVOL_E_CORRUPT && status != ENVOL_E_TRUNCATED && status != ENVOL_E_STALE)
        return fail(options, status, error);
    return fail_text(options, status, "%s",
                     has_message ? error->message : envol_status_message(status));
}

static enum envol_status has_log(struct session *session, bool *has)
{
    struct envol_volume_info info = {.struct_size = sizeof info,
                                     .header.struct_size = sizeof info.header};
    enum envol_status status = envol_volume_info(session->volume, &info);

    *has = info.header.log_seal != ENVOL_LOG_SEAL_NONE;
    return status;
}

int log_open(struct session *session, const struct options *options, bool may_create,
             struct envol_log **log)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    bool has;
    enum envol_status status = has_log(session, &has);

    *log = NULL;
    if (status == ENVOL_OK && (has || !may_create))
        status = envol_log_open(session->volume, session->space, NULL, log, &error);
    else if (status == ENVOL_OK)
        status = envol_log_create(session->volume, session->space, NULL, log, &error);
    return status == ENVOL_OK ? STATUS_OK : log_fail(options, status, &error);
}

int log_finish(struct envol_log *log, const struct options *options, int exit_status)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = envol_log_close(log, &error);

    if (exit_status == STATUS_OK && status != ENVOL_OK)
        return log_fail(options, status, &error);
    return exit_status;
}

enum envol_status log_id_read(struct session *session, uint8_t log_id[ENVOL_LOG_ID_BYTES],
                              struct envol_error *error)
{
    struct envol_log_seal seal = {.struct_size = sizeof seal};
    struct envol_header *header = NULL;
    uint8_t *bytes = malloc(ENVOL_HEADER_BYTES);
    enum envol_status status = bytes == NULL
                                   ? ENVOL_E_NO_MEMORY
                                   : envol_volume_header_bytes(session->volume, bytes, error);

    if (status == ENVOL_OK)
        status = envol_header_decode(bytes, 0, &header, error);
    if (status == ENVOL_OK)
        status = envol_header_log_seal(header, &seal);
    memcpy(log_id, seal.log_id, ENVOL_LOG_ID_BYTES);
    envol_header_free(header);
    free(bytes);
    return status;
}

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
    int exit_status = log_session_open(&session, options, ENVOL_OPEN_READ_ONLY);

    if (exit_status == STATUS_OK) {
        status =
            envol_log_replay(session.volume, session.space, 0, 0, count_record, &tally, &error);
        exit_status = status == ENVOL_OK ? print_tally(&tally) : log_fail(options, status, &error);
    }
    return session_finish(&session, options, exit_status);
}

static int truncate_below(struct envol_log *log, const struct options *options, uint64_t lsn)
{
    struct envol_log_info info = {.struct_size = sizeof info};
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status = envol_log_next_segment(log, &error);

    if (status == ENVOL_OK)
        status = envol_log_truncate(log, lsn, &error);
    if (status == ENVOL_OK)
        status = envol_log_status(log, &info);
    if (status != ENVOL_OK)
        return log_fail(options, status, &error);
    printf("%" PRIu64 "\n", info.first_lsn == 0 ? 1 : info.first_lsn);
    return STATUS_OK;
}

/* The newest segment always stays: so another one is begun first. */
int run_log_truncate(const struct options *options)
{
    struct session session = {.reads_space = true};
    struct envol_log *log = NULL;
    uint64_t lsn;
    int exit_status = STATUS_OK;

    if (options->file == NULL)
        return fail_usage(options, "the LSN is missing");
    exit_status = lsn_parse(options, "LSN", options->file, &lsn);
    if (exit_status != STATUS_OK)
        return exit_status;
    exit_status = log_session_open(&session, options, 0);
    if (exit_status == STATUS_OK)
        exit_status = log_open(&session, options, false, &log);
    if (exit_status == STATUS_OK)
        exit_status = truncate_below(log, options, lsn);
    exit_status = log_finish(log, options, exit_status);
    return session_finish(&session, options, exit_status);
}
