/* SPDX-License-Identifier: BSD-2-Clause */
/* envol log read: records of a volume's log on standard output, for people or as frames. */
#include "log.h"

#include <inttypes.h>
#include <string.h>

/* How long a follower waits before it looks for a signal. */
enum { WAIT_MS = 500 };

struct log_output {
    const struct options *options;
    struct session session;
    struct envol_log_reader *reader;
    uint64_t until; /* 0: no end */
};

/* Text as it is; what a terminal would obey, or could not show, as \xNN.  A backslash is doubled,
 * so that nothing is lost. */
static void print_escaped(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\\')
            fputs("\\\\", stdout);
        else if (bytes[i] >= 0x20 && bytes[i] < 0x7f)
            putchar(bytes[i]);
        else
            printf("\\x%02x", bytes[i]);
    }
}

static void print_redo(const struct redo *redo)
{
    if (redo->kind == REDO_PAGE)
        printf("page %" PRIu64, redo->number);
    else if (redo->kind == REDO_END)
        printf("end of an import of %" PRIu64 " bytes", redo->number);
    else if (redo->number == 0)
        printf("begin of an import, no page stays");
    else
        printf("begin of an import, follows LSN %" PRIu64, redo->number);
}

static void print_line(const struct log_output *out, const struct envol_log_record *record)
{
    struct redo redo;
    enum envol_status status = redo_decode(record, out->session.geometry.page_bytes, &redo);

    printf("%" PRIu64 "\t", record->lsn);
    if (status == ENVOL_OK && redo.kind != REDO_NONE)
        print_redo(&redo);
    else
        print_escaped(record->data, record->bytes);
    putchar('\n');
}

static void print_frame(const struct envol_log_record *record)
{
    uint8_t head[FRAME_HEAD_BYTES];

    frame_encode(head, record);
    fwrite(head, 1, sizeof head, stdout);
    if (record->bytes > 0)
        fwrite(record->data, 1, record->bytes, stdout);
}

/* The DEK was rotated meanwhile, or the log is of a newer one than any header says. */
static enum envol_status take_new_dek(struct log_output *out, struct envol_error *error)
{
    const struct envol_keyring *keyring = envol_volume_keyring(out->session.volume);
    uint32_t epoch = envol_keyring_epoch(keyring);
    enum envol_status status = envol_volume_refresh(out->session.volume, error);

    return status == ENVOL_OK && envol_keyring_epoch(keyring) == epoch ? ENVOL_E_STALE : status;
}

/* The next record, or *record of LSN 0: there is no more. */
static enum envol_status read_next(struct log_output *out, struct envol_log_record *record,
                                   struct envol_error *error)
{
    bool follow = (out->options->given & TAKES_FOLLOW) != 0;
    enum envol_status status = ENVOL_E_TIMEOUT;

    while (status == ENVOL_E_TIMEOUT && !is_cancelled() && !ferror(stdout)) {
        status = envol_log_reader_next(out->reader, follow ? WAIT_MS : 0, record, error);
        if (status == ENVOL_E_STALE) {
            status = take_new_dek(out, error);
            status = status == ENVOL_OK ? ENVOL_E_TIMEOUT : status; /* once more */
        } else if (status == ENVOL_E_TIMEOUT && !follow)
            return ENVOL_OK;
    }
    return is_cancelled() ? ENVOL_E_CANCELLED : status;
}

static int print_records(struct log_output *out)
{
    const struct options *options = out->options;
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_log_record record = {.lsn = 0};
    enum envol_status status = read_next(out, &record, &error);

    while (status == ENVOL_OK && record.lsn != 0 && (out->until == 0 || record.lsn <= out->until)) {
        if ((options->given & TAKES_FRAMED) != 0)
            print_frame(&record);
        else
            print_line(out, &record);
        if ((options->given & TAKES_FOLLOW) != 0)
            fflush(stdout);
        if (ferror(stdout))
            return STATUS_OK; /* main says why */
        if (record.lsn == out->until)
            return STATUS_OK;
        record.lsn = 0;
        status = read_next(out, &record, &error);
    }
    return status == ENVOL_OK ? STATUS_OK : log_fail(options, status, &error);
}

int run_log_read(const struct options *options)
{
    struct log_output out = {.options = options, .session.reads_space = true};
    struct envol_error error = ENVOL_ERROR_INIT;
    uint64_t start;
    int exit_status = lsn_parse(options, "--start", options->start, &start);

    if (exit_status == STATUS_OK)
        exit_status = lsn_parse(options, "--until", options->until, &out.until);
    if (exit_status != STATUS_OK)
        return exit_status;
    exit_status = log_session_open(&out.session, options, ENVOL_OPEN_READ_ONLY);
    if (exit_status == STATUS_OK) {
        enum envol_status status = envol_log_reader_open(out.session.volume, out.session.space,
                                                         start, &out.reader, &error);
        exit_status = status == ENVOL_OK ? print_records(&out) : log_fail(options, status, &error);
    }
    envol_log_reader_close(out.reader);
    return session_finish(&out.session, options, exit_status);
}
