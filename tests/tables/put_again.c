/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program on the engine of examples/tables that goes on after a failure: the catalog of a new
 * table cannot be sealed, and the row is put again.
 *
 *     put_again DIR KEYFILE TABLE KEY VALUE
 */
#include "tables/engine.h"

#include <stdio.h>
#include <string.h>

static bool seals = true;

enum envol_status __real_envol_blob_seal(const struct envol_object *object, struct envol_lane *lane,
                                         const void *aad, size_t aad_bytes, const void *plain,
                                         size_t plain_bytes, void *sealed);
enum envol_status __wrap_envol_blob_seal(const struct envol_object *object, struct envol_lane *lane,
                                         const void *aad, size_t aad_bytes, const void *plain,
                                         size_t plain_bytes, void *sealed);

/* In place of the library's (ld --wrap). */
enum envol_status __wrap_envol_blob_seal(const struct envol_object *object, struct envol_lane *lane,
                                         const void *aad, size_t aad_bytes, const void *plain,
                                         size_t plain_bytes, void *sealed)
{
    return seals ? __real_envol_blob_seal(object, lane, aad, aad_bytes, plain, plain_bytes, sealed)
                 : ENVOL_E_RANDOM;
}

int main(int argc, char **argv)
{
    struct key_files files = {.path = {argv[2]}, .count = 1};
    struct engine engine;
    enum envol_status first, status;

    if (argc != 6)
        return 2;
    status = engine_open(&engine, argv[1], &files);
    if (status == ENVOL_OK) {
        seals = false;
        first = engine_put(&engine, argv[3], argv[4], argv[5], strlen(argv[5]));
        printf("%s%s\n", envol_status_name(first),
               catalog_find(&engine, argv[3]) == NULL ? "" : ", but there it is");
        seals = true;
        status = engine_put(&engine, argv[3], argv[4], argv[5], strlen(argv[5]));
    }
    if (status == ENVOL_OK)
        status = engine_commit(&engine);
    (void)engine_close(&engine);
    printf("%s\n", envol_status_name(status));
    return status != ENVOL_OK;
}
