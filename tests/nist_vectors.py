# SPDX-License-Identifier: BSD-2-Clause
"""Prints NIST's AES-256 vectors for GCM and XTS as lines for build/tests/kat (see tests/kat.h).

usage: python3 tests/nist_vectors.py | build/tests/kat

They are read from Debian's python3-cryptography-vectors: of GCM those with a 96-bit IV and a
128-bit tag, of XTS those of whole bytes, which is what the library does.  Without the package there
is a line "SKIP what: why" on standard error.
"""

import os
import sys

# Searched too, as a python3 that is not Debian's does not search it by itself.
DEBIAN = "/usr/lib/python3/dist-packages"
GCM = ("gcmEncryptExtIV256.rsp", "gcmDecrypt256.rsp")
XTS = ("tweak-128hexstr/XTSGenAES256.rsp", "tweak-dataunitseqno/XTSGenAES256.rsp")


def directory():
    for place in sys.path + [DEBIAN]:
        aes = os.path.join(place, "cryptography_vectors", "ciphers", "AES")
        if os.path.isdir(aes):
            return aes
    return None


def pairs(block):
    """Names and values of lines like "Key = 00ff", "[IVlen = 96]" and "FAIL"."""
    split = (line.strip("[]").partition("=") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in split}


def records(path):
    """Records stand between empty lines, and so do the headings, with what all below share."""
    heading = {}
    with open(path, encoding="ascii") as file:
        blocks = [block.strip() for block in file.read().split("\n\n")]
    for block in blocks:
        if block.startswith("["):
            heading = pairs(block)
        elif block and not block.startswith("#"):
            yield heading | pairs(block)


def gcm_lines(path):
    for r in records(path):
        if r["IVlen"] != "96" or r["Taglen"] != "128":
            continue
        fields = [r["Key"], r["IV"], r["AAD"], r.get("PT", ""), r["CT"], r["Tag"]]
        verdict = "invalid" if "FAIL" in r else "valid"
        yield " ".join(["gcm"] + [field or "-" for field in fields] + [verdict])


def xts_lines(path):
    for r in records(path):
        if int(r["DataUnitLen"]) % 8 != 0:
            continue
        # The number of a data unit is a little-endian tweak (IEEE 1619, 5.1).
        tweak = r.get("i") or int(r["DataUnitSeqNumber"]).to_bytes(16, "little").hex()
        yield " ".join(["xts", r["Key"], tweak, r["PT"], r["CT"], "valid"])


def main():
    aes = directory()
    if aes is None:
        print("SKIP nist_vectors: python3-cryptography-vectors is not installed", file=sys.stderr)
        return
    for name in GCM:
        print(*gcm_lines(os.path.join(aes, "GCM", name)), sep="\n")
    for name in XTS:
        print(*xts_lines(os.path.join(aes, "XTS", name)), sep="\n")


if __name__ == "__main__":
    main()
