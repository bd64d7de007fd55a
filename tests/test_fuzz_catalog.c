/* SPDX-License-Identifier: BSD-2-Clause */
/* The harness of fuzz_catalog over mutated inputs, the same ones in each run. */
#include "catalog_harness.h"
#include "input_changes.h"
#include "support.h"

enum { ROUNDS = 4, INPUTS = 5000, PAYLOAD = 250, INPUT_MAX = 3 * 64 };

/* Backups are taken, and refused; finished and forgotten. */
START_TEST(mutated_entries)
{
    unsigned inputs = test_tool() == NULL ? INPUTS : INPUTS / 20, taken = 0, refused = 0;
    uint64_t state = (uint64_t)_i << 32;
    uint8_t input[INPUT_MAX];

    for (unsigned i = 0; i < inputs; i++) {
        size_t bytes = 0;
        int count;
        for (unsigned k = 0; k < 3; k++) {
            size_t more = input_changes_draw(&state, PAYLOAD, input + bytes + 3);
            input[bytes] = (uint8_t)(k == 0 ? 0 : input_draw(&state, 5));
            input[bytes + 1] = (uint8_t)more;
            input[bytes + 2] = 0;
            bytes += 3 + more;
            ck_assert_uint_le(bytes, INPUT_MAX);
        }
        count = catalog_harness(input, bytes);
        ck_assert_int_le(count, 3);
        taken += count > 0;
        refused += count == 0;
    }
    ck_assert_uint_gt(taken, 0);
    ck_assert_uint_gt(refused, 0);
}
END_TEST

START_TEST(honest_entries)
{
    static const uint8_t one[] = {0, 0, 0}, twice[] = {0, 0, 0, 0, 0, 0};
    static const uint8_t other[] = {0, 0, 0, 0, 4, 0, 0, 0, 1, 9}; /* the first byte, 9 */
    static const uint8_t forgotten[] = {0, 0, 0, 3, 16, 0, 1, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0};

    ck_assert_int_eq(catalog_harness(NULL, 0), 0);
    ck_assert_int_eq(catalog_harness(one, sizeof(one)), 1);
    ck_assert_int_eq(catalog_harness(twice, sizeof(twice)), 1); /* the second is refused */
    ck_assert_int_eq(catalog_harness(other, sizeof(other)), 2);
    ck_assert_int_eq(catalog_harness(forgotten, sizeof(forgotten)), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fuzz_catalog");
    TCase *tcase = tcase_create("harness");

    tcase_add_loop_test(tcase, mutated_entries, 0, ROUNDS);
    tcase_add_test(tcase, honest_entries);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
