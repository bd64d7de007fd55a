# SPDX-License-Identifier: BSD-2-Clause
"""Reads backups of format 1 from the layout in envol(5), and nothing else.

usage: backup1.py KEY_FILE BACKUP... [--pages FILE]

Written without the library, so that the two check each other.  Unwraps the DEK of each backup with a
local key file, opens the body chunk by chunk, and prints one item a line.  --pages writes the pages
that the backups, in their order, make together.  AES-256-GCM is libsodium's.  Exit status 1, and a
line that begins with "refused", for what is no backup.
"""

import ctypes
import struct
import sys

from format1 import Refused, expand

CHUNK = 16384
sodium = ctypes.CDLL("libsodium.so.23")
sodium.sodium_init()


def gcm_open(key, nonce, sealed):
    """AEAD_AES_256_GCM without associated data."""
    if len(sealed) < 16:
        raise Refused("truncated")
    plain = ctypes.create_string_buffer(max(len(sealed) - 16, 1))
    failed = sodium.crypto_aead_aes256gcm_decrypt(
        plain, None, None, sealed, ctypes.c_ulonglong(len(sealed)), None, ctypes.c_ulonglong(0),
        nonce, key)
    if failed:
        raise Refused("does not authenticate")
    return plain.raw[:len(sealed) - 16]


def cobblestone(key, context, message):
    """The plaintext of a message, chunk by chunk."""
    salt, commitment = message[:24], message[24:56]
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context
    derived = expand(key, info, 76)
    if derived[44:] != commitment:
        raise Refused("commitment")
    at, number, last = 56, 0, CHUNK
    while last == CHUNK:
        sealed = message[at:at + CHUNK + 16]
        mask = bytes(4) + struct.pack(">Q", number)
        nonce = bytes(a ^ b for a, b in zip(derived[32:44], mask))
        plain = gcm_open(derived[:32], nonce, sealed)
        yield plain
        at, number, last = at + len(sealed), number + 1, len(plain)
    if at != len(message):
        raise Refused("bytes behind the end")


def uuid_text(uuid):
    text = uuid.hex()
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def read_keys(path):
    """Id and keys by number of a key file."""
    data = open(path, "rb").read()
    magic, version, _, uuid, _, count = struct.unpack_from("<8sII16sII", data)
    if magic != b"ENVOLKEY" or version != 1:
        raise Refused("key file")
    entries = [struct.unpack_from("<IIQ32s", data, 40 + 48 * i) for i in range(count)]
    return uuid_text(uuid), {number: key for number, _, _, key in entries}


class Backup:
    """The head of a stream, and what is behind it."""

    def __init__(self, data):
        self.data = data
        (magic, version, self.bytes, self.uuid, self.parent, self.suite, zero, self.page_bytes,
         self.stride_bytes, self.flags, self.pages, self.created, self.slots,
         zero2) = struct.unpack_from("<8sII16s16sHHIIIQQII", data)
        if magic != b"ENVOLBAK" or version != 1 or zero or zero2 or self.flags > 3:
            raise Refused("head")

    def read_slots(self):
        at = 88
        for _ in range(self.slots):
            entry, _, _, *lengths = struct.unpack_from("<IIQ4H", self.data, at)
            texts, start = [], at + 24
            for length in lengths:
                texts.append(self.data[start:start + length])
                start += length
            yield texts
            at += entry
        if at != self.bytes:
            raise Refused("slots")

    def context(self):
        pairs = [("envol:epoch", "1"), ("envol:purpose", "backup"),
                 ("envol:volume", uuid_text(self.uuid))]
        texts = [text.encode() for pair in pairs for text in pair]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)

    def dek(self, uuid, keys):
        for provider, key_ref, version, wrapped in self.read_slots():
            if provider == b"file" and key_ref.decode() == uuid:
                key = keys[int(version)]
                return b"".join(cobblestone(key, self.context(), wrapped))
        raise Refused("no slot of this key file")

    def body(self, dek):
        info = (b"ENVOLv1\0backup\0\0" + self.uuid + bytes(16) +
                struct.pack("<HHIQ", self.suite, 0, 1, 0))
        key = expand(dek, info, 32)
        return b"".join(cobblestone(key, self.data[:self.bytes], self.data[self.bytes:]))


def items(backup, body):
    """Kind, first page, count and content, once their order was checked."""
    at, following = 0, 0
    full = backup.parent == bytes(16)
    while True:
        kind, count, first = struct.unpack_from("<IIQ", body, at)
        size = {1: count * backup.page_bytes, 2: 0, 3: count, 4: 0, 5: 0}[kind]
        content = body[at + 16:at + 16 + size]
        if len(content) != size or (kind == 3) != (at == 0 and kind == 3):
            raise Refused("item")
        at += 16 + size
        if kind != 3:
            if first < following or (full and first != following) or first + count > backup.pages:
                raise Refused("order")
            following = first + count
        yield kind, first, count, content
        if kind == 5:
            break
    if at != len(body) or first != backup.pages or count:
        raise Refused("end")


def describe(backup, dek, pages):
    parent = "full" if backup.parent == bytes(16) else f"follows {uuid_text(backup.parent)}"
    yield (f"head {uuid_text(backup.uuid)} suite {backup.suite} pages {backup.pages} of "
           f"{backup.page_bytes} in {backup.stride_bytes} flags {backup.flags} {parent}")
    del pages[backup.pages:]
    pages.extend([bytes(backup.page_bytes)] * (backup.pages - len(pages)))
    for kind, first, count, content in items(backup, backup.body(dek)):
        for i in range(count if kind in (1, 2, 4) else 0):
            start = i * backup.page_bytes
            pages[first + i] = (content[start:start + backup.page_bytes] if kind == 1
                                else bytes(backup.page_bytes))
        if kind == 3:
            yield f"note {content}"
        elif kind == 5:
            yield f"end {first}"
        else:
            yield f"{ {1: 'pages', 2: 'holes', 4: 'bad'}[kind]} {first} {count}"


def main():
    names = sys.argv[2:]
    target = None
    if "--pages" in names:
        target = names[names.index("--pages") + 1]
        names = names[:names.index("--pages")]
    pages = []
    try:
        uuid, keys = read_keys(sys.argv[1])
        for name in names:
            backup = Backup(open(name, "rb").read())
            for line in describe(backup, backup.dek(uuid, keys), pages):
                print(line)
    except (Refused, struct.error, KeyError) as error:
        print(f"refused: {error}")
        return 1
    if target:
        with open(target, "wb") as file:
            file.write(b"".join(pages))
    return 0


if __name__ == "__main__":
    sys.exit(main())
