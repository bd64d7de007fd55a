/* SPDX-License-Identifier: BSD-2-Clause */
/* What all test suites share: expected statuses, seeded random data, hex, counted skips. */
#ifndef ENVOL_TESTS_SUPPORT_H
#define ENVOL_TESTS_SUPPORT_H

#include <check.h>
#include <envol.h>
#include <stdbool.h>

/*
 * Asserts that a call of a public function returns a status, and records the pair, so that the
 * manuals' lists can be held against what was really produced.  The text of the call must begin
 * with the function's name.
 */
#define ck_status(call, expected) test_expect(#call, (call), (expected), __FILE__, __LINE__)
#define ck_ok(call)               ck_status(call, ENVOL_OK)
void test_expect(const char *call, enum envol_status got, enum envol_status expected,
                 const char *file, int line);

/* Records the pair and answers the status, where several outcomes are right (the n-th call fails).
 */
#define ck_note(call) test_note(#call, (call))
enum envol_status test_note(const char *call, enum envol_status got);

/* Runs a suite in forked tests (or not, CK_FORK=no); exit status for main. */
int test_run(Suite *suite);

/* Prints a line that is counted in the closing summary of `make check`. */
void test_skip(const char *what, const char *why);

/* Reproducible data: the seed is printed on failure and taken from ENVOL_TEST_SEED when set.
 * Each test starts from the seed; any thread. */
uint64_t test_random(void);
void test_fill(void *out, size_t bytes);

/* Hex to bytes; the count.  Fails the test on bad hex or overflow.  "-" is empty. */
size_t test_unhex(const char *hex, void *out, size_t capacity);
void ck_mem_hex(const void *got, const char *expected_hex);

/* The directory of the build under test, "build" unless ENVOL_BUILD says otherwise: the command is
 * in it, for suites that run it. */
const char *test_build(void);

/* "asan", "tsan" or "valgrind" under one of them, else NULL: for suites that measure, or whose
 * subject (a core dump, a limit on memory) is not the same there. */
const char *test_tool(void);

/*
 * A path in a fresh directory of the test's own under build/, removed at exit.  Static buffers, 8.
 * A child that the test forks after the first call shares the directory.  With CK_FORK=no the
 * tests of a suite share one.
 */
const char *test_path(const char *name);
void test_paths_begin(void); /* called by test_run */
void test_paths_end(void);

#endif
