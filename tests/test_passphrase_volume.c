/* SPDX-License-Identifier: BSD-2-Clause */
/* Volumes with recovery passphrases: which slot opens, and how often an open stretches one. */
#include "kms_fixture.h"
#include "passphrase_fixture.h"

static struct envol_error error;

enum { SLOTS = 4 };

static struct envol_provider *people[SLOTS];
static struct envol_cmk cmks[SLOTS];
static struct envol_store *store;

/* A volume with a slot of a key service and three passphrases, "1" to "3". */
static void create_volume(void)
{
    static const char *const labels[SLOTS] = {NULL, "1", "2", "3"};
    struct envol_volume *volume;

    kms.fake = fake_kms_new();
    fake_kms_add_key(kms.fake, REF);
    people[0] = fake_kms_open(kms.fake);
    cmks[0] = (struct envol_cmk){people[0], REF};
    for (size_t i = 1; i < SLOTS; i++) {
        people[i] = passphrase_open(labels[i]);
        cmks[i] = (struct envol_cmk){people[i], NULL};
    }
    ck_ok(envol_memory_store_open(&store));
    ck_ok(envol_volume_create(store, cmks, SLOTS, NULL, &volume, &error));
    ck_ok(envol_volume_close(volume));
    passphrase_stretched = person.asked = 0;
}

static void drop_volume(void)
{
    envol_store_close(store);
    for (size_t i = 0; i < SLOTS; i++)
        envol_provider_close(people[i]);
    fake_kms_free(kms.fake);
}

static enum envol_status open_volume(const struct envol_cmk *given, size_t count, uint32_t *slot)
{
    struct envol_volume_info info = {.struct_size = sizeof(info),
                                     .header.struct_size = sizeof(info.header)};
    struct envol_volume *volume;
    enum envol_status status =
        ck_note(envol_volume_open(store, given, count, NULL, &volume, &error));

    if (status == ENVOL_OK) {
        ck_ok(envol_volume_info(volume, &info));
        *slot = info.opened_slot;
        ck_ok(envol_volume_close(volume));
    }
    return status;
}

START_TEST(a_recovery_passphrase)
{
    struct envol_provider *provider = passphrase_open(NULL);
    struct envol_cmk any = {provider, NULL};
    uint32_t slot = 0;

    ck_assert_int_eq(open_volume(cmks, SLOTS, &slot), ENVOL_OK);
    ck_assert_uint_eq(slot, 1);
    ck_assert_uint_eq(passphrase_stretched, 0);
    fake_kms_set_state(kms.fake, REF, FAKE_KEY_DISABLED);
    ck_assert_int_eq(open_volume(cmks, 1, &slot), ENVOL_E_KEY_DISABLED);
    ck_assert_int_eq(open_volume(cmks, SLOTS, &slot), ENVOL_OK);
    ck_assert_uint_eq(slot, 2);
    ck_assert_int_eq(open_volume(&cmks[3], 1, &slot), ENVOL_OK);
    ck_assert_uint_eq(slot, 4);
    ck_assert_int_eq(open_volume(&any, 1, &slot), ENVOL_OK);
    ck_assert_uint_eq(slot, 2);
    ck_assert_uint_eq(passphrase_stretched, 3);
    envol_provider_close(provider);
}
END_TEST

/* However many slots the header has, and however many passphrases are given. */
START_TEST(an_open_stretches_one_passphrase)
{
    struct envol_provider *provider = passphrase_open(NULL);
    struct envol_cmk any[2] = {{provider, NULL}, {provider, "3"}};
    uint32_t slot = 0;

    person.answer = "wrong";
    ck_assert_int_eq(open_volume(&cmks[1], 3, &slot), ENVOL_E_WRONG_KEY);
    ck_assert_int_eq(error.slot, 2);
    ck_assert_uint_eq(passphrase_stretched, 1);
    ck_assert_int_eq(open_volume(any, 2, &slot), ENVOL_E_WRONG_KEY);
    ck_assert_uint_eq(passphrase_stretched, 2);
    /* The service's slot comes first, and is no such try. */
    fake_kms_set_state(kms.fake, REF, FAKE_KEY_DISABLED);
    ck_assert_int_eq(open_volume(cmks, SLOTS, &slot), ENVOL_E_KEY_DISABLED);
    ck_assert_uint_eq(passphrase_stretched, 3);
    envol_provider_close(provider);
}
END_TEST

/* A life with passphrases alone: another one, and only the other one opens then. */
START_TEST(another_passphrase)
{
    struct envol_provider *provider = passphrase_open(NULL);
    const struct envol_cmk any = {provider, NULL};
    struct envol_store *own = NULL, *shared = store;
    struct envol_volume *volume = NULL;
    uint32_t slot = 0;

    ck_ok(envol_memory_store_open(&own));
    store = own;
    ck_ok(envol_volume_create(own, &any, 1, NULL, &volume, &error));
    person.answer = "another passphrase";
    ck_ok(envol_volume_rewrap(volume, 0, NULL, &any, NULL, &error));
    ck_ok(envol_volume_close(volume));
    ck_assert_int_eq(open_volume(&any, 1, &slot), ENVOL_OK);
    ck_assert_uint_eq(slot, 1);
    person.answer = PASSPHRASE;
    ck_assert_int_eq(open_volume(&any, 1, &slot), ENVOL_E_WRONG_KEY);
    person.answer = "another passphrase";
    ck_assert_int_eq(open_volume(&any, 1, &slot), ENVOL_OK);
    store = shared;
    envol_store_close(own);
    envol_provider_close(provider);
}
END_TEST

/* The service's key is disabled under an open volume: a recovery passphrase brings it back, and
 * moves the slot that opened it to a key that works. */
START_TEST(a_recovery_passphrase_unlocks)
{
    static char page[ENVOL_STRIDE_BYTES_DEFAULT];
    const struct envol_cmk next = {people[0], OTHER};
    const struct envol_lease_options options = {
        .struct_size = sizeof(options), .flags = ENVOL_LEASE_NO_GRACE | ENVOL_LEASE_AT_ONCE};
    struct envol_volume *volume = NULL;
    struct envol_lease *lease = NULL;
    uint32_t slot = 0;

    fake_kms_add_key(kms.fake, OTHER);
    ck_ok(envol_volume_open(store, cmks, 1, NULL, &volume, &error));
    ck_ok(envol_page_write(volume, 0, page));
    ck_ok(envol_lease_start(volume, &options, &lease, &error));
    fake_kms_set_state(kms.fake, REF, FAKE_KEY_DISABLED);
    ck_status(envol_lease_poll(lease, 0, NULL), ENVOL_E_KEY_REVOKED);
    ck_status(envol_page_read(volume, 0, page), ENVOL_E_KEY_REVOKED);
    ck_ok(envol_volume_unlock(volume, &cmks[2], 1, NULL, &error));
    ck_ok(envol_page_read(volume, 0, page));
    ck_ok(envol_volume_rewrap(volume, 1, NULL, &next, NULL, &error));
    ck_ok(envol_volume_close(volume));
    ck_assert_int_eq(open_volume(&next, 1, &slot), ENVOL_OK);
    ck_assert_uint_eq(slot, 1);
}
END_TEST

static void begin(void)
{
    error = (struct envol_error)ENVOL_ERROR_INIT;
    create_volume();
}

int main(void)
{
    Suite *suite = suite_create("passphrase_volume");
    TCase *tests = tcase_create("passphrase_volume");

    tcase_add_checked_fixture(tests, begin, drop_volume);
    tcase_add_test(tests, a_recovery_passphrase);
    tcase_add_test(tests, an_open_stretches_one_passphrase);
    tcase_add_test(tests, another_passphrase);
    tcase_add_test(tests, a_recovery_passphrase_unlocks);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
