/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of a backup's stream, which is in the clear and the context of its body; envol(5) shows
 * the same table.
 *
 *   OFFSET   SIZE  FIELD
 *        0      8  magic "ENVOLBAK"
 *        8      4  version = 1
 *       12      4  bytes of the head
 *       16     16  UUID of the backup
 *       32     16  UUID of the backup that it follows; zeros: it is full
 *       48      2  suite of the volume
 *       50      2  0
 *       52      4  page_bytes
 *       56      4  stride_bytes
 *       60      4  flags: 1 sparse, 2 atomic pages
 *       64      8  pages of the volume
 *       72      8  Unix time, seconds
 *       80      4  number of slots, 1 to 8
 *       84      4  0
 *       88         slots, packed as in a volume's header
 *
 * The body, sealed as a whole, is items one after the other:
 *
 *        0      4  kind
 *        4      4  count
 *        8      8  first page
 *       16         what the kind says
 *
 *   1 pages     count pages of page_bytes
 *   2 holes     nothing: count pages are unwritten
 *   3 note      count bytes, at most 65,536, of the one who made the backup; first page 0
 *   4 bad       nothing: count pages could not be read
 *   5 end       nothing: count is 0, first page the number of pages
 *
 * A note comes first, the end last, the others in ascending order of their pages.  A full backup
 * names every page; what an incremental one does not name is as it was.
 */
#ifndef ENVOL_BACKUP_HEAD_H
#define ENVOL_BACKUP_HEAD_H

#include "backup/message.h"
#include "header/header.h"
#include "volume/keys.h"

#define ENVOL_BACKUP_MAGIC   "ENVOLBAK"
#define ENVOL_BACKUP_VERSION 1u

#define ENVOL_HEAD_AT_VERSION  8u
#define ENVOL_HEAD_AT_BYTES    12u
#define ENVOL_HEAD_AT_UUID     16u
#define ENVOL_HEAD_AT_PARENT   32u
#define ENVOL_HEAD_AT_SUITE    48u
#define ENVOL_HEAD_AT_SPARE_16 50u
#define ENVOL_HEAD_AT_PAGE     52u
#define ENVOL_HEAD_AT_STRIDE   56u
#define ENVOL_HEAD_AT_FLAGS    60u
#define ENVOL_HEAD_AT_PAGES    64u
#define ENVOL_HEAD_AT_CREATED  72u
#define ENVOL_HEAD_AT_SLOTS    80u
#define ENVOL_HEAD_AT_SPARE_32 84u
#define ENVOL_HEAD_FIXED_BYTES 88u
#define ENVOL_HEAD_BYTES_MAX   (ENVOL_HEAD_FIXED_BYTES + ENVOL_SLOT_AREA_BYTES)
/* What can be told before the length of the rest is known. */
#define ENVOL_HEAD_START_BYTES 16u

#define ENVOL_HEAD_SPARSE 1u
#define ENVOL_HEAD_ATOMIC 2u

enum envol_item_kind {
    ENVOL_ITEM_PAGES = 1,
    ENVOL_ITEM_HOLES = 2,
    ENVOL_ITEM_NOTE = 3,
    ENVOL_ITEM_BAD = 4,
    ENVOL_ITEM_END = 5
};
#define ENVOL_ITEM_BYTES 16u

struct envol_backup_head {
    struct envol_header *header; /* UUID, geometry, slots and context, as a volume of its own has */
    uint8_t parent[ENVOL_UUID_BYTES];
    uint64_t pages, created_at_s;
    uint8_t *bytes; /* ENVOL_HEAD_BYTES_MAX */
    size_t count;
};

/* A new head with a UUID of its own, and no slots.  Free it whatever is returned. */
enum envol_status envol_backup_head_new(struct envol_backup_head *head,
                                        const struct envol_header *volume, uint64_t pages,
                                        struct envol_error *error);
void envol_backup_head_free(struct envol_backup_head *head);
/* Sets bytes and count. */
void envol_backup_head_encode(struct envol_backup_head *head);
/* Reads one from a message; nothing of it is authenticated.  Free it whatever is returned.
 * ENVOL_E_FORMAT, ENVOL_E_VERSION, ENVOL_E_CORRUPT, ENVOL_E_TRUNCATED, ENVOL_E_NO_MEMORY. */
enum envol_status envol_backup_head_read(struct envol_backup_head *head,
                                         struct envol_message *message);
/* What the head says of the backup; the rest of result is left as it is. */
void envol_backup_head_show(const struct envol_backup_head *head,
                            struct envol_backup_result *result);

/* keys.c */
/* The keys' part of a call; options of either kind.  ENVOL_E_ARGUMENT. */
enum envol_status envol_backup_call_make(const struct envol_cmk *cmks, size_t cmk_count,
                                         uint32_t flags, uint32_t timeout_ms,
                                         const int *cancel_flag, struct envol_key_call *call,
                                         struct envol_error *error);
/* Makes the DEK and its slots, encodes the head, and begins the body; ready (or NULL) is called
 * before a byte is written, and may refuse. */
enum envol_status envol_backup_seal(const struct envol_key_call *call,
                                    struct envol_backup_head *head, struct envol_message *message,
                                    enum envol_status (*ready)(void *ctx), void *ctx);
/* Unwraps the DEK and starts the body: then the head is authenticated. */
enum envol_status envol_backup_unseal(const struct envol_key_call *call,
                                      const struct envol_backup_head *head,
                                      struct envol_message *message);

#endif
