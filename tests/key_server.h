/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests' own key service, tests/kms_server.py: started for a case of tests, told by lines. */
#ifndef ENVOL_TESTS_KEY_SERVER_H
#define ENVOL_TESTS_KEY_SERVER_H

#include "support.h"
#include <envol-kms.h>

#define AWS_REGION_OF_TESTS "eu-central-1"
#define AWS_KEY             "arn:aws:kms:eu-central-1:111122223333:key/one"
#define AWS_OTHER           "arn:aws:kms:eu-central-1:111122223333:key/two"

struct key_server {
    int pid;
    /* Plain; TLS with a good, an expired, another host's certificate; TLS 1.1, 0: not to be had. */
    int ports[5];
    char url[64]; /* of the plain one */
};
extern struct key_server key_server;

/* An unchecked fixture's halves: one server for all tests of a case.  With TLS, key_server_ca() is
 * the authority that signed its certificates. */
void key_server_begin(void);
void key_server_begin_tls(void);
/* moto's AWS KMS, by tests/moto_kms.py. */
void key_server_begin_moto(void);
/* The Python of its virtual environment. */
const char *key_server_moto(void);
void key_server_end(void);
const char *key_server_ca(void);
/* A case whose tests start with a server that was reset, and a clean environment. */
TCase *key_server_case(Suite *suite, const char *name, void (*begin)(void));

/* Says a line, and returns the line of the answer: static, until the next call. */
const char *key_server_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
int key_server_count(const char *what);

/* Takes every variable of AWS and Vault away, and names an empty home. */
void key_environment_clear(void);
/* Writes a file of the test's own; its path, as of test_path. */
const char *key_file_write(const char *name, const char *text);

/* Options for the plain port with the credentials that the server takes. */
struct envol_aws_kms_options aws_options(void);
struct envol_provider *aws_open(const struct envol_aws_kms_options *options);
struct envol_vault_options vault_options(void);
struct envol_provider *vault_open(const struct envol_vault_options *options);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t clock_ms(void);

#endif
