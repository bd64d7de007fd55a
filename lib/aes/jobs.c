/* SPDX-License-Identifier: BSD-2-Clause */
/* Bounds of jobs, and what becomes of their outputs and of the stack when a kernel is done. */
#include "aes/kernels.h"
#include "base/memory.h"

#include <string.h>

/* SP 800-38D, 5.2.1.1: a counter of 32 bits, of which two values serve other ends. */
#define GCM_BYTES_MAX ((UINT64_C(1) << 36) - 32)
/* IEEE 1619, 5.1: a block at least, and 2^20 of them at most. */
#define XTS_BYTES_MIN 16u
#define XTS_BYTES_MAX (16u << 20)

/*
 * libsodium's own frames need a few hundred bytes.  The rest is for the dynamic linker: where it
 * binds a function at its first call it saves all vector registers, 2.7 KiB with AVX-512.
 */
#define STACK_WIPE_BYTES 4096u

enum envol_status envol_gcm_jobs_check(const struct envol_gcm_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (jobs[i].bytes > GCM_BYTES_MAX)
            return ENVOL_E_RANGE;
    return ENVOL_OK;
}

enum envol_status envol_xts_jobs_check(const struct envol_xts_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (jobs[i].bytes < XTS_BYTES_MIN || jobs[i].bytes > XTS_BYTES_MAX)
            return ENVOL_E_RANGE;
    return ENVOL_OK;
}

/* A message of no bytes may come without a buffer, which memset must not see. */
static void zero(uint8_t *out, size_t bytes)
{
    if (bytes > 0)
        memset(out, 0, bytes);
}

void envol_gcm_seal_fail(struct envol_gcm_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        zero(jobs[i].out, jobs[i].bytes);
        zero(jobs[i].tag, 16);
    }
}

void envol_gcm_open_fail(struct envol_gcm_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        zero(jobs[i].out, jobs[i].bytes);
        jobs[i].failed = true;
    }
}

void envol_xts_fail(const struct envol_xts_job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        zero(jobs[i].out, jobs[i].bytes);
}

/*
 * A core dump shows registers too, and whoever is called next saves them somewhere.  Those that
 * SSE2 names: what calls this was not compiled for wider ones, and callers keep nothing in them.
 */
static void wipe_registers(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm1, %%xmm1; pxor %%xmm2, %%xmm2;"
                     "pxor %%xmm3, %%xmm3; pxor %%xmm4, %%xmm4; pxor %%xmm5, %%xmm5;"
                     "pxor %%xmm6, %%xmm6; pxor %%xmm7, %%xmm7; pxor %%xmm8, %%xmm8;"
                     "pxor %%xmm9, %%xmm9; pxor %%xmm10, %%xmm10; pxor %%xmm11, %%xmm11;"
                     "pxor %%xmm12, %%xmm12; pxor %%xmm13, %%xmm13; pxor %%xmm14, %%xmm14;"
                     "pxor %%xmm15, %%xmm15"
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#endif
}

/* Not inlined: its frame has to begin where the frames of the functions called before it began. */
__attribute__((noinline)) void envol_stack_wipe(void)
{
    uint8_t frames[STACK_WIPE_BYTES];

    wipe_registers();
    envol_wipe(frames, sizeof(frames));
}
