"""Whole files or none; one line and exit code 2 for a user's mistake."""

from __future__ import annotations

import errno
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.command_line import exit_on_user_error
from mimic_base.errors import RobotError, input_error
from mimic_base.files import (
    atomic_path,
    atomic_write_text,
    check_folder_writable,
    check_writable,
    is_temporary,
    save_npz,
)
from mimic_base.numpy_files import load_npz
from motions import InputError


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_no_reader_takes_a_temporary_file_for_a_result(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "clip.mp4") as temporary:
        assert temporary.name.startswith(".clip.mp4.") and temporary.suffix == ".part"
        assert temporary.parent == tmp_path / "new" and is_temporary(temporary.name)
        temporary.write_text("x")
    assert (tmp_path / "new" / "clip.mp4").read_text() == "x"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "the directory is not writable"),
        (errno.ENOSPC, "the disk is full"),
    ],
)
def test_places_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(InputError, match=f"a.txt: cannot write: {says}"):
        atomic_write_text(tmp_path / "a.txt", "x")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="not writable"):
        atomic_write_text(tmp_path / "a.txt", "x")


def test_a_file_where_a_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(InputError, match="a part of the path is a file"):
        atomic_write_text(tmp_path / "f" / "a.txt", "x")
    with pytest.raises(InputError, match="the path is a directory"):
        atomic_write_text(tmp_path, "x")


def test_a_folder_is_tried_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder_writable(tmp_path / "new" / "folder")
    check_writable(tmp_path / "new" / "file.txt")
    assert list(tmp_path.rglob("*")) == []
    (tmp_path / "f").touch()
    with pytest.raises(InputError, match=r"f: cannot write: a part of the path is a file"):
        check_folder_writable(tmp_path / "f")
    with pytest.raises(InputError, match=r"sub: cannot write: a part of the path is a file"):
        check_folder_writable(tmp_path / "f" / "sub")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match="the file system is read-only"):
        check_folder_writable(tmp_path)


def test_no_pickles_are_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Python objects"):
        save_npz(tmp_path / "a.npz", a=np.array([{}], dtype=object))


def test_errors_are_one_line() -> None:
    error = input_error("a.bvh", "too\nshort", found=1, expected=2, fix="record more")
    assert str(error) == "a.bvh: too short (found 1, expected 2); record more"


def _code(main: object, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as caught:
        exit_on_user_error(main)  # pyright: ignore[reportArgumentType]
    return caught.value.code, capsys.readouterr().err


def _raising(error: BaseException) -> object:
    def main() -> None:
        raise error

    return main


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code(lambda: None, capsys) == (0, "")
    assert _code(lambda: 3, capsys) == (3, "")
    assert _code(_raising(InputError("a: bad")), capsys) == (2, "error: a: bad\n")
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "b.npz")
    assert _code(_raising(missing), capsys) == (2, "error: b.npz: No such file or directory\n")
    assert _code(_raising(KeyboardInterrupt()), capsys)[0] == 130
    with pytest.raises(ZeroDivisionError):
        exit_on_user_error(_raising(ZeroDivisionError()))  # pyright: ignore[reportArgumentType]


def test_errors_of_other_packages_count_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code(_raising(RobotError("no such robot")), capsys) == (2, "error: no such robot\n")


def test_arrays_are_compressed_where_it_pays(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(40_000, 3)).astype(np.float32)
    arrays = {"noise": noise, "flat": np.zeros((9000, 4)), "text": np.array("a" * 500), "no": []}
    save_npz(tmp_path / "a.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    assert entries["noise.npy"].compress_type == zipfile.ZIP_STORED
    assert entries["flat.npy"].compress_size < 0.01 * entries["flat.npy"].file_size
    with np.load(tmp_path / "a.npz") as read:
        assert set(read.files) == set(arrays)
        for name, value in arrays.items():
            np.testing.assert_array_equal(read[name], value)
    first = (tmp_path / "a.npz").read_bytes()
    save_npz(tmp_path / "a.npz", **arrays)
    assert (tmp_path / "a.npz").read_bytes() == first, "the same arrays give the same file"


def test_archives_are_read_by_many_threads_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # numpy parses an array's header as Python. CPython 3.11 loses count where another thread
    # parses at the same time, which it does when garbage is collected in between: headers are
    # read without that parser.
    arrays = {f"a{i}": np.full((2, i + 1), i, np.float32) for i in range(5)}
    save_npz(tmp_path / "many.npz", **arrays)

    def parser(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("numpy's own reader is used")

    monkeypatch.setattr(np.lib.format, "read_array", parser)
    monkeypatch.setattr(np.lib.format, "safe_eval", parser, raising=False)
    monkeypatch.setattr("ast.literal_eval", parser)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: load_npz(tmp_path / "many.npz"), range(8)):
            assert found.keys() == arrays.keys()
            assert all(np.array_equal(found[name], value) for name, value in arrays.items())
