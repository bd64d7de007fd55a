/* SPDX-License-Identifier: BSD-2-Clause */
/* Expectations that are recorded, seeded random data, hex, and the frame that runs a suite. */
#include "support.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * Seconds a test may take unless its case says otherwise: generous, as machines are shared, and
 * five times that under a tool.  Check looks when a case is made, which is before test_run.
 */
__attribute__((constructor)) static void set_timeout(void)
{
    setenv("CK_DEFAULT_TIMEOUT", "240", 0);
    if (test_tool() != NULL)
        setenv("CK_TIMEOUT_MULTIPLIER", "5", 0);
}

static uint64_t seed;
static _Atomic uint64_t random_state;

const char *test_build(void)
{
    const char *build = getenv("ENVOL_BUILD");

    return build != NULL && *build != '\0' ? build : "build";
}

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

const char *test_tool(void)
{
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
    return "asan";
#elif defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
    return "tsan";
#else
    return getenv("ENVOL_TEST_TOOL");
#endif
}

/* Length of the identifier that a call's text begins with. */
static size_t name_length(const char *call)
{
    size_t n = 0;

    while (isalnum((unsigned char)call[n]) || call[n] == '_')
        n++;
    return n;
}

/* A pair is written once per process and call site, so that loops do not fill the disk. */
static bool seen_before(const char *call, enum envol_status status)
{
    static struct {
        _Atomic(const char *) call;
        _Atomic int status;
    } last[512];
    size_t slot = ((uintptr_t)call / 8 * 37 + (size_t)status) % 512;
    bool seen =
        atomic_load(&last[slot].call) == call && atomic_load(&last[slot].status) == (int)status;

    atomic_store(&last[slot].call, call);
    atomic_store(&last[slot].status, (int)status);
    return seen;
}

/* One write to a file opened with O_APPEND: lines of several processes do not mix. */
static void record(const char *call, enum envol_status status)
{
    char path[512], line[256];
    int fd, length;

    if (strncmp(call, "envol_", 6) != 0 || seen_before(call, status))
        return;
    snprintf(path, sizeof(path), "%s/tests/covered", test_build());
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/tests/covered/%s", test_build(),
             program_invocation_short_name);
    length = snprintf(line, sizeof(line), "%.*s %s\n", (int)name_length(call), call,
                      envol_status_name(status));
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return; /* the suite may run elsewhere; the gate that reads the record then fails */
    if (write(fd, line, (size_t)length) != length)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    close(fd);
}

enum envol_status test_note(const char *call, enum envol_status got)
{
    int saved_errno = errno;

    record(call, got);
    errno = saved_errno;
    return got;
}

void test_expect(const char *call, enum envol_status got, enum envol_status expected,
                 const char *file, int line)
{
    test_note(call, got);
    if (got != expected)
        ck_abort_msg("%s:%d: %s: %s, expected %s", file, line, call, envol_status_name(got),
                     envol_status_name(expected));
    mark_point();
}

static uint64_t seed_of_run(void)
{
    const char *text = getenv("ENVOL_TEST_SEED");
    struct timespec now;

    if (text != NULL && *text != '\0')
        return strtoull(text, NULL, 0);
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
}

/* SplitMix64: its state is a counter, so threads share it with one atomic addition. */
uint64_t test_random(void)
{
    const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = atomic_fetch_add(&random_state, step) + step;

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void test_fill(void *out, size_t bytes)
{
    unsigned char *to = out;

    while (bytes > 0) {
        uint64_t word = test_random();
        size_t n = bytes < sizeof(word) ? bytes : sizeof(word);

        memcpy(to, &word, n);
        to += n;
        bytes -= n;
    }
}

static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    ck_abort_msg("not a hex digit: '%c'", c);
    return 0;
}

size_t test_unhex(const char *hex, void *out, size_t capacity)
{
    unsigned char *to = out;
    size_t digits = strlen(hex);

    if (strcmp(hex, "-") == 0)
        return 0;
    ck_assert_msg(digits % 2 == 0, "odd number of hex digits: %zu", digits);
    ck_assert_msg(digits / 2 <= capacity, "%zu bytes of hex, room for %zu", digits / 2, capacity);
    for (size_t i = 0; i < digits / 2; i++)
        to[i] = (unsigned char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return digits / 2;
}

void ck_mem_hex(const void *got, const char *expected_hex)
{
    size_t capacity = strlen(expected_hex) / 2;
    unsigned char *expected = malloc(capacity + 1);
    size_t bytes;

    ck_assert_ptr_nonnull(expected);
    bytes = test_unhex(expected_hex, expected, capacity);
    ck_assert_mem_eq(got, expected, bytes);
    free(expected);
}

/* Standard output is shared with forked tests: what is printed must not wait in a buffer. */
void test_skip(const char *what, const char *why)
{
    printf("SKIP %s: %s\n", what, why);
    fflush(stdout);
}

static int print_verdict(SRunner *runner)
{
    int failed = srunner_ntests_failed(runner);

    if (failed > 0)
        printf("seed: ENVOL_TEST_SEED=%" PRIu64 "\n", seed);
    printf("%s: %d passed, %d failed\n", program_invocation_short_name,
           srunner_ntests_run(runner) - failed, failed);
    fflush(stdout);
    return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int test_run(Suite *suite)
{
    SRunner *runner;
    int verdict;

    seed = seed_of_run();
    atomic_store(&random_state, seed);
    test_paths_begin();
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    verdict = print_verdict(runner);
    srunner_free(runner);
    test_paths_end();
    return verdict;
}
