/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the providers aws-kms and vault leave in memory: nothing of a DEK or of a request once the
 * call is over, and credentials in locked memory alone, until the provider is closed.  The service
 * is on plain http: what a TLS library keeps is beyond this library's reach (envol-kms(7)).
 */
#include "key_server.h"
#include "kms_fixture.h"

#include "kms/heap.h"
#include "kms/sigv4.h"
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VAULT_KEY "transit/one"

/* Of every secret so many bytes are as good as all. */
enum { NEEDLE = 20 };

/* The test's own copies, in pages that no search looks into. */
static struct own {
    uint8_t dek[ENVOL_DEK_BYTES];
    char dek_text[96];
    char secret_key[41], token[73]; /* AWS: of the options, or given out */
    char base_key[41];              /* of the profile that assumes a role */
    char vault_token[41], role_secret[41];
    unsigned char signing_key[32];
    char file[512];
    struct envol_wrapped_dek wrapped;
} * own;
static struct envol_error error = ENVOL_ERROR_INIT;

struct sightings {
    int locked, unlocked;
};

/* In place: a copy of the memory would be one more. */
static int count_in(const char *from, const char *to, const void *needle)
{
    int found = 0;

    while (from < to && (from = memmem(from, (size_t)(to - from), needle, NEEDLE)) != NULL) {
        from++;
        found++;
    }
    return found;
}

static int count_outside(uintptr_t from, uintptr_t to, const void *needle)
{
    uintptr_t begin = (uintptr_t)own, end = begin + sizeof(*own);

    if (to <= begin || from >= end)
        return count_in((const char *)from, (const char *)to, needle);
    return (from < begin ? count_in((const char *)from, (const char *)begin, needle) : 0) +
           (to > end ? count_in((const char *)end, (const char *)to, needle) : 0);
}

/* All memory of this process that can be written, dead stack frames and freed blocks included. */
static struct sightings look_for(const void *needle)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    struct sightings found = {0, 0};
    unsigned long from = 0, to = 0, next_from, next_to;
    char line[512], may[8] = "", next_may[8];

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &next_from, &next_to, next_may) == 3) {
            from = next_from;
            to = next_to;
            memcpy(may, next_may, sizeof(may));
        } else if (strncmp(line, "VmFlags:", 8) == 0 && may[0] == 'r' && may[1] == 'w') {
            int *count = strstr(line, " lo ") == NULL ? &found.unlocked : &found.locked;

            *count += count_outside(from, to, needle);
        }
    }
    fclose(maps);
    return found;
}

static void ck_nowhere(const char *what, const void *needle)
{
    struct sightings found = look_for(needle);

    ck_assert_msg(found.locked + found.unlocked == 0, "%s: %d times, and %d times in locked memory",
                  what, found.unlocked, found.locked);
}

/* What a provider keeps while it is open. */
static void ck_locked(const char *what, const void *needle)
{
    struct sightings found = look_for(needle);

    ck_assert_msg(found.unlocked == 0 && found.locked > 0,
                  "%s: %d times, and %d times in locked memory", what, found.unlocked,
                  found.locked);
}

static void fill_text(char *out, size_t capacity)
{
    uint8_t bytes[64];

    test_fill(bytes, sizeof(bytes));
    sodium_bin2hex(out, capacity, bytes, (capacity - 1) / 2);
    sodium_memzero(bytes, sizeof(bytes));
}

/* False: this machine cannot show it. */
static bool begin(void)
{
    if (test_tool() != NULL) {
        test_skip("secrets in memory", "the tool keeps copies of freed memory");
        return false;
    }
    own = mmap(NULL, sizeof(*own), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(own, MAP_FAILED);
    if (mlock(own, sizeof(*own)) != 0) {
        test_skip("secrets in memory", "memory cannot be locked here");
        return false;
    }
    test_fill(own->dek, sizeof(own->dek));
    fill_text(own->secret_key, sizeof(own->secret_key));
    fill_text(own->token, sizeof(own->token));
    fill_text(own->base_key, sizeof(own->base_key));
    fill_text(own->vault_token, sizeof(own->vault_token));
    fill_text(own->role_secret, sizeof(own->role_secret));
    own->wrapped.struct_size = sizeof(own->wrapped);
    key_server_say("key one derived");
    return true;
}

/* The buffer of the stream to the server has what was said last, until more is said. */
static void forget_line(void)
{
    key_server_say("count %01000d", 0);
}

static void write_own_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, own->file, strlen(own->file)), (ssize_t)strlen(own->file));
    close(fd);
}

/* The DEK, in bytes and as it is sent: any part of its text will do. */
static void ck_no_dek(const char *after)
{
    sodium_bin2base64(own->dek_text, sizeof(own->dek_text), own->dek, sizeof(own->dek),
                      sodium_base64_VARIANT_ORIGINAL);
    ck_nowhere(after, own->dek + 8);
    ck_nowhere(after, own->dek_text + 40);
}

/* Every call that a DEK is in; check is made after each. */
static void make_calls(struct envol_provider *provider, const char *key_ref, void (*check)(void))
{
    struct envol_key_request request = kms_request(key_ref, NULL);
    struct envol_key_info info = {.struct_size = sizeof(info)};

    ck_ok(envol_provider_wrap(provider, &request, own->dek, &own->wrapped, &error));
    ck_no_dek("wrap");
    check();
    sodium_memzero(own->dek, sizeof(own->dek));
    request.key_version = own->wrapped.key_version;
    ck_ok(envol_provider_unwrap(provider, &request, own->wrapped.wrapped,
                                own->wrapped.wrapped_bytes, own->dek, &error));
    ck_no_dek("unwrap");
    check();
    request.key_version = NULL;
    ck_ok(envol_provider_generate(provider, &request, own->dek, &own->wrapped, &error));
    ck_no_dek("generate");
    check();
    ck_ok(envol_provider_describe(provider, &request, &info, &error));
    check();
}

/* A search that finds nothing would be as content. */
START_TEST(a_copy_is_found)
{
    struct sightings found;
    char *copy, *locked;

    if (!begin())
        return;
    copy = malloc(sizeof(own->dek));
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, own->dek, sizeof(own->dek));
    found = look_for(own->dek + 8);
    ck_assert_int_eq(found.unlocked, 1);
    ck_assert_int_eq(found.locked, 0);
    locked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(locked, MAP_FAILED);
    ck_assert_int_eq(mlock(locked, 4096), 0);
    memcpy(locked + 100, own->dek, sizeof(own->dek));
    explicit_bzero(copy, sizeof(own->dek));
    found = look_for(own->dek + 8);
    ck_assert_int_eq(found.unlocked, 0);
    ck_assert_int_eq(found.locked, 1);
    explicit_bzero(locked, 4096);
    ck_no_dek("wiped");
    munmap(locked, 4096);
    free(copy);
}
END_TEST

/* What libcurl grows its buffers with. */
START_TEST(a_block_that_moves_is_wiped)
{
    char *block, *moved;

    if (!begin())
        return;
    block = envol_kms_heap_resize(NULL, sizeof(own->dek));
    ck_assert_ptr_nonnull(block);
    memcpy(block, own->dek, sizeof(own->dek));
    moved = envol_kms_heap_resize(block, 100000);
    ck_assert_ptr_nonnull(moved);
    ck_assert_mem_eq(moved, own->dek, sizeof(own->dek));
    ck_assert_int_eq(look_for(own->dek + 8).unlocked, 1);
    block = envol_kms_heap_resize(moved, 16);
    ck_assert_ptr_nonnull(block);
    ck_assert_mem_eq(block, own->dek, 16);
    ck_nowhere("the rest of a block", own->dek + 16);
    envol_kms_heap_free(block);
    ck_assert_ptr_null(envol_kms_heap_resize(NULL, SIZE_MAX / 2));
}
END_TEST

/* --- AWS KMS --- */

static void find_signing_key(const char *secret_key)
{
    char date[ENVOL_KMS_DATE_BYTES];
    const struct envol_kms_signed request = {.secret_access_key = secret_key,
                                             .region = AWS_REGION_OF_TESTS,
                                             .service = "kms",
                                             .date = date};

    envol_kms_sigv4_date(time(NULL), date);
    envol_kms_sigv4_key(&request, own->signing_key);
    ck_nowhere("the signing key", own->signing_key);
}

static void check_aws(void)
{
    find_signing_key(own->secret_key);
    ck_locked("the secret access key", own->secret_key);
    ck_locked("the session token", own->token);
}

static void ck_no_aws(void)
{
    ck_nowhere("the secret access key", own->secret_key);
    ck_nowhere("the session token", own->token);
    ck_nowhere("the base's secret access key", own->base_key);
}

START_TEST(aws_with_given_credentials)
{
    struct envol_aws_kms_options options = aws_options();
    struct envol_provider *provider;

    if (!begin())
        return;
    key_server_say("accept ASIAOWN %s %s", own->secret_key, own->token);
    forget_line();
    options.access_key_id = "ASIAOWN";
    options.secret_access_key = own->secret_key;
    options.session_token = own->token;
    provider = aws_open(&options);
    make_calls(provider, AWS_KEY, check_aws);
    envol_provider_close(provider);
    ck_no_aws();
}
END_TEST

static void by_file(void)
{
    snprintf(own->file, sizeof(own->file),
             "[default]\naws_access_key_id=ASIAOWN\naws_secret_access_key=%s\n"
             "aws_session_token=%s\n",
             own->secret_key, own->token);
    write_own_file(test_path("credentials"));
    setenv("AWS_SHARED_CREDENTIALS_FILE", test_path("credentials"), 1);
}

static void by_process(void)
{
    char config[600];

    snprintf(own->file, sizeof(own->file),
             "{\"Version\":1,\"AccessKeyId\":\"ASIAOWN\",\"SecretAccessKey\":\"%s\","
             "\"SessionToken\":\"%s\"}",
             own->secret_key, own->token);
    write_own_file(test_path("answer"));
    snprintf(config, sizeof(config), "[default]\ncredential_process = cat %s\n",
             test_path("answer"));
    setenv("AWS_CONFIG_FILE", key_file_write("config", config), 1);
}

static void by_container(void)
{
    char url[100];

    snprintf(url, sizeof(url), "%s/container", key_server.url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token", 1);
}

static void by_instance(void)
{
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", key_server.url, 1);
}

/* In XML, to a request that is signed with another secret. */
static void by_role(void)
{
    key_server_say("accept AKIABASE %s", own->base_key);
    snprintf(own->file, sizeof(own->file),
             "[base]\naws_access_key_id=AKIABASE\naws_secret_access_key=%s\n", own->base_key);
    write_own_file(test_path("credentials"));
    setenv("AWS_SHARED_CREDENTIALS_FILE", test_path("credentials"), 1);
    setenv("AWS_CONFIG_FILE",
           key_file_write("config", "[default]\nrole_arn=arn:aws:iam::1:role/r\n"
                                    "source_profile=base\n"),
           1);
    setenv("AWS_ENDPOINT_URL_STS", key_server.url, 1);
}

static void (*const sources[])(void) = {by_file, by_process, by_container, by_instance, by_role};

START_TEST(aws_with_fetched_credentials)
{
    const struct envol_aws_kms_options options = {
        .struct_size = sizeof(options), .region = AWS_REGION_OF_TESTS, .endpoint = key_server.url};
    struct envol_provider *provider;

    if (!begin())
        return;
    key_server_say("give ASIAOWN %s %s 3600", own->secret_key, own->token);
    key_server_say("accept ASIAOWN %s %s", own->secret_key, own->token);
    sources[_i]();
    forget_line();
    provider = aws_open(&options);
    make_calls(provider, AWS_KEY, check_aws);
    ck_nowhere("the base's secret access key", own->base_key);
    envol_provider_close(provider);
    ck_no_aws();
}
END_TEST

/* --- Vault --- */

static void check_token(void)
{
    ck_locked("the token", own->vault_token);
}

static void check_role(void)
{
    ck_locked("the token", own->vault_token);
    ck_locked("the secret ID", own->role_secret);
}

/* A token file is read at each call. */
static void check_file_token(void)
{
    ck_nowhere("the token", own->vault_token);
}

static void (*const token_checks[])(void) = {check_token, check_role, check_file_token};

static struct envol_provider *open_vault(int by)
{
    struct envol_vault_options options = vault_options();
    char home[512];

    key_server_say("token %s", own->vault_token);
    key_server_say("role %s", own->role_secret);
    forget_line();
    options.token = by == 0 ? own->vault_token : NULL;
    if (by == 1) {
        options.role_id = "the-role";
        options.secret_id = own->role_secret;
    }
    if (by == 2) {
        memcpy(own->file, own->vault_token, sizeof(own->vault_token));
        write_own_file(test_path(".vault-token"));
        snprintf(home, sizeof(home), "%s", test_path(".vault-token"));
        *strrchr(home, '/') = '\0';
        setenv("HOME", home, 1);
    }
    return vault_open(&options);
}

START_TEST(vault)
{
    struct envol_provider *provider;

    if (!begin())
        return;
    provider = open_vault(_i);
    make_calls(provider, VAULT_KEY, token_checks[_i]);
    envol_provider_close(provider);
    ck_nowhere("the token", own->vault_token);
    ck_nowhere("the secret ID", own->role_secret);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kms_memory");
    TCase *c = key_server_case(suite, "secrets", key_server_begin);

    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_copy_is_found);
    tcase_add_test(c, a_block_that_moves_is_wiped);
    tcase_add_test(c, aws_with_given_credentials);
    tcase_add_loop_test(c, aws_with_fetched_credentials, 0, sizeof(sources) / sizeof(sources[0]));
    tcase_add_loop_test(c, vault, 0, sizeof(token_checks) / sizeof(token_checks[0]));
    return test_run(suite);
}
