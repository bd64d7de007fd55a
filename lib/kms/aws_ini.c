/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files ~/.aws/config and ~/.aws/credentials, as the AWS CLI reads them: sections in brackets,
 * "name = value", comments, and one level of indented members, "outer.inner" here.
 */
#include "kms/aws.h"

#include "kms/fail.h"
#include "kms/secret.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A piece of the text, neither copied nor ended by a NUL. */
struct piece {
    const char *at;
    size_t length;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct piece trim(const char *at, size_t length)
{
    while (length > 0 && is_blank(at[0]))
        at++, length--;
    while (length > 0 && is_blank(at[length - 1]))
        length--;
    return (struct piece){at, length};
}

static bool is(struct piece piece, const char *text)
{
    return piece.length == strlen(text) && memcmp(piece.at, text, piece.length) == 0;
}

/* "[ profile  name ]": what is between the brackets, its words apart by any blanks. */
static bool is_section(struct piece line, const char *section)
{
    const char *close = memchr(line.at, ']', line.length);
    struct piece inner;

    if (close == NULL)
        return false;
    inner = trim(line.at + 1, (size_t)(close - line.at) - 1);
    for (; *section != '\0'; section++) {
        if (inner.length == 0)
            return false;
        if (*section != ' ') {
            if (*inner.at != *section)
                return false;
            inner.at++, inner.length--;
        } else {
            if (!is_blank(*inner.at))
                return false;
            inner = trim(inner.at, inner.length);
        }
    }
    return inner.length == 0;
}

/* " # ..." ends a value; one without a blank before it does not, as secrets may hold it. */
static struct piece without_comment(struct piece value)
{
    for (size_t i = 1; i < value.length; i++) {
        if ((value.at[i] == '#' || value.at[i] == ';') && is_blank(value.at[i - 1]))
            return trim(value.at, i);
    }
    return value;
}

struct search {
    const char *name;
    bool in_section;
    struct piece outer; /* the member with an empty value that indented lines belong to */
};

static bool is_name(const struct search *search, struct piece name, bool is_indented)
{
    size_t outer = search->outer.length;

    if (!is_indented)
        return is(name, search->name);
    return strlen(search->name) == outer + 1 + name.length &&
           memcmp(search->name, search->outer.at, outer) == 0 && search->name[outer] == '.' &&
           memcmp(search->name + outer + 1, name.at, name.length) == 0;
}

/* Whether this line is the member that is looked for. */
static bool read_member(struct search *search, const char *line, size_t length, struct piece *value)
{
    const char *equals = memchr(line, '=', length);
    bool is_indented = is_blank(line[0]) && search->outer.length > 0;
    struct piece name;

    if (equals == NULL)
        return false;
    name = trim(line, (size_t)(equals - line));
    *value = trim(equals + 1, length - (size_t)(equals - line) - 1);
    *value = without_comment(*value);
    if (!is_blank(line[0]))
        search->outer = value->length == 0 ? name : (struct piece){NULL, 0};
    return is_name(search, name, is_indented);
}

static bool copy(struct piece value, char *out, size_t capacity)
{
    if (value.length == 0 || value.length >= capacity)
        return false;
    memcpy(out, value.at, value.length);
    out[value.length] = '\0';
    return true;
}

bool envol_kms_ini_get(const char *file, const char *section, const char *name, char *value,
                       size_t capacity)
{
    struct search search = {.name = name};

    while (*file != '\0') {
        size_t length = strcspn(file, "\n");
        struct piece line = trim(file, length), found;

        if (line.length > 0 && line.at[0] == '[') {
            search.in_section = is_section(line, section);
            search.outer = (struct piece){NULL, 0};
        } else if (line.length > 0 && line.at[0] != '#' && line.at[0] != ';' && search.in_section &&
                   read_member(&search, file, length, &found)) {
            return copy(found, value, capacity);
        }
        file += length + (file[length] == '\n');
    }
    return false;
}

ssize_t envol_kms_read_file(const char *path, char *out, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t bytes = 0;
    ssize_t count = fd < 0 ? -1 : 1;
    int kept;

    while (count > 0 && bytes < capacity) {
        count = read(fd, out + bytes, capacity - bytes);
        bytes += count > 0 ? (size_t)count : 0;
        if (count < 0 && errno == EINTR)
            count = 1;
    }
    kept = errno;
    if (fd >= 0)
        close(fd);
    if (count >= 0 && bytes < capacity) {
        out[bytes] = '\0';
        return (ssize_t)bytes;
    }
    errno = count < 0 ? kept : EFBIG;
    return -1;
}

/* By its size now; it may be another one by the time it is read, or a pipe that has none. */
static size_t capacity_of(const char *path)
{
    struct stat about;

    if (stat(path, &about) != 0 || about.st_size < ENVOL_AWS_ANSWER_MAX)
        return ENVOL_AWS_ANSWER_MAX;
    return about.st_size < ENVOL_AWS_FILE_MAX ? (size_t)about.st_size + 1 : ENVOL_AWS_FILE_MAX + 1;
}

enum envol_status envol_kms_aws_file_read(const char *path, struct envol_aws_file *file,
                                          struct envol_error *error)
{
    void *room = NULL;
    enum envol_status status;

    file->capacity = capacity_of(path);
    status = envol_kms_secret_alloc(file->capacity, ENVOL_KEY_ALLOW_UNLOCKED, &room);
    file->text = room;
    if (status != ENVOL_OK)
        return envol_kms_fail(error, status, "", "out of memory");
    if (envol_kms_read_file(path, file->text, file->capacity) >= 0)
        return ENVOL_OK;
    /* What is not read might have said who the caller is: that is not as good as no file. */
    if (errno == EFBIG) {
        envol_kms_aws_file_free(file);
        return envol_kms_fail(error, ENVOL_E_CREDENTIALS, "", "%.160s: longer than %d bytes", path,
                              ENVOL_AWS_FILE_MAX);
    }
    file->text[0] = '\0';
    return ENVOL_OK;
}

void envol_kms_aws_file_free(struct envol_aws_file *file)
{
    envol_kms_secret_free(file->text, file->capacity);
    file->text = NULL;
}
