"""Prints a scene file as JSON: ``python assimp_json.py LIBRARY FILE``.

A program of its own and without imports of ours: Assimp may crash on a broken file, and takes its
process along. Exit code 0 with the scene on standard output, or 3 with the reason there. Four
functions of Assimp's C interface are called.
"""

from __future__ import annotations

import ctypes
import os
import sys

REFUSED = 3


class _String(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("data", ctypes.c_char * 1024)]


class _Blob(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", _String),
        ("next", ctypes.c_void_p),
    ]


def main(name: str, file: str) -> int:
    """Read `file` with the library `name`; the process ends with what this returns."""
    library = ctypes.CDLL(name)
    library.aiImportFile.restype = ctypes.c_void_p
    library.aiImportFile.argtypes = [ctypes.c_char_p, ctypes.c_uint]
    library.aiGetErrorString.restype = ctypes.c_char_p
    library.aiExportSceneToBlob.restype = ctypes.POINTER(_Blob)
    library.aiExportSceneToBlob.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint]
    scene = library.aiImportFile(os.fsencode(file), 0)
    blob = library.aiExportSceneToBlob(scene, b"assjson", 0) if scene else None
    if not blob:
        sys.stdout.buffer.write(library.aiGetErrorString() or b"no reason given")
        return REFUSED
    sys.stdout.buffer.write(ctypes.string_at(blob.contents.data, blob.contents.size))
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    # What Assimp holds goes with the process.
    os._exit(code)
