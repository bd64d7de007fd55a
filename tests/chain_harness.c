/* SPDX-License-Identifier: BSD-2-Clause */
/* A chain of three entries, changed, and read as one who follows it and one who appends do. */
#include "chain_harness.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "input_changes.h"
#include "page_oracle.h"
#include "volume/chain.h"

#include <envol/store.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Of the payloads, and of what the MAC takes in of them. */
static const size_t lengths[CHAIN_HARNESS_ENTRIES] = {0, 20, 100};
static const uint32_t covered[CHAIN_HARNESS_ENTRIES] = {0, 20, 32};
enum { ROOM = 64, HEAD = ENVOL_CHAIN_HEAD_BYTES, EPOCH = 3 };

static const uint8_t id[ENVOL_UUID_BYTES] = "chain of entries";

static void must(int holds)
{
    if (!holds)
        abort();
}

static struct oracle oracle(void)
{
    return (struct oracle){.suite = ORACLE_GCM, .epoch = EPOCH, .dek = {1}};
}

static struct envol_keyring *make_keyring(void)
{
    struct oracle o = oracle();
    const struct envol_keyring_params params = {.uuid = o.uuid,
                                                .suite = ENVOL_SUITE_AES_256_GCM,
                                                .page_bytes = 4096,
                                                .stride_bytes = 4144,
                                                .epoch = EPOCH,
                                                .lowest = EPOCH};
    struct envol_keyring *keyring;

    must(envol_keyring_make(&params, o.dek, &keyring) == ENVOL_OK);
    return keyring;
}

/* --- Files --- */

/* What is covered is in a buffer of exactly ROOM bytes, so that tools see an access beyond. */
static struct envol_chain begin(struct envol_store *store, const struct envol_keyring *keyring)
{
    uint8_t *room = malloc(ROOM);
    struct envol_chain chain;

    must(room != NULL);
    must(envol_chain_begin(&chain, store, keyring, id, room, ROOM, NULL) == ENVOL_OK);
    return chain;
}

static enum envol_status append(struct envol_chain *chain, size_t bytes, uint32_t cover)
{
    uint8_t entry[HEAD + 112];

    memset(entry, 0x5a, sizeof(entry));
    return envol_chain_append(chain, 1, EPOCH, entry, bytes, cover, NULL);
}

static struct envol_store *make_honest(const struct envol_keyring *keyring)
{
    struct envol_store *store;
    struct envol_chain chain;

    must(envol_memory_store_open(&store) == ENVOL_OK);
    chain = begin(store, keyring);
    for (size_t i = 0; i < CHAIN_HARNESS_ENTRIES; i++)
        must(append(&chain, lengths[i], covered[i]) == ENVOL_OK);
    must(chain.end == CHAIN_HARNESS_BYTES);
    free(chain.covered);
    return store;
}

/* As whoever has the key would: in the order of the file, as far as lengths lead. */
static void make_macs(uint8_t *file, size_t bytes)
{
    struct oracle o = oracle();
    uint8_t key[32], previous[ENVOL_CHAIN_MAC_BYTES] = {0}, full[64];

    oracle_key(&o, "snapshot", id, 0, key, sizeof(key));
    for (size_t at = 0; at + HEAD <= bytes;) {
        uint8_t *head = file + at;
        uint64_t payload = envol_load64(head + 32), left = bytes - at - HEAD;
        uint32_t cover = envol_load32(head + 52);
        crypto_auth_hmacsha512_state state;

        memcpy(head, "ENVOLCHN", 8);
        memcpy(head + 8, id, sizeof(id));
        if (payload <= left)
            envol_store32(head + 48, envol_crc32c(0, head + HEAD, (size_t)payload));
        crypto_auth_hmacsha512_init(&state, key, sizeof(key));
        crypto_auth_hmacsha512_update(&state, head, 64);
        crypto_auth_hmacsha512_update(&state, previous, sizeof(previous));
        crypto_auth_hmacsha512_update(&state, head + HEAD, cover < left ? cover : left);
        crypto_auth_hmacsha512_final(&state, full);
        memcpy(head + 64, full, sizeof(previous));
        memcpy(previous, full, sizeof(previous));
        if (payload > left)
            break;
        at += (size_t)envol_chain_bytes(payload);
    }
}

/* The input's file: its bytes, which the caller frees. */
static uint8_t *make_file(const uint8_t *honest, const uint8_t *input, size_t input_bytes,
                          size_t *bytes)
{
    uint8_t mode = input_bytes > 0 ? input[0] : 0, *file;
    size_t cut = SIZE_MAX;

    input += input_bytes > 0;
    input_bytes -= input_bytes > 0;
    if ((mode & CHAIN_HARNESS_CUT) != 0 && input_bytes >= 2) {
        input_bytes -= 2;
        cut = envol_load16(input + input_bytes);
    }
    *bytes = (mode & CHAIN_HARNESS_FILE) != 0 ? input_bytes : CHAIN_HARNESS_BYTES;
    file = malloc(*bytes + 1);
    must(file != NULL);
    if ((mode & CHAIN_HARNESS_FILE) != 0) {
        if (input_bytes > 0)
            memcpy(file, input, input_bytes);
    } else {
        memcpy(file, honest, CHAIN_HARNESS_BYTES);
        input_changes(file, *bytes, input, input_bytes);
    }
    if ((mode & CHAIN_HARNESS_MACS) != 0)
        make_macs(file, *bytes);
    *bytes = cut < *bytes ? cut : *bytes;
    return file;
}

/* --- Reading --- */

static void check_entry(const struct envol_chain *chain, const struct envol_chain_entry *entry,
                        uint64_t before, size_t size)
{
    must(entry->kind != 0 && entry->sequence == chain->entries && chain->last == before);
    must(entry->at == before + HEAD && chain->end == before + envol_chain_bytes(entry->bytes));
    must(chain->end > before && chain->end <= size);
    must(entry->covered <= entry->bytes && entry->covered <= ROOM);
}

/* To where it ends; the status there stays the same, and is told without moving the chain. */
static enum envol_status read_on(struct envol_chain *chain, size_t size)
{
    struct envol_chain_entry entry;
    enum envol_status status;
    uint64_t before;

    for (;;) {
        before = chain->end;
        status = envol_chain_next(chain, &entry, NULL);
        if (status != ENVOL_OK)
            break;
        check_entry(chain, &entry, before, size);
    }
    must(status == ENVOL_E_RANGE || status == ENVOL_E_CORRUPT);
    must(chain->end == before && entry.kind == 0);
    must(envol_chain_next(chain, &entry, NULL) == status);
    return status;
}

/* Nothing that was read is lost, and what is appended is read. */
static void go_on(struct envol_chain *chain)
{
    struct envol_chain again;
    uint64_t entries = chain->entries, size;

    must(envol_chain_settle(chain, NULL) == ENVOL_OK);
    must(envol_store_size(chain->store, &size, NULL) == ENVOL_OK && size == chain->end);
    must(append(chain, 100, 32) == ENVOL_OK && chain->entries == entries + 1);
    again = begin(chain->store, chain->keyring);
    must(read_on(&again, (size_t)chain->end) == ENVOL_E_RANGE);
    must(again.entries == entries + 1 && again.end == chain->end);
    free(again.covered);
}

int chain_harness(const uint8_t *input, size_t input_bytes)
{
    struct envol_keyring *keyring = make_keyring();
    struct envol_store *store = make_honest(keyring);
    uint8_t honest[CHAIN_HARNESS_BYTES], *file;
    struct envol_chain chain;
    enum envol_status status;
    size_t bytes;
    int count;

    must(envol_store_read_full(store, 0, honest, sizeof(honest), NULL) == ENVOL_OK);
    file = make_file(honest, input, input_bytes, &bytes);
    must(envol_store_resize(store, 0, NULL) == ENVOL_OK);
    must(bytes == 0 || envol_store_write(store, 0, file, bytes, NULL) == ENVOL_OK);
    chain = begin(store, keyring);
    status = read_on(&chain, bytes);
    count = status == ENVOL_E_CORRUPT ? -1 - (int)chain.entries : (int)chain.entries;
    if (status == ENVOL_E_RANGE)
        go_on(&chain);
    free(chain.covered);
    free(file);
    envol_store_close(store);
    envol_keyring_close(keyring);
    return count;
}
