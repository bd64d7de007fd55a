/* SPDX-License-Identifier: BSD-2-Clause */
/* envol rewrap: CMK rotation.  The slot that opened the volume gets a new wrapping. */
#include "command.h"

#include <string.h>

static bool is_of_slot(const struct envol_cmk *cmk, const struct envol_slot_info *slot)
{
    return strcmp(envol_provider_name(cmk->provider), slot->provider) == 0 &&
           (cmk->key_ref == NULL || strcmp(cmk->key_ref, slot->key_ref) == 0);
}

/* Place of the CMK that the volume was opened with.  cmk_count if it cannot be told: of two key
 * files neither says whose slot it is. */
static size_t opened_by(const struct session *session, const struct slots *slots)
{
    size_t found = session->cmk_count;

    for (size_t i = 0; i < slots->count; i++) {
        for (size_t j = 0; slots->slot[i].opened && j < session->cmk_count; j++) {
            if (!is_of_slot(&session->cmks[j], &slots->slot[i]))
                continue;
            if (found != session->cmk_count)
                return session->cmk_count;
            found = j;
        }
    }
    return found;
}

/* The old CMK, and a handle that has both, where a provider may rewrap from one to the other: it
 * does so within a handle.  NULL elsewhere: only such a rewrapping asks the old CMK. */
static const struct envol_cmk *rewraps_from(const struct session *session,
                                            const struct options *options,
                                            const struct slots *slots, struct envol_cmk *to)
{
    size_t opened = opened_by(session, slots);
    const struct envol_cmk *from = &session->cmks[opened];

    if (opened == session->cmk_count || !cmk_is_served_by(options->to, options->cmks[opened]) ||
        (envol_provider_capabilities(from->provider) & ENVOL_PROVIDER_REWRAPS) == 0)
        return NULL;
    to->provider = from->provider;
    return from;
}

static int rewrap(struct session *session, const struct options *options,
                  const struct cmk_source *source)
{
    const struct envol_volume_options how = {
        .struct_size = sizeof how,
        .cancel_flag = &cancel_flag,
    };
    struct envol_cmk to = source->cmk;
    const struct envol_cmk *from;
    struct envol_error error = ENVOL_ERROR_INIT;
    static struct slots slots;
    enum envol_status status;

    slots.slot[0].struct_size = sizeof slots.slot[0];
    status = envol_volume_slots(session->volume, NULL, 0, NULL, slots.slot, ENVOL_SLOTS_MAX,
                                &slots.count, &error);
    if (status != ENVOL_OK)
        return fail(options, status, &error);
    from = rewraps_from(session, options, &slots, &to);
    status = envol_volume_rewrap(session->volume, 0, from, &to, &how, &error);
    if (status == ENVOL_E_STATE)
        return fail_text(options, status, "%s; envol slot remove takes one of the two away",
                         error.message);
    return status == ENVOL_OK ? STATUS_OK : fail(options, status, &error);
}

int run_rewrap(const struct options *options)
{
    struct session session = {.cmk_count = 0};
    struct cmk_source to = {.provider = NULL};
    int exit_status = session_open(&session, options, 0);

    if (exit_status == STATUS_OK)
        exit_status = uri_open(&to, options, options->to);
    if (exit_status == STATUS_OK)
        exit_status = rewrap(&session, options, &to);
    exit_status = session_finish(&session, options, exit_status);
    cmk_close(&to);
    return exit_status;
}
