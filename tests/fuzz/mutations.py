"""Ways in which a file is damaged or forged, each drawn from a numbered random generator.

Bytes are changed anywhere; texts at their words and numbers; archives member by member and in the
headers of their arrays; JSON in its tree. A mutation gives bytes for bytes and knows no format.
"""

from __future__ import annotations

import io
import json
import random
import re
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

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


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three mutations that suit the content."""
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
    out = io.BytesIO()
    how = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of doubled names
        with zipfile.ZipFile(out, "w", how) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return out.getvalue()


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
