/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transaction logs in the command: what its own records say of pages (redo.c), how records travel
 * through pipes (frame.c), and what the verbs of logs share.
 */
#ifndef LOG_H
#define LOG_H

#include "command.h"

/* --- redo.c: records that change pages --- */

enum redo_kind {
    REDO_NONE,  /* a record of another program's */
    REDO_BEGIN, /* number: LSN of the end that the pages are of, 0: they are cut away first */
    REDO_PAGE,  /* number: of the page, from CONTENT_FIRST_PAGE on */
    REDO_END    /* number: bytes of the content, which is whole */
};

enum { REDO_HEAD_BYTES = 24 };

struct redo {
    enum redo_kind kind;
    uint64_t number;
    const uint8_t *image; /* of a page: page_bytes, in the record */
};

/* The head; a page's image follows it. */
void redo_encode(uint8_t head[REDO_HEAD_BYTES], enum redo_kind kind, uint64_t number);
/* It begins with the magic, which no other program's record may. */
bool is_redo(const void *data, size_t bytes);
/* ENVOL_E_VERSION, ENVOL_E_FORMAT: it begins as one, and is none of this version, or of no volume
 * with such pages. */
enum envol_status redo_decode(const struct envol_log_record *record, size_t page_bytes,
                              struct redo *redo);

/* --- frame.c: records in a stream --- */

enum { FRAME_HEAD_BYTES = 16 };

void frame_encode(uint8_t head[FRAME_HEAD_BYTES], const struct envol_log_record *record);
/* Of the FRAME_HEAD_BYTES at bytes; its data follows them.  False: no frame begins so. */
bool frame_decode(const uint8_t *bytes, struct envol_log_record *record);

/* --- log.c --- */

/* An LSN of the command line; 0 if it is not there.  option: how it was given.  Prints its failure.
 */
int lsn_parse(const struct options *options, const char *option, const char *text, uint64_t *lsn);
/* A volume with the directory of its log; flags are ENVOL_OPEN_*. */
int log_session_open(struct session *session, const struct options *options, uint32_t flags);
/* The volume's log for writing; it is made if it may be.  Prints its failure. */
int log_open(struct session *session, const struct options *options, bool may_create,
             struct envol_log **log);
/* exit_status, or STATUS_FAULT if closing fails after all else went well. */
int log_finish(struct envol_log *log, const struct options *options, int exit_status);
/* Without the advice of fail(), which is for volumes. */
int log_fail(const struct options *options, enum envol_status status,
             const struct envol_error *error);
/* Of the log of a session's volume. */
enum envol_status log_id_read(struct session *session, uint8_t log_id[ENVOL_LOG_ID_BYTES],
                              struct envol_error *error);

/* --- import_log.c: an import that is written to a log before the pages --- */

struct import_log {
    const struct options *options;
    struct session *session;
    struct envol_log *log;
    struct import_record record; /* as page 0 has it */
    bool keeps_pages;            /* only pages that change are written */
    struct envol_log_entry *entries;
    uint8_t *records;    /* of a batch, head and image each */
    struct batch before; /* its pages as they are */
};

/* Finish it whatever is returned.  was: what page 0 says before the import. */
int import_log_open(struct import_log *log, struct session *session, const struct options *options,
                    const struct batch *batch);
enum envol_status import_log_begin(struct import_log *log, const struct import_record *was,
                                   struct envol_error *error);
/* The batch's first *count pages; leaves those that change, *count of them, which are safe in the
 * log when it returns. */
enum envol_status import_log_pages(struct import_log *log, struct batch *batch, size_t *count,
                                   struct envol_error *error);
/* All pages are written. */
enum envol_status import_log_end(struct import_log *log, uint64_t bytes, struct envol_error *error);
int import_log_finish(struct import_log *log, int exit_status);

/* --- apply.c: the program of --apply --- */

struct applier {
    const char *program;
    int pipe; /* -1: not started */
    int pid;
};

enum envol_status applier_start(struct applier *applier, const char *program,
                                struct envol_error *error);
enum envol_status applier_hand(struct applier *applier, const struct envol_log_record *record,
                               struct envol_error *error);
/* Waits for its end; the status is ENVOL_OK if it took all. */
enum envol_status applier_finish(struct applier *applier, struct envol_error *error);

#endif
