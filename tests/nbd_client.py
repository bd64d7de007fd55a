#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What test_nbdkit asks of the block device over NBD, with Debian's libnbd.

usage: nbd_client.py VERB URI [ARGUMENT]...
  model SEED SECONDS     several connections, each with a model of its own bytes
  semantics              zero, trim, fast zero, FUA, flush, unwritten bytes, bounds
  once WHAT              one write; WHAT: plain, fua, or flush after it
  bad PAGE...            reads all pages: those that are named answer EIO, all others read
  load FILE              writes until the server is gone; FILE: what it was told to be durable
  check FILE             that all of it is there
  dark FILE              reads on one connection until it fails, waits for FILE, goes on
  snapshot               the export "snapshot" beside writes
  hold                   says that it is connected to it, and stays until the server ends
The exit status is 0 only if all came out.
"""
import errno
import os
import random
import struct
import sys
import threading
import time

import nbd

PAGE = 4096  # of the device, unless it says otherwise


def connect(uri, export=None):
    client = nbd.NBD()
    # Requests that the block size forbids are what is tested here.
    client.set_strict_mode(client.get_strict_mode() & ~nbd.STRICT_ALIGN)
    if export is not None:
        uri = uri.replace("///", "///" + export)
    client.connect_uri(uri)
    return client


def page_of(client):
    """0: the device has none in the protocol's terms."""
    return client.get_block_size(nbd.SIZE_PREFERRED)


def refusal(call, *arguments):
    """The errno that a call fails with; 0 if it does not fail."""
    try:
        call(*arguments)
    except nbd.Error as error:
        return error.errnum
    return 0


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r:.100}, not {wanted!r:.100}")


# --- Bytes against a model -------------------------------------------------------------------------
# The first half of the device is dealt out in slices that are no multiple of anything, so that
# connections change parts of one page at the same time; the second half in runs of whole pages.

THREADS, SLICE, RUN = 4, 1111, 16 * PAGE


class Share:
    """The bytes of one connection: their offsets, and what they should hold."""

    def __init__(self, uri, number, seed):
        self.client = connect(uri)
        self.page = page_of(self.client)
        self.random = random.Random(f"{seed}/{number}")
        half = self.client.get_size() // 2
        self.pieces = [[at, min(at + SLICE, half), None] for at in
                       range(number * SLICE, half, THREADS * SLICE)]
        self.runs = [[at, at + RUN, None] for at in range(half + number * RUN, 2 * half - RUN + 1,
                                                          THREADS * RUN)]
        for piece in self.pieces + self.runs:
            piece[2] = bytearray(self.client.pread(piece[1] - piece[0], piece[0]))
        self.failure = None

    def step(self):
        start, end, model = piece = self.random.choice(
            self.pieces if self.random.random() < 0.7 else self.runs)
        first = self.random.randrange(end - start)
        last = self.random.randrange(first, end - start) + 1
        if end - start == RUN and self.random.random() < 0.5:
            first, last = first // PAGE * PAGE, -(-last // PAGE) * PAGE
        what = self.random.random()
        if what < 0.5:
            flags = nbd.CMD_FLAG_FUA if self.random.random() < 0.05 else 0
            data = self.random.randbytes(last - first)
            self.client.pwrite(data, start + first, flags)
            model[first:last] = data
        elif what < 0.65:
            flags = nbd.CMD_FLAG_NO_HOLE if self.random.random() < 0.5 else 0
            self.client.zero(last - first, start + first, flags)
            model[first:last] = bytes(last - first)
        elif what < 0.7 and self.page > 0:
            self.client.trim(last - first, start + first)
            piece[2] = self.trimmed(start, first, last, model)
        else:
            self.check(start, first, last, model)

    def trimmed(self, start, first, last, model):
        """Whole pages in it are zeros now, and nothing else has changed."""
        begin = -(-(start + first) // self.page) * self.page
        end = (start + last) // self.page * self.page
        if begin < end:
            model[begin - start:end - start] = bytes(end - begin)
        return model

    def check(self, start, first, last, model):
        got = self.client.pread(last - first, start + first)
        if bytes(got) != bytes(model[first:last]):
            raise ValueError(f"bytes {start + first} to {start + last} are not what was written")

    def run(self, until):
        try:
            while time.monotonic() < until:
                self.step()
            self.client.flush()
            for start, end, model in self.pieces + self.runs:
                self.check(start, 0, end - start, model)
        except (ValueError, nbd.Error) as error:
            self.failure = error


def model(uri, seed, seconds):
    shares = [Share(uri, number, seed) for number in range(THREADS)]
    until = time.monotonic() + float(seconds)
    threads = [threading.Thread(target=share.run, args=(until,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for share in shares:
        if share.failure is not None:
            sys.exit(f"seed {seed}: {share.failure}")


# --- What each request means -----------------------------------------------------------------------

def semantics(uri):
    client = connect(uri)
    page = page_of(client)
    size = client.get_size()
    for what in ("flush", "fua", "trim", "zero", "multi_conn", "fast_zero"):
        expect(f"can_{what}", getattr(client, f"can_{what}")(), True)
    expect("unwritten bytes", client.pread(3 * page, 5 * page), bytes(3 * page))
    expect("unwritten, odd", client.pread(100, 5 * page + 4050), bytes(100))
    data = random.Random(7).randbytes(4 * page)
    client.pwrite(data, 8 * page, nbd.CMD_FLAG_FUA)
    client.pwrite(b"x", 8 * page + 10)
    data = data[:10] + b"x" + data[11:]
    client.zero(page + 20, 9 * page - 10)
    data = data[:page - 10] + bytes(page + 20) + data[2 * page + 10:]
    expect("after a zero", client.pread(4 * page, 8 * page), data)
    client.trim(2 * page, 10 * page + 1, nbd.CMD_FLAG_FUA)
    data = data[:3 * page] + bytes(page)
    expect("after a trim", client.pread(4 * page, 8 * page), data)
    client.flush()
    fast = refusal(client.zero, page, 8 * page, nbd.CMD_FLAG_FAST_ZERO)
    if fast not in (0, errno.EOPNOTSUPP):
        sys.exit(f"fast zero: errno {fast}")
    kept = bytes(page) if fast == 0 else data[:page]
    expect("after a fast zero", client.pread(page, 8 * page), kept)
    expect("fast zero without holes", refusal(
        client.zero, page, 8 * page, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE),
           errno.EOPNOTSUPP)
    client.pwrite(b"end", size - 3)
    expect("the last bytes", client.pread(3, size - 3), b"end")
    client.set_strict_mode(0)
    expect("beyond the end", refusal(client.pread, 2, size - 1) != 0, True)
    expect("another export", refusal(connect, uri, "other") != 0, True)


def once(uri, what):
    client = connect(uri)
    client.pwrite(bytes(100), 5, nbd.CMD_FLAG_FUA if what == "fua" else 0)
    if what == "flush":
        client.flush()


def bad(uri, *pages):
    client = connect(uri)
    pages = {int(page) for page in pages}
    for page in range(client.get_size() // PAGE):
        expect(f"page {page}", refusal(client.pread, PAGE, page * PAGE),
               errno.EIO if page in pages else 0)
    for page in pages:  # a run that it is in fails, and bytes of it do
        expect("a run", refusal(client.pread, 4 * PAGE, (page - 1) * PAGE), errno.EIO)
        expect("a part", refusal(client.pwrite, b"part", page * PAGE + 9), errno.EIO)
        client.pwrite(bytes(PAGE), page * PAGE)
        expect("written anew", refusal(client.pread, PAGE, page * PAGE), 0)


# --- A server that is killed -----------------------------------------------------------------------
# Every page holds its number and that of its writing, over and over.  A line of the file: a page
# whose writing was answered, with FUA.

def content(page, writing):
    return struct.pack("<QQ", page, writing) * (PAGE // 16)


def load(uri, path):
    client = connect(uri)
    pages = client.get_size() // PAGE
    writing = 0
    with open(path, "w", encoding="ascii") as told:
        while True:
            writing += 1
            page = random.randrange(pages - 8)
            try:
                for i in range(8):
                    client.pwrite(content(page + i, writing), (page + i) * PAGE,
                                  nbd.CMD_FLAG_FUA if i == 7 else 0)
            except nbd.Error:
                return
            told.write(f"{page} {writing}\n")
            told.flush()


def check(uri, path):
    client = connect(uri)
    told = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            page, writing = map(int, line.split())
            told.update((page + i, writing) for i in range(8))
    expect("pages were written", len(told) > 100, True)
    for page, writing in told.items():
        got = client.pread(PAGE, page * PAGE)
        found = struct.unpack_from("<QQ", got)
        if found[0] != page or found[1] < writing or got != content(*found):
            sys.exit(f"page {page} holds {found}, and writing {writing} of it was answered")


# --- A key that goes and comes back ----------------------------------------------------------------

def wait_for(what, condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def dark(uri, path):
    client = connect(uri)
    client.pwrite(b"light", 77)
    with open(path + ".light", "w", encoding="ascii"):
        pass
    wait_for("the dark", lambda: refusal(client.pread, 5, 77) == errno.EIO)
    expect("a write", refusal(client.pwrite, b"dark!", 77), errno.EIO)
    expect("a client who comes now", refusal(connect, uri) != 0, True)
    open(path + ".dark", "w", encoding="ascii").close()
    wait_for("the key", lambda: os.path.exists(path))
    expect("before anybody asked", refusal(client.pread, 5, 77), errno.EIO)
    expect("a new client", connect(uri).pread(5, 77), b"light")
    expect("the old client", client.pread(5, 77), b"light")
    client.pwrite(b"again", 77, nbd.CMD_FLAG_FUA)


def snapshot(uri):
    client = connect(uri)
    client.pwrite(b"before", 1000)
    image = connect(uri, "snapshot")
    expect("read-only", image.is_read_only(), True)
    expect("one connection", image.can_multi_conn(), False)
    expect("its size", image.get_size(), client.get_size())
    client.pwrite(b"after!", 1000)
    client.zero(64 * PAGE, 64 * PAGE)
    expect("the image", image.pread(6, 1000), b"before")
    expect("the device", client.pread(6, 1000), b"after!")
    second = connect(uri, "snapshot")
    expect("a second image", second.pread(6, 1000), b"after!")
    expect("the first one", image.pread(6, 1000), b"before")


def hold(uri):
    image = connect(uri, "snapshot")
    print(image.get_size(), flush=True)
    wait_for("the server's end", lambda: refusal(image.pread, 1, 0) != 0)


if __name__ == "__main__":
    verbs = (model, semantics, once, bad, load, check, dark, snapshot, hold)
    {verb.__name__: verb for verb in verbs}[sys.argv[1]](*sys.argv[2:])
