/* SPDX-License-Identifier: BSD-2-Clause */
/* A CMK that a URI names: `file:PATH`, `aws-kms:ARN` and all else that the command envol takes. */
#ifndef SQLITE_CMK_H
#define SQLITE_CMK_H

#include "common/cmk.h"

enum { MESSAGE_BYTES = 400 };

/* NULL, or empty: there is none, which is an error too.  Nobody is asked for a passphrase: it comes
 * from a file or the environment.  Close it with cmk_close whatever is returned. */
enum envol_status uri_open(struct cmk_source *source, const char *uri, struct envol_error *error);

#endif
