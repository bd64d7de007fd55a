/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FOR DEMONSTRATIONS AND TESTS ALONE, never installed: prints the DEK of a volume in hexadecimal,
 * so that a scan of the volume's bytes can be told what it must not find.  Whoever holds the CMK
 * can write this program: the DEK is as safe as the CMK, no safer.
 *
 * It is also the shortest use of a header without a volume (envol_header(3)): the header names what
 * to unwrap, the caller asks the key service itself, and the DEK's MAC over the header proves it.
 */
#include <envol.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static enum envol_status unwrap(const struct envol_header *header,
                                const struct envol_provider *provider, uint8_t dek[ENVOL_DEK_BYTES],
                                struct envol_error *error)
{
    const struct envol_pin pin = {envol_provider_name(provider), NULL};
    const struct envol_pins pins = {.struct_size = sizeof pins, .cmks = &pin, .cmk_count = 1};
    struct envol_key_request request = {.struct_size = sizeof request};
    struct envol_slot slot = {.struct_size = sizeof slot};
    uint32_t cursor = 0;
    enum envol_status status;

    request.context = envol_header_context(header, &request.context_pairs);
    while ((status = envol_header_next_slot(header, &pins, &cursor, &slot, NULL)) == ENVOL_OK) {
        request.key_ref = slot.key_ref;
        request.key_version = slot.key_version;
        status =
            envol_provider_unwrap(provider, &request, slot.wrapped, slot.wrapped_bytes, dek, error);
        if (status == ENVOL_OK)
            return ENVOL_OK;
    }
    return error->status != ENVOL_OK ? error->status : status;
}

static enum envol_status reveal(struct envol_header *header, const struct envol_provider *provider,
                                struct envol_error *error)
{
    uint8_t dek[ENVOL_DEK_BYTES] = {0};
    struct envol_keyring *keyring = NULL;
    enum envol_status status;

    if (mlock(dek, sizeof dek) != 0)
        return ENVOL_E_LOCKED_MEMORY;
    status = unwrap(header, provider, dek, error);
    if (status == ENVOL_OK)
        status = envol_header_unlock(header, dek, 0, NULL, &keyring);
    for (size_t i = 0; status == ENVOL_OK && i < sizeof dek; i++)
        printf("%02x%s", dek[i], i + 1 == sizeof dek ? "\n" : "");
    envol_keyring_close(keyring);
    explicit_bzero(dek, sizeof dek);
    return status;
}

int main(int argc, char **argv)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_provider *provider = NULL;
    struct envol_header *header = NULL;
    struct envol_store *store = NULL;
    enum envol_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: reveal_dek VOLUME KEYFILE\n");
        return 2;
    }
    status = envol_file_store_open(argv[1], ENVOL_FILE_READ_ONLY, &store, &error);
    if (status == ENVOL_OK)
        status = envol_volume_inspect(store, &info, &header, &error);
    if (status == ENVOL_OK)
        status = envol_file_provider_open(argv[2], &provider);
    if (status == ENVOL_OK)
        status = reveal(header, provider, &error);
    if (status != ENVOL_OK)
        fprintf(stderr, "reveal_dek: %s (%s)\n", envol_status_message(status),
                envol_status_name(status));
    envol_header_free(header);
    envol_store_close(store);
    envol_provider_close(provider);
    return status != ENVOL_OK;
}
