/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structs that begin with their size, so that each may grow at its end and programs and libraries
 * of different versions still meet: the rule of openat2(2), and of the kernel's
 * copy_struct_from_user().
 *
 * A caller's struct is as long as the one of some version.  Fields behind a shorter one are zeros.
 * A longer one, of a newer header, is taken if the library loses nothing by not knowing the rest:
 * if it is zeros.  What the library fills it fills as far as the caller's size goes.
 *
 * So a field is added at a struct's end, means with 0 what there was before it, and does not go
 * into what was padding (tests/check_abi.py), which an older caller may have left as it was.  The
 * table below stays.
 */
#ifndef ENVOL_BASE_SIZED_H
#define ENVOL_BASE_SIZED_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A whole struct, of known bytes, of what a caller gave, at least of the first version's size; of
 * NULL it is one of zeros.  false, and *whole is zeros: too short, or longer than is known and not
 * zeros there.
 */
bool envol_sized_take(const void *given, void *whole, size_t known, size_t least);
/* Can a caller's struct, NULL it is not, take what there was in the first version? */
bool envol_sized_fits(const void *given, size_t known, size_t least);
/* Fills a caller's struct, which fits, but for its size. */
void envol_sized_give(void *given, const void *whole, size_t known);
/* The same with zeros. */
void envol_sized_clear(void *given);

/* The same by name: ENVOL_TAKE(pins, given, &whole). */
#define ENVOL_TAKE(name, given, whole)                                                             \
    envol_sized_take(given, whole, sizeof(struct envol_##name), ENVOL_FIRST_##name)
#define ENVOL_FITS(name, given)                                                                    \
    envol_sized_fits(given, sizeof(struct envol_##name), ENVOL_FIRST_##name)
#define ENVOL_GIVE(name, given, whole) envol_sized_give(given, whole, sizeof(struct envol_##name))

/* Size of a struct whose last field is this one. */
#define ENVOL_SIZE_UP_TO(name, field)                                                              \
    ((offsetof(struct envol_##name, field) + sizeof(((struct envol_##name *)0)->field) +           \
      _Alignof(struct envol_##name) - 1) /                                                         \
     _Alignof(struct envol_##name) * _Alignof(struct envol_##name))

/* By how much a struct has grown since its first version. */
#define ENVOL_GROWN(name) (sizeof(struct envol_##name) - ENVOL_FIRST_##name)

/* Last fields of the first versions. */
#define ENVOL_FIRST_allocator          ENVOL_SIZE_UP_TO(allocator, free)
#define ENVOL_FIRST_anchor             ENVOL_SIZE_UP_TO(anchor, mac)
#define ENVOL_FIRST_backup_options     ENVOL_SIZE_UP_TO(backup_options, label)
#define ENVOL_FIRST_backup_result      ENVOL_SIZE_UP_TO(backup_result, recorded)
#define ENVOL_FIRST_geometry           ENVOL_SIZE_UP_TO(geometry, trailer_bytes)
#define ENVOL_FIRST_header_info        ENVOL_SIZE_UP_TO(header_info, catalog_epoch)
#define ENVOL_FIRST_header_io          ENVOL_SIZE_UP_TO(header_io, sync)
#define ENVOL_FIRST_header_params      ENVOL_SIZE_UP_TO(header_params, atomic_pages)
#define ENVOL_FIRST_key_info           ENVOL_SIZE_UP_TO(key_info, key_version)
#define ENVOL_FIRST_key_request        ENVOL_SIZE_UP_TO(key_request, flags)
#define ENVOL_FIRST_lease_info         ENVOL_SIZE_UP_TO(lease_info, deadline_ms)
#define ENVOL_FIRST_lease_options      ENVOL_SIZE_UP_TO(lease_options, ctx)
#define ENVOL_FIRST_ledger             ENVOL_SIZE_UP_TO(ledger, catalog)
#define ENVOL_FIRST_log_info           ENVOL_SIZE_UP_TO(log_info, epoch)
#define ENVOL_FIRST_log_options        ENVOL_SIZE_UP_TO(log_options, first_lsn)
#define ENVOL_FIRST_log_run_info       ENVOL_SIZE_UP_TO(log_run_info, tag)
#define ENVOL_FIRST_log_run_params     ENVOL_SIZE_UP_TO(log_run_params, previous_tag)
#define ENVOL_FIRST_log_seal           ENVOL_SIZE_UP_TO(log_seal, last_tag)
#define ENVOL_FIRST_memory_stats       ENVOL_SIZE_UP_TO(memory_stats, unlocked_bytes)
#define ENVOL_FIRST_passphrase_options ENVOL_SIZE_UP_TO(passphrase_options, flags)
#define ENVOL_FIRST_pins               ENVOL_SIZE_UP_TO(pins, cmk_count)
#define ENVOL_FIRST_provider_vtable    ENVOL_SIZE_UP_TO(provider_vtable, close)
#define ENVOL_FIRST_restore_options    ENVOL_SIZE_UP_TO(restore_options, cancel_flag)
#define ENVOL_FIRST_rotation           ENVOL_SIZE_UP_TO(rotation, first_bad)
#define ENVOL_FIRST_slot               ENVOL_SIZE_UP_TO(slot, created_at_s)
#define ENVOL_FIRST_slot_info          ENVOL_SIZE_UP_TO(slot_info, outdated)
#define ENVOL_FIRST_slot_outcomes      ENVOL_SIZE_UP_TO(slot_outcomes, outcome)
#define ENVOL_FIRST_snapshot_info      ENVOL_SIZE_UP_TO(snapshot_info, file_bytes)
#define ENVOL_FIRST_snapshot_options   ENVOL_SIZE_UP_TO(snapshot_options, label)
#define ENVOL_FIRST_space_vtable       ENVOL_SIZE_UP_TO(space_vtable, close)
#define ENVOL_FIRST_store_vtable       ENVOL_SIZE_UP_TO(store_vtable, close)
#define ENVOL_FIRST_verify_result      ENVOL_SIZE_UP_TO(verify_result, bad)
#define ENVOL_FIRST_volume_info                                                                    \
    (ENVOL_SIZE_UP_TO(volume_info, snapshot) - ENVOL_GROWN(header_info)) /* which is in it */
#define ENVOL_FIRST_volume_options ENVOL_SIZE_UP_TO(volume_options, snapshot)
#define ENVOL_FIRST_wrapped_dek    ENVOL_SIZE_UP_TO(wrapped_dek, wrapped)

#endif
