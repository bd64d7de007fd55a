/* SPDX-License-Identifier: BSD-2-Clause */
/* Something to replicate: a thread that puts texts into pages at random. */
#include "say.h"
#include "sides.h"

#include <stdio.h>
#include <string.h>

enum { PAGES = 256, MOST = 8 };

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Tests look for the word "canary" where it must not be. */
static void fill(uint8_t record[RECORD_BYTES], uint64_t page_no, uint64_t number)
{
    char page[PAGE_BYTES], line[64];
    size_t length = (size_t)snprintf(line, sizeof line, "canary %llu of page %llu\n",
                                     (unsigned long long)number, (unsigned long long)page_no);

    for (size_t i = 0; i < sizeof page; i++)
        page[i] = line[i % length];
    record_fill(record, page_no, page, sizeof page);
}

static enum envol_status put_some(struct load *load, uint64_t *random, struct envol_error *error)
{
    uint8_t records[MOST][RECORD_BYTES];
    struct envol_log_entry entries[MOST];
    size_t count = next_random(random) % MOST + 1;
    enum envol_status status;

    if (count > load->left)
        count = load->left;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = next_random(random);

        fill(records[i], number % PAGES, number);
        entries[i] = (struct envol_log_entry){.data = records[i], .bytes = RECORD_BYTES};
    }
    status = engine_put(load->engine, entries, count, error);
    if (status == ENVOL_OK)
        load->left -= count;
    return status;
}

static void *run(void *argument)
{
    struct load *load = argument;
    struct envol_error error = ENVOL_ERROR_INIT;
    uint64_t random = load->engine->lsn + UINT64_C(0x9e3779b97f4a7c15);
    enum envol_status status = ENVOL_OK;

    while (status == ENVOL_OK && load->left > 0 && !is_stopping())
        status = put_some(load, &random, &error);
    if (status != ENVOL_OK)
        complain("putting", status, &error);
    else if (load->left == 0)
        say("loaded, at LSN %llu", (unsigned long long)engine_wait(load->engine, 0, 0));
    return NULL;
}

enum envol_status load_start(struct load *load, struct engine *engine, struct envol_error *error)
{
    load->engine = engine;
    load->runs = load->left > 0;
    if (load->runs && pthread_create(&load->thread, NULL, run, load) != 0) {
        load->runs = false;
        return fail(error, ENVOL_E_NO_MEMORY, "a thread");
    }
    return ENVOL_OK;
}

void load_join(struct load *load)
{
    if (load->runs)
        pthread_join(load->thread, NULL);
    load->runs = false;
}
