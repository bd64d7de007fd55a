/* SPDX-License-Identifier: BSD-2-Clause */
/* The built-in stores, opened in one way each, for tests that run over all of them. */
#ifndef ENVOL_TESTS_HANDLES_H
#define ENVOL_TESTS_HANDLES_H

#include <envol/store.h>

/* memory, file, and file with O_DIRECT */
enum { TEST_STORES = 3 };

/* A new, empty store of a kind; NULL, and a counted skip, where the system has none. */
struct envol_store *test_store_new(int kind);
/* Another handle to what the last test_store_new of that kind made. */
struct envol_store *test_store_again(int kind, struct envol_store *store);

#endif
