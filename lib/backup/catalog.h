/* SPDX-License-Identifier: BSD-2-Clause */
/* Backups on their way into the catalog of their volume (volume/catalog.h). */
#ifndef ENVOL_BACKUP_CATALOG_H
#define ENVOL_BACKUP_CATALOG_H

#include "backup/head.h"
#include "volume/catalog.h"

/* NULL, or short enough. */
bool envol_backup_label_is_sound(const char *label);
/* A stream whose head is whole, as an unfinished one.  Takes access alone. */
enum envol_status envol_backup_record(struct envol_volume *volume,
                                      const struct envol_backup_head *head, const char *label,
                                      struct envol_error *error);

#endif
