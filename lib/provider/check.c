/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks of requests and answers.  None of them writes into an output but the resets, and none says
 * in a message what a DEK is.
 */
#include "provider/check.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/sized.h"
#include "provider/clock.h"
#include <stdio.h>
#include <string.h>

static const uint8_t zeros[ENVOL_DEK_BYTES];

/* A string of min to max characters, none of them a control character, NUL within its array. */
static bool is_text(const char *text, size_t min, size_t max)
{
    size_t length = strnlen(text, max + 1);

    if (length < min || length > max)
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    return true;
}

bool envol_is_key_ref(const char *text)
{
    return is_text(text, 1, ENVOL_KEY_REF_MAX);
}

static enum envol_status check_context(const struct envol_key_request *request,
                                       struct envol_error *error)
{
    size_t bytes = 0;
    enum envol_status status =
        envol_context_encode(request->context, request->context_pairs, NULL, 0, &bytes);

    if (status == ENVOL_E_ARGUMENT)
        return envol_fail(error, status, "encryption context: a NULL, or pairs out of order");
    if (bytes > ENVOL_CONTEXT_BYTES_MAX)
        return envol_fail(error, ENVOL_E_ARGUMENT, "encryption context of %zu bytes, at most %d",
                          bytes, ENVOL_CONTEXT_BYTES_MAX);
    return ENVOL_OK;
}

static enum envol_status check_strings(const struct envol_key_request *request,
                                       enum envol_request_use use, struct envol_error *error)
{
    if (request->key_ref != NULL && !envol_is_key_ref(request->key_ref))
        return envol_fail(error, ENVOL_E_ARGUMENT, "key reference: empty, too long or not text");
    if (use == ENVOL_REQUEST_NEWEST && request->key_version != NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "a new wrapping takes no key version");
    if (use == ENVOL_REQUEST_OF_SLOT && request->key_version == NULL)
        return envol_fail(error, ENVOL_E_ARGUMENT, "key version of the slot is missing");
    if (request->key_version != NULL && !is_text(request->key_version, 0, ENVOL_KEY_VERSION_MAX))
        return envol_fail(error, ENVOL_E_ARGUMENT, "key version: too long or not text");
    return ENVOL_OK;
}

enum envol_status envol_request_time(const struct envol_key_request *request,
                                     struct envol_error *error)
{
    if (request->cancel_flag != NULL && __atomic_load_n(request->cancel_flag, __ATOMIC_ACQUIRE))
        return envol_fail(error, ENVOL_E_CANCELLED, "cancelled");
    if (request->deadline_ms != 0 && envol_clock()->now_us() / 1000 >= request->deadline_ms)
        return envol_fail(error, ENVOL_E_TIMEOUT, "the deadline passed");
    return ENVOL_OK;
}

enum envol_status envol_request_check(const struct envol_key_request *request,
                                      enum envol_request_use use, struct envol_error *error)
{
    struct envol_key_request whole;
    enum envol_status status;

    if (request == NULL || !ENVOL_TAKE(key_request, request, &whole))
        return envol_fail(error, ENVOL_E_ARGUMENT, "request: NULL, or struct_size not set");
    if ((whole.flags & ~ENVOL_KEY_ALLOW_UNLOCKED) != 0)
        return envol_fail(error, ENVOL_E_ARGUMENT, "request: unknown flags 0x%x", whole.flags);
    status = check_strings(request, use, error);
    if (status == ENVOL_OK)
        status = check_context(request, error);
    return status;
}

enum envol_status envol_wrapped_argument(const void *wrapped, size_t wrapped_bytes,
                                         struct envol_error *error)
{
    if (wrapped == NULL || wrapped_bytes == 0 || wrapped_bytes > ENVOL_WRAPPED_MAX)
        return envol_fail(error, ENVOL_E_ARGUMENT, "wrapped DEK of %zu bytes, 1 to %d are allowed",
                          wrapped == NULL ? 0 : wrapped_bytes, ENVOL_WRAPPED_MAX);
    return ENVOL_OK;
}

/* A buffer that nobody filled is the likeliest bad DEK: it must not become a volume's. */
enum envol_status envol_dek_argument(const uint8_t *dek, struct envol_error *error)
{
    if (dek == NULL || envol_equal(dek, zeros, sizeof(zeros)))
        return envol_fail(error, ENVOL_E_ARGUMENT, "DEK: NULL, or all zeros");
    return ENVOL_OK;
}

enum envol_status envol_wrapped_reset(struct envol_wrapped_dek *wrapped, struct envol_error *error)
{
    if (!ENVOL_FITS(wrapped_dek, wrapped))
        return envol_fail(error, ENVOL_E_ARGUMENT, "wrapped: NULL, or struct_size not set");
    envol_sized_clear(wrapped);
    return ENVOL_OK;
}

enum envol_status envol_info_reset(struct envol_key_info *info, struct envol_error *error)
{
    if (!ENVOL_FITS(key_info, info))
        return envol_fail(error, ENVOL_E_ARGUMENT, "info: NULL, or struct_size not set");
    envol_sized_clear(info);
    return ENVOL_OK;
}

/* The others speak of volumes, handles and leases: from a provider they would mislead. */
static bool is_provider_status(enum envol_status status)
{
    switch (status) {
    case ENVOL_OK:
    case ENVOL_E_ARGUMENT:
    case ENVOL_E_NO_MEMORY:
    case ENVOL_E_LOCKED_MEMORY:
    case ENVOL_E_IO:
    case ENVOL_E_RANDOM:
    case ENVOL_E_FORKED:
    case ENVOL_E_FORMAT:
    case ENVOL_E_VERSION:
    case ENVOL_E_CORRUPT:
    case ENVOL_E_WRONG_KEY:
    case ENVOL_E_KEY_NOT_FOUND:
    case ENVOL_E_KEY_DISABLED:
    case ENVOL_E_KEY_PENDING_DELETION:
    case ENVOL_E_KEY_DENIED:
    case ENVOL_E_THROTTLED:
    case ENVOL_E_UNREACHABLE:
    case ENVOL_E_TIMEOUT:
    case ENVOL_E_CANCELLED:
    case ENVOL_E_CREDENTIALS:
    case ENVOL_E_PROVIDER:
    case ENVOL_E_UNSUPPORTED:
        return true;
    default:
        return false;
    }
}

/* Text of a key service ends up in logs and on terminals. */
static void tidy(char *text, size_t capacity)
{
    text[capacity - 1] = '\0';
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

enum envol_status envol_answer_check(const struct envol_provider *provider,
                                     enum envol_status status, struct envol_error *error)
{
    const char *name = provider->vtable.name;
    char code[sizeof(error->provider_code)];

    if (status == ENVOL_OK)
        return ENVOL_OK;
    error->struct_size = sizeof(*error); /* the provider had it in its hands */
    tidy(error->provider_code, sizeof(error->provider_code));
    tidy(error->message, sizeof(error->message));
    if (!is_provider_status(status)) {
        memcpy(code, error->provider_code, sizeof(code));
        envol_fail(error, ENVOL_E_PROVIDER, "%s answered %s (%d), which is not a provider's status",
                   name, envol_status_name(status), (int)status);
        envol_error_set_provider_code(error, code);
        return ENVOL_E_PROVIDER;
    }
    if (error->message[0] == '\0')
        snprintf(error->message, sizeof(error->message), "%s: %s", name,
                 envol_status_message(status));
    return status;
}

enum envol_status envol_dek_check(const struct envol_provider *provider, const uint8_t *dek,
                                  size_t dek_bytes, struct envol_error *error)
{
    const char *name = provider->vtable.name;

    if (dek_bytes != ENVOL_DEK_BYTES)
        return envol_fail(error, ENVOL_E_PROVIDER, "%s gave a DEK of %zu bytes, not %d", name,
                          dek_bytes, ENVOL_DEK_BYTES);
    if (envol_equal(dek, zeros, sizeof(zeros)))
        return envol_fail(error, ENVOL_E_PROVIDER, "%s gave a DEK of zeros", name);
    return ENVOL_OK;
}

enum envol_status envol_wrapped_check(const struct envol_provider *provider,
                                      const struct envol_wrapped_dek *wrapped,
                                      struct envol_error *error)
{
    const char *name = provider->vtable.name;

    if (wrapped->wrapped_bytes == 0 || wrapped->wrapped_bytes > ENVOL_WRAPPED_MAX)
        return envol_fail(error, ENVOL_E_PROVIDER, "%s gave a wrapped DEK of %zu bytes", name,
                          wrapped->wrapped_bytes);
    if (!is_text(wrapped->key_ref, 1, ENVOL_KEY_REF_MAX))
        return envol_fail(error, ENVOL_E_PROVIDER, "%s gave no valid key reference", name);
    if (!is_text(wrapped->key_version, 0, ENVOL_KEY_VERSION_MAX))
        return envol_fail(error, ENVOL_E_PROVIDER, "%s gave no valid key version", name);
    return ENVOL_OK;
}

enum envol_status envol_info_check(const struct envol_provider *provider,
                                   const struct envol_key_info *info, struct envol_error *error)
{
    const char *name = provider->vtable.name;
    int state = (int)info->state;

    if (state < ENVOL_KEY_ENABLED || state > ENVOL_KEY_PENDING_DELETION)
        return envol_fail(error, ENVOL_E_PROVIDER, "%s gave a key state of %d", name, state);
    if (!is_text(info->key_ref, 1, ENVOL_KEY_REF_MAX))
        return envol_fail(error, ENVOL_E_PROVIDER, "%s gave no valid key reference", name);
    if (!is_text(info->key_version, 0, ENVOL_KEY_VERSION_MAX))
        return envol_fail(error, ENVOL_E_PROVIDER, "%s gave no valid key version", name);
    return ENVOL_OK;
}
