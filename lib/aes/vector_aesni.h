/* SPDX-License-Identifier: BSD-2-Clause */
/* AES-NI and PCLMULQDQ on blocks, in registers that every x86-64 processor has. */
#define TARGET __attribute__((target("aes,pclmul,sse4.1")))
#include "aes/block_x86.h"

#include "aes/vector_one.h"
