/* SPDX-License-Identifier: BSD-2-Clause */
/* A run that was begun, and the same run opened, under a keyring with known DEKs. */
#ifndef ENVOL_TESTS_LOG_RUN_FIXTURE_H
#define ENVOL_TESTS_LOG_RUN_FIXTURE_H

#include "log_oracle.h"
#include "page/log_run.h"
#include "page_fixture.h"

#define LOG_START_LSN UINT64_C(100)

struct log_run_fixture {
    struct page_fixture f;
    struct envol_log_run_params params;
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    struct envol_log_run *run, *reader;
};

/* Fails the test when anything fails; wish may be NULL. */
void log_run_fixture_open(struct log_run_fixture *l, const struct page_wish *wish);
void log_run_fixture_close(struct log_run_fixture *l);

/* A record of an index: LSN start + index, durable half of it. */
struct envol_log_record log_record(uint32_t index, const void *data, size_t bytes);
/* What the oracle makes of the run's header. */
struct log_oracle log_run_fixture_oracle(const struct log_run_fixture *l);

#endif
