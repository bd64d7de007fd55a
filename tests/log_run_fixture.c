/* SPDX-License-Identifier: BSD-2-Clause */
/* Beginning and opening runs for the suites of log records. */
#include "log_run_fixture.h"

#include "support.h"
#include <string.h>

void log_run_fixture_open(struct log_run_fixture *l, const struct page_wish *wish)
{
    memset(l, 0, sizeof(*l));
    page_fixture_open(&l->f, wish);
    l->params = (struct envol_log_run_params){
        .struct_size = sizeof(l->params), .run = 7, .start_lsn = LOG_START_LSN};
    test_fill(l->params.log_id, sizeof(l->params.log_id));
    test_fill(l->params.previous_tag, sizeof(l->params.previous_tag));
    ck_ok(envol_log_run_begin(l->f.keyring, &l->params, l->header, &l->run));
    ck_ok(envol_log_run_open(l->f.keyring, l->header, &l->params, &l->reader));
}

void log_run_fixture_close(struct log_run_fixture *l)
{
    envol_log_run_close(l->reader);
    envol_log_run_close(l->run);
    page_fixture_close(&l->f);
}

struct envol_log_record log_record(uint32_t index, const void *data, size_t bytes)
{
    return (struct envol_log_record){.lsn = LOG_START_LSN + index,
                                     .index = index,
                                     .durable = index / 2,
                                     .data = data,
                                     .bytes = bytes};
}

struct log_oracle log_run_fixture_oracle(const struct log_run_fixture *l)
{
    struct oracle o = page_fixture_oracle(&l->f, 0);

    return log_oracle_run(&o, l->header);
}
