/* SPDX-License-Identifier: BSD-2-Clause */
/* A space whose files share the history of a crash store. */
#include "crash_space.h"

#include "crash_log.h"
#include "support.h"

#include <string.h>

static struct crash_file *find(const struct crash_store *crash, const char *name)
{
    for (size_t i = 1; i < crash->file_count; i++)
        if (strcmp(crash->files[i]->name, name) == 0)
            return crash->files[i];
    return NULL;
}

/* NULL: the name is lost. */
static void set_name(struct crash_store *crash, struct crash_file *file, const char *name)
{
    struct crash_call call = {.kind = CRASH_NAME, .file = file->number};

    call.bytes = name != NULL ? strlen(name) + 1 : 0;
    crash_append(crash, &call, name);
    memset(file->name, 0, sizeof(file->name));
    if (name != NULL)
        memcpy(file->name, name, strlen(name));
}

/* Whether to go on: a call that fails may be done all the same. */
static bool is_done(const struct crash_store *crash, bool faulty)
{
    return !faulty || crash->fault == CRASH_FAULT_ALL;
}

static enum envol_status create(struct crash_store *crash, const char *name,
                                struct crash_file **file)
{
    bool faulty;

    if (*file != NULL)
        return ENVOL_E_STATE;
    faulty = crash_is_faulty(crash);
    if (is_done(crash, faulty)) {
        *file = crash_add_file(crash, NULL, 0);
        set_name(crash, *file, name);
    }
    return faulty ? ENVOL_E_IO : ENVOL_OK;
}

static enum envol_status crash_open(void *state, const char *name, uint32_t flags,
                                    struct envol_store **store, struct envol_error *error)
{
    struct crash_store *crash = state;
    struct crash_file *file;
    enum envol_status status;

    (void)error;
    pthread_mutex_lock(&crash->lock);
    file = find(crash, name);
    if (flags & ENVOL_SPACE_CREATE)
        status = create(crash, name, &file);
    else
        status = crash_is_faulty(crash) ? ENVOL_E_IO : file == NULL ? ENVOL_E_RANGE : ENVOL_OK;
    pthread_mutex_unlock(&crash->lock);
    if (status == ENVOL_OK)
        *store = crash_open_file(crash, file);
    return status;
}

static enum envol_status crash_remove(void *state, const char *name)
{
    struct crash_store *crash = state;
    struct crash_file *file;
    bool faulty;

    pthread_mutex_lock(&crash->lock);
    faulty = crash_is_faulty(crash);
    file = find(crash, name);
    if (file != NULL && is_done(crash, faulty))
        set_name(crash, file, NULL);
    pthread_mutex_unlock(&crash->lock);
    return faulty ? ENVOL_E_IO : ENVOL_OK;
}

static enum envol_status crash_rename(void *state, const char *from, const char *to)
{
    struct crash_store *crash = state;
    struct crash_file *file;
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(&crash->lock);
    file = find(crash, from);
    if (file == NULL || find(crash, to) != NULL) {
        status = file == NULL ? ENVOL_E_RANGE : ENVOL_E_STATE;
    } else {
        bool faulty = crash_is_faulty(crash);

        if (is_done(crash, faulty))
            set_name(crash, file, to);
        status = faulty ? ENVOL_E_IO : ENVOL_OK;
    }
    pthread_mutex_unlock(&crash->lock);
    return status;
}

static enum envol_status
crash_list(void *state, enum envol_status (*callback)(const char *name, void *ctx), void *ctx)
{
    struct crash_store *crash = state;
    enum envol_status status;

    pthread_mutex_lock(&crash->lock);
    status = crash_is_faulty(crash) ? ENVOL_E_IO : ENVOL_OK;
    for (size_t i = 1; i < crash->file_count && status == ENVOL_OK; i++)
        if (*crash->files[i]->name != '\0')
            status = callback(crash->files[i]->name, ctx);
    pthread_mutex_unlock(&crash->lock);
    return status;
}

static void crash_close(void *state)
{
    crash_let_go(state);
}

static const struct envol_space_vtable crash_vtable = {
    .struct_size = sizeof(crash_vtable),
    .name = "crash",
    .open = crash_open,
    .remove = crash_remove,
    .rename = crash_rename,
    .list = crash_list,
    .close = crash_close,
};

struct envol_space *crash_space_share(struct crash_store *crash)
{
    struct envol_space *space;

    crash_hold(crash);
    ck_assert_int_eq(envol_space_open(&crash_vtable, crash, &space), ENVOL_OK);
    return space;
}

struct envol_space *crash_space_new(struct crash_store *crash, const struct crash_image *image)
{
    for (size_t i = 0; image != NULL && i < image->file_count; i++) {
        const struct crash_image_file *from = &image->files[i];
        struct crash_file *file = crash_add_file(crash, from->bytes, from->size);

        memcpy(file->name, from->name, strlen(from->name));
        memcpy(file->base_name, from->name, strlen(from->name));
    }
    return crash_space_share(crash);
}

const struct crash_image_file *crash_image_file(const struct crash_image *image, const char *name)
{
    for (size_t i = 0; i < image->file_count; i++)
        if (strcmp(image->files[i].name, name) == 0)
            return &image->files[i];
    return NULL;
}
