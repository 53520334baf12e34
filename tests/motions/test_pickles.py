"""Foreign pickles and PyTorch archives: numbers come out, nothing else runs."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.pickle_data import is_torch_archive, load_pickle, load_torch
from motions import InputError, read_human_motion

PATH = Path("clip.pkl")


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/should_not_exist",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_containers_and_arrays_come_back(protocol: int) -> None:
    content = OrderedDict(
        a=np.arange(6.0).reshape(2, 3), b=[np.float32(1.5), "text", (1, None)], c={"d": b"xy"}
    )
    found = load_pickle(PATH, pickle.dumps(content, protocol=protocol))
    np.testing.assert_array_equal(found["a"], content["a"])
    assert found["b"] == [1.5, "text", (1, None)] and found["c"] == {"d": b"xy"}


def test_nothing_else_is_run(tmp_path: Path) -> None:
    data = pickle.dumps({"pose": _Evil()})
    with pytest.raises(InputError, match=r"more than numbers .*\(found posix.system\)"):
        load_pickle(PATH, data)
    path = tmp_path / "clip.pkl"
    path.write_bytes(data)
    with pytest.raises(InputError, match="numpy.savez"):
        read_human_motion(path, fps=30)
    for harmless in (Path("x"), np.random.default_rng(0), range(3)):
        with pytest.raises(InputError, match="more than numbers"):
            load_pickle(PATH, pickle.dumps(harmless))


def test_broken_pickles() -> None:
    data = pickle.dumps({"a": np.arange(1000)})
    for cut in (3, 50, len(data) - 20):
        with pytest.raises(InputError, match="truncated"):
            load_pickle(PATH, data[:cut])


def test_texts_of_no_characters_are_refused() -> None:
    for content in (np.array(["walk"]), np.array("walk")[()]):
        data = pickle.dumps({"name": content}, protocol=2)
        letters = "walk".encode("utf-32-le")
        forged = pickle.dumps({"name": content}, protocol=4).replace(letters, b"walk" * 4)
        assert load_pickle(PATH, data)["name"] == content and b"walkwalk" in forged
        with pytest.raises(InputError, match="character number"):
            load_pickle(PATH, forged)


def test_a_pickle_without_a_motion(tmp_path: Path) -> None:
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(InputError, match="no human motion is recognised .*found list"):
        read_human_motion(path)
    path.write_bytes(pickle.dumps({"note": "hello"}))
    with pytest.raises(InputError, match="no human motion is recognised"):
        read_human_motion(path)
    path.write_bytes(pickle.dumps({"dof_pos": np.zeros((3, 29)), "root_pos": np.zeros((3, 3))}))
    with pytest.raises(InputError, match="motion of a robot"):
        read_human_motion(path)


class _Wrapper:
    """Stands for joblib's class of the same role when the test writes a file."""

    def __init__(self, array: Any) -> None:
        self.shape, self.order, self.dtype = array.shape, "C", array.dtype
        self.numpy_array_alignment_bytes = 16


def test_arrays_between_the_opcodes_as_joblib_writes_them() -> None:
    """joblib pickles a note of the array, then its raw bytes after a padding, then goes on."""
    _Wrapper.__module__, _Wrapper.__qualname__ = "joblib.numpy_pickle", "NumpyArrayWrapper"

    class Writer(pickle._Pickler):  # pyright: ignore
        def save(self, obj: Any, save_persistent_id: bool = True) -> None:
            if isinstance(obj, np.ndarray):
                self.save_wrapper(obj)
                return
            super().save(obj)  # pyright: ignore

        def save_global(self, obj: Any, name: str | None = None) -> None:
            module, name = obj.__module__, name or obj.__qualname__
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)  # pyright: ignore

        def save_wrapper(self, array: Any) -> None:
            super().save(_Wrapper(array))  # pyright: ignore
            self.framer.commit_frame(force=True)  # pyright: ignore
            padding = 16 - (stream.tell() + 1) % 16
            stream.write(bytes([padding]) + b"\xff" * padding + array.tobytes())

    stream = io.BytesIO()
    first, second = np.arange(6.0).reshape(2, 3), np.arange(4, dtype=np.int64)
    Writer(stream, protocol=4).dump({1: {"pose_world": first, "trans_world": second}})
    found = load_pickle(PATH, stream.getvalue())
    np.testing.assert_array_equal(found[1]["pose_world"], first)
    np.testing.assert_array_equal(found[1]["trans_world"], second)


def test_torch_archives_are_read_without_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "clip.pt"
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    content = {
        "whole": whole,
        "turned": whole.T[1:3],
        "long": torch.tensor([1, 2]),
        "empty": torch.zeros(0, 3),
        "nested": [{"half": torch.ones(2, dtype=torch.float16)}],
    }
    torch.save(content, path)
    data = path.read_bytes()
    assert is_torch_archive(data)
    found = load_torch(path, data)
    np.testing.assert_array_equal(found["whole"], whole.numpy())
    np.testing.assert_array_equal(found["turned"], whole.T[1:3].numpy())
    assert found["long"].tolist() == [1, 2] and found["empty"].shape == (0, 3)
    assert found["nested"][0]["half"].dtype == np.float16
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(InputError, match="more than numbers"):
        read_human_motion(path)
    path.write_bytes(data[:-40])
    with pytest.raises(InputError, match="truncated"):
        read_human_motion(path)


def test_a_tensor_may_not_reach_beyond_its_storage(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "clip.pt"
    torch.save({"a": torch.arange(100.0)}, path)
    with zipfile.ZipFile(path) as archive:
        content = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data[:8] if name.endswith("data/0") else data)
    with pytest.raises(InputError, match="beyond its data"):
        load_torch(path, path.read_bytes())
