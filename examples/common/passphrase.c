/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passphrases: passphrase:[OPTION,]...[env=NAME|file=PATH].  Asked for when the library first needs
 * it, kept in locked memory until the source is closed (each new wrapping is unwrapped once, and
 * nobody wants to type it a third time), and wiped then.
 */
#include "cmk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LABEL_BYTES = 256 };

/* What a URI says. */
struct parts {
    char label[LABEL_BYTES]; /* "": none */
    uint32_t memory_kib, passes;
    const char *variable; /* of the environment */
    const char *path;     /* neither: a person is asked */
};

/* One mapping, locked, and left out of core dumps. */
struct passphrase {
    const char *variable, *path;
    cmk_ask *ask;                          /* or NULL */
    size_t bytes;                          /* 0: not asked for yet */
    char text[ENVOL_PASSPHRASE_BYTES_MAX]; /* no NUL behind it */
    char again[ENVOL_PASSPHRASE_BYTES_MAX];
};

/* --- URIs --- */

/* The value of a setting KEY=VALUE of so many bytes, or NULL. */
static const char *value_of(const char *setting, size_t bytes, const char *key)
{
    size_t length = strlen(key);

    return bytes > length && memcmp(setting, key, length) == 0 && setting[length] == '='
               ? setting + length + 1
               : NULL;
}

static bool take_number(const char *value, size_t bytes, uint32_t unit, uint32_t min, uint32_t max,
                        uint32_t *number)
{
    char text[16];

    if (bytes >= sizeof text)
        return false;
    memcpy(text, value, bytes);
    text[bytes] = '\0';
    *number = parse_bytes(text);
    if (*number % unit != 0)
        return false;
    *number /= unit;
    return *number >= min && *number <= max;
}

static bool take_label(const char *value, size_t bytes, char label[LABEL_BYTES])
{
    if (bytes == 0 || bytes >= LABEL_BYTES)
        return false;
    memcpy(label, value, bytes);
    label[bytes] = '\0';
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)label[i] < 0x20 || label[i] == 0x7f)
            return false;
    }
    return true;
}

static bool take_setting(struct parts *parts, const char *setting, size_t bytes)
{
    const char *end = setting + bytes;
    const char *value;

    if ((value = value_of(setting, bytes, "label")) != NULL)
        return take_label(value, (size_t)(end - value), parts->label);
    if ((value = value_of(setting, bytes, "memory")) != NULL)
        return take_number(value, (size_t)(end - value), 1024, ENVOL_PASSPHRASE_MEMORY_KIB_MIN,
                           ENVOL_PASSPHRASE_MEMORY_KIB_MAX, &parts->memory_kib);
    if ((value = value_of(setting, bytes, "passes")) != NULL)
        return take_number(value, (size_t)(end - value), 1, ENVOL_PASSPHRASE_PASSES_MIN,
                           ENVOL_PASSPHRASE_PASSES_MAX, &parts->passes);
    return false;
}

/* env and file take all that follows, commas too.  What is wrong: the rest that was not understood,
 * or NULL. */
static const char *parse(const char *rest, struct parts *parts)
{
    *parts = (struct parts){.label = ""};
    while (*rest != '\0') {
        size_t bytes = strcspn(rest, ",");
        parts->variable = value_of(rest, strlen(rest), "env");
        parts->path = value_of(rest, strlen(rest), "file");
        if (parts->variable != NULL)
            return *parts->variable != '\0' && strchr(parts->variable, '=') == NULL ? NULL : rest;
        if (parts->path != NULL)
            return *parts->path != '\0' ? NULL : rest;
        if (!take_setting(parts, rest, bytes))
            return rest;
        rest += bytes;
        rest += *rest == ',';
    }
    return NULL;
}

enum envol_status passphrase_check(const char *rest, struct envol_error *error)
{
    struct parts parts;
    const char *wrong = parse(rest, &parts);

    if (wrong == NULL)
        return ENVOL_OK;
    return cmk_fail(error, ENVOL_E_ARGUMENT,
                    "\"%s\" is none of label=TEXT, memory=19M to 1024M, passes=2 to 16, and at the "
                    "end env=NAME or file=PATH",
                    wrong);
}

const char *passphrase_file(const char *rest)
{
    struct parts parts;

    return parse(rest, &parts) == NULL ? parts.path : NULL;
}

/* --- Where it comes from --- */

static enum envol_status from_environment(struct passphrase *passphrase, struct envol_error *error)
{
    const char *text = getenv(passphrase->variable);
    size_t bytes = text != NULL ? strlen(text) : 0;

    if (bytes == 0)
        return cmk_fail(error, ENVOL_E_CREDENTIALS, "the environment variable %s is not set",
                        passphrase->variable);
    if (bytes > sizeof passphrase->text)
        return cmk_fail(error, ENVOL_E_ARGUMENT, "the passphrase in %s is too long",
                        passphrase->variable);
    memcpy(passphrase->text, text, bytes);
    passphrase->bytes = bytes;
    return ENVOL_OK;
}

static enum envol_status check_access(int fd, const char *path, struct envol_error *error)
{
    struct stat about;

    if (fstat(fd, &about) != 0)
        return cmk_fail(error, ENVOL_E_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(about.st_mode) || (about.st_uid != geteuid() && about.st_uid != 0))
        return cmk_fail(error, ENVOL_E_KEY_DENIED, "%s: not a file of your own", path);
    if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return cmk_fail(error, ENVOL_E_KEY_DENIED,
                        "%s: mode is 0%o, and must be 0600 or 0400: closed to group and others",
                        path, (unsigned)(about.st_mode & 07777));
    return ENVOL_OK;
}

/* Up to capacity bytes; fewer only at the end.  -1: errno. */
static ssize_t read_all(int fd, char *to, size_t capacity)
{
    size_t done = 0;

    while (done < capacity) {
        ssize_t got = read(fd, to + done, capacity - done);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* One line: its newline is not part of it, and nothing follows. */
static enum envol_status take_line(struct passphrase *passphrase, size_t got, bool goes_on,
                                   struct envol_error *error)
{
    const char *end = memchr(passphrase->text, '\n', got);
    size_t bytes = end != NULL ? (size_t)(end - passphrase->text) : got;

    if (end != NULL ? bytes + 1 < got || goes_on : goes_on)
        return cmk_fail(error, ENVOL_E_ARGUMENT, "%s: more than one line, or a longer one than %u",
                        passphrase->path, ENVOL_PASSPHRASE_BYTES_MAX - 1);
    if (bytes == 0)
        return cmk_fail(error, ENVOL_E_CREDENTIALS, "%s: the passphrase is empty",
                        passphrase->path);
    passphrase->bytes = bytes;
    return ENVOL_OK;
}

static enum envol_status from_file(struct passphrase *passphrase, struct envol_error *error)
{
    int fd = open(passphrase->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    enum envol_status status;
    ssize_t got = 0, more = 0;

    if (fd < 0)
        return cmk_fail(error, errno == ENOENT ? ENVOL_E_CREDENTIALS : ENVOL_E_KEY_DENIED, "%s: %s",
                        passphrase->path, strerror(errno));
    status = check_access(fd, passphrase->path, error);
    if (status == ENVOL_OK) {
        got = read_all(fd, passphrase->text, sizeof passphrase->text);
        more = got < 0 ? got : read_all(fd, passphrase->again, 1);
        if (more < 0)
            status = cmk_fail(error, errno == EINTR ? ENVOL_E_CANCELLED : ENVOL_E_IO, "%s: %s",
                              passphrase->path, strerror(errno));
    }
    if (status == ENVOL_OK)
        status = take_line(passphrase, (size_t)got, more > 0, error);
    close(fd);
    return status;
}

static enum envol_status from_person(struct passphrase *passphrase, const char *label,
                                     enum envol_passphrase_use use, struct envol_error *error)
{
    size_t again = 0;
    enum envol_status status =
        passphrase->ask == NULL
            ? ENVOL_E_UNSUPPORTED
            : passphrase->ask(use == ENVOL_PASSPHRASE_NEW ? "New passphrase" : "Passphrase", label,
                              passphrase->text, sizeof passphrase->text, &passphrase->bytes);

    if (status == ENVOL_OK && use == ENVOL_PASSPHRASE_NEW) {
        status = passphrase->ask("The same again", label, passphrase->again,
                                 sizeof passphrase->again, &again);
        if (status == ENVOL_OK &&
            (again != passphrase->bytes || memcmp(passphrase->text, passphrase->again, again) != 0))
            return cmk_fail(error, ENVOL_E_ARGUMENT, "the two passphrases differ; run it again");
    }
    if (status == ENVOL_E_UNSUPPORTED)
        return cmk_fail(error, ENVOL_E_CREDENTIALS,
                        "no terminal to ask for the passphrase on; give passphrase:env=NAME or "
                        "passphrase:file=PATH");
    return status == ENVOL_OK ? status : cmk_fail(error, status, "no passphrase was typed");
}

static enum envol_status answer(void *ctx, const char *label, enum envol_passphrase_use use,
                                uint8_t *out, size_t capacity, size_t *bytes,
                                struct envol_error *error)
{
    struct passphrase *passphrase = ctx;
    enum envol_status status = ENVOL_OK;

    if (passphrase->bytes == 0) {
        if (passphrase->variable != NULL)
            status = from_environment(passphrase, error);
        else if (passphrase->path != NULL)
            status = from_file(passphrase, error);
        else
            status = from_person(passphrase, label, use, error);
        explicit_bzero(passphrase->again, sizeof passphrase->again);
    }
    if (status != ENVOL_OK) {
        passphrase->bytes = 0;
        explicit_bzero(passphrase->text, sizeof passphrase->text);
        return status;
    }
    if (passphrase->bytes > capacity)
        return cmk_fail(error, ENVOL_E_ARGUMENT, "the passphrase is too long");
    memcpy(out, passphrase->text, passphrase->bytes);
    *bytes = passphrase->bytes;
    return ENVOL_OK;
}

/* --- Its life --- */

static struct passphrase *make(const struct parts *parts, cmk_ask *ask)
{
    struct passphrase *made =
        mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (made == MAP_FAILED)
        return NULL;
    if (mlock(made, sizeof *made) != 0) {
        munmap(made, sizeof *made);
        return NULL;
    }
    madvise(made, sizeof *made, MADV_DONTDUMP);
    made->variable = parts->variable;
    made->path = parts->path;
    made->ask = ask;
    return made;
}

void passphrase_drop(struct passphrase *passphrase)
{
    if (passphrase == NULL)
        return;
    explicit_bzero(passphrase, sizeof *passphrase);
    munmap(passphrase, sizeof *passphrase);
}

enum envol_status passphrase_open(struct cmk_source *source, const char *rest,
                                  struct envol_error *error)
{
    struct envol_passphrase_options how = {.struct_size = sizeof how, .callback = answer};
    struct parts parts;

    (void)error; /* the status says it all */
    parse(rest, &parts);
    source->passphrase = make(&parts, source->ask);
    if (source->passphrase == NULL)
        return ENVOL_E_LOCKED_MEMORY;
    how.ctx = source->passphrase;
    how.label = parts.label[0] != '\0' ? parts.label : NULL;
    how.memory_kib = parts.memory_kib;
    how.passes = parts.passes;
    return envol_passphrase_provider_open(&how, &source->provider);
}
