/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that SQLite wrote to a database, and that the file does not have yet: some are sealed under
 * one draw of randomness, and those that follow each other are written together.
 *
 * They may wait because nobody else looks: a database with a rollback journal is written under its
 * exclusive lock.  They reach the file, and a failure reaches SQLite, before anything hangs on
 * them: before a read, a sync, and SQLITE_FCNTL_SYNC, which SQLite sends before each commit
 * and at the end of each rollback, with synchronous=OFF too; only then does it take the journal
 * away.  What is killed before that is rolled back from the journal, which is in its file before
 * the first of the pages is (blocks.h).  A run that could not be written stays, and is tried again;
 * on a full disk the rollback cuts those pages off that have no place.  Where the rollback fails
 * too, the run is dropped with the lock, or with a journal that did not reach its file.
 *
 * With a WAL pages are written at once: a checkpoint that does not end the log asks for no sync
 * before it says how far it came.
 */
#ifndef SQLITE_PAGE_RUN_H
#define SQLITE_PAGE_RUN_H

#include "vfs.h"

struct database;

enum { PAGE_RUN_BYTES = 32768, PAGE_RUN_MAX = PAGE_RUN_BYTES / 1024 };

struct page_run {
    int count;
    sqlite3_int64 page[PAGE_RUN_MAX];
    uint8_t *plain, *record; /* room for as many pages each; allocated together */
};

/* A page, counted from 0, whose content is copied. */
int page_run_add(struct database *database, sqlite3_int64 page, const void *from);
/* All of them, to the file below. */
int page_run_flush(struct database *database);
/* How many pages the file has once these are in it, if it is not longer. */
sqlite3_int64 page_run_end(const struct page_run *run);
/* Forgets those from this one on. */
void page_run_cut(struct database *database, sqlite3_int64 page);
void page_run_forget(struct page_run *run); /* all of them */
void page_run_free(struct page_run *run);

#endif
