/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: KEY=VALUE parameters of nbdkit into a struct device_config. */
#include "device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* nbdkit goes to another directory when it forks, and key files are read again later. */
static int take_cmk(struct device_config *config, const char *uri)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    const char *file;
    char *path;

    if (config->cmk_count == ENVOL_SLOTS_MAX) {
        nbdkit_error("cmk: more than %d", (int)ENVOL_SLOTS_MAX);
        return -1;
    }
    if (cmk_check(uri, &error) != ENVOL_OK) {
        nbdkit_error("cmk=%.*s: %s", (int)strcspn(uri, ":"), uri, error.message);
        return -1;
    }
    file = cmk_secret_file(uri);
    if (file != NULL) {
        path = nbdkit_absolute_path(file);
        if (path == NULL)
            return -1;
        uri = nbdkit_printf_intern("%.*s%s", (int)(file - uri), uri, path);
        free(path);
    } else {
        uri = nbdkit_strdup_intern(uri);
    }
    if (uri == NULL)
        return -1;
    config->cmks[config->cmk_count++] = uri;
    return 0;
}

static int take_path(const char *value, const char **to)
{
    char *path = nbdkit_absolute_path(value);

    *to = path != NULL ? nbdkit_strdup_intern(path) : NULL;
    free(path);
    return *to != NULL ? 0 : -1;
}

static int take_bool(const char *value, bool *to)
{
    int answer = nbdkit_parse_bool(value);

    *to = answer == 1;
    return answer < 0 ? -1 : 0;
}

/* Seconds, parts of them too.  none: where 0 means something of its own. */
static int take_seconds(const char *key, const char *value, uint32_t *ms, bool *none)
{
    char *end;
    double seconds = strtod(value, &end);

    if (end == value || *end != '\0' || !isfinite(seconds) || seconds < 0 || seconds > 4000000) {
        nbdkit_error("%s=%s: not a number of seconds", key, value);
        return -1;
    }
    *none = seconds == 0;
    *ms = seconds > 0 && seconds < 0.001 ? 1 : (uint32_t)(seconds * 1000);
    return 0;
}

static int take_suite(struct device_config *config, const char *value)
{
    config->xts = strcmp(value, "aes-256-xts") == 0;
    if (config->xts || strcmp(value, "aes-256-gcm") == 0)
        return 0;
    nbdkit_error("suite=%s: there is aes-256-gcm and aes-256-xts", value);
    return -1;
}

static int take_page(struct device_config *config, const char *value)
{
    config->page_bytes = parse_bytes(value);
    if (config->page_bytes >= ENVOL_PAGE_BYTES_MIN && config->page_bytes <= ENVOL_PAGE_BYTES_MAX &&
        (config->page_bytes & (config->page_bytes - 1)) == 0)
        return 0;
    nbdkit_error("page=%s: a power of two from 512 to 16M", value);
    return -1;
}

static int take_size(struct device_config *config, const char *value)
{
    config->size = nbdkit_parse_size(value);
    return config->size < 0 ? -1 : 0;
}

static int take_atomic(struct device_config *config, const char *value)
{
    bool atomic;
    int result = take_bool(value, &atomic);

    config->tears = !atomic;
    return result;
}

int config_take(struct device_config *config, const char *key, const char *value)
{
    if (strcmp(key, "volume") == 0)
        return take_path(value, &config->volume);
    if (strcmp(key, "cmk") == 0)
        return take_cmk(config, value);
    if (strcmp(key, "space") == 0)
        return take_path(value, &config->space);
    if (strcmp(key, "create") == 0)
        return take_bool(value, &config->create);
    if (strcmp(key, "size") == 0)
        return take_size(config, value);
    if (strcmp(key, "suite") == 0)
        return take_suite(config, value);
    if (strcmp(key, "page") == 0)
        return take_page(config, value);
    if (strcmp(key, "sparse") == 0)
        return take_bool(value, &config->sparse);
    if (strcmp(key, "atomic") == 0)
        return take_atomic(config, value);
    if (strcmp(key, "lease") == 0)
        return take_seconds(key, value, &config->lease_ms, &config->no_lease);
    if (strcmp(key, "grace") == 0)
        return take_seconds(key, value, &config->grace_ms, &config->no_grace);
    nbdkit_error("%s: unknown parameter; see nbdkit envol --help", key);
    return -1;
}

int config_check(struct device_config *config)
{
    const char *standard = getenv("ENVOL_CMK");

    if (config->volume == NULL) {
        nbdkit_error("volume=PATH is missing");
        return -1;
    }
    if (config->cmk_count == 0 && standard != NULL && *standard != '\0' &&
        take_cmk(config, standard) != 0)
        return -1;
    if (config->cmk_count == 0) {
        nbdkit_error("cmk=URI is missing, and ENVOL_CMK is not set");
        return -1;
    }
    if (config->create && config->size <= 0) {
        nbdkit_error("create=true: size=SIZE is missing");
        return -1;
    }
    return 0;
}
