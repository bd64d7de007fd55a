/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No file that a run of the command or the library writes holds a key, and none that is not meant
 * to holds plaintext: volumes, snapshots, logs, catalogs, backups, their lists, raw copies,
 * restored volumes, a keyring and its objects, audit logs, what killed runs leave.
 */
#include "needles.h"
#include "page/keyring.h"
#include "page_oracle.h"
#include "support.h"
#include "volume_fixture.h"

#include <dirent.h>
#include <envol/log.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT = 1500000, TEXT_STEP = TEXT / 250 / 16 * 16, SALTS = 3, FILE_MAX = 1 << 22 };
enum { KEYS = 2, CMK_AT = 56, CMK_STEP = 48 };

struct run {
    enum envol_suite suite;
    const char *suite_name;
    char directory[PATH_MAX], build[PATH_MAX];
    struct needles needles;
    size_t texts, keys; /* needles before are text; before, those of key files; others, of DEKs */
    bool found[NEEDLES_MAX];
    uint8_t *bytes; /* of one file */
    uint8_t text[TEXT];
};

/* --- commands --- */

/* In the directory of the run, by the shell; its exit status. */
__attribute__((format(printf, 2, 3))) static int shell(const struct run *run, const char *format,
                                                       ...)
{
    char line[1024], command[sizeof(line) + 2 * PATH_MAX + 64];
    va_list arguments;
    int status;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    snprintf(command, sizeof(command), "cd '%s' && PATH='%s':$PATH && { %s; } >>printed 2>&1",
             run->directory, run->build, line);
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define ck_shell(run, ...) ck_assert_int_eq(shell(run, __VA_ARGS__), 0)

static void put_file(const struct run *run, const char *name, const void *bytes, size_t count)
{
    char path[PATH_MAX + NAME_MAX + 2];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", run->directory, name);
    file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

static size_t get_file(struct run *run, const char *name)
{
    char path[PATH_MAX + NAME_MAX + 2];
    FILE *file;
    size_t count;

    snprintf(path, sizeof(path), "%s/%s", run->directory, name);
    file = fopen(path, "re");
    ck_assert_msg(file != NULL, "no file %s", name);
    count = fread(run->bytes, 1, FILE_MAX, file);
    ck_assert_int_ne(feof(file), 0); /* all of it */
    fclose(file);
    return count;
}

static struct run *run_new(enum envol_suite suite)
{
    struct run *run = calloc(1, sizeof(*run));

    ck_assert_ptr_nonnull(run);
    run->bytes = malloc(FILE_MAX);
    ck_assert_ptr_nonnull(run->bytes);
    run->suite = suite;
    run->suite_name = suite == ENVOL_SUITE_AES_256_XTS ? "aes-256-xts" : "aes-256-gcm";
    ck_assert_ptr_nonnull(realpath(test_build(), run->build));
    ck_assert_ptr_nonnull(realpath(test_path("."), run->directory));
    test_fill(run->text, sizeof(run->text));
    put_file(run, "text", run->text, TEXT);
    return run;
}

static void run_free(struct run *run)
{
    free(run->bytes);
    free(run);
}

/* --- what writes files --- */

static void use_the_command(const struct run *run)
{
    ck_shell(run, "envol keygen a.key && envol key rotate a.key && envol keygen b.key");
    ck_shell(run, "envol create v.vol --cmk file:a.key --suite %s --audit a.log", run->suite_name);
    ck_shell(run, "envol import v.vol --cmk file:a.key text --audit a.log");
    ck_shell(run, "envol slot add v.vol --cmk file:a.key --to file:b.key --audit a.log");
    ck_shell(run, "envol key rotate a.key");
    ck_shell(run, "envol rewrap v.vol --cmk file:a.key --to file:a.key --audit a.log");
    ck_shell(run, "envol export v.vol --cmk file:b.key --audit a.log | cmp - text");
    ck_shell(run, "envol info v.vol --json --cmk file:a.key --audit a.log");
    ck_shell(run, "envol create --cmk file:b.key w.vol --suite %s", run->suite_name);
}

/* All pages change after the snapshot, so its file keeps all of them. */
static void use_backups(const struct run *run)
{
    const char *changes = run->suite == ENVOL_SUITE_AES_256_GCM ? "--changes list" : "";

    ck_shell(run, "envol snapshot create v.vol --cmk file:a.key");
    ck_shell(run, "envol backup v.vol --cmk file:a.key --to file:b.key --record %s full", changes);
    ck_shell(run, "envol import v.vol --cmk file:a.key --force text");
    ck_shell(run, "envol backup v.vol --cmk file:a.key --to file:b.key --record %s next", changes);
    ck_shell(run, "envol backup v.vol --raw --record --cmk file:a.key raw");
    ck_shell(run, "envol restore r.vol --cmk file:b.key --from file:b.key full%s",
             *changes != 0 ? " next" : "");
    ck_shell(run, "envol catalog list v.vol --cmk file:a.key --json");
    ck_shell(run, "envol info v.vol --cmk file:a.key --ledger");
}

/* Records alone and in a batch, two segments. */
static void use_a_log(struct run *run)
{
    struct envol_log_entry entries[2] = {{.data = run->text, .bytes = 20000},
                                         {.data = run->text + 500000, .bytes = 1000}};
    struct envol_volume_options options = {.struct_size = sizeof(options)};
    struct envol_provider *provider;
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_log *log;
    char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/a.key", run->directory);
    ck_ok(envol_file_provider_open(path, &provider));
    snprintf(path, sizeof(path), "%s/v.vol.d", run->directory);
    ck_ok(envol_directory_space_open(path, 0, &options.space, NULL));
    snprintf(path, sizeof(path), "%s/v.vol", run->directory);
    ck_ok(envol_file_store_open(path, 0, &store, NULL));
    ck_ok(
        envol_volume_open(store, &(struct envol_cmk){provider, NULL}, 1, &options, &volume, NULL));
    ck_ok(envol_log_create(volume, options.space, NULL, &log, NULL));
    for (size_t at = 0; at < 400000; at += 8192)
        ck_ok(envol_log_append(log, run->text + at, 8192, NULL, NULL));
    ck_ok(envol_log_next_segment(log, NULL));
    ck_ok(envol_log_append_batch(log, entries, 2, NULL));
    ck_ok(envol_log_close(log, NULL));
    ck_ok(envol_volume_close(volume));
    envol_store_close(store);
    envol_space_close(options.space);
    envol_provider_close(provider);
}

/* An export and an import, each killed at a call that writes.  False: the tracer may not trace. */
static bool be_killed(const struct run *run)
{
    static const char kill[] = "strace -f -o killed -e trace=%s -e inject=%s:signal=KILL:when=%d+ ";
    const char *pages = "pwrite64,pwritev,pwritev2";
    char line[256];

    if (shell(run, "strace -o killed -e trace=none true") != 0) {
        test_skip("what killed runs leave", "strace is missing or may not trace");
        return false;
    }
    snprintf(line, sizeof(line), kill, "write", "write", 2);
    ck_assert_int_ne(shell(run, "%s envol export v.vol --cmk file:a.key back", line), 0);
    ck_assert_int_ne(shell(run, "test -e back"), 0);
    ck_shell(run, "test -s .envol-export-*");
    snprintf(line, sizeof(line), kill, pages, pages, 10);
    ck_assert_int_ne(shell(run, "%s envol import w.vol --cmk file:b.key text", line), 0);
    ck_shell(run, "grep -q KILL killed && test $(stat -c %%s w.vol) -gt 500000");
    return true;
}

/* A volume without pages is a keyring; the engine's own file holds a page and a blob. */
static void use_a_keyring(struct run *run)
{
    static const uint8_t id[ENVOL_OBJECT_BYTES] = "of an engine";
    const struct envol_header_params params = {.struct_size = sizeof(params), .suite = run->suite};
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};
    struct envol_geometry geometry = {.struct_size = sizeof(geometry)};
    struct envol_volume *volume;
    struct envol_provider *provider;
    struct envol_store *store;
    struct envol_object *object;
    size_t blob_bytes = 5000 + ENVOL_TRAILER_BYTES;
    char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/b.key", run->directory);
    ck_ok(envol_file_provider_open(path, &provider));
    snprintf(path, sizeof(path), "%s/k.vol", run->directory);
    ck_ok(envol_file_store_open(path, ENVOL_FILE_CREATE, &store, NULL));
    ck_ok(envol_volume_create(store, &(struct envol_cmk){provider, NULL}, 1, &options, &volume,
                              NULL));
    ck_ok(envol_keyring_geometry(envol_volume_keyring(volume), &geometry));
    ck_ok(envol_object_open(envol_volume_keyring(volume), id, &object));
    ck_ok(envol_page_seal(object, NULL, 1, run->text, run->bytes));
    ck_ok(envol_blob_seal(object, NULL, NULL, 0, run->text, 5000,
                          run->bytes + geometry.stride_bytes));
    put_file(run, "object", run->bytes, geometry.stride_bytes + blob_bytes);
    envol_object_close(object);
    ck_ok(envol_volume_close(volume));
    envol_store_close(store);
    envol_provider_close(provider);
}

/* --- what must not be in them --- */

/* A secret as it is, and in hexadecimal, as a log would have it. */
static void add_secret(struct run *run, const uint8_t *secret, size_t bytes)
{
    char hex[2 * ENVOL_DEK_BYTES + 1];

    for (size_t i = 0; i < bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", secret[i]);
    needles_add_text(&run->needles, (const uint8_t *)hex, 2 * bytes);
}

static void add_key_file(struct run *run, const char *name)
{
    size_t bytes = get_file(run, name);

    for (size_t at = CMK_AT; at + 32 <= bytes; at += CMK_STEP)
        needles_add_text(&run->needles, run->bytes + at, 32);
}

static void add_key(struct run *run, const struct oracle *o, const char *purpose,
                    const uint8_t *object, const uint8_t *salt)
{
    uint8_t key[64], subkey[32];

    oracle_key(o, purpose, object, 0, key, memcmp(purpose, "page-xts", 8) == 0 ? 64 : 32);
    if (salt != NULL)
        oracle_subkey(key, salt, subkey);
    needles_add_aes(&run->needles, salt != NULL ? subkey : key);
    if (memcmp(purpose, "page-xts", 8) == 0)
        needles_add_aes(&run->needles, key + 32);
}

static void add_dek(struct run *run, const char *volume, const char *key, struct oracle *o)
{
    uint8_t mac[32];

    ck_shell(run, "reveal_dek %s %s >../dek", volume, key);
    ck_assert_uint_eq(get_file(run, "../dek"), 2 * ENVOL_DEK_BYTES + 1);
    run->bytes[(size_t)2 * ENVOL_DEK_BYTES] = '\0';
    *o = (struct oracle){.suite = (uint16_t)run->suite, .epoch = 1, .format = 1};
    test_unhex((const char *)run->bytes, o->dek, sizeof(o->dek));
    ck_shell(run, "rm ../dek");
    get_file(run, volume);
    memcpy(o->uuid, run->bytes + 24, sizeof(o->uuid));
    needles_add_hmac(&run->needles, o->dek, sizeof(o->dek));
    add_secret(run, o->dek, sizeof(o->dek));
    oracle_key(o, "hdr-mac\0", NULL, 0, mac, sizeof(mac));
    needles_add_hmac(&run->needles, mac, sizeof(mac));
    add_key(run, o, "page-gcm", NULL, NULL);
    add_key(run, o, "blob-gcm", NULL, NULL);
}

/* Keys of what is beside the volume: the root of its log, and a snapshot's. */
static void add_keys_beside(struct run *run, const struct oracle *o)
{
    uint8_t key[64], uuid[16];

    oracle_key(o, "log-root", NULL, 0, key, 64);
    needles_add_hmac(&run->needles, key, 64);
    get_file(run, "v.vol");
    memcpy(uuid, run->bytes + 1024, sizeof(uuid)); /* the snapshot table */
    oracle_key(o, "snapshot", uuid, 0, key, 32);
    needles_add_hmac(&run->needles, key, 32);
    oracle_key(o, "backup\0\0", NULL, 0, key, 32); /* of lists of changes */
    needles_add_hmac(&run->needles, key, 32);
}

/* The keys that XAES-256-GCM derived for the salts of a volume's pages; of XTS, those of its space.
 * run->bytes holds the volume. */
static void add_page_keys(struct run *run, const struct oracle *o)
{
    static const uint8_t whole_volume[ENVOL_OBJECT_BYTES];
    const uint8_t *last = run->bytes;
    size_t salts = 0;

    if (run->suite == ENVOL_SUITE_AES_256_XTS) {
        add_key(run, o, "page-xts", whole_volume, NULL);
        return;
    }
    for (size_t i = 0; i < 10 && salts < SALTS; i++) {
        const uint8_t *salt = run->bytes + ENVOL_HEADER_BYTES +
                              (i + 1) * ENVOL_STRIDE_BYTES_DEFAULT - ENVOL_TRAILER_BYTES + 8;
        if (memcmp(salt, last, 12) != 0) {
            add_key(run, o, "page-gcm", NULL, salt);
            salts++;
        }
        last = salt;
    }
    ck_assert_uint_gt(salts, 0);
}

static void find_out(struct run *run)
{
    struct oracle o;

    for (size_t at = 0; at + 16 <= TEXT; at += TEXT_STEP)
        needles_add(&run->needles, run->text + at);
    run->texts = run->needles.count;
    add_key_file(run, "a.key");
    add_key_file(run, "b.key");
    run->keys = run->needles.count;
    ck_assert_uint_eq(run->keys - run->texts, 2 * (3 + 1)); /* versions of both */
    add_dek(run, "v.vol", "a.key", &o);
    add_page_keys(run, &o);
    add_keys_beside(run, &o);
    add_dek(run, "r.vol", "b.key", &o);
    add_page_keys(run, &o);
    add_dek(run, "k.vol", "b.key", &o);
    get_file(run, "a.key");
    for (size_t at = CMK_AT; at < CMK_AT + 3 * CMK_STEP; at += CMK_STEP)
        add_secret(run, run->bytes + at, 32);
}

/* --- the search --- */

static size_t count(const struct run *run, size_t from, size_t to)
{
    size_t found = 0;

    for (size_t i = from; i < to; i++)
        found += run->found[i];
    return found;
}

static void search(struct run *run, const char *name)
{
    size_t bytes = get_file(run, name);

    memset(run->found, 0, sizeof(run->found));
    needles_mark(&run->needles, run->bytes, run->bytes + bytes, run->found);
}

/* The same search finds all that is looked for at the end of a copy. */
static void search_copy(struct run *run, const char *name)
{
    size_t bytes = get_file(run, name), planted = run->needles.count * 16;

    ck_assert_uint_le(bytes + planted, FILE_MAX);
    memcpy(run->bytes + bytes, run->needles.needle, planted);
    put_file(run, "../planted", run->bytes, bytes + planted);
    search(run, "../planted");
    ck_assert_msg(count(run, 0, run->needles.count) == run->needles.count, "in a copy of %s", name);
}

static void check_file(struct run *run, const char *name)
{
    size_t texts, keys, deks;

    search_copy(run, name);
    search(run, name);
    texts = count(run, 0, run->texts);
    keys = count(run, run->texts, run->keys);
    deks = count(run, run->keys, run->needles.count);
    if (strcmp(name, "text") == 0)
        ck_assert_uint_eq(texts, run->texts);
    else if (strncmp(name, ".envol-export-", 14) == 0)
        ck_assert_uint_gt(texts, 0); /* what was asked for, in a file that only its owner reads */
    else
        ck_assert_msg(texts == 0, "%zu pieces of text in %s", texts, name);
    if (strstr(name, ".key") != NULL)
        ck_assert_uint_ge(keys, 2);
    else
        ck_assert_msg(keys == 0, "%zu pieces of a CMK in %s", keys, name);
    ck_assert_msg(deks == 0, "%zu pieces of what follows from a DEK in %s", deks, name);
}

/* Of the run's directory, or one in it; how many there were. */
static unsigned check_all(struct run *run, const char *within)
{
    char path[2 * PATH_MAX], name[PATH_MAX];
    DIR *entries;
    struct dirent *entry;
    unsigned files = 0;

    snprintf(path, sizeof(path), "%s/%s", run->directory, within);
    entries = opendir(path);
    ck_assert_ptr_nonnull(entries);
    while ((entry = readdir(entries)) != NULL) {
        if (entry->d_type == DT_DIR)
            continue;
        snprintf(name, sizeof(name), "%s%s", within, entry->d_name);
        check_file(run, name);
        files++;
    }
    closedir(entries);
    return files;
}

START_TEST(no_file_holds_a_secret)
{
    enum envol_suite suite = _i == 0 ? ENVOL_SUITE_AES_256_GCM : ENVOL_SUITE_AES_256_XTS;
    struct run *run;
    bool killed;

    if (envol_aes_kernel(suite == ENVOL_SUITE_AES_256_XTS) == NULL) {
        test_skip("XTS", "no kernel of this build does it");
        return;
    }
    run = run_new(suite);
    use_the_command(run);
    use_backups(run);
    use_a_log(run);
    killed = be_killed(run);
    use_a_keyring(run);
    find_out(run);
    /* text, a.key, b.key, v.vol, w.vol, k.vol, object, a.log, printed, killed; the export; full,
     * next, raw, r.vol; the list. */
    ck_assert_uint_eq(check_all(run, ""),
                      (killed ? 11u : 10u) + 4 + (suite == ENVOL_SUITE_AES_256_GCM));
    /* The snapshot, the catalog, two segments of the log. */
    ck_assert_uint_eq(check_all(run, "v.vol.d/"), 4);
    run_free(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secrets_in_files");
    TCase *tcase = tcase_create("files");

    tcase_add_loop_test(tcase, no_file_holds_a_secret, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
