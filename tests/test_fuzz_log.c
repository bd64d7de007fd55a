/* SPDX-License-Identifier: BSD-2-Clause */
/* The harness of fuzz_log over mutated inputs, the same ones in each run. */
#include "input_changes.h"
#include "segment_harness.h"
#include "support.h"

#include "aes/kernel.h"

enum { ROUNDS = 4, INPUTS = 300, INPUT_MAX = 64 };
/* Up to here both segments have something to change, but for the last run. */
enum { WITHIN = 144 + 400 + 144 + 200 };

START_TEST(mutated_segments)
{
    unsigned inputs = test_tool() == NULL ? INPUTS : INPUTS / 20;
    unsigned read[SEGMENT_HARNESS_RECORDS + 1] = {0}, corrupt = 0, opened = 0;
    uint64_t state = (uint64_t)_i << 32;
    uint8_t input[INPUT_MAX];

    for (unsigned i = 0; i < inputs; i++) {
        size_t bytes = 1 + input_changes_draw(&state, WITHIN, input + 1);
        struct segment_outcome outcome;

        input[0] = (uint8_t)(input_draw(&state, 4) * SEGMENT_HARNESS_TAGS);
        outcome = segment_harness(input, bytes);
        ck_assert_uint_le(outcome.records, SEGMENT_HARNESS_RECORDS);
        read[outcome.records]++;
        corrupt += outcome.corrupt != 0;
        opened += outcome.opened != 0;
    }
    ck_assert(corrupt > 0 && opened > 0);
    ck_assert(read[0] > 0 && read[SEGMENT_HARNESS_OF_FIRST] > 0);
}
END_TEST

static void expect(uint8_t mode, unsigned records, int corrupt, int opened)
{
    struct segment_outcome outcome = segment_harness(&mode, 1);

    ck_assert_uint_eq(outcome.records, records);
    ck_assert_int_eq(outcome.corrupt, corrupt);
    ck_assert_int_eq(outcome.opened, opened);
}

START_TEST(sound_segments)
{
    expect(0, SEGMENT_HARNESS_RECORDS, 0, 1);
    expect(SEGMENT_HARNESS_CLOSED, SEGMENT_HARNESS_RECORDS, 0, 1);
    expect(SEGMENT_HARNESS_TAGS, SEGMENT_HARNESS_RECORDS, 0, 1);
    /* An archive may end early; a volume's log may not. */
    expect(SEGMENT_HARNESS_FIRST, SEGMENT_HARNESS_OF_FIRST, 0, 0);
}
END_TEST

/* 64 MiB that the segment does not have: nothing of it reads, and the run behind it
 * follows it only where its header was made to. */
START_TEST(length_beyond_the_end)
{
    uint8_t input[] = {0, 144, 0, 4, 0, 0, 0, 4};
    struct segment_outcome outcome = segment_harness(input, sizeof(input));

    ck_assert(outcome.records == 0 && outcome.corrupt);
    input[0] = SEGMENT_HARNESS_TAGS;
    outcome = segment_harness(input, sizeof(input));
    ck_assert_uint_eq(outcome.records, SEGMENT_HARNESS_RECORDS - SEGMENT_HARNESS_OF_FIRST);
    ck_assert(!outcome.corrupt);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fuzz_log");
    TCase *tcase = tcase_create("harness");

    tcase_set_timeout(tcase, 120);
    if (envol_aes_kernel(false) == NULL) {
        test_skip("fuzz_log", "no kernel does AES-256-GCM here");
    } else {
        tcase_add_loop_test(tcase, mutated_segments, 0, ROUNDS);
        tcase_add_test(tcase, sound_segments);
        tcase_add_test(tcase, length_beyond_the_end);
    }
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
