/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structs that begin with their size, of callers that are older or newer than the library: each one
 * of the public headers, handed to a call that takes it or fills it.
 */
#include "base/sized.h"
#include "sized_calls.h"
#include "support.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- The rule, on a struct that has grown --- */

struct envol_first {
    size_t struct_size;
    uint32_t a;
    uint32_t b;
};
struct envol_second {
    size_t struct_size;
    uint32_t a, b;
    uint64_t c;
};
#define ENVOL_FIRST_second sizeof(struct envol_first)

START_TEST(older_callers_struct_is_made_whole)
{
    const struct envol_first given = {sizeof(given), 1, 2};
    struct envol_second whole;

    ck_assert(ENVOL_TAKE(second, &given, &whole));
    ck_assert_uint_eq(whole.struct_size, sizeof(whole));
    ck_assert_uint_eq(whole.a, 1);
    ck_assert_uint_eq(whole.b, 2);
    ck_assert_uint_eq(whole.c, 0);
}
END_TEST

START_TEST(older_callers_struct_is_not_overrun)
{
    const struct envol_second whole = {sizeof(whole), 1, 2, 3};
    struct {
        struct envol_first given;
        uint64_t guard;
    } memory = {{sizeof(struct envol_first), 9, 9}, 0x5555};

    ck_assert(ENVOL_FITS(second, &memory.given));
    ENVOL_GIVE(second, &memory.given, &whole);
    ck_assert_uint_eq(memory.given.struct_size, sizeof(struct envol_first));
    ck_assert_uint_eq(memory.given.a, 1);
    ck_assert_uint_eq(memory.given.b, 2);
    ck_assert_uint_eq(memory.guard, 0x5555);
    envol_sized_clear(&memory.given);
    ck_assert_uint_eq(memory.given.struct_size, sizeof(struct envol_first));
    ck_assert_uint_eq(memory.given.b, 0);
    ck_assert_uint_eq(memory.guard, 0x5555);
}
END_TEST

START_TEST(no_struct_is_one_of_zeros)
{
    struct envol_second whole = {0, 1, 2, 3};

    ck_assert(ENVOL_TAKE(second, NULL, &whole));
    ck_assert_uint_eq(whole.struct_size, sizeof(whole));
    ck_assert_uint_eq(whole.a | whole.b | whole.c, 0);
    ck_assert(!ENVOL_FITS(second, NULL));
}
END_TEST

/* --- Each struct of the public headers, in a call of its own --- */

enum { MORE = 64 }; /* bytes by which a newer caller's is longer */

/* The struct in memory that is no longer than it says, so that tools see what goes past it. */
static void *make(const struct sized *t, size_t size)
{
    size_t whole = t->known + MORE;
    uint8_t *made = calloc(1, whole), *cut = malloc(size > sizeof(size) ? size : sizeof(size));

    ck_assert(made != NULL && cut != NULL);
    if (t->fill != NULL)
        t->fill(made);
    if (t->way == FILLS)
        memset(made, 0, whole);
    memcpy(made, &size, sizeof(size));
    memcpy(cut, made, size < whole ? (size > sizeof(size) ? size : sizeof(size)) : whole);
    free(made);
    return cut;
}

static void expect(const struct sized *t, size_t size, enum envol_status expected)
{
    void *given = make(t, size);
    enum envol_status status = t->call(given);

    ck_assert_msg(status == expected, "%s of %zu bytes, of which %zu are known: %s", t->name, size,
                  t->known, envol_status_name(status));
    ck_assert_uint_eq(*(size_t *)given, size);
    free(given);
}

START_TEST(sizes_that_any_version_may_have)
{
    const struct sized *t = &sized[_i];

    ck_assert_uint_le(t->first, t->known);
    expect(t, t->first, ENVOL_OK);
    expect(t, t->known, ENVOL_OK);
    expect(t, t->known + MORE, ENVOL_OK);
    expect(t, t->first - 1, ENVOL_E_ARGUMENT);
    expect(t, 0, ENVOL_E_ARGUMENT);
}
END_TEST

/* Which nobody set: not read to its end, which no memory has. */
START_TEST(sizes_that_none_has)
{
    static const size_t none[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 32, (size_t)1 << 20};
    const struct sized *t = &sized[_i];

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        uint8_t *given = make(t, t->known);

        memcpy(given, &none[i], sizeof(none[i]));
        ck_assert_int_eq(t->call(given), ENVOL_E_ARGUMENT);
        free(given);
    }
}
END_TEST

/* A newer caller that asks for what the library does not know, and one that does not. */
START_TEST(what_is_not_known_is_not_ignored)
{
    const struct sized *t = &sized[_i];

    for (size_t at = t->known; t->way == TAKES && at < t->known + MORE; at += 7) {
        uint8_t *given = make(t, t->known + MORE);

        given[at] = 1;
        ck_assert_int_eq(t->call(given), ENVOL_E_ARGUMENT);
        given[at] = 0;
        ck_assert_int_eq(t->call(given), ENVOL_OK);
        free(given);
    }
}
END_TEST

/* What the library does not know it fills with zeros; outcomes are as many as their count says. */
START_TEST(what_is_not_known_is_zero)
{
    const struct sized *t = &sized[_i];
    uint8_t *given = make(t, t->known + MORE);

    if (t->way == FILLS && strcmp(t->name, "slot_outcomes") != 0 &&
        strcmp(t->name, "backup_result") != 0) {
        memset(given + sizeof(size_t), 0xee, t->known + MORE - sizeof(size_t));
        ck_assert_int_eq(t->call(given), ENVOL_OK);
        for (size_t at = t->known; at < t->known + MORE; at++)
            ck_assert_msg(given[at] == 0, "%s, byte %zu", t->name, at);
    }
    free(given);
}
END_TEST

/* --- Of a volume's figures, in which those of its header are --- */

static enum envol_status ask(uint8_t *given, size_t size, size_t header_size)
{
    memset(given, 0xee, size + 8);
    memcpy(given, &size, sizeof(size));
    memcpy(given + offsetof(struct envol_volume_info, header), &header_size, sizeof(header_size));
    return ck_note(envol_volume_info(sized_volume(), (struct envol_volume_info *)given));
}

START_TEST(figures_behind_a_header_that_has_grown)
{
    const size_t rest_at = offsetof(struct envol_volume_info, pages);
    const size_t size = sizeof(struct envol_volume_info), header = sizeof(struct envol_header_info);
    struct envol_volume_info plain = {.struct_size = size, .header.struct_size = header};
    uint8_t *given = malloc(size + 2 * MORE + 8);

    ck_ok(envol_volume_info(sized_volume(), &plain));
    for (size_t more = 0; more <= MORE; more += 8)
        for (size_t behind = 0; behind <= MORE; behind += 8) {
            ck_assert_int_eq(ask(given, size + more + behind, header + more), ENVOL_OK);
            ck_assert_mem_eq(given + 2 * sizeof(size_t), (uint8_t *)&plain + 2 * sizeof(size_t),
                             header - sizeof(size_t));
            for (size_t i = 0; i < more; i++)
                ck_assert_uint_eq(given[rest_at + i], 0);
            ck_assert_mem_eq(given + rest_at + more, (uint8_t *)&plain + rest_at, size - rest_at);
            for (size_t i = 0; i < behind; i++)
                ck_assert_uint_eq(given[size + more + i], 0);
            ck_assert_uint_eq(given[size + more + behind], 0xee);
        }
    free(given);
}
END_TEST

START_TEST(figures_that_do_not_fit)
{
    const size_t size = sizeof(struct envol_volume_info), header = sizeof(struct envol_header_info);
    uint8_t *given = malloc(size + MORE + 8);

    ck_assert_int_eq(ask(given, size - 1, header), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(ask(given, size, header - 1), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(ask(given, size, header + 8), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(ask(given, size, SIZE_MAX - 8), ENVOL_E_ARGUMENT);
    ck_assert_int_eq(ask(given, size + MORE, header + MORE + 1), ENVOL_E_ARGUMENT);
    free(given);
}
END_TEST

/* --- That none was forgotten --- */

/* What the library hands to callbacks, and what says its size wherever it is; the last has a test
 * above. */
static bool is_exempt(const char *name)
{
    static const char *const others[] = {"audit_event", "backup_entry", "error", "lease_change",
                                         "volume_info"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcmp(others[i], name) == 0)
            return true;
    return false;
}

START_TEST(every_struct_is_here)
{
    glob_t headers;
    unsigned found = 0;

    ck_assert_msg(glob("include/envol/*.h", 0, NULL, &headers) == 0,
                  "run from the top of the tree");
    for (size_t i = 0; i < headers.gl_pathc; i++) {
        FILE *header = fopen(headers.gl_pathv[i], "r");
        char line[256], name[64] = "";

        ck_assert_ptr_nonnull(header);
        while (fgets(line, sizeof(line), header) != NULL) {
            if (strstr(line, "    size_t struct_size;") == line && !is_exempt(name)) {
                size_t at = 0;
                while (at < SIZED_COUNT && strcmp(sized[at].name, name) != 0)
                    at++;
                ck_assert_msg(at < SIZED_COUNT, "struct envol_%s", name);
                found++;
            }
            sscanf(line, "struct envol_%63[a-z_] {", name);
        }
        fclose(header);
    }
    globfree(&headers);
    ck_assert_uint_gt(found, 30);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("struct_size");
    TCase *rule = tcase_create("rule");
    TCase *calls = tcase_create("calls");

    tcase_add_test(rule, older_callers_struct_is_made_whole);
    tcase_add_test(rule, older_callers_struct_is_not_overrun);
    tcase_add_test(rule, no_struct_is_one_of_zeros);
    tcase_add_test(rule, every_struct_is_here);
    suite_add_tcase(suite, rule);
    tcase_add_checked_fixture(calls, sized_setup, sized_teardown);
    tcase_set_timeout(calls, 60);
    tcase_add_loop_test(calls, sizes_that_any_version_may_have, 0, SIZED_COUNT);
    tcase_add_loop_test(calls, sizes_that_none_has, 0, SIZED_COUNT);
    tcase_add_loop_test(calls, what_is_not_known_is_not_ignored, 0, SIZED_COUNT);
    tcase_add_loop_test(calls, what_is_not_known_is_zero, 0, SIZED_COUNT);
    tcase_add_test(calls, figures_behind_a_header_that_has_grown);
    tcase_add_test(calls, figures_that_do_not_fit);
    suite_add_tcase(suite, calls);
    return test_run(suite);
}
