/* SPDX-License-Identifier: BSD-2-Clause */
/* Random UUIDs (RFC 9562); their text is <envol/uuid.h>'s. */
#ifndef ENVOL_BASE_UUID_H
#define ENVOL_BASE_UUID_H

#include <envol/uuid.h>

/* Version 4, variant 10.  ENVOL_E_RANDOM, and zeros. */
enum envol_status envol_uuid_make(uint8_t uuid[ENVOL_UUID_BYTES]);

#endif
