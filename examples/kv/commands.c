/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands, each a call or two of the store. */
#include "program.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum envol_status say_why(struct envol_error *error, enum envol_status status, const char *what)
{
    *error = (struct envol_error)ENVOL_ERROR_INIT;
    error->status = status;
    error->os_errno = status == ENVOL_E_IO ? errno : 0;
    snprintf(error->message, sizeof error->message, "%s", what);
    return status;
}

bool parse_uuid(const char *text, uint8_t uuid[ENVOL_UUID_BYTES])
{
    return envol_uuid_parse(text, uuid) == ENVOL_OK;
}

static void print_uuid(const uint8_t uuid[ENVOL_UUID_BYTES])
{
    char text[ENVOL_UUID_TEXT_BYTES];

    puts(envol_uuid_format(uuid, text));
}

static struct kv_slice word(const struct program *program, int i)
{
    return i < program->word_count ? (struct kv_slice){program->words[i], strlen(program->words[i])}
                                   : (struct kv_slice){NULL, 0};
}

/* --- changes ---*/

/* What begin collects is kept as it is until commit. */
static enum envol_status collect(struct program *program, struct kv_change change,
                                 struct envol_error *error)
{
    char *bytes = malloc(change.key.count + change.value.count + 1);
    struct kv_change *changes =
        realloc(program->changes, (program->change_count + 1) * sizeof changes[0]);

    if (changes != NULL)
        program->changes = changes;
    if (bytes == NULL || changes == NULL) {
        free(bytes);
        return say_why(error, ENVOL_E_NO_MEMORY, "a commit");
    }
    memcpy(bytes, change.key.bytes, change.key.count);
    change.key.bytes = bytes;
    if (change.value.bytes != NULL)
        change.value.bytes =
            memcpy(bytes + change.key.count, change.value.bytes, change.value.count);
    changes[program->change_count++] = change;
    return ENVOL_OK;
}

/* put and delete: a word less is a value less. */
static enum envol_status run_change(struct program *program, struct envol_error *error)
{
    const struct kv_change change = {word(program, 0), word(program, 1)};

    return program->collects ? collect(program, change, error)
                             : kv_commit(program->kv, &change, 1, error);
}

static enum envol_status run_begin(struct program *program, struct envol_error *error)
{
    if (program->collects)
        return say_why(error, ENVOL_E_STATE, "a commit was begun");
    program->collects = true;
    return ENVOL_OK;
}

void drop_collected(struct program *program)
{
    for (size_t i = 0; i < program->change_count; i++)
        free((void *)(uintptr_t)program->changes[i].key.bytes); /* the value's as well */
    free(program->changes);
    program->changes = NULL;
    program->change_count = 0;
    program->collects = false;
}

static enum envol_status run_commit(struct program *program, struct envol_error *error)
{
    enum envol_status status =
        kv_commit(program->kv, program->changes, program->change_count, error);

    drop_collected(program);
    return status;
}

/* --- reads ---*/

static enum envol_status run_get(struct program *program, struct envol_error *error)
{
    char value[KV_VALUE_MAX];
    size_t bytes;
    bool found;
    enum envol_status status = kv_get(program->kv, word(program, 0), value, &bytes, &found, error);

    if (status == ENVOL_OK && !found)
        return say_why(error, ENVOL_E_UNWRITTEN, "there is no such key");
    if (status == ENVOL_OK)
        printf("%.*s\n", (int)bytes, value);
    return status;
}

static enum envol_status print(void *ctx, struct kv_slice key, struct kv_slice value)
{
    (void)ctx;
    printf("%.*s\t%.*s\n", (int)key.count, (const char *)key.bytes, (int)value.count,
           (const char *)value.bytes);
    return ENVOL_OK;
}

static enum envol_status run_scan(struct program *program, struct envol_error *error)
{
    return kv_scan(program->kv, word(program, 0), word(program, 1), print, NULL, error);
}

static enum envol_status run_check(struct program *program, struct envol_error *error)
{
    struct kv_figures figures;
    enum envol_status status = kv_check(program->kv, &figures, error);

    printf("keys=%" PRIu64 " pages=%" PRIu64 " runs=%" PRIu64 " bad=%" PRIu64 "\n", figures.keys,
           figures.pages, figures.runs, figures.bad);
    return status;
}

/* --- the store as a whole ---*/

static enum envol_status run_create(struct program *program, struct envol_error *error)
{
    return kv_create(program->path, &program->cmk, error);
}

static enum envol_status run_snapshot(struct program *program, struct envol_error *error)
{
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_status status = kv_snapshot(program->kv, uuid, error);

    if (status == ENVOL_OK)
        print_uuid(uuid);
    return status;
}

static enum envol_status run_release(struct program *program, struct envol_error *error)
{
    uint8_t uuid[ENVOL_UUID_BYTES];

    return parse_uuid(program->words[0], uuid)
               ? kv_release(program->kv, uuid, error)
               : say_why(error, ENVOL_E_ARGUMENT, "that is no UUID");
}

int to_stream(void *ctx, const void *bytes, size_t count)
{
    return fwrite(bytes, 1, count, ctx) == count ? 0 : errno;
}

static int from_stream(void *ctx, void *bytes, size_t capacity, size_t *count)
{
    *count = fread(bytes, 1, capacity, ctx);
    return ferror((FILE *)ctx) ? errno : 0;
}

static enum envol_status run_backup(struct program *program, struct envol_error *error)
{
    return kv_backup(program->kv, &program->other, to_stream, stdout, error);
}

static enum envol_status run_restore(struct program *program, struct envol_error *error)
{
    return kv_restore(program->path, &program->cmk, &program->other, from_stream, stdin, error);
}

static enum envol_status run_rotate(struct program *program, struct envol_error *error)
{
    return kv_rotate(program->kv, &program->cmk, error);
}

static enum envol_status run_unlock(struct program *program, struct envol_error *error)
{
    return kv_unlock(program->kv, &program->cmk, error);
}

static const struct command commands[] = {
    {.name = "create", .run = run_create, .needs_no_store = true},
    {.name = "put", .least = 2, .most = 2, .run = run_change, .is_for_shell = true},
    {.name = "get", .least = 1, .most = 1, .run = run_get, .is_for_shell = true},
    {.name = "delete", .least = 1, .most = 1, .run = run_change, .is_for_shell = true},
    {.name = "scan", .most = 2, .run = run_scan, .is_for_shell = true},
    {.name = "begin", .run = run_begin, .is_for_shell = true},
    {.name = "commit", .run = run_commit, .is_for_shell = true},
    {.name = "load", .run = run_load, .takes_other = true},
    {.name = "check", .run = run_check, .is_for_shell = true},
    {.name = "snapshot", .run = run_snapshot, .is_for_shell = true},
    {.name = "release", .least = 1, .most = 1, .run = run_release, .is_for_shell = true},
    {.name = "backup", .run = run_backup, .takes_other = true},
    {.name = "restore", .run = run_restore, .needs_no_store = true, .takes_other = true},
    {.name = "rotate", .run = run_rotate, .is_for_shell = true},
    {.name = "unlock", .run = run_unlock, .is_for_shell = true},
    {.name = "shell", .run = run_shell},
};

const struct command *find_command(const char *name, int word_count)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *command = &commands[i];

        if (strcmp(command->name, name) == 0)
            return word_count >= command->least && word_count <= command->most ? command : NULL;
    }
    return NULL;
}
