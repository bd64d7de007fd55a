/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Embedding libenvol, from nothing to a page that was read back: a local CMK, a volume, a page
 * written and synced, everything closed, opened again, the page read.
 *
 *     cc -o quickstart quickstart.c $(pkg-config --cflags --libs libenvol)
 *     ./quickstart cmk.key users.vol
 */
#include <envol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum envol_status write_page(struct envol_store *store, const struct envol_cmk *cmk,
                                    const void *page, struct envol_error *error)
{
    struct envol_volume *volume;
    enum envol_status status = envol_volume_create(store, cmk, 1, NULL, &volume, error);
    enum envol_status closed;

    if (status == ENVOL_OK)
        status = envol_page_write(volume, 0, page); /* sealed before it reaches the disk */
    if (status == ENVOL_OK)
        status = envol_volume_sync(volume); /* now it survives a crash */
    closed = envol_volume_close(volume);
    return status != ENVOL_OK ? status : closed;
}

static enum envol_status read_page(struct envol_store *store, const struct envol_cmk *cmk,
                                   void *page, struct envol_error *error)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof options,
        .flags = ENVOL_OPEN_READ_ONLY,
    };
    struct envol_volume *volume;
    enum envol_status status = envol_volume_open(store, cmk, 1, &options, &volume, error);

    if (status == ENVOL_OK)
        status = envol_page_read(volume, 0, page); /* authenticated, or zeros and a status */
    (void)envol_volume_close(volume);              /* a reader has nothing to lose */
    return status;
}

int main(int argc, char **argv)
{
    static char page[ENVOL_STRIDE_BYTES_DEFAULT - ENVOL_TRAILER_BYTES];
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_provider *provider = NULL;
    struct envol_store *store = NULL;
    enum envol_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: quickstart KEYFILE VOLUME, neither of which exists\n");
        return 2;
    }
    status = envol_key_file_create(argv[1], &error);
    if (status == ENVOL_OK)
        status = envol_file_provider_open(argv[1], &provider);
    if (status == ENVOL_OK)
        status = envol_file_store_open(argv[2], ENVOL_FILE_CREATE, &store, &error);
    if (status == ENVOL_OK) {
        const struct envol_cmk cmk = {provider, NULL}; /* a key file holds one key */
        strcpy(page, "INSERT INTO users VALUES ('Alice')");
        status = write_page(store, &cmk, page, &error);
        memset(page, 0, sizeof page);
        if (status == ENVOL_OK)
            status = read_page(store, &cmk, page, &error);
    }
    if (status == ENVOL_OK)
        puts(page);
    else
        fprintf(stderr, "quickstart: %s (%s)\n",
                error.message[0] != '\0' ? error.message : envol_status_message(status),
                envol_status_name(status));
    envol_store_close(store);
    envol_provider_close(provider);
    return status == ENVOL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
