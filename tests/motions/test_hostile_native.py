"""C3D and FBX files on which the libraries hang, crash or fill the memory: one line each."""

from __future__ import annotations

import shutil
import struct
import sys
import time
from pathlib import Path

import pytest

from mimic_base import child
from mimic_base.limits import lifted
from motions import InputError, native, read_human_motion
from motions.human.readers import assimp

LINUX = sys.platform == "linux"


def group(number: int, name: bytes) -> bytes:
    return struct.pack("<bb", len(name), -number) + name + struct.pack("<h", 3) + b"\0"


def parameter(number: int, name: bytes, kind: int, sizes: list[int], data: bytes) -> bytes:
    body = struct.pack("<bB", kind, len(sizes)) + bytes(sizes) + data + b"\0"
    head = struct.pack("<bb", len(name), number) + name
    return head + struct.pack("<h", len(body) + 2) + body


def c3d(frames: int = 12, markers: int = 30) -> bytes:
    """A C3D file's header and parameters, without data: 30 markers, 12 frames at 100 a second."""
    labels = b"".join(b"M%02d " % k for k in range(markers % 100))
    parameters = [
        group(1, b"POINT"),
        parameter(1, b"USED", 2, [], struct.pack("<H", markers)),
        parameter(1, b"LABELS", -1, [4, markers % 100], labels),
        parameter(1, b"SCALE", 4, [], struct.pack("<f", -1.0)),
        parameter(1, b"UNITS", -1, [2], b"mm"),
        parameter(1, b"RATE", 4, [], struct.pack("<f", 100.0)),
        parameter(1, b"DATA_START", 2, [], struct.pack("<h", 4)),
        parameter(1, b"FRAMES", 2, [], struct.pack("<H", frames)),
        group(2, b"ANALOG"),
        parameter(2, b"USED", 2, [], struct.pack("<h", 0)),
        parameter(2, b"LABELS", -1, [0, 0], b""),
        parameter(2, b"FORMAT", -1, [0, 0], b""),
        parameter(2, b"BITS", 2, [0], b""),
    ]
    numbers = (2, 0x50, markers, 0, 1, frames, 10, -1.0, 4, 0, 100.0)
    header = struct.pack("<BBHHHHHfHHf", *numbers).ljust(512, b"\0")
    return header + struct.pack("<BBBB", 1, 0x50, 2, 84) + b"".join(parameters)


def refused(path: Path) -> str:
    with pytest.raises(InputError) as raised:
        read_human_motion(path)
    text = str(raised.value)
    assert text.startswith(str(path)) and "\n" not in text and len(text) < 800
    return text


@pytest.mark.skipif(not LINUX, reason="the processor's limit is Linux's")
def test_a_c3d_on_which_the_library_hangs(tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    path = tmp_path / "hang.c3d"
    path.write_bytes(c3d()[:-40])  # cut off within the parameters
    start = time.monotonic()
    with lifted(seconds=1):
        text = refused(path)
    assert "ezc3d" in text and "--limit seconds=VALUE" in text
    assert time.monotonic() - start < 20.0


@pytest.mark.parametrize("cut", [-2, -4, -16, -18, -30, -32, -100, -200, -300])
def test_a_c3d_that_is_cut_off_anywhere(tmp_path: Path, cut: int) -> None:
    pytest.importorskip("ezc3d")
    path = tmp_path / "cut.c3d"
    path.write_bytes(c3d()[:cut])
    with lifted(seconds=1):
        refused(path)


@pytest.mark.skipif(not LINUX, reason="memory is limited on Linux")
def test_a_c3d_that_declares_more_than_memory_holds(tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    path = tmp_path / "large.c3d"
    path.write_bytes(c3d(frames=65534, markers=65500))
    with lifted(memory=1 << 28, seconds=2):
        text = refused(path)
    assert "--limit" in text or "is truncated" in text or "not a readable C3D" in text


def test_a_crash_of_assimp_is_one_line(tmp_path: Path) -> None:
    if assimp.library() is None:
        pytest.skip("Assimp is not installed")
    path = tmp_path / "deep.fbx"
    path.write_text("; FBX 7.4.0 project file\nA: " + "{ A: " * 200_000 + "}" * 200_000)
    text = refused(path)
    assert "Assimp" in text


def test_a_library_cannot_reach_a_file_that_a_scene_names(tmp_path: Path) -> None:
    """What is read is the file and nothing beside it."""
    if assimp.library() is None:
        pytest.skip("Assimp is not installed")
    job = child.Job(
        target=native.FBX,
        arguments={"name": str(assimp.library()), "file": str(tmp_path / "other.obj")},
        about=tmp_path / "clip.fbx",
        what="Assimp",
        reads=[tmp_path / "clip.fbx"],
    )
    (tmp_path / "other.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    shutil.copy(tmp_path / "other.obj", tmp_path / "clip.fbx")
    found = child.call(job)
    if LINUX:
        assert "refused" in found and "json" not in found
