"""Scenes as JSON through Assimp (BSD-3-Clause): four functions of its C interface."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any


class _String(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("data", ctypes.c_char * 1024)]


class _Blob(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", _String),
        ("next", ctypes.c_void_p),
    ]


@cache
def _opened(name: str) -> Any:
    library = ctypes.CDLL(name)
    library.aiImportFile.restype = ctypes.c_void_p
    library.aiImportFile.argtypes = [ctypes.c_char_p, ctypes.c_uint]
    library.aiGetErrorString.restype = ctypes.c_char_p
    library.aiExportSceneToBlob.restype = ctypes.POINTER(_Blob)
    library.aiExportSceneToBlob.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint]
    return library


def prepare(name: str, file: str) -> None:
    """Open the library; `file` is not touched."""
    del file
    _opened(name)


def read(name: str, file: str) -> dict[str, Any]:
    """``json``, the scene of a file; or ``refused``, the library's reason, where it has none.

    Args:
        name: file of the library. file: the scene, of any format that it knows.
    """
    library = _opened(name)
    scene = library.aiImportFile(os.fsencode(file), 0)
    blob = library.aiExportSceneToBlob(scene, b"assjson", 0) if scene else None
    if not blob:
        reason = library.aiGetErrorString() or b"no reason given"
        return {"refused": reason.decode("utf-8", "replace")}
    return {"json": ctypes.string_at(blob.contents.data, blob.contents.size)}
