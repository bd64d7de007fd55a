/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libenvol: envelope-encrypted volumes.  This header includes all the others; each of them also
 * stands alone.  Overview and threat model: envol(7).  On-disk format: envol(5).
 */
#ifndef ENVOL_H
#define ENVOL_H

#include <envol/audit.h>
#include <envol/backup.h>
#include <envol/header.h>
#include <envol/header_keys.h>
#include <envol/lease.h>
#include <envol/log.h>
#include <envol/memory.h>
#include <envol/page.h>
#include <envol/passphrase.h>
#include <envol/provider.h>
#include <envol/rotate.h>
#include <envol/slots.h>
#include <envol/snapshot.h>
#include <envol/space.h>
#include <envol/status.h>
#include <envol/store.h>
#include <envol/types.h>
#include <envol/uuid.h>
#include <envol/volume.h>

#endif
