/* SPDX-License-Identifier: BSD-2-Clause */
/* Volumes' lives with the providers of the library itself: file, and passphrase. */
#include "cmk_life.h"
#include "passphrase_fixture.h"

#include <envol/lease.h>
#include <stdio.h>
#include <string.h>

static struct envol_error error = ENVOL_ERROR_INIT;

/* --- file: two key files --- */

static struct envol_provider *files[2];
static char paths[2][512];

static void open_files(void)
{
    static const char *const names[2] = {"one.key", "two.key"};

    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s", test_path(names[i]));
        ck_ok(envol_key_file_create(paths[i], &error));
        ck_ok(envol_file_provider_open(paths[i], &files[i]));
    }
}

static void close_files(void)
{
    for (int i = 0; i < 2; i++)
        envol_provider_close(files[i]);
}

static void set_state(const struct envol_cmk *cmk, enum envol_key_state state)
{
    ck_ok(envol_key_file_set_state(paths[cmk->provider == files[1]], state, &error));
}

static void disable(const struct envol_cmk *cmk)
{
    set_state(cmk, ENVOL_KEY_DISABLED);
}

static void schedule_deletion(const struct envol_cmk *cmk)
{
    set_state(cmk, ENVOL_KEY_PENDING_DELETION);
}

static void enable(const struct envol_cmk *cmk)
{
    set_state(cmk, ENVOL_KEY_ENABLED);
}

/* A key file cannot take over another one's wrapping: the DEK in memory is wrapped, and unwrapped
 * once to prove it. */
START_TEST(two_key_files)
{
    static void (*const revokes[])(const struct envol_cmk *) = {disable, schedule_deletion};
    static const enum envol_status revoked[] = {ENVOL_E_KEY_DISABLED, ENVOL_E_KEY_PENDING_DELETION};
    const struct cmk_life life = {
        .providers = {files[0], files[1]},
        .revoke = revokes[_i],
        .restore = enable,
        .revoked = revoked[_i],
        .left = ENVOL_E_KEY_NOT_FOUND,
        .rewrap = "wrap unwrap ",
    };

    cmk_life(&life);
}
END_TEST

/* --- passphrase --- */

static const char old_words[] = "the old passphrase", new_words[] = "the new passphrase";
static struct envol_provider *old_one, *new_one;

static struct envol_provider *open_words(const char *words)
{
    struct envol_passphrase_options options = passphrase_options(NULL);
    struct envol_provider *provider = NULL;

    options.callback = NULL;
    options.passphrase = words;
    options.passphrase_bytes = strlen(words);
    ck_ok(envol_passphrase_provider_open(&options, &provider));
    return provider;
}

static void open_passphrases(void)
{
    old_one = open_words(old_words);
    new_one = open_words(new_words);
}

static void close_passphrases(void)
{
    envol_provider_close(old_one);
    envol_provider_close(new_one);
}

static void ck_opens(struct envol_store *store, const struct envol_cmk *cmk, const void *page)
{
    static char back[ENVOL_STRIDE_BYTES_DEFAULT];
    struct envol_volume *volume = NULL;

    ck_ok(envol_volume_open(store, cmk, 1, NULL, &volume, &error));
    ck_ok(envol_page_read(volume, 0, back));
    ck_assert_mem_eq(back, page, sizeof(back) - ENVOL_TRAILER_BYTES);
    ck_ok(envol_volume_close(volume));
}

static void ck_refused(struct envol_store *store, const struct envol_cmk *cmk)
{
    struct envol_volume *volume = NULL;

    ck_status(envol_volume_open(store, cmk, 1, NULL, &volume, &error), ENVOL_E_WRONG_KEY);
    ck_assert_ptr_null(volume);
}

/* The volume is open all the while, and its lease follows the slot. */
static void change_words(struct envol_store *store, const struct envol_cmk *from,
                         const struct envol_cmk *to)
{
    const struct envol_lease_options options = {
        .struct_size = sizeof(options), .flags = ENVOL_LEASE_NO_JITTER | ENVOL_LEASE_AT_ONCE};
    struct envol_lease_info info = {.struct_size = sizeof(info)};
    struct envol_volume *volume = NULL;
    struct envol_lease *lease = NULL;

    ck_ok(envol_volume_open(store, from, 1, NULL, &volume, &error));
    ck_ok(envol_volume_rewrap(volume, 0, NULL, to, NULL, &error));
    ck_ok(envol_lease_start(volume, &options, &lease, &error));
    ck_ok(envol_lease_poll(lease, 1000000, NULL));
    ck_ok(envol_lease_info(lease, &info));
    ck_assert_uint_eq(info.checks, 1);
    ck_assert_int_eq(info.last_status, ENVOL_OK);
    ck_assert_int_eq(info.state, ENVOL_LEASE_AVAILABLE);
    ck_ok(envol_volume_close(volume));
}

/* Nobody disables a passphrase: it is revoked by a rewrap to another one, which copies of the old
 * header survive; and it comes back by a rewrap to it. */
START_TEST(revoked_by_another_passphrase)
{
    static char page[ENVOL_STRIDE_BYTES_DEFAULT];
    const struct envol_cmk old_cmk = {old_one, NULL}, new_cmk = {new_one, NULL};
    struct envol_volume *volume = NULL;
    struct envol_store *store = NULL;

    test_fill(page, sizeof(page));
    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_volume_create(store, &old_cmk, 1, NULL, &volume, &error));
    ck_ok(envol_page_write(volume, 0, page));
    ck_ok(envol_volume_close(volume));
    ck_opens(store, &old_cmk, page);
    ck_refused(store, &new_cmk);
    change_words(store, &old_cmk, &new_cmk);
    ck_refused(store, &old_cmk);
    ck_opens(store, &new_cmk, page);
    change_words(store, &new_cmk, &old_cmk);
    ck_refused(store, &new_cmk);
    ck_opens(store, &old_cmk, page);
    envol_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmk_life");
    TCase *file = tcase_create("file");
    TCase *passphrase = tcase_create("passphrase");

    tcase_add_checked_fixture(file, open_files, close_files);
    tcase_add_loop_test(file, two_key_files, 0, 2);
    suite_add_tcase(suite, file);
    tcase_add_checked_fixture(passphrase, open_passphrases, close_passphrases);
    tcase_add_test(passphrase, revoked_by_another_passphrase);
    suite_add_tcase(suite, passphrase);
    return test_run(suite);
}
