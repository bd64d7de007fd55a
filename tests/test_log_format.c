/* SPDX-License-Identifier: BSD-2-Clause */
/* Logs as the library reads them against tests/log1.py, which was written from envol(5) alone. */
#include "log_fixture.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { SMALL = 64 << 10, LINE = 4096 };

static struct log_fixture f;
static char volume[512], directory[512], by_library[512], by_layout[512];
static char dek_hex[2 * ENVOL_DEK_BYTES + 1];

static void setup(void)
{
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_store *store;
    struct envol_space *space;

    snprintf(volume, sizeof(volume), "%s", test_path("v.vol"));
    snprintf(directory, sizeof(directory), "%s", test_path("v.d"));
    snprintf(by_library, sizeof(by_library), "%s", test_path("library"));
    snprintf(by_layout, sizeof(by_layout), "%s", test_path("layout"));
    ck_ok(envol_file_store_open(volume, ENVOL_FILE_CREATE, &store, NULL));
    ck_ok(envol_directory_space_open(directory, ENVOL_SPACE_CREATE_DIRECTORY, &space, NULL));
    log_fixture_create_on(&f, SMALL, store, space);
    ck_assert(fake_kms_last_dek(f.v.kms, dek));
    for (size_t i = 0; i < sizeof(dek); i++)
        snprintf(dek_hex + 2 * i, 3, "%02x", dek[i]);
}

static void teardown(void)
{
    log_fixture_free(&f);
}

static int shell(const char *line)
{
    int status = system(line);

    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Whether the reader that knows the layout reads it all; or it says why not. */
static bool read_by_layout(void)
{
    char line[LINE];
    int status;

    snprintf(line, sizeof(line), "python3 tests/log1.py '%s' '%s' %s '%s' >'%s.said'", volume,
             directory, dek_hex, by_layout, by_layout);
    status = shell(line);
    snprintf(line, sizeof(line), "grep -q '^%s' '%s.said'", status == 0 ? "end" : "refused",
             by_layout);
    ck_assert_int_eq(shell(line), 0);
    return status == 0;
}

static int keep(void *ctx, const struct envol_log_record *record)
{
    uint32_t bytes = (uint32_t)record->bytes;

    ck_assert(log_data_is(record));
    ck_assert_uint_eq(fwrite(&record->lsn, sizeof(record->lsn), 1, ctx), 1);
    ck_assert_uint_eq(fwrite(&bytes, sizeof(bytes), 1, ctx), 1);
    ck_assert_uint_eq(fwrite(record->data, 1, bytes, ctx), bytes);
    return 0;
}

static void expect_same(void)
{
    char line[LINE];
    FILE *file = fopen(by_library, "wb");

    ck_assert_ptr_nonnull(file);
    ck_ok(envol_log_replay(f.v.volume, f.space, 0, 0, keep, file, &f.error));
    ck_assert_int_eq(fclose(file), 0);
    ck_assert(read_by_layout());
    snprintf(line, sizeof(line), "cmp '%s' '%s'", by_library, by_layout);
    ck_assert_int_eq(shell(line), 0);
}

static void write_some(void)
{
    log_put_many(&f, 4, 3000);
    log_put_batch(&f, 5, 700);
    (void)log_put(&f, 1);
    log_sync(&f);
    log_put_many(&f, 3, 20000);
}

START_TEST(open_and_closed)
{
    write_some();
    expect_same();
    log_fixture_reopen(&f);
    write_some();
    log_fixture_reopen(&f);
    log_fixture_reopen(&f); /* a run without a record */
    write_some();
    log_fixture_close(&f);
    expect_same();
}
END_TEST

START_TEST(truncated_and_used_again)
{
    f.options.recycle = 2;
    log_fixture_reopen(&f);
    for (unsigned i = 0; i < 6; i++) {
        write_some();
        ck_ok(envol_log_truncate(f.log, log_info(&f).next_lsn - 8, NULL));
        expect_same();
    }
}
END_TEST

/* The last batch is cut in its middle. */
static void tear(void)
{
    struct envol_log_info info;
    struct envol_store *store;

    (void)log_put(&f, 100);
    log_put_batch(&f, 3, 500);
    info = log_info(&f);
    ck_assert_int_eq(envol_log_segment_open(f.space, info.newest_segment, 0, &store, NULL),
                     ENVOL_OK);
    ck_assert_int_eq(envol_store_resize(store, info.segment_bytes - 100, NULL), ENVOL_OK);
    envol_store_close(store);
}

START_TEST(torn)
{
    write_some();
    tear();
    expect_same();
}
END_TEST

START_TEST(damaged)
{
    enum envol_status status;

    write_some();
    log_sync(&f);
    (void)log_put(&f, 10);
    if (_i == 0) {
        log_segment_flip(f.space, 1, 200, 1); /* later ones know that it was durable */
    } else if (_i == 1) {
        log_segment_flip(f.space, 1, 70, 1);
    } else {
        uint64_t newest = log_info(&f).newest_segment;

        log_fixture_close(&f);
        log_segment_flip(f.space, newest, 150, 1);
    }
    ck_assert(!read_by_layout());
    (void)log_read(&f, 0, &status);
    ck_assert_int_eq(status, ENVOL_E_CORRUPT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_format");
    TCase *tcase = tcase_create("log_format");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, open_and_closed);
    tcase_add_test(tcase, truncated_and_used_again);
    tcase_add_test(tcase, torn);
    tcase_add_loop_test(tcase, damaged, 0, 3);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
