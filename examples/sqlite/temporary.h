/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SQLITE_TEMPORARY_H
#define SQLITE_TEMPORARY_H

#include "database.h"

/* A line in the log, if the temporary files of the database's connection are in clear. */
void temporary_warn(const struct database *database);

#endif
