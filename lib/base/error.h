/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling a caller's struct envol_error: never past the caller's struct_size, never anything but
 * one line of text.  A NULL error is ignored everywhere.
 */
#ifndef ENVOL_BASE_ERROR_H
#define ENVOL_BASE_ERROR_H

#include <envol/status.h>

/*
 * Each returns status, so that a failing function can `return envol_fail(...)`.  Page, slot and
 * provider code are reset: name them afterwards.  The text must hold no secret.  NULL format: the
 * status's own sentence.
 */
enum envol_status envol_fail(struct envol_error *error, enum envol_status status,
                             const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same, with errno, and the system's words for it at the end of the message. */
enum envol_status envol_fail_errno(struct envol_error *error, enum envol_status status,
                                   int os_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What every call that takes an error does on success. */
void envol_error_clear(struct envol_error *error);

void envol_error_set_page(struct envol_error *error, uint64_t page_no);
void envol_error_set_slot(struct envol_error *error, int32_t slot);
void envol_error_set_errno(struct envol_error *error, int os_errno);
/* Cut to what fits; NULL is "". */
void envol_error_set_provider_code(struct envol_error *error, const char *code);

#endif
