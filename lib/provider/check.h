/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is checked before and after every call of a provider.  A provider is code of somebody else's
 * that speaks to a network: neither its statuses nor its strings are believed.
 */
#ifndef ENVOL_PROVIDER_CHECK_H
#define ENVOL_PROVIDER_CHECK_H

#include <envol/audit.h>
#include <stdbool.h>

struct envol_provider {
    struct envol_provider_vtable vtable; /* whole, whatever version the caller's is of */
    void *state;
    envol_audit_callback *audit; /* or NULL */
    void *audit_ctx;
};

/*
 * envol_provider_rewrap, but for the unwrapping and wrapping that stands in for it: a provider that
 * has no rewrap, or not for these two keys, is ENVOL_E_UNSUPPORTED.
 */
enum envol_status envol_provider_rewrap_inside(const struct envol_provider *provider,
                                               const struct envol_key_request *from,
                                               const void *wrapped, size_t wrapped_bytes,
                                               const struct envol_key_request *to,
                                               struct envol_wrapped_dek *rewrapped,
                                               struct envol_error *error);

/* Which version of a key a request may name. */
enum envol_request_use { ENVOL_REQUEST_NEWEST, ENVOL_REQUEST_OF_SLOT };

/* Bounds, order of the context, flags. */
enum envol_status envol_request_check(const struct envol_key_request *request,
                                      enum envol_request_use use, struct envol_error *error);

/* The cancel flag, then the deadline: ENVOL_E_CANCELLED, ENVOL_E_TIMEOUT. */
enum envol_status envol_request_time(const struct envol_key_request *request,
                                     struct envol_error *error);

/* Text that a key reference may be: 1 to 2048 bytes, no control characters. */
bool envol_is_key_ref(const char *text);

/* Whether a blob to be unwrapped, or a DEK to be wrapped, is one at all: ENVOL_E_ARGUMENT. */
enum envol_status envol_wrapped_argument(const void *wrapped, size_t wrapped_bytes,
                                         struct envol_error *error);
enum envol_status envol_dek_argument(const uint8_t *dek, struct envol_error *error);

/* Zeroes an output struct of the caller's but for its size: ENVOL_E_ARGUMENT if NULL or short. */
enum envol_status envol_wrapped_reset(struct envol_wrapped_dek *wrapped, struct envol_error *error);
enum envol_status envol_info_reset(struct envol_key_info *info, struct envol_error *error);

/*
 * Turns what a provider returned into what the library returns: a status that is not a provider's
 * becomes ENVOL_E_PROVIDER, and a failure has a message.
 */
enum envol_status envol_answer_check(const struct envol_provider *provider,
                                     enum envol_status status, struct envol_error *error);

/* Outputs of a call that answered ENVOL_OK: ENVOL_E_PROVIDER. */
enum envol_status envol_dek_check(const struct envol_provider *provider, const uint8_t *dek,
                                  size_t dek_bytes, struct envol_error *error);
enum envol_status envol_wrapped_check(const struct envol_provider *provider,
                                      const struct envol_wrapped_dek *wrapped,
                                      struct envol_error *error);
enum envol_status envol_info_check(const struct envol_provider *provider,
                                   const struct envol_key_info *info, struct envol_error *error);

#endif
