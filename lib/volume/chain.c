/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of entries, each under a MAC that takes in the one before: see chain.h for the bytes. */
#include "volume/chain.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/kdf.h"
#include "base/memory.h"
#include "page/derive.h"
#include "page/revoke.h"

#include <inttypes.h>
#include <string.h>

#define MAGIC       "ENVOLCHN"
#define AT_ID       8u
#define AT_KIND     24u
#define AT_EPOCH    28u
#define AT_BYTES    32u
#define AT_SEQUENCE 40u
#define AT_CRC      48u
#define AT_COVERED  52u
#define AT_ZERO     56u
#define AT_MAC      64u

/* What is read at a time, for a CRC or a search. */
#define PIECE_BYTES 65536u

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + ENVOL_CHAIN_ALIGN - 1) / ENVOL_CHAIN_ALIGN * ENVOL_CHAIN_ALIGN;
}

uint64_t envol_chain_bytes(uint64_t payload_bytes)
{
    return ENVOL_CHAIN_HEAD_BYTES + round_up(payload_bytes);
}

enum envol_status envol_chain_begin(struct envol_chain *chain, struct envol_store *store,
                                    const struct envol_keyring *keyring,
                                    const uint8_t id[ENVOL_UUID_BYTES], void *covered,
                                    size_t covered_bytes, struct envol_error *error)
{
    *chain = (struct envol_chain){
        .store = store, .keyring = keyring, .covered = covered, .covered_bytes = covered_bytes};
    memcpy(chain->id, id, ENVOL_UUID_BYTES);
    if (store->alignment_bytes <= ENVOL_CHAIN_ALIGN)
        return ENVOL_OK;
    return envol_fail(error, ENVOL_E_UNSUPPORTED,
                      "a space whose stores are aligned to %" PRIu32 " bytes, not to %u",
                      store->alignment_bytes, ENVOL_CHAIN_ALIGN);
}

/* --- Heads --- */

/* Of a head but for its MAC.  ENVOL_E_CORRUPT: the keyring lacks the epoch. */
static enum envol_status compute_mac(const struct envol_chain *chain, const uint8_t *head,
                                     const uint8_t *covered, uint8_t mac[ENVOL_CHAIN_MAC_BYTES])
{
    const struct envol_part parts[] = {{head, AT_MAC},
                                       {chain->mac, sizeof(chain->mac)},
                                       {covered, envol_load32(head + AT_COVERED)}};
    uint32_t epoch = envol_load32(head + AT_EPOCH);
    const struct envol_keyring *keyring = chain->keyring;
    const struct envol_epoch_keys *keys;
    uint8_t key[32], full[64];
    enum envol_status status = envol_keyring_hold(keyring, NULL);

    if (status != ENVOL_OK)
        return status;
    keys = envol_keyring_find(keyring, epoch);
    if (keys != NULL)
        envol_derive(keys->dek,
                     &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_SNAPSHOT,
                                                      .uuid = keyring->uuid,
                                                      .object = chain->id,
                                                      .suite = keyring->suite,
                                                      .epoch = epoch},
                     key, sizeof(key));
    envol_keyring_release(keyring, NULL);
    if (keys == NULL)
        return ENVOL_E_CORRUPT;
    envol_hmac_sha512(key, sizeof(key), parts, 3, full);
    memcpy(mac, full, ENVOL_CHAIN_MAC_BYTES);
    envol_wipe(key, sizeof(key));
    envol_wipe(full, sizeof(full));
    return ENVOL_OK;
}

/* Whether the bytes could be the head of entry number sequence: no key is needed for that. */
static bool is_plausible(const struct envol_chain *chain, const uint8_t *head)
{
    return memcmp(head, MAGIC, 8) == 0 && memcmp(head + AT_ID, chain->id, ENVOL_UUID_BYTES) == 0 &&
           envol_load32(head + AT_KIND) != 0 && envol_load32(head + AT_EPOCH) != 0 &&
           envol_load64(head + AT_BYTES) <= ENVOL_CHAIN_PAYLOAD_MAX &&
           envol_load32(head + AT_COVERED) <= ENVOL_CHAIN_COVERED_MAX &&
           envol_load32(head + AT_COVERED) <= envol_load64(head + AT_BYTES) &&
           envol_is_zero(head + AT_ZERO, AT_MAC - AT_ZERO);
}

/* ENVOL_E_CORRUPT: no entry that could stand here. */
static enum envol_status verify(const struct envol_chain *chain, const uint8_t *head,
                                struct envol_error *error)
{
    uint8_t mac[ENVOL_CHAIN_MAC_BYTES];
    uint32_t covered = envol_load32(head + AT_COVERED);
    size_t got;
    enum envol_status status;

    if (!is_plausible(chain, head) || envol_load64(head + AT_SEQUENCE) != chain->entries + 1 ||
        round_up(covered) > chain->covered_bytes)
        return ENVOL_E_CORRUPT;
    status = envol_store_read(chain->store, chain->end + ENVOL_CHAIN_HEAD_BYTES, chain->covered,
                              (size_t)round_up(covered), &got, error);
    if (status != ENVOL_OK)
        return status;
    status = compute_mac(chain, head, chain->covered, mac);
    if (status == ENVOL_OK && !envol_equal(mac, head + AT_MAC, sizeof(mac)))
        return ENVOL_E_CORRUPT;
    return status == ENVOL_OK || status == ENVOL_E_CORRUPT ? status
                                                           : envol_fail(error, status, NULL);
}

/* --- Reading --- */

static enum envol_status check_payload(const struct envol_chain *chain,
                                       const struct envol_chain_entry *entry, uint32_t expected,
                                       struct envol_error *error)
{
    uint8_t *piece = envol_alloc(PIECE_BYTES, ENVOL_CHAIN_ALIGN);
    uint32_t crc = 0;
    enum envol_status status = ENVOL_OK;

    if (piece == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    for (uint64_t done = 0; status == ENVOL_OK && done < entry->bytes; done += PIECE_BYTES) {
        uint64_t left = entry->bytes - done;
        size_t got, want = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        status =
            envol_store_read(chain->store, entry->at + done, piece, round_up(want), &got, error);
        crc = envol_crc32c(crc, piece, want);
    }
    envol_free(piece);
    if (status == ENVOL_OK && crc != expected)
        status = ENVOL_E_RANGE;
    return status;
}

/* Whether a later entry lies behind one that is not sound: then it was no crash that tore it. */
static enum envol_status search(const struct envol_chain *chain, uint64_t size, bool *found,
                                struct envol_error *error)
{
    const uint32_t step = PIECE_BYTES - AT_MAC; /* heads that lie across two pieces are in one */
    uint8_t *piece = envol_alloc(PIECE_BYTES, ENVOL_CHAIN_ALIGN);
    enum envol_status status = ENVOL_OK;

    *found = false;
    if (piece == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    for (uint64_t at = chain->end + ENVOL_CHAIN_ALIGN; status == ENVOL_OK && at < size && !*found;
         at += step) {
        size_t got;
        status = envol_store_read(chain->store, at, piece, PIECE_BYTES, &got, error);
        for (size_t i = 0; status == ENVOL_OK && i + AT_MAC <= PIECE_BYTES && !*found;
             i += ENVOL_CHAIN_ALIGN)
            *found = is_plausible(chain, piece + i) &&
                     envol_load64(piece + i + AT_SEQUENCE) > chain->entries + 1;
    }
    envol_free(piece);
    return status;
}

/* What is at the end, if it is an entry and all of it is there. */
static enum envol_status look(const struct envol_chain *chain, uint64_t size, uint8_t *head,
                              struct envol_chain_entry *entry, struct envol_error *error)
{
    uint64_t end;
    size_t got;
    enum envol_status status =
        envol_store_read(chain->store, chain->end, head, ENVOL_CHAIN_HEAD_BYTES, &got, error);

    if (status != ENVOL_OK)
        return status;
    status = verify(chain, head, error);
    if (status != ENVOL_OK)
        return status == ENVOL_E_CORRUPT ? ENVOL_E_RANGE : status;
    *entry = (struct envol_chain_entry){
        .kind = envol_load32(head + AT_KIND),
        .epoch = envol_load32(head + AT_EPOCH),
        .sequence = envol_load64(head + AT_SEQUENCE),
        .at = chain->end + ENVOL_CHAIN_HEAD_BYTES,
        .bytes = envol_load64(head + AT_BYTES),
        .covered = envol_load32(head + AT_COVERED),
    };
    end = chain->end + envol_chain_bytes(entry->bytes);
    if (end > size)
        return ENVOL_E_RANGE;
    return end == size ? check_payload(chain, entry, envol_load32(head + AT_CRC), error) : ENVOL_OK;
}

/* A writer elsewhere may have completed the entry, and appended more, since it was looked at. */
static enum envol_status look_again(struct envol_chain *chain, uint64_t size, uint8_t *head,
                                    struct envol_chain_entry *entry, struct envol_error *error)
{
    bool found = false;
    enum envol_status status = ENVOL_OK;

    if (chain->searched != size)
        status = search(chain, size, &found, error);
    if (status != ENVOL_OK)
        return status;
    if (!found) {
        chain->searched = size; /* whoever follows a writer looks often */
        return ENVOL_E_RANGE;
    }
    status = envol_store_size(chain->store, &size, error);
    if (status == ENVOL_OK)
        status = look(chain, size, head, entry, error);
    if (status == ENVOL_E_RANGE)
        status =
            envol_fail(error, ENVOL_E_CORRUPT, "entry %" PRIu64 " is damaged, and others follow it",
                       chain->entries + 1);
    return status;
}

enum envol_status envol_chain_next(struct envol_chain *chain, struct envol_chain_entry *entry,
                                   struct envol_error *error)
{
    uint8_t head[ENVOL_CHAIN_HEAD_BYTES];
    uint64_t size;
    enum envol_status status = envol_store_size(chain->store, &size, error);

    *entry = (struct envol_chain_entry){.kind = 0};
    if (status != ENVOL_OK)
        return status;
    if (size <= chain->end)
        return ENVOL_E_RANGE;
    status = look(chain, size, head, entry, error);
    if (status == ENVOL_E_RANGE)
        status = look_again(chain, size, head, entry, error);
    if (status != ENVOL_OK) {
        *entry = (struct envol_chain_entry){.kind = 0};
        return status;
    }
    memcpy(chain->mac, head + AT_MAC, sizeof(chain->mac));
    chain->entries++;
    chain->last = chain->end;
    chain->end += envol_chain_bytes(entry->bytes);
    return ENVOL_OK;
}

/* --- Writing --- */

static enum envol_status cut(struct envol_chain *chain, struct envol_error *error)
{
    uint64_t size;
    enum envol_status status = envol_store_size(chain->store, &size, error);

    if (status == ENVOL_OK && size > chain->end)
        status = envol_store_resize(chain->store, chain->end, error);
    return status;
}

static enum envol_status sync_store(struct envol_chain *chain, struct envol_error *error)
{
    enum envol_status status = envol_store_sync(chain->store, error);

    if (status != ENVOL_OK)
        chain->failed = true;
    return status;
}

/*
 * What an append that failed left is off the disk before another entry is written in its place: the
 * file's size tells a reader whether an entry is the last one, which alone can be torn.
 */
static enum envol_status settle_cut(struct envol_chain *chain, struct envol_error *error)
{
    enum envol_status status = cut(chain, error);

    if (status == ENVOL_OK)
        status = sync_store(chain, error);
    chain->cut_due = status != ENVOL_OK;
    return status;
}

/* Piece by piece: bytes that are there are not changed by it, whatever a crash makes of that. */
static enum envol_status rewrite_last(struct envol_chain *chain, struct envol_error *error)
{
    uint8_t *piece = envol_alloc(PIECE_BYTES, ENVOL_CHAIN_ALIGN);
    enum envol_status status = ENVOL_OK;

    if (piece == NULL)
        return envol_fail(error, ENVOL_E_NO_MEMORY, NULL);
    for (uint64_t at = chain->last; status == ENVOL_OK && at < chain->end; at += PIECE_BYTES) {
        uint64_t left = chain->end - at;
        size_t bytes = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        status = envol_store_read_full(chain->store, at, piece, bytes, error);
        if (status == ENVOL_OK)
            status = envol_store_write(chain->store, at, piece, bytes, error);
    }
    envol_free(piece);
    return status;
}

enum envol_status envol_chain_settle(struct envol_chain *chain, struct envol_error *error)
{
    enum envol_status status = cut(chain, error);

    if (status == ENVOL_OK)
        status = rewrite_last(chain, error);
    return status == ENVOL_OK ? sync_store(chain, error) : status;
}

static enum envol_status seal(const struct envol_chain *chain, uint32_t kind, uint32_t epoch,
                              uint8_t *bytes, uint64_t payload_bytes, uint32_t covered)
{
    uint64_t used = ENVOL_CHAIN_HEAD_BYTES + payload_bytes;

    memset(bytes, 0, ENVOL_CHAIN_HEAD_BYTES);
    memset(bytes + used, 0, (size_t)(envol_chain_bytes(payload_bytes) - used));
    memcpy(bytes, MAGIC, 8);
    memcpy(bytes + AT_ID, chain->id, ENVOL_UUID_BYTES);
    envol_store32(bytes + AT_KIND, kind);
    envol_store32(bytes + AT_EPOCH, epoch);
    envol_store64(bytes + AT_BYTES, payload_bytes);
    envol_store64(bytes + AT_SEQUENCE, chain->entries + 1);
    envol_store32(bytes + AT_CRC,
                  envol_crc32c(0, bytes + ENVOL_CHAIN_HEAD_BYTES, (size_t)payload_bytes));
    envol_store32(bytes + AT_COVERED, covered);
    return compute_mac(chain, bytes, bytes + ENVOL_CHAIN_HEAD_BYTES, bytes + AT_MAC);
}

/* What a crash or a failing sync would leave of it is as the caller says. */
static void advance(struct envol_chain *chain, const uint8_t *bytes, uint64_t payload_bytes)
{
    memcpy(chain->mac, bytes + AT_MAC, sizeof(chain->mac));
    chain->entries++;
    chain->last = chain->end;
    chain->end += envol_chain_bytes(payload_bytes);
}

/* Seals an entry and writes it behind the others. */
static enum envol_status write_entry(struct envol_chain *chain, uint32_t kind, uint32_t epoch,
                                     uint8_t *bytes, uint64_t payload_bytes, uint32_t covered,
                                     struct envol_error *error)
{
    enum envol_status status = ENVOL_OK;

    if (chain->failed)
        return envol_fail(error, ENVOL_E_IO,
                          "an earlier sync failed: open the volume again to see what is there");
    if (chain->cut_due)
        status = settle_cut(chain, error);
    if (status != ENVOL_OK)
        return status;
    status = seal(chain, kind, epoch, bytes, payload_bytes, covered);
    if (status != ENVOL_OK)
        return envol_fail(error, status, NULL);
    status = envol_store_write(chain->store, chain->end, bytes,
                               (size_t)envol_chain_bytes(payload_bytes), error);
    if (status != ENVOL_OK) {
        chain->cut_due = true;
        (void)cut(chain, NULL); /* its space is free at once; the sync can wait */
    }
    return status;
}

enum envol_status envol_chain_add(struct envol_chain *chain, uint32_t kind, uint32_t epoch,
                                  uint8_t *bytes, uint64_t payload_bytes, uint32_t covered,
                                  struct envol_error *error)
{
    enum envol_status status =
        write_entry(chain, kind, epoch, bytes, payload_bytes, covered, error);

    if (status == ENVOL_OK)
        advance(chain, bytes, payload_bytes);
    return status;
}

enum envol_status envol_chain_append(struct envol_chain *chain, uint32_t kind, uint32_t epoch,
                                     uint8_t *bytes, uint64_t payload_bytes, uint32_t covered,
                                     struct envol_error *error)
{
    enum envol_status status =
        write_entry(chain, kind, epoch, bytes, payload_bytes, covered, error);

    if (status == ENVOL_OK)
        status = sync_store(chain, error);
    if (status == ENVOL_OK)
        advance(chain, bytes, payload_bytes);
    return status;
}
