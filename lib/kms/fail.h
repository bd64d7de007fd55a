/* SPDX-License-Identifier: BSD-2-Clause */
/* Filling a caller's struct envol_error from a provider: the one function that writes it. */
#ifndef ENVOL_KMS_FAIL_H
#define ENVOL_KMS_FAIL_H

#include <envol/status.h>

/*
 * Returns status.  error may be NULL, or of an older, shorter struct.  code: the service's own, ""
 * if none.  Control characters become "?"; the text must hold no secret.
 */
enum envol_status envol_kms_fail(struct envol_error *error, enum envol_status status,
                                 const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* ENVOL_OK, and error, which may be as above, says so. */
enum envol_status envol_kms_succeed(struct envol_error *error);
/* The same as envol_kms_fail with an errno, whose words end the message. */
enum envol_status envol_kms_fail_errno(struct envol_error *error, enum envol_status status,
                                       int os_errno, const char *what);

#endif
