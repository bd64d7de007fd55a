/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests/cmake builds: uses the library, and includes the header of a provider library. */
#include <envol.h>
#include <stdio.h>
#ifdef HEADER
#include HEADER
#endif

int main(void)
{
    struct envol_store *store = NULL;
    enum envol_status status = envol_memory_store_open(&store);

    envol_store_close(store);
    puts(envol_version());
    return status != ENVOL_OK;
}
