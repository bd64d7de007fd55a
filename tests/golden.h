/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Golden images: bytes of format 1 that every later version must read.  Kept under tests/golden/ as
 * text, "OFFSET HEX" for each 32 bytes that are not all zero and "END SIZE" last.
 */
#ifndef ENVOL_TESTS_GOLDEN_H
#define ENVOL_TESTS_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of tests/golden/NAME.hex, to be freed; fails the test if there are none. */
uint8_t *test_golden_load(const char *name, size_t *bytes);
/* The same as a file of mode 0600 at path. */
void test_golden_unpack(const char *name, const char *path);
/* Writes DIRECTORY/NAME.hex; 0, or -1. */
int test_golden_save(const char *directory, const char *name, const uint8_t *image, size_t bytes);

#endif
