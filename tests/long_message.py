#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Lines for kat of 16 MiB: a Cobblestone-256 message (c2sp.org/chunked-encryption) made here with
libsodium's AES-256-GCM, as it is and with its last bit flipped.  Exit status 77: it has none
here."""

import ctypes
import hashlib
import sys

import format1

LINE_BYTES = 16 << 20
CHUNK_BYTES = 16384
TAG_BYTES = 16
PREFIX = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


def seal(sodium, key, nonce, plain):
    sealed = ctypes.create_string_buffer(len(plain) + TAG_BYTES)
    failed = sodium.crypto_aead_aes256gcm_encrypt(
        sealed, None, plain, ctypes.c_ulonglong(len(plain)), None, ctypes.c_ulonglong(0), None,
        nonce, key)
    assert not failed
    return sealed.raw


def message(sodium, key, context, plain):
    salt = hashlib.sha256(context).digest()[:24]
    derived = format1.expand(key, PREFIX + salt + context, 76)
    base, parts = derived[32:44], [salt, derived[44:]]
    # A last chunk that is full would be followed by an empty one.
    for number in range(len(plain) // CHUNK_BYTES + 1):
        low = int.from_bytes(base[4:], "big") ^ number
        chunk = plain[number * CHUNK_BYTES:(number + 1) * CHUNK_BYTES]
        parts.append(seal(sodium, derived[:32], base[:4] + low.to_bytes(8, "big"), chunk))
    return b"".join(parts)


def main():
    sodium = ctypes.CDLL("libsodium.so.23")
    if sodium.sodium_init() < 0 or not sodium.crypto_aead_aes256gcm_is_available():
        sys.exit(77)
    key, context = bytes(range(32)), b"long"
    # In hex, with the fields before it: 16 MiB and no more.
    plain = hashlib.shake_128(b"plain").digest(LINE_BYTES // 2 - 20000)
    sealed = message(sodium, key, context, plain)
    digest = hashlib.sha512(plain).hexdigest()
    for rest in (f"{digest} {sealed.hex()} valid",
                 f"- {sealed[:-1].hex()}{sealed[-1] ^ 1:02x} invalid"):
        print(f"chunked {key.hex()} {context.hex()} {rest}".ljust(LINE_BYTES))


main()
