# SPDX-License-Identifier: BSD-2-Clause
"""Kills either side of examples/replica at random, and looks whether the follower comes to the same.

usage: replica_kills.py SEED ROUNDS, with `replica` in the PATH; P, F, p.key, f.key are in the
directory, P is an engine.

The primary puts all the while.  After the last round it stops putting, and the pages of both are
compared.  The follower had one backup in the beginning (or some that were cut short): all the rest
came through the log.
"""
import random
import subprocess
import sys
import time

seed, rounds = int(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
SIDES = {
    "primary": ["primary", "P", "--cmk", "file:p.key", "--follower-cmk", "file:f.key",
                "--listen", "unix:kills", "--keep", "1000000"],
    "follower": ["follow", "F", "--cmk", "file:f.key", "--connect", "unix:kills"],
}
said = {"primary": open("kills.primary", "w+"), "follower": open("kills.follower", "w+")}
running = {}


def start(side, *more):
    running[side] = subprocess.Popen(["replica", *SIDES[side], *more], stdout=said[side],
                                     stderr=said[side])


def kill(side):
    process = running.pop(side)
    if process.poll() is not None:
        sys.exit(f"seed {seed}: the {side} ended by itself: {lines(side)}")
    process.kill()
    process.wait()


def lines(side):
    return open(f"kills.{side}").read().splitlines()


def sum_of(directory, key):
    return subprocess.run(["replica", "sum", directory, "--cmk", f"file:{key}"],
                          capture_output=True, text=True).stdout


def lsn(line):
    return int(line.split()[0].partition("=")[2]) if line.startswith("lsn=") else 0


def resumed():
    return sum("a follower is at LSN" in line for line in lines("primary"))


def main():
    kills = {"primary": 0, "follower": 0}
    for turn in range(rounds):
        before, deadline = resumed(), time.monotonic() + 10
        for side in SIDES:
            if side not in running:
                start(side, *(["--load", "1000000"] if side == "primary" else []))
        # Some come so soon that neither side is ready, some when both are at it.
        while turn % 3 == 2 and resumed() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.02, 0.25))
        for side in chance.choice([["primary"], ["follower"], ["primary", "follower"]]):
            kill(side)
            kills[side] += 1
    for side in list(running):
        kill(side)
    start("primary")
    start("follower")
    deadline = time.monotonic() + 30
    while (both := (sum_of("P", "p.key"), sum_of("F", "f.key")))[0] != both[1] or lsn(both[0]) == 0:
        if time.monotonic() > deadline:
            sys.exit(f"seed {seed}: {both}\n" + "\n".join(lines("primary") + lines("follower")))
        time.sleep(0.1)
    for side in SIDES:
        running[side].terminate()
        if running[side].wait() != 0:
            sys.exit(f"seed {seed}: the {side} ended badly: {lines(side)[-1]}")
    if (sum_of("P", "p.key"), sum_of("F", "f.key")) != both:
        sys.exit(f"seed {seed}: {both} before they were closed")
    restored = sum("restored a backup" in line for line in lines("follower"))
    print(f"{kills['primary']} kills of the primary, {kills['follower']} of the follower: both at "
          f"{both[0].strip()}; {restored} backup, {resumed()} times the log from where it was")
    # None, where it was killed between having it and saying so.
    if restored > 1 or resumed() < rounds // 3:
        sys.exit(f"seed {seed}: that is not following")


main()
