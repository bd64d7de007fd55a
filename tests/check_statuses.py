# SPDX-License-Identifier: BSD-2-Clause
"""Holds the statuses that the manuals list against those that the suites produced.

Convention for the pages of section 3.  Their ERRORS section holds a list with an item for each
function that returns enum envol_status, or for several that share their list; consecutive items
share it too:

    .Sh ERRORS
    .Bl -tag -width Ds
    .It Fn envol_page_seal , Fn envol_page_seal_detached
    .Er ENVOL_E_ARGUMENT ,
    .Er ENVOL_E_RANGE
    .It Fn envol_page_unseal
    .Bl -tag -width Ds -compact
    .It Er ENVOL_E_CORRUPT
    The record does not authenticate.
    .El
    .El

A status counts as listed for the functions of the item it stands in when it is an argument of .Er
(one or several, at the line's start or within another macro's line).  Prose that only mentions a
status uses .Dv.  A function may have items in several places of one page; they add up.

The suites record each pair through ck_status, ck_ok and ck_note of tests/support.h.  A pair that is
listed and was never produced fails, and so does one that was produced and is not listed; ENVOL_OK is
not listed, and every function must have produced it.  Functions of a provider library that this build
does not have are left out.
"""

import glob
import os
import sys

import manuals
import public_api

# Statuses with a number and no function yet.
RESERVED = set()


def produced():
    pairs = {}
    pattern = os.path.join(os.environ.get("BUILD", "build"), "tests", "covered", "*")
    for path in glob.glob(pattern):
        with open(path, encoding="ascii") as file:
            for line in file:
                name, status = line.split()
                pairs.setdefault((name, status), os.path.basename(path))
    return pairs


def listed(pages, complain):
    """(function, status) -> page."""
    pairs, home = {}, {}
    for page in pages:
        for name, statuses in manuals.errors(page).items():
            if home.setdefault(name, page) != page:
                complain(f"{page}: {name} is listed in {home[name]} too")
            for status in statuses:
                pairs[name, status] = page
    return pairs, home


def main():
    pages = sorted(glob.glob("man/*.3"))
    if not pages:
        print("SKIP statuses: there are no manuals yet")
        print("check_statuses: 0 passed, 0 failed")
        return 0

    complaints = []
    public = {f for f in public_api.functions().values() if f.has_status}
    functions = {f.name for f in public if f.library in public_api.built()}
    absent = {f.name for f in public} - functions
    known = public_api.statuses()
    have = produced()
    want, home = listed(pages, complaints.append)
    want = {pair: page for pair, page in want.items() if pair[0] not in absent}
    home = {name: page for name, page in home.items() if name not in absent}

    for name in sorted(functions - set(home)):
        complaints.append(f"{name}: no item in the ERRORS section of any manual")
    for name in sorted(set(home) - functions):
        complaints.append(f"{home[name]}: {name} is no public function that returns a status")
    for (name, status), page in sorted(want.items()):
        if status not in known:
            complaints.append(f"{page}: {name}: {status} is no status (ENVOL_OK is not listed)")
        elif (name, status) not in have:
            complaints.append(f"{page}: {name}: {status} is listed, and no suite produced it")
    for name in sorted(functions):
        if (name, "ENVOL_OK") not in have:
            complaints.append(f"{name}: no suite saw it succeed")
    for (name, status), suite in sorted(have.items()):
        if name in functions and status != "ENVOL_OK" and (name, status) not in want:
            complaints.append(f"{name}: {status} was produced by {suite}, and is not listed")
    for status in sorted(known - RESERVED - {status for _, status in want}):
        complaints.append(f"{status}: no manual lists it for any function")

    for complaint in complaints:
        print(complaint)
    passed = sum(pair in have for pair in want)
    print(f"check_statuses: {passed} passed, {len(complaints)} failed")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
