/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SQLITE_SUPER_H
#define SQLITE_SUPER_H

#include "blocks.h"

/* A super-journal, or another database's journal that SQLite looks into for the name of one. */
int super_open(struct blocks *blocks, const char *path, int flags);

#endif
