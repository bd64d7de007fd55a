/* SPDX-License-Identifier: BSD-2-Clause */
/* A replay of a log, envol log replay, and its second pass (replay_apply.c). */
#ifndef REPLAY_H
#define REPLAY_H

#include "log.h"

struct replay {
    const struct options *options;
    struct options of_log; /* the same for the volume that the log is of */
    struct session session, source;
    struct applier applier;
    bool is_engines; /* the volume is an engine's, whose program takes all records */
    uint64_t until;  /* 0: the log's end */

    /* The first pass. */
    struct import_record at; /* before it, then behind the record that was read last */
    bool knows_end;          /* at.mark is the LSN of the end that the pages are of, 0: of none */
    uint64_t pages;          /* that are there */
    bool reached;            /* until */
    uint64_t redos;
    int exit_status; /* of a callback that stopped a pass */

    /* The second pass. */
    uint64_t last;
    struct batch batch;
    size_t batched;
};

/* Applies the records behind from->lsn, up to replay->last; from is what page 0 says.  Prints its
 * failure. */
int replay_apply(struct replay *replay, const struct import_record *from);

#endif
