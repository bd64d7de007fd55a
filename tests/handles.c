/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening the built-in stores for tests that run over all of them. */
#include "handles.h"

#include "support.h"

enum { MEMORY, FILE_STORE, DIRECT };

struct envol_store *test_store_new(int kind)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_store *store = NULL;
    uint32_t direct = kind == DIRECT ? ENVOL_FILE_DIRECT : 0;
    enum envol_status status;

    if (kind == MEMORY) {
        ck_ok(envol_memory_store_open(&store));
        return store;
    }
    status = ck_note(envol_file_store_open(test_path(kind == DIRECT ? "direct" : "file"),
                                           ENVOL_FILE_CREATE | direct, &store, &error));
    if (kind == DIRECT && status == ENVOL_E_UNSUPPORTED) {
        test_skip("O_DIRECT", error.message);
        return NULL;
    }
    ck_assert_msg(status == ENVOL_OK, "%s", error.message);
    return store;
}

struct envol_store *test_store_again(int kind, struct envol_store *store)
{
    struct envol_store *again = NULL;

    if (kind == MEMORY)
        ck_ok(envol_memory_store_share(store, &again));
    else
        ck_ok(envol_file_store_open(test_path(kind == DIRECT ? "direct" : "file"),
                                    kind == DIRECT ? ENVOL_FILE_DIRECT : 0, &again, NULL));
    return again;
}
