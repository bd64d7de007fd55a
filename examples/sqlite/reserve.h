/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SQLITE_RESERVE_H
#define SQLITE_RESERVE_H

#include "database.h"

/* A database that is about to be made gets 48 reserved bytes in each page. */
int reserve_bytes(struct database *database);

#endif
