# SPDX-License-Identifier: BSD-2-Clause
"""Kills SQLite while it writes through envolvfs, and looks whether it kept its word.

usage: sqlite_kills.py EXTENSION CMK SEED ROUNDS JOURNAL SYNCHRONOUS [attached]

in a directory of its own, with `sqlite3` in the PATH.  A group is one transaction: rows that say
its number, and changes all over the database, more than the cache holds, so that pages go to the
disk before the commit.  With `attached`, half of it is in a second database.  After each kill:
  - no group that was said to be committed is gone;
  - a group is there from its first row to its last, in both databases, or not at all;
  - SQLite finds the databases sound, and every page authenticates.
"""
import random
import subprocess
import sys
import time

extension, cmk, seed, rounds, journal, synchronous = sys.argv[1:7]
attached = sys.argv[7:] == ["attached"]
chance = random.Random(int(seed))
ROWS, CHANGES, ACCOUNTS, PAD = 12, 30, 400, 300
schemas = ["main", "other"] if attached else ["main"]


def opening(path):
    return f"file:{path}?vfs=envol&cmk={cmk}"


preamble = f""".load {extension}
.open {opening('one.db')}
.bail on
.timeout 5000
pragma cache_size = 10;
pragma synchronous = {synchronous};
""" + (f"attach '{opening('two.db')}' as other;\npragma other.cache_size = 10;\n"
       f"pragma other.synchronous = {synchronous};\n" if attached else "")
modes = "".join(f"pragma {schema}.journal_mode = {journal};\n" for schema in schemas)


def shell(sql):
    done = subprocess.run(["sqlite3"], input=preamble + sql, capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"seed {seed}, {journal}, {synchronous}: {done.stdout}{done.stderr}")
    return done.stdout.split("\n")[:-1]


def create():
    for schema in schemas:
        shell(f"create table {schema}.log(g, i, v);"
              f"create table {schema}.account(id integer primary key, n, pad);"
              f"with recursive c(x) as (select 0 union all select x + 1 from c where x < {ACCOUNTS - 1})"
              f"insert into {schema}.account select x, 0, hex(randomblob({PAD})) from c;")
    shell(modes)


def transaction(group):
    lines = ["begin immediate;"]
    for schema in schemas:
        lines += [f"insert into {schema}.log values({group}, {i}, hex(randomblob(400)));"
                  for i in range(ROWS)]
        lines += [f"update {schema}.account set n = n + 1, pad = hex(randomblob({PAD})) where id = {k};"
                  for k in chance.sample(range(ACCOUNTS), CHANGES)]
    return "\n".join([*lines, "commit;", f"select 'committed {group}';", ""])


def write_and_kill(first):
    """The last group that was said to be committed."""
    writer = subprocess.Popen(["stdbuf", "-oL", "sqlite3"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = first - 1
    with open("writer.sql", "w", encoding="utf-8") as script:
        script.write(preamble + modes + "select 'begun';\n"
                     + "".join(transaction(first + i) for i in range(60)))
    writer.stdin.write(".read writer.sql\n")
    writer.stdin.flush()
    while (line := writer.stdout.readline()) and line != "begun\n":
        pass
    time.sleep(chance.uniform(0, 0.12))
    writer.kill()
    output, errors = writer.communicate()
    if errors:
        sys.exit(f"seed {seed}: {errors}")
    for line in output.split("\n")[:-1]:
        if line.startswith("committed "):
            said = int(line.split()[1])
    return said


def check(said):
    groups = None
    for schema in schemas:
        lines = shell(f"select 'groups', count(distinct g), count(*), max(g) from {schema}.log;"
                      f"select 'changes', sum(n) from {schema}.account;"
                      f"pragma {schema}.integrity_check; pragma {schema}.envol_verify;")
        found = {line.split("|")[0]: line.split("|")[1:] for line in lines if "|" in line}
        count, rows, last = (int(word or 0) for word in found["groups"])
        sound = lines[-2] == "ok" and lines[-1].endswith(" 0 bad")
        if not (sound and rows == count * ROWS and last == count and last >= said and
                int(found["changes"][0]) == count * CHANGES and groups in (None, count)):
            sys.exit(f"seed {seed}, {journal}, {synchronous}: said {said}, of {schema}: {lines}")
        groups = count
    return groups


create()
done = 0
for _ in range(int(rounds)):
    done = check(write_and_kill(done + 1))
print(f"{rounds} kills, {done} groups")
