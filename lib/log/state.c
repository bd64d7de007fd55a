/* SPDX-License-Identifier: BSD-2-Clause */
/* What all calls on a log pass: failures that last, and changes of the run that stop all others. */
#include "log/log.h"

#include "base/arena.h"
#include "base/error.h"

enum envol_status envol_log_check(const struct envol_log *log, struct envol_error *error)
{
    if (log == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a NULL log");
    if (log->generation != envol_process_generation())
        return envol_fail(error, ENVOL_E_FORKED, "the log was opened before a fork");
    return ENVOL_OK;
}

enum envol_status envol_log_failure(const struct envol_log *log, struct envol_error *error)
{
    if (log->failed == ENVOL_OK)
        return ENVOL_OK;
    if (log->failed_errno != 0)
        return envol_fail_errno(error, log->failed, log->failed_errno,
                                "the log failed: open it again to see what is there");
    return envol_fail(error, log->failed, "the log failed: open it again to see what is there: %s",
                      envol_status_message(log->failed));
}

/* Keys are asked for before anything is written, and come back; memory likewise, and the lock of
 * the volume's header. */
static bool is_harmless(enum envol_status status)
{
    return status == ENVOL_E_KEY_REVOKED || status == ENVOL_E_NO_MEMORY ||
           status == ENVOL_E_LOCKED_MEMORY || status == ENVOL_E_RANDOM || status == ENVOL_E_BUSY;
}

enum envol_status envol_log_harm(enum envol_status status, struct envol_error *error)
{
    if (!is_harmless(status))
        return status;
    return envol_fail(error, ENVOL_E_IO, "what was sealed could not be written: %s",
                      envol_status_message(status));
}

void envol_log_note(struct envol_log *log, enum envol_status status,
                    const struct envol_error *error)
{
    if (status == ENVOL_OK || is_harmless(status) || log->failed != ENVOL_OK)
        return;
    log->failed = status;
    log->failed_errno = error != NULL ? error->os_errno : 0;
}

void envol_log_wait(struct envol_log *log)
{
    log->patient++;
    pthread_cond_wait(&log->changed, &log->lock);
    log->patient--;
}

void envol_log_stop(struct envol_log *log)
{
    while (log->switching)
        envol_log_wait(log);
    log->switching = true;
    while (log->syncing || log->oldest != NULL)
        envol_log_wait(log);
}

void envol_log_go(struct envol_log *log)
{
    log->switching = false;
    pthread_cond_broadcast(&log->changed);
}

enum envol_status envol_log_change(struct envol_log *log, bool segment, struct envol_error *error)
{
    struct envol_error details = ENVOL_ERROR_INIT;
    enum envol_status status;

    envol_log_stop(log);
    status = envol_log_failure(log, error);
    if (status != ENVOL_OK) {
        envol_log_go(log);
        return status;
    }
    pthread_mutex_unlock(&log->lock);
    pthread_mutex_lock(&log->admin);
    status = segment ? envol_log_begin_segment(log, &details) : envol_log_begin_run(log, &details);
    pthread_mutex_unlock(&log->admin);
    pthread_mutex_lock(&log->lock);
    envol_log_note(log, status, &details);
    envol_log_go(log);
    if (status != ENVOL_OK) {
        envol_fail(error, status, "%s", details.message);
        envol_error_set_errno(error, details.os_errno);
    }
    return status;
}
