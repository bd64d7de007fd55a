/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a backup: its items in order, to whoever takes them. */
#ifndef ENVOL_BACKUP_READING_H
#define ENVOL_BACKUP_READING_H

#include "backup/head.h"

/* A stream that is being read. */
struct envol_reading {
    struct envol_message message;
    struct envol_backup_head head;
    struct envol_restore_options options;
    struct envol_backup_result result;
    uint8_t *pages; /* plaintext of so many pages at a time */
    size_t run;
    uint64_t next; /* page that may be named next */
    bool has_item, ended;
};

/* What becomes of the pages; all was authenticated.  NULL: nothing does. */
struct envol_reading_visitor {
    void *ctx;
    /* n pages one behind the other in memory. */
    enum envol_status (*pages)(void *ctx, uint64_t first, size_t n, uint8_t *pages);
    /* Pages that are to be unwritten. */
    enum envol_status (*holes)(void *ctx, uint64_t first, uint64_t count);
    /* Pages from next to first are left as they are: an incremental backup does not name them. */
    enum envol_status (*unchanged)(void *ctx, uint64_t next, uint64_t first);
};

/* Checks options, reads the head, unwraps the DEK.  Close it whatever is returned.  result: the
 * caller's, for the room of a note; may be NULL. */
enum envol_status envol_reading_open(struct envol_reading *reading, const struct envol_cmk *cmks,
                                     size_t cmk_count, const struct envol_restore_options *options,
                                     envol_backup_source *source, void *ctx,
                                     const struct envol_backup_result *result,
                                     struct envol_error *error);
/* Reads all items.  ENVOL_OK: every byte of the stream was right. */
enum envol_status envol_reading_run(struct envol_reading *reading,
                                    const struct envol_reading_visitor *visitor);
/* Fills the caller's result, or zeroes it. */
void envol_reading_show(struct envol_reading *reading, enum envol_status status,
                        struct envol_backup_result *result);
void envol_reading_close(struct envol_reading *reading);

/* The caller's options, whole; NULL: zeros.  false: of another size, or unknown flags. */
bool envol_restore_options_take(const struct envol_restore_options *given,
                                struct envol_restore_options *options);

#endif
