# SPDX-License-Identifier: BSD-2-Clause
"""Drives examples/kv against a dict that has to agree with it.

usage: kv_driver.py model|kills|threads|snapshot DIR CMK SEED, with `kv` in the PATH

model     random commits, reads and scans; opened again now and then
kills     kill -9 while a shell commits: what is there afterwards is all up to some commit, and that
          is none before the last one that was said to be safe
threads   the same of `kv load` with four threads: each commit is there as a whole or not at all
snapshot  snapshots are read in a process of their own while the store is written to
"""
import random
import subprocess
import sys
import threading
import time

what, directory, cmk, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
chance = random.Random(seed)


def fail(text):
    sys.exit(f"{what}, seed {seed}: {text}")


def kv(*words, **options):
    done = subprocess.run(["kv", *words, "--cmk", cmk], capture_output=True, text=True, **options)
    if done.returncode != 0:
        fail(f"kv {' '.join(words)}: {done.stderr}")
    return done.stdout


def parse(lines):
    pairs = [line.split("\t") for line in lines]
    if [key for key, _ in pairs] != sorted({key for key, _ in pairs}):
        fail("keys come twice, or out of order")
    return dict(pairs)


def differs(want, found):
    keys = [key for key in {**want, **found} if want.get(key) != found.get(key)]
    return f"{len(keys)} keys differ, {min(keys)[:40]} is one of them" if keys else None


class Shell:
    def __init__(self):
        self.process = subprocess.Popen(["kv", "shell", directory, "--cmk", cmk], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def say(self, *commands):
        self.process.stdin.write("".join("\t".join(words) + "\n" for words in commands))
        self.process.stdin.flush()

    def answer(self):
        """The lines before "ok" or a status, and that."""
        lines = []
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line == "ok" or line.startswith("ENVOL_E_"):
                return lines, line.split()[0]
            lines.append(line)
        fail("the shell ended")

    def ask(self, *words):
        self.say(words)
        return self.answer()

    def commit(self, changes):
        self.say(["begin"], *changes, ["commit"])
        answers = [self.answer()[1] for _ in range(len(changes) + 2)]
        if set(answers) != {"ok"}:
            fail(f"a commit answers {set(answers)}")

    def end(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            fail("the shell ended badly")


def key(keys=3000):
    number = chance.randrange(keys)
    return f"{number * 7919 % keys:05d}" + "k" * (number % 200)


def changes_of(count, text):
    changes = []
    for i in range(count):
        if chance.random() < 0.25:
            changes.append(["delete", key()])
        else:
            changes.append(["put", key(), f"{text}.{i}:" + "v" * chance.choice((0, 40, 900, 3900))])
    return changes


def apply(state, changes):
    for words in changes:
        if words[0] == "put":
            state[words[1]] = words[2]
        else:
            state.pop(words[1], None)


def model():
    state, shell = {}, Shell()
    for turn in range(80):
        changes = changes_of(chance.choice((1, 3, 400)), str(turn))
        shell.commit(changes)
        apply(state, changes)
        for _ in range(20):
            name = key()
            lines, answer = shell.ask("get", name)
            want = ([state[name]], "ok") if name in state else ([], "ENVOL_E_UNWRITTEN")
            if (lines, answer) != want:
                fail(f"turn {turn}: get {name[:20]}: {answer}")
        ends = sorted((key(), key()))
        found = parse(shell.ask("scan", *ends)[0])
        if found != {name: state[name] for name in state if ends[0] <= name < ends[1]}:
            fail(f"turn {turn}: a scan")
        if turn % 20 == 7:
            shell.end()
            shell = Shell()
        if turn % 30 == 11 and shell.ask(chance.choice(("snapshot", "rotate")))[1] != "ok":
            fail(f"turn {turn}: a snapshot, or a new DEK")
    found = parse(shell.ask("scan")[0])
    if wrong := differs(state, found):
        fail(wrong)
    shell.end()
    print(f"{len(state)} keys after 80 commits; {kv('check', directory).strip()}")


class Killer(threading.Thread):
    """Kills a process after a while: from its start, where recovery is, or from its first commit."""
    def __init__(self, process, seconds, has_begun):
        super().__init__()
        self.process, self.seconds, self.has_begun = process, seconds, has_begun
        self.start()

    def run(self):
        deadline = time.monotonic() + 20
        while not self.has_begun() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(self.seconds)
        self.process.kill()


class Round:
    """Commits without a pause until the kill.  Each puts its number under the key "commit"."""
    def __init__(self, number):
        self.first, self.commits, self.safe = number, [], 0

    def run(self, seconds, at_once):
        shell = Shell()
        listener = threading.Thread(target=self.count, args=(shell.process.stdout,))
        listener.start()
        killer = Killer(shell.process, seconds, lambda: at_once or self.safe > 0)
        try:
            while True:
                number = self.first + len(self.commits) + 1
                changes = changes_of(chance.randrange(1, 60), str(number))
                changes.append(["put", "commit", str(number)])
                self.commits.append(changes)
                shell.say(["begin"], *changes, ["commit"])
        except BrokenPipeError:
            pass
        listener.join()
        killer.join()
        if shell.process.wait() != -9:
            fail("the shell ended by itself")

    def count(self, stream):
        """Answers come in the order of the commands."""
        answered, commit = 0, 0
        for line in stream:
            if not line.endswith("\n"):
                break
            if line != "ok\n":
                fail(f"a commit answers {line}")
            answered += 1
            if commit < len(self.commits) and answered == len(self.commits[commit]) + 2:
                answered, commit = 0, commit + 1
                self.safe = commit


def kills():
    state, number, safe = {}, 0, 0
    for turn in range(10):
        written = Round(number)
        written.run(chance.uniform(0.01, 0.25), turn % 3 == 1)
        found = parse(kv("scan", directory).splitlines())
        count = int(found.get("commit", number)) - number
        if count < written.safe:
            fail(f"{written.safe} commits were safe, {count} are there")
        for changes in written.commits[:count]:
            apply(state, changes)
        if wrong := differs(state, found):
            fail(f"after {count} commits, {written.safe} of them safe: {wrong}")
        number += count
        safe += written.safe
    if safe == 0 or "bad=0" not in kv("check", directory):
        fail(f"{safe} commits")
    print(f"10 kills: {safe} commits were said to be safe, {number} are there, none is half there")


def threads():
    batch, safe, there = 20, 0, 0
    for turn in range(6):
        loader = subprocess.Popen(["kv", "load", directory, "--cmk", cmk, "--threads", "4",
                                   "--batch", str(batch)], text=True, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        said = []
        listener = threading.Thread(target=lambda: said.extend(
            line for line in loader.stdout if line.endswith("\n")))
        listener.start()
        killer = Killer(loader, chance.uniform(0.02, 0.3), lambda: bool(said))
        line = 0
        try:
            while True:
                loader.stdin.write(f"{turn}.{line // batch}.{line % batch}\t{line}{'v' * 700}\n")
                line += 1
        except BrokenPipeError:
            pass
        loader.wait()
        listener.join()
        killer.join()
        found = [name.split(".") for name in parse(kv("scan", directory, f"{turn}.",
                                                      f"{turn}/").splitlines())]
        groups = {}
        for _, group, place in found:
            groups.setdefault(int(group), set()).add(place)
        if any(len(places) != batch for places in groups.values()):
            fail("a commit is half there")
        if missing := {(int(text) - 1) // batch for text in said} - groups.keys():
            fail(f"{len(missing)} commits were safe, and are not there")
        safe += len(said) // batch
        there += len(groups)
    if safe == 0:
        fail("no commit")
    print(f"6 kills of four threads: {safe} commits were said to be safe, {there} are there")


def snapshot():
    state, shell = {}, Shell()
    for turn in range(3):
        for part in range(4):
            changes = changes_of(400, f"{turn}.{part}")
            shell.commit(changes)
            apply(state, changes)
        uuid = shell.ask("snapshot")[0][0]
        then = dict(state)
        stop = threading.Event()

        def write():
            while not stop.is_set():
                changes = changes_of(400, "later")
                shell.commit(changes)
                apply(state, changes)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(3):
            found = parse(kv("scan", directory, "--snapshot", uuid).splitlines())
            if wrong := differs(then, found):
                fail(wrong)
            time.sleep(0.03)
        stop.set()
        writer.join()
        if wrong := differs(state, parse(shell.ask("scan")[0])):
            fail(f"the store itself: {wrong}")
        if shell.ask("release", uuid)[1] != "ok":
            fail("release")
    shell.end()
    print(f"3 snapshots of up to {len(then)} keys")


{"model": model, "kills": kills, "threads": threads, "snapshot": snapshot}[what]()
