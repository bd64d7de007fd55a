/* SPDX-License-Identifier: BSD-2-Clause */
/* The harness of fuzz_chain over mutated inputs, the same ones in each run. */
#include "chain_harness.h"
#include "input_changes.h"
#include "support.h"

#include <string.h>

enum { ROUNDS = 4, INPUTS = 3000, INPUT_MAX = 64 };

/* Where the second entry is damaged, the third says that it was whole. */
enum { SECOND = 96, SECOND_END = 2 * 96 + 32 };

/* Inputs come as far as each entry, and both ends are met. */
START_TEST(mutated_chains)
{
    unsigned inputs = test_tool() == NULL ? INPUTS : INPUTS / 20;
    unsigned read[CHAIN_HARNESS_ENTRIES + 1] = {0}, corrupt = 0;
    uint64_t state = (uint64_t)_i << 32;
    uint8_t input[INPUT_MAX];

    for (unsigned i = 0; i < inputs; i++) {
        size_t bytes = 1 + input_changes_draw(&state, CHAIN_HARNESS_BYTES, input + 1);
        int count;

        input[0] = (uint8_t)(input_draw(&state, 4) * CHAIN_HARNESS_MACS);
        count = chain_harness(input, bytes);
        corrupt += count < 0;
        count = count < 0 ? -1 - count : count;
        ck_assert_int_le(count, CHAIN_HARNESS_ENTRIES);
        read[count]++;
    }
    ck_assert_uint_gt(corrupt, 0);
    for (size_t i = 0; i <= CHAIN_HARNESS_ENTRIES; i++)
        ck_assert_msg(read[i] > 0, "no input read %zu entries", i);
}
END_TEST

START_TEST(honest_chain)
{
    static const uint8_t as_it_is[1] = {0}, macs[1] = {CHAIN_HARNESS_MACS};
    static const uint8_t empty[1] = {CHAIN_HARNESS_FILE};

    ck_assert_int_eq(chain_harness(NULL, 0), CHAIN_HARNESS_ENTRIES);
    ck_assert_int_eq(chain_harness(as_it_is, 1), CHAIN_HARNESS_ENTRIES);
    ck_assert_int_eq(chain_harness(macs, 1), CHAIN_HARNESS_ENTRIES);
    ck_assert_int_eq(chain_harness(empty, 1), 0);
}
END_TEST

/* Cut at each byte, entries that are whole stay and nothing is called corrupt. */
START_TEST(cut_chains)
{
    for (unsigned at = 0; at <= CHAIN_HARNESS_BYTES; at++) {
        const uint8_t input[] = {CHAIN_HARNESS_CUT, (uint8_t)at, (uint8_t)(at >> 8)};
        int whole = (at >= 96) + (at >= SECOND_END) + (at >= CHAIN_HARNESS_BYTES);

        ck_assert_int_eq(chain_harness(input, sizeof(input)), whole);
    }
}
END_TEST

/* One byte, of a head or of what its MAC takes in, which was not 0xa5 before. */
START_TEST(damage_in_the_middle)
{
    static const unsigned places[] = {SECOND, SECOND + 24, SECOND + 32, SECOND + 64, SECOND + 96};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const uint8_t input[] = {0, (uint8_t)places[i], 0, 1, 0xa5};

        ck_assert_int_eq(chain_harness(input, sizeof(input)), -1 - 1);
    }
}
END_TEST

/* Heads that whoever has the key made: lengths that lead out of the file end the chain. */
START_TEST(made_up_lengths)
{
    uint8_t input[] = {CHAIN_HARNESS_MACS,
                       (SECOND_END + 32) & 0xff,
                       (SECOND_END + 32) >> 8,
                       8,
                       0,
                       0,
                       0,
                       0,
                       0,
                       1,
                       0,
                       0};

    ck_assert_int_eq(chain_harness(input, sizeof(input)), 2);
    memset(input + 4, 0xff, 8);
    ck_assert_int_eq(chain_harness(input, sizeof(input)), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fuzz_chain");
    TCase *tcase = tcase_create("harness");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, mutated_chains, 0, ROUNDS);
    tcase_add_test(tcase, honest_chain);
    tcase_add_test(tcase, cut_chains);
    tcase_add_test(tcase, damage_in_the_middle);
    tcase_add_test(tcase, made_up_lengths);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
