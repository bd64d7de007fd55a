/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes to good bytes: applied, and drawn. */
#include "input_changes.h"

#include <string.h>

void input_changes(uint8_t *bytes, size_t count, const uint8_t *input, size_t input_bytes)
{
    while (input_bytes >= 3 && count > 0) {
        size_t at = (size_t)(input[0] | input[1] << 8) % count, length = input[2];

        input += 3;
        input_bytes -= 3;
        length = length < input_bytes ? length : input_bytes;
        memcpy(bytes + at, input, length < count - at ? length : count - at);
        input += length;
        input_bytes -= length;
    }
}

/* SplitMix64. */
uint64_t input_draw(uint64_t *state, uint64_t below)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static uint8_t draw_byte(uint64_t *state)
{
    static const uint8_t edges[] = {0, 1, 2, 3, 0x7f, 0x80, 0xff};

    return input_draw(state, 2) == 0 ? edges[input_draw(state, sizeof(edges))]
                                     : (uint8_t)input_draw(state, 256);
}

size_t input_changes_draw(uint64_t *state, size_t within, uint8_t *input)
{
    size_t bytes = 0;

    for (uint64_t changes = 1 + input_draw(state, 3); changes > 0; changes--) {
        size_t at = input_draw(state, within), n = (size_t)1 << input_draw(state, 4);
        input[bytes++] = (uint8_t)at;
        input[bytes++] = (uint8_t)(at >> 8);
        input[bytes++] = (uint8_t)n;
        for (; n > 0; n--)
            input[bytes++] = draw_byte(state);
    }
    return bytes;
}
