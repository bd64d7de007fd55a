/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words shared with forked children.  A page for each: two processes that share pages with words of
 * both would have to agree on which are free, and a word is taken once for a volume.
 */
#include "base/shared.h"

#include <stddef.h>
#include <sys/mman.h>

_Atomic uint64_t *envol_shared_word(void)
{
    void *page =
        mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return page == MAP_FAILED ? NULL : page;
}

void envol_shared_word_free(_Atomic uint64_t *word)
{
    if (word != NULL)
        munmap((void *)word, sizeof(*word));
}
