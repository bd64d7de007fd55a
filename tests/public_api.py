# SPDX-License-Identifier: BSD-2-Clause
"""The public functions and statuses, as the headers declare them.

Used by the gates.  As a program: `public_api.py LIBRARY` prints the name of each function that
libenvol or a provider library, libenvol-NAME, exports.
"""

import glob
import os
import re
import sys


class Function:
    """A declaration: name, return type, and parameters as written, with spaces made one."""

    def __init__(self, name, returns, parameters, header):
        self.name = name
        self.returns = returns
        self.parameters = parameters
        self.header = header

    @property
    def has_status(self):
        return self.returns == "enum envol_status"

    @property
    def library(self):
        return library(self.header)


def library(header):
    """The library that a public header belongs to: libenvol-NAME has include/envol-NAME.h."""
    name = re.fullmatch(r"include/envol(-[a-z0-9-]+)\.h", header)
    return "libenvol" + (name.group(1) if name else "")


def built():
    """The libraries of the build under test."""
    return {"libenvol"} | {f"libenvol-{name}" for name in os.environ.get("PROVIDERS", "").split()}


def squeeze(text):
    return re.sub(r"\s*\*\s*", " *", " ".join(text.split())).replace("* *", "**").strip()


def strip_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def read(path):
    with open(path, encoding="utf-8") as file:
        return strip_comments(file.read())


def headers():
    return sorted(glob.glob("include/*.h") + glob.glob("include/*/*.h"))


def functions():
    """Every function that a header marks ENVOL_API, by name."""
    found = {}
    for header in headers():
        text = re.sub(r"^\s*#(?:.*\\\n)*.*$", "", read(header), flags=re.M)
        for match in re.finditer(r"\bENVOL_API\b([^;{]*);", text):
            words = re.sub(r"\bENVOL_NONNULL\s*\([^)]*\)|\bENVOL_NODISCARD\b", " ", match.group(1))
            parts = re.fullmatch(r"\s*(.*?)\b(envol_\w+)\s*\((.*)\)\s*", words, flags=re.S)
            if parts is None:
                raise SystemExit(f"{header}: cannot read the declaration: {squeeze(words)}")
            returns, name, parameters = parts.groups()
            if name in found:
                raise SystemExit(f"{header}: {name} is declared twice")
            found[name] = Function(name, squeeze(returns),
                                   [squeeze(p) for p in parameters.split(",")], header)
    return found


def statuses():
    return set(re.findall(r"\b(ENVOL_E_\w+)\s*=", read("include/envol/status.h")))


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else "libenvol"
    print("\n".join(sorted(f.name for f in functions().values() if f.library == wanted)))
