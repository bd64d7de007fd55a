# SPDX-License-Identifier: BSD-2-Clause
"""Stands between the two sides of examples/replica: records every byte, and changes some.

usage: replica_proxy.py LISTEN CONNECT RECORD CONTROL

LISTEN and CONNECT are paths of Unix sockets.  A line of the named pipe CONTROL, "HOW DIRECTION
OFFSET", ends all connections, and damages the next one that gets so far, once.  HOW is flip (a
bit), drop (a byte), double, or swap (64 bytes there, with those behind them); DIRECTION is down
(primary to follower) or up; OFFSET counts from the beginning of a connection; "late" is one in the
middle of the log.
"""
import os
import socket
import sys
import threading

listen, connect, record, control = sys.argv[1:]
lock = threading.Lock()
recording = open(record, "ab", buffering=0)
wanted = None  # (how, direction, offset)
connections = []
BLOCK, LATE = 64, 100000
NEEDS = {"flip": 1, "drop": 1, "double": BLOCK, "swap": 2 * BLOCK}


def damage(how, data, at):
    if how == "flip":
        return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]
    if how == "drop":
        return data[:at] + data[at + 1:]
    first, second = data[at:at + BLOCK], data[at + BLOCK:at + 2 * BLOCK]
    if how == "double":
        return data[:at] + first + data[at:]
    return data[:at] + second + first + data[at + 2 * BLOCK:]


def changed(name, held, passed):
    """What is to be passed on of the bytes held, or None to wait for those that belong to them."""
    global wanted
    if wanted is None or wanted[1] != name:
        return held
    how, _, offset = wanted
    at = LATE if offset == "late" else int(offset)
    if passed > at or passed + len(held) <= at:
        return held
    if passed + len(held) < at + NEEDS[how]:
        return None
    print(*wanted, flush=True)
    wanted = None
    return damage(how, held, at - passed)


def end(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def relay(source, to, name):
    held, passed = b"", 0
    try:
        while data := source.recv(65536):
            with lock:
                recording.write(data)
                held += data
                data = changed(name, held, passed)
                if data is None:
                    continue
                passed, held = passed + len(held), b""
            to.sendall(data)
    except OSError:
        pass
    end(source, to)


def obey():
    global wanted
    # For writing too: so there is no end between two writers.
    with os.fdopen(os.open(control, os.O_RDWR), "r") as lines:
        for line in lines:
            with lock:
                wanted = tuple(line.split())
                end(*connections)
                connections.clear()


listener = socket.socket(socket.AF_UNIX)
if os.path.exists(listen):
    os.unlink(listen)
listener.bind(listen)
listener.listen()
threading.Thread(target=obey, daemon=True).start()
print("ready", flush=True)
while True:
    below, _ = listener.accept()
    above = socket.socket(socket.AF_UNIX)
    try:
        above.connect(connect)
    except OSError:
        below.close()
        continue
    with lock:
        connections += [below, above]
    threading.Thread(target=relay, args=(above, below, "down"), daemon=True).start()
    threading.Thread(target=relay, args=(below, above, "up"), daemon=True).start()
