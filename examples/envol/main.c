/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command envol, envol(1): the table of its verbs, and what must be in order before any of them
 * runs.  Built on the public headers alone.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int cancel_flag;

bool is_cancelled(void)
{
    return __atomic_load_n(&cancel_flag, __ATOMIC_RELAXED) != 0;
}

/*
 * The first signal asks, a later one ends the process in any case.  timeout(1) sends its signal
 * twice, to the process and to its group: what comes within a second or two is the same request.
 */
static void on_signal(int number)
{
    static time_t asked_s;
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!is_cancelled()) {
        asked_s = now.tv_sec;
        __atomic_store_n(&cancel_flag, 1, __ATOMIC_RELAXED);
    } else if (now.tv_sec - asked_s > 1) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

/*
 * Without SA_RESTART, so that a read from a pipe or terminal ends.  An ignored signal stays so.  A
 * reader that went away and a file that may not grow are failed writes, which are reported.
 */
static void catch_signals(void)
{
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction old;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    action = (struct sigaction){.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}

/*
 * A standard stream that the caller closed would be the number of the next file opened: messages or
 * plaintext would go into the volume.  Its place is filled with something that cannot be used.
 */
static bool hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return false;
    }
    return true;
}

static const struct verb verbs[] = {
    {"keygen", run_keygen, 0, 1, false, "FILE", "makes a local CMK; never overwrites"},
    {"key show", run_key_show, TAKES_JSON, 1, false, "FILE [--json]",
     "shows a local CMK's id, state and newest version"},
    {"key disable", run_key_disable, 0, 1, false, "FILE", "disables it: its volumes do not open"},
    {"key enable", run_key_enable, 0, 1, false, "FILE", "enables it again"},
    {"key rotate", run_key_rotate, 0, 1, false, "FILE",
     "adds a version; older ones still open what they wrapped"},
    {"key schedule-deletion", run_key_schedule_deletion, 0, 1, false, "FILE",
     "marks it for deletion; enable takes that back"},
    {"create", run_create, TAKES_CMK | TAKES_SUITE | TAKES_PAGE_SIZE | TAKES_SPARSE | TAKES_ATOMIC,
     1, true,
     "VOL --cmk URI [--cmk URI]... [--suite SUITE] [--page-size N] [--sparse] "
     "[--atomic-pages]",
     "makes an empty volume; never overwrites"},
    {"import", run_import, TAKES_CMK | TAKES_FORCE | TAKES_SPACE | TAKES_LOG, 2, true,
     "VOL --cmk URI [--force] [--log] [--space DIR] [FILE]",
     "fills a volume from a file or standard input; --force replaces what it holds; --log: through "
     "the volume's log"},
    {"export", run_export, TAKES_CMK | TAKES_FORCE | TAKES_SPACE | TAKES_SNAPSHOT, 2, true,
     "VOL --cmk URI [--force] [--snapshot UUID] [--space DIR] [FILE]",
     "writes exactly the bytes that were imported; --force replaces FILE"},
    {"info", run_info, TAKES_CMK | TAKES_JSON | TAKES_LEDGER | TAKES_SPACE, 1, false,
     "VOL [--cmk URI] [--ledger] [--space DIR] [--json]",
     "shows a volume's header; without --cmk unverified; --ledger reads which keys it needs"},
    {"verify", run_verify, TAKES_CMK | TAKES_SPACE | TAKES_SNAPSHOT, 1, true,
     "VOL --cmk URI [--snapshot UUID] [--space DIR]", "reads every page and lists the bad ones"},
    {"backup", run_backup,
     TAKES_CMK | TAKES_TO | TAKES_FROM | TAKES_CHANGES | TAKES_NOTE | TAKES_RAW | TAKES_VERIFY |
         TAKES_FORCE | TAKES_SPACE | TAKES_SNAPSHOT | TAKES_RECORD,
     2, false,
     "VOL --cmk URI --to URI [--to URI]... [--changes LIST] [--note TEXT] [--record] [--force] "
     "[--space DIR] [FILE], "
     "VOL --raw [--record --cmk URI] [FILE], or --verify --from URI [FILE]",
     "writes an encrypted backup under CMKs of its own; --changes: of what changed since the "
     "last one; --record: the volume's catalog has it; --raw: the bytes as they are, no key; "
     "--verify: reads a backup to its end"},
    {"restore", run_restore, TAKES_CMK | TAKES_FROM, 1 + FILES_MAX, true,
     "VOL --cmk URI [--cmk URI]... --from URI [--from URI]... [FILE]...",
     "makes a new volume of a full backup and those that follow it; goes on with one that was "
     "stopped"},
    {"rewrap", run_rewrap, TAKES_CMK | TAKES_TO | TAKES_SPACE, 1, true,
     "VOL --cmk URI --to URI [--space DIR]",
     "CMK rotation: another CMK, or a newer version, in place of the one that opens it"},
    {"rotate", run_rotate,
     TAKES_CMK | TAKES_RESUME | TAKES_THROTTLE | TAKES_DROP_SLOTS | TAKES_ABANDON_BAD |
         TAKES_KEEP_OLD | TAKES_FORCE | TAKES_JSON | TAKES_SPACE,
     1, true,
     "VOL --cmk URI [--cmk URI]... [--resume] [--throttle MB/s] [--drop-slots] [--abandon-bad] "
     "[--keep-old] [--force] [--json] [--space DIR]",
     "DEK rotation: seals every page again under a new DEK; give the CMK of each slot"},
    {"slot list", run_slot_list, TAKES_CMK | TAKES_JSON, 1, false, "VOL [--cmk URI] [--json]",
     "shows which CMKs open a volume; without --cmk unverified"},
    {"slot add", run_slot_add, TAKES_CMK | TAKES_TO | TAKES_SPACE, 1, true,
     "VOL --cmk URI --to URI [--space DIR]", "has one more CMK open it"},
    {"slot remove", run_slot_remove, TAKES_CMK | TAKES_SPACE, 2, true,
     "VOL ID --cmk URI [--space DIR]", "takes a slot away; never the last one"},
    {"snapshot create", run_snapshot_create, TAKES_CMK | TAKES_SPACE, 1, true,
     "VOL --cmk URI [--space DIR]", "keeps the pages as they are now, and says under which UUID"},
    {"snapshot list", run_snapshot_list, TAKES_CMK | TAKES_JSON, 1, false,
     "VOL [--cmk URI] [--json]", "shows the snapshots of a volume; without --cmk unverified"},
    {"snapshot delete", run_snapshot_delete, TAKES_CMK | TAKES_SPACE | TAKES_FORCE, 2, true,
     "VOL UUID --cmk URI [--force] [--space DIR]",
     "gives a snapshot up; --force: one whose file is damaged or lost"},
    {"catalog list", run_catalog_list, TAKES_CMK | TAKES_JSON | TAKES_SPACE, 1, true,
     "VOL --cmk URI [--space DIR] [--json]", "shows the backups that a volume knows of"},
    {"catalog forget", run_catalog_forget, TAKES_CMK | TAKES_SPACE | TAKES_ALL, 2, true,
     "VOL UUID --cmk URI [--space DIR], or VOL --all --cmk URI [--space DIR]",
     "takes a backup that is gone from the catalog; --all: all of them, and a damaged catalog"},
    {"log append", run_log_append, TAKES_CMK | TAKES_SPACE | TAKES_FRAMED, 1, true,
     "VOL --cmk URI [--framed] [--space DIR]",
     "appends lines of standard input, or frames, to a volume's log; prints their LSNs once they "
     "are safe"},
    {"log read", run_log_read,
     TAKES_CMK | TAKES_SPACE | TAKES_FRAMED | TAKES_FOLLOW | TAKES_START | TAKES_UNTIL, 1, true,
     "VOL --cmk URI [--start LSN] [--until LSN] [--follow] [--framed] [--space DIR]",
     "shows records of a volume's log; --follow waits for more; --framed: for programs"},
    {"log replay", run_log_replay,
     TAKES_CMK | TAKES_FROM | TAKES_SPACE | TAKES_START | TAKES_UNTIL | TAKES_APPLY, 2, true,
     "VOL SOURCE --cmk URI [--from URI]... [--until LSN] [--apply PROGRAM [--start LSN]] "
     "[--space DIR]",
     "brings a restored volume up to an LSN of the log of SOURCE; PROGRAM takes records that are "
     "not the command's own"},
    {"log truncate", run_log_truncate, TAKES_CMK | TAKES_SPACE, 2, true,
     "VOL LSN --cmk URI [--space DIR]", "gives up segments that hold records below LSN alone"},
    {"log verify", run_log_verify, TAKES_CMK | TAKES_SPACE, 1, true, "VOL --cmk URI [--space DIR]",
     "reads every record of the volume's transaction log"},
};

int main(int argc, char **argv)
{
    struct options options = {0};
    const struct verb *verb = NULL;
    int exit_status;

    if (!hold_standard_streams())
        return STATUS_FAULT;
    catch_signals();
    exit_status = options_parse(argc, argv, verbs, sizeof verbs / sizeof verbs[0], &options, &verb);
    if (verb != NULL)
        exit_status = audit_open(&options);
    if (verb != NULL && exit_status == STATUS_OK)
        exit_status = audit_close(verb->run(&options));
    /* What was printed through stdio may still sit in its buffer, on its way to a full disk. */
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (exit_status == STATUS_OK)
            exit_status = fail_errno(&options, "standard output", errno);
    }
    return exit_status;
}
