/* SPDX-License-Identifier: BSD-2-Clause */
/* What the benchmark's rows need: memory, data, a scratch directory, a way to give up. */
#include "bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_OF_MEMORY 4096u

static const char *parent;
static char scratch[512];

void bench_die(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "bench: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

void bench_ok(const struct bench_row *row, enum envol_status status)
{
    if (status != ENVOL_OK)
        bench_die("%s, %u bytes: %s", row->name, row->page_bytes, envol_status_name(status));
}

void *bench_alloc(size_t bytes)
{
    size_t whole = (bytes + PAGE_OF_MEMORY - 1) / PAGE_OF_MEMORY * PAGE_OF_MEMORY;
    void *memory = aligned_alloc(PAGE_OF_MEMORY, whole);

    if (memory == NULL)
        bench_die("no memory for %zu bytes", bytes);
    return memset(memory, 0, whole);
}

/* SplitMix64 from a fixed seed. */
void bench_fill(void *out, size_t bytes)
{
    uint64_t state = 0;

    for (size_t i = 0; i < bytes; i++) {
        uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        ((uint8_t *)out)[i] = (uint8_t)(z >> 32);
    }
}

/* The same form as the suites', so that `make check` counts it. */
void bench_skip(const char *what, const char *why)
{
    fprintf(stderr, "SKIP bench %s: %s\n", what, why);
}

void bench_set_directory(const char *directory)
{
    parent = directory;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *place)
{
    (void)stat;
    (void)type;
    (void)place;
    remove(path);
    return 0;
}

/* Spaces are directories in it. */
static void remove_scratch(void)
{
    nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Beside the program there is room, and mostly a disk, which /tmp often is not. */
static void make_scratch(void)
{
    char program[400];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if (parent == NULL && length > 0) {
        program[length] = '\0';
        *strrchr(program, '/') = '\0';
        parent = program;
    }
    snprintf(scratch, sizeof(scratch), "%s/bench.XXXXXX", parent != NULL ? parent : ".");
    if (mkdtemp(scratch) == NULL)
        bench_die("%s: %s", scratch, strerror(errno));
    atexit(remove_scratch);
    parent = NULL;
}

const char *bench_path(const char *name)
{
    static char path[sizeof(scratch) + 64];

    if (scratch[0] == '\0')
        make_scratch();
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    return path;
}
