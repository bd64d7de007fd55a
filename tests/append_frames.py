#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Appends frames on standard input to the log of a volume, redo records among them, which envol log
append leaves to the command: append_frames.py LIBRARY VOLUME KEYFILE"""

import ctypes
import struct
import sys


class Cmk(ctypes.Structure):
    _fields_ = [("provider", ctypes.c_void_p), ("key_ref", ctypes.c_char_p)]


def main():
    envol = ctypes.CDLL(sys.argv[1])
    volume_name, key_name = (name.encode() for name in sys.argv[2:])
    provider, store, space, volume, log = (ctypes.c_void_p() for _ in range(5))

    def call(name, *arguments):
        status = getattr(envol, name)(*arguments)
        if status:
            sys.exit(f"{name}: status {status}")

    call("envol_file_provider_open", key_name, ctypes.byref(provider))
    call("envol_file_store_open", volume_name, 0, ctypes.byref(store), None)
    call("envol_directory_space_open", volume_name + b".d", 0, ctypes.byref(space), None)
    call("envol_volume_open", store, ctypes.byref(Cmk(provider, None)), ctypes.c_size_t(1), None,
         ctypes.byref(volume), None)
    call("envol_log_open", volume, space, None, ctypes.byref(log), None)
    frames, at = sys.stdin.buffer.read(), 0
    while at < len(frames):
        _, count, _ = struct.unpack_from("<QII", frames, at)
        at += 16 + count
        call("envol_log_append", log, frames[at - count:at], ctypes.c_size_t(count), None, None)
    call("envol_log_close", log, None)
    call("envol_volume_close", volume)
    envol.envol_space_close(space)
    envol.envol_store_close(store)
    envol.envol_provider_close(provider)


main()
