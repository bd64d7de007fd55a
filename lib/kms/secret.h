/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for DEKs and credentials on their way: pages of their own, locked, left out of core dumps,
 * wiped in a forked child and when they are freed.  The arena of libenvol is not public.
 */
#ifndef ENVOL_KMS_SECRET_H
#define ENVOL_KMS_SECRET_H

#include <envol/status.h>

/* flags: ENVOL_KEY_ALLOW_UNLOCKED.  Zeroed.  ENVOL_E_NO_MEMORY, ENVOL_E_LOCKED_MEMORY. */
enum envol_status envol_kms_secret_alloc(size_t bytes, uint32_t flags, void **secret);
/* The same number of bytes.  NULL is ignored. */
void envol_kms_secret_free(void *secret, size_t bytes);

#endif
