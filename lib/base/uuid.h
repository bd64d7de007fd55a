/* SPDX-License-Identifier: BSD-2-Clause */
/* UUIDs (RFC 9562): random ones, and their lower-case 8-4-4-4-12 text. */
#ifndef ENVOL_BASE_UUID_H
#define ENVOL_BASE_UUID_H

#include <envol/status.h>

/* Version 4, variant 10.  ENVOL_E_RANDOM, and zeros. */
enum envol_status envol_uuid_make(uint8_t uuid[ENVOL_UUID_BYTES]);

void envol_uuid_text(const uint8_t uuid[ENVOL_UUID_BYTES], char text[ENVOL_UUID_TEXT_BYTES]);

#endif
