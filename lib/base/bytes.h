/* SPDX-License-Identifier: BSD-2-Clause */
/* Byte order: every number on disk goes through these.  Little-endian unless the name says be. */
#ifndef ENVOL_BASE_BYTES_H
#define ENVOL_BASE_BYTES_H

#include <stdint.h>

static inline uint16_t envol_load16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t envol_load32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t envol_load64(const void *p)
{
    const uint8_t *b = p;
    return (uint64_t)envol_load32(b) | (uint64_t)envol_load32(b + 4) << 32;
}

static inline void envol_store16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
}

static inline void envol_store32(void *p, uint32_t v)
{
    envol_store16(p, (uint16_t)v);
    envol_store16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}

static inline void envol_store64(void *p, uint64_t v)
{
    envol_store32(p, (uint32_t)v);
    envol_store32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

static inline uint64_t envol_load64be(const void *p)
{
    return __builtin_bswap64(envol_load64(p));
}

static inline void envol_store64be(void *p, uint64_t v)
{
    envol_store64(p, __builtin_bswap64(v));
}

static inline uint32_t envol_load32be(const void *p)
{
    return __builtin_bswap32(envol_load32(p));
}

static inline void envol_store32be(void *p, uint32_t v)
{
    envol_store32(p, __builtin_bswap32(v));
}

/* Value of a lower-case hexadecimal digit; -1: it is none. */
static inline int envol_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
