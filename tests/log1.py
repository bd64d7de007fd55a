# SPDX-License-Identifier: BSD-2-Clause
"""Reads the log of a volume of format 1 from the layout in envol(5), and nothing else.

usage: log1.py VOLUME DIRECTORY DEK OUT

Written without the library, so that the two check each other.  Goes through the segments in a
directory from the oldest that the volume's header names, under one DEK (hex), and writes each record
to OUT: LSN u64, length u32, data.  Prints where the log ends.  AES-256-GCM is libsodium's.  Exit
status 1, and a line that begins with "refused", for a log that is corrupt.
"""

import ctypes
import os
import struct
import sys

import format1
from format1 import Refused, expand

ALIGN = 4096
FILLER, LAST, END = 1, 2, 4
UNSYNCED, DATA_MAX = 1 << 27, 1 << 26
sodium = ctypes.CDLL("libsodium.so.23")
sodium.sodium_init()


def up(number, unit):
    return -(-number // unit) * unit


def gcm_open(key, nonce, head, sealed):
    """The plaintext, or None."""
    plain = ctypes.create_string_buffer(max(len(sealed) - 16, 1))
    failed = sodium.crypto_aead_aes256gcm_decrypt(
        plain, None, None, sealed, ctypes.c_ulonglong(len(sealed)), head,
        ctypes.c_ulonglong(len(head)), nonce, key)
    return None if failed else plain.raw[:len(sealed) - 16]


class Seal:
    """The log seal of the header."""

    def __init__(self, copy):
        (self.kind, _, self.log_id, self.oldest, self.newest, self.last_run, self.next_lsn,
         self.end, self.records, _, self.tag) = struct.unpack_from("<II16sQQQQQII16s", copy, 240)


class Record:
    def __init__(self, data, at):
        head = data[at:at + 24]
        if len(head) < 24:
            raise ValueError
        self.n, self.flags, zero, self.lsn, self.index, self.durable = struct.unpack("<IHHQII", head)
        if self.n > DATA_MAX or self.flags > 7 or zero or self.durable > self.index or not self.lsn:
            raise ValueError
        self.body = up(24 + self.n, 16)
        self.bytes = self.body + 16
        if at + self.bytes > len(data) or any(data[at + 24 + self.n:at + self.body]):
            raise ValueError
        self.head = head
        self.sealed = data[at + 24:at + 24 + self.n] + data[at + self.body:at + self.bytes]


class Run:
    """A run whose header authenticated."""

    def __init__(self, header, copy, dek):
        (magic, uuid, self.log_id, self.number, self.start_lsn, self.epoch, zero, _, self.previous,
         commitment, zero2) = struct.unpack("<8s16s16sQQII24s16s32sQ", header)
        if magic != b"ENVOLLOG" or uuid != copy[24:40] or zero or zero2 or not self.number:
            raise Refused("run header")
        info = (b"ENVOLv1\0log-root" + uuid + bytes(16) + copy[40:42] + bytes(2) +
                struct.pack("<IQ", self.epoch, 0))
        derived = expand(expand(dek, info, 64), b"ENVOLLG1" + header[:104], 76)
        if derived[44:] != commitment:
            raise Refused("commitment of a run")
        self.key, self.base, self.tag = derived[:32], derived[32:44], commitment[:16]

    def open(self, record):
        mask = bytes(8) + struct.pack(">I", record.index)
        nonce = bytes(a ^ b for a, b in zip(self.base, mask))
        return gcm_open(self.key, nonce, record.head, record.sealed)


class Reader:
    def __init__(self, copy, directory, dek, out):
        self.copy, self.directory, self.dek, self.out = copy, directory, dek, out
        self.seal = Seal(copy)

    def segment(self, number):
        try:
            with open(os.path.join(self.directory, f"log-{number:016x}"), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def enter(self, number, data, at, run):
        self.number, self.data, self.run, self.at = number, data, run, at + 144
        self.index, self.lsn, self.tag, self.ended = 0, run.start_lsn, run.tag, False

    def batches(self):
        """All whole ones of the run.  Sets bad: place, index and LSN of what does not read."""
        while not self.ended:
            at, index, lsn, tag, kept, ended = self.at, self.index, self.lsn, None, [], False
            while True:
                self.bad = at, index, lsn
                try:
                    record = Record(self.data, at)
                except ValueError:
                    return
                if record.index != index or not lsn <= record.lsn < 2**64 - 1 or ended:
                    return
                plain = self.run.open(record)
                if plain is None:
                    return
                tag = record.sealed[-16:]
                at, index, ended = at + record.bytes, index + 1, record.flags & END != 0
                if not record.flags & FILLER:
                    lsn = record.lsn + 1
                    kept.append((record.lsn, plain))
                if record.flags & LAST or (record.flags & FILLER and not kept):
                    break
            for number, plain in kept:
                self.out.write(struct.pack("<QI", number, len(plain)) + plain)
            self.at, self.index, self.lsn, self.tag, self.ended = at, index, lsn, tag, ended

    def is_meant(self, header):
        if header[88:104] == self.tag:
            return True
        right = [header[:8] == b"ENVOLLOG", header[8:24] == self.copy[24:40],
                 header[24:40] == self.seal.log_id]
        number, lsn, epoch, zero = struct.unpack_from("<QQII", header, 40)
        senseless = not right[0] or not (number and lsn and epoch) or zero or any(header[136:])
        return sum(right) >= 2 and (senseless or number > self.run.number)

    def follow(self):
        """Goes to the next run; whether there is one."""
        places = [] if self.ended else [(self.number, self.data, up(self.at, ALIGN))]
        for number, data, at in places + [(self.number + 1, self.segment(self.number + 1), 0)]:
            header = data[at:at + 144]
            if len(header) < 144 or not self.is_meant(header):
                continue
            run = Run(header, self.copy, self.dek)
            if (run.number != self.run.number + 1 or run.log_id != self.seal.log_id or
                    run.previous != self.tag or run.start_lsn < self.lsn):
                raise Refused("not the run that follows")
            self.enter(number, data, at, run)
            return True
        return False

    def search(self):
        bad, index, lsn = self.bad
        for at in range(bad, min(len(self.data), bad + UNSYNCED + 2 * (DATA_MAX + 48)), 16):
            try:
                record = Record(self.data, at)
            except ValueError:
                continue
            if record.durable > index and record.lsn >= lsn and self.run.open(record) is not None:
                raise Refused("a later record was sealed when this one was durable")

    def read(self):
        data = self.segment(self.seal.oldest)
        run = Run(data[:144], self.copy, self.dek)
        if run.log_id != self.seal.log_id:
            raise Refused("another log")
        self.enter(self.seal.oldest, data, 0, run)
        self.batches()
        while self.follow():
            self.batches()
        if self.number < self.seal.newest or self.run.number < self.seal.last_run:
            raise Refused("the end is missing")
        end = self.number, self.at, self.run.number, self.index, self.lsn, self.tag
        if self.seal.kind == 2:
            seal = self.seal
            if end != (seal.newest, seal.end, seal.last_run, seal.records, seal.next_lsn, seal.tag):
                raise Refused("not the end that was sealed")
        elif not self.ended:
            self.search()
        return f"end {' '.join(map(str, end[:5]))}"


def main():
    volume, directory, dek, out = sys.argv[1:]
    try:
        _, copy = format1.choose(format1.read(volume))
        with open(out, "wb") as file:
            print(Reader(copy, directory, bytes.fromhex(dek), file).read())
    except (Refused, struct.error) as error:
        print(f"refused: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
