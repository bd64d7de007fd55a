/* SPDX-License-Identifier: BSD-2-Clause */
/* What PRAGMAs read of the header before the database, and change in it. */
#ifndef SQLITE_HEADER_CHANGE_H
#define SQLITE_HEADER_CHANGE_H

#include "database.h"

/* The header as it is on the disk now; the caller frees it.  NULL and the database's message. */
struct envol_header *header_read(struct database *database, struct envol_header_info *info);

/* The DEK is wrapped by another CMK in place of the present one.  An SQLite code; SQLITE_OK: done;
 * else the database's message says why not. */
int header_rewrap(struct database *database, const char *to_uri);

#endif
