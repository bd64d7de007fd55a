/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the verbs of the command envol share: parsed arguments, failure lines, sessions (providers,
 * store, volume), import records, progress.  Functions that return int return an exit status.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include "common/cmk.h"

#include <envol.h>
#include <envol/log.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

enum { STATUS_OK = 0, STATUS_FAULT = 1, STATUS_USAGE = 2 };

enum { CMKS_MAX = ENVOL_SLOTS_MAX, FILES_MAX = 64 };

/* Options, as bits of what a verb takes. */
#define TAKES_CMK         (UINT64_C(1) << 0)
#define TAKES_SUITE       (UINT64_C(1) << 1)
#define TAKES_PAGE_SIZE   (UINT64_C(1) << 2)
#define TAKES_SPARSE      (UINT64_C(1) << 3)
#define TAKES_JSON        (UINT64_C(1) << 4)
#define TAKES_FORCE       (UINT64_C(1) << 5)
#define TAKES_TO          (UINT64_C(1) << 6)
#define TAKES_AUDIT       (UINT64_C(1) << 7)
#define TAKES_RECORD      (UINT64_C(1) << 8)
#define TAKES_ALL         (UINT64_C(1) << 9)
#define TAKES_ATOMIC      (UINT64_C(1) << 10)
#define TAKES_RESUME      (UINT64_C(1) << 11)
#define TAKES_THROTTLE    (UINT64_C(1) << 12)
#define TAKES_DROP_SLOTS  (UINT64_C(1) << 13)
#define TAKES_ABANDON_BAD (UINT64_C(1) << 14)
#define TAKES_LEDGER      (UINT64_C(1) << 15)
#define TAKES_VERIFY      (UINT64_C(1) << 16)
#define TAKES_RAW         (UINT64_C(1) << 17)
#define TAKES_FROM        (UINT64_C(1) << 18)
#define TAKES_CHANGES     (UINT64_C(1) << 19)
#define TAKES_NOTE        (UINT64_C(1) << 20)
#define TAKES_SPACE       (UINT64_C(1) << 21)
#define TAKES_SNAPSHOT    (UINT64_C(1) << 22)
#define TAKES_LOG         (UINT64_C(1) << 23)
#define TAKES_START       (UINT64_C(1) << 24)
#define TAKES_UNTIL       (UINT64_C(1) << 25)
#define TAKES_FOLLOW      (UINT64_C(1) << 26)
#define TAKES_FRAMED      (UINT64_C(1) << 27)
#define TAKES_APPLY       (UINT64_C(1) << 28)
#define TAKES_KEEP_OLD    (UINT64_C(1) << 29)

/* The command line.  Strings are those of argv; absent ones are NULL. */
struct options {
    const char *verb; /* "import", "key show": as failure lines name it */
    const char *path; /* the volume or key file */
    const char *file; /* what is imported or exported to; NULL: a standard stream */
    const char *cmks[CMKS_MAX];
    size_t cmk_count;
    bool cmk_is_default;       /* ENVOL_CMK, not --cmk */
    const char *to;            /* URI of another CMK */
    const char *tos[CMKS_MAX]; /* of a backup: all of them */
    size_t to_count;
    const char *froms[CMKS_MAX]; /* CMKs of a backup that is read */
    size_t from_count;
    const char *files[FILES_MAX]; /* all operands behind the volume, "-" as it stands */
    size_t file_count;
    const char *changes; /* list of what changes between backups */
    const char *note;
    const char *audit; /* file to which uses of key services are appended */
    const char *suite;
    const char *page_size;
    const char *throttle; /* MB/s */
    const char *space;    /* directory of the files beside the volume; NULL: VOL.d */
    const char *snapshot; /* UUID of the one that is read instead of the volume */
    const char *start;    /* LSNs, as they were given */
    const char *until;
    const char *apply; /* a program that takes records */
    uint64_t given;    /* TAKES_* of the options that were there */
};

struct verb {
    const char *name;
    int (*run)(const struct options *options);
    uint64_t takes; /* TAKES_* */
    int operands;   /* the most there may be; the first is required */
    bool needs_cmk; /* --cmk, or ENVOL_CMK */
    const char *usage;
    const char *summary;
};

int run_keygen(const struct options *options);
int run_key_disable(const struct options *options);
int run_key_enable(const struct options *options);
int run_key_rotate(const struct options *options);
int run_key_schedule_deletion(const struct options *options);
int run_key_show(const struct options *options);
int run_create(const struct options *options);
int run_import(const struct options *options);
int run_export(const struct options *options);
int run_info(const struct options *options);
int run_verify(const struct options *options);
int run_rotate(const struct options *options);
int run_backup(const struct options *options);
int run_restore(const struct options *options);
int run_rewrap(const struct options *options);
int run_slot_list(const struct options *options);
int run_slot_add(const struct options *options);
int run_slot_remove(const struct options *options);
int run_snapshot_create(const struct options *options);
int run_snapshot_list(const struct options *options);
int run_snapshot_delete(const struct options *options);
int run_catalog_list(const struct options *options);
int run_catalog_forget(const struct options *options);
int run_log_append(const struct options *options);
int run_log_read(const struct options *options);
int run_log_replay(const struct options *options);
int run_log_truncate(const struct options *options);
int run_log_verify(const struct options *options);

/*
 * Parses argv.  Answers STATUS_OK with *verb set; with *verb NULL when --help or --version was all
 * that was asked for, and printed; STATUS_USAGE after one line on standard error.
 */
int options_parse(int argc, char **argv, const struct verb *verbs, size_t verb_count,
                  struct options *options, const struct verb **verb);

/* report.c: "envol: VERB PATH: what failed; what to do (ENVOL_E_NAME)", always one line on standard
 * error; all but the last return STATUS_FAULT. */
int fail(const struct options *options, enum envol_status status, const struct envol_error *error);
/* The same for a system call's errno, and for a text of the command's own. */
int fail_errno(const struct options *options, const char *what, int os_errno);
__attribute__((format(printf, 3, 4))) int
fail_text(const struct options *options, enum envol_status status, const char *format, ...);
/* "envol: VERB: message"; returns STATUS_USAGE.  options may be NULL. */
__attribute__((format(printf, 2, 3))) int fail_usage(const struct options *options,
                                                     const char *format, ...);
/* Text that may come from a hostile file, for a terminal: control characters become "?". */
void print_text(FILE *to, const char *text);
/* The same as a JSON string with its quotes; what is not UTF-8 becomes U+FFFD. */
void print_json_string(const char *text);
enum { TIME_BYTES = 32 };
/* RFC 3339, UTC; false if it is a year that calendars do not name. */
bool format_time(uint64_t unix_s, char text[TIME_BYTES]);
void write_json_string(FILE *to, const char *text);

const char *suite_name(enum envol_suite suite);
void print_uuid(FILE *to, const uint8_t uuid[ENVOL_UUID_BYTES]);

/* uri.c: URIs of CMKs, which are ../common/cmk.h's, on a command line. */
/* STATUS_OK, or STATUS_USAGE and its line; option is what the URI was given to. */
int uri_check(const struct options *options, const char *option, const char *uri);
void uri_print_usage(void);
/* Prints its failure.  cmk_close it whatever is returned. */
int uri_open(struct cmk_source *source, const struct options *options, const char *uri);

/* audit.c: --audit FILE, if it was given; opened before a verb runs, closed after it. */
int audit_open(const struct options *options);
/* exit_status, or STATUS_FAULT if a use could not be recorded. */
int audit_close(int exit_status);
enum envol_status audit_attach(struct envol_provider *provider);

/* terminal.c: the process's terminal, -1 if it has none; a line typed without echo. */
int terminal_open(void);
enum envol_status terminal_ask(int tty, const char *question, const char *label, char *text,
                               size_t capacity, size_t *bytes);

/* The providers of the given CMKs, and a volume opened through them. */
struct session {
    struct cmk_source sources[CMKS_MAX];
    struct envol_cmk cmks[CMKS_MAX];
    size_t cmk_count;
    bool makes_space;        /* set before it is opened: the directory is made if it is not there */
    bool reads_space;        /* the same: a reader needs it, too */
    const uint8_t *abandons; /* the same: the UUID of a snapshot that is given up unread */
    struct envol_space *space;
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_geometry geometry;
};

int session_providers(struct session *session, const struct options *options);
/* Opens providers, store and volume; flags are ENVOL_OPEN_*.  Close it whatever is returned. */
int session_open(struct session *session, const struct options *options, uint32_t flags);
/* Closes what is open.  The status is that of the volume's close, which a writer must look at. */
enum envol_status session_close(struct session *session);
/* exit_status, or STATUS_FAULT if closing a writer's volume fails after all else went well. */
int session_finish(struct session *session, const struct options *options, int exit_status);

/* slots.c: slots as they are shown. */
struct slots {
    size_t count;
    struct envol_slot_info slot[ENVOL_SLOTS_MAX];
};
void slots_of_header(struct slots *slots, const struct envol_header *header);
/* With what the services of the session's CMKs say of theirs. */
enum envol_status slots_of_volume(struct slots *slots, struct session *session,
                                  struct envol_error *error);
void slots_print(const struct slots *slots);
/* The member "slots" of an object, without a comma. */
void slots_print_json(const struct slots *slots);
const char *key_state_name(enum envol_key_state state);

/* snapshot.c */
bool parse_uuid(const char *text, uint8_t uuid[ENVOL_UUID_BYTES]);
void snapshots_print(const struct envol_header_info *header);
/* The member "snapshots" of an object, without a comma. */
void snapshots_print_json(const struct envol_header_info *header);

/* ledger.c: what envol_volume_ledger tells, and CMKs that only known backups need. */
enum { LEDGER_CMKS_MAX = 64 };
struct ledger_cmk {
    char provider[ENVOL_PROVIDER_NAME_MAX + 1];
    char key_ref[ENVOL_KEY_REF_MAX + 1];
    uint32_t backups;
};
struct ledger {
    struct envol_ledger volume; /* epoch_count 0: not asked for */
    uint32_t cmk_count;
    bool has_more; /* than LEDGER_CMKS_MAX */
    struct ledger_cmk cmks[LEDGER_CMKS_MAX];
};
enum envol_status ledger_take(struct ledger *ledger, struct envol_volume *volume,
                              struct envol_error *error);
void ledger_print(const struct ledger *ledger);
/* The member "ledger" of an object, with its comma; NULL: null. */
void ledger_print_json(const struct ledger *ledger);

/* Whether a file is the volume or a key file that the options name. */
bool is_named_file(const struct options *options, const struct stat *about);

/* Set by SIGINT, SIGTERM and SIGHUP; system calls that wait are interrupted. */
extern int cancel_flag;
bool is_cancelled(void);
/* STATUS_OK, or STATUS_FAULT and its line once a signal came. */
int check_cancelled(const struct options *options);

/* As read(2); a signal of these ends it within 100 ms, with EINTR. */
ssize_t read_until_signal(int fd, void *bytes, size_t capacity);

/* Pages that go through one batch, and the buffer behind them. */
struct batch {
    struct envol_page_io *ios;
    uint8_t *bytes; /* page_bytes x capacity */
    size_t capacity;
    size_t page_bytes;
};

/* About a mebibyte, one page at least.  Free it whatever is returned. */
int batch_alloc(struct batch *batch, const struct options *options, size_t page_bytes);
void batch_free(struct batch *batch);
/* Sets the first count ios to consecutive pages. */
void batch_aim(struct batch *batch, uint64_t first, size_t count);

/* record.c: what page 0 says of the volume's content. */
enum content {
    CONTENT_NONE,    /* no page at all */
    CONTENT_FOREIGN, /* pages that no import wrote */
    CONTENT_PARTIAL, /* an import that did not end */
    CONTENT_WHOLE
};

struct import_record {
    enum content content;
    uint64_t bytes; /* of a whole import; else 0 */
    bool is_logged; /* the pages have a position in a log: */
    uint8_t log_id[ENVOL_LOG_ID_BYTES];
    uint64_t lsn;  /* changes of its records up to this one are in the pages */
    uint64_t mark; /* whole: LSN of the import's end; begun: how far a replay may have come, or 0 */
};

enum envol_status record_read(struct session *session, struct import_record *record);
/* Of an import that is partial or whole, into page 0. */
enum envol_status record_write(struct session *session, const struct import_record *record);
/* Page in which an import's content starts, and how many pages so many bytes take. */
enum { CONTENT_FIRST_PAGE = 1 };
uint64_t content_pages(const struct session *session, uint64_t bytes);

/* A bar on standard error when that is a terminal, nothing otherwise. */
struct progress {
    const char *verb;
    uint64_t total_bytes; /* 0: not known */
    uint64_t done_bytes;
    uint64_t skipped_bytes; /* of them, by somebody before */
    double started_s;
    double drawn_s;
    bool on_terminal;
    bool drawn;
};

void progress_start(struct progress *progress, const char *verb, uint64_t total_bytes);
/* After start: so much was done before, and says nothing of the rate. */
void progress_skip(struct progress *progress, uint64_t bytes);
void progress_add(struct progress *progress, uint64_t bytes);
/* Clears the line for other output; the next progress_add draws it again. */
void progress_hide(struct progress *progress);
void progress_done(struct progress *progress); /* one closing line */

/* stream.c: a file or standard input that is read; begin it with stream_init. */
struct stream {
    const char *name;          /* for people */
    int fd;                    /* -1: none */
    uint64_t bytes;            /* 0: not known */
    struct progress *progress; /* told of what is read; or NULL */
};

void stream_init(struct stream *stream);
/* "-" is standard input.  Close it whatever is returned. */
int stream_open(struct stream *stream, const struct options *options, const char *path);
void stream_close(struct stream *stream);
/* Starts a bar for it. */
void stream_show(struct stream *stream, struct progress *progress, const char *verb);
/* An envol_backup_source of a struct stream. */
int stream_read(void *ctx, void *bytes, size_t capacity, size_t *count);
/* The first bytes of a file; how many there are. */
size_t stream_peek(const struct stream *stream, void *bytes, size_t count);

/* CMKs beside those of a session. */
struct cmk_sources {
    struct cmk_source sources[CMKS_MAX];
    struct envol_cmk cmks[CMKS_MAX];
    size_t count;
};
int cmk_sources_open(struct cmk_sources *sources, const struct options *options,
                     const char *const *uris, size_t count);
void cmk_sources_close(struct cmk_sources *sources);

/* target.c: what a verb writes to; begin it with target_init. */
struct target {
    const struct options *options;
    struct progress *progress; /* hidden for a failure's line */
    const char *file;          /* NULL: standard output */
    const char *name;          /* for people */
    bool replaces;             /* a file that exists, without --force too */
    bool is_in_place;          /* published, whatever the directory's sync said then */
    int fd;
    char temporary[PATH_MAX]; /* "" if the target is written to directly */
};

void target_init(struct target *target, struct progress *progress);
/* A file is written beside its place until it is published.  Close it whatever is returned. */
int target_open(struct target *target, const struct options *options, const char *file);
/* 0, or an errno: EINTR once a signal came. */
int target_put(struct target *target, const void *bytes, size_t count);
/* The same with an exit status, and the failure's line. */
int target_write(struct target *target, const void *bytes, size_t count);
/* Syncs a file and puts it in its place, all at once. */
int target_publish(struct target *target);
/* Whether two paths name one file, or would. */
bool is_one_file(const char *a, const char *b);
int target_fail(const struct target *target, int os_errno);
/* What was not published is gone.  exit_status, or STATUS_FAULT if closing fails after success. */
int target_close(struct target *target, int exit_status);

#endif
