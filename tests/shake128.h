/* SPDX-License-Identifier: BSD-2-Clause */
/* SHAKE128 (FIPS 202), for test vectors that are published as a hash of many results. */
#ifndef ENVOL_TESTS_SHAKE128_H
#define ENVOL_TESTS_SHAKE128_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is an empty input. */
struct shake128 {
    uint64_t lanes[25];
    size_t at; /* next byte of the rate to take in or to give */
    bool squeezing;
};

/* Not after the first squeeze. */
void shake128_absorb(struct shake128 *shake, const void *data, size_t bytes);
/* Goes on where the last one ended. */
void shake128_squeeze(struct shake128 *shake, void *out, size_t bytes);

#endif
