/* SPDX-License-Identifier: BSD-2-Clause */
/* The fixture of the suites on key files. */
#include "key_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct key_fixture key;

static void set_up(void)
{
    struct envol_key_info info = {.struct_size = sizeof(info)};
    struct envol_key_request request = key_request(NULL);

    key = (struct key_fixture){
        .wrapped.struct_size = sizeof(key.wrapped),
        .error = ENVOL_ERROR_INIT,
    };
    ck_assert_ptr_nonnull(getcwd(key.start, sizeof(key.start)));
    snprintf(key.directory, sizeof(key.directory), "%s", test_path("keys"));
    snprintf(key.path, sizeof(key.path), "%s/key", key.directory);
    ck_assert_int_eq(mkdir(key.directory, 0755), 0);
    ck_ok(envol_key_file_create(key.path, &key.error));
    ck_ok(envol_file_provider_open(key.path, &key.provider));
    ck_ok(envol_provider_describe(key.provider, &request, &info, &key.error));
    snprintf(key.id, sizeof(key.id), "%.36s", info.key_ref);
}

static void empty_directory(void)
{
    char path[sizeof(key.directory) + 256 + 1];
    DIR *list = opendir(key.directory);
    const struct dirent *entry;

    while (list != NULL && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", key.directory, entry->d_name);
        ck_assert_int_eq(remove(path), 0);
    }
    if (list != NULL)
        closedir(list);
}

static void tear_down(void)
{
    ck_assert_int_eq(chdir(key.start), 0);
    envol_provider_close(key.provider);
    empty_directory();
    ck_assert_int_eq(rmdir(key.directory), 0);
}

TCase *key_case(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);

    tcase_add_checked_fixture(tests, set_up, tear_down);
    suite_add_tcase(suite, tests);
    return tests;
}

struct envol_key_request key_request(const char *version)
{
    static const struct envol_context_pair pairs[] = {
        {"envol:epoch", "1"},
        {"envol:purpose", "dek"},
        {"envol:volume", "0b3f1e5a-7d4c-4a8e-9a57-8b6f0d1c2e3f"},
    };

    return (struct envol_key_request){
        .struct_size = sizeof(struct envol_key_request),
        .key_version = version,
        .context = pairs,
        .context_pairs = 3,
    };
}

void key_generate(void)
{
    struct envol_key_request request = key_request(NULL);

    ck_ok(envol_provider_generate(key.provider, &request, key.dek, &key.wrapped, &key.error));
}

void key_unwraps(void)
{
    struct envol_key_request request = key_request(key.wrapped.key_version);
    uint8_t dek[ENVOL_DEK_BYTES];

    ck_ok(envol_provider_unwrap(key.provider, &request, key.wrapped.wrapped,
                                key.wrapped.wrapped_bytes, dek, &key.error));
    ck_assert_mem_eq(dek, key.dek, sizeof(dek));
}

static const struct envol_key_info *describe(void)
{
    static struct envol_key_info info;
    struct envol_key_request request = key_request(NULL);

    info.struct_size = sizeof(info);
    ck_ok(envol_provider_describe(key.provider, &request, &info, &key.error));
    return &info;
}

enum envol_key_state key_state(void)
{
    return describe()->state;
}

const char *key_newest(void)
{
    return describe()->key_version;
}

size_t file_read(const char *path, void *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    got = read(fd, out, KEY_FILE_ROOM);
    ck_assert_int_ge(got, 0);
    close(fd);
    return (size_t)got;
}

void file_write(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

unsigned directory_entries(char other[256])
{
    DIR *list = opendir(key.directory);
    const struct dirent *entry;
    unsigned count = 0;

    ck_assert_ptr_nonnull(list);
    other[0] = '\0';
    while ((entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        if (strcmp(entry->d_name, "key") != 0)
            snprintf(other, 256, "%s", entry->d_name);
    }
    closedir(list);
    return count;
}

bool file_is(const char *path, const uint8_t *content, size_t size)
{
    uint8_t now[KEY_FILE_ROOM];

    return file_read(path, now) == size && memcmp(now, content, size) == 0;
}
