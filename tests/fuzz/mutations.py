"""Ways in which a file is damaged or forged, each drawn from a numbered random generator.

Bytes are changed anywhere; texts at their words and numbers; archives member by member and in the
headers of their arrays; JSON in its tree. A mutation gives bytes for bytes and knows no format.
Two inputs in five are changed mildly, such that many stay readable: a number that is a little
another, a row less, an array of another type, a name with another letter.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

NUMBERS = (
    "0", "-0", "-1", "1", "2", "3", "0.1", "12.5", "-3", "100", "nan", "NaN", "inf", "-inf",
    "Infinity", "1e308", "-1e308", "1e400", "1e-400", "1e7", "-1e6", "4294967295", "4294967296",
    "-2147483648", "9223372036854775807",
    "99999999999999999999999", "1.5", "0x10", "1_000", "1e", "--1", "", "null", "true", "٣",
)  # fmt: skip
WORDS = (
    "", "\x1b[2J", "\x00", "../../x", "/etc/passwd", "<script>alert(1)</script>", "a" * 5000,
    "\u202e",
    "CON", "{", "}", "[", "]", '"', "%s", "${x}", "\ud7ff", "\r", "世界",
)  # fmt: skip
_TOKEN = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*|[-+]?[0-9][0-9.eE+-]*")
_NUMBER = re.compile(rb"[-+]?[0-9][0-9.eE+-]*")


PICKLED: dict[bytes, tuple[Any, int]] = {}
"""Sound pickles with their content and protocol: only what is known is ever unpickled here."""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three mutations that suit the content."""
    if data in PICKLED and rng.random() < 0.5:
        tree, protocol = PICKLED[data]
        return pickle.dumps(_other(tree, rng), protocol)
    if rng.random() < 0.4:
        return mild(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = _one(data, rng)
    return data


def _one(data: bytes, rng: random.Random) -> bytes:
    kinds: list[Callable[[bytes, random.Random], bytes]] = [_bytes]
    if data[:4] == b"PK\x03\x04":
        kinds += [_archive] * 4
    elif data[:6] == b"\x93NUMPY":
        kinds += [_array] * 3
    elif b"\x00" not in data[:4096]:
        kinds += [_text] * 3
        if data.lstrip()[:1] in (b"{", b"["):
            kinds += [_json] * 3
    return rng.choice(kinds)(data, rng)


def mild(data: bytes, rng: random.Random) -> bytes:
    """Change content so little that it may well be sound still."""
    if data[:4] == b"PK\x03\x04":
        return _mild_archive(data, rng)
    if data[:6] == b"\x93NUMPY":
        return _mild_array(data, rng)
    if b"\x00" not in data[:4096]:
        return _mild_text(data, rng)
    return _mild_bytes(data, rng)


def _mild_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change the low bits of some bytes behind the headers."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 4, 32)) if len(data) > 8 else 0):
        at = rng.randrange(len(data) // 4, len(data))
        changed[at] ^= rng.choice((1, 2, 4))
    return bytes(changed)


def _mild_text(data: bytes, rng: random.Random) -> bytes:
    """Change some numbers a little, take a line out, or change a letter of a word."""
    found = list(_NUMBER.finditer(data))
    match rng.randrange(4):
        case 0 | 1 if found:
            out, end = [], 0
            places = sorted({rng.randrange(len(found)) for _ in range(rng.choice((1, 3, 20)))})
            for at in (found[place] for place in places):
                new = _near(at.group(), rng)
                out += [data[end : at.start()], new]
                end = at.end()
            return b"".join(out) + data[end:]
        case 2:
            lines = data.split(b"\n")
            del lines[rng.randrange(len(lines))]
            return b"\n".join(lines)
        case _:
            words = list(_TOKEN.finditer(data))
            if not words:
                return data
            at = rng.choice(words)
            return data[: at.start()] + at.group()[:-1] + b"x" + data[at.end() :]


def _near(number: bytes, rng: random.Random) -> bytes:
    """A number a little off, whole where it was."""
    try:
        if number.isdigit():
            return str(int(number) + rng.choice((-1, 1, 2))).encode()
        return repr(float(number) * rng.uniform(0.9, 1.1) + rng.choice((0.0, 0.01))).encode()
    except ValueError:
        return number


def _mild_array(data: bytes, rng: random.Random) -> bytes:
    """Change an array's numbers a little, its type, its order in memory, or drop its last row."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.kind not in "fiub":
        return _mild_bytes(data, rng) if rng.random() < 0.5 else data
    with np.errstate(all="ignore"):
        array = _like(array, rng)
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _like(array: np.ndarray, rng: random.Random) -> np.ndarray:
    match rng.randrange(6):
        case 0:
            return array.astype(rng.choice(("<f4", ">f8", "<f8", "<f2")))
        case 1:
            return array.astype(rng.choice(("<i4", "<i8", "<u1")))
        case 2 if array.ndim and len(array) > 1:
            return array[:-1]
        case 3:
            return np.asfortranarray(array)
        case 4 if array.dtype.kind == "f":
            array = np.array(array)
            flat = array.reshape(-1)
            for _ in range(min(flat.size, rng.choice((1, 5)))):
                flat[rng.randrange(flat.size)] *= rng.choice((0.0, 2.0, -1.0, 100.0))
            return array
        case _ if array.dtype.kind == "f":
            scale = np.array(rng.uniform(0.9, 1.1)).astype(array.dtype)
            return (array * scale + rng.choice((0.0, 0.01))).astype(array.dtype)
    return array


def _other(tree: Any, rng: random.Random) -> Any:
    """A tree of arrays and plain values with one of them changed."""
    if isinstance(tree, dict) and tree:
        key = rng.choice(list(tree))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in tree.items() if k != key}
            case 1:
                return {k if k != key else f"{k}x": v for k, v in tree.items()}
            case 2:
                return {**tree, "more": rng.choice((None, 1.0, [1, 2], np.zeros(3)))}
            case _:
                return {**tree, key: _other(tree[key], rng)}
    if isinstance(tree, list | tuple) and tree:
        return [*tree[:-1], _other(tree[-1], rng)]
    if isinstance(tree, np.ndarray) and rng.random() < 0.8:
        out = io.BytesIO()
        np.save(out, tree)
        return np.load(io.BytesIO(_mild_array(out.getvalue(), rng)))
    odd = (None, True, 0, -1.0, 2.5, 10**30, float("nan"), "", "x", b"x", [], {}, [[1.0]], {1, 2},
           np.float32(3.0), np.zeros((0, 3)), np.zeros((5, 24, 3)), np.full((16, 3), np.inf),
           np.array("text"))  # fmt: skip
    return rng.choice(odd)


def _mild_archive(data: bytes, rng: random.Random) -> bytes:
    """Change one member of an archive mildly, or the same rows of all; or name one otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
            how = archive.infolist()[0].compress_type
    except Exception:
        return _mild_bytes(data, rng)
    at = rng.randrange(len(members))
    name, content = members[at]
    match rng.randrange(6):
        case 0:
            length = rng.randrange(2, 12)
            members = [(each, _shortened(inside, length)) for each, inside in members]
        case 1 if name.endswith(".npy"):
            members[at] = (rng.choice(("extra", name[:-4] + "x", name[:-4].upper())) + ".npy",
                           content)  # fmt: skip
        case 2:
            members.append(("more.npy", members[0][1]))
        case _:
            members[at] = (name, mild(content, rng))
    return _zipped(members, how)


def _shortened(content: bytes, length: int) -> bytes:
    """An array with its first `length` rows, where it has more than a dozen."""
    if content[:6] != b"\x93NUMPY":
        return content
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:
        return content
    if not array.ndim or len(array) <= 12:
        return content
    out = io.BytesIO()
    np.save(out, array[:length])
    return out.getvalue()


def _zipped(members: list[tuple[str, bytes]], how: int) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of doubled names
        with zipfile.ZipFile(out, "w", how) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return out.getvalue()


def _bytes(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return rng.randbytes(rng.randrange(1, 64))
    at = rng.randrange(len(data))
    if rng.random() < 0.5:  # headers decide more than what follows them
        at = rng.randrange(min(len(data), 512))
    length = rng.choice((1, 1, 2, 4, 16, 256))
    match rng.randrange(9):
        case 0:
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 1:
            return data[:at] + rng.randbytes(length) + data[at + length :]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + data[at + length :]
        case 4:
            return data[:at] + rng.randbytes(length) + data[at:]
        case 5:
            return data[:at] + data[at : at + length] * rng.choice((2, 50)) + data[at + length :]
        case 6:
            value = rng.choice((0, 0xFF, 0x7F, 0x80))
            return data[:at] + bytes([value]) * length + data[at + length :]
        case 7:
            other = rng.randrange(len(data))
            return data[:at] + data[other : other + length] + data[at + length :]
        case _:
            number = rng.choice((0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 10**6, 65535))
            packed = (number % 2**32).to_bytes(4, rng.choice(("little", "big")))
            return data[:at] + packed + data[at + 4 :]


def _text(data: bytes, rng: random.Random) -> bytes:
    found = list((_NUMBER if rng.random() < 0.5 else _TOKEN).finditer(data))
    lines = data.split(b"\n")
    match rng.randrange(6):
        case 0 | 1 if found:
            at = rng.choice(found)
            words = NUMBERS if at.group()[:1].isdigit() or rng.random() < 0.4 else WORDS
            new = rng.choice(words).encode("utf-8", "surrogatepass")
            return data[: at.start()] + new + data[at.end() :]
        case 2 if found:
            first, second = rng.choice(found), rng.choice(found)
            return data[: first.start()] + second.group() + data[first.end() :]
        case 3:
            line = rng.randrange(len(lines))
            copies = rng.choice((0, 2, 3, 200))
            return b"\n".join(lines[:line] + [lines[line]] * copies + lines[line + 1 :])
        case 4:
            first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[first], lines[second] = lines[second], lines[first]
            return b"\n".join(lines)
        case _:
            end = rng.choice((b"\r\n", b"\r", b"\n\n", b" ", b"\t"))
            return data.replace(b"\n", end)


def _array(data: bytes, rng: random.Random) -> bytes:
    """Change what a NumPy array's header says of shape, type and order."""
    end = data.find(b"\n", 10)
    if end < 0:
        return _bytes(data, rng)
    header = data[10:end]
    kinds = (
        b"<f8",
        b">f4",
        b"<i8",
        b"|O",
        b"|V8",
        b"<U5",
        b"|S3",
        b"<c16",
        b"<M8[s]",
        b"<f2",
        b"|b1",
    )
    match rng.randrange(4):
        case 0:
            shape = rng.choice(
                (b"()", b"(0,)", b"(1000000000000, 3)", b"(-1, 3)", b"(2, 2, 2, 2)", b"(1,)" * 3,
                 b"(9999999,)", b"(True,)", b"(1.5, 2)")
            )  # fmt: skip
            header = re.sub(rb"\([^)]*\)", shape, header, count=1)
        case 1:
            header = re.sub(rb"'descr': '[^']*'", b"'descr': '" + rng.choice(kinds) + b"'", header)
        case 2:
            header = header.replace(b"False", b"True")
        case _:
            header = _bytes(header, rng)
    length = len(header) + 1
    if rng.random() < 0.8:
        return data[:8] + (length % 65536).to_bytes(2, "little") + header + data[end:]
    return data[:10] + header + data[end:]


def _archive(data: bytes, rng: random.Random) -> bytes:
    """Rewrite an archive with a member changed, absent, doubled, renamed or much larger."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError, EOFError):
        return _bytes(data, rng)
    except Exception:  # zlib's own error and whatever a forged header sets off
        return _bytes(data, rng)
    if not members:
        return _bytes(data, rng)
    at = rng.randrange(len(members))
    name, content = members[at]
    match rng.randrange(8):
        case 0 | 1 | 2:
            members[at] = (name, _one(content, rng))
        case 3:
            del members[at]
        case 4:
            members.insert(at, (name, content[: len(content) // 2]))
        case 5:
            suffix = ".npy" if name.endswith(".npy") else ""
            members[at] = (
                rng.choice(("../up", "/root", "a\\b", "con", "x" * 300, "\x1b[1m")) + suffix,
                content,
            )
        case 6:
            other = rng.randrange(len(members))
            members[at] = (name, members[other][1])
        case _:
            members[at] = (name, content + bytes(rng.choice((1, 1000, 3_000_000))))
    kept = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    return _zipped(members, kept)


def _json(data: bytes, rng: random.Random) -> bytes:
    """Change the tree of a JSON text, or of one of its lines."""
    lines = data.split(b"\n")
    at = 0
    try:
        tree = json.loads(data)
        whole = True
    except (ValueError, RecursionError):
        whole = False
        at = rng.randrange(len(lines))
        try:
            tree = json.loads(lines[at])
        except (ValueError, RecursionError):
            return _text(data, rng)
    tree = _changed(tree, rng)
    try:
        text = json.dumps(tree).encode()
    except (ValueError, RecursionError):
        return _text(data, rng)
    if rng.random() < 0.05:
        text = b"[" * 20_000 + text + b"]" * 20_000
    if whole:
        return text
    lines[at] = text
    return b"\n".join(lines)


def _changed(tree: Any, rng: random.Random) -> Any:
    odd = (
        None, True, False, 0, -1, 1e308, 10**30, 2**63, 0.5, float("nan"), float("inf"), "", "x",
        [], {}, [[]], [None], {"": {}}, "a" * 3000, [[[[[[]]]]]], ["a", 1], "\x1b[2J", "<b>", -0.0,
    )  # fmt: skip
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        key = rng.choice(list(tree))
        match rng.randrange(6):
            case 0:
                return {k: v for k, v in tree.items() if k != key}
            case 1:
                return {**tree, key: rng.choice(odd)}
            case 2:
                return {**tree, rng.choice(WORDS): rng.choice(odd)}
            case _:
                return {**tree, key: _changed(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        at = rng.randrange(len(tree))
        match rng.randrange(5):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return tree[:at] + [tree[at]] * rng.choice((2, 100)) + tree[at + 1 :]
            case _:
                return tree[:at] + [_changed(tree[at], rng)] + tree[at + 1 :]
    return rng.choice(odd)
