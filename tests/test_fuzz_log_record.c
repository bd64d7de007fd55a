/* SPDX-License-Identifier: BSD-2-Clause */
/* The harness of fuzz_log_record over mutated inputs, the same ones in each run. */
#include "log_harness.h"
#include "support.h"

#include <string.h>

enum { ROUNDS = 4, INPUTS = 2000, INPUT_MAX = 256 };

static uint64_t state;

/* SplitMix64. */
static uint64_t draw(uint64_t below)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static uint8_t draw_byte(void)
{
    static const uint8_t edges[] = {0, 1, 2, 3, 0x7f, 0x80, 0xff};

    return draw(2) == 0 ? edges[draw(sizeof(edges))] : (uint8_t)draw(256);
}

/* Mostly the headers of the three records, at 144, 192 and 240. */
static unsigned draw_offset(void)
{
    return draw(4) == 0 ? (unsigned)draw(384) : (unsigned)(144 + draw(3) * 48 + draw(24));
}

static size_t mutate(uint8_t *input)
{
    size_t bytes = 0;

    input[bytes++] = draw(2) == 0 ? LOG_HARNESS_TAGS : 0;
    for (uint64_t changes = 1 + draw(3); changes > 0; changes--) {
        unsigned at = draw_offset(), n = 1u << draw(3);
        input[bytes++] = (uint8_t)at;
        input[bytes++] = (uint8_t)(at >> 8);
        input[bytes++] = (uint8_t)n;
        for (; n > 0; n--)
            input[bytes++] = draw_byte();
    }
    return bytes;
}

/* Inputs come as far as each depth; where a check were missing the harness would abort. */
START_TEST(mutated_runs)
{
    unsigned inputs = test_tool() == NULL ? INPUTS : INPUTS / 20;
    unsigned reached[2 + LOG_HARNESS_RECORDS] = {0};
    uint8_t input[INPUT_MAX];

    state = (uint64_t)_i << 32;
    for (unsigned i = 0; i < inputs; i++) {
        size_t bytes = mutate(input);
        int count = log_harness(input, bytes);
        ck_assert_int_ge(count, -1);
        ck_assert_int_le(count, LOG_HARNESS_RECORDS);
        reached[1 + count]++;
    }
    for (size_t i = 0; i < 1 + LOG_HARNESS_RECORDS; i++)
        ck_assert_msg(reached[i] > 0, "no input read %zu records", i);
}
END_TEST

START_TEST(honest_run)
{
    static const uint8_t as_it_is[1] = {0}, tags[1] = {LOG_HARNESS_TAGS};

    ck_assert_int_eq(log_harness(NULL, 0), LOG_HARNESS_RECORDS);
    ck_assert_int_eq(log_harness(as_it_is, 1), LOG_HARNESS_RECORDS);
    ck_assert_int_eq(log_harness(tags, 1), LOG_HARNESS_RECORDS);
}
END_TEST

/* Laid over the start of the header, and of the first record. */
START_TEST(overlaid)
{
    uint8_t input[INPUT_MAX];

    memset(input, 0, sizeof(input));
    input[0] = LOG_HARNESS_HEADER;
    ck_assert_int_eq(log_harness(input, sizeof(input)), -1);
    input[0] = LOG_HARNESS_RECORD;
    ck_assert_int_eq(log_harness(input, sizeof(input)), 0);
    memset(input + 1, 0xff, sizeof(input) - 1);
    ck_assert_int_eq(log_harness(input, sizeof(input)), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fuzz_log_record");
    TCase *tcase = tcase_create("harness");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, mutated_runs, 0, ROUNDS);
    tcase_add_test(tcase, honest_run);
    tcase_add_test(tcase, overlaid);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
