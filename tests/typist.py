# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command on a pseudo terminal of its own, and types.

usage: typist.py LOG ANSWER... -- COMMAND...

Each ANSWER is typed with a newline when the next question (text that ends in "): ") has come; "^C"
and "^D" are these keys.  What the terminal showed goes to LOG, the command's standard error to
standard error.  Exit status: the command's; 99 if it asked more or less often than there are
answers, or if echo was on while it asked.
"""

import os
import pty
import select
import signal
import sys
import termios
import time

SECONDS = 20


def echoes(fd):
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)


def child(command, errors):
    os.dup2(errors, 2)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a shell may have ignored
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.execvp(command[0], command)


def main(log, *rest):
    split = rest.index("--")
    answers, command = list(rest[:split]), rest[split + 1:]
    keys = {"^C": b"\x03", "^D": b"\x04"}
    errors = os.dup(2)
    pid, tty = pty.fork()
    if pid == 0:
        child(command, errors)
    shown, asked, bad, end = b"", 0, False, time.time() + SECONDS
    while time.time() < end:
        ready, _, _ = select.select([tty], [], [], 0.1)
        if ready:
            try:
                data = os.read(tty, 4096)
            except OSError:
                break
            if not data:
                break
            shown += data
        if shown.count(b"): ") > asked:
            asked += 1
            bad = bad or asked > len(answers) or echoes(tty)
            answer = answers[asked - 1] if asked <= len(answers) else "^C"
            os.write(tty, keys.get(answer, answer.encode() + b"\n"))
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with open(log, "wb") as file:
        file.write(shown)
    if bad or asked != len(answers):
        return 99
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
