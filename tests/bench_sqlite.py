# SPDX-License-Identifier: BSD-2-Clause
"""Measures SQLite in clear, under envolvfs and with SQLCipher, in one run.

usage: bench_sqlite.py BUILD [--quick] [--check] [disk | tmpfs]

Each workload runs in turns with all three, several times over, on a disk and on tmpfs; what counts
is the quickest of each, which other work on the machine disturbs least.  The file is forgotten by
the page cache before each (on a disk), and SQLite's own cache is smaller than the data.  Ratios are
of throughput; under `cpu` those of the processor's time alone, to plain and to SQLCipher.
--check: exit 1 where a budget is not kept.
"""
import os
import shutil
import subprocess
import sys
import tempfile

build = os.path.abspath(sys.argv[1])
quick, check = "--quick" in sys.argv, "--check" in sys.argv
ROWS = 20000 if quick else 100000
TURNS = 3 if quick else 7
WORKLOADS = ["insert", "point reads", "update", "scan"]
KINDS = ["plain", "envol", "sqlcipher"]
# Where, journal mode, synchronous, least ratio to plain SQLite.
ALL_PLACES = [("disk", "wal", "normal", 0.85), ("disk", "delete", "full", 0.85),
              ("tmpfs", "wal", "off", 0.75), ("tmpfs", "delete", "off", 0.75)]
PLACES = [place for place in ALL_PLACES
          if place[0] in sys.argv or not {"disk", "tmpfs"} & set(sys.argv)]


def opening(kind, directory):
    path = f"{directory}/{kind}.db"
    return f"envol:{path}:file:{directory}/cmk.key" if kind == "envol" else f"{kind}:{path}"


def measure(kind, directory, workload, journal, synchronous):
    program = f"{build}/tests/workload_{'sqlcipher' if kind == 'sqlcipher' else 'sqlite3'}"
    if workload == "insert":
        for tail in ("", "-wal", "-shm", "-journal"):
            if os.path.exists(f"{directory}/{kind}.db{tail}"):
                os.remove(f"{directory}/{kind}.db{tail}")
    done = subprocess.run([program, opening(kind, directory), workload, str(ROWS), journal,
                           synchronous], check=True, capture_output=True, text=True,
                          env={**os.environ, "ENVOLVFS": f"{build}/envolvfs.so"})
    return tuple(float(word) for word in done.stdout.split())


def turns(directory, journal, synchronous):
    """(seconds, seconds of the processor) by (workload, kind), a list of a turn each."""
    seconds = {(workload, kind): [] for workload in WORKLOADS for kind in KINDS}
    for turn in range(TURNS):
        for workload in WORKLOADS:
            for kind in KINDS[turn % 3:] + KINDS[:turn % 3]:
                seconds[workload, kind].append(
                    measure(kind, directory, workload, journal, synchronous))
    return seconds


def quickest(seconds, workload, kind, which=0):
    return min(turn[which] for turn in seconds[workload, kind])


def ratio(seconds, workload, to, which=0):
    return quickest(seconds, workload, to, which) / quickest(seconds, workload, "envol", which)


def report(place, journal, synchronous, least, seconds):
    missed = 0
    for workload in WORKLOADS:
        to_plain = ratio(seconds, workload, "plain")
        to_cipher = ratio(seconds, workload, "sqlcipher")
        kept = to_plain >= least and to_cipher > 1
        missed += not kept
        times = "".join(f"{quickest(seconds, workload, kind):10.4f}" for kind in KINDS)
        print(f"{place:6}{journal:8}{synchronous:8}{workload:13}{times}"
              f"{to_plain:9.2f}{least:7.2f}{to_cipher:12.2f}"
              f"{ratio(seconds, workload, 'plain', 1):8.2f}"
              f"{ratio(seconds, workload, 'sqlcipher', 1):6.2f}  {'' if kept else 'MISSED'}",
              flush=True)
    return missed


def directory_of(place):
    parent = f"{build}/tests/tmp" if place == "disk" else "/dev/shm"
    os.makedirs(parent, exist_ok=True)
    return tempfile.mkdtemp(prefix="envol-bench-sqlite.", dir=parent)


print(f"{'place':6}{'journal':8}{'sync':8}{'workload':13}{'plain s':>10}{'envol s':>10}"
      f"{'cipher s':>10}{'/plain':>9}{'least':>7}{'/sqlcipher':>12}"
      f"{'cpu':>8}")
all_missed = 0
for where, mode, synchronous_mode, budget in PLACES:
    work = directory_of(where)
    try:
        subprocess.run([f"{build}/envol", "keygen", f"{work}/cmk.key"], check=True)
        all_missed += report(where, mode, synchronous_mode, budget,
                             turns(work, mode, synchronous_mode))
    finally:
        shutil.rmtree(work)
print(f"{all_missed} of {len(PLACES) * len(WORKLOADS)} below their budget")
sys.exit(1 if check and all_missed else 0)
