/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every other header needs: export and contract attributes, the suites, and the sizes that are
 * fixed by format 1 (envol(5)).
 *
 * Structs of the other headers begin with size_t struct_size, which whoever makes one sets to its
 * sizeof: so they can grow at their ends.  A shorter one is taken as if it went on with zeros,
 * which always mean the default; a longer one if it is zeros behind what this library knows, and is
 * refused with ENVOL_E_ARGUMENT otherwise.  What the library fills it fills as far as struct_size
 * goes, with zeros where it knows nothing.  envol(7), VERSIONS.
 */
#ifndef ENVOL_TYPES_H
#define ENVOL_TYPES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ENVOL_API          __attribute__((visibility("default")))
#define ENVOL_NODISCARD    __attribute__((warn_unused_result))
#define ENVOL_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#else
#define ENVOL_API
#define ENVOL_NODISCARD
#define ENVOL_NONNULL(...)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version; envol_version() answers that of the library that was loaded. */
#define ENVOL_VERSION_MAJOR 0
#define ENVOL_VERSION_MINOR 1
#define ENVOL_VERSION_PATCH 0

ENVOL_API const char *envol_version(void);

/*
 * Name of the AES kernel that new keyrings use: "vaes512", "vaes256", "aesni", "armv8",
 * "libcrypto", "libsodium"; "none" on a machine that has no usable one (every open then answers
 * ENVOL_E_UNSUPPORTED).  Static string.
 */
ENVOL_API const char *envol_kernel_name(void);

/* The data encryption key: 512 bits, as AWS EBS asks of KMS.  All other keys derive from it. */
#define ENVOL_DEK_BYTES 64
/* RFC 9562 UUID, raw, in network order; and its lower-case 8-4-4-4-12 text with the final NUL. */
#define ENVOL_UUID_BYTES      16
#define ENVOL_UUID_TEXT_BYTES 37
/* Name of an object: any 16 bytes that the engine never uses twice in one volume. */
#define ENVOL_OBJECT_BYTES 16
/* Trailer of a GCM record or blob: epoch, format, type, flags, nonce, tag (envol(5)). */
#define ENVOL_TRAILER_BYTES 48

/* page_bytes: 512 bytes to 16 MiB; GCM a multiple of 16, XTS a power of two. */
#define ENVOL_PAGE_BYTES_MIN 512u
#define ENVOL_PAGE_BYTES_MAX (16u << 20)
/* Record size of a volume whose creator names none. */
#define ENVOL_STRIDE_BYTES_DEFAULT 16384u

enum envol_suite {
    ENVOL_SUITE_AES_256_GCM = 1, /* XAES-256-GCM: confidentiality and integrity; 48 bytes a page */
    ENVOL_SUITE_AES_256_XTS = 2  /* IEEE 1619 XTS: confidentiality only; no byte a page */
};

/* One pair of an encryption context (additional authenticated data, as key services call it). */
struct envol_context_pair {
    const char *key;
    const char *value;
};

#ifdef __cplusplus
}
#endif
#endif
