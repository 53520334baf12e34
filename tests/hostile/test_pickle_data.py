"""Forged pickles, joblib and PyTorch archives: one line each; real ones bit for bit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import pickle
import random
import struct
import time
import zipfile
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.limits import lifted
from mimic_base.pickle_data import is_torch_archive, load_pickle, load_torch

PATH = Path("clip.pkl")
PROTOCOLS = range(6)


def same(found: Any, expected: Any) -> bool:
    """Equal, with the same types of numbers and the same bits of arrays."""
    if isinstance(expected, np.ndarray):
        return (
            isinstance(found, np.ndarray)
            and found.dtype == expected.dtype
            and found.shape == expected.shape
            and (
                same(found.tolist(), expected.tolist())
                if expected.dtype.hasobject
                else found.tobytes() == expected.tobytes()
            )
        )
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and list(found) == list(expected)
            and all(same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list | tuple):
        return (
            type(found) is type(expected)
            and len(found) == len(expected)
            and all(map(same, found, expected))
        )
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(found, float) and math.isnan(found)
    return type(found) is type(expected) and bool(found == expected)


CONTENT: dict[Any, Any] = {
    "c order": np.arange(24.0).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big endian": np.arange(5, dtype=">f8"),
    "small": np.arange(6, dtype="<i2").reshape(3, 2),
    "flags": np.array([True, False]),
    "half": np.ones(3, np.float16),
    "complex": np.array([1 + 2j]),
    "none": np.zeros((0, 3)),
    "point": np.array(2.5),
    "names": np.array(["hip", "knee é"]),
    "letters": np.array([b"ab", b"c"]),
    "objects": np.array(["hip", None, {"a": [1, 2]}], dtype=object),
    "scalars": [np.float32(1.5), np.float64("nan"), np.int64(-3), np.bool_(True), np.str_("x")],
    "numbers": [0, 1, -1, 255, 256, 65536, -(2**31), 2**40, -(2**63), 2**64 - 1],
    "floats": [0.0, -1.5, math.inf, math.nan, 1e-300] * 100,
    "rows": [[float(i + j) for j in range(7)] for i in range(50)],
    "mixed": [1.0, "a", 2.0, 3.0, None, 4.0],
    "text": "läuft \u4e2d " * 50,
    "bytes": b"\x00\xff" * 200,
    "empty": [(), [], {}, "", b"", (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "truth": [True, False, None],
    7: {"a": {1: {2.5: "deep"}}},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_come_back_bit_for_bit(protocol: int) -> None:
    assert same(load_pickle(PATH, pickle.dumps(CONTENT, protocol=protocol)), CONTENT)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_of_other_kinds_become_plain_ones(protocol: int) -> None:
    rows = defaultdict(dict, {"a": {1: 2}})
    content = {
        "ordered": OrderedDict(b=1, a=2), "default": rows, "set": {1, "a"},
        "frozen": frozenset([1, 2]), "array of bytes": bytearray(b"xy"),
    }  # fmt: skip
    found = load_pickle(PATH, pickle.dumps(content, protocol=protocol))
    assert found["ordered"] == {"b": 1, "a": 2} and type(found["ordered"]) is dict
    assert found["default"] == {"a": {1: 2}}
    assert found["set"] == {1, "a"} and found["frozen"] == frozenset([1, 2])
    assert found["array of bytes"] == b"xy"


def test_names_of_numpy_before_2_are_known() -> None:
    data = pickle.dumps({"a": np.arange(3.0), "b": np.float64(2)}, protocol=2)
    old = data.replace(b"numpy._core.", b"numpy.core.")
    assert old != data
    assert same(load_pickle(PATH, old), {"a": np.arange(3.0), "b": np.float64(2)})


def test_what_python_2_wrote_is_read() -> None:
    """Its texts are bytes; arrays travel as such a text."""
    values = np.arange(3, dtype="<f8")
    raw = values.tobytes()
    data = (
        b"\x80\x02}U\x05transcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        b"U\x01b\x87R(K\x01K\x03\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(raw)) + raw
        + b"tbs."
    )  # fmt: skip
    assert same(load_pickle(PATH, data), {"trans": values})


@pytest.mark.corpus
def test_real_clips_come_back_bit_for_bit(corpus: Path) -> None:
    """As Python's own pickle and NumPy's own reader have them."""
    from motions.human.readers.numeric import load_keys
    from motions.robot.formats.detect import read_content

    files = sorted(p for p in corpus.rglob("*") if p.suffix in (".pkl", ".npz", ".npy", ".pt"))
    assert files
    for path in files:
        if path.suffix == ".pkl":
            expected = pickle.loads(path.read_bytes(), encoding="latin1")
            assert same(_plain_keys(load_pickle(path, path.read_bytes())), _plain_keys(expected))
        else:
            loaded = np.load(path, allow_pickle=True)
            expected = dict(loaded) if path.suffix == ".npz" else {"the array": loaded}
            assert same(dict(load_keys(path)), expected), path
            if path.suffix == ".npz":
                assert same(read_content(path), expected), path


def _plain_keys(value: Any) -> Any:
    """Keys that are numbers of numpy as Python's: the same key of a dictionary."""
    if isinstance(value, dict):
        return {k.item() if isinstance(k, np.generic) else k: _plain_keys(v) for k, v in
                value.items()}  # fmt: skip
    return value


# -- joblib ---------------------------------------------------------------------------------------


def _compressions() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "zlib": zlib.compress, "gzip": gzip.compress, "bz2": bz2.compress,
        "xz": lzma.compress, "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    }  # fmt: skip


@pytest.mark.parametrize("method", sorted(_compressions()))
def test_compressed_pickles_are_read(method: str) -> None:
    data = _compressions()[method](pickle.dumps(CONTENT))
    assert same(load_pickle(PATH, data), CONTENT)
    for cut in (len(data) // 2, len(data) - 12):
        with pytest.raises(InputError, match="truncated"):
            load_pickle(PATH, data[:cut])


@pytest.mark.parametrize("method", sorted(_compressions()))
def test_a_compressed_bomb_is_refused(method: str) -> None:
    bomb = _compressions()[method](b"\x80\x04B" + struct.pack("<I", 300 << 20) + bytes(300 << 20))
    with pytest.raises(InputError, match="above the limit 'ratio'.*--limit ratio="):
        load_pickle(PATH, bomb)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_joblib_archives_come_back(compress: Any, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    path = tmp_path / "clip.pkl"
    joblib.dump(CONTENT, path, compress=compress)
    assert same(load_pickle(path, path.read_bytes()), CONTENT)


# -- PyTorch --------------------------------------------------------------------------------------


def test_torch_archives_come_back(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "clip.pt"
    base = torch.arange(24.0).reshape(4, 6)
    content = {
        "whole": base, "turned": base.T, "cut": base[1:3, ::2], "point": torch.tensor(3),
        "wide": torch.ones(1, 3).expand(5, 3), "none": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]), "brain": torch.tensor([1.5, -2.0]).bfloat16(),
        "half": torch.ones(2).half(), "bytes": torch.tensor([1, 2], dtype=torch.uint8),
        "parameter": torch.nn.Parameter(torch.ones(2)), "size": torch.Size([1, 2]),
    }  # fmt: skip
    torch.save({**content, "state": torch.nn.Linear(2, 3).state_dict()}, path)
    data = path.read_bytes()
    assert is_torch_archive(data)
    found = load_torch(path, data)
    for name, value in content.items():
        if name == "size":
            assert found[name] == (1, 2)
            continue
        tensor = value.detach()
        wanted = (tensor.float() if name == "brain" else tensor).numpy()
        assert same(np.ascontiguousarray(found[name]), np.ascontiguousarray(wanted)), name
    assert sorted(found["state"]) == ["bias", "weight"]


def _torch_archive(pickled: bytes, storage: bytes = bytes(64), **options: Any) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        archive.writestr("clip/data.pkl", pickled)
        archive.writestr("clip/data/0", storage)
    return stream.getvalue()


def _tensor(size: bytes, stride: bytes, offset: bytes = b"K\x00") -> bytes:
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
        b"FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x10tQ"
        + offset + size + stride + b"\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip


@pytest.mark.parametrize(
    "size, stride, told",
    [
        (b"K\x05\x85", b"K\x04\x85", "beyond its data"),
        (b"(J\x00\x00\x00\x7ft", b"K\x00\x85", "above the limit"),  # 2^31 times one number
        (b"K\x02\x85", b"J\xff\xff\xff\xff\x85", "no whole number"),
        (b"K\x02\x85", b")", "other strides"),
        (b"\x8a\x09" + bytes(8) + b"\x01\x85", b"K\x00\x85", "bits"),
        (b"N", b"N", "no short tuple"),
    ],
)
def test_a_forged_tensor_is_refused(size: bytes, stride: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        load_torch(PATH, _torch_archive(_tensor(size, stride)))
    found = load_torch(PATH, _torch_archive(_tensor(b"K\x04K\x04\x86", b"K\x04K\x01\x86")))
    assert found.shape == (4, 4)


# -- forged ---------------------------------------------------------------------------------------

_STATE = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
_F8 = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNN" + _STATE + b"b"


def _clip(value: bytes) -> bytes:
    return b"\x80\x02}U\x05trans" + value + b"s."


def _nested(levels: int) -> bytes:
    return _clip(b"N" + b"\x85" * levels)


def _bomb(levels: int) -> bytes:
    """Lists of two references to the list before: 2^levels numbers."""
    rows = b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in
                    range(levels))  # fmt: skip
    return b"\x80\x02]G\x3f\xf0\x00\x00\x00\x00\x00\x00aq\x00" + rows + b"."


FORGED: dict[str, tuple[bytes, str]] = {
    "an object dtype without its flags": (
        _clip(b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|"
              b"NNN" + _STATE + b"bU\x08BBBBBB\x00\x00tR"), "plain numbers"),
    "a subarray dtype": (
        _clip(b"cnumpy.core.numeric\n_frombuffer\n(C\x10" + bytes(16) + b"cnumpy\ndtype\nU\x02f8"
              b"K\x00K\x01\x87R(K\x03U\x01|" + _F8 + b"J\x20\x67\x00\x00\x85\x86NN" + _STATE
              + b"bK\x02\x85U\x01CtR"), "structured dtype"),
    "raw memory": (_clip(b"cnumpy\ndtype\nU\x02V8K\x00K\x01\x87R"), "arrays of 'V8'"),
    "more numbers than bytes": (
        _clip(b"cnumpy.core.numeric\n_frombuffer\n(C\x10" + bytes(16) + _F8
              + b"J\x00\x00\x00\x7f\x85U\x01CtR"), "bytes has 16"),
    "texts of a gigabyte each": (_clip(b"cnumpy\ndtype\nU\x0aU999999999K\x00K\x01\x87R"),
                                 "arrays of|breaks off|announced"),
    "a list of lists of lists": (_bomb(30), "above the limit '(items|ratio|bytes)'"),
    "deep lists": (b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", "limit 'depth'"),
    "a deep tuple": (_nested(200_000), "limit 'depth'"),
    "a deep tuple as a key": (b"\x80\x02}N" + b"\x85" * 200_000 + b"Ns.", "a tuple as a key"),
    "a deep tuple in a set": (b"\x80\x04\x8f(N" + b"\x85" * 200_000 + b"\x90.", "a tuple as a key"),
    "a list that holds itself": (b"\x80\x02]q\x00h\x00a.", "contains itself"),
    "an unknown codec": (_clip(b"c_codecs\nencode\nX\x01\x00\x00\x00aU\x06nosuch\x86R"),
                         "the encoding 'nosuch'"),
    "a call of a text": (_clip(b"U\x01a)R"), "a call of str"),
    "a state for a function": (_clip(b"c_codecs\nencode\n}b"), "a state for Name"),
    "a bare class": (_clip(b"cnumpy\nndarray\n"), "a Name in the place of a value"),
    "an array without its state": (
        _clip(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"),
        "in the place of a value"),
    "an array inside itself": (
        _clip(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Rq\x00"
              b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R\x89]h\x00atb"),
        "an array inside itself"),
    "a huge number": (_clip(b"\x8b" + struct.pack("<i", 1 << 20) + bytes(1 << 20)), "64 bits"),
    "a number of many digits": (_clip(b"L" + b"9" * 5000 + b"L\n"), "5000 digits"),
    "another file": (b"\x80\x02U\x01aQ.", "a reference to another file"),
    "a class": (b"\x80\x02(ios\nsystem\n.", "os.system"),
    "an extension": (b"\x80\x02\x82\x01.", "an extension code"),
    "a buffer outside": (b"\x80\x05\x97.", "a buffer outside the file"),
    "an empty stack": (b"\x80\x020R.", "truncated"),
    "only a start": (b"\x80\x04", "truncated"),
    "an absurd frame": (b"\x80\x04\x95" + b"\xff" * 8 + b"N.", "truncated"),
    "an absurd text": (b"\x80\x04\x8d" + b"\xff" * 8 + b".", "limit 'text'"),
    "an absurd memo": (b"\x80\x04Nj\xff\xff\xff\xff.", "truncated"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_pickle_is_one_line(name: str) -> None:
    data, told = FORGED[name]
    began = time.process_time()
    with pytest.raises(InputError, match=told) as error:
        load_pickle(PATH, data)
    assert len(str(error.value)) < 500
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", ["an object dtype without its flags", "a subarray dtype",
                                  "a list of lists of lists", "a deep tuple as a key"])  # fmt: skip
def test_both_programs_survive_what_crashed_them(
    name: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    path = tmp_path / "clip.pkl"
    path.write_bytes(FORGED[name][0])
    for words in (("retarget", path, "--robot", "unitree_g1", "--out", tmp_path / "out"),
                  ("motions", "info", path)):  # fmt: skip
        assert str(path) in refused("mimic.cli", *words)


def test_encoded_texts_are_not_multiplied() -> None:
    """A text from the memo, made into bytes again and again."""
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x00"
    again = b"c_codecs\nencode\nq\x01" + text + b"0h\x00\x85R" + b"h\x01h\x00\x85R0" * 200_000
    with pytest.raises(InputError, match="above the limit '(ratio|bytes)'"):
        load_pickle(PATH, b"\x80\x02" + again + b".")


def test_limits_can_be_lifted() -> None:
    deep: Any = None
    for _ in range(150):
        deep = [deep]
    data = pickle.dumps(deep)
    with pytest.raises(InputError, match="--limit depth=VALUE lifts it"):
        load_pickle(PATH, data)
    with lifted(depth=200):
        assert same(load_pickle(PATH, data), deep)
    with lifted(items=100), pytest.raises(InputError, match="limit 'items'"):
        load_pickle(PATH, pickle.dumps([1.0] * 200))


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_damaged_pickles_are_one_line_each(protocol: int) -> None:
    """Bytes changed, cut out and put in at random: data or one line, nothing else."""
    rng = random.Random(protocol)
    whole = pickle.dumps(CONTENT, protocol=protocol)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(data))
            action = rng.randrange(4)
            if action == 0:
                data[at] = rng.randrange(256)
            elif action == 1:
                del data[at : at + rng.randrange(1, 40)]
            elif action == 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 12))
            else:
                data[at:at] = data[rng.randrange(len(data)) :][: rng.randrange(1, 200)]
            if not data:
                break
        try:
            load_pickle(PATH, bytes(data))
        except InputError as error:
            assert len(str(error)) < 700
