/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealing and unsealing arrays of pages under each suite; what the public page calls are made of.
 */
#ifndef ENVOL_PAGE_SEAL_H
#define ENVOL_PAGE_SEAL_H

#include "page/lane.h"
#include "page/trailer.h"

/* Pages that go to a kernel in one call; their jobs and associated data lie on the stack. */
#define ENVOL_SEAL_GROUP 16u

/* Seal count pages as type (page or hole) under the current epoch.  Every op's status is set; a
 * failed one's record is zeroed. */
void envol_gcm_seal_pages(const struct envol_object *object, struct envol_lane *lane,
                          enum envol_record_type type, struct envol_page_op *ops, size_t count);
/* Holes get ENVOL_E_UNWRITTEN and zeros. */
void envol_gcm_unseal_pages(const struct envol_object *object, struct envol_lane *lane,
                            struct envol_page_op *ops, size_t count);

/* Under the given epoch: ENVOL_E_STALE for the object's own, ENVOL_E_CORRUPT for another, that is
 * not in the keyring. */
void envol_xts_seal_pages(const struct envol_object *object, struct envol_lane *lane,
                          uint32_t epoch, struct envol_page_op *ops, size_t count);
void envol_xts_unseal_pages(const struct envol_object *object, struct envol_lane *lane,
                            uint32_t epoch, struct envol_page_op *ops, size_t count);

/* First status of ops that is not ENVOL_OK. */
enum envol_status envol_ops_status(const struct envol_page_op *ops, size_t count);

#endif
