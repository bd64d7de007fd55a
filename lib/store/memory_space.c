/* SPDX-License-Identifier: BSD-2-Clause */
/* A space in memory: a list of names and memory stores, shared by any number of handles. */
#include "store/space.h"

#include "base/memory.h"
#include <pthread.h>
#include <string.h>

struct entry {
    struct entry *next;
    struct envol_store *store; /* a handle that keeps the bytes while the name is there */
    char name[ENVOL_SPACE_NAME_MAX + 1];
};

struct names {
    pthread_mutex_t lock; /* of what follows */
    unsigned handles;
    struct entry *first;
};

/* The link that leads to the entry, or the one at the end. */
static struct entry **find(struct names *names, const char *name)
{
    struct entry **link = &names->first;

    while (*link != NULL && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

static void free_entry(struct entry *entry)
{
    envol_store_close(entry->store);
    envol_free(entry);
}

static enum envol_status add(struct names *names, const char *name)
{
    struct entry *entry = envol_alloc(sizeof(*entry), _Alignof(struct entry));
    enum envol_status status;

    if (entry == NULL)
        return ENVOL_E_NO_MEMORY;
    status = envol_memory_store_open(&entry->store);
    if (status != ENVOL_OK) {
        envol_free(entry);
        return status;
    }
    memcpy(entry->name, name, strlen(name));
    entry->next = names->first;
    names->first = entry;
    return ENVOL_OK;
}

static enum envol_status create(struct names *names, const char *name, struct envol_store **store)
{
    enum envol_status status;
    struct entry *made;

    if (*find(names, name) != NULL)
        return ENVOL_E_STATE;
    status = add(names, name);
    if (status != ENVOL_OK)
        return status;
    made = names->first;
    status = envol_memory_store_share(made->store, store);
    if (status != ENVOL_OK) {
        names->first = made->next;
        free_entry(made);
    }
    return status;
}

static enum envol_status memory_open(void *state, const char *name, uint32_t flags,
                                     struct envol_store **store, struct envol_error *error)
{
    struct names *names = state;
    const struct entry *found;
    enum envol_status status;

    (void)error;
    pthread_mutex_lock(&names->lock);
    found = *find(names, name);
    if (flags & ENVOL_SPACE_CREATE)
        status = create(names, name, store);
    else
        status = found == NULL ? ENVOL_E_RANGE : envol_memory_store_share(found->store, store);
    pthread_mutex_unlock(&names->lock);
    return status;
}

static enum envol_status memory_remove(void *state, const char *name)
{
    struct names *names = state;
    struct entry **link, *found;

    pthread_mutex_lock(&names->lock);
    link = find(names, name);
    found = *link;
    if (found != NULL)
        *link = found->next;
    pthread_mutex_unlock(&names->lock);
    if (found != NULL)
        free_entry(found);
    return ENVOL_OK;
}

static enum envol_status memory_rename(void *state, const char *from, const char *to)
{
    struct names *names = state;
    struct entry *found;
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(&names->lock);
    found = *find(names, from);
    if (found == NULL)
        status = ENVOL_E_RANGE;
    else if (*find(names, to) != NULL)
        status = ENVOL_E_STATE;
    else
        memcpy(found->name, to, strlen(to) + 1);
    pthread_mutex_unlock(&names->lock);
    return status;
}

static enum envol_status
memory_list(void *state, enum envol_status (*callback)(const char *name, void *ctx), void *ctx)
{
    struct names *names = state;
    enum envol_status status = ENVOL_OK;

    pthread_mutex_lock(&names->lock);
    for (const struct entry *at = names->first; at != NULL && status == ENVOL_OK; at = at->next)
        status = callback(at->name, ctx);
    pthread_mutex_unlock(&names->lock);
    return status;
}

static void memory_close(void *state)
{
    struct names *names = state;
    struct entry *next;
    bool last;

    pthread_mutex_lock(&names->lock);
    last = --names->handles == 0;
    pthread_mutex_unlock(&names->lock);
    if (!last)
        return;
    for (struct entry *at = names->first; at != NULL; at = next) {
        next = at->next;
        free_entry(at);
    }
    pthread_mutex_destroy(&names->lock);
    envol_free(names);
}

static const struct envol_space_vtable memory_vtable = {
    .struct_size = sizeof(struct envol_space_vtable),
    .name = "memory",
    .open = memory_open,
    .remove = memory_remove,
    .rename = memory_rename,
    .list = memory_list,
    .close = memory_close,
};

enum envol_status envol_memory_space_open(struct envol_space **space)
{
    struct names *names;

    if (space == NULL)
        return ENVOL_E_ARGUMENT;
    *space = NULL;
    names = envol_alloc(sizeof(*names), _Alignof(struct names));
    if (names == NULL)
        return ENVOL_E_NO_MEMORY;
    pthread_mutex_init(&names->lock, NULL);
    names->handles = 1;
    return envol_space_open(&memory_vtable, names, space);
}

enum envol_status envol_memory_space_share(struct envol_space *space, struct envol_space **shared)
{
    struct names *names;

    if (shared == NULL)
        return ENVOL_E_ARGUMENT;
    *shared = NULL;
    if (space == NULL || space->vtable.open != memory_vtable.open)
        return ENVOL_E_ARGUMENT;
    names = space->state;
    pthread_mutex_lock(&names->lock);
    names->handles++;
    pthread_mutex_unlock(&names->lock);
    return envol_space_open(&memory_vtable, names, shared);
}
