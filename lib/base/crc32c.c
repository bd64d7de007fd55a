/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRC-32C by the processor's instruction, eight bytes in three cycles, or else by nibbles: 64 bytes
 * of table, some 100 us for a header copy.
 */
#include "base/crc32c.h"

#include "base/cpu.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define TARGET              __attribute__((target("sse4.2")))
#define CRC_WORD(crc, word) (uint32_t) _mm_crc32_u64(crc, word)
#define CRC_BYTE(crc, byte) _mm_crc32_u8(crc, byte)
#elif defined(__aarch64__) && defined(__linux__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include <arm_acle.h>
#define TARGET              __attribute__((target("+crc")))
#define CRC_WORD(crc, word) __crc32cd(crc, word)
#define CRC_BYTE(crc, byte) __crc32cb(crc, byte)
#endif

#ifdef TARGET
TARGET static uint32_t by_instruction(uint32_t crc, const uint8_t *next, size_t bytes)
{
    for (; bytes >= 8; bytes -= 8, next += 8) {
        uint64_t word;
        memcpy(&word, next, 8);
        crc = CRC_WORD(crc, word);
    }
    for (; bytes > 0; bytes--)
        crc = CRC_BYTE(crc, *next++);
    return crc;
}
#endif

/* Entry n: n shifted through four steps of the reflected polynomial 0x82f63b78. */
static const uint32_t nibbles[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t by_nibbles(uint32_t crc, const uint8_t *next, size_t bytes)
{
    for (; bytes > 0; bytes--) {
        crc ^= *next++;
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return crc;
}

uint32_t envol_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#ifdef TARGET
    if ((envol_cpu_features() & ENVOL_CPU_CRC32C) != 0)
        return ~by_instruction(~crc, data, bytes);
#endif
    return ~by_nibbles(~crc, data, bytes);
}
