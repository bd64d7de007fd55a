/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of a transaction log: their headers, and keys that come and go with the keyring's. */
#include "page/log_run.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/kdf.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/sized.h"
#include "page/derive.h"
#include "page/revoke.h"

#include <string.h>

#define MAGIC      "ENVOLLOG"
#define LABEL      "ENVOLLG1"
#define ROOT_BYTES 64u

/* What a run header expands into. */
struct expanded {
    uint8_t key[32];
    uint8_t base[12];
    uint8_t commitment[ENVOL_LOG_COMMITMENT_BYTES];
};
_Static_assert(sizeof(struct expanded) == 76, "bytes of HKDF's output, no gaps");

static void expand(const struct envol_log_run *run, const struct envol_epoch_keys *keys,
                   struct expanded *out)
{
    uint8_t root[ROOT_BYTES];
    const struct envol_part info[] = {{LABEL, 8}, {run->header, ENVOL_LOG_AT_COMMITMENT}};

    envol_derive(keys->dek,
                 &(const struct envol_derivation){.purpose = ENVOL_PURPOSE_LOG_ROOT,
                                                  .uuid = run->keyring->uuid,
                                                  .suite = run->keyring->suite,
                                                  .epoch = run->epoch},
                 root, sizeof(root));
    envol_hkdf_expand(root, sizeof(root), info, 2, out, sizeof(*out));
    envol_wipe(root, sizeof(root));
}

/* Keys of a header that is sealed (its commitment is written) or checked. */
static enum envol_status fill(struct envol_log_run *run, bool seal)
{
    const struct envol_epoch_keys *keys = envol_keyring_find(run->keyring, run->epoch);
    uint8_t *commitment = run->header + ENVOL_LOG_AT_COMMITMENT;
    struct expanded expanded;
    enum envol_status status = ENVOL_OK;

    if (keys == NULL)
        return ENVOL_E_STALE;
    expand(run, keys, &expanded);
    if (seal)
        memcpy(commitment, expanded.commitment, sizeof(expanded.commitment));
    else if (!envol_equal(commitment, expanded.commitment, sizeof(expanded.commitment)))
        status = ENVOL_E_CORRUPT;
    if (status == ENVOL_OK)
        status = run->keyring->kernel->gcm_init(run->keys->gcm_key, expanded.key);
    if (status == ENVOL_OK)
        memcpy(run->keys->base, expanded.base, sizeof(expanded.base));
    envol_wipe(&expanded, sizeof(expanded));
    return status;
}

/* The keyring's keys came back, or are others now. */
static void refill(void *owner)
{
    struct envol_log_run *run = owner;

    run->state = fill(run, false);
    if (run->state == ENVOL_E_CORRUPT)
        run->state = ENVOL_E_WRONG_KEY; /* the header is as it was */
    if (run->state != ENVOL_OK)
        envol_wipe(run->keys, run->tenant.key_bytes);
}

static enum envol_status make(const struct envol_keyring *keyring, uint32_t window,
                              struct envol_log_run **run)
{
    struct envol_log_run *made =
        envol_alloc(sizeof(*made) + window * sizeof(made->next[0]), _Alignof(struct envol_log_run));
    size_t bytes = sizeof(struct envol_log_keys) + keyring->kernel->gcm_key_bytes;
    void *memory;
    enum envol_status status;

    if (made == NULL)
        return ENVOL_E_NO_MEMORY;
    status = envol_arena_alloc(bytes, keyring->flags, &memory);
    if (status != ENVOL_OK) {
        envol_free(made);
        return status;
    }
    made->keyring = keyring;
    made->keys = memory;
    made->tenant.key_bytes = bytes;
    for (uint32_t i = 0; i < window; i++)
        made->next[i] = i;
    *run = made;
    return ENVOL_OK;
}

/* The keyring's keys are held until the run's can be found to be wiped. */
static enum envol_status settle(struct envol_log_run *run, bool seal)
{
    enum envol_status status = fill(run, seal);

    if (status != ENVOL_OK)
        return status;
    run->tenant.owner = run;
    run->tenant.fill = refill;
    run->tenant.keys = (uint8_t *)run->keys;
    envol_tenant_add(run->keyring, &run->tenant);
    return ENVOL_OK;
}

static void write_header(struct envol_log_run *run, const struct envol_log_run_params *params,
                         const uint8_t salt[ENVOL_LOG_SALT_BYTES])
{
    uint8_t *header = run->header;

    run->epoch = run->keyring->epoch;
    run->start_lsn = params->start_lsn;
    memcpy(header, MAGIC, 8);
    memcpy(header + ENVOL_LOG_AT_UUID, run->keyring->uuid, ENVOL_UUID_BYTES);
    memcpy(header + ENVOL_LOG_AT_ID, params->log_id, ENVOL_LOG_ID_BYTES);
    envol_store64(header + ENVOL_LOG_AT_RUN, params->run);
    envol_store64(header + ENVOL_LOG_AT_START, params->start_lsn);
    envol_store32(header + ENVOL_LOG_AT_EPOCH, run->epoch);
    memcpy(header + ENVOL_LOG_AT_SALT, salt, ENVOL_LOG_SALT_BYTES);
    memcpy(header + ENVOL_LOG_AT_PREVIOUS, params->previous_tag, ENVOL_LOG_TAG_BYTES);
}

static enum envol_status begin(const struct envol_keyring *keyring,
                               const struct envol_log_run_params *params,
                               struct envol_log_run **run)
{
    uint8_t salt[ENVOL_LOG_SALT_BYTES];
    struct envol_log_run *made = NULL;
    enum envol_status status = envol_keyring_check(keyring);

    if (status == ENVOL_OK)
        status = envol_random(salt, sizeof(salt));
    if (status == ENVOL_OK)
        status = make(keyring, ENVOL_LOG_WINDOW, &made);
    if (status == ENVOL_OK)
        status = envol_keyring_hold(keyring, NULL);
    if (status == ENVOL_OK) {
        made->generation = envol_process_generation();
        write_header(made, params, salt);
        status = settle(made, true);
        envol_keyring_release(keyring, NULL);
    }
    if (status != ENVOL_OK) {
        envol_log_run_close(made);
        return status;
    }
    *run = made;
    return ENVOL_OK;
}

enum envol_status envol_log_run_begin(const struct envol_keyring *keyring,
                                      const struct envol_log_run_params *params, void *header,
                                      struct envol_log_run **run)
{
    struct envol_log_run_params whole;
    enum envol_status status = ENVOL_E_ARGUMENT;

    if (run != NULL)
        *run = NULL;
    if (header != NULL)
        memset(header, 0, ENVOL_LOG_RUN_HEADER_BYTES);
    if (run != NULL && header != NULL && keyring != NULL &&
        ENVOL_TAKE(log_run_params, params, &whole) && whole.run > 0 && whole.start_lsn > 0)
        status = begin(keyring, &whole, run);
    if (status == ENVOL_OK)
        memcpy(header, (*run)->header, ENVOL_LOG_RUN_HEADER_BYTES);
    return status;
}

enum envol_status envol_log_run_peek(const void *header, struct envol_log_run_info *info)
{
    const uint8_t *bytes = header;
    struct envol_log_run_info whole = {0};

    if (!ENVOL_FITS(log_run_info, info))
        return ENVOL_E_ARGUMENT;
    envol_sized_clear(info);
    if (header == NULL)
        return ENVOL_E_ARGUMENT;
    if (memcmp(bytes, MAGIC, 8) != 0)
        return ENVOL_E_FORMAT;
    memcpy(whole.uuid, bytes + ENVOL_LOG_AT_UUID, ENVOL_UUID_BYTES);
    memcpy(whole.log_id, bytes + ENVOL_LOG_AT_ID, ENVOL_LOG_ID_BYTES);
    whole.run = envol_load64(bytes + ENVOL_LOG_AT_RUN);
    whole.start_lsn = envol_load64(bytes + ENVOL_LOG_AT_START);
    whole.epoch = envol_load32(bytes + ENVOL_LOG_AT_EPOCH);
    memcpy(whole.previous_tag, bytes + ENVOL_LOG_AT_PREVIOUS, ENVOL_LOG_TAG_BYTES);
    memcpy(whole.tag, bytes + ENVOL_LOG_AT_COMMITMENT, ENVOL_LOG_TAG_BYTES);
    ENVOL_GIVE(log_run_info, info, &whole);
    if (whole.run == 0 || whole.start_lsn == 0 || whole.epoch == 0 ||
        envol_load32(bytes + ENVOL_LOG_AT_SPARE_32) != 0 ||
        envol_load64(bytes + ENVOL_LOG_AT_SPARE) != 0)
        return ENVOL_E_CORRUPT;
    return ENVOL_OK;
}

static bool is_expected(const struct envol_log_run_info *info,
                        const struct envol_log_run_params *expected)
{
    return expected == NULL ||
           (info->run == expected->run && info->start_lsn == expected->start_lsn &&
            memcmp(info->log_id, expected->log_id, ENVOL_LOG_ID_BYTES) == 0 &&
            memcmp(info->previous_tag, expected->previous_tag, ENVOL_LOG_TAG_BYTES) == 0);
}

/* Under the keyring's hold. */
static enum envol_status open_run(struct envol_log_run *run, const struct envol_log_run_info *info,
                                  const void *header)
{
    const struct envol_epoch_keys *keys;
    enum envol_status status = envol_keyring_lookup(run->keyring, info->epoch, &keys);

    if (status != ENVOL_OK)
        return status;
    run->epoch = info->epoch;
    run->start_lsn = info->start_lsn;
    memcpy(run->header, header, ENVOL_LOG_RUN_HEADER_BYTES);
    return settle(run, false);
}

enum envol_status envol_log_run_open(const struct envol_keyring *keyring, const void *header,
                                     const struct envol_log_run_params *expected,
                                     struct envol_log_run **run)
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    struct envol_log_run_params whole;
    struct envol_log_run *made = NULL;
    enum envol_status status;

    if (run == NULL)
        return ENVOL_E_ARGUMENT;
    *run = NULL;
    if (keyring == NULL || header == NULL || !ENVOL_TAKE(log_run_params, expected, &whole))
        return ENVOL_E_ARGUMENT;
    status = envol_keyring_check(keyring);
    if (status == ENVOL_OK)
        status = envol_log_run_peek(header, &info);
    if (status == ENVOL_OK && (!is_expected(&info, expected == NULL ? NULL : &whole) ||
                               memcmp(info.uuid, keyring->uuid, ENVOL_UUID_BYTES) != 0))
        status = ENVOL_E_CORRUPT;
    if (status == ENVOL_OK)
        status = make(keyring, 0, &made);
    if (status == ENVOL_OK)
        status = envol_keyring_hold(keyring, NULL);
    if (status == ENVOL_OK) {
        status = open_run(made, &info, header);
        envol_keyring_release(keyring, NULL);
    }
    if (status != ENVOL_OK) {
        envol_log_run_close(made);
        return status;
    }
    *run = made;
    return ENVOL_OK;
}

void envol_log_run_close(struct envol_log_run *run)
{
    if (run == NULL)
        return;
    envol_tenant_remove(&run->tenant);
    envol_arena_free(run->keys, run->tenant.key_bytes);
    envol_free(run);
}
