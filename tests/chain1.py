# SPDX-License-Identifier: BSD-2-Clause
"""Reads snapshots and catalogs of backups of format 1 from envol(5), and nothing else.

usage: chain1.py VOLUME DEK FILE [--image OUT]

Written without the library, so that the two check each other.  VOLUME and DEK (hex, of its current
epoch) give the keys; the DEKs of older epochs are unwrapped with it.  Follows the chain in FILE, a
snapshot's or a catalog's, and prints one entry a line, a catalog's backups behind them.  --image
writes the records of a snapshot's image: what its file kept, and the volume's own.  Exit status 1,
and a line that begins with "refused", for what is not sound.
"""

import hashlib
import hmac
import struct
import sys

import backup1
import format1
from format1 import Refused, crc32c, expand


class Volume:
    """What a volume's header says, once its MAC is right, and its DEKs by epoch."""

    def __init__(self, path, dek):
        with open(path, "rb") as file:
            self.data = file.read()
        _, self.copy = format1.choose(self.data[:2 * format1.COPY])
        keys = format1.Keys(dek, self.copy)
        if keys.mac(self.copy) != self.copy[format1.MAC:]:
            raise Refused("header MAC")
        self.uuid, self.suite = self.copy[24:40], self.copy[40:42]
        self.page_bytes, self.stride, self.epoch = struct.unpack_from("<III", self.copy, 44)
        self.data_offset, = struct.unpack_from("<Q", self.copy, 64)
        self.deks = {self.epoch: dek}
        for i in range(struct.unpack_from("<I", self.copy, 104)[0]):
            entry = self.copy[368 + 144 * i:512 + 144 * i]
            context = b"ENVOLOD1" + self.uuid + entry[:4] + self.copy[52:56]
            wrapped = backup1.cobblestone(keys.derive(b"old-dek\0"), context, entry[8:])
            self.deks[struct.unpack("<I", entry[:4])[0]] = b"".join(wrapped)

    def snapshot(self, uuid):
        for at in range(1024, 1536, 64):
            fields = struct.unpack_from("<16sQQQIIQ", self.copy, at)
            if fields[0] == uuid and any(uuid):
                return fields
        raise Refused("no snapshot that the header names")

    def chain_key(self, file_id, epoch):
        if epoch not in self.deks:
            raise Refused("the DEK of an epoch is gone")
        info = (b"ENVOLv1\0snapshot" + self.uuid + file_id + self.suite + bytes(2) +
                struct.pack("<IQ", epoch, 0))
        return expand(self.deks[epoch], info, 32)


def entries(volume, data, file_id):
    """Kind, epoch, place and bytes of the payload, and what the MAC covers of it."""
    at, number, before = 0, 0, bytes(32)
    while at < len(data):
        head = data[at:at + 96]
        if len(head) < 96:
            return
        magic, chain, kind, epoch, size, sequence, crc, covered, zero, mac = struct.unpack(
            "<8s16sIIQQIIQ32s", head)
        payload = data[at + 96:at + 96 + size]
        if magic != b"ENVOLCHN" or chain != file_id or zero or not kind or covered > 32768:
            raise Refused("head")
        if len(payload) < size or crc32c(payload) != crc:
            if data.find(b"ENVOLCHN" + file_id, at + 96) >= 0:
                raise Refused("a torn entry, and others behind it")
            return
        key = volume.chain_key(file_id, epoch)
        right = hmac.new(key, head[:64] + before + payload[:covered], hashlib.sha512).digest()[:32]
        if right != mac or sequence != number + 1:
            raise Refused("MAC")
        yield kind, epoch, at + 96, size, payload[:covered]
        before, number = mac, sequence
        at += 96 + (size + 15) // 16 * 16


class Snapshot:
    def __init__(self, volume, data):
        self.volume, self.data = volume, data
        self.uuid, _, self.pages, self.created, self.epoch, self.lowest, self.least = (
            volume.snapshot(data[8:24]))
        self.chunk = max(262144 // volume.stride, 1)
        self.kept = {}

    def check_manifest(self, manifest):
        expected = (self.volume.uuid + self.uuid +
                    struct.pack("<QQII", self.pages, self.created, self.epoch, self.lowest) +
                    self.volume.suite + bytes(2) +
                    struct.pack("<III", self.volume.page_bytes, self.volume.stride, self.chunk))
        if manifest[:72] != expected or any(manifest[136:]):
            raise Refused("manifest")
        return manifest[72:136].rstrip(b"\0").decode()

    def take_chunks(self, place, size, extents):
        at = place + len(extents)
        for first, count, zero in struct.iter_unpack("<QII", extents):
            if zero or first % self.chunk or count != min(self.chunk, self.pages - first):
                raise Refused("extent")
            self.kept.setdefault(first // self.chunk, at)
            at += count * self.volume.stride
            yield f"chunk {first} {count}"
        if at != place + size:
            raise Refused("chunks")

    def describe(self):
        count = 0
        for kind, epoch, place, size, covered in entries(self.volume, self.data, self.uuid):
            if epoch != self.epoch or (kind == 1) != (count == 0) or kind > 2:
                raise Refused("entry")
            if kind == 1:
                yield f"manifest {self.pages} {self.epoch} {self.check_manifest(covered)}"
            else:
                yield from self.take_chunks(place, size, covered)
            count += 1
        if count < self.least:
            raise Refused("entries are missing")

    def image(self):
        """Its records, which stay encrypted."""
        stride, volume = self.volume.stride, self.volume
        for number in range(self.pages):
            at = self.kept.get(number // self.chunk)
            if at is None:
                at, source = volume.data_offset + number * stride, volume.data
            else:
                at, source = at + number % self.chunk * stride, self.data
            yield source[at:at + stride]


class Catalog:
    def __init__(self, volume, data):
        self.volume, self.data = volume, data
        self.serial, self.least, self.epoch, zero = struct.unpack_from("<QQI12s", volume.copy, 1600)
        if any(zero) or not self.serial:
            raise Refused("no catalog that the header names")
        self.backups = {}

    def cmks(self, payload, count):
        at = 160
        for _ in range(count):
            *lengths, zero = struct.unpack_from("<4H", payload, at)
            start = at = at + 8
            texts = []
            for length in lengths:
                text, end = payload[at:at + length], payload[at + length]
                if end or 0 in text:
                    raise Refused("CMK")
                texts.append(text.decode())
                at += length + 1
            padding = -(at - start) % 8
            if zero or any(payload[at:at + padding]):
                raise Refused("CMK")
            at += padding
            yield " ".join(text or "-" for text in texts)
        if at != len(payload):
            raise Refused("CMKs")

    def take_backup(self, payload):
        (uuid, parent, form, whole, created, generation, volume_pages, pages, size, epoch, lowest,
         label, count, zero) = struct.unpack_from("<16s16sIIQQQQQII64sII", payload)
        if form not in (1, 2) or whole > 1 or zero or uuid in self.backups or not 1 <= count <= 8:
            raise Refused("backup")
        self.backups[uuid] = [backup1.uuid_text(parent), form, whole, created, generation,
                              volume_pages, pages, size, epoch, lowest,
                              label.rstrip(b"\0").decode(), list(self.cmks(payload, count))]

    def describe(self):
        file_id = self.volume.uuid[:8] + struct.pack("<Q", self.serial)
        count = 0
        for kind, epoch, _, size, covered in entries(self.volume, self.data, file_id):
            if epoch != self.epoch or size != len(covered):
                raise Refused("entry")
            if kind == 1:
                self.take_backup(covered)
            elif kind == 2:
                uuid, pages, total = struct.unpack("<16sQQ", covered)
                self.backups[uuid][2], self.backups[uuid][6:8] = 1, (pages, total)
            elif kind == 3:
                del self.backups[covered]
            else:
                raise Refused("kind")
            count += 1
        if count < self.least:
            raise Refused("entries are missing")
        yield f"catalog {self.serial} {self.epoch}"
        for uuid, (*fields, cmks) in self.backups.items():
            yield f"backup {backup1.uuid_text(uuid)} {' '.join(map(str, fields))}"
            for cmk in cmks:
                yield f"cmk {cmk}"


def main():
    volume_path, dek, path = sys.argv[1:4]
    try:
        volume = Volume(volume_path, bytes.fromhex(dek))
        with open(path, "rb") as file:
            data = file.read()
        is_catalog = data[8:16] == volume.uuid[:8]
        chain = Catalog(volume, data) if is_catalog else Snapshot(volume, data)
        for line in chain.describe():
            print(line)
        if sys.argv[4:5] == ["--image"]:
            with open(sys.argv[5], "wb") as file:
                for record in chain.image():
                    file.write(record)
    except (Refused, struct.error, KeyError, UnicodeDecodeError) as error:
        print(f"refused: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
