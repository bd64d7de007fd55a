/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes on an event loop: the header calls alone (envol_header(3)), and a client of Transit of
 * the engine's own.  Nothing waits; a heartbeat on standard error shows it.
 *
 *     event_loop create VOLUME MOUNT/KEY FILE      a new volume; FILE becomes its pages
 *     event_loop read VOLUME MOUNT/KEY PAGE_NO     a page to standard output
 *     event_loop rewrap VOLUME MOUNT/KEY           the slot under the key's newest version
 *     event_loop add VOLUME MOUNT/KEY MOUNT/KEY    a slot under a second key
 *     event_loop remove VOLUME MOUNT/KEY SLOT      a slot less, by its number; never the last one
 *
 * A command is a chain of steps.  Each starts one thing, a call of the key service or work for a
 * thread, names the step that comes after it, and returns to the loop.
 */
#include "disk.h"
#include "secret.h"
#include "transit.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session;
typedef void (*step)(struct session *session);

/* In locked memory. */
struct session {
    struct loop_job job; /* first */
    struct transit transit;
    struct loop *loop;
    const char *path;
    const char *key_ref;
    const char *argument;
    step when_open;                                     /* after the header was unlocked */
    step next;                                          /* after a call or a job */
    enum envol_status (*work)(struct session *session); /* in a thread */
    enum envol_status status; /* of the last one; of the whole in the end */
    struct envol_error error;
    struct envol_header *header;
    struct envol_keyring *keyring;
    struct envol_slot slot; /* that opened the volume */
    uint32_t cursor;
    uint64_t number; /* bytes of FILE, a page, or a slot */
    uint8_t dek[ENVOL_DEK_BYTES];
    uint8_t bytes[ENVOL_HEADER_BYTES];
    void *page; /* plaintext after a read: what is printed anyway */
};

/* Nothing is started any more: the loop ends. */
static void finish(struct session *session, enum envol_status status)
{
    session->status = status;
}

static void call_done(void *ctx, enum envol_status status)
{
    struct session *session = ctx;

    session->status = status;
    session->next(session);
}

static void ask(struct session *session, enum transit_verb verb, const char *key_ref, step next)
{
    enum envol_status status;

    session->next = next;
    status = transit_ask(&session->transit, verb, key_ref, session->header);
    if (status != ENVOL_OK)
        finish(session, status);
}

static void job_work(struct loop_job *job)
{
    struct session *session = (struct session *)job;

    session->status = session->work(session);
}

static void job_done(struct loop_job *job)
{
    struct session *session = (struct session *)job;

    session->next(session);
}

static void offload(struct session *session, enum envol_status (*work)(struct session *), step next)
{
    session->work = work;
    session->next = next;
    session->job.work = job_work;
    session->job.done = job_done;
    if (loop_offload(session->loop, &session->job) != 0)
        finish(session, ENVOL_E_NO_MEMORY);
}

static void last(struct session *session)
{
    finish(session, session->status);
}

/* --- Opening -----------------------------------------------------------------------------------*/

static enum envol_status load(struct session *session)
{
    return disk_load(session->path, session->bytes);
}

static void unwrapped(struct session *session);

/* The header names keys; which of them is asked for, the caller says. */
static void try_slot(struct session *session)
{
    const struct envol_pin pin = {"vault", session->key_ref};
    const struct envol_pins pins = {.struct_size = sizeof pins, .cmks = &pin, .cmk_count = 1};
    enum envol_status why = session->status;
    enum envol_status status;

    session->slot.struct_size = sizeof session->slot;
    status = envol_header_next_slot(session->header, &pins, &session->cursor, &session->slot, NULL);
    if (status == ENVOL_E_NO_PROVIDER && why != ENVOL_OK)
        status = why; /* of the last slot that was tried */
    if (status == ENVOL_OK)
        status = transit_take(&session->transit, &session->slot);
    if (status == ENVOL_OK)
        ask(session, TRANSIT_DECRYPT, session->slot.key_ref, unwrapped);
    else
        finish(session, status);
}

static void unwrapped(struct session *session)
{
    if (session->status != ENVOL_OK) {
        try_slot(session);
        return;
    }
    memcpy(session->dek, session->transit.dek, sizeof session->dek);
    session->status =
        envol_header_unlock(session->header, session->dek, 0, NULL, &session->keyring);
    if (session->status == ENVOL_OK)
        session->when_open(session);
}

static void loaded(struct session *session)
{
    const struct envol_pins pins = {.struct_size = sizeof pins};

    if (session->status == ENVOL_OK)
        session->status = envol_header_decode(session->bytes, 0, &session->header, &session->error);
    if (session->status == ENVOL_OK)
        session->status = envol_header_check(session->header, &pins, &session->error);
    if (session->status == ENVOL_OK)
        try_slot(session);
}

static void open_volume(struct session *session, step when_open)
{
    session->when_open = when_open;
    offload(session, load, loaded);
}

/* --- read --------------------------------------------------------------------------------------*/

static enum envol_status unseal(struct session *session, const struct envol_geometry *geometry)
{
    static const uint8_t own_pages[ENVOL_OBJECT_BYTES] = {0};
    struct envol_object *object;
    enum envol_status status = envol_object_open(session->keyring, own_pages, &object);

    if (status == ENVOL_OK)
        status = envol_page_unseal(object, NULL, session->number, session->page, session->page);
    envol_object_close(object);
    if (status == ENVOL_OK &&
        (fwrite(session->page, geometry->page_bytes, 1, stdout) != 1 || fflush(stdout) != 0))
        status = ENVOL_E_IO;
    return status;
}

/* In the thread, as standard output may be a pipe that nobody empties. */
static enum envol_status read_page(struct session *session)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    struct envol_geometry geometry = {.struct_size = sizeof geometry};
    enum envol_status status = envol_header_info(session->header, &info);

    if (status == ENVOL_OK)
        status = envol_keyring_geometry(session->keyring, &geometry);
    if (status == ENVOL_OK && session->number >= info.high_water)
        status = ENVOL_E_RANGE;
    if (status == ENVOL_OK && (session->page = malloc(geometry.stride_bytes)) == NULL)
        status = ENVOL_E_NO_MEMORY;
    if (status == ENVOL_OK)
        status = disk_read(session->path, info.data_offset + session->number * info.stride_bytes,
                           session->page, info.stride_bytes);
    return status == ENVOL_OK ? unseal(session, &geometry) : status;
}

static void read_opened(struct session *session)
{
    offload(session, read_page, last);
}

/* The argument is a number, of at most that size. */
static int take_number(struct session *session, uint64_t most)
{
    const char *text = session->argument;
    char *end;

    session->number = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && session->number <= most)
        return 1;
    finish(session, ENVOL_E_ARGUMENT);
    return 0;
}

static void start_read(struct session *session)
{
    if (take_number(session, UINT64_MAX))
        open_volume(session, read_opened);
}

/* --- A new wrapping, for all that follows
 * -------------------------------------------------------*/

/* A wrapping that cannot be undone, or undoes to another DEK, must not come into a header. */
static int is_proven(struct session *session)
{
    if (session->status == ENVOL_OK &&
        sodium_memcmp(session->dek, session->transit.dek, sizeof session->dek) != 0)
        session->status = ENVOL_E_WRONG_KEY;
    return session->status == ENVOL_OK;
}

/* What the last call wrapped. */
static enum envol_status add_slot(struct session *session, const char *key_ref)
{
    const struct envol_slot slot = {
        .struct_size = sizeof slot,
        .provider = "vault",
        .key_ref = key_ref,
        .key_version = session->transit.version,
        .wrapped = session->transit.wrapped,
        .wrapped_bytes = strlen(session->transit.wrapped),
    };

    return envol_header_add_slot(session->header, &slot, NULL);
}

static enum envol_status commit(struct session *session)
{
    return disk_commit(session->path, session->header, session->keyring, &session->error);
}

/* --- create ------------------------------------------------------------------------------------*/

static enum envol_status write_volume(struct session *session)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    struct disk_volume volume = {
        .path = session->path,
        .header = session->bytes,
        .keyring = session->keyring,
        .source = session->argument,
    };
    enum envol_status status = envol_header_info(session->header, &info);

    volume.data_offset = info.data_offset;
    volume.pages = info.high_water;
    return status == ENVOL_OK ? disk_create(&volume) : status;
}

static void create_proven(struct session *session)
{
    if (!is_proven(session))
        return;
    session->status = add_slot(session, session->key_ref);
    if (session->status == ENVOL_OK)
        session->status =
            envol_header_seal(session->header, session->dek, 0, session->bytes, &session->keyring);
    if (session->status == ENVOL_OK)
        offload(session, write_volume, last);
}

static void create_generated(struct session *session)
{
    if (session->status != ENVOL_OK)
        return;
    memcpy(session->dek, session->transit.dek, sizeof session->dek);
    ask(session, TRANSIT_DECRYPT, session->key_ref, create_proven);
}

static void create_checked(struct session *session)
{
    if (session->status == ENVOL_OK)
        ask(session, TRANSIT_DATAKEY, session->key_ref, create_generated);
}

static void create_measured(struct session *session)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    uint64_t pages = 0;

    if (session->status == ENVOL_OK)
        session->status = envol_header_new(NULL, &session->header);
    if (session->status == ENVOL_OK)
        session->status = envol_header_info(session->header, &info);
    if (session->status == ENVOL_OK) {
        pages = session->number / info.page_bytes + (session->number % info.page_bytes != 0);
        session->status = envol_header_set_pages(session->header, pages, 1, pages);
    }
    if (session->status == ENVOL_OK)
        ask(session, TRANSIT_KEY, session->key_ref, create_checked);
}

static enum envol_status measure(struct session *session)
{
    return disk_size(session->argument, &session->number);
}

static void start_create(struct session *session)
{
    offload(session, measure, create_measured);
}

/* --- rewrap ------------------------------------------------------------------------------------*/

/* The last slot cannot be removed, and there may be no room for one more: so the order depends. */
static void rewrap_proven(struct session *session)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    uint32_t old = session->slot.id;
    int has_others;

    if (!is_proven(session))
        return;
    session->status = envol_header_info(session->header, &info);
    has_others = info.slots > 1;
    if (session->status == ENVOL_OK && has_others)
        session->status = envol_header_remove_slot(session->header, old);
    if (session->status == ENVOL_OK)
        session->status = add_slot(session, session->key_ref);
    if (session->status == ENVOL_OK && !has_others)
        session->status = envol_header_remove_slot(session->header, old);
    if (session->status == ENVOL_OK)
        offload(session, commit, last);
}

static void rewrap_rewrapped(struct session *session)
{
    if (session->status == ENVOL_OK)
        ask(session, TRANSIT_DECRYPT, session->key_ref, rewrap_proven);
}

static void rewrap_checked(struct session *session)
{
    if (session->status == ENVOL_OK)
        ask(session, TRANSIT_REWRAP, session->key_ref, rewrap_rewrapped);
}

static void rewrap_opened(struct session *session)
{
    ask(session, TRANSIT_KEY, session->key_ref, rewrap_checked);
}

static void start_rewrap(struct session *session)
{
    open_volume(session, rewrap_opened);
}

/* --- add ---------------------------------------------------------------------------------------*/

static void add_proven(struct session *session)
{
    if (!is_proven(session))
        return;
    session->status = add_slot(session, session->argument);
    if (session->status == ENVOL_OK)
        offload(session, commit, last);
}

static void add_wrapped(struct session *session)
{
    if (session->status == ENVOL_OK)
        ask(session, TRANSIT_DECRYPT, session->argument, add_proven);
}

static void add_checked(struct session *session)
{
    if (session->status == ENVOL_OK)
        ask(session, TRANSIT_ENCRYPT, session->argument, add_wrapped);
}

static void add_opened(struct session *session)
{
    ask(session, TRANSIT_KEY, session->argument, add_checked);
}

static void start_add(struct session *session)
{
    open_volume(session, add_opened);
}

/* --- remove ------------------------------------------------------------------------------------*/

/* Whoever opens the volume may remove any slot, the one that opened it too. */
static void remove_opened(struct session *session)
{
    session->status = envol_header_remove_slot(session->header, (uint32_t)session->number);
    if (session->status == ENVOL_OK)
        offload(session, commit, last);
}

static void start_remove(struct session *session)
{
    if (take_number(session, UINT32_MAX))
        open_volume(session, remove_opened);
}

/* --- The program -------------------------------------------------------------------------------*/

static const struct verb {
    const char *name;
    int arguments;
    step start;
} verbs[] = {
    {"create", 3, start_create}, {"read", 3, start_read},     {"rewrap", 2, start_rewrap},
    {"add", 3, start_add},       {"remove", 3, start_remove},
};

static const struct verb *find_verb(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (argc == 2 + verbs[i].arguments && strcmp(argv[1], verbs[i].name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static void report(const struct session *session)
{
    const struct loop_pulse *pulse = loop_pulse(session->loop);
    const char *why =
        session->error.message[0] != '\0' ? session->error.message : session->transit.message;

    fprintf(stderr,
            "heartbeat: %llu ticks, %llu in calls of the key service; longest pause %llu ms\n",
            (unsigned long long)pulse->ticks, (unsigned long long)pulse->ticks_in_transfers,
            (unsigned long long)pulse->longest_pause_ms);
    if (session->status != ENVOL_OK)
        fprintf(stderr, "event_loop: %s (%s)\n",
                why[0] != '\0' ? why : envol_status_message(session->status),
                envol_status_name(session->status));
}

static void run(struct session *session, const struct verb *verb)
{
    session->status = transit_open(&session->transit, session->loop);
    session->transit.done = call_done;
    session->transit.ctx = session;
    if (session->status == ENVOL_OK)
        verb->start(session);
    if (loop_run(session->loop) != 0)
        session->status = ENVOL_E_IO;
    report(session);
    envol_keyring_close(session->keyring);
    envol_header_free(session->header);
    transit_close(&session->transit);
    free(session->page);
}

int main(int argc, char **argv)
{
    const struct verb *verb = find_verb(argc, argv);
    struct session *session;
    int exit_status = EXIT_FAILURE;

    if (verb == NULL) {
        fprintf(stderr, "usage: event_loop create VOLUME MOUNT/KEY FILE\n"
                        "       event_loop read VOLUME MOUNT/KEY PAGE_NO\n"
                        "       event_loop rewrap VOLUME MOUNT/KEY\n"
                        "       event_loop add VOLUME MOUNT/KEY MOUNT/KEY\n"
                        "       event_loop remove VOLUME MOUNT/KEY SLOT\n");
        return 2;
    }
    session = secret_libraries() == 0 ? secret_alloc(sizeof *session) : NULL;
    if (session == NULL || (session->loop = loop_open()) == NULL) {
        fprintf(stderr, "event_loop: no memory, locked memory or descriptors\n");
        secret_free(session, sizeof *session);
        return EXIT_FAILURE;
    }
    session->error.struct_size = sizeof session->error;
    session->path = argv[2];
    session->key_ref = argv[3];
    session->argument = argc > 4 ? argv[4] : NULL;
    run(session, verb);
    exit_status = session->status == ENVOL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    loop_close(session->loop);
    secret_free(session, sizeof *session);
    curl_global_cleanup();
    return exit_status;
}
