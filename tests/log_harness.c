/* SPDX-License-Identifier: BSD-2-Clause */
/* A run of three records, changed, and read as an engine would that trusts nothing. */
#include "log_harness.h"

#include "base/bytes.h"
#include "log_oracle.h"
#include "page/keyring.h"

#include <envol/log.h>
#include <stdlib.h>
#include <string.h>

/* Records of 0, 8 and 100 bytes. */
static const size_t lengths[LOG_HARNESS_RECORDS] = {0, 8, 100};
enum { HEADER = ENVOL_LOG_RUN_HEADER_BYTES, FILE_BYTES = HEADER + 48 + 48 + 144 };

static uint8_t honest[FILE_BYTES];
static struct log_oracle keys;
static struct envol_keyring *keyring;

static void must(int holds)
{
    if (!holds)
        abort();
}

static void make_honest(void)
{
    static const uint8_t data[100] = "no more than what it takes";
    struct oracle o = {.suite = ORACLE_GCM, .epoch = 3};
    const struct envol_keyring_params params = {.uuid = o.uuid,
                                                .suite = ENVOL_SUITE_AES_256_GCM,
                                                .page_bytes = 4096,
                                                .stride_bytes = 4144,
                                                .epoch = 3,
                                                .lowest = 2};
    const struct envol_log_run_params run_params = {
        .struct_size = sizeof(run_params), .run = 9, .start_lsn = 50};
    struct envol_log_run *run;
    uint8_t *at = honest + HEADER;

    o.dek[0] = 1;
    must(envol_keyring_make(&params, o.dek, &keyring) == ENVOL_OK);
    must(envol_log_run_begin(keyring, &run_params, honest, &run) == ENVOL_OK);
    keys = log_oracle_run(&o, honest);
    for (uint32_t i = 0; i < LOG_HARNESS_RECORDS; i++) {
        const struct envol_log_record record = {
            .lsn = 50 + i, .index = i, .durable = i, .data = data, .bytes = lengths[i]};
        must(envol_log_record_seal(run, &record, at) == ENVOL_OK);
        at += envol_log_record_bytes(lengths[i]);
    }
    must(at == honest + FILE_BYTES);
    envol_log_run_close(run);
}

static void overlay(uint8_t *at, size_t room, const uint8_t *input, size_t bytes)
{
    memcpy(at, input, bytes < room ? bytes : room);
}

static void apply(uint8_t file[FILE_BYTES], const uint8_t *input, size_t bytes)
{
    while (bytes >= 3) {
        size_t at = envol_load16(input) % FILE_BYTES, length = input[2];

        input += 3;
        bytes -= 3;
        length = length < bytes ? length : bytes;
        overlay(file + at, FILE_BYTES - at, input, length);
        input += length;
        bytes -= length;
    }
}

/* Whatever the headers say, sealed as whoever has the key would: only lengths stay what they are,
 * as does the ciphertext's place. */
static void make_tags(uint8_t file[FILE_BYTES])
{
    static const uint8_t data[100];
    uint8_t *at = file + HEADER;

    for (size_t i = 0; i < LOG_HARNESS_RECORDS; i++) {
        const struct log_fields fields = {.bytes = (uint32_t)lengths[i],
                                          .flags = envol_load16(at + 4),
                                          .spare = envol_load16(at + 6),
                                          .lsn = envol_load64(at + 8),
                                          .index = envol_load32(at + 16),
                                          .durable = envol_load32(at + 20)};
        at += log_oracle_record(&keys, &fields, fields.index, data, at);
    }
}

/* Buffers of exactly what was promised, so that tools see an access beyond. */
static int read_record(const struct envol_log_run *run, uint32_t index, const uint8_t *file,
                       size_t bytes, size_t *used)
{
    struct envol_log_record peeked = {0}, got;
    uint8_t *sealed = malloc(bytes + 1), *plain;
    enum envol_status status;

    must(sealed != NULL);
    memcpy(sealed, file, bytes);
    if (bytes >= ENVOL_LOG_RECORD_HEADER_BYTES &&
        envol_log_record_peek(sealed, &peeked) == ENVOL_OK)
        must(peeked.bytes <= ENVOL_LOG_DATA_MAX && peeked.lsn > 0 &&
             peeked.durable <= peeked.index && peeked.flags < 8 && peeked.data == NULL);
    plain = malloc(peeked.bytes + 1);
    must(plain != NULL);
    plain[peeked.bytes] = 0x5a;
    status = envol_log_record_unseal(run, index, sealed, bytes, plain, &got);
    must(status == ENVOL_OK || status == ENVOL_E_CORRUPT || status == ENVOL_E_TRUNCATED);
    must(plain[peeked.bytes] == 0x5a);
    if (status == ENVOL_OK) {
        must(got.index == index && got.lsn >= 50 && got.lsn == peeked.lsn &&
             got.bytes == peeked.bytes && got.data == plain);
        *used = envol_log_record_bytes(got.bytes);
        must(*used != 0 && *used <= bytes);
    }
    free(plain);
    free(sealed);
    return status == ENVOL_OK;
}

static int read_run(const uint8_t file[FILE_BYTES])
{
    struct envol_log_run_info info = {.struct_size = sizeof(info)};
    struct envol_log_run *run;
    enum envol_status peeked = envol_log_run_peek(file, &info);
    enum envol_status status = envol_log_run_open(keyring, file, NULL, &run);
    size_t at = HEADER, used = 0;
    int count = 0;

    must(status == ENVOL_OK || status == ENVOL_E_FORMAT || status == ENVOL_E_CORRUPT ||
         status == ENVOL_E_STALE);
    must(peeked == ENVOL_OK || status == peeked);
    must((run != NULL) == (status == ENVOL_OK));
    if (status != ENVOL_OK)
        return -1;
    must(memcmp(file, honest, HEADER) == 0);
    while (count < LOG_HARNESS_RECORDS &&
           read_record(run, (uint32_t)count, file + at, FILE_BYTES - at, &used)) {
        at += used;
        count++;
    }
    envol_log_run_close(run);
    return count;
}

int log_harness(const uint8_t *input, size_t bytes)
{
    uint8_t file[FILE_BYTES];
    uint8_t mode = bytes > 0 ? input[0] : 0;
    int count;

    make_honest();
    memcpy(file, honest, sizeof(file));
    if (bytes > 0 && (mode & (LOG_HARNESS_HEADER | LOG_HARNESS_RECORD)) != 0)
        overlay(file + (mode & LOG_HARNESS_HEADER ? 0 : HEADER),
                mode & LOG_HARNESS_HEADER ? HEADER : FILE_BYTES - HEADER, input + 1, bytes - 1);
    else if (bytes > 0)
        apply(file, input + 1, bytes - 1);
    if ((mode & LOG_HARNESS_TAGS) != 0)
        make_tags(file);
    count = read_run(file);
    envol_keyring_close(keyring);
    return count;
}
