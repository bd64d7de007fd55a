/* SPDX-License-Identifier: BSD-2-Clause */
/* Names, sentences and retryability of the statuses, one line of a table each; the version. */
#include <envol/status.h>

#include <stdbool.h>

#define QUOTE(number) #number
#define TEXT(number)  QUOTE(number)

struct description {
    const char *name;
    const char *message;
    bool retryable;
};

#define STATUS(id, is_retryable, sentence)                                                         \
    [id] = {.name = #id, .message = (sentence), .retryable = (is_retryable)}

/*
 * Retryable means: the same call with the same arguments may succeed a while later although nobody
 * touched this program.  BUSY: the other holder lets go.  RANDOM: nothing was sealed, and the next
 * draw is judged afresh.  THROTTLED, UNREACHABLE, TIMEOUT: the service's or the network's bad
 * moment; providers report a service's passing failures (HTTP 5xx) as UNREACHABLE, so PROVIDER
 * means broken. Not: STALE (this handle must be refreshed first), the KEY_ statuses and CREDENTIALS
 * (somebody has to act), CANCELLED (the flag stays set), IO and both memory statuses (a loop would
 * make it worse).
 */
static const struct description descriptions[] = {
    STATUS(ENVOL_OK, false, "success"),
    STATUS(ENVOL_E_ARGUMENT, false, "an argument is not valid"),
    STATUS(ENVOL_E_RANGE, false, "a number lies beyond its bound"),
    STATUS(ENVOL_E_STATE, false, "the call does not fit the state of the handle or store"),
    STATUS(ENVOL_E_STALE, false, "the header changed, or is older than expected"),
    STATUS(ENVOL_E_NO_MEMORY, false, "out of memory"),
    STATUS(ENVOL_E_LOCKED_MEMORY, false, "memory for keys could not be locked (RLIMIT_MEMLOCK)"),
    STATUS(ENVOL_E_IO, false, "the store failed to read or write"),
    STATUS(ENVOL_E_RANDOM, true, "the kernel's random source failed or repeats itself"),
    STATUS(ENVOL_E_BUSY, true, "another handle or process holds a lock on the volume"),
    STATUS(ENVOL_E_FORKED, false, "the handle belongs to the parent of this process"),
    STATUS(ENVOL_E_READ_ONLY, false, "the handle or store is read-only"),
    STATUS(ENVOL_E_FORMAT, false, "this is not a libenvol header"),
    STATUS(ENVOL_E_VERSION, false, "the format is newer than this library, or needs more of it"),
    STATUS(ENVOL_E_CORRUPT, false, "the data does not authenticate: changed, moved or torn"),
    STATUS(ENVOL_E_TRUNCATED, false, "the store ends before the record does"),
    STATUS(ENVOL_E_UNWRITTEN, false, "the page was never written"),
    STATUS(ENVOL_E_WRONG_KEY, false,
           "the wrapped key or the header does not verify under this key"),
    STATUS(ENVOL_E_NO_PROVIDER, false, "no slot matches the given providers and key references"),
    STATUS(ENVOL_E_KEY_NOT_FOUND, false, "the key service does not know this key or key version"),
    STATUS(ENVOL_E_KEY_DISABLED, false, "the customer managed key is disabled"),
    STATUS(ENVOL_E_KEY_PENDING_DELETION, false, "the customer managed key is pending deletion"),
    STATUS(ENVOL_E_KEY_DENIED, false, "the key service denies the use of this key"),
    STATUS(ENVOL_E_KEY_REVOKED, false, "the key lease ended and the keys were wiped"),
    STATUS(ENVOL_E_THROTTLED, true, "the key service limits the request rate"),
    STATUS(ENVOL_E_UNREACHABLE, true, "the key service cannot be reached"),
    STATUS(ENVOL_E_TIMEOUT, true, "the deadline passed"),
    STATUS(ENVOL_E_CANCELLED, false, "the call was cancelled"),
    STATUS(ENVOL_E_CREDENTIALS, false, "credentials for the key service are missing or expired"),
    STATUS(ENVOL_E_PROVIDER, false, "the key provider failed or broke its contract"),
    STATUS(ENVOL_E_UNSUPPORTED, false, "this build, machine, suite or store cannot do it"),
    STATUS(ENVOL_E_POLICY, false, "what the header says is not what the caller pinned"),
};

static const struct description *describe(enum envol_status status)
{
    static const struct description unknown = {"ENVOL_E_?", "unknown status", false};
    /* The enum's underlying type is the compiler's choice: a negative number must not index. */
    unsigned long number = (unsigned long)status;

    return number < sizeof(descriptions) / sizeof(descriptions[0]) ? &descriptions[number]
                                                                   : &unknown;
}

const char *envol_status_name(enum envol_status status)
{
    return describe(status)->name;
}

const char *envol_status_message(enum envol_status status)
{
    return describe(status)->message;
}

int envol_status_is_retryable(enum envol_status status)
{
    return describe(status)->retryable;
}

const char *envol_version(void)
{
    return TEXT(ENVOL_VERSION_MAJOR) "." TEXT(ENVOL_VERSION_MINOR) "." TEXT(ENVOL_VERSION_PATCH);
}
