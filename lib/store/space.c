/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a space of a vtable, and the checked calls around it. */
#include "store/space.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include <errno.h>
#include <string.h>

#define FLAGS (ENVOL_SPACE_CREATE | ENVOL_SPACE_READ_ONLY)

static bool is_usable(const struct envol_space_vtable *vtable)
{
    return vtable->name != NULL && vtable->open != NULL && vtable->remove != NULL &&
           vtable->rename != NULL && vtable->list != NULL;
}

enum envol_status envol_space_open(const struct envol_space_vtable *vtable, void *state,
                                   struct envol_space **space)
{
    enum envol_status status = ENVOL_E_ARGUMENT;
    struct envol_space_vtable whole;
    struct envol_space *opened;

    if (space != NULL)
        *space = NULL;
    /* A vtable that is too short has no close that could be called. */
    if (vtable == NULL || !ENVOL_TAKE(space_vtable, vtable, &whole))
        return ENVOL_E_ARGUMENT;
    if (space == NULL || !is_usable(&whole))
        goto out;
    status = ENVOL_E_NO_MEMORY;
    opened = envol_alloc(sizeof(*opened), _Alignof(struct envol_space));
    if (opened == NULL)
        goto out;
    opened->vtable = whole;
    opened->state = state;
    *space = opened;
    return ENVOL_OK;
out:
    if (whole.close != NULL)
        whole.close(state);
    return status;
}

void envol_space_close(struct envol_space *space)
{
    if (space == NULL)
        return;
    if (space->vtable.close != NULL)
        space->vtable.close(space->state);
    envol_free(space);
}

bool envol_space_is_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-");

    return length > 0 && length <= ENVOL_SPACE_NAME_MAX && name[length] == '\0' && name[0] != '.';
}

static enum envol_status failed(const struct envol_space *space, enum envol_status status,
                                const char *verb, const char *name, struct envol_error *error)
{
    int os_errno = errno != 0 ? errno : EIO;

    if (status == ENVOL_E_IO)
        return envol_fail_errno(error, status, os_errno, "%s space: %s %s", space->vtable.name,
                                verb, name);
    return envol_fail(error, status, "%s space: %s %s: %s", space->vtable.name, verb, name,
                      status == ENVOL_E_RANGE   ? "there is no such name"
                      : status == ENVOL_E_STATE ? "the name is taken"
                                                : envol_status_message(status));
}

static enum envol_status refuse_name(const struct envol_space *space, const char *verb,
                                     struct envol_error *error)
{
    return envol_fail(error, ENVOL_E_ARGUMENT, "%s space: %s of what is no name of a space",
                      space->vtable.name, verb);
}

enum envol_status envol_space_store(struct envol_space *space, const char *name, uint32_t flags,
                                    struct envol_store **store, struct envol_error *error)
{
    struct envol_error said = ENVOL_ERROR_INIT;
    enum envol_status status;

    *store = NULL;
    if (!envol_space_is_name(name))
        return refuse_name(space, "open", error);
    if (flags & ~FLAGS || flags == FLAGS)
        return failed(space, ENVOL_E_ARGUMENT, "open", name, error);
    errno = 0;
    status = space->vtable.open(space->state, name, flags, store, error != NULL ? &said : NULL);
    if (status == ENVOL_OK && *store != NULL)
        return ENVOL_OK;
    *store = NULL;
    if (status == ENVOL_OK) {
        errno = EPROTO; /* it broke its contract */
        status = ENVOL_E_IO;
    }
    if (said.status != status)
        return failed(space, status, "open", name, error);
    envol_fail(error, status, "%s", said.message);
    envol_error_set_errno(error, said.os_errno);
    return status;
}

enum envol_status envol_space_remove(struct envol_space *space, const char *name,
                                     struct envol_error *error)
{
    enum envol_status status;

    if (!envol_space_is_name(name))
        return refuse_name(space, "remove", error);
    errno = 0;
    status = space->vtable.remove(space->state, name);
    return status == ENVOL_OK ? status : failed(space, status, "remove", name, error);
}

enum envol_status envol_space_rename(struct envol_space *space, const char *from, const char *to,
                                     struct envol_error *error)
{
    enum envol_status status;

    if (!envol_space_is_name(from) || !envol_space_is_name(to) || strcmp(from, to) == 0)
        return refuse_name(space, "rename", error);
    errno = 0;
    status = space->vtable.rename(space->state, from, to);
    return status == ENVOL_OK ? status : failed(space, status, "rename", from, error);
}

/* The caller's callback, behind a check of what the vtable found. */
struct listing {
    enum envol_status (*callback)(const char *name, void *ctx);
    void *ctx;
    enum envol_status answered;
};

static enum envol_status pass_on(const char *name, void *ctx)
{
    struct listing *listing = ctx;

    if (envol_space_is_name(name))
        listing->answered = listing->callback(name, listing->ctx);
    return listing->answered;
}

enum envol_status envol_space_list(struct envol_space *space,
                                   enum envol_status (*callback)(const char *name, void *ctx),
                                   void *ctx, struct envol_error *error)
{
    struct listing listing = {callback, ctx, ENVOL_OK};
    enum envol_status status;

    errno = 0;
    status = space->vtable.list(space->state, pass_on, &listing);
    if (listing.answered != ENVOL_OK)
        return envol_fail(error, listing.answered, NULL);
    return status == ENVOL_OK ? status : failed(space, status, "list", "names", error);
}
