/* SPDX-License-Identifier: BSD-2-Clause */
/* HMAC-SHA-512 against RFC 4231, HKDF-Expand against figures computed with Python's hmac module. */
#include "base/kdf.h"
#include "support.h"

#include <sodium.h>
#include <string.h>

struct hmac_case {
    const char *key;
    const char *data;
    const char *mac;
};

/* RFC 4231, 4.2 to 4.8, without 4.6 (truncated output). */
static const struct hmac_case hmac_cases[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
     "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
     "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddddddddddddddddddddddddddddddddddd",
     "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"
     "bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db"
     "a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd"},
};

START_TEST(hmac_short_keys)
{
    const struct hmac_case *expected = &hmac_cases[_i];
    uint8_t key[64], data[64], mac[64];
    size_t key_bytes = test_unhex(expected->key, key, sizeof(key));
    size_t data_bytes = test_unhex(expected->data, data, sizeof(data));

    for (size_t cut = 0; cut <= data_bytes; cut++) {
        struct envol_part parts[] = {{data, cut}, {NULL, 0}, {data + cut, data_bytes - cut}};

        envol_hmac_sha512(key, key_bytes, parts, 3, mac);
        ck_mem_hex(mac, expected->mac);
    }
}
END_TEST

START_TEST(hmac_keys_longer_than_a_block)
{
    static const char first[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    static const char second[] =
        "This is a test using a larger than block-size key and a larger than block-size data. "
        "The key needs to be hashed before being used by the HMAC algorithm.";
    struct envol_part parts[] = {{first, strlen(first)}, {second, strlen(second)}};
    uint8_t key[131], mac[64];

    memset(key, 0xaa, sizeof(key));
    envol_hmac_sha512(key, sizeof(key), &parts[0], 1, mac);
    ck_mem_hex(mac, "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
                    "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598");
    envol_hmac_sha512(key, sizeof(key), &parts[1], 1, mac);
    ck_mem_hex(mac, "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944"
                    "b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58");
}
END_TEST

/* The PRK is 00 01 .. 3f, the info "ENVOLv1\0page-gcm" and 48 zeros. */
static const char expanded[] = "1d6a2d903caeda8c8a289c97e2a976405310062103066c2d77c6fe3bc923a78f"
                               "b3647dbbccdf968616422780fecbb29b9a5f8643d16586dee8f63e0315d31f55"
                               "78bf3ad2cf09145d0c5310dc722a0b59279c8b08a3d4573b49ee8fb4a4feb73e"
                               "82f520794b8c7981291e0e5e2372bba3ca4ccd1c24cc6448391c15b2a40c75cc"
                               "3544c59eeca2f93156189381f447e74bcc0c9087bb1d";

static void make_input(uint8_t prk[64], uint8_t info[64])
{
    for (size_t i = 0; i < 64; i++)
        prk[i] = (uint8_t)i;
    memset(info, 0, 64);
    memcpy(info, "ENVOLv1\0page-gcm", 16);
}

START_TEST(expand_gives_prefixes_of_one_stream)
{
    static const size_t lengths[] = {0, 1, 32, 63, 64, 65, 127, 128, 129, 150};
    uint8_t prk[64], info[64], whole[150], out[151];
    struct envol_part part = {info, sizeof(info)};

    make_input(prk, info);
    ck_assert_uint_eq(test_unhex(expanded, whole, sizeof(whole)), sizeof(whole));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memset(out, 0xee, sizeof(out));
        envol_hkdf_expand(prk, sizeof(prk), &part, 1, out, lengths[i]);
        ck_assert_mem_eq(out, whole, lengths[i]);
        ck_assert_uint_eq(out[lengths[i]], 0xee);
    }
}
END_TEST

START_TEST(expand_joins_parts)
{
    uint8_t prk[64], info[64], whole[150], out[150];

    make_input(prk, info);
    test_unhex(expanded, whole, sizeof(whole));
    for (size_t cut = 0; cut <= sizeof(info); cut++) {
        struct envol_part parts[] = {{info, cut}, {NULL, 0}, {info + cut, sizeof(info) - cut}};

        envol_hkdf_expand(prk, sizeof(prk), parts, 3, out, sizeof(out));
        ck_assert_mem_eq(out, whole, sizeof(out));
    }
}
END_TEST

START_TEST(expand_without_info)
{
    uint8_t prk[64], info[64], out[42];

    make_input(prk, info);
    envol_hkdf_expand(prk, sizeof(prk), NULL, 0, out, sizeof(out));
    ck_mem_hex(out, "d01b766d4671ca874e759a77050d467b6b9d7911fd4f7c7bbf84fd2a0927e9d738f502d7"
                    "5160668b1f03");
}
END_TEST

/* All 255 blocks, by their SHA-512. */
START_TEST(expand_to_the_longest)
{
    static uint8_t out[255 * 64];
    uint8_t prk[64], info[64], hash[64];
    struct envol_part part = {info, sizeof(info)};

    make_input(prk, info);
    envol_hkdf_expand(prk, sizeof(prk), &part, 1, out, sizeof(out));
    crypto_hash_sha512(hash, out, sizeof(out));
    ck_mem_hex(hash, "69e2a1e3f153442aefa178c8479e633e040f12e1bc7f3cb34eef16e3798b22a2"
                     "a0dc3c0518e170fa24638da4fa1dccb290df0cb7a4443b7ebf0e234e67e1d48a");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kdf");
    TCase *tcase = tcase_create("kdf");

    tcase_add_loop_test(tcase, hmac_short_keys, 0, 4);
    tcase_add_test(tcase, hmac_keys_longer_than_a_block);
    tcase_add_test(tcase, expand_gives_prefixes_of_one_stream);
    tcase_add_test(tcase, expand_joins_parts);
    tcase_add_test(tcase, expand_without_info);
    tcase_add_test(tcase, expand_to_the_longest);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
