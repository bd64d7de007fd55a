/* SPDX-License-Identifier: BSD-2-Clause */
/* Known answers: one line of hex, taken apart, and checked with each kernel. */
#ifndef ENVOL_TESTS_KAT_H
#define ENVOL_TESTS_KAT_H

#include "aes/kernel.h"

struct kat_field {
    uint8_t *data; /* in the line's own memory */
    size_t bytes;
};

/*
 * gcm     KEY NONCE12 AAD PLAIN CIPHER TAG valid|invalid
 * xaes    KEY NONCE24 AAD PLAIN CIPHER TAG valid|invalid
 * xts     KEY64 TWEAK16 PLAIN CIPHER valid
 * chunked KEY CONTEXT SHA512_OF_PLAIN MESSAGE valid|invalid
 *
 * Fields are hex, "-" is an empty one.  PLAIN of an invalid line means nothing, nor does the hash.
 */
struct kat_line {
    const struct kat_mode *mode;
    struct kat_field key, nonce, aad, plain, cipher, tag; /* context is aad, message is cipher */
    bool valid;
};

struct kat_mode {
    const char *name;
    /* NULL where the kernel gives the right answer in both directions, and in every placement. */
    const char *(*check)(const struct envol_aes_kernel *kernel, const struct kat_line *line);
};

const char *kat_check_gcm(const struct envol_aes_kernel *kernel, const struct kat_line *line);
const char *kat_check_xaes(const struct envol_aes_kernel *kernel, const struct kat_line *line);
const char *kat_check_xts(const struct envol_aes_kernel *kernel, const struct kat_line *line);
const char *kat_check_chunked(const struct envol_aes_kernel *kernel, const struct kat_line *line);

/* Overwrites text, which stays the owner of the fields; NULL, or why it is no line of the kind. */
const char *kat_parse(char *text, struct kat_line *line);

/* Memory, or the end of the program. */
void *kat_allocate(size_t bytes);

#endif
