# SPDX-License-Identifier: BSD-2-Clause
"""Reads what the gates need from the mdoc sources of the manuals.

As a program:
    manuals.py synopsis PAGE...       compares each SYNOPSIS with the headers
    manuals.py examples DIR PAGE...   writes the C programs of EXAMPLES to DIR/PAGE.N.c
    manuals.py excerpts PAGE...       looks for what follows `.\\" excerpt: FILE` in that file

A `.Bd -literal` block in EXAMPLES that begins with `#include` is a whole C program (or, without a
main, a whole C file).  In section 3 every block has to be one; other sections may show the shell.
"""

import os
import re
import sys

import public_api

# What mdoc sources may escape in a literal block.
ESCAPES = {"e": "\\", "&": "", "-": "-", "(aq": "'", "(dq": '"', "(ga": "`", "(ha": "^", "(ti": "~",
           "(bs": "\\", "(rs": "\\", " ": " "}


def lines_of(page):
    with open(page, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


def section(page, title):
    """The lines of a section, without its heading."""
    found, inside = [], False
    for line in lines_of(page):
        if line.startswith(".Sh "):
            inside = line[4:].strip().strip('"') == title
        elif inside and not line.startswith('.\\"'):
            found.append(line)
    return found


def arguments(text):
    """Arguments of a macro: words, or quoted strings."""
    return [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', text)]


def prototypes(page):
    """(name, return type, parameters) of each function in SYNOPSIS, in order."""
    found, returns, name, parameters = [], "", None, []
    for line in section(page, "SYNOPSIS"):
        macro, _, rest = line.partition(" ")
        words = [public_api.squeeze(word) for word in arguments(rest)]
        if macro == ".Ft":
            returns = public_api.squeeze(" ".join(words))
        elif macro == ".Fn":
            found.append((words[0], returns, words[1:]))
        elif macro == ".Fo":
            name, parameters = words[0], []
        elif macro == ".Fa" and name:
            parameters += words
        elif macro == ".Fc":
            found.append((name, returns, parameters))
            name = None
    return found


def errors(page):
    """Function -> statuses that ERRORS lists for it; see check_statuses.py for the convention."""
    listed, current, fresh = {}, [], True
    for line in section(page, "ERRORS"):
        words = line[1:].replace(",", " ").split() if line.startswith(".") else []
        if words[:2] == ["It", "Fn"]:
            names = [word for word in words if word.startswith("envol_")]
            current = names if fresh else current + names
            fresh = False
            for name in names:
                listed.setdefault(name, set())
            continue
        fresh = True
        for macro in re.finditer(r"(?:^\.|\s)Er((?:\s+(?:ENVOL_\w+|,|\.))+)", line):
            for status in re.findall(r"ENVOL_\w+", macro.group(1)):
                if not current:
                    # An introduction may name what holds for none in particular.
                    continue
                for name in current:
                    listed[name].add(status)
    return listed


def unescape(line, where):
    def one(match):
        if match.group(1) not in ESCAPES:
            raise SystemExit(f"{where}: unknown escape {match.group(0)}")
        return ESCAPES[match.group(1)]

    return re.sub(r"\\(\(..|.)", one, line)


def blocks(page):
    """The literal blocks of EXAMPLES, as text."""
    found, current = [], None
    for line in section(page, "EXAMPLES"):
        if line.startswith(".Bd ") and "-literal" in line:
            current = []
        elif line.startswith(".Ed") and current is not None:
            found.append("\n".join(current) + "\n")
            current = None
        elif current is not None:
            current.append(unescape(line, page))
    return found


def excerpts(page):
    """(file, text) of each literal block behind a comment that says where it is from."""
    found, file, current = [], None, None
    for line in lines_of(page):
        if line.startswith('.\\" excerpt: '):
            file = line.split()[-1]
        elif file and line.startswith(".Bd -literal"):
            current = []
        elif file and line.startswith(".Ed"):
            found.append((file, "\n".join(current) + "\n"))
            file, current = None, None
        elif current is not None:
            current.append(unescape(line, page))
    return found


def check_excerpts(pages):
    """An excerpt is whole lines of its file, and so is compiled with it."""
    passed = failed = 0
    for page in pages:
        for file, text in excerpts(page):
            with open(file, encoding="utf-8") as source:
                found = "\n" + text in "\n" + source.read()
            passed, failed = passed + found, failed + (not found)
            if not found:
                print(f"{page}: this is not in {file}:\n{text}")
    return passed, failed


def check_synopsis(pages):
    functions = public_api.functions()
    passed = failed = 0
    for page in pages:
        for name, returns, parameters in prototypes(page):
            header = functions.get(name)
            want = header and (header.returns, header.parameters)
            if want == (returns, parameters):
                passed += 1
                continue
            failed += 1
            print(f"{page}: {name}: the headers say {want}, the manual {(returns, parameters)}")
    return passed, failed


def write_examples(directory, pages):
    failed = written = 0
    os.makedirs(directory, exist_ok=True)
    for page in pages:
        for number, text in enumerate(blocks(page)):
            if text.lstrip("\n").startswith("#include"):
                name = f"{os.path.basename(page)}.{number}.c"
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(text)
                written += 1
            elif page.endswith(".3"):
                print(f"{page}: example {number} is no whole program (it begins: {text[:40]!r})")
                failed += 1
    return written, failed


def main(command, *args):
    if command == "synopsis":
        passed, failed = check_synopsis(args)
    elif command == "excerpts":
        passed, failed = check_excerpts(args)
    else:
        passed, failed = write_examples(args[0], args[1:])
    print(f"{command}: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
