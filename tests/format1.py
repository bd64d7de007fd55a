# SPDX-License-Identifier: BSD-2-Clause
"""Reads a volume header of format 1 from the layout in envol(5), and nothing else.

usage: format1.py FILE [DEK]
       format1.py FILE --passphrase TEXT

Written without the library, so that the two check each other.  Prints one field a line; with the
DEK (hex), whether the MAC and the commitments of retained DEKs are right.  With a passphrase, a line
"argon2id SLOT KIB PASSES LANES right" (or wrong) for each slot that a passphrase opens; Argon2id is
libsodium's.  A file that ends in .hex is one of tests/golden/.  Exit status 1, and a line that begins with "refused", for what is no header.
"""

import ctypes
import hashlib
import hmac
import struct
import sys

COPY = 32768
SLOT_AREA = 4096
MAC = 32736


class Refused(Exception):
    pass


def crc_of_byte(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


CRC_TABLE = [crc_of_byte(byte) for byte in range(256)]


def crc32c(data):
    """CRC-32C: reflected polynomial 0x82f63b78."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def expand(key, info, length):
    """HKDF-Expand with SHA-512 (RFC 5869, 2.3)."""
    out, block, index = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([index]), hashlib.sha512).digest()
        out += block
        index += 1
    return out[:length]


def without_crc(copy):
    return copy[:12] + bytes(4) + copy[16:]


def is_whole(copy):
    if copy[:8] != b"ENVOLVOL":
        return False
    return struct.unpack_from("<I", copy, 12)[0] == crc32c(without_crc(copy))


def choose(data):
    """The newest whole copy."""
    copies = [data[:COPY], data[COPY:2 * COPY]]
    whole = [i for i in (0, 1) if is_whole(copies[i])]
    if not whole:
        raise Refused("no whole copy")
    generation = {i: struct.unpack_from("<Q", copies[i], 16)[0] for i in whole}
    if len(whole) == 2 and generation[0] == generation[1] and copies[0] != copies[1]:
        raise Refused("two copies of one generation")
    newest = max(whole, key=lambda i: (generation[i], -i))
    return newest, copies[newest]


def slots(copy, count):
    at = SLOT_AREA
    for _ in range(count):
        entry, number, time, *lengths = struct.unpack_from("<IIQ4H", copy, at)
        texts, start = [], at + 24
        for length in lengths:
            texts.append(copy[start:start + length])
            start += length
        end = at + (start - at + 7) // 8 * 8
        if entry != end - at or end > MAC or any(copy[start:end]):
            raise Refused("slot")
        yield number, time, texts
        at = end
    if any(copy[at:MAC]):
        raise Refused("bytes behind the slots")


class Keys:
    """What is derived from the DEK for a header."""

    def __init__(self, dek, copy):
        self.dek = dek
        self.uuid = copy[24:40]
        self.suite = copy[40:42]
        self.epoch = copy[52:56]

    def derive(self, purpose):
        info = b"ENVOLv1\0" + purpose + self.uuid + bytes(16) + self.suite + bytes(2) + self.epoch
        return expand(self.dek, info + bytes(8), 32)

    def mac(self, copy):
        key = self.derive(b"hdr-mac\0")
        return hmac.new(key, without_crc(copy)[:MAC], hashlib.sha512).digest()[:32]

    def commits(self, old_epoch, wrap):
        context = b"ENVOLOD1" + self.uuid + old_epoch + self.epoch
        info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + wrap[:24] + context
        return expand(self.derive(b"old-dek\0"), info, 76)[44:] == wrap[24:56]


def argon2id(passphrase, salt, kib, passes):
    """RFC 9106, one lane, 32 bytes."""
    key = ctypes.create_string_buffer(32)
    failed = ctypes.CDLL("libsodium.so.23").crypto_pwhash_argon2id(
        key, ctypes.c_ulonglong(32), passphrase, ctypes.c_ulonglong(len(passphrase)), salt,
        ctypes.c_ulonglong(passes), ctypes.c_size_t(kib * 1024), 2)
    if failed:
        raise Refused("Argon2id")
    return key.raw


def context(copy):
    """Encryption context of the wrappings in slots."""
    uuid = copy[24:40].hex()
    parts = [uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]]
    pairs = [("envol:epoch", str(struct.unpack_from("<I", copy, 52)[0])),
             ("envol:purpose", "dek"), ("envol:volume", "-".join(parts))]
    texts = [text.encode() for pair in pairs for text in pair]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def opens(passphrase, wrapped, copy):
    """Of a passphrase slot: what it costs, and whether its commitment is right."""
    version, zero, kib, passes, lanes, salt = struct.unpack_from("<B3sIII16s", wrapped)
    if len(wrapped) != 168 or version != 1 or any(zero) or lanes != 1:
        raise Refused("passphrase slot")
    key = argon2id(passphrase, salt, kib, passes)
    wrap = wrapped[32:]
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + wrap[:24] + context(copy)
    right = expand(key, info, 76)[44:] == wrap[24:56]
    return f"{kib} {passes} {lanes} {verdict(right)}"


def passphrase_slots(data, passphrase):
    _, copy = choose(data)
    for number, _, texts in slots(copy, struct.unpack_from("<I", copy, 100)[0]):
        if texts[0] == b"passphrase":
            yield f"argon2id {number} {opens(passphrase, texts[3], copy)}"


def rotation(copy):
    numbers = struct.unpack_from("<IIQQQQQQQ", copy, 112)
    return f"rotation {' '.join(map(str, numbers))} {copy[176:208].hex()}"


def log_seal(copy):
    kind, lowest, log_id, *numbers = struct.unpack_from("<II16sQQQQQI", copy, 240)
    first, = struct.unpack_from("<Q", copy, 328)
    return (f"log {kind} {lowest} {log_id.hex()} {' '.join(map(str, numbers))} "
            f"{copy[312:328].hex()} {first}")


def snapshots(copy):
    """Entries of the snapshot table, which is packed."""
    for at in range(1024, 1536, 64):
        if any(copy[at:at + 64]):
            uuid, *numbers = struct.unpack_from("<16sQQQIIQ", copy, at)
            yield f"snapshot {uuid.hex()} {' '.join(map(str, numbers))}"


def verdict(good):
    return "right" if good else "wrong"


def describe(data, dek):
    newest, copy = choose(data)
    names = ["version", None, "generation", "uuid", "suite", "zero", "page_bytes", "stride_bytes",
             "epoch", "lowest_epoch", "clean", "data_offset", "high_water", "seal_estimate",
             "compatible", "read_only_compatible", "incompatible", "slots", "retained", "zero"]
    values = struct.unpack_from("<IIQ16sHHIIIIIQQQIIIIII", copy, 8)
    field = dict(zip(names, values))
    if field["version"] != 1:
        raise Refused("version")
    if not 1 <= field["slots"] <= 8 or field["retained"] > 4:
        raise Refused("number of slots or retained epochs")
    yield f"copy {newest}"
    for name, value in zip(names, values):
        if name == "uuid":
            value = value.hex()
        if name not in (None, "zero"):
            yield f"{name} {value}"
    yield rotation(copy)
    yield log_seal(copy)
    for line in snapshots(copy):
        yield line
    keys = Keys(dek, copy) if dek else None
    for number, time, (provider, key_ref, version, wrapped) in slots(copy, field["slots"]):
        yield (f"slot {number} {time} {provider.decode()} {key_ref.decode()} "
               f"{version.decode()} {wrapped.hex()}")
    for i in range(field["retained"]):
        entry = copy[368 + i * 144:368 + (i + 1) * 144]
        opens = verdict(keys.commits(entry[:4], entry[8:])) if keys else "unchecked"
        yield f"retains {struct.unpack_from('<I', entry)[0]} {entry[8:].hex()} {opens}"
    yield f"mac {copy[MAC:].hex()} {verdict(keys.mac(copy) == copy[MAC:]) if keys else 'unchecked'}"


def read(path):
    if not path.endswith(".hex"):
        with open(path, "rb") as file:
            return file.read(2 * COPY).ljust(2 * COPY, b"\0")
    data = bytearray(2 * COPY)
    with open(path, encoding="ascii") as file:
        for line in file:
            offset, text = line.split()
            if offset != "END" and int(offset) < 2 * COPY:
                row = bytes.fromhex(text)
                data[int(offset):int(offset) + len(row)] = row
    return bytes(data)


def main():
    data = read(sys.argv[1])
    if sys.argv[2:3] == ["--passphrase"]:
        lines = passphrase_slots(data, sys.argv[3].encode())
    else:
        lines = describe(data, bytes.fromhex(sys.argv[2]) if len(sys.argv) > 2 else None)
    try:
        for line in lines:
            print(line)
    except (Refused, struct.error, UnicodeDecodeError) as error:
        print(f"refused: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
