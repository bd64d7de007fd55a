/* SPDX-License-Identifier: BSD-2-Clause */
/* Run keys and records of a log made from the written format alone: what lib/page/log_*.c is held
 * against.  Nothing of lib/page, lib/aes or lib/base is used. */
#ifndef ENVOL_TESTS_LOG_ORACLE_H
#define ENVOL_TESTS_LOG_ORACLE_H

#include "page_oracle.h"

/* What a run header expands into. */
struct log_oracle {
    uint8_t key[32], base[12], commitment[32];
};

/* From the first 104 bytes of the header; of o: DEK, UUID, suite, epoch. */
struct log_oracle log_oracle_run(const struct oracle *o, const uint8_t header[104]);

/* Every field of a record's header, as wide as it is stored. */
struct log_fields {
    uint32_t bytes;
    uint16_t flags, spare;
    uint64_t lsn;
    uint32_t index, durable;
};

/* Bytes of the sealed record, which out has room for.  nonce_index: that of fields, but in tests of
 * what does not fit together. */
size_t log_oracle_record(const struct log_oracle *run, const struct log_fields *fields,
                         uint32_t nonce_index, const uint8_t *data, uint8_t *out);

#endif
