/* SPDX-License-Identifier: BSD-2-Clause */
/* Every key of a volume, derived from its DEK (envol(5), KEYS). */
#ifndef ENVOL_PAGE_DERIVE_H
#define ENVOL_PAGE_DERIVE_H

#include <envol/types.h>

/* What a key is for: 8 bytes of the HKDF info, zero-padded. */
#define ENVOL_PURPOSE_PAGE_GCM   "page-gcm"
#define ENVOL_PURPOSE_BLOB_GCM   "blob-gcm"
#define ENVOL_PURPOSE_PAGE_XTS   "page-xts"
#define ENVOL_PURPOSE_HEADER_MAC "hdr-mac\0"
#define ENVOL_PURPOSE_OLD_DEK    "old-dek\0"
#define ENVOL_PURPOSE_JOURNAL    "journal\0"
#define ENVOL_PURPOSE_LOG_ROOT   "log-root"
#define ENVOL_PURPOSE_BACKUP     "backup\0\0"
#define ENVOL_PURPOSE_SNAPSHOT   "snapshot"

struct envol_derivation {
    const char *purpose;
    const uint8_t *uuid;   /* 16 bytes */
    const uint8_t *object; /* 16 bytes; NULL: zeros */
    enum envol_suite suite;
    uint32_t epoch;
    uint64_t aux;
};

/* HKDF-Expand-SHA512 of the DEK; bytes is 32 or 64. */
void envol_derive(const uint8_t dek[ENVOL_DEK_BYTES], const struct envol_derivation *what,
                  uint8_t *key, size_t bytes);

#endif
