/* SPDX-License-Identifier: BSD-2-Clause */
/* The harness of fuzz_header over mutated inputs, the same ones in each run. */
#include "header_harness.h"
#include "support.h"

#include <string.h>

enum { ROUNDS = 10, INPUTS = 2000, INPUT_MAX = 256 };

static uint64_t state;

/* SplitMix64. */
static uint64_t draw(uint64_t below)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

/* Where the fields are: most of a header is slots and zeros. */
static unsigned draw_offset(void)
{
    switch (draw(8)) {
    case 0:
        return (unsigned)draw(32768);
    case 1:
        return 368 + (unsigned)draw(576);
    case 2:
        return 240 + (unsigned)draw(128);
    case 3:
        return 4096 + (unsigned)draw(256);
    default:
        return (unsigned)draw(112);
    }
}

static uint8_t draw_byte(void)
{
    static const uint8_t edges[] = {0, 1, 2, 3, 5, 0x7f, 0x80, 0xff};

    return draw(2) == 0 ? edges[draw(sizeof(edges))] : (uint8_t)draw(256);
}

static size_t mutate(uint8_t *input)
{
    size_t bytes = 0;

    input[bytes++] = (uint8_t)(draw(4) == 0 ? draw(256) : draw(4) | draw(2) << 4);
    for (uint64_t changes = draw(4); changes > 0; changes--) {
        unsigned at = draw_offset(), n = 1u << draw(4);
        input[bytes++] = (uint8_t)at;
        input[bytes++] = (uint8_t)(at >> 8);
        input[bytes++] = (uint8_t)n;
        for (; n > 0; n--)
            input[bytes++] = draw_byte();
    }
    return bytes;
}

START_TEST(mutated)
{
    uint8_t input[INPUT_MAX];
    unsigned depths[HARNESS_UPDATED + 1] = {0};
    unsigned inputs = test_tool() == NULL ? INPUTS : 100;

    state = (uint64_t)_i;
    for (unsigned i = 0; i < inputs; i++)
        depths[header_harness(input, mutate(input))]++;
    for (unsigned i = 0; i <= HARNESS_UPDATED; i++)
        ck_assert_msg(i == HARNESS_UNLOCKED || depths[i] >= inputs / 50,
                      "%u of %u inputs came to depth %u", depths[i], inputs, i);
}
END_TEST

START_TEST(known_inputs)
{
    static const struct {
        enum harness_depth depth;
        size_t bytes;
        uint8_t input[16];
    } known[] = {
        {HARNESS_UPDATED, 0, {0}},
        {HARNESS_UPDATED, 1, {0}},
        {HARNESS_UPDATED, 1, {0x20}},           /* the other copy of two that are equal */
        {HARNESS_REFUSED, 1, {0x14}},           /* zeros */
        {HARNESS_REFUSED, 5, {1, 72, 0, 1, 9}}, /* two copies of one generation */
        {HARNESS_DECODED, 5, {17, 72, 0, 1, 9}},
        {HARNESS_UPDATED, 5, {18, 72, 0, 1, 9}},
        {HARNESS_UPDATED, 5, {3, 72, 0, 1, 9}},
        {HARNESS_UNLOCKED, 5, {3, 92, 0, 1, 9}}, /* may be read only */
        {HARNESS_DECODED, 5, {3, 96, 0, 1, 9}},
        {HARNESS_REFUSED, 5, {3, 100, 0, 1, 9}},
        {HARNESS_UNLOCKED, 12, {3, 16, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255}},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        ck_assert_msg(header_harness(known[i].input, known[i].bytes) == known[i].depth, "input %zu",
                      i);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("fuzz_header");
    TCase *c = tcase_create("inputs");

    tcase_add_test(c, known_inputs);
    tcase_add_loop_test(c, mutated, 0, ROUNDS);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return test_run(suite());
}
