/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process with open volumes dies and leaves a core: no key and no plaintext of the library's is
 * in it, registers included where the compiler can empty them.  Each search finds what it is to
 * find where protection is missing.
 */
#include "cores.h"
#include "handles.h"
#include "kernels.h"
#include "needles.h"
#include "page/derive.h"
#include "page/keyring.h"
#include "page_oracle.h"
#include "support.h"
#include "volume_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, RECORD = PAGE + ENVOL_TRAILER_BYTES, SALT = 12, SALTS = 3, BEACON = 64 };

/* The kernels' own code empties registers where the compiler knows how (lib/aes/tier.h). */
#if defined(__has_attribute)
#if __has_attribute(zero_call_used_regs)
#define REGISTERS_EMPTIED 1
#endif
#endif
#ifndef REGISTERS_EMPTIED
#define REGISTERS_EMPTIED 0
#endif

static const uint8_t object_id[ENVOL_OBJECT_BYTES] = "an object's id..";

static const struct volume_shape shapes[] = {
    {"gcm 4096", ENVOL_SUITE_AES_256_GCM, PAGE, 0, 0},
    {"xts 4096", ENVOL_SUITE_AES_256_XTS, PAGE, 0, 0},
};

static bool unprotected;

/* Stands in for the C library's in this program. */
int madvise(void *address, size_t bytes, int advice)
{
    if (advice == MADV_DONTDUMP && unprotected)
        advice = MADV_DODUMP;
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

/* --- who dies --- */

enum how { CAREFUL, INHERITING, UNPROTECTED, CARELESS };

/* What the last call before the end is: registers hold what it left there. */
enum last { PAGE_WRITE, PAGE_READ, PAGE_SEAL, PAGE_UNSEAL, BLOB_SEAL, BLOB_UNSEAL, LASTS };

/*
 * What parent and child tell each other.  The application's own plaintext is here too, and this is
 * left out of the core: what plaintext is found there is of the library's making.
 */
struct scene {
    uint8_t page[PAGE], got[2 * PAGE + 1], beacon[BEACON];
    uint8_t salts[SALTS][SALT];
    struct volume_fixture f;
    enum how how;
    enum last last;
    struct envol_volume *volume; /* of who dies */
    const struct envol_object *object;
    struct envol_lane *lane;
    bool by_debugger;
};

static struct scene *scene_new(enum how how, enum envol_suite suite)
{
    struct scene *s =
        mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(s, MAP_FAILED);
    ck_assert_int_eq((int)syscall(SYS_madvise, s, sizeof(*s), MADV_DONTDUMP), 0);
    test_fill(s->page, sizeof(s->page));
    test_fill(s->beacon, sizeof(s->beacon));
    s->how = how;
    unprotected = how == UNPROTECTED;
    ck_assert(volume_fixture_create_on(&s->f, &shapes[suite == ENVOL_SUITE_AES_256_XTS],
                                       test_store_new(1)));
    for (uint64_t i = 0; i < 5; i++)
        ck_ok(envol_page_write(s->f.volume, i, s->f.page)); /* zeros: a child makes nothing grow */
    volume_fixture_close(&s->f);
    if (how == INHERITING)
        volume_fixture_open(&s->f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    s->volume = s->f.volume;
    return s;
}

static void scene_free(struct scene *s)
{
    unprotected = false;
    volume_fixture_free(&s->f);
    munmap(s, sizeof(*s));
}

static uint8_t record[RECORD], blob[RECORD];

/* Everything is used before, so that every kind of key is there; the last call leaves its mark. */
static bool use(struct scene *s, enum last call)
{
    struct envol_volume *volume = s->volume;

    switch (call) {
    case PAGE_WRITE:
        return envol_page_write(volume, 3, s->page) == ENVOL_OK;
    case PAGE_READ:
        return envol_page_read(volume, 3, s->got) == ENVOL_OK;
    case PAGE_SEAL:
        return envol_page_seal(s->object, s->lane, 5, s->page, record) == ENVOL_OK;
    case PAGE_UNSEAL:
        return envol_page_unseal(s->object, s->lane, 5, record, s->got) == ENVOL_OK;
    case BLOB_SEAL:
        return envol_blob_seal(s->object, s->lane, NULL, 0, s->page, PAGE, blob) == ENVOL_OK;
    default:
        return envol_blob_unseal(s->object, s->lane, NULL, 0, blob, RECORD, s->got) == ENVOL_OK;
    }
}

static bool use_all(struct scene *s)
{
    struct envol_object *object = NULL;
    struct envol_page_io out[2] = {{.page_no = 3, .page = s->page},
                                   {.page_no = 4, .page = s->page}};
    struct envol_page_io in[2] = {{.page_no = 3, .page = s->got + 1},
                                  {.page_no = 4, .page = s->got + 1 + PAGE}};
    const struct envol_keyring *keyring = envol_volume_keyring(s->volume);

    if (envol_object_open(keyring, object_id, &object) != ENVOL_OK ||
        envol_lane_open(keyring, &s->lane) != ENVOL_OK)
        return false;
    s->object = object;
    for (enum last call = PAGE_WRITE; call < LASTS; call++)
        if (!use(s, call))
            return false;
    memcpy(s->salts[1], record + PAGE + 8, SALT);
    memcpy(s->salts[2], blob + PAGE + 8, SALT);
    /* A run of pages, to odd addresses. */
    return envol_page_write_batch(s->volume, out, 2, NULL) == ENVOL_OK &&
           envol_page_read_batch(s->volume, in, 2, NULL) == ENVOL_OK &&
           memcmp(s->got + 1, s->page, PAGE) == 0 && envol_volume_sync(s->volume) == ENVOL_OK;
}

/* An application that keeps what it should not, where the library would not. */
static bool be_careless(const struct scene *s)
{
    const struct envol_keyring *keyring = envol_volume_keyring(s->volume);
    const uint8_t *dek = keyring->entry[0].keys->dek;
    uint8_t *kept = malloc(PAGE + ENVOL_DEK_BYTES + 32);
    const struct envol_derivation mac = {.purpose = ENVOL_PURPOSE_HEADER_MAC,
                                         .uuid = keyring->uuid,
                                         .suite = keyring->suite,
                                         .epoch = keyring->epoch};

    if (kept == NULL)
        return false;
    memcpy(kept, s->page, PAGE);
    memcpy(kept + PAGE, dek, ENVOL_DEK_BYTES);
    envol_derive(dek, &mac, kept + PAGE + ENVOL_DEK_BYTES, 32);
    return true;
}

/* Only the process that opened a store may open a volume in it. */
static bool open_anew(struct scene *s)
{
    struct envol_store *store;

    return envol_file_store_open(test_path("file"), 0, &store, NULL) == ENVOL_OK &&
           envol_volume_open(store, &s->f.cmk, 1, NULL, &s->volume, NULL) == ENVOL_OK;
}

/* In the process that dies, when it returns 0; else the number of the step that failed. */
static int live(void *argument)
{
    struct scene *s = argument;
    uint8_t *beacon = malloc(BEACON);

    if (beacon == NULL)
        return 1;
    memcpy(beacon, s->beacon, BEACON);
    if (s->how != INHERITING && !open_anew(s))
        return 2;
    if (!use_all(s) || (s->how == CARELESS && !be_careless(s)))
        return 3;
    return use(s, s->last) ? 0 : 4;
}

/* --- what is in the core --- */

/* What is looked for, by what it is: each begins where the one before ends. */
enum kind {
    IS_BEACON,
    IS_PAGE,
    IS_DEK,
    IS_MAC_KEY,
    IS_PAGE_KEY,
    IS_BLOB_KEY,
    IS_VOLUME_SUBKEY,
    IS_OBJECT_SUBKEY,
    IS_BLOB_SUBKEY,
    IS_XTS_KEY,
    IS_XTS_TWEAK_KEY,
    IS_OBJECT_XTS_KEY,
    IS_OBJECT_XTS_TWEAK_KEY,
    KINDS
};
static const char *const kind_names[KINDS] = {"beacon",
                                              "page",
                                              "DEK",
                                              "MAC key",
                                              "page key",
                                              "blob key",
                                              "subkey of the volume's pages",
                                              "subkey of the object's pages",
                                              "subkey of blobs",
                                              "XTS K1",
                                              "XTS K2",
                                              "object's XTS K1",
                                              "object's XTS K2"};

struct search {
    struct needles needles;
    bool found[NEEDLES_MAX];
    size_t first[KINDS + 1];
    struct oracle oracle;
    uint8_t key[64];
};

static void begin_kind(struct search *search, enum kind kind)
{
    search->first[kind] = search->needles.count;
    search->first[kind + 1] = search->needles.count;
}

static void gcm_kind(struct search *search, enum kind kind, const char *purpose,
                     const uint8_t *salt)
{
    begin_kind(search, kind);
    oracle_key(&search->oracle, purpose, NULL, 0, search->key, 32);
    if (salt != NULL)
        oracle_subkey(search->key, salt, search->key + 32);
    needles_add_aes(&search->needles, salt != NULL ? search->key + 32 : search->key);
}

static void xts_kinds(struct search *search, enum kind kind, const uint8_t *object)
{
    oracle_key(&search->oracle, "page-xts", object, 0, search->key, 64);
    begin_kind(search, kind);
    needles_add_aes(&search->needles, search->key);
    begin_kind(search, kind + 1);
    needles_add_aes(&search->needles, search->key + 32);
}

static void read_salt(const struct scene *s, uint8_t salt[SALT])
{
    volume_store_get(s->f.store, volume_record_at(&s->f, 3) + PAGE + 8, salt, SALT);
}

/* The key service says what the DEK is; all else follows from that and from what is on disk. */
static void find_out(struct search *search, struct scene *s)
{
    static const uint8_t whole_volume[ENVOL_OBJECT_BYTES];
    struct oracle *o = &search->oracle;

    *o = (struct oracle){.suite = (uint16_t)s->f.shape->suite, .epoch = 1, .format = 1};
    ck_assert(fake_kms_last_dek(s->f.kms, o->dek));
    volume_store_get(s->f.store, 24, o->uuid, sizeof(o->uuid));
    begin_kind(search, IS_BEACON);
    needles_add_text(&search->needles, s->beacon, BEACON);
    begin_kind(search, IS_PAGE);
    needles_add_text(&search->needles, s->page, PAGE);
    begin_kind(search, IS_DEK);
    needles_add_hmac(&search->needles, o->dek, sizeof(o->dek));
    begin_kind(search, IS_MAC_KEY);
    oracle_key(o, "hdr-mac\0", NULL, 0, search->key, 32);
    needles_add_hmac(&search->needles, search->key, 32);
    gcm_kind(search, IS_PAGE_KEY, "page-gcm", NULL);
    gcm_kind(search, IS_BLOB_KEY, "blob-gcm", NULL);
    if (s->f.gcm) {
        read_salt(s, s->salts[0]);
        gcm_kind(search, IS_VOLUME_SUBKEY, "page-gcm", s->salts[0]);
        gcm_kind(search, IS_OBJECT_SUBKEY, "page-gcm", s->salts[1]);
    } else {
        begin_kind(search, IS_VOLUME_SUBKEY);
        begin_kind(search, IS_OBJECT_SUBKEY);
    }
    gcm_kind(search, IS_BLOB_SUBKEY, "blob-gcm", s->salts[2]);
    xts_kinds(search, IS_XTS_KEY, whole_volume);
    xts_kinds(search, IS_OBJECT_XTS_KEY, object_id);
    search->first[KINDS] = search->needles.count;
}

static size_t found_of(const struct search *search, enum kind kind)
{
    size_t count = 0;

    for (size_t i = search->first[kind]; i < search->first[kind + 1]; i++)
        count += search->found[i];
    return count;
}

/* The process dies, and its core is searched.  False if no core could be had. */
static bool die_and_search(struct scene *s, struct search *search)
{
    struct core core;

    if (!core_of(live, s, s->by_debugger, &core))
        return false;
    if (!REGISTERS_EMPTIED)
        core_forget_registers(&core);
    memset(search, 0, sizeof(*search));
    find_out(search, s);
    needles_mark(&search->needles, core.bytes, core.bytes + core.size, search->found);
    ck_assert_uint_eq(found_of(search, IS_BEACON), BEACON / 16);
    core_free(&core);
    return true;
}

static struct search *search_new(void)
{
    struct search *search = calloc(1, sizeof(*search));

    ck_assert_ptr_nonnull(search);
    return search;
}

/* --- tests --- */

static enum envol_suite suite_of(int i)
{
    return i % 2 == 0 ? ENVOL_SUITE_AES_256_GCM : ENVOL_SUITE_AES_256_XTS;
}

static void expect_nothing(const struct search *search)
{
    for (enum kind kind = IS_BEACON + 1; kind < KINDS; kind++)
        ck_assert_msg(found_of(search, kind) == 0, "%zu pieces of the %s are in the core",
                      found_of(search, kind), kind_names[kind]);
}

/* Whether a core could be searched that a scene of these circumstances left. */
static bool search_scene(struct search *search, enum how how, enum envol_suite suite,
                         bool by_debugger, enum last last)
{
    struct scene *s;
    bool done;

    if (!core_possible(by_debugger) || envol_aes_kernel(suite == ENVOL_SUITE_AES_256_XTS) == NULL)
        return false;
    s = scene_new(how, suite);
    s->by_debugger = by_debugger;
    s->last = last;
    done = die_and_search(s, search);
    scene_free(s);
    return done;
}

/* Every kernel, both suites, and each call as the last one. */
START_TEST(no_secret_is_in_a_core)
{
    const struct envol_aes_kernel *kernel = test_kernel(_i / 2 / LASTS);
    struct search *search;

    if (kernel == NULL)
        return;
    search = search_new();
    ck_assert(envol_aes_kernel_force(kernel->name));
    if (search_scene(search, CAREFUL, suite_of(_i), false, (enum last)(_i / 2 % LASTS)))
        expect_nothing(search);
    free(search);
}
END_TEST

/* Both suites: a debugger's core, and one of a child with keys that its parent opened. */
START_TEST(nor_in_a_debuggers_or_a_childs)
{
    struct search *search = search_new();
    bool by_debugger = _i < 2;

    if (search_scene(search, by_debugger ? CAREFUL : INHERITING, suite_of(_i), by_debugger,
                     PAGE_READ))
        expect_nothing(search);
    free(search);
}
END_TEST

/* Own kernels expand keys to round keys; those of libraries may keep what they expand each time. */
static void expect_key(const struct search *search, enum kind kind, bool expanded)
{
    ck_assert_msg(found_of(search, kind) >= (expanded ? NEEDLES_ROUND_KEYS : 2u),
                  "%zu pieces of the %s", found_of(search, kind), kind_names[kind]);
}

static void expect_keys(const struct search *search, enum envol_suite suite, bool expanded)
{
    ck_assert_uint_ge(found_of(search, IS_DEK), ENVOL_DEK_BYTES / 16);
    expect_key(search, IS_PAGE_KEY, expanded);
    expect_key(search, IS_BLOB_KEY, expanded);
    expect_key(search, IS_BLOB_SUBKEY, expanded);
    if (suite == ENVOL_SUITE_AES_256_GCM) {
        expect_key(search, IS_VOLUME_SUBKEY, expanded);
        expect_key(search, IS_OBJECT_SUBKEY, expanded);
        return;
    }
    for (enum kind kind = IS_XTS_KEY; kind <= IS_OBJECT_XTS_TWEAK_KEY; kind++)
        expect_key(search, kind, expanded);
}

/* _i: each kernel's, and then a debugger's.  With the arena's protection off, all that is in use is
 * there; plaintext still is not. */
START_TEST(keys_are_in_a_core_without_protection)
{
    bool by_debugger = _i / 2 == test_kernel_count(), expanded;
    const struct envol_aes_kernel *kernel =
        by_debugger ? envol_aes_kernel(false) : test_kernel(_i / 2);
    struct search *search;

    if (kernel == NULL)
        return;
    search = search_new();
    ck_assert(envol_aes_kernel_force(kernel->name));
    expanded = strncmp(kernel->name, "lib", 3) != 0;
    if (search_scene(search, UNPROTECTED, suite_of(_i), by_debugger, PAGE_READ)) {
        expect_keys(search, suite_of(_i), expanded);
        ck_assert_uint_eq(found_of(search, IS_PAGE), 0);
    }
    free(search);
}
END_TEST

/* What the application keeps itself is in its core: page, DEK and MAC key, whole. */
START_TEST(what_an_application_keeps_is_in_a_core)
{
    struct search *search = search_new();

    if (search_scene(search, CARELESS, suite_of(_i), false, PAGE_READ)) {
        ck_assert_uint_eq(found_of(search, IS_PAGE), PAGE / 16);
        ck_assert_uint_ge(found_of(search, IS_DEK), ENVOL_DEK_BYTES / 16);
        ck_assert_uint_ge(found_of(search, IS_MAC_KEY), 2);
        ck_assert_uint_eq(found_of(search, IS_PAGE_KEY), 0);
    }
    free(search);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_dump");
    TCase *tcase = tcase_create("cores");

    tcase_add_loop_test(tcase, no_secret_is_in_a_core, 0, 2 * LASTS * test_kernel_count());
    tcase_add_loop_test(tcase, nor_in_a_debuggers_or_a_childs, 0, 4);
    tcase_add_loop_test(tcase, keys_are_in_a_core_without_protection, 0,
                        2 * test_kernel_count() + 2);
    tcase_add_loop_test(tcase, what_an_application_keeps_is_in_a_core, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
