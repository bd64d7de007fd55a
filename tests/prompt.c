/* SPDX-License-Identifier: BSD-2-Clause */
/* The best of five tries. */
#include "prompt.h"

#include "support.h"

enum { TRIES = 5, LIMIT_MS = 100, TOOL_LIMIT_MS = 2000 };

bool prompt_is_late(struct prompt *prompt, uint64_t late_ms)
{
    uint64_t limit_ms = test_tool() == NULL ? LIMIT_MS : TOOL_LIMIT_MS;

    if (late_ms < limit_ms)
        return false;
    prompt->tries++;
    ck_assert_msg(prompt->tries < TRIES, "%u times late, by %llu ms the last time", prompt->tries,
                  (unsigned long long)late_ms);
    return true;
}
