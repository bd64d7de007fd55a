# SPDX-License-Identifier: BSD-2-Clause
"""Kills examples/tables while it loads rows, and looks whether it kept its word.

usage: engine_kills.py DIR CMK[,CMK]... SEED ROUNDS [TABLES [OPTION of create]...], with `tables` in
the PATH.

Rows are numbered through all rounds and say their number.  Groups of them are committed together,
and begin and end with a row of the group's number in tables of their own.  After each kill:
  - no row that was said to be synced is gone, or older than it was;
  - nothing is there that was not written;
  - a group is there from its first row to its last, or not at all;
  - every page and long value of the engine authenticates.

With TABLES, so many more tables are there, and a rotation of the DEK goes on all the while: beside
the rows, or in a process of its own, which is then what is killed.
"""
import random
import subprocess
import sys
import threading
import time

directory, seed, rounds = sys.argv[1], int(sys.argv[3]), int(sys.argv[4])
cmks = [word for cmk in sys.argv[2].split(",") for word in ("--cmk", cmk)]
rotated_tables = int(sys.argv[5]) if len(sys.argv) > 5 else 0
create_options = sys.argv[6:]
chance = random.Random(seed)
TABLES, KEYS = 5, 40


def tables(*words):
    return subprocess.run(["tables", *words, *cmks], check=True, capture_output=True,
                          text=True).stdout


def value_of(number):
    """Says its number; every seventh is too long for a page."""
    return f"{number}:" + "x" * (number * 37 % 300 + (700 if number % 7 == 0 else 0))


class Round:
    def __init__(self, first, group):
        self.rows = []  # (table, key, value), from number first on
        self.first, self.group = first, group
        self.said = 0  # of them were said to be synced

    def next_group(self):
        self.group += 1
        begin, end = ("begin", "group", str(self.group)), ("end", "group", str(self.group))
        numbers = range(self.first + len(self.rows) + 1,
                        self.first + len(self.rows) + 1 + chance.randrange(1, 12))
        between = [(f"t{chance.randrange(TABLES)}", f"k{chance.randrange(KEYS)}", value_of(n))
                   for n in numbers]
        self.rows += [begin, *between, end]
        return "".join("\t".join(row) + "\n" for row in [begin, *between, end]) + "\n"

    def listen(self, stream):
        for line in stream:
            if line.startswith("synced ") and line.endswith("\n"):
                self.said = int(line.split()[1])

    def run(self, seconds):
        """Rows until the time is over, then SIGKILL."""
        options = ["--rotate"] if rotated_tables else []
        loader = subprocess.Popen(["tables", "load", directory, *cmks, *options],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        listener = threading.Thread(target=self.listen, args=(loader.stdout,))
        killer = threading.Timer(seconds, loader.kill)
        listener.start()
        killer.start()
        try:
            while True:
                loader.stdin.write(self.next_group())
                loader.stdin.flush()
        except BrokenPipeError:
            pass
        loader.wait()
        listener.join()
        killer.join()
        if loader.returncode != -9:
            sys.exit(f"the loader ended by itself: {loader.returncode}")


def kill_rotation(seconds):
    """A process that does nothing else; whether it was killed before its end."""
    rotation = subprocess.Popen(["tables", "rotate", directory, *cmks],
                                stdout=subprocess.DEVNULL)
    try:
        rotation.wait(seconds)
    except subprocess.TimeoutExpired:
        rotation.kill()
    if rotation.wait() not in (0, -9):
        sys.exit(f"seed {seed}: the rotation ended by itself: {rotation.returncode}")
    return rotation.returncode == -9


def kill_a_whole_rotation(seconds):
    """What the rounds left unfinished may end before it can be killed; 0 if that does, too."""
    for _ in range(20):
        tables("rotate", directory)
        if kill_rotation(chance.uniform(0.1, 0.6) * seconds):
            return 1
        seconds *= 0.8  # it was measured on a busier machine
    return 0


def figures():
    """Of check, which has to find everything sound."""
    report = tables("check", directory)
    found = {name: int(number) for name, number in (word.split("=") for word in report.split())}
    if found["bad"] != 0 or found["tables"] < rotated_tables:
        sys.exit(f"seed {seed}: {report}")
    return found


def state():
    """(table, key) -> value, of all that the engine has."""
    found = {}
    for table in ["begin", "end"] + [f"t{i}" for i in range(TABLES)]:
        listing = subprocess.run(["tables", "scan", directory, table, *cmks],
                                 capture_output=True, text=True)
        for line in listing.stdout.splitlines():
            key, value = line.split("\t")
            if (table, key) in found:
                sys.exit(f"{table} {key} is there twice")
            found[table, key] = value
        if listing.returncode != 0 and "there is no table" not in listing.stderr:
            sys.exit(listing.stderr)
    return found


def judge(before, written, found):
    """The state is that after some group, one that holds all that was said to be synced."""
    expected, matches = dict(before), None
    for count in range(len(written.rows) + 1):
        ends_group = count == 0 or written.rows[count - 1][0] == "end"
        if count >= written.said and ends_group and expected == found:
            matches = count
        if count < len(written.rows):
            table, key, value = written.rows[count]
            expected[table, key] = value
    if matches is None:
        sys.exit(f"seed {seed}: {written.said} rows were synced; the state is that of no group since")
    return matches


def end_rotation(unfinished, alone):
    """The last one to its end: then no record is of an older DEK."""
    tables("rotate", directory)
    found = figures()
    epoch, records = found["epoch"], found["pages"] + found["values"]
    if found["lowest"] != epoch or found["swept"] != epoch or \
            found[f"pages_of_{epoch}"] + found[f"values_of_{epoch}"] != records:
        sys.exit(f"seed {seed}: {found}")
    print(f"{unfinished} of the kills left a rotation unfinished, {alone} killed `tables rotate`; "
          f"the DEK is the {epoch}th")
    if unfinished < rounds // 3 or alone == 0 or epoch < 4:
        sys.exit("that shows little")


def main():
    tables("create", directory, *create_options)
    if rotated_tables:
        tables("fill", directory, str(rotated_tables))
        begun = time.monotonic()
        tables("rotate", directory)
        rotation_seconds = time.monotonic() - begun
    before, said, kept, number, group, unfinished, alone = {}, 0, 0, 0, 0, 0, 0
    for turn in range(rounds):
        written = Round(number, group)
        if rotated_tables and turn % 3 == 2:
            alone += kill_rotation(chance.uniform(0.1, 0.9) * rotation_seconds)
        else:
            written.run(chance.uniform(0.01, 0.4))
        # Checking and scanning recover; both have to see the same.
        found = figures()
        unfinished += found["lowest"] < found["epoch"]
        found = state()
        kept += judge(before, written, found)
        said += written.said
        before, number, group = found, number + len(written.rows), written.group
    print(f"{rounds} kills: {said} rows were said to be synced, {kept} are there, none is lost")
    if said == 0:
        sys.exit("no round came to a commit")
    if rotated_tables:
        end_rotation(unfinished, alone or kill_a_whole_rotation(rotation_seconds))


main()
