/* SPDX-License-Identifier: BSD-2-Clause */
/* The CMK of a database's URI. */
#include "cmk.h"

enum envol_status uri_open(struct cmk_source *source, const char *uri, struct envol_error *error)
{
    if (uri != NULL && *uri != '\0')
        return cmk_open(source, uri, NULL, error);
    *source = (struct cmk_source){.provider = NULL};
    return cmk_fail(
        error, ENVOL_E_ARGUMENT,
        "no CMK is given: file:NAME?vfs=envol&cmk=URI, or ENVOL_CMK in the environment");
}
