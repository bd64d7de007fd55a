/* SPDX-License-Identifier: BSD-2-Clause */
/* A caller's options, by the rule of envol(7), VERSIONS: a shorter struct goes on with zeros, a
 * longer one has to. */
#ifndef ENVOL_KMS_OPTIONS_H
#define ENVOL_KMS_OPTIONS_H

#include <envol/status.h>

/*
 * A whole struct, of known bytes, of one that begins with its size, which is at least that of the
 * first version; of NULL it is one of zeros.
 * ENVOL_E_ARGUMENT: of another size, or not zeros behind what is known.
 */
enum envol_status envol_kms_options_take(const void *given, void *whole, size_t known, size_t least,
                                         struct envol_error *error);

#endif
