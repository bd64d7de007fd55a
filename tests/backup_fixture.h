/* SPDX-License-Identifier: BSD-2-Clause */
/* Backups for tests: streams in memory, and a volume, its backup and what is restored of it. */
#ifndef ENVOL_TESTS_BACKUP_FIXTURE_H
#define ENVOL_TESTS_BACKUP_FIXTURE_H

#include "volume_fixture.h"

#include <envol/backup.h>

/* A stream in memory, to be written and read. */
struct tape {
    uint8_t *bytes;
    size_t count, room, at;
    size_t step;             /* a read gives so many bytes at most; 0: all that are asked for */
    unsigned calls, fail_at; /* the call of that number (1: the next) fails; 0: none */
    int answer;              /* with that; 0: EPIPE */
};
envol_backup_sink tape_sink;
envol_backup_source tape_source;
/* From its start again. */
struct tape *tape_rewind(struct tape *tape);
void tape_clear(struct tape *tape);
struct tape tape_copy(const struct tape *tape);

#define BACKUP_KEY  "arn:fake:key/backup"
#define RESTORE_KEY "arn:fake:key/restored"

/* A volume, f, and what is restored: g, whose store is empty at first. */
struct backup_fixture {
    struct volume_fixture f, g;
    struct envol_cmk backup_cmk;
    struct tape tape;
    struct envol_backup_result result;
};

/* False: this build has no kernel for the suite. */
bool backup_fixture_create(struct backup_fixture *b, const struct volume_shape *shape, int atomic);
void backup_fixture_free(struct backup_fixture *b);
/* Another empty store for g. */
void backup_fixture_empty(struct backup_fixture *b, struct envol_store *store);

/* Of f, into the tape; lists may be NULL.  Asserts that it succeeds, and that it verifies. */
void backup_take(struct backup_fixture *b, struct tape *tape, struct tape *before,
                 struct tape *after);
enum envol_status backup_verify(struct backup_fixture *b, struct tape *tape);
/* The calls, on g's store. */
enum envol_status restore_begin(struct backup_fixture *b, struct envol_restore **restore);
enum envol_status restore_apply(struct backup_fixture *b, struct envol_restore *restore,
                                struct tape *tape);
/* All of it, and g is open afterwards. */
void restore_whole(struct backup_fixture *b, struct tape *const *tapes, size_t count);
/* Asserts that g and f have the same pages. */
void backup_expect_same(struct backup_fixture *b);

#endif
