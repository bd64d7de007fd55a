/* SPDX-License-Identifier: BSD-2-Clause */
/* The harness of fuzz_backup over made-up inputs. */
#include "backup_harness.h"
#include "base/bytes.h"
#include "support.h"

#include <string.h>

enum { INPUTS = 1500, INPUT_MAX = 4096 };

static size_t put_item(uint8_t *input, size_t at, uint64_t *next)
{
    uint32_t kind = (uint32_t)(test_random() % 7), count = (uint32_t)(test_random() % 4);
    uint64_t first = test_random() % 8 == 0 ? test_random() : *next;

    if (test_random() % 32 == 0)
        count = (uint32_t)test_random();
    envol_store32(input + at, kind);
    envol_store32(input + at + 4, kind == 5 ? 0 : count);
    envol_store64(input + at + 8, first);
    *next = first + count;
    at += 16;
    for (uint32_t i = 0; kind == 1 && i < count && at + 512 < INPUT_MAX; i++, at += 512)
        memset(input + at, 0x5a, 512);
    return at;
}

START_TEST(made_up_inputs)
{
    static uint8_t input[INPUT_MAX + 600];
    size_t outcomes[3] = {0};

    for (unsigned i = 0; i < INPUTS; i++) {
        uint64_t next = 0;
        size_t at = 1;
        test_fill(input, 64);
        input[0] = (uint8_t)_i;
        if (_i == 1 || _i == 2)
            while (at < 600 && test_random() % 5 != 0)
                at = put_item(input, at, &next);
        if (_i == 4) /* few bytes that are not zero */
            for (size_t j = 1; j < 9; j++)
                input[j] = test_random() % 4 == 0 ? input[j] : 0;
        outcomes[backup_harness(input, at > 1 ? at : 1 + test_random() % 64)]++;
    }
    ck_assert_uint_gt(outcomes[STREAM_REFUSED], 0);
}
END_TEST

/* What the harness makes of sound inputs: it reaches what it should. */
START_TEST(sound_inputs)
{
    uint8_t input[64] = {1};

    envol_store32(input + 1, 2);
    envol_store32(input + 5, 10);
    envol_store32(input + 17, 5);
    envol_store64(input + 25, 10);
    ck_assert_int_eq(backup_harness(input, 33), STREAM_RESTORED);
    input[0] = 2;
    ck_assert_int_eq(backup_harness(input, 33), STREAM_VERIFIED);
    input[0] = 3;
    ck_assert_int_eq(backup_harness(input, 1), STREAM_RESTORED);
    input[0] = 4;
    ck_assert_int_eq(backup_harness(input, 1), STREAM_RESTORED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fuzz_backup");
    TCase *tcase = tcase_create("inputs");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, sound_inputs);
    tcase_add_loop_test(tcase, made_up_inputs, 0, 6);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
