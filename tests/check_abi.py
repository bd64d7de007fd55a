# SPDX-License-Identifier: BSD-2-Clause
"""The ABI against its record: what a program was compiled against still holds.

tests/abi/LIBRARY.abi lists it, a fact a line: each exported symbol with its version, the types of each
function's result and parameters, size and alignment of each struct, type, offset and size of each of
its members, the value of each enumeration constant and each number that a header defines.  The gate
fails where the headers and the library that was built say something else, and tells what breaks
programs from what only adds to the ABI.  Names of parameters are no part of it.

A struct that begins with its size may grow at its end, but not into its padding, which callers never
set; that too counts as a break, as it is none only where each function that takes the struct still
takes the smaller one, which no list can tell, but test_struct_size.c.

usage: check_abi.py            compares
       check_abi.py record     takes additions into the record; with ABI_BREAK=1 in the environment,
                               anything: before 1.0, with a new SONAME, or for a struct that grew as
                               it may
"""

import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, "tests")
import public_api

RECORDS = "tests/abi"
# Elements of caller's arrays, whose size is fixed for good; every other struct begins with its size.
FIXED = {"envol_cmk", "envol_context_pair", "envol_pin", "envol_page_io", "envol_page_op",
         "envol_blob_op", "envol_slot_outcome", "envol_ledger_epoch", "envol_ledger_slot",
         "envol_backup_cmk", "envol_header_snapshot", "envol_log_entry", "envol_log_record"}
# What a macro that stands for a number is made of: no attribute, no initialiser.
NUMBER = re.compile(r"(?!.*__attribute__)[\w\s()+*/<|-]+")
BUILD = os.environ.get("BUILD", "build")


def type_of(parameter):
    """A parameter without its name; of a function pointer, the parameters' types too."""
    pointer = re.fullmatch(r"(.*)\(\s*\*\s*\w*\s*\)\s*\((.*)\)", parameter)
    if pointer:
        types = ", ".join(type_of(p) for p in split_list(pointer.group(2)))
        return f"{public_api.squeeze(pointer.group(1))} (*)({types})"
    parameter = public_api.squeeze(parameter)
    if parameter == "void":
        return parameter
    named = re.fullmatch(r"(.*?[\s*])\w+((?:\[[^\]]*\])*)", parameter)
    return public_api.squeeze(named.group(1)) + named.group(2)


def split_list(text):
    """What commas separate, but not those inside parentheses."""
    return re.findall(r"(?:[^,()]|\([^()]*\))+", text)


def members(body):
    """(name, type) of each member of a struct's body."""
    for text in filter(None, (public_api.squeeze(part) for part in body.split(";"))):
        pointer = re.search(r"\(\s*\*(\w+)\)", text)
        if pointer:
            yield pointer.group(1), type_of(text)
            continue
        # Several of one type: `uint32_t major, minor`.
        first, *others = split_list(text)
        name = re.search(r"(\w+)(?:\[[^\]]*\])*$", first)
        base = first[:name.start()]
        for declared in [first[name.start():], *others]:
            bare = re.search(r"\w+", declared).group()
            yield bare, type_of(base + declared.strip())


def facts(header):
    """What a header fixes: (a line of the record, with %zu or %lld; its values in C)."""
    text = public_api.read(header)
    structs = re.findall(r"^struct (envol_\w+) \{(.*?)\n\}", text, re.S | re.M)
    if len(structs) != len(re.findall(r"\bstruct \w+\s*\{|\bunion\b|\bstruct\s*\{", text)):
        raise SystemExit(f"{header}: a struct that cannot be read")
    for name, body in structs:
        struct = f"struct {name}"
        yield f"{struct}: size %zu, alignment %zu", f"sizeof({struct}), _Alignof({struct})"
        for member, kind in members(body):
            yield (f"{struct}.{member}: {kind}, offset %zu, size %zu",
                   f"offsetof({struct}, {member}), sizeof((({struct} *)0)->{member})")
    for body in re.findall(r"^enum envol_\w+ \{(.*?)\}", text, re.S | re.M):
        for constant in re.findall(r"\b(ENVOL_\w+)\s*(?:=|,|$)", body, re.M):
            yield f"constant {constant} %lld", f"(long long){constant}"
    for name, value in re.findall(r"^#define (ENVOL_\w+)[ \t]+(.*)$", text, re.M):
        if NUMBER.fullmatch(value) and not name.startswith("ENVOL_VERSION_"):
            yield f"constant {name} %lld", f"(long long){name}"


def measured(headers, directory):
    """The facts with their values: a program of them is compiled and run."""
    source = os.path.join(directory, "facts.c")
    program = os.path.join(directory, "facts")
    with open(source, "w", encoding="utf-8") as file:
        file.write("#include <stddef.h>\n#include <stdio.h>\n")
        file.writelines(f"#include <{header.removeprefix('include/')}>\n" for header in headers)
        file.write("int main(void)\n{\n")
        for header in headers:
            for line, values in facts(header):
                file.write(f'    printf("{line}\\n", {values});\n')
        file.write("    return 0;\n}\n")
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-std=c11", "-Iinclude", "-o", program, source], check=True)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


def callbacks(header):
    """The types of functions that a caller gives."""
    pattern = r"^typedef (.*?)\b(envol_\w+)\((.*?)\);"
    for returns, name, parameters in re.findall(pattern, public_api.read(header), re.S | re.M):
        types = ", ".join(type_of(p) for p in split_list(parameters))
        yield f"type {name}: {public_api.squeeze(returns)} ({types})"


def described(library, directory):
    """The ABI of a library, as the lines of its record."""
    shared = os.path.realpath(f"{BUILD}/{library}.so")
    symbols = subprocess.run(["nm", "-D", "--defined-only", shared], check=True,
                             capture_output=True, text=True).stdout
    lines = [f"symbol {fields[2]}" for fields in map(str.split, symbols.splitlines())
             if fields[1] != "A"]
    for function in public_api.functions().values():
        if function.library == library:
            types = ", ".join(type_of(p) for p in function.parameters)
            lines.append(f"function {function.name}: {function.returns} ({types})")
    headers = [h for h in public_api.headers() if public_api.library(h) == library]
    for header in headers:
        lines += callbacks(header)
    return sorted(set(lines + measured(headers, directory)))


def compare(library, old, new):
    """Prints what differs; returns (breaks, additions)."""
    kept, known = set(new), set(old)
    breaks = [line for line in old if line not in kept]
    additions = [line for line in new if line not in known]
    sizes = dict(re.match(r"(struct \w+): size (\d+)", line).groups() for line in old
                 if re.match(r"struct \w+: size", line))
    for line in additions[:]:
        member = re.match(r"(struct \w+)\.\w+: .*offset (\d+)", line)
        if member and int(member.group(2)) < int(sizes.get(member.group(1), 0)):
            additions.remove(line)
            breaks.append(line)
    for title, lines in (("no longer true, which breaks programs", breaks),
                         ("not in the record", additions)):
        if lines:
            print(f"{library}: {title}:")
            print("\n".join(f"    {line}" for line in lines))
    return breaks, additions


def check_growable(verdicts):
    """Structs that callers fill may grow at their end only, so each has to begin with its size."""
    for header in public_api.headers():
        text = public_api.read(header)
        for name, body in re.findall(r"struct (envol_\w+) \{(.*?)\n\}", text, re.S):
            sized = body.split(";")[0].split() == ["size_t", "struct_size"]
            if name not in FIXED and not sized:
                print(f"{header}: struct {name} does not begin with struct_size")
            verdicts.append(name in FIXED or sized)


def read_record(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line for line in file.read().splitlines() if not line.startswith("#")]


def record(path, library, lines):
    os.makedirs(RECORDS, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# The ABI of {library} where pointers have 8 bytes: see tests/check_abi.py\n")
        file.write("\n".join(lines) + "\n")


def main(mode="check"):
    directory = f"{BUILD}/tests/abi"
    os.makedirs(directory, exist_ok=True)
    verdicts = []
    check_growable(verdicts)
    wide = sys.maxsize > 2**32
    if not wide:
        print("SKIP the ABI: its record is of 8-byte pointers")
    for library in sorted(public_api.built() if wide else ()):
        path = f"{RECORDS}/{library}.abi"
        old, new = read_record(path), described(library, directory)
        breaks, additions = compare(library, old, new)
        if mode != "record":
            verdicts += [not breaks, not additions]
        elif breaks and os.environ.get("ABI_BREAK") != "1":
            verdicts.append(False)
            print(f"{path} is left as it is: see tests/check_abi.py before you say ABI_BREAK=1")
        else:
            record(path, library, new)
            verdicts.append(True)
    for path in sorted(glob.glob(f"{RECORDS}/*.abi")):
        library = os.path.basename(path).removesuffix(".abi")
        if wide and library not in public_api.built():
            print(f"SKIP the ABI of {library}: this build does not have it")
    if mode != "record" and not all(verdicts):
        print("`make abi-record` takes what was added into tests/abi")
    print(f"check_abi: {sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
