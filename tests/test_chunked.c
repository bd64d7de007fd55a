/* SPDX-License-Identifier: BSD-2-Clause */
/* Cobblestone-256: published messages, all shapes of a message, and everything that is refused. */
#include "base/bytes.h"
#include "base/cpu.h"
#include "base/kdf.h"
#include "base/memory.h"
#include "chunked_vectors.h"
#include "failing_random.h"
#include "kernels.h"
#include "page/chunked.h"
#include "reference_aes.h"
#include "support.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SEALED_CHUNK (ENVOL_CHUNK_BYTES + ENVOL_CHUNKED_TAG_BYTES)
#define CANARY       0xa5

/* A loop over kernels; false, and a counted skip, where the machine cannot run this one. */
static bool force(int i)
{
    const struct envol_aes_kernel *kernel = test_kernel(i);

    return kernel != NULL && envol_aes_kernel_force(kernel->name);
}

/* Length of the plaintext that opening so many bytes may touch: all whole chunks, and the rest. */
static size_t room_of(size_t message_bytes)
{
    size_t body = message_bytes < 56 ? 0 : message_bytes - 56, rest = body % SEALED_CHUNK;

    return body / SEALED_CHUNK * ENVOL_CHUNK_BYTES + (rest < 16 ? 0 : rest - 16);
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes + 1);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* Opens into a buffer of exactly the room it may need; the plaintext, or zeros after a failure. */
static uint8_t *open_message(const uint8_t key[32], const char *context, const uint8_t *message,
                             size_t bytes, enum envol_status expected, size_t *plain_bytes)
{
    size_t room = room_of(bytes), context_bytes = strlen(context);
    uint8_t *plain = allocate(room);

    memset(plain, CANARY, room + 1);
    ck_assert_int_eq(
        envol_chunked_open(key, context, context_bytes, message, bytes, plain, plain_bytes),
        expected);
    ck_assert_uint_eq(plain[room], CANARY);
    ck_assert_uint_eq(*plain_bytes, expected == ENVOL_OK ? room : 0);
    if (expected != ENVOL_OK)
        ck_assert(envol_is_zero(plain, room));
    return plain;
}

static void refuse(const uint8_t key[32], const char *context, const uint8_t *message, size_t bytes,
                   enum envol_status expected)
{
    size_t plain_bytes;

    free(open_message(key, context, message, bytes, expected, &plain_bytes));
}

/* --- published messages --- */

START_TEST(published_messages)
{
    static uint8_t message[3 * SEALED_CHUNK];
    uint8_t key[32], hash[64], *plain;
    size_t bytes, plain_bytes;

    if (!force(_i))
        return;
    for (const struct chunked_vector *v = chunked_vectors; v->key != NULL; v++) {
        test_unhex(v->key, key, sizeof(key));
        bytes = chunked_vector_message(v, message, sizeof(message));
        plain = open_message(key, v->context, message, bytes, v->status, &plain_bytes);
        crypto_hash_sha512(hash, plain, plain_bytes);
        if (v->status == ENVOL_OK && v->plain_sha512 != NULL)
            ck_mem_hex(hash, v->plain_sha512);
        else if (v->status == ENVOL_OK)
            ck_assert_msg(plain_bytes == 7 && memcmp(plain, "chunked", 7) == 0, "message %d",
                          v->number);
        free(plain);
    }
}
END_TEST

/* --- shapes --- */

static const struct {
    size_t plain, message;
} shapes[] = {
    {0, 72},        {1, 73},        {64, ENVOL_LOCAL_WRAP_BYTES}, {16383, 56 + 16399},
    {16384, 16472}, {16385, 16473}, {32767, 32767 + 56 + 32},     {32768, 32768 + 56 + 48},
    {50000, 50120}, {81920, 82072},
};

START_TEST(every_shape)
{
    uint8_t key[32], *plain, *message, *again;
    size_t plain_bytes;

    if (!force(_i))
        return;
    plain = allocate(81920);
    message = allocate(82072);
    test_fill(key, sizeof(key));
    test_fill(plain, 81920);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        ck_assert_uint_eq(envol_chunked_bytes(shapes[i].plain), shapes[i].message);
        message[shapes[i].message] = CANARY;
        ck_assert_int_eq(envol_chunked_seal(key, "shape", 5, plain, shapes[i].plain, message),
                         ENVOL_OK);
        ck_assert_uint_eq(message[shapes[i].message], CANARY);
        /* By whichever kernel is the machine's choice. */
        ck_assert(envol_aes_kernel_force(NULL));
        again = open_message(key, "shape", message, shapes[i].message, ENVOL_OK, &plain_bytes);
        ck_assert_uint_eq(plain_bytes, shapes[i].plain);
        ck_assert_mem_eq(again, plain, plain_bytes);
        free(again);
        ck_assert(force(_i));
    }
    free(plain);
    free(message);
}
END_TEST

START_TEST(no_buffers_for_an_empty_message)
{
    uint8_t key[32] = {1}, message[72];
    size_t plain_bytes = 1;

    ck_assert_int_eq(envol_chunked_seal(key, NULL, 0, NULL, 0, message), ENVOL_OK);
    ck_assert_int_eq(envol_chunked_open(key, NULL, 0, message, 72, NULL, &plain_bytes), ENVOL_OK);
    ck_assert_uint_eq(plain_bytes, 0);
}
END_TEST

START_TEST(each_message_has_a_salt_of_its_own)
{
    uint8_t key[32] = {1}, a[73], b[73];

    ck_assert_int_eq(envol_chunked_seal(key, "", 0, "x", 1, a), ENVOL_OK);
    ck_assert_int_eq(envol_chunked_seal(key, "", 0, "x", 1, b), ENVOL_OK);
    for (size_t at = 0; at < 72; at += 8)
        ck_assert_mem_ne(a + at, b + at, 8);
}
END_TEST

/* Chunk 256, whose number carries into the second byte, by the specification's own words. */
START_TEST(chunk_numbers_carry)
{
    static const char prefix[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM";
    const size_t plain_bytes = 256 * ENVOL_CHUNK_BYTES + 9;
    size_t message_bytes = (size_t)envol_chunked_bytes(plain_bytes);
    uint8_t key[32], okm[76], expected[9], tag[16], *plain = allocate(plain_bytes);
    uint8_t *message = allocate(message_bytes), *last = message + message_bytes - 25;
    const struct envol_part info[] = {{prefix, sizeof(prefix)}, {message, 24}, {"carry", 5}};

    if (!force(_i)) {
        free(plain);
        free(message);
        return;
    }
    test_fill(key, sizeof(key));
    test_fill(plain, plain_bytes);
    ck_assert_int_eq(envol_chunked_seal(key, "carry", 5, plain, plain_bytes, message), ENVOL_OK);
    envol_hkdf_expand(key, 32, info, 3, okm, sizeof(okm));
    ck_assert_mem_eq(message + 24, okm + 44, 32);
    okm[32 + 10] ^= 1;
    reference_gcm(okm, okm + 32, NULL, 0, plain + plain_bytes - 9, 9, expected, tag);
    ck_assert_mem_eq(last, expected, 9);
    ck_assert_mem_eq(last + 9, tag, 16);
    free(plain);
    free(message);
}
END_TEST

/* --- refusals --- */

START_TEST(every_bit_of_a_wrap)
{
    uint8_t key[32], dek[64], wrap[ENVOL_LOCAL_WRAP_BYTES];

    if (!force(_i))
        return;
    test_fill(key, sizeof(key));
    test_fill(dek, sizeof(dek));
    ck_assert_int_eq(envol_chunked_seal(key, "wrap", 4, dek, sizeof(dek), wrap), ENVOL_OK);
    for (size_t bit = 0; bit < 8 * sizeof(wrap); bit++) {
        wrap[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refuse(key, "wrap", wrap, sizeof(wrap),
               bit / 8 < ENVOL_CHUNKED_HEADER_BYTES ? ENVOL_E_WRONG_KEY : ENVOL_E_CORRUPT);
        wrap[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof(key); bit++) {
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refuse(key, "wrap", wrap, sizeof(wrap), ENVOL_E_WRONG_KEY);
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    refuse(key, "", wrap, sizeof(wrap), ENVOL_E_WRONG_KEY);
    refuse(key, "wraq", wrap, sizeof(wrap), ENVOL_E_WRONG_KEY);
    refuse(key, "wra", wrap, sizeof(wrap), ENVOL_E_WRONG_KEY);
    refuse(key, "wrap2", wrap, sizeof(wrap), ENVOL_E_WRONG_KEY);
}
END_TEST

/* A message of three chunks, for those who take it apart. */
struct three {
    uint8_t key[32], plain[2 * ENVOL_CHUNK_BYTES + 100], message[56 + 2 * SEALED_CHUNK + 116];
};

static struct three *three_new(void)
{
    struct three *three = allocate(sizeof(*three));

    test_fill(three, sizeof(*three));
    ck_assert_int_eq(
        envol_chunked_seal(three->key, "", 0, three->plain, sizeof(three->plain), three->message),
        ENVOL_OK);
    return three;
}

/* What is missing is called that where the length shows it; else what is there does not fit. */
START_TEST(truncated_anywhere)
{
    struct three *three;

    if (!force(_i))
        return;
    three = three_new();
    for (size_t bytes = 0; bytes < sizeof(three->message); bytes += bytes < 100 ? 1 : 13) {
        size_t body = bytes < 56 ? 0 : bytes - 56;
        bool shows = body % SEALED_CHUNK < ENVOL_CHUNKED_TAG_BYTES;
        refuse(three->key, "", three->message, bytes, shows ? ENVOL_E_TRUNCATED : ENVOL_E_CORRUPT);
    }
    for (size_t chunk = 1; chunk <= 2; chunk++)
        refuse(three->key, "", three->message, 56 + chunk * SEALED_CHUNK, ENVOL_E_TRUNCATED);
    free(three);
}
END_TEST

static void exchange(uint8_t *a, uint8_t *b, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

START_TEST(chunks_out_of_order)
{
    struct three *three;
    uint8_t *first, *second;
    size_t bytes = sizeof(three->message);

    if (!force(_i))
        return;
    three = three_new();
    first = three->message + 56;
    second = first + SEALED_CHUNK;
    exchange(first, second, SEALED_CHUNK);
    refuse(three->key, "", three->message, bytes, ENVOL_E_CORRUPT);
    exchange(first, second, SEALED_CHUNK);
    free(open_message(three->key, "", three->message, bytes, ENVOL_OK, &bytes));
    /* the second one left out, then doubled: the first takes its place */
    memmove(second, second + SEALED_CHUNK, 116);
    refuse(three->key, "", three->message, sizeof(three->message) - SEALED_CHUNK, ENVOL_E_CORRUPT);
    memcpy(second, first, SEALED_CHUNK);
    refuse(three->key, "", three->message, sizeof(three->message), ENVOL_E_CORRUPT);
    free(three);
}
END_TEST

START_TEST(bytes_after_the_end)
{
    uint8_t key[32] = {3}, message[2 * 72 + 16];

    if (!force(_i))
        return;
    test_fill(message, sizeof(message));
    ck_assert_int_eq(envol_chunked_seal(key, "", 0, "", 0, message), ENVOL_OK);
    for (size_t more = 1; more <= 80; more++)
        refuse(key, "", message, 72 + more, ENVOL_E_CORRUPT);
}
END_TEST

/* --- chunk by chunk --- */

static void start_pair(struct envol_chunked *sealing, struct envol_chunked *opening)
{
    uint8_t key[32], header[ENVOL_CHUNKED_HEADER_BYTES];

    test_fill(key, sizeof(key));
    ck_assert_int_eq(envol_chunked_seal_start(sealing, key, "s", 1, header), ENVOL_OK);
    ck_assert_int_eq(envol_chunked_open_start(opening, key, "s", 1, header), ENVOL_OK);
}

START_TEST(chunks_in_place)
{
    struct envol_chunked sealing, opening;
    static uint8_t plain[ENVOL_CHUNK_BYTES], chunk[SEALED_CHUNK];

    if (!force(_i))
        return;
    start_pair(&sealing, &opening);
    test_fill(plain, sizeof(plain));
    for (size_t bytes = ENVOL_CHUNK_BYTES; bytes > 0; bytes = bytes == 33 ? 0 : 33) {
        memcpy(chunk, plain, bytes);
        ck_assert_int_eq(envol_chunk_seal(&sealing, chunk, bytes, chunk), ENVOL_OK);
        ck_assert_mem_ne(chunk, plain, 33);
        /* Refused, and still there for another try. */
        chunk[bytes + 15] ^= 1;
        uint8_t *copy = allocate(bytes + 16);
        memcpy(copy, chunk, bytes + 16);
        ck_assert_int_eq(envol_chunk_open(&opening, copy, bytes + 16, copy), ENVOL_E_CORRUPT);
        ck_assert(envol_is_zero(copy, bytes));
        free(copy);
        chunk[bytes + 15] ^= 1;
        ck_assert_int_eq(envol_chunk_open(&opening, chunk, bytes + 16, chunk), ENVOL_OK);
        ck_assert_mem_eq(chunk, plain, bytes);
    }
    ck_assert(sealing.ended && opening.ended);
    ck_assert(envol_is_zero(sealing.gcm_key, sizeof(sealing.gcm_key)));
    ck_assert(envol_is_zero(opening.gcm_key, sizeof(opening.gcm_key)));
}
END_TEST

START_TEST(nothing_after_a_short_chunk)
{
    struct envol_chunked sealing, opening;
    uint8_t chunk[32] = {0};

    start_pair(&sealing, &opening);
    ck_assert_int_eq(envol_chunk_seal(&sealing, chunk, 16, chunk), ENVOL_OK);
    ck_assert_int_eq(envol_chunk_open(&opening, chunk, 32, chunk), ENVOL_OK);
    memset(chunk, CANARY, sizeof(chunk));
    ck_assert_int_eq(envol_chunk_seal(&sealing, chunk, 16, chunk), ENVOL_E_STATE);
    ck_assert(envol_is_zero(chunk, 32));
    memset(chunk, CANARY, sizeof(chunk));
    ck_assert_int_eq(envol_chunk_open(&opening, chunk, 32, chunk), ENVOL_E_STATE);
    ck_assert(envol_is_zero(chunk, 16));
    ck_assert_uint_eq(chunk[16], CANARY);
}
END_TEST

START_TEST(chunks_of_a_wrong_length)
{
    struct envol_chunked sealing, opening;
    static uint8_t chunk[SEALED_CHUNK + 1];

    start_pair(&sealing, &opening);
    ck_assert_int_eq(envol_chunk_seal(&sealing, chunk, ENVOL_CHUNK_BYTES + 1, chunk),
                     ENVOL_E_ARGUMENT);
    ck_assert_int_eq(envol_chunk_open(&opening, chunk, SEALED_CHUNK + 1, chunk), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(envol_chunk_open(&opening, chunk, 15, chunk), ENVOL_E_TRUNCATED);
    ck_assert_int_eq(envol_chunk_open(&opening, chunk, 0, chunk), ENVOL_E_TRUNCATED);
    ck_assert(!sealing.ended && !opening.ended);
}
END_TEST

/* "Message chunking": 2^38 chunks and no more. */
START_TEST(the_last_chunk_number)
{
    struct envol_chunked sealing, opening;
    static uint8_t chunk[SEALED_CHUNK];

    start_pair(&sealing, &opening);
    sealing.next = opening.next = (UINT64_C(1) << 38) - 1;
    ck_assert_int_eq(envol_chunk_seal(&sealing, chunk, ENVOL_CHUNK_BYTES, chunk), ENVOL_OK);
    ck_assert_int_eq(envol_chunk_open(&opening, chunk, SEALED_CHUNK, chunk), ENVOL_OK);
    ck_assert(envol_is_zero(chunk, ENVOL_CHUNK_BYTES));
    memset(chunk, CANARY, sizeof(chunk));
    ck_assert_int_eq(envol_chunk_open(&opening, chunk, 20, chunk), ENVOL_E_RANGE);
    ck_assert(envol_is_zero(chunk, 4));
    ck_assert_int_eq(envol_chunk_seal(&sealing, chunk, 4, chunk), ENVOL_E_RANGE);
    ck_assert(envol_is_zero(chunk, 20));
}
END_TEST

/* --- what it stands on fails --- */

START_TEST(no_random_bytes)
{
    struct envol_chunked sealing;
    uint8_t key[32] = {1}, message[ENVOL_LOCAL_WRAP_BYTES], dek[64] = {7};

    memset(message, CANARY, sizeof(message));
    random_fails = true;
    ck_assert_int_eq(envol_chunked_seal(key, "", 0, dek, sizeof(dek), message), ENVOL_E_RANDOM);
    ck_assert(envol_is_zero(message, sizeof(message)));
    memset(message, CANARY, sizeof(message));
    ck_assert_int_eq(envol_chunked_seal_start(&sealing, key, "", 0, message), ENVOL_E_RANDOM);
    ck_assert(envol_is_zero(message, ENVOL_CHUNKED_HEADER_BYTES));
    ck_assert_int_eq(envol_chunk_seal(&sealing, dek, 16, message), ENVOL_E_STATE);
    random_fails = false;
}
END_TEST

START_TEST(failed_start_opens_nothing)
{
    struct envol_chunked opening;
    uint8_t key[32] = {1}, header[ENVOL_CHUNKED_HEADER_BYTES] = {0}, chunk[32] = {7};

    ck_assert_int_eq(envol_chunked_open_start(&opening, key, "", 0, header), ENVOL_E_WRONG_KEY);
    ck_assert(envol_is_zero(&opening, sizeof(opening)));
    ck_assert_int_eq(envol_chunk_open(&opening, chunk, 32, chunk), ENVOL_E_STATE);
    ck_assert(envol_is_zero(chunk, 16));
}
END_TEST

#if defined(__x86_64__)
START_TEST(no_kernel)
{
    uint8_t key[32] = {1}, message[73], sealed[73];

    if (!envol_aes_kernel_force("libsodium")) {
        test_skip("no kernel", "libsodium cannot be chosen, and so not taken away");
        return;
    }
    ck_assert_int_eq(envol_chunked_seal(key, "", 0, "x", 1, sealed), ENVOL_OK);
    envol_cpu_mask(0);
    memset(message, CANARY, sizeof(message));
    ck_assert_int_eq(envol_chunked_seal(key, "", 0, "x", 1, message), ENVOL_E_UNSUPPORTED);
    ck_assert(envol_is_zero(message, sizeof(message)));
    refuse(key, "", sealed, sizeof(sealed), ENVOL_E_UNSUPPORTED);
    envol_cpu_mask(UINT32_MAX);
}
END_TEST
#endif

static Suite *suite(void)
{
    Suite *s = suite_create("chunked");
    TCase *messages = tcase_create("messages"), *refusals = tcase_create("refusals");
    TCase *chunks = tcase_create("chunks"), *failures = tcase_create("failures");
    int n = test_kernel_count();

    tcase_add_loop_test(messages, published_messages, 0, n);
    tcase_add_loop_test(messages, every_shape, 0, n);
    tcase_add_test(messages, no_buffers_for_an_empty_message);
    tcase_add_test(messages, each_message_has_a_salt_of_its_own);
    tcase_add_loop_test(messages, chunk_numbers_carry, 0, n);
    tcase_add_loop_test(refusals, every_bit_of_a_wrap, 0, n);
    tcase_add_loop_test(refusals, truncated_anywhere, 0, n);
    tcase_add_loop_test(refusals, chunks_out_of_order, 0, n);
    tcase_add_loop_test(refusals, bytes_after_the_end, 0, n);
    tcase_add_loop_test(chunks, chunks_in_place, 0, n);
    tcase_add_test(chunks, nothing_after_a_short_chunk);
    tcase_add_test(chunks, chunks_of_a_wrong_length);
    tcase_add_test(chunks, the_last_chunk_number);
    tcase_add_test(failures, no_random_bytes);
    tcase_add_test(failures, failed_start_opens_nothing);
#if defined(__x86_64__)
    tcase_add_test(failures, no_kernel);
#endif
    suite_add_tcase(s, messages);
    suite_add_tcase(s, refusals);
    suite_add_tcase(s, chunks);
    suite_add_tcase(s, failures);
    return s;
}

int main(void)
{
    return test_run(suite());
}
