/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Audit: a callback that hears of every use of a key provider.  envol_provider(3).
 *
 * It is set on a provider handle, not for the process: two users of the library in one process
 * keep their trails apart, and nothing has to be global.
 */
#ifndef ENVOL_AUDIT_H
#define ENVOL_AUDIT_H

#include <envol/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

enum envol_key_operation {
    ENVOL_KEY_GENERATE = 1,
    ENVOL_KEY_WRAP = 2,
    ENVOL_KEY_UNWRAP = 3,
    ENVOL_KEY_REWRAP = 4,
    ENVOL_KEY_DESCRIBE = 5
};

/* "unwrap"; "?" for a number that is no operation.  Static string, any thread. */
ENVOL_API const char *envol_key_operation_name(enum envol_key_operation operation);

/* One use, over: all of it may be logged, nothing of it is secret.  Pointers are borrowed for the
 * duration of the callback; strings are never NULL and hold no control characters. */
struct envol_audit_event {
    size_t struct_size;
    enum envol_key_operation operation;
    const char *provider;
    const char *key_ref;     /* as answered, else as asked for; "" is the provider's only key */
    const char *key_version; /* of the slot, or of the new wrapping; "" if there is none */
    const char *to_key_ref;  /* rewrap: the other key; else "" */
    const struct envol_context_pair *context;
    size_t context_pairs;
    enum envol_status status;
    const char *provider_code; /* the key service's own error code, or "" */
    uint32_t attempts;         /* calls of the provider; 0: none, its deadline or flag came first */
    uint64_t duration_us;      /* waits between attempts included */
};

/* Called in the thread of the use, after it, from several threads at once if uses are.  It must not
 * call that provider.  What it does takes its time from the call that it reports. */
typedef void envol_audit_callback(void *ctx, const struct envol_audit_event *event);

/*
 * Sets the callback of a provider, or with NULL none.  Uses that the library refuses as wrong
 * (ENVOL_E_ARGUMENT before the provider is called) are not reported.  Call it before the provider
 * is used: no call may be in progress.  ENVOL_E_ARGUMENT.
 */
ENVOL_API ENVOL_NODISCARD enum envol_status
envol_provider_set_audit(struct envol_provider *provider, envol_audit_callback *callback,
                         void *ctx);

#ifdef __cplusplus
}
#endif
#endif
