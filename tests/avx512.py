#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the AES kernels' tests on an emulated processor that has AVX-512, for kernel vaes512.

usage: avx512.py BUILD PROGRAM[:CASE]...

Boots Debian's kernel in Bochs, with BUILD/tests/PROGRAM for each that is named, a test case of it
alone where one is.  Suites run as under a tool, which leaves out what takes minutes; "kat" is given
NIST's vectors.  The last line is the summary, as tests/run.sh prints it.  ENVOL_TEST_KERNEL: the
only kernel that suites run.  AVX512_SECONDS: how long the machine may take, 1200 unless it is set.
"""

import collections
import glob
import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import tty

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "avx512")
PARTS = ("/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32",
         os.path.join(HERE, "isolinux.cfg"))
PROGRAMS = ("bochs-bin", "busybox", "xorriso")
LIMIT = int(os.environ.get("AVX512_SECONDS", "1200"))
# Such kernels are there, or the run is worth nothing; the first is the one that is chosen.
KERNELS = "kernels: vaes512 vaes256 aesni "


def output_of(*command, cwd=None):
    """What a command prints; what it complains of, too, is seen only where it fails."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"avx512: {' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def look_for_packages():
    for part in (*PARTS, *map(shutil.which, PROGRAMS)):
        if part is None or not os.path.exists(part):
            sys.exit(f"avx512: one of {', '.join((*PARTS, *PROGRAMS))} is missing: "
                     "make deps-avx512")


# --- What the machine starts from ------------------------------------------------------------------

def fetch_kernel(work):
    """Debian's kernel for virtual machines, taken out of its package, once."""
    path = os.path.join(work, "vmlinuz")
    if not os.path.exists(path):
        depends = output_of("apt-cache", "depends", "linux-image-cloud-amd64").decode()
        package = re.search(r"linux-image-\d\S*", depends).group()
        output_of("apt-get", "download", package, cwd=work)
        unpacked = os.path.join(work, "kernel")
        for deb in glob.glob(os.path.join(work, "linux-image-*.deb")):
            output_of("dpkg-deb", "-x", deb, unpacked)
            os.remove(deb)
        shutil.move(glob.glob(os.path.join(unpacked, "boot", "vmlinuz-*"))[0], path)
        shutil.rmtree(unpacked)
    return path


class Archive:
    """The initial file system: a cpio archive of the form "newc" (see cpio(5))."""

    def __init__(self):
        self.parts, self.names = [], set()

    def add(self, name, mode, data=b"", device=(0, 0)):
        parent = os.path.dirname(name)
        if parent and parent not in self.names:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.names.add(name)
        encoded = name.encode() + b"\0"
        fields = (len(self.names), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + encoded, data):
            self.parts.append(part + b"\0" * (-len(part) % 4))

    def file(self, name, data):
        if name not in self.names:
            self.add(name, stat.S_IFREG | 0o755, data)

    def program(self, name, path):
        """Without its symbols, and with the libraries that it is linked with."""
        with tempfile.NamedTemporaryFile() as stripped:
            output_of("strip", "-o", stripped.name, path)
            with open(stripped.name, "rb") as file:
                self.file(name, file.read())
        for library in re.findall(r"(/\S+) \(0x", output_of("ldd", path).decode()):
            with open(library, "rb") as file:
                self.file(library.lstrip("/"), file.read())

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def file_system(build, runs):
    archive = Archive()
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    for name, path in (("init", os.path.join(HERE, "init.sh")), ("bin/busybox", "/bin/busybox")):
        with open(path, "rb") as file:
            archive.file(name, file.read())
    archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for program, _ in runs:
        archive.program("tests/" + program, os.path.join(build, "tests", program))
    archive.file("tests/kat.input", output_of("python3", os.path.join(HERE, "../nist_vectors.py")))
    kernel = os.environ.get("ENVOL_TEST_KERNEL", "-")
    archive.file("tests/list", "".join(f"{program} {case or '-'} {tool_of(program)} {kernel}\n"
                                       for program, case in runs).encode())
    return archive.bytes()


def tool_of(program):
    """Those that look for keys in memory do not under a tool, which has memory of its own."""
    return "-" if program in ("test_aes_scan", "test_page_memory") else "bochs"


def make_disc(work, build, runs):
    tree = os.path.join(work, "disc")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree)
    for part in PARTS:
        shutil.copy(part, tree)
    shutil.copy(fetch_kernel(work), os.path.join(tree, "linux"))
    with open(os.path.join(tree, "initrd"), "wb") as file:
        file.write(file_system(build, runs))
    output_of("xorriso", "-as", "mkisofs", "-quiet", "-o", os.path.join(work, "boot.iso"),
              "-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4",
              "-boot-info-table", tree)
    shutil.rmtree(tree)


# --- The machine -----------------------------------------------------------------------------------

def terminal():
    """A pair of our end and the machine's, which has a name."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    return ours, theirs


def start(work, serial):
    """Bochs, its screen a terminal that nobody looks at; its debugger is told to continue."""
    shutil.copy(os.path.join(HERE, "bochsrc"), work)
    with open(os.path.join(work, "bochsrc"), "a", encoding="ascii") as file:
        file.write(f"com1: enabled=1, mode=term, dev={os.ttyname(serial)}\n")
    with open(os.path.join(work, "commands"), "w", encoding="ascii") as file:
        file.write("continue\n")
    screen, theirs = terminal()
    machine = subprocess.Popen(["bochs-bin", "-q", "-f", "bochsrc", "-rc", "commands"], cwd=work,
                               stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                               env=dict(os.environ, TERM="xterm"))
    return machine, screen


def serial_lines(work):
    """What the machine says, line by line, until it is off or its time is over."""
    serial, theirs = terminal()
    machine, screen = start(work, theirs)
    over, rest = time.monotonic() + LIMIT, b""
    try:
        while time.monotonic() < over:
            ready = select.select([serial, screen], [], [], 0.5)[0]
            if screen in ready:
                os.read(screen, 65536)
            if serial in ready:
                *lines, rest = (rest + os.read(serial, 65536)).split(b"\n")
                yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
            elif machine.poll() is not None:
                return
    finally:
        machine.kill()
        machine.wait()
        os.remove(os.path.join(work, "boot.iso"))


# --- The report ------------------------------------------------------------------------------------

class Report:
    def __init__(self):
        self.passed = self.failed = 0
        self.skips = collections.Counter()

    def add(self, name, log, status, seconds):
        counts = [re.search(r"(?:^|: )(\d+) passed, (\d+) failed$", line) for line in log]
        passed, failed = next((map(int, c.groups()) for c in reversed(counts) if c), (0, 1))
        skips = [line for line in log if line.startswith("SKIP ")]
        wrong = self.wrong(name, log, skips, status)
        failed = max(failed, 1) if wrong else failed
        print(f"{'FAIL' if failed else 'ok':4} {name:28} {passed:6} passed {failed:4} failed "
              f"{len(skips):3} skipped {seconds:7.1f} s", flush=True)
        if failed:
            print("".join(f"     | {line}\n" for line in [*log, *wrong][-100:]), end="")
        self.passed, self.failed = self.passed + passed, self.failed + failed
        self.skips.update(skips)

    @staticmethod
    def wrong(name, log, skips, status):
        complaints = []
        if status != 0:
            complaints.append(f"exit status {status}")
        if any("vaes" in line or "aesni" in line for line in skips):
            complaints.append("the machine does not have all kernels")
        if name == "kat" and not any(line.startswith(KERNELS) for line in log):
            complaints.append(f"not of this machine: {KERNELS}")
        return complaints

    def end(self, seconds):
        for line, count in sorted(self.skips.items()):
            print(f"{count:7} {line}")
        print(f"time: {seconds:.0f} s")
        print(f"{self.passed} passed, {self.failed} failed, {self.skips.total()} skipped")
        return 1 if self.failed else 0


def follow(lines, names, report):
    """Reports each run as it ends, and those that did not: of the first of them there is a log."""
    begun, log, waiting = time.monotonic(), [], list(names)
    for line in lines:
        if line.startswith("=== begin "):
            begun, log = time.monotonic(), []
        elif line.startswith("=== end ") and waiting:
            report.add(waiting.pop(0), log, int(line.split()[2]), time.monotonic() - begun)
            log = []
        else:
            log.append(line)
    for name in waiting:
        report.add(name, log, "none: it did not end", time.monotonic() - begun)
        log = []


def main():
    build, *names = sys.argv[1:]
    if not names:
        sys.exit("usage: avx512.py BUILD PROGRAM[:CASE]...")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    look_for_packages()
    runs = [(name.partition(":")[0], name.partition(":")[2]) for name in names]
    work = os.path.join(build, "avx512")
    os.makedirs(work, exist_ok=True)
    make_disc(work, build, runs)
    begun, report = time.monotonic(), Report()
    follow(serial_lines(work), names, report)
    sys.exit(report.end(time.monotonic() - begun))


if __name__ == "__main__":
    main()
