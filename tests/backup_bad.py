# SPDX-License-Identifier: BSD-2-Clause
"""A backup of a volume some of whose pages do not read, which the command does not make.

usage: backup_bad.py LIBRARY VOLUME KEY BACKUP_KEY FILE
"""
import ctypes
import sys

SKIP_BAD = 1 << 8


class Cmk(ctypes.Structure):
    _fields_ = [("provider", ctypes.c_void_p), ("key_ref", ctypes.c_char_p)]


class Options(ctypes.Structure):
    """struct envol_backup_options: what is behind the flags is NULL or 0."""

    _fields_ = [("struct_size", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("rest", ctypes.c_void_p * 11)]


def main():
    try:
        lib = ctypes.CDLL(sys.argv[1])
    except OSError as error:
        sys.exit(error)
    volume, key, backup_key, path = (name.encode() for name in sys.argv[2:])

    def opened(call, *arguments):
        handle = ctypes.c_void_p()
        status = call(*arguments, ctypes.byref(handle), *([None] if call is not lib.envol_file_provider_open else []))
        assert status == 0, status
        return handle

    cmks = [Cmk(opened(lib.envol_file_provider_open, name), None) for name in (key, backup_key)]
    store = opened(lib.envol_file_store_open, volume, 0)
    handle = opened(lib.envol_volume_open, store, ctypes.byref(cmks[0]), ctypes.c_size_t(1), None)
    with open(path, "wb") as out:

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        def sink(_, data, count):
            out.write(ctypes.string_at(data, count))
            return 0

        options = Options(ctypes.sizeof(Options), SKIP_BAD)
        status = lib.envol_backup_write(
            handle, ctypes.byref(cmks[1]), ctypes.c_size_t(1), ctypes.byref(options), sink, None, None, None
        )
        assert status == 0, status
    lib.envol_volume_close(handle)
    lib.envol_store_close(store)


if __name__ == "__main__":
    main()
