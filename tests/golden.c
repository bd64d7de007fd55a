/* SPDX-License-Identifier: BSD-2-Clause */
/* Golden images as text. */
#include "golden.h"

#include "support.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROW_BYTES   32u
#define IMAGE_BYTES (1u << 20)

static size_t load_rows(FILE *file, uint8_t *image)
{
    char line[128], hex[2 * ROW_BYTES + 1];
    size_t offset;

    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "END %zu", &offset) == 1)
            return offset;
        ck_assert_int_eq(sscanf(line, "%zu %64s", &offset, hex), 2);
        ck_assert_uint_le(offset, IMAGE_BYTES - ROW_BYTES);
        test_unhex(hex, image + offset, ROW_BYTES);
    }
    ck_abort_msg("no END");
    return 0;
}

uint8_t *test_golden_load(const char *name, size_t *bytes)
{
    uint8_t *image = calloc(1, IMAGE_BYTES);
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "tests/golden/%s.hex", name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL && image != NULL, "%s", path);
    *bytes = load_rows(file, image);
    fclose(file);
    return image;
}

void test_golden_unpack(const char *name, const char *path)
{
    size_t bytes;
    uint8_t *image = test_golden_load(name, &bytes);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, image, bytes), (ssize_t)bytes);
    close(fd);
    free(image);
}

static int save_row(FILE *file, const uint8_t *row, size_t offset, size_t bytes)
{
    static const uint8_t zeros[ROW_BYTES];

    if (memcmp(row, zeros, bytes) == 0)
        return 0;
    fprintf(file, "%zu ", offset);
    for (size_t i = 0; i < bytes; i++)
        fprintf(file, "%02x", row[i]);
    return fputc('\n', file) == EOF ? -1 : 0;
}

int test_golden_save(const char *directory, const char *name, const uint8_t *image, size_t bytes)
{
    char path[256];
    FILE *file;
    int result = 0;

    snprintf(path, sizeof(path), "%s/%s.hex", directory, name);
    file = fopen(path, "w");
    if (file == NULL)
        return -1;
    for (size_t at = 0; result == 0 && at < bytes; at += ROW_BYTES)
        result = save_row(file, image + at, at, bytes - at < ROW_BYTES ? bytes - at : ROW_BYTES);
    fprintf(file, "END %zu\n", bytes);
    return fclose(file) == 0 ? result : -1;
}
