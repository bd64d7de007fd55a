/* SPDX-License-Identifier: BSD-2-Clause */
/* Forking a child for a test, and telling how it ended. */
#include "children.h"

#include "support.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int ending_of(pid_t child)
{
    int status;
    pid_t waited;

    do
        waited = waitpid(child, &status, 0);
    while (waited < 0 && errno == EINTR);
    ck_assert_int_eq(waited, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Faults are often what a child is for: no core files of them, and nobody else's handlers. */
static void expect_faults(void)
{
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
}

int test_in_child(int (*body)(void *), void *argument)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    /* No assertion in the child: another thread may have held the framework's lock. */
    if (child == 0) {
        int result;

        expect_faults();
        result = body(argument);
        /* exit writes the child's coverage; a sanitizer's takes a second to look for leaks. */
        if (test_tool() != NULL)
            _exit(result);
        exit(result);
    }
    ck_assert_int_gt(child, 0);
    return ending_of(child);
}

int test_in_raw_child(int (*body)(void *), void *argument)
{
    pid_t child;

    fflush(NULL);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(body(argument));
    ck_assert_int_gt(child, 0);
    return ending_of(child);
}

int test_child_complains(int line, const char *condition)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "child: line %d: %s\n", line, condition);

    if (length > 0 && write(STDERR_FILENO, text, strlen(text)) < 0)
        return 254;
    return 1;
}
