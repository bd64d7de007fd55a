/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kat: runs known answers, a line each on standard input (kat.h), through every kernel that this
 * machine can run.  Prints "N passed, N failed", counting lines; a line that is none is a failed
 * one.  What no kernel of this build can do is a line "SKIP what: why", and neither.
 */
#include "kat.h"
#include "kernels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNELS_MAX 16u

static const struct envol_aes_kernel *kernels[KERNELS_MAX];
static size_t kernel_count;

static struct {
    size_t passed, failed, skipped;
} lines;

void *kat_allocate(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);

    if (memory == NULL) {
        fprintf(stderr, "kat: no memory for %zu bytes\n", bytes);
        exit(2);
    }
    return memory;
}

/* Which ones ran is said apart from the result. */
static void find_kernels(void)
{
    fprintf(stderr, "kernels:");
    for (int i = 0; test_kernel_at(i) != NULL && kernel_count < KERNELS_MAX; i++) {
        const struct envol_aes_kernel *kernel = test_kernel_at(i);
        if (!kernel->usable())
            continue;
        kernels[kernel_count++] = kernel;
        fprintf(stderr, " %s%s", kernel->name, kernel->xts_key_bytes > 0 ? "" : " (no xts)");
    }
    fprintf(stderr, "%s\n", kernel_count > 0 ? "" : " none");
}

/* Whole messages go the library's own way, for which a kernel is chosen by name. */
static bool is_the_librarys(const struct envol_aes_kernel *kernel)
{
    for (int i = 0; i < test_kernel_count(); i++)
        if (test_kernel_at(i) == kernel)
            return true;
    return false;
}

static bool can_do(const struct envol_aes_kernel *kernel, const struct kat_line *line)
{
    if (line->mode->check == kat_check_chunked)
        return is_the_librarys(kernel);
    return line->mode->check != kat_check_xts || kernel->xts_key_bytes > 0;
}

static void run(const struct kat_line *line, size_t number)
{
    const char *wrong = NULL;
    size_t ran = 0;

    for (size_t i = 0; i < kernel_count && wrong == NULL; i++) {
        if (!can_do(kernels[i], line))
            continue;
        ran++;
        wrong = line->mode->check(kernels[i], line);
        if (wrong != NULL)
            fprintf(stderr, "line %zu: %s: %s: %s\n", number, line->mode->name, kernels[i]->name,
                    wrong);
    }
    lines.failed += wrong != NULL;
    lines.skipped += ran == 0;
    lines.passed += ran > 0 && wrong == NULL;
}

/* Empty lines and comments are no lines. */
static bool says_nothing(const char *text, size_t bytes)
{
    size_t blank = strspn(text, " \t\r\n");

    return blank == bytes || text[blank] == '#';
}

static void take(char *text, size_t bytes, size_t number)
{
    struct kat_line line;
    const char *wrong;

    if (says_nothing(text, bytes))
        return;
    wrong = strlen(text) == bytes ? kat_parse(text, &line) : "there is a zero byte in it";
    if (wrong == NULL) {
        run(&line, number);
        return;
    }
    fprintf(stderr, "line %zu: %s\n", number, wrong);
    lines.failed++;
}

int main(int argc, char **argv)
{
    char *text = NULL;
    size_t capacity = 0;
    ssize_t bytes;

    (void)argv;
    if (argc > 1) {
        fprintf(stderr, "usage: kat <LINES (their form is in tests/kat.h)\n");
        return 2;
    }
    find_kernels();
    errno = 0;
    for (size_t number = 1; (bytes = getline(&text, &capacity, stdin)) >= 0; number++)
        take(text, (size_t)bytes, number);
    /* getline fails for want of memory too, which is not an error of the stream. */
    if (!feof(stdin)) {
        fprintf(stderr, "kat: standard input: %s\n", strerror(errno));
        lines.failed++;
    }
    free(text);
    if (lines.skipped > 0)
        printf("SKIP kat: %zu lines: no kernel of this build can run them here\n", lines.skipped);
    printf("%zu passed, %zu failed\n", lines.passed, lines.failed);
    return lines.failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
