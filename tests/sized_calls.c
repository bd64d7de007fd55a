/* SPDX-License-Identifier: BSD-2-Clause */
/* One call, at least, for each public struct that begins with its size. */
#include "sized_calls.h"

#include "backup_fixture.h"
#include "base/sized.h"
#include "header_store.h"
#include "log/log.h"
#include "provider/check.h"
#include "snapshot_fixture.h"
#include "store/space.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static struct snapshot_fixture s;
static struct envol_space *log_space;
static struct envol_log *log_handle;
static struct header_fixture h;
static struct envol_store *header_bytes;
static struct header_hands hands;
static struct envol_store *memory;

void sized_setup(void)
{
    uint8_t uuid[ENVOL_UUID_BYTES];

    ck_assert(snapshot_fixture_create(&s, &volume_shapes[0], false));
    snapshot_put(&s, 0, 3);
    snapshot_make(&s, uuid);
    ck_ok(envol_memory_space_open(&log_space));
    ck_ok(envol_log_create(s.f.volume, log_space, NULL, &log_handle, NULL));
    header_fixture_open(&h, 0);
    ck_ok(envol_memory_store_open(&header_bytes));
    header_put(header_bytes, h.bytes);
    hands = (struct header_hands){.store = header_bytes};
    ck_ok(envol_memory_store_open(&memory));
}

void sized_teardown(void)
{
    envol_store_close(memory);
    envol_store_close(header_bytes);
    header_fixture_close(&h);
    ck_ok(envol_log_close(log_handle, NULL));
    envol_space_close(log_space);
    snapshot_fixture_free(&s);
}

/* Each call takes a struct of the size that it names, and leaves nothing open. */

static enum envol_status allocator(void *given)
{
    enum envol_status status = ck_note(envol_set_allocator(given));

    if (status == ENVOL_OK)
        ck_ok(envol_set_allocator(NULL));
    return status;
}

static void *plain_alloc(void *ctx, size_t bytes, size_t align)
{
    void *made = NULL;

    (void)ctx;
    return posix_memalign(&made, align, bytes) == 0 ? made : NULL;
}

static void plain_free(void *ctx, void *given)
{
    (void)ctx;
    free(given);
}

static void fill_allocator(void *whole)
{
    struct envol_allocator *filled = whole;

    filled->alloc = plain_alloc;
    filled->free = plain_free;
}

static enum envol_status pins_anchor(void *given)
{
    const struct envol_pins pins = {.struct_size = sizeof(pins), .anchor = given};

    return ck_note(envol_header_check(h.header, &pins, NULL));
}

static void fill_anchor(void *whole)
{
    struct envol_anchor *filled = whole;

    memcpy(filled->uuid, h.uuid, sizeof(filled->uuid));
}

static enum envol_status unlock_anchor(void *given)
{
    struct envol_keyring *keyring;
    enum envol_status status = ck_note(envol_header_unlock(h.header, h.dek, 0, given, &keyring));

    envol_keyring_close(keyring);
    return status;
}

static enum envol_status header_anchor(void *given)
{
    return ck_note(envol_header_anchor(h.header, given));
}

static enum envol_status volume_anchor(void *given)
{
    return ck_note(envol_volume_anchor(s.f.volume, given));
}

static int swallow(void *ctx, const void *bytes, size_t count)
{
    (void)ctx, (void)bytes, (void)count;
    return 0;
}

static enum envol_status backup_options(void *given)
{
    return ck_note(envol_backup_write(s.f.volume, &s.f.cmk, 1, given, swallow, NULL, NULL, NULL));
}

static enum envol_status backup_result(void *given)
{
    return ck_note(envol_backup_write(s.f.volume, &s.f.cmk, 1, NULL, swallow, NULL, given, NULL));
}

static enum envol_status verified_result(void *given)
{
    struct tape tape = {.bytes = NULL};
    enum envol_status status;

    ck_ok(envol_backup_write(s.f.volume, &s.f.cmk, 1, NULL, tape_sink, &tape, NULL, NULL));
    status = ck_note(
        envol_backup_verify(&s.f.cmk, 1, NULL, tape_source, tape_rewind(&tape), given, NULL));
    tape_clear(&tape);
    return status;
}

static enum envol_status geometry(void *given)
{
    return ck_note(envol_keyring_geometry(h.keyring, given));
}

static enum envol_status header_info(void *given)
{
    return ck_note(envol_header_info(h.header, given));
}

static enum envol_status inspected_info(void *given)
{
    return ck_note(envol_volume_inspect(header_bytes, given, NULL, NULL));
}

static enum envol_status header_commit_by(void *given)
{
    return ck_note(envol_header_commit(h.header, h.keyring, given, NULL));
}

static void fill_header_io(void *whole)
{
    const struct envol_header_io io = header_io(&hands);

    memcpy(whole, &io, sizeof(io));
}

static enum envol_status header_params(void *given)
{
    struct envol_header *header;
    enum envol_status status = ck_note(envol_header_new(given, &header));

    envol_header_free(header);
    return status;
}

static enum envol_status key_request(void *given)
{
    struct envol_key_info info = {.struct_size = sizeof(info)};

    return ck_note(envol_provider_describe(s.f.provider, given, &info, NULL));
}

static void fill_key_request(void *whole)
{
    struct envol_key_request *filled = whole;

    filled->key_ref = VOLUME_KEY;
}

static const struct envol_key_request request = {.struct_size = sizeof(request),
                                                 .key_ref = VOLUME_KEY};

static enum envol_status key_info(void *given)
{
    return ck_note(envol_provider_describe(s.f.provider, &request, given, NULL));
}

static enum envol_status wrapped_dek(void *given)
{
    return ck_note(envol_provider_wrap(s.f.provider, &request, h.dek, given, NULL));
}

static enum envol_status rewrap(void *from, void *to)
{
    struct envol_wrapped_dek wrapped = {.struct_size = sizeof(wrapped)};
    struct envol_wrapped_dek rewrapped = {.struct_size = sizeof(rewrapped)};

    ck_ok(envol_provider_wrap(s.f.provider, &request, h.dek, &wrapped, NULL));
    return ck_note(envol_provider_rewrap(s.f.provider, from, wrapped.wrapped, wrapped.wrapped_bytes,
                                         to, &rewrapped, NULL));
}

static enum envol_status rewrap_to(void *given)
{
    struct envol_key_request from = request;

    from.key_version = "1"; /* of the fake service */
    return rewrap(&from, given);
}

static enum envol_status rewrap_from(void *given)
{
    struct envol_key_request to = request;

    return rewrap(given, &to);
}

static void fill_slot_request(void *whole)
{
    struct envol_key_request *filled = whole;

    fill_key_request(filled);
    filled->key_version = "1";
}

static enum envol_status lease_options(void *given)
{
    struct envol_lease *lease;
    enum envol_status status = ck_note(envol_lease_start(s.f.volume, given, &lease, NULL));

    envol_lease_stop(lease);
    return status;
}

static enum envol_status lease_info(void *given)
{
    struct envol_lease *lease;
    enum envol_status status;

    ck_ok(envol_lease_start(s.f.volume, NULL, &lease, NULL));
    status = ck_note(envol_lease_info(lease, given));
    envol_lease_stop(lease);
    return status;
}

static enum envol_status ledger(void *given)
{
    return ck_note(envol_volume_ledger(s.f.volume, given, NULL));
}

static enum envol_status log_options(void *given)
{
    enum envol_status status;

    ck_ok(envol_log_close(log_handle, NULL));
    status = ck_note(envol_log_open(s.f.volume, log_space, given, &log_handle, NULL));
    if (status != ENVOL_OK)
        ck_ok(envol_log_open(s.f.volume, log_space, NULL, &log_handle, NULL));
    return status;
}

static enum envol_status log_info(void *given)
{
    return ck_note(envol_log_status(log_handle, given));
}

static uint8_t run_header[ENVOL_LOG_RUN_HEADER_BYTES];

static enum envol_status log_run_params(void *given)
{
    struct envol_log_run *run;
    enum envol_status status = ck_note(envol_log_run_begin(h.keyring, given, run_header, &run));

    envol_log_run_close(run);
    if (status != ENVOL_OK)
        return status;
    status = ck_note(envol_log_run_open(h.keyring, run_header, given, &run));
    envol_log_run_close(run);
    return status;
}

static void fill_log_run_params(void *whole)
{
    struct envol_log_run_params *filled = whole;

    filled->run = 1;
    filled->start_lsn = 1;
}

static enum envol_status log_run_info(void *given)
{
    struct envol_log_run_params params = {.struct_size = sizeof(params)};

    fill_log_run_params(&params);
    ck_assert_int_eq(log_run_params(&params), ENVOL_OK);
    return ck_note(envol_log_run_peek(run_header, given));
}

static enum envol_status set_log_seal(void *given)
{
    return ck_note(envol_header_set_log_seal(h.header, given));
}

static enum envol_status get_log_seal(void *given)
{
    return ck_note(envol_header_log_seal(h.header, given));
}

static enum envol_status memory_stats(void *given)
{
    return ck_note(envol_memory_stats(given));
}

static enum envol_status passphrase_options(void *given)
{
    struct envol_provider *provider;
    enum envol_status status = ck_note(envol_passphrase_provider_open(given, &provider));

    envol_provider_close(provider);
    return status;
}

static void fill_passphrase_options(void *whole)
{
    struct envol_passphrase_options *filled = whole;

    filled->passphrase = "correct horse";
    filled->passphrase_bytes = 13;
}

static enum envol_status pins(void *given)
{
    return ck_note(envol_header_check(h.header, given, NULL));
}

static enum envol_status next_slot_pins(void *given)
{
    struct envol_slot slot = {.struct_size = sizeof(slot)};
    uint32_t cursor = 0;
    enum envol_status status =
        ck_note(envol_header_next_slot(h.header, given, &cursor, &slot, NULL));

    return status == ENVOL_E_NO_PROVIDER ? ENVOL_OK : status;
}

static enum envol_status next_slot(void *given)
{
    const struct envol_pin pin = {HEADER_PROVIDER, NULL};
    const struct envol_pins any = {.struct_size = sizeof(any), .cmks = &pin, .cmk_count = 1};
    uint32_t cursor = 0;

    return ck_note(envol_header_next_slot(h.header, &any, &cursor, given, NULL));
}

static enum envol_status slot(void *given)
{
    return ck_note(envol_header_slot(h.header, 0, given));
}

static enum envol_status add_slot(void *given)
{
    uint32_t id;
    enum envol_status status = ck_note(envol_header_add_slot(h.header, given, &id));

    if (status == ENVOL_OK)
        ck_ok(envol_header_remove_slot(h.header, id));
    return status;
}

static void fill_slot(void *whole)
{
    struct envol_slot filled = header_slot("another", 16);

    memcpy(whole, &filled, sizeof(filled));
}

static enum envol_status store_vtable(void *given)
{
    struct envol_store *store;
    enum envol_status status = ck_note(envol_store_open(given, NULL, 1, &store));

    envol_store_close(store);
    return status;
}

static void fill_store_vtable(void *whole)
{
    struct envol_store_vtable *filled = whole;

    *filled = memory->vtable;
    filled->close = NULL;
}

static enum envol_status space_vtable(void *given)
{
    struct envol_space *space;
    enum envol_status status = ck_note(envol_space_open(given, NULL, &space));

    envol_space_close(space);
    return status;
}

static void fill_space_vtable(void *whole)
{
    struct envol_space_vtable *filled = whole;

    *filled = log_space->vtable;
    filled->close = NULL;
}

static enum envol_status provider_vtable(void *given)
{
    struct envol_provider *provider;
    enum envol_status status = ck_note(envol_provider_open(given, NULL, &provider));

    envol_provider_close(provider);
    return status;
}

static void fill_provider_vtable(void *whole)
{
    struct envol_provider_vtable *filled = whole;

    *filled = s.f.provider->vtable;
    filled->close = NULL;
}

static enum envol_status restore_options(void *given)
{
    struct envol_restore *restore;
    enum envol_status status =
        ck_note(envol_restore_begin(memory, &s.f.cmk, 1, given, &restore, NULL));

    envol_restore_close(restore);
    return status;
}

static enum envol_status rotation(void *given)
{
    return ck_note(envol_volume_rotate_status(s.f.volume, given));
}

static enum envol_status slot_info(void *given)
{
    size_t count;

    return ck_note(envol_volume_slots(s.f.volume, &s.f.cmk, 1, NULL, given, 1, &count, NULL));
}

static enum envol_status snapshot_info(void *given)
{
    size_t count;

    return ck_note(envol_snapshot_list(s.f.volume, given, 1, &count, NULL));
}

static enum envol_status snapshot_options(void *given)
{
    uint8_t uuid[ENVOL_UUID_BYTES];
    enum envol_status status = ck_note(envol_snapshot_create(s.f.volume, given, uuid, NULL));

    if (status == ENVOL_OK)
        ck_ok(envol_snapshot_delete(s.f.volume, uuid, NULL));
    return status;
}

static enum envol_status verify_result(void *given)
{
    return ck_note(envol_volume_verify(s.f.volume, NULL, NULL, given, NULL));
}

/* A volume of its own, made and opened again. */
static enum envol_status volume_options(void *given)
{
    struct envol_store *store;
    struct envol_volume *volume;
    enum envol_status status;

    ck_ok(envol_memory_store_open(&store));
    status = ck_note(envol_volume_create(store, &s.f.cmk, 1, given, &volume, NULL));
    if (status == ENVOL_OK) {
        ck_ok(envol_volume_close(volume));
        status = ck_note(envol_volume_open(store, &s.f.cmk, 1, given, &volume, NULL));
    }
    if (status == ENVOL_OK)
        ck_ok(envol_volume_close(volume));
    envol_store_close(store);
    return status;
}

static enum envol_status unlock_options(void *given)
{
    return ck_note(envol_volume_unlock(s.f.volume, &s.f.cmk, 1, given, NULL));
}

static enum envol_status outcomes(void *given)
{
    const struct envol_volume_options options = {.struct_size = sizeof(options), .outcomes = given};
    struct envol_volume_options plain = {.struct_size = sizeof(plain)};

    ck_assert_int_eq(volume_options(&plain), ENVOL_OK);
    return volume_options((void *)&options);
}

const struct sized sized[SIZED_COUNT] = {
#define SIZED(name, way, ...)                                                                      \
    {                                                                                              \
#name, way, sizeof(struct envol_##name), ENVOL_FIRST_##name, __VA_ARGS__                   \
    }
    SIZED(allocator, TAKES, allocator, fill_allocator),
    SIZED(anchor, TAKES, pins_anchor, fill_anchor),
    SIZED(anchor, TAKES, unlock_anchor, fill_anchor),
    SIZED(anchor, FILLS, header_anchor, NULL),
    SIZED(anchor, FILLS, volume_anchor, NULL),
    SIZED(backup_options, TAKES, backup_options, NULL),
    SIZED(backup_result, FILLS, backup_result, NULL),
    SIZED(backup_result, FILLS, verified_result, NULL),
    SIZED(geometry, FILLS, geometry, NULL),
    SIZED(header_info, FILLS, header_info, NULL),
    SIZED(header_info, FILLS, inspected_info, NULL),
    SIZED(header_io, TAKES, header_commit_by, fill_header_io),
    SIZED(header_params, TAKES, header_params, NULL),
    SIZED(key_info, FILLS, key_info, NULL),
    SIZED(key_request, TAKES, key_request, fill_key_request),
    SIZED(key_request, TAKES, rewrap_to, fill_key_request),
    SIZED(key_request, TAKES, rewrap_from, fill_slot_request),
    SIZED(lease_info, FILLS, lease_info, NULL),
    SIZED(lease_options, TAKES, lease_options, NULL),
    SIZED(ledger, FILLS, ledger, NULL),
    SIZED(log_info, FILLS, log_info, NULL),
    SIZED(log_options, TAKES, log_options, NULL),
    SIZED(log_run_info, FILLS, log_run_info, NULL),
    SIZED(log_run_params, TAKES, log_run_params, fill_log_run_params),
    SIZED(log_seal, TAKES, set_log_seal, NULL),
    SIZED(log_seal, FILLS, get_log_seal, NULL),
    SIZED(memory_stats, FILLS, memory_stats, NULL),
    SIZED(passphrase_options, TAKES, passphrase_options, fill_passphrase_options),
    SIZED(pins, TAKES, pins, NULL),
    SIZED(pins, TAKES, next_slot_pins, NULL),
    SIZED(provider_vtable, TAKES, provider_vtable, fill_provider_vtable),
    SIZED(restore_options, TAKES, restore_options, NULL),
    SIZED(rotation, FILLS, rotation, NULL),
    SIZED(slot, TAKES, add_slot, fill_slot),
    SIZED(slot, FILLS, slot, NULL),
    SIZED(slot, FILLS, next_slot, NULL),
    SIZED(slot_info, FILLS, slot_info, NULL),
    SIZED(slot_outcomes, FILLS, outcomes, NULL),
    SIZED(snapshot_info, FILLS, snapshot_info, NULL),
    SIZED(snapshot_options, TAKES, snapshot_options, NULL),
    SIZED(space_vtable, TAKES, space_vtable, fill_space_vtable),
    SIZED(store_vtable, TAKES, store_vtable, fill_store_vtable),
    SIZED(verify_result, FILLS, verify_result, NULL),
    SIZED(volume_options, TAKES, volume_options, NULL),
    SIZED(volume_options, TAKES, unlock_options, NULL),
    SIZED(wrapped_dek, FILLS, wrapped_dek, NULL),
};
struct envol_volume *sized_volume(void)
{
    return s.f.volume;
}
