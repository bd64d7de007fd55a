/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UUIDs as text, for command lines and messages.  Everywhere else they are 16 raw bytes.
 * envol_uuid(3).
 */
#ifndef ENVOL_UUID_H
#define ENVOL_UUID_H

#include <envol/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the text of RFC 9562, section 4, in lower case, 36 characters and a NUL, and returns text.
 * Neither may be NULL.  Any thread. */
ENVOL_API ENVOL_NONNULL(1, 2) const
    char *envol_uuid_format(const uint8_t uuid[ENVOL_UUID_BYTES], char text[ENVOL_UUID_TEXT_BYTES]);

/*
 * Reads that text, in either case, as the section asks of readers: 36 characters, and nothing
 * before or behind them.  uuid is 16 bytes, zeros on failure.  Any thread.  ENVOL_E_ARGUMENT (no
 * such text, a NULL).
 */
ENVOL_API ENVOL_NODISCARD enum envol_status envol_uuid_parse(const char *text,
                                                             uint8_t uuid[ENVOL_UUID_BYTES]);

#ifdef __cplusplus
}
#endif
#endif
