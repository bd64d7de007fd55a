/* SPDX-License-Identifier: BSD-2-Clause */
/* Statuses, errors, the allocator, comparisons, byte order, CRC-32C and CPU features. */
#include "base/bytes.h"
#include "base/cpu.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/memory.h"
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- statuses --- */

/* The header is the list: a status that was added there and forgotten in the table fails. */
START_TEST(every_status_is_described)
{
    FILE *header = fopen("include/envol/status.h", "r");
    char line[256], name[64];
    int value, expected = 0;

    ck_assert_msg(header != NULL, "run from the top of the tree");
    while (fgets(line, sizeof(line), header) != NULL) {
        if (sscanf(line, " %63[A-Z_] = %d,", name, &value) != 2 &&
            sscanf(line, " %63[A-Z_] = %d ", name, &value) != 2)
            continue;
        ck_assert_int_eq(value, expected++);
        ck_assert_str_eq(envol_status_name((enum envol_status)value), name);
    }
    fclose(header);
    ck_assert_int_eq(expected, ENVOL_E_POLICY + 1);
    ck_assert_str_eq(envol_status_name((enum envol_status)expected), "ENVOL_E_?");
    ck_assert_str_eq(envol_status_name((enum envol_status) - 1), "ENVOL_E_?");
    ck_assert_int_eq(envol_status_is_retryable((enum envol_status) - 1), 0);
}
END_TEST

START_TEST(messages_are_sentences_of_their_own)
{
    for (int i = ENVOL_OK; i <= ENVOL_E_POLICY; i++) {
        const char *message = envol_status_message((enum envol_status)i);

        ck_assert_uint_gt(strlen(message), 5);
        ck_assert_int_ne(message[strlen(message) - 1], '.');
        for (int j = ENVOL_OK; j < i; j++)
            ck_assert_str_ne(message, envol_status_message((enum envol_status)j));
    }
}
END_TEST

START_TEST(retryable_are_these_and_no_others)
{
    static const enum envol_status retryable[] = {
        ENVOL_E_RANDOM, ENVOL_E_BUSY, ENVOL_E_THROTTLED, ENVOL_E_UNREACHABLE, ENVOL_E_TIMEOUT,
    };
    size_t next = 0;

    for (int i = ENVOL_OK; i <= ENVOL_E_POLICY; i++) {
        int expected = next < 5 && i == (int)retryable[next];

        ck_assert_int_eq(envol_status_is_retryable((enum envol_status)i), expected);
        next += (size_t)expected;
    }
    ck_assert_uint_eq(next, 5);
}
END_TEST

START_TEST(version_is_the_headers)
{
    char expected[32];

    snprintf(expected, sizeof(expected), "%d.%d.%d", ENVOL_VERSION_MAJOR, ENVOL_VERSION_MINOR,
             ENVOL_VERSION_PATCH);
    ck_assert_str_eq(envol_version(), expected);
}
END_TEST

/* --- errors --- */

START_TEST(error_is_filled_whole)
{
    struct envol_error error = ENVOL_ERROR_INIT;

    error.page_no = 7;
    error.slot = 3;
    strcpy(error.provider_code, "old");
    errno = EBADF;
    ck_assert_int_eq(envol_fail_errno(&error, ENVOL_E_IO, ENOSPC, "write %d", 5), ENVOL_E_IO);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(error.status, ENVOL_E_IO);
    ck_assert_int_eq(error.os_errno, ENOSPC);
    ck_assert_uint_eq(error.page_no, ENVOL_NO_PAGE);
    ck_assert_int_eq(error.slot, ENVOL_NO_SLOT);
    ck_assert_str_eq(error.provider_code, "");
    ck_assert_str_eq(error.message, "write 5: No space left on device");

    ck_assert_int_eq(envol_fail(&error, ENVOL_E_BUSY, NULL), ENVOL_E_BUSY);
    ck_assert_str_eq(error.message, envol_status_message(ENVOL_E_BUSY));
    ck_assert_int_eq(error.os_errno, 0);

    envol_error_set_page(&error, 9);
    envol_error_set_slot(&error, 2);
    envol_error_set_provider_code(&error, "Disabled\nException");
    ck_assert_uint_eq(error.page_no, 9);
    ck_assert_int_eq(error.slot, 2);
    ck_assert_str_eq(error.provider_code, "Disabled?Exception");
    envol_error_set_provider_code(&error, NULL);
    ck_assert_str_eq(error.provider_code, "");

    envol_error_clear(&error);
    ck_assert_int_eq(error.status, ENVOL_OK);
    ck_assert_uint_eq(error.page_no, ENVOL_NO_PAGE);
    ck_assert_str_eq(error.message, "");
}
END_TEST

START_TEST(error_may_be_null)
{
    ck_assert_int_eq(envol_fail(NULL, ENVOL_E_RANGE, "%s", "x"), ENVOL_E_RANGE);
    ck_assert_int_eq(envol_fail_errno(NULL, ENVOL_E_IO, EIO, NULL), ENVOL_E_IO);
    envol_error_clear(NULL);
    envol_error_set_page(NULL, 1);
    envol_error_set_slot(NULL, 1);
    envol_error_set_provider_code(NULL, "x");
}
END_TEST

/* Whatever size a caller says, not a byte beyond it changes. */
START_TEST(error_keeps_to_struct_size)
{
    struct envol_error full = ENVOL_ERROR_INIT;

    envol_fail(&full, ENVOL_E_IO, "some message");
    for (size_t size = 0; size <= sizeof(full) + 64; size++) {
        union {
            struct envol_error error;
            unsigned char bytes[sizeof(full) + 64];
        } box;
        size_t covered = size < sizeof(full) ? size : sizeof(full);

        memset(&box, 0xee, sizeof(box));
        box.error.struct_size = size;
        envol_fail(&box.error, ENVOL_E_IO, "some message");
        ck_assert_uint_eq(box.error.struct_size, size);
        if (covered > sizeof(size_t))
            ck_assert_mem_eq(box.bytes + sizeof(size_t), (unsigned char *)&full + sizeof(size_t),
                             covered - sizeof(size_t));
        for (size_t i = covered < sizeof(size_t) ? sizeof(size_t) : covered; i < sizeof(box); i++)
            ck_assert_uint_eq(box.bytes[i], 0xee);
        if (size >= offsetof(struct envol_error, page_no))
            continue;
        envol_error_set_page(&box.error, 1);
        envol_error_set_slot(&box.error, 1);
        envol_error_set_provider_code(&box.error, "code");
        ck_assert_uint_eq(box.bytes[sizeof(full) - 1], 0xee);
        ck_assert_uint_eq(box.error.page_no, UINT64_C(0xeeeeeeeeeeeeeeee));
    }
}
END_TEST

/* The message is cut at 255 bytes: a character of 1 to 4 bytes is there whole, or not at all. */
START_TEST(long_messages_are_cut_between_characters)
{
    static const char *const characters[] = {"e", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\x91"};
    const char *character = characters[_i];
    size_t width = strlen(character);
    char text[600] = "";

    for (size_t lead = 0; lead < 4; lead++) {
        struct envol_error error = ENVOL_ERROR_INIT;

        memset(text, 'a', lead);
        text[lead] = '\0';
        for (int i = 0; i < 100; i++)
            strcat(text, character);
        for (int i = 0; i < 160; i++)
            strcat(text, "b");
        envol_fail(&error, ENVOL_E_IO, "%s", text);
        ck_assert_uint_le(strlen(error.message), 255);
        ck_assert_uint_gt(strlen(error.message), 255 - width);
        if (width == 4)
            ck_assert_uint_eq((strlen(error.message) - lead) % width, 0);
        ck_assert_mem_eq(error.message, text, strlen(error.message));
    }
    ck_assert_uint_le(width, 4);
}
END_TEST

START_TEST(cut_through_every_byte_of_a_character)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\x91"};
    const char *character = characters[_i];
    char text[300];

    for (size_t before = 240; before < 256; before++) {
        struct envol_error error = ENVOL_ERROR_INIT;
        size_t whole = (255 - before) / strlen(character) * strlen(character);

        memset(text, 'a', before);
        text[before] = '\0';
        for (int i = 0; i < 8; i++)
            strcat(text, character);
        envol_fail(&error, ENVOL_E_IO, "%s", text);
        if (strlen(text) <= 255)
            whole = strlen(text) - before;
        ck_assert_uint_eq(strlen(error.message), before + whole);
    }
}
END_TEST

START_TEST(messages_are_one_line)
{
    struct envol_error error = ENVOL_ERROR_INIT;

    envol_fail(&error, ENVOL_E_IO, "a\nb\033[2Jc\177d");
    ck_assert_str_eq(error.message, "a?b?[2Jc?d");
    /* U+009B is ESC [ to some terminals; what begins with the same byte is not. */
    envol_fail(&error, ENVOL_E_IO,
               "a\xc2\x9b"
               "2Jb\xc2\xa0");
    ck_assert_str_eq(error.message, "a??2Jb\xc2\xa0");
}
END_TEST

/* --- memory --- */

struct counting {
    int allocs, frees;
    bool fail;
};

static void *counting_alloc(void *ctx, size_t bytes, size_t align)
{
    struct counting *counting = ctx;
    void *memory = NULL;

    counting->allocs++;
    if (counting->fail || posix_memalign(&memory, align, bytes) != 0)
        return NULL;
    return memset(memory, 0xee, bytes);
}

static void counting_free(void *ctx, void *memory)
{
    ck_assert_ptr_nonnull(memory);
    ((struct counting *)ctx)->frees++;
    free(memory);
}

START_TEST(allocator_of_the_caller_is_used)
{
    struct counting counting = {0};
    struct envol_allocator allocator = {sizeof(allocator), &counting, counting_alloc,
                                        counting_free};
    void *memory;

    ck_ok(envol_set_allocator(&allocator));
    memory = envol_alloc(1000, 64);
    ck_assert_ptr_nonnull(memory);
    ck_assert(envol_is_zero(memory, 1000));
    envol_free(memory);
    envol_free(NULL);
    ck_assert_int_eq(counting.allocs, 1);
    ck_assert_int_eq(counting.frees, 1);
    counting.fail = true;
    ck_assert_ptr_null(envol_alloc(1000, 64));
    ck_ok(envol_set_allocator(NULL));
    memory = envol_alloc(1000, 64);
    ck_assert_ptr_nonnull(memory);
    envol_free(memory);
    ck_assert_int_eq(counting.allocs, 2);
}
END_TEST

START_TEST(allocator_must_be_whole)
{
    struct counting counting = {0};
    struct envol_allocator good = {sizeof(good), &counting, counting_alloc, counting_free};
    struct envol_allocator bad = good;

    bad.struct_size--;
    ck_status(envol_set_allocator(&bad), ENVOL_E_ARGUMENT);
    bad = good;
    bad.alloc = NULL;
    ck_status(envol_set_allocator(&bad), ENVOL_E_ARGUMENT);
    bad = good;
    bad.free = NULL;
    ck_status(envol_set_allocator(&bad), ENVOL_E_ARGUMENT);
    envol_free(envol_alloc(1, 1));
    ck_assert_int_eq(counting.allocs, 0);
}
END_TEST

START_TEST(memory_is_zeroed_and_aligned)
{
    for (size_t align = 1; align <= 4096; align *= 2) {
        for (size_t bytes = 0; bytes < 200; bytes += 13) {
            uint8_t *memory = envol_alloc(bytes, align);

            ck_assert_ptr_nonnull(memory);
            ck_assert_uint_eq((uintptr_t)memory % align, 0);
            ck_assert(envol_is_zero(memory, bytes));
            memset(memory, 0xff, bytes);
            envol_free(memory);
        }
    }
}
END_TEST

START_TEST(zero_and_equal_see_every_byte)
{
    uint8_t a[100] = {0}, b[100] = {0};

    ck_assert(envol_is_zero(a, 0));
    ck_assert(envol_equal(a, b, 0));
    for (size_t bytes = 1; bytes <= sizeof(a); bytes++) {
        ck_assert(envol_is_zero(a, bytes));
        ck_assert(envol_equal(a, b, bytes));
        for (size_t i = 0; i < bytes; i++) {
            a[i] = (uint8_t)(1u << i % 8);
            ck_assert(!envol_is_zero(a, bytes));
            ck_assert(!envol_equal(a, b, bytes));
            a[i] = 0;
        }
        a[bytes - 1] = 1;
        ck_assert(envol_is_zero(a, bytes - 1));
        envol_wipe(a, bytes);
    }
    envol_wipe(NULL, 0);
}
END_TEST

/* --- numbers --- */

START_TEST(byte_order)
{
    uint8_t bytes[9];

    test_unhex("ff0123456789abcdef", bytes, sizeof(bytes));
    ck_assert_uint_eq(envol_load16(bytes + 1), 0x2301);
    ck_assert_uint_eq(envol_load32(bytes + 1), 0x67452301);
    ck_assert_uint_eq(envol_load32be(bytes + 1), 0x01234567);
    ck_assert_uint_eq(envol_load64(bytes + 1), UINT64_C(0xefcdab8967452301));
    ck_assert_uint_eq(envol_load64be(bytes + 1), UINT64_C(0x0123456789abcdef));
    envol_store64be(bytes + 1, UINT64_C(0x0011223344556677));
    ck_mem_hex(bytes, "ff0011223344556677");
    envol_store64(bytes + 1, UINT64_C(0xfedcba9876543210));
    ck_mem_hex(bytes, "ff1032547698badcfe");
    envol_store32(bytes + 1, 0xa1b2c3d4);
    envol_store32be(bytes + 5, 0xa1b2c3d4);
    ck_mem_hex(bytes, "ffd4c3b2a1a1b2c3d4");
    envol_store16(bytes + 1, 0xbeef);
    ck_mem_hex(bytes, "ffefbeb2a1");
}
END_TEST

/* RFC 3720, B.4 */
START_TEST(crc32c_vectors)
{
    uint8_t data[48] = {0};

    envol_cpu_mask(_i == 0 ? UINT32_MAX : 0);
    ck_assert_uint_eq(envol_crc32c(0, data, 32), 0x8a9136aa);
    memset(data, 0xff, 32);
    ck_assert_uint_eq(envol_crc32c(0, data, 32), 0x62a8ab43);
    for (size_t i = 0; i < 32; i++)
        data[i] = (uint8_t)i;
    ck_assert_uint_eq(envol_crc32c(0, data, 32), 0x46dd794e);
    for (size_t i = 0; i < 32; i++)
        data[i] = (uint8_t)(31 - i);
    ck_assert_uint_eq(envol_crc32c(0, data, 32), 0x113fdb5c);
    test_unhex("01c00000000000000000000000000000140000000000040000000014000000182800000000000000"
               "0200000000000000",
               data, sizeof(data));
    ck_assert_uint_eq(envol_crc32c(0, data, 48), 0xd9963a56);
    ck_assert_uint_eq(envol_crc32c(0, NULL, 0), 0);
    ck_assert_uint_eq(envol_crc32c(0, "123456789", 9), 0xe3069283);
}
END_TEST

/* The instruction and the table, at every length and alignment. */
START_TEST(crc32c_both_ways)
{
    uint8_t data[80];

    test_fill(data, sizeof(data));
    for (size_t from = 0; from < 8; from++)
        for (size_t bytes = 0; bytes <= sizeof(data) - from; bytes++) {
            uint32_t crc = envol_crc32c(7, data + from, bytes);
            envol_cpu_mask(0);
            ck_assert_uint_eq(envol_crc32c(7, data + from, bytes), crc);
            envol_cpu_mask(UINT32_MAX);
        }
}
END_TEST

START_TEST(crc32c_goes_on)
{
    uint8_t data[100];
    uint32_t whole;

    test_fill(data, sizeof(data));
    whole = envol_crc32c(0, data, sizeof(data));
    for (size_t cut = 0; cut <= sizeof(data); cut++)
        ck_assert_uint_eq(envol_crc32c(envol_crc32c(0, data, cut), data + cut, sizeof(data) - cut),
                          whole);
}
END_TEST

/* --- CPU --- */

static bool has_flag(const char *flags, const char *flag)
{
    size_t length = strlen(flag);
    const char *at = flags;

    while ((at = strstr(at, flag)) != NULL) {
        if (at[-1] == ' ' && (at[length] == ' ' || at[length] == '\n'))
            return true;
        at += length;
    }
    return false;
}

static bool has_flags(const char *flags, const char *const *wanted)
{
    for (; *wanted != NULL; wanted++) {
        if (!has_flag(flags, *wanted))
            return false;
    }
    return true;
}

/* The kernel lists what it found, and leaves out what it does not save the registers of. */
static uint32_t features_by_the_kernel(const char *flags)
{
    static const char *const aesni[] = {"aes", "pclmulqdq", "sse4_1", NULL};
    static const char *const vaes256[] = {"vaes", "vpclmulqdq", "avx2", NULL};
    static const char *const vaes512[] = {"avx512f", "avx512bw", "avx512dq", "avx512vl", NULL};
    static const char *const crc32c[] = {"sse4_2", NULL};
    uint32_t features = has_flags(flags, crc32c) ? ENVOL_CPU_CRC32C : 0;

    if (!has_flags(flags, aesni))
        return features;
    features |= ENVOL_CPU_AESNI;
    if (!has_flags(flags, vaes256))
        return features;
    features |= ENVOL_CPU_VAES256;
    return has_flags(flags, vaes512) ? features | ENVOL_CPU_VAES512 : features;
}

START_TEST(cpu_features_are_those_of_the_kernel)
{
    FILE *cpuinfo = fopen("/proc/cpuinfo", "r");
    char line[8192];
    bool found = false;

    while (!found && cpuinfo != NULL && fgets(line, sizeof(line), cpuinfo) != NULL)
        found = strncmp(line, "flags", 5) == 0;
    if (cpuinfo != NULL)
        fclose(cpuinfo);
    if (!found || test_tool() != NULL) {
        test_skip("cpu features", "no flags in /proc/cpuinfo, or an emulated CPU");
        return;
    }
    ck_assert_uint_eq(envol_cpu_features(), features_by_the_kernel(line));
    ck_assert_uint_eq(envol_cpu_features(), features_by_the_kernel(line));
}
END_TEST

START_TEST(cpu_mask_takes_away_and_gives_back)
{
    uint32_t all = envol_cpu_features();

    envol_cpu_mask(ENVOL_CPU_AESNI);
    ck_assert_uint_eq(envol_cpu_features(), all & ENVOL_CPU_AESNI);
    envol_cpu_mask(0);
    ck_assert_uint_eq(envol_cpu_features(), 0);
    ck_assert_uint_eq(envol_cpu_features(), 0);
    envol_cpu_mask(UINT32_MAX);
    ck_assert_uint_eq(envol_cpu_features(), all);
}
END_TEST

/* --- UUIDs --- */

static const uint8_t uuid_bytes[ENVOL_UUID_BYTES] = {
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef, 0x80, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde};

START_TEST(uuids_as_text)
{
    static const char lower[] = "01234567-89ab-4def-8012-3456789abcde";
    char text[ENVOL_UUID_TEXT_BYTES];
    uint8_t uuid[ENVOL_UUID_BYTES];

    ck_assert_ptr_eq(envol_uuid_format(uuid_bytes, text), text);
    ck_assert_str_eq(text, lower);
    ck_ok(envol_uuid_parse(lower, uuid));
    ck_assert_mem_eq(uuid, uuid_bytes, sizeof(uuid));
    memset(uuid, 0, sizeof(uuid));
    ck_ok(envol_uuid_parse("01234567-89AB-4Def-8012-3456789ABCDE", uuid));
    ck_assert_mem_eq(uuid, uuid_bytes, sizeof(uuid));
    for (int round = 0; round < 1000; round++) {
        uint8_t any[ENVOL_UUID_BYTES];
        test_fill(any, sizeof(any));
        ck_ok(envol_uuid_parse(envol_uuid_format(any, text), uuid));
        ck_assert_mem_eq(uuid, any, sizeof(any));
    }
}
END_TEST

static void expect_no_uuid(const char *text)
{
    uint8_t uuid[ENVOL_UUID_BYTES];

    memset(uuid, 0xee, sizeof(uuid));
    ck_status(envol_uuid_parse(text, uuid), ENVOL_E_ARGUMENT);
    ck_assert(envol_is_zero(uuid, sizeof(uuid)));
}

/* Cut anywhere, longer, without dashes, with any other character anywhere. */
START_TEST(what_is_no_uuid)
{
    static const char good[] = "01234567-89ab-4def-8012-3456789abcde";
    char text[64];

    for (size_t length = 0; length < sizeof(good) - 1; length++) {
        char *cut = strndup(good, length);
        expect_no_uuid(cut);
        free(cut);
    }
    for (size_t at = 0; at < sizeof(good) - 1; at++)
        for (int c = 1; c < 256; c++) {
            memcpy(text, good, sizeof(good));
            text[at] = (char)c;
            if (good[at] == '-' ? c == '-' : c < 128 && strchr("0123456789abcdefABCDEF", c) != NULL)
                continue;
            expect_no_uuid(text);
        }
    expect_no_uuid("01234567-89ab-4def-8012-3456789abcde ");
    expect_no_uuid("{01234567-89ab-4def-8012-3456789abcde}");
    expect_no_uuid("0123456789ab4def80123456789abcde");
    expect_no_uuid(NULL);
    ck_status(envol_uuid_parse(good, NULL), ENVOL_E_ARGUMENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tcase = tcase_create("base");

    tcase_add_test(tcase, every_status_is_described);
    tcase_add_test(tcase, messages_are_sentences_of_their_own);
    tcase_add_test(tcase, retryable_are_these_and_no_others);
    tcase_add_test(tcase, version_is_the_headers);
    tcase_add_test(tcase, error_is_filled_whole);
    tcase_add_test(tcase, error_may_be_null);
    tcase_add_test(tcase, error_keeps_to_struct_size);
    tcase_add_loop_test(tcase, long_messages_are_cut_between_characters, 0, 4);
    tcase_add_loop_test(tcase, cut_through_every_byte_of_a_character, 0, 3);
    tcase_add_test(tcase, messages_are_one_line);
    tcase_add_test(tcase, allocator_of_the_caller_is_used);
    tcase_add_test(tcase, allocator_must_be_whole);
    tcase_add_test(tcase, memory_is_zeroed_and_aligned);
    tcase_add_test(tcase, zero_and_equal_see_every_byte);
    tcase_add_test(tcase, byte_order);
    tcase_add_loop_test(tcase, crc32c_vectors, 0, 2);
    tcase_add_test(tcase, crc32c_goes_on);
    tcase_add_test(tcase, crc32c_both_ways);
    tcase_add_test(tcase, cpu_features_are_those_of_the_kernel);
    tcase_add_test(tcase, cpu_mask_takes_away_and_gives_back);
    tcase_add_test(tcase, uuids_as_text);
    tcase_add_test(tcase, what_is_no_uuid);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
