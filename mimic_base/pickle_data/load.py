"""Pickles and PyTorch archives as plain data: the functions that readers call."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mimic_base.archives import ZIP_MAGIC, read_members
from mimic_base.errors import InputError, input_error
from mimic_base.pickle_data.arrays import NAMES
from mimic_base.pickle_data.check import check
from mimic_base.pickle_data.compressed import uncompressed
from mimic_base.pickle_data.machine import Machine, Refused
from mimic_base.pickle_data.torch_archive import TORCH_NAMES, Storages

T = TypeVar("T")

_FIX = "save the arrays with numpy.savez, or the dictionary with pickle and numpy arrays only"
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of `torch.save` began before PyTorch 1.6."""


def load_pickle(path: Path, data: bytes, *, at: int = 0) -> Any:
    """The plain data of a pickle, also of one that joblib wrote (compressed or not).

    Args:
        path: the file, for errors. data: its content. at: where the pickle begins in it.

    Raises `InputError` where it is damaged, holds too much, or asks for anything but plain data.
    """

    def load() -> Any:
        content = uncompressed(path, data) if at == 0 else data
        machine = Machine(path, content, NAMES, at=at, size=len(data))
        found = machine.run()
        check(path, found, len(data))
        return found

    if data.startswith(_OLD_TORCH, at):
        raise input_error(
            path,
            "this is a file of a PyTorch before 1.6, which is not read",
            fix="load it in PyTorch and save it again with torch.save or numpy.savez",
        )
    return _told(path, load)


def is_torch_archive(data: bytes) -> bool:
    """Whether a zip archive is one of `torch.save`."""
    # PyTorch writes it first; who packs an archive again has it in the contents at the end.
    near = (data[: 1 << 12], data[-(1 << 16) :])
    return data.startswith(ZIP_MAGIC) and any(b"/data.pkl" in part for part in near)


def load_torch(path: Path, data: bytes) -> Any:
    """The plain data of a `torch.save` archive, its tensors as arrays; PyTorch is not needed."""

    def load() -> Any:
        members = read_members(path, data, what="PyTorch archive")
        main = next((name for name in members if name.endswith("/data.pkl")), None)
        if main is None:
            raise ValueError("there is no data.pkl in the archive")
        storages = Storages(members, main.removesuffix("data.pkl"))
        machine = Machine(
            path, members[main], {**NAMES, **TORCH_NAMES}, storage=storages, size=len(data)
        )
        found = machine.run()
        check(path, found, len(data))
        return found

    return _told(path, load)


def _told(path: Path, load: Callable[[], T]) -> T:
    """Run `load`; what goes wrong in it becomes one line."""
    try:
        return load()
    except InputError:
        raise
    except Refused as error:
        raise input_error(
            path,
            "the pickle is refused: it asks for more than numbers and plain containers, and "
            "loading that could run anything",
            found=error,
            fix=_FIX,
        ) from error
    except (
        ValueError, TypeError, LookupError, AttributeError, OverflowError, EOFError, struct.error,
        MemoryError, RecursionError, ArithmeticError, OSError,
    ) as error:  # fmt: skip
        raise _broken(path, error) from error
    except Exception as error:
        # The unpackers have errors of their own (zlib.error, lzma.LZMAError).
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputError:
    return input_error(
        path,
        "not a readable pickle (is it truncated?)",
        found=str(error)[:200] or type(error).__name__,
        fix="export or download the clip again",
    )
