/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Headers of format 1 whose every byte is known: the same figures give the same bytes for ever.
 *
 *     test_header_golden --write DIRECTORY    the headers as files
 *     test_header_golden --print FILE [DEK]   a header, as tests/format1.py prints it
 */
#include "golden.h"
#include "header_fixture.h"
#include "page_fixture.h"
#include "support.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The salt of a retained DEK's wrapping is all that is drawn here: 24 bytes, counted up.  The
 * library takes no two draws running that begin alike. */
static bool random_is_planned;
static uint8_t random_next;

/* Stands in for the C library's in this program. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    if (!random_is_planned)
        return syscall(SYS_getrandom, out, bytes, flags);
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = random_next++;
    return (ssize_t)bytes;
}

static const uint8_t uuid[ENVOL_UUID_BYTES] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef,
                                               0x80, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde};

static const struct golden {
    const char *name;
    enum envol_suite suite;
    uint32_t page_bytes, stride_bytes;
    int sparse;
    uint32_t rotation;  /* kind of its record; 0: none */
    uint32_t log;       /* kind of its log seal; 0: none */
    const char *sha256; /* of all 65,536 bytes */
} goldens[] = {
    {"gcm", ENVOL_SUITE_AES_256_GCM, 8192, 8256, 1, 0, 0,
     "8759b671c3d2f21d4f57ef7227fdb8ff11aa4c454b62a987d8e2708c99df2c73"},
    {"xts", ENVOL_SUITE_AES_256_XTS, 16384, 16384, 0, 0, 0,
     "4485d60ee5d9d288c67671cecd3afc58cee485e5e64166df16da4e4dc223e8cc"},
    {"gcm-sweep", ENVOL_SUITE_AES_256_GCM, 8192, 8256, 1, ENVOL_ROTATION_SWEEP, 0,
     "e35edf61bf3cefe5ad4c8f58108bf083ebc76ff860396f7f52d53e02664ed9cc"},
    {"xts-pages", ENVOL_SUITE_AES_256_XTS, 16384, 16384, 0, ENVOL_ROTATION_PAGES, 0,
     "0488aaf6d8d6dd842ff4e27f18365f7de16890f007eb0e72964c6ef5f13f8b28"},
    {"gcm-log", ENVOL_SUITE_AES_256_GCM, 8192, 8256, 1, 0, ENVOL_LOG_SEAL_SEALED,
     "bb80c4dbfaf072e4f747852fe632c6617c58a747baacc6de0a12af0dbbfe83e2"},
};
enum { GOLDENS = sizeof(goldens) / sizeof(goldens[0]) };

static void make_dek(uint8_t *dek, uint8_t first)
{
    for (unsigned i = 0; i < ENVOL_DEK_BYTES; i++)
        dek[i] = (uint8_t)(first + i);
}

static enum envol_status add_slots(struct envol_header *header)
{
    uint8_t wrapped[200];
    struct envol_slot slots[] = {
        {.provider = "aws-kms",
         .key_ref = "arn:aws:kms:eu-central-1:111122223333:key/"
                    "1234abcd-12ab-34cd-56ef-1234567890ab",
         .wrapped_bytes = 200,
         .created_at_s = 1700000000},
        {.provider = "file",
         .key_ref = HEADER_KEY_REF,
         .key_version = "12",
         .wrapped_bytes = 136,
         .created_at_s = UINT64_C(0x0102030405060708)},
    };
    enum envol_status status = ENVOL_OK;

    for (unsigned i = 0; i < sizeof(wrapped); i++)
        wrapped[i] = (uint8_t)(0xff - i);
    for (unsigned i = 0; status == ENVOL_OK && i < 2; i++) {
        slots[i].struct_size = sizeof(slots[i]);
        slots[i].wrapped = wrapped;
        status = envol_header_add_slot(header, &slots[i], NULL);
    }
    return status;
}

static struct envol_rotation_record record_of(uint32_t kind)
{
    struct envol_rotation_record record = {
        .kind = kind, .from_epoch = 0x01020303, .next_page = 0x1213, .bad_pages = 0x2122};

    if (kind == 0)
        return (struct envol_rotation_record){0};
    record.first_bad = 0x3132;
    if (kind == ENVOL_ROTATION_SWEEP)
        return record;
    record.hot_first = record.next_page;
    record.hot_count = 0x4142;
    record.pages = 0x515253;
    record.journal_page = 0x61626364;
    for (unsigned i = 0; i < sizeof(record.commitment); i++)
        record.commitment[i] = (uint8_t)(0xc0 + i);
    return record;
}

static struct envol_log_seal log_of(uint32_t kind)
{
    struct envol_log_seal seal = {.struct_size = sizeof(seal), .kind = kind};

    if (kind == 0)
        return seal;
    seal.lowest_epoch = 0x01020303;
    memcpy(seal.log_id, "0123456789abcdef", sizeof(seal.log_id));
    seal.oldest_segment = 0x111213;
    seal.newest_segment = 0x212223;
    seal.last_run = 0x313233;
    seal.next_lsn = 0x4142434445464748;
    seal.end_offset = 0x51525350;
    seal.last_run_records = 0x61626364;
    memcpy(seal.last_tag, "ABCDEFGHIJKLMNOP", sizeof(seal.last_tag));
    seal.first_lsn = 0x0142434445464748;
    return seal;
}

/* All numbers have bytes that differ; the older DEK is that of epoch 0x01020303. */
static enum envol_status make(const struct golden *golden, uint8_t *bytes)
{
    const struct envol_header_params params = {.struct_size = sizeof(params),
                                               .suite = golden->suite,
                                               .page_bytes = golden->page_bytes,
                                               .stride_bytes = golden->stride_bytes,
                                               .data_offset = 1 << 20,
                                               .sparse = golden->sparse,
                                               .uuid = uuid};
    struct envol_header *header = NULL;
    struct envol_keyring *keyring = NULL;
    uint8_t dek[ENVOL_DEK_BYTES], old_dek[ENVOL_DEK_BYTES];
    enum envol_status status = envol_header_new(&params, &header);

    if (status != ENVOL_OK)
        return status;
    make_dek(dek, 0);
    make_dek(old_dek, 64);
    header->epoch = 0x01020304;
    header->lowest_epoch = 0x01020302;
    envol_header_refresh_context(header);
    random_is_planned = true;
    random_next = (uint8_t)(golden->suite << 6);
    status = envol_header_retain(header, dek, 0x01020303, old_dek);
    random_is_planned = false;
    header->rotation = record_of(golden->rotation);
    header->log_seal = log_of(golden->log);
    if (status == ENVOL_OK)
        status = add_slots(header);
    if (status == ENVOL_OK)
        status = envol_header_set_pages(header, 0x0504030201, 1, 0x0c0b0a090807);
    if (status == ENVOL_OK)
        status = envol_header_seal(header, dek, 0, bytes, &keyring);
    envol_keyring_close(keyring);
    envol_header_free(header);
    return status;
}

START_TEST(the_same_bytes_for_ever)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    uint8_t hash[crypto_hash_sha256_BYTES];

    if (!page_suite(goldens[_i].suite))
        return;
    ck_assert_int_eq(make(&goldens[_i], bytes), ENVOL_OK);
    crypto_hash_sha256(hash, bytes, sizeof(bytes));
    ck_mem_hex(hash, goldens[_i].sha256);
}
END_TEST

/* Typed in from the table of envol(5), field after field. */
START_TEST(field_by_field)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];

    ck_assert_int_eq(make(&goldens[0], bytes), ENVOL_OK);
    ck_mem_hex(bytes, "454e564f4c564f4c"
                      "01000000");
    ck_mem_hex(bytes + 16, "0100000000000000"
                           "0123456789ab4def80123456789abcde"
                           "01000000"
                           "00200000"
                           "40200000"
                           "04030201"
                           "02030201"
                           "01000000"
                           "0000100000000000"
                           "0102030405000000"
                           "0708090a0b0c0000"
                           "00000000"
                           "00000000"
                           "01000000"
                           "02000000"
                           "01000000"
                           "00000000");
    ck_mem_hex(bytes + 368, "0303020100000000"
                            "404142434445464748494a4b4c4d4e4f5051525354555657");
    ck_mem_hex(bytes + 4096, "38010000"
                             "01000000"
                             "00f1536500000000"
                             "0700"
                             "4e00"
                             "0000"
                             "c800"
                             "6177732d6b6d73"
                             "61726e3a6177733a6b6d733a");
    ck_mem_hex(bytes + 4096 + 0x138, "d0000000"
                                     "02000000"
                                     "0807060504030201"
                                     "0400"
                                     "2400"
                                     "0200"
                                     "8800"
                                     "66696c65");
    ck_assert_mem_eq(bytes, bytes + 32768, 32768);
}
END_TEST

START_TEST(field_by_field_of_a_record)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];

    if (!page_suite(ENVOL_SUITE_AES_256_XTS))
        return;
    ck_assert_int_eq(make(&goldens[3], bytes), ENVOL_OK);
    ck_mem_hex(bytes + 112, "02000000"
                            "03030201"
                            "1312000000000000"
                            "2221000000000000"
                            "3231000000000000"
                            "1312000000000000"
                            "4241000000000000"
                            "5352510000000000"
                            "6463626100000000"
                            "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
                            "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
                            "0000000000000000000000000000000000000000000000000000000000000000");
}
END_TEST

START_TEST(field_by_field_of_a_log_seal)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];

    ck_assert_int_eq(make(&goldens[4], bytes), ENVOL_OK);
    ck_mem_hex(bytes + 240, "02000000"
                            "03030201"
                            "30313233343536373839616263646566"
                            "1312110000000000"
                            "2322210000000000"
                            "3332310000000000"
                            "4847464544434241"
                            "5053525100000000"
                            "64636261"
                            "00000000"
                            "4142434445464748494a4b4c4d4e4f50"
                            "4847464544434201"
                            "0000000000000000000000000000000000000000000000000000000000000000");
}
END_TEST

/* --- For tests/test_format.sh ----------------------------------------------------------------- */

static int write_all(const char *directory)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];

    for (unsigned i = 0; i < GOLDENS; i++) {
        enum envol_status status = make(&goldens[i], bytes);
        char path[512];
        FILE *file;
        if (status == ENVOL_E_UNSUPPORTED)
            continue;
        snprintf(path, sizeof(path), "%s/header-%s.bin", directory, goldens[i].name);
        file = status == ENVOL_OK ? fopen(path, "wb") : NULL;
        if (file == NULL || fwrite(bytes, sizeof(bytes), 1, file) != 1 || fclose(file) != 0)
            return 1;
    }
    return 0;
}

static void print_hex(const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        printf("%02x", ((const uint8_t *)data)[i]);
}

static void print_fields(const struct envol_header *header)
{
    printf("version 1\ngeneration %" PRIu64 "\nuuid ", header->id.generation);
    print_hex(header->uuid, sizeof(header->uuid));
    printf("\nsuite %d\npage_bytes %" PRIu32 "\nstride_bytes %" PRIu32 "\nepoch %" PRIu32
           "\nlowest_epoch %" PRIu32 "\nclean %d\n",
           header->suite, header->page_bytes, header->stride_bytes, header->epoch,
           header->lowest_epoch, header->clean);
    printf("data_offset %" PRIu64 "\nhigh_water %" PRIu64 "\nseal_estimate %" PRIu64 "\n",
           header->data_offset, header->high_water, header->seal_estimate);
    printf("compatible %" PRIu32 "\nread_only_compatible %" PRIu32 "\nincompatible %" PRIu32 "\n",
           header->compatible, header->read_only_compatible, header->incompatible);
    printf("slots %" PRIu32 "\nretained %" PRIu32 "\n", header->slot_count, header->retained_count);
}

static void print_rotation(const struct envol_rotation_record *record)
{
    printf("rotation %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
           " %" PRIu64 " %" PRIu64 " %" PRIu64 " ",
           record->kind, record->from_epoch, record->next_page, record->bad_pages,
           record->first_bad, record->hot_first, record->hot_count, record->pages,
           record->journal_page);
    print_hex(record->commitment, sizeof(record->commitment));
    putchar('\n');
}

static void print_log_seal(const struct envol_log_seal *seal)
{
    printf("log %" PRIu32 " %" PRIu32 " ", seal->kind, seal->lowest_epoch);
    print_hex(seal->log_id, sizeof(seal->log_id));
    printf(" %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 " ",
           seal->oldest_segment, seal->newest_segment, seal->last_run, seal->next_lsn,
           seal->end_offset, seal->last_run_records);
    print_hex(seal->last_tag, sizeof(seal->last_tag));
    printf(" %" PRIu64 "\n", seal->first_lsn);
}

static void print_slots(const struct envol_header *header)
{
    struct envol_slot slot = {.struct_size = sizeof(slot)};

    for (uint32_t i = 0; envol_header_slot(header, i, &slot) == ENVOL_OK; i++) {
        printf("slot %" PRIu32 " %" PRIu64 " %s %s %s ", slot.id, slot.created_at_s, slot.provider,
               slot.key_ref, slot.key_version);
        print_hex(slot.wrapped, slot.wrapped_bytes);
        putchar('\n');
    }
}

/* verdict is of the MAC; an unlocked header has opened all its retained DEKs. */
static void print_proofs(const struct envol_header *header, const char *verdict)
{
    for (uint32_t i = 0; i < header->retained_count; i++) {
        printf("retains %" PRIu32 " ", header->retained[i].epoch);
        print_hex(header->retained[i].wrap, sizeof(header->retained[i].wrap));
        printf(" %s\n", verdict);
    }
    printf("mac ");
    print_hex(header->id.mac, sizeof(header->id.mac));
    printf(" %s\n", verdict);
}

static const char *verdict_of(struct envol_header *header, const char *dek_hex)
{
    uint8_t dek[ENVOL_DEK_BYTES];
    struct envol_keyring *keyring;
    enum envol_status status;

    if (dek_hex == NULL)
        return "unchecked";
    if (sodium_hex2bin(dek, sizeof(dek), dek_hex, strlen(dek_hex), NULL, NULL, NULL) != 0)
        return "no DEK";
    status = envol_header_unlock(header, dek, 0, NULL, &keyring);
    envol_keyring_close(keyring);
    return status == ENVOL_OK ? "right" : "wrong";
}

static int print(const char *path, const char *dek_hex)
{
    static uint8_t bytes[ENVOL_HEADER_BYTES];
    struct envol_header *header;
    FILE *file = fopen(path, "rb");
    enum envol_status status;

    if (file == NULL || fread(bytes, 1, sizeof(bytes), file) == 0)
        return 2;
    fclose(file);
    status = envol_header_decode(bytes, 0, &header, NULL);
    if (status != ENVOL_OK) {
        printf("refused: %s\n", envol_status_name(status));
        return 1;
    }
    printf("copy %d\n", envol_image_newest(bytes));
    print_fields(header);
    print_rotation(&header->rotation);
    print_log_seal(&header->log_seal);
    print_slots(header);
    print_proofs(header, verdict_of(header, dek_hex));
    envol_header_free(header);
    return 0;
}

static Suite *suite(void)
{
    Suite *s = suite_create("header_golden");
    TCase *c = tcase_create("golden");

    tcase_add_loop_test(c, the_same_bytes_for_ever, 0, GOLDENS);
    tcase_add_test(c, field_by_field);
    tcase_add_test(c, field_by_field_of_a_record);
    tcase_add_test(c, field_by_field_of_a_log_seal);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return write_all(argv[2]);
    if (argc >= 3 && argc <= 4 && strcmp(argv[1], "--print") == 0)
        return print(argv[2], argv[3]);
    return test_run(suite());
}
