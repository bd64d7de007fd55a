/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SQLITE_PAGE_CHECK_H
#define SQLITE_PAGE_CHECK_H

#include "database.h"

/* Of the database's header, in page 1. */
enum { AT_PAGE_SIZE = 16, AT_RESERVED = 20 };

/*
 * A whole page that is to be sealed, by way of the WAL or not.  SQLITE_IOERR_WRITE if something of
 * it would be lost, or nobody could read it: the log says what.
 */
int page_check(struct database *database, const uint8_t *page, bool is_first);

#endif
