/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server that follows its key: it reads pages all the time, goes dark when the key is disabled,
 * and comes back, in the same process and with the same handle, when it is enabled again.
 *
 *     lease VOLUME KEYFILE
 *
 * A line on standard output for each change; it ends once it has been dark and is back.
 */
#include <envol.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* So short that a person can watch it; the defaults are minutes and hours. */
enum { CHECK_MS = 100, GRACE_MS = 300, PAUSE_MS = 20, GIVE_UP_MS = 60000 };

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};

    nanosleep(&pause, NULL);
}

/* Called by the lease's thread.  A real engine writes a checkpoint when the key becomes suspect. */
static void key_changed(void *ctx, const struct envol_lease_change *change)
{
    (void)ctx;
    if (change->to == ENVOL_LEASE_SUSPECT)
        printf("suspect: %s; pages still read for %d ms\n", change->answer->message, GRACE_MS);
    else if (change->to == ENVOL_LEASE_INACCESSIBLE)
        puts("inaccessible: the keys are wiped");
    else
        puts("available again");
    fflush(stdout);
}

/* Serves pages, and does what an operator would do: unlocks as soon as the key allows it. */
static enum envol_status serve(struct envol_volume *volume, const struct envol_cmk *cmk, void *page)
{
    uint64_t pages = envol_volume_pages(volume), reads = 0;
    int was_dark = 0;

    for (long waited_ms = 0; waited_ms < GIVE_UP_MS; waited_ms += PAUSE_MS) {
        enum envol_status status = envol_page_read(volume, pages == 0 ? 0 : reads % pages, page);

        if (status == ENVOL_OK) {
            if (reads++ == 0)
                puts("reading pages");
            else if (was_dark)
                break;
        } else if (status == ENVOL_E_KEY_REVOKED) {
            if (!was_dark)
                printf("dark after %llu reads: %s\n", (unsigned long long)reads,
                       envol_status_name(status));
            was_dark = 1;
            status = envol_volume_unlock(volume, cmk, 1, NULL, NULL);
        }
        if (status != ENVOL_OK && status != ENVOL_E_KEY_DISABLED)
            return status;
        fflush(stdout);
        pause_ms(PAUSE_MS);
    }
    if (!was_dark)
        return ENVOL_E_TIMEOUT;
    printf("read page %llu, in the process and the handle that went dark\n",
           (unsigned long long)(reads % pages));
    return ENVOL_OK;
}

static enum envol_status run(struct envol_volume *volume, const struct envol_cmk *cmk,
                             struct envol_error *error)
{
    const struct envol_lease_options options = {
        .struct_size = sizeof options,
        .flags = ENVOL_LEASE_THREAD,
        .interval_ms = CHECK_MS,
        .grace_ms = GRACE_MS,
        .callback = key_changed,
    };
    struct envol_geometry geometry = {.struct_size = sizeof geometry};
    struct envol_lease *lease;
    void *page = NULL;
    enum envol_status status = envol_keyring_geometry(envol_volume_keyring(volume), &geometry);

    if (status == ENVOL_OK && (page = malloc(geometry.page_bytes)) == NULL)
        status = ENVOL_E_NO_MEMORY;
    if (status == ENVOL_OK)
        status = envol_lease_start(volume, &options, &lease, error);
    if (status == ENVOL_OK) {
        status = serve(volume, cmk, page);
        envol_lease_stop(lease);
    }
    free(page);
    return status;
}

int main(int argc, char **argv)
{
    const struct envol_volume_options options = {
        .struct_size = sizeof options,
        .flags = ENVOL_OPEN_READ_ONLY,
    };
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_cmk cmk = {NULL, NULL}; /* a key file holds one key */
    struct envol_provider *provider = NULL;
    struct envol_store *store = NULL;
    struct envol_volume *volume = NULL;
    enum envol_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: lease VOLUME KEYFILE\n");
        return 2;
    }
    status = envol_file_provider_open(argv[2], &provider);
    cmk.provider = provider;
    if (status == ENVOL_OK)
        status = envol_file_store_open(argv[1], ENVOL_FILE_READ_ONLY, &store, &error);
    if (status == ENVOL_OK)
        status = envol_volume_open(store, &cmk, 1, &options, &volume, &error);
    if (status == ENVOL_OK)
        status = run(volume, &cmk, &error);
    if (status != ENVOL_OK)
        fprintf(stderr, "lease: %s (%s)\n",
                error.message[0] != '\0' ? error.message : envol_status_message(status),
                envol_status_name(status));
    (void)envol_volume_close(volume); /* a reader has nothing to lose */
    envol_store_close(store);
    envol_provider_close(provider);
    return status == ENVOL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
