/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lanes: where one thread keeps derived keys between calls, and where nonces come from.
 *
 * Nonce rules (envol(5), NONCES).  N[0..12) is a salt drawn by the lane and kept for at most 2^20
 * records; N[12..24) is drawn at each call, and record i of the call adds i to it.  So no counter
 * and no unused random byte survives a call, and a forked or copied process has none to repeat.
 */
#ifndef ENVOL_PAGE_LANE_H
#define ENVOL_PAGE_LANE_H

#include "page/revoke.h"

/* Records under one salt.  With 96 random bits for each call, two records under one salt share a
 * nonce with probability below 2^40 / 2^97 = 2^-57 (birthday bound over 2^20 calls). */
#define ENVOL_SALT_RECORDS_MAX (UINT32_C(1) << 20)

/* Room on a stack for an expanded key when there is no lane: wiped by envol_scratch_wipe. */
struct envol_scratch {
    _Alignas(64) uint8_t key[ENVOL_AES_KEY_MAX];
};
void envol_scratch_wipe(const struct envol_lane *lane, struct envol_scratch *scratch);

/* Key and first nonce for up to `records` seals. */
struct envol_seal_key {
    const void *gcm_key;
    uint8_t nonce[ENVOL_XAES_NONCE_BYTES];
    size_t records; /* how many it may serve, at least 1 */
};

/* One draw from the kernel.  lane may be NULL (the key then lies in scratch).  ENVOL_E_RANDOM. */
enum envol_status envol_lane_seal_key(const struct envol_keyring *keyring, struct envol_lane *lane,
                                      enum envol_gcm_use use, size_t records,
                                      struct envol_scratch *scratch, struct envol_seal_key *key);

/* The nonce of record i: the last 12 bytes, big-endian, plus i (mod 2^96). */
void envol_nonce_add(const uint8_t nonce[ENVOL_XAES_NONCE_BYTES], uint32_t i,
                     uint8_t out[ENVOL_XAES_NONCE_BYTES]);

/* Expanded key of a salt that a record names. */
enum envol_status envol_lane_open_key(const struct envol_keyring *keyring, struct envol_lane *lane,
                                      enum envol_gcm_use use, uint32_t epoch,
                                      const struct envol_epoch_keys *keys, const uint8_t salt[12],
                                      struct envol_scratch *scratch, const void **gcm_key);

/* Expanded XTS key of an object's segment. */
enum envol_status envol_lane_xts_key(const struct envol_object *object, struct envol_lane *lane,
                                     uint32_t epoch, uint64_t segment,
                                     struct envol_scratch *scratch, const void **xts_key);

/*
 * May this process use the object, and the lane (NULL is fine) with it?  Drops keys of a parent's,
 * and from before a revocation.  The keyring's keys are held until envol_lane_leave, which must not
 * follow a failure.
 */
enum envol_status envol_lane_enter(const struct envol_object *object, struct envol_lane *lane);
void envol_lane_leave(const struct envol_object *object, struct envol_lane *lane);

/* Counts records sealed. */
void envol_lane_count(const struct envol_keyring *keyring, struct envol_lane *lane, size_t records);

#endif
