"""Pipes, devices, endless files and small archives that unpack to much, at the doors of sets."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic_base.archives import check_archive
from mimic_base.errors import InputError, RobotError
from mimic_base.limits import lifted
from mimic_base.pickle_data import load_pickle
from mimic_base.reading import opened, read_bounded
from motions.robot.dataset import read_header, read_manifest
from motions.robot.pack import ABOUT, CLIPS, MotionPack
from motions.robot.terrain_files import read_terrain
from retarget.batch import jobs
from retarget.batch.record import job_key
from tests.hostile.conftest import Refused


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe into which nobody writes: opening it waits for ever."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes in folders")
    os.mkfifo(tmp_path / "clip.npz")
    return tmp_path / "clip.npz"


def test_a_pipe_is_refused_before_it_is_opened(pipe: Path) -> None:
    with pytest.raises(InputError, match=r"no ordinary file \(found a pipe\)"):
        read_bounded(pipe)
    with pytest.raises(InputError, match="a pipe"), opened(pipe):
        pass
    with pytest.raises(InputError, match="a pipe"):
        read_manifest(pipe)
    with pytest.raises(InputError, match="a pipe"):
        jobs.read_manifest(pipe)
    with pytest.raises(InputError, match="a pipe"):
        job_key(jobs.Job(pipe, "clip"), "")
    with pytest.raises(InputError, match="a pipe"):
        check_archive(pipe)
    assert read_header(pipe) is None


@pytest.mark.parametrize("words", [
    ("retarget", "clip.npz", "--robot", "unitree_g1", "--out", "none"),
    ("retarget", "--manifest", "clip.npz", "--robot", "unitree_g1", "--out", "none"),
    ("motions", "info", "clip.npz"),
    ("motions", "check", "clip.npz"),
])  # fmt: skip
def test_commands_refuse_a_pipe(
    refused: Refused, pipe: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pipe.parent)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    assert "clip.npz: it is no ordinary file (found a pipe)" in refused("mimic.cli", *words)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no such device")
def test_an_endless_device_is_refused_unread() -> None:
    for read in (read_bounded, read_manifest, jobs.read_manifest):
        with pytest.raises(InputError, match="a device"):
            read(Path("/dev/zero"))


def test_a_file_that_grows_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1001))
    with lifted(bytes=1000), pytest.raises(InputError, match="'bytes' .found 1001"):
        read_bounded(tmp_path / "a")


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _motion(path: Path, **members: bytes) -> Path:
    """The members of a motion file that its header is read from, some of them replaced."""
    usual = {"joint_pos": _npy(np.zeros((5, 2), np.float32)), "fps": _npy(np.array(50.0))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**usual, **members}.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_the_header_of_a_motion_is_read_within_limits(tmp_path: Path) -> None:
    whole = read_header(_motion(tmp_path / "a.npz"))
    assert whole is not None and (whole.frames, whole.fps) == (5, 50.0)
    bomb = _npy(np.zeros(80 << 20, np.uint8))
    assert read_header(_motion(tmp_path / "b.npz", fps=bomb)) is None
    assert read_header(_motion(tmp_path / "c.npz", scene=bomb)) is None
    deep = b"\x93NUMPY\x01\x00\x10'" + b"(" * 10_000
    assert read_header(_motion(tmp_path / "d.npz", fps=deep)) is None
    many = _npy(np.zeros((1, 2), np.float32)).replace(b"(1, 2), }      ", b"(10000000, 2), }")
    assert read_header(_motion(tmp_path / "e.npz", joint_pos=many)) is None
    assert read_header(_motion(tmp_path / "f.npz", fps=_npy(np.array(np.nan)))) is None


@pytest.mark.parametrize("member", [ABOUT, CLIPS])
def test_a_pack_whose_texts_unpack_to_much_is_refused(tmp_path: Path, member: str) -> None:
    about = {"schema": "humanoid-mimic/motion-pack/1"}
    contents = {ABOUT: json.dumps(about).encode(), CLIPS: b"{}", member: b" " * (80 << 20)}
    path = tmp_path / "set.pack"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="'ratio'"):
        MotionPack.open(path)


def test_what_stands_before_an_archive_is_not_read_by_another_reader(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
    (tmp_path / "b.pt").write_bytes(b"\x80\x02N." + (tmp_path / "a.pt").read_bytes())
    check_archive(tmp_path / "a.pt")
    with pytest.raises(InputError, match="does not begin as an archive"):
        check_archive(tmp_path / "b.pt")


def test_a_second_mark_inside_the_end_of_an_archive_hides_nothing(tmp_path: Path) -> None:
    import struct

    entries = 200_000 * 46
    at = struct.unpack("<I", b"PK\x05\x06")[0]
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, entries, at, 0)
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(entries) + end)
    with pytest.raises(InputError, match="'members'"):
        check_archive(tmp_path / "a.zip")


def test_links_that_lead_round_in_a_circle_are_told(refused: Refused, tmp_path: Path) -> None:
    for name in ("a.npz", "a.xml"):
        os.symlink(tmp_path / name, tmp_path / name)
    for words in (
        ("motions", "convert", tmp_path / "a.npz", "--out", tmp_path / "none"),
        ("robots", "add", tmp_path / "a.xml"),
    ):
        assert str(tmp_path / "a.") in refused("mimic.cli", *words)


@pytest.mark.parametrize("opcode", [b"]", b"}", b"\x8f", b"\x85", b"(l", b"(d", b"(\x91"])
def test_a_pickle_of_a_million_empty_containers_is_refused(tmp_path: Path, opcode: bytes) -> None:
    content = b"\x80\x04(N" + opcode * 2_000_000 + b"l."
    if len(opcode) > 1 and opcode != b"(\x91":  # two bytes each: not fifty times the file
        with lifted(ratio=20), pytest.raises(InputError, match="'ratio'"):
            load_pickle(tmp_path / "a.pkl", content)
    else:
        with pytest.raises(InputError, match="'ratio'"):
            load_pickle(tmp_path / "a.pkl", content)


@pytest.mark.parametrize("file", ['"a\\u0000b.xml"', "5", "[]"])
def test_a_description_whose_model_is_no_path_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / "a.toml").write_text(f"[model]\nfile = {file}\n")
    with pytest.raises(RobotError, match="a.toml"):
        robots.load(str(tmp_path / "a.toml"))


def test_a_ground_of_a_billion_steps_is_refused() -> None:
    with pytest.raises(InputError, match="'elements'"):
        read_terrain("steps:0.1,0.3,1000000000")


@pytest.mark.parametrize(
    "words", ["size=1e6x1e6", "size=1e300x1e300", "spacing=1e-300", "bump=1e-9"]
)
def test_a_rough_ground_of_a_billion_points_is_refused(words: str) -> None:
    with pytest.raises(InputError, match="'cells'"):
        read_terrain(f"rough:{words}")
