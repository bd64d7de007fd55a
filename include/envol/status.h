/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statuses: what every fallible call returns.  Values are fixed for ever and only appended to.
 * envol_status(3) lists each with its cause and its cure.
 */
#ifndef ENVOL_STATUS_H
#define ENVOL_STATUS_H

#include <envol/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum envol_status {
    ENVOL_OK = 0,
    ENVOL_E_ARGUMENT = 1,       /* an argument that no state of the world would make valid */
    ENVOL_E_RANGE = 2,          /* a number beyond a bound: page number, length, offset */
    ENVOL_E_STATE = 3,          /* the call does not fit the state of the handle or store */
    ENVOL_E_STALE = 4,          /* the header changed, or is older than the caller's anchor */
    ENVOL_E_NO_MEMORY = 5,      /* the allocator returned NULL */
    ENVOL_E_LOCKED_MEMORY = 6,  /* memory for keys could not be locked (RLIMIT_MEMLOCK) */
    ENVOL_E_IO = 7,             /* the store failed; envol_error.os_errno says how */
    ENVOL_E_RANDOM = 8,         /* the kernel's random source failed or repeats itself */
    ENVOL_E_BUSY = 9,           /* another writer holds the volume */
    ENVOL_E_FORKED = 10,        /* a handle of the parent, used in a forked child */
    ENVOL_E_READ_ONLY = 11,     /* a write through a read-only handle */
    ENVOL_E_FORMAT = 12,        /* not a libenvol header */
    ENVOL_E_VERSION = 13,       /* a newer format, or a feature this library lacks */
    ENVOL_E_CORRUPT = 14,       /* does not authenticate: changed, moved, torn or replaced */
    ENVOL_E_TRUNCATED = 15,     /* the store ends before the record does */
    ENVOL_E_UNWRITTEN = 16,     /* a page that was never written; the buffer holds zeros */
    ENVOL_E_WRONG_KEY = 17,     /* the wrapped DEK or the header MAC does not verify */
    ENVOL_E_NO_PROVIDER = 18,   /* no slot matches the given providers and key references */
    ENVOL_E_KEY_NOT_FOUND = 19, /* the key service does not know the CMK, or that version */
    ENVOL_E_KEY_DISABLED = 20,  /* the CMK is disabled; enabling it brings the data back */
    ENVOL_E_KEY_PENDING_DELETION = 21, /* the CMK waits for deletion; cancelling brings it back */
    ENVOL_E_KEY_DENIED = 22,           /* the caller may not use the CMK */
    ENVOL_E_KEY_REVOKED = 23,          /* the key lease ended: keys are wiped until unlocked */
    ENVOL_E_THROTTLED = 24,            /* the key service limits the rate */
    ENVOL_E_UNREACHABLE = 25,          /* the key service cannot be reached */
    ENVOL_E_TIMEOUT = 26,              /* the deadline passed */
    ENVOL_E_CANCELLED = 27,            /* the caller's cancel flag was set */
    ENVOL_E_CREDENTIALS = 28,          /* credentials for the key service: missing or expired */
    ENVOL_E_PROVIDER = 29,             /* the provider failed, or broke its contract */
    ENVOL_E_UNSUPPORTED = 30,          /* this build, machine, suite or store cannot do it */
    ENVOL_E_POLICY = 31                /* what the header says is not what the caller pinned */
};

/* "ENVOL_E_CORRUPT"; "ENVOL_E_?" for a number that is no status.  Static string, any thread. */
ENVOL_API const char *envol_status_name(enum envol_status status);

/* One sentence for people, without a full stop.  Static string, any thread. */
ENVOL_API const char *envol_status_message(enum envol_status status);

/* 1 if the same call may succeed later with nothing changed by the caller, else 0. */
ENVOL_API int envol_status_is_retryable(enum envol_status status);

/* page_no and slot of an error that has none. */
#define ENVOL_NO_PAGE UINT64_MAX
#define ENVOL_NO_SLOT (-1)

/*
 * Details of a failure.  The caller sets struct_size to sizeof(struct envol_error) and passes a
 * pointer, or NULL; the call fills it on failure and clears it on success.  It never holds a
 * secret.
 */
struct envol_error {
    size_t struct_size;
    enum envol_status status;
    int32_t os_errno;       /* errno of the failed system call, or 0 */
    uint64_t page_no;       /* ENVOL_NO_PAGE if none */
    int32_t slot;           /* id of the header slot, ENVOL_NO_SLOT if none */
    char provider_code[64]; /* the key service's own error code, or "" */
    char message[256];      /* one line, UTF-8, NUL-terminated */
};

#define ENVOL_ERROR_INIT                                                                           \
    {                                                                                              \
        sizeof(struct envol_error), ENVOL_OK, 0, ENVOL_NO_PAGE, ENVOL_NO_SLOT, "", ""              \
    }

#ifdef __cplusplus
}
#endif
#endif
