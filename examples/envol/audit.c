/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --audit FILE: a line of JSON for each use of a key service, appended in one write, so that
 * several commands may share a file.  A use that cannot be recorded fails the command.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct audit {
    const struct options *options;
    int fd;
    int os_errno; /* of the first line that could not be written, or 0 */
};

/* One for the process, as signals and standard streams are. */
static struct audit audit = {.fd = -1};

static bool is_key_of(const char *const *uris, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++) {
        const char *file = cmk_secret_file(uris[i]);
        if (file != NULL && is_one_file(path, file))
            return true;
    }
    return false;
}

/* Before it is opened, and so made. */
static bool is_taken(const struct options *options)
{
    const char *path = options->audit;

    return is_one_file(path, options->path) || is_key_of(options->cmks, options->cmk_count, path) ||
           is_key_of(options->tos, options->to_count, path) ||
           is_key_of(options->froms, options->from_count, path);
}

int audit_open(const struct options *options)
{
    audit.options = options;
    if (options->audit == NULL)
        return STATUS_OK;
    if (is_taken(options))
        return fail_usage(options, "--audit %s is the volume itself or a key", options->audit);
    audit.fd = open(options->audit, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    return audit.fd >= 0 ? STATUS_OK : fail_errno(options, options->audit, errno);
}

int audit_close(int exit_status)
{
    if (audit.fd < 0)
        return exit_status;
    if (close(audit.fd) != 0 && audit.os_errno == 0)
        audit.os_errno = errno;
    audit.fd = -1;
    if (exit_status != STATUS_OK || audit.os_errno == 0)
        return exit_status;
    return fail_errno(audit.options, audit.options->audit, audit.os_errno);
}

static void put_member(FILE *to, const char *name, const char *text)
{
    fprintf(to, ", \"%s\": ", name);
    write_json_string(to, text);
}

static void put_context(FILE *to, const struct envol_audit_event *event)
{
    fputs(", \"context\": {", to);
    for (size_t i = 0; i < event->context_pairs; i++) {
        fputs(i > 0 ? ", " : "", to);
        write_json_string(to, event->context[i].key);
        fputs(": ", to);
        write_json_string(to, event->context[i].value);
    }
    fputc('}', to);
}

static void put_time(FILE *to)
{
    struct timespec now;
    struct tm parts;
    char text[32];

    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &parts) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        text[0] = '\0';
    fprintf(to, "{\"time\": \"%s.%03ldZ\"", text, now.tv_nsec / 1000000);
}

static void put_event(FILE *to, const struct envol_audit_event *event)
{
    put_time(to);
    put_member(to, "verb", audit.options->verb);
    put_member(to, "path", audit.options->path);
    put_member(to, "operation", envol_key_operation_name(event->operation));
    put_member(to, "provider", event->provider);
    put_member(to, "key_ref", event->key_ref);
    put_member(to, "key_version", event->key_version);
    put_member(to, "to_key_ref", event->to_key_ref);
    put_context(to, event);
    put_member(to, "status", envol_status_name(event->status));
    put_member(to, "provider_code", event->provider_code);
    fprintf(to, ", \"attempts\": %" PRIu32 ", \"duration_us\": %" PRIu64 "}\n", event->attempts,
            event->duration_us);
}

static void append(const char *line, size_t bytes)
{
    ssize_t done = write(audit.fd, line, bytes);

    if (done < 0 || (size_t)done != bytes)
        audit.os_errno = done < 0 ? errno : ENOSPC;
}

static void on_use(void *ctx, const struct envol_audit_event *event)
{
    char *line = NULL;
    size_t bytes = 0;
    FILE *to = audit.os_errno == 0 ? open_memstream(&line, &bytes) : NULL;

    (void)ctx;
    if (to == NULL) {
        audit.os_errno = audit.os_errno != 0 ? audit.os_errno : ENOMEM;
        return;
    }
    put_event(to, event);
    if (fclose(to) == 0)
        append(line, bytes);
    else
        audit.os_errno = ENOMEM;
    free(line);
}

enum envol_status audit_attach(struct envol_provider *provider)
{
    return audit.fd < 0 ? ENVOL_OK : envol_provider_set_audit(provider, on_use, NULL);
}
