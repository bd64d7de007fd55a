/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands of the program know of each other. */
#ifndef KV_PROGRAM_H
#define KV_PROGRAM_H

#include "kv.h"

#include <stdio.h>

enum { THREADS_MAX = 64 };

struct program {
    const char *path, *cmk_uri, *other_uri;
    char **words; /* behind DIR */
    int word_count;
    struct envol_cmk cmk, other; /* other: --to, --from */
    uint8_t snapshot[ENVOL_UUID_BYTES];
    struct kv_options options;
    const char *backup; /* file for load, or NULL */
    unsigned threads, batch;
    struct kv *kv;
    /* Between begin and commit of a shell. */
    bool collects;
    struct kv_change *changes;
    size_t change_count;
};

struct command {
    const char *name;
    int least, most; /* words behind DIR */
    enum envol_status (*run)(struct program *program, struct envol_error *error);
    bool needs_no_store, takes_other, is_for_shell;
};

/* NULL: there is none, or it takes another number of words. */
const struct command *find_command(const char *name, int word_count);

bool parse_uuid(const char *text, uint8_t uuid[ENVOL_UUID_BYTES]);

/* Fills error, with errno where status is ENVOL_E_IO; returns status. */
enum envol_status say_why(struct envol_error *error, enum envol_status status, const char *what);

int to_stream(void *file, const void *bytes, size_t count);

/* Gives up what was begun. */
void drop_collected(struct program *program);

/* load.c: the commands that read lines. */
enum envol_status run_load(struct program *program, struct envol_error *error);
enum envol_status run_shell(struct program *program, struct envol_error *error);

#endif
