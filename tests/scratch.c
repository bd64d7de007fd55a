/* SPDX-License-Identifier: BSD-2-Clause */
/* Scratch directories of tests: one for each test process, below one of the suite's. */
#include "support.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char suite_dir[512];
static char test_dir[560];
static pid_t test_owner;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A child that inherited the directory leaves it to its owner. */
static void remove_test_dir(void)
{
    if (test_dir[0] != '\0' && getpid() == test_owner)
        remove_tree(test_dir);
}

static void make_suite_dir(void)
{
    char parent[256];

    snprintf(parent, sizeof(parent), "%s/tests/tmp", test_build());
    mkdir(parent, 0777);
    snprintf(suite_dir, sizeof(suite_dir), "%s/%s.XXXXXX", parent, program_invocation_short_name);
    if (mkdtemp(suite_dir) == NULL) {
        fprintf(stderr, "%s: %s\n", suite_dir, strerror(errno));
        suite_dir[0] = '\0';
    }
}

void test_paths_begin(void)
{
    make_suite_dir();
}

/* Whatever killed tests left goes with it. */
void test_paths_end(void)
{
    if (suite_dir[0] != '\0')
        remove_tree(suite_dir);
    suite_dir[0] = '\0';
}

static void make_test_dir(void)
{
    ck_assert_msg(suite_dir[0] != '\0', "no scratch directory");
    snprintf(test_dir, sizeof(test_dir), "%s/XXXXXX", suite_dir);
    ck_assert_msg(mkdtemp(test_dir) != NULL, "%s: %s", test_dir, strerror(errno));
    test_owner = getpid();
    atexit(remove_test_dir);
}

const char *test_path(const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];

    if (test_dir[0] == '\0')
        make_test_dir();
    snprintf(path, sizeof(paths[0]), "%s/%s", test_dir, name);
    return path;
}
