/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations on a volume that tests make fail, and the volume that they are done with. */
#include "operations.h"

#include "base/memory.h"
#include "faults.h"
#include "support.h"

#include <string.h>

bool subject_begin(struct subject *s, bool xts)
{
    *s = (struct subject){0};
    if (!volume_fixture_create_on(&s->f, &volume_shapes[xts ? 5 : 0], faults_store_new()))
        return false;
    fake_kms_add_key(s->f.kms, "arn:fake:key/2");
    s->cmks[0] = s->f.cmk;
    s->cmks[1] = (struct envol_cmk){s->f.provider, "arn:fake:key/2"};
    for (uint64_t i = 0; i < BASE; i++)
        volume_page_put(&s->f, i, 1);
    volume_fixture_close(&s->f);
    s->idle_allocations = faults_allocations();
    s->idle_locked = faults_locked_bytes();
    volume_fixture_open(&s->f, 0, ENVOL_OK);
    return true;
}

void subject_expect_base(struct subject *s)
{
    for (uint64_t i = 0; i < BASE; i++) {
        if (i >= s->first_changed && i < s->end_changed)
            continue;
        volume_page_expect(&s->f, i, 1);
    }
}

/* --- The operations --- */

static void put_more(struct subject *s)
{
    for (uint64_t i = 0; i < 8; i++)
        volume_page_put(&s->f, BASE + i, 1);
}

/* An empty store; its memory is already there, so that what is held can be compared. */
void subject_forget(struct subject *s)
{
    static const uint8_t zeros[ENVOL_HEADER_BYTES];

    if (s->f.volume != NULL)
        volume_fixture_close(&s->f);
    envol_store_close(s->f.store);
    s->f.store = faults_store_new();
    volume_store_put(s->f.store, 0, zeros, sizeof(zeros));
    ck_assert_int_eq(envol_store_resize(s->f.store, 0, NULL), ENVOL_OK);
    s->first_changed = 0;
    s->end_changed = UINT64_MAX; /* there are none to be kept */
}

enum envol_status subject_create(struct subject *s)
{
    const struct envol_header_params params = {
        .struct_size = sizeof(params), .suite = s->f.shape->suite, .page_bytes = 512};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};

    return ck_note(
        envol_volume_create(s->f.store, s->cmks, 2, &options, &s->f.volume, &s->f.error));
}

static void is_empty(struct subject *s)
{
    ck_assert_uint_eq(envol_volume_pages(s->f.volume), 0);
    ck_assert_uint_eq(volume_info_of(&s->f).header.slots, 2);
}

static void leave(struct subject *s)
{
    volume_fixture_close(&s->f);
}

/* The last writer is gone in the middle; more pages than the header knows of are synced. */
static void crash(struct subject *s)
{
    put_more(s);
    ck_ok(envol_volume_sync(s->f.volume));
    volume_fixture_kill(&s->f);
}

enum envol_status subject_open(struct subject *s)
{
    return ck_note(envol_volume_open(s->f.store, &s->f.cmk, 1, NULL, &s->f.volume, &s->f.error));
}

static enum envol_status open_reader(struct subject *s)
{
    const struct envol_volume_options options = {.struct_size = sizeof(options),
                                                 .flags = ENVOL_OPEN_READ_ONLY};

    return ck_note(
        envol_volume_open(s->f.store, &s->f.cmk, 1, &options, &s->f.volume, &s->f.error));
}

static void has_base(struct subject *s)
{
    ck_assert_uint_eq(envol_volume_pages(s->f.volume), BASE);
}

static void has_more(struct subject *s)
{
    for (uint64_t i = 0; i < 8; i++)
        volume_page_expect(&s->f, BASE + i, 1);
}

enum envol_status subject_read(struct subject *s)
{
    enum envol_status status;

    memset(s->f.other, 0xee, s->f.page_bytes);
    status = ck_note(envol_page_read(s->f.volume, 3, s->f.other));
    if (status != ENVOL_OK)
        ck_assert(envol_is_zero(s->f.other, s->f.page_bytes));
    else
        ck_assert_uint_eq(volume_page_version(&s->f, 3, 1, s->f.other), 1);
    return status;
}

enum envol_status subject_write(struct subject *s)
{
    volume_page_fill(&s->f, 3, 2, s->f.page);
    return ck_note(envol_page_write(s->f.volume, 3, s->f.page));
}

static void will_change_page(struct subject *s)
{
    s->first_changed = 3;
    s->end_changed = 4;
}

static void has_page(struct subject *s)
{
    volume_page_expect(&s->f, 3, 2);
}

enum envol_status subject_append(struct subject *s)
{
    volume_page_fill(&s->f, BASE, 2, s->f.page);
    return ck_note(envol_page_write(s->f.volume, BASE, s->f.page));
}

static void has_appended(struct subject *s)
{
    volume_page_expect(&s->f, BASE, 2);
}

/* Beyond the window: holes, and marks that are raised on the way. */
enum envol_status subject_append_far(struct subject *s)
{
    volume_page_fill(&s->f, BASE + MARGIN, 2, s->f.page);
    return ck_note(envol_page_write(s->f.volume, BASE + MARGIN, s->f.page));
}

static void has_far(struct subject *s)
{
    volume_page_expect(&s->f, BASE + MARGIN, 2);
    if (s->f.gcm)
        volume_page_expect_status(&s->f, BASE + MARGIN - 1, ENVOL_E_UNWRITTEN);
    ck_assert_uint_eq(envol_volume_pages(s->f.volume), BASE + MARGIN + 1);
}

enum envol_status subject_trim(struct subject *s)
{
    return ck_note(envol_page_trim(s->f.volume, 3, 2));
}

static void will_trim(struct subject *s)
{
    s->first_changed = 3;
    s->end_changed = 5;
}

static void is_trimmed(struct subject *s)
{
    enum envol_status status = ck_note(envol_page_read(s->f.volume, 4, s->f.other));

    ck_assert_int_eq(status, s->f.gcm ? ENVOL_E_UNWRITTEN : ENVOL_OK);
    ck_assert(envol_is_zero(s->f.other, s->f.page_bytes));
}

static enum envol_status lengthen(struct subject *s)
{
    return ck_note(envol_volume_truncate(s->f.volume, BASE + 2, &s->f.error));
}

static void is_longer(struct subject *s)
{
    ck_assert_uint_eq(envol_volume_pages(s->f.volume), BASE + 2);
}

static enum envol_status shorten(struct subject *s)
{
    return ck_note(envol_volume_truncate(s->f.volume, 10, &s->f.error));
}

static void will_shorten(struct subject *s)
{
    s->first_changed = 10;
    s->end_changed = BASE;
}

static void is_shorter(struct subject *s)
{
    ck_assert_uint_eq(envol_volume_pages(s->f.volume), 10);
    volume_page_expect_status(&s->f, 10, ENVOL_E_RANGE);
}

enum envol_status subject_sync(struct subject *s)
{
    return ck_note(envol_volume_sync(s->f.volume));
}

/* A header update failed before: the sync has to repeat it. */
static void make_header_due(struct subject *s)
{
    put_more(s);
    faults_arm(FAULT_HEADER_WRITE, 1, false);
    ck_status(envol_volume_truncate(s->f.volume, BASE + 9, &s->f.error), ENVOL_E_IO);
    ck_assert_int_eq(faults_disarm(), FAULT_AT_WRITE);
    ck_assert(s->f.volume->header_due);
}

static void is_settled(struct subject *s)
{
    has_more(s);
    ck_assert(!s->f.volume->header_due);
}

static enum envol_status refresh(struct subject *s)
{
    return ck_note(envol_volume_refresh(s->f.volume, &s->f.error));
}

static void reopen_as_reader(struct subject *s)
{
    volume_fixture_close(&s->f);
    volume_fixture_open(&s->f, ENVOL_OPEN_READ_ONLY, ENVOL_OK);
}

static enum envol_status verify(struct subject *s)
{
    if (!s->f.gcm)
        return ENVOL_OK; /* there is nothing to verify */
    return ck_note(envol_volume_verify(s->f.volume, NULL, NULL, NULL, &s->f.error));
}

static enum envol_status inspect(struct subject *s)
{
    struct envol_header_info info = {.struct_size = sizeof(info), .generation = 9};
    enum envol_status status = ck_note(envol_volume_inspect(s->f.store, &info, NULL, &s->f.error));

    ck_assert_int_eq(info.generation > 0, status == ENVOL_OK);
    return status;
}

enum envol_status subject_close(struct subject *s)
{
    struct envol_volume *volume = s->f.volume;

    s->f.volume = NULL;
    return ck_note(envol_volume_close(volume));
}

static void is_whole(struct subject *s)
{
    (void)s;
}

const struct operation operations[OPERATIONS] = {
    {"create", subject_forget, subject_create, is_empty, OPENS | TELLS | CREATES},
    {"open", leave, subject_open, has_base, OPENS | TELLS},
    {"open after a crash", crash, subject_open, has_more, OPENS | TELLS},
    {"open for reading", leave, open_reader, has_base, OPENS | TELLS},
    {"read", is_whole, subject_read, is_whole, 0},
    {"write", will_change_page, subject_write, has_page, 0},
    {"append", is_whole, subject_append, has_appended, 0},
    {"append far", is_whole, subject_append_far, has_far, 0},
    {"trim", will_trim, subject_trim, is_trimmed, 0},
    {"lengthen", is_whole, lengthen, is_longer, TELLS},
    {"shorten", will_shorten, shorten, is_shorter, TELLS},
    {"sync", put_more, subject_sync, has_more, 0},
    {"sync with a header due", make_header_due, subject_sync, is_settled, 0},
    {"refresh", reopen_as_reader, refresh, is_whole, TELLS},
    {"verify", is_whole, verify, is_whole, TELLS | GCM_ONLY | RUNS},
    {"inspect", is_whole, inspect, is_whole, TELLS},
    {"close", put_more, subject_close, is_whole, CLOSES},
    {"close with a header due", make_header_due, subject_close, is_whole, CLOSES},
};
