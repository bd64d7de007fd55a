/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes that the inputs of a fuzzer's harness make to good bytes. */
#ifndef ENVOL_TESTS_INPUT_CHANGES_H
#define ENVOL_TESTS_INPUT_CHANGES_H

#include <stddef.h>
#include <stdint.h>

/* One after the other: offset u16, length u8, and so many bytes that are laid there.  Offsets wrap
 * around; what does not fit is left out. */
void input_changes(uint8_t *bytes, size_t count, const uint8_t *input, size_t input_bytes);

/* For suites, the same from a state on: up to three changes of up to eight bytes, below `within`.
 * Their length; input has room for 33. */
size_t input_changes_draw(uint64_t *state, size_t within, uint8_t *input);
/* Below a number that is not 0. */
uint64_t input_draw(uint64_t *state, uint64_t below);

#endif
