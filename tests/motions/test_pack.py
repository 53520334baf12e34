"""A set of motions in one memory-mapped file."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic.cli import run
from mimic.envs.motion_library import load_library
from mimic_base.errors import InputError
from mimic_base.frame_fields import FRAME_FIELDS
from motions import RobotMotion
from motions.robot.curation.difficulty import difficulty_of, used
from motions.robot.curation.measures import Measures
from motions.robot.curation.settings import Thresholds
from motions.robot.dataset import MotionFile, find_motion_files, read_manifest
from motions.robot.motion import content_hash
from motions.robot.objects import ObjectTracks
from motions.robot.pack import CLIPS, CONTACT, FRAMES, MotionPack, PackedClip
from motions.robot.packing import split_of, write_pack
from robots import Robot


def clip(tiny: Robot, seed: int, frames: int = 30, fps: float = 50.0, **more: Any) -> RobotMotion:
    rng = np.random.default_rng(seed)
    joints = tiny.default_joint_pos + 0.05 * rng.normal(size=(frames, tiny.num_joints)).cumsum(0)
    root = np.tile([0.0, 0.0, tiny.default_root_height], (frames, 1))
    root[:, 0] = 0.01 * np.arange(frames)
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    return RobotMotion.from_coordinates(
        tiny, root, upright, joints, fps=fps, name=f"clip{seed}", **more
    )


@pytest.fixture
def folder(tiny: Robot, tmp_path: Path) -> Path:
    """Three clips, two of them of one name, one at another rate."""
    for number, (place, fps) in enumerate((("walk/a", 50.0), ("run/a", 25.0), ("run/b", 50.0))):
        path = tmp_path / "set" / f"{place}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        clip(tiny, number, frames=20 + number, fps=fps, licence="CC0", source="made").save(path)
    return tmp_path / "set"


@pytest.fixture
def pack(folder: Path, tiny: Robot, tmp_path: Path) -> MotionPack:
    write_pack(find_motion_files([folder]), tmp_path / "set.pack", tiny)
    return MotionPack.open(tmp_path / "set.pack")


def test_clips_come_back_as_they_went_in(folder: Path, pack: MotionPack, tiny: Robot) -> None:
    assert [entry.name for entry in pack.entries] == ["run/a", "run/b", "walk/a"]
    assert pack.fps == 50 and pack.body_names == tuple(tiny.key_bodies)
    for packed, file in zip(pack.clips, find_motion_files([folder]), strict=True):
        own = file.load().with_body_order(tiny.key_bodies).resample(50.0)
        found = packed.load()
        assert found.licence == "CC0" and found.source == "made" and found.robot == "tiny"
        for name in (*FRAME_FIELDS, "contact"):
            np.testing.assert_array_equal(
                getattr(found, name), np.float32(getattr(own, name)).astype(float), err_msg=name
            )
        entry = pack.entries[packed.index]
        assert entry.hash == content_hash(file.load())
        assert entry.source_fps == file.load().fps
    pack.check()


def test_any_numpy_opens_it_and_frames_are_aligned(pack: MotionPack) -> None:
    with np.load(pack.path) as archive:
        np.testing.assert_array_equal(archive[FRAMES.removesuffix(".npy")], pack.frames)
    assert isinstance(pack.frames, np.memmap) and pack.frames.offset % 64 == 0
    pack.frames[0] = 7.0  # a private copy of the page: the file stays
    assert MotionPack.open(pack.path).frames[0, 0] != 7.0


def test_objects_of_some_clips(tiny: Robot, tmp_path: Path) -> None:
    def tracks(name: str, frames: int, height: float) -> ObjectTracks:
        pos = np.zeros((frames, 1, 3)) + [0, 0, height]
        pos[:, 0, 0] = np.linspace(0, 1, frames)
        return ObjectTracks(
            names=(name,), pos_w=pos, quat_w=np.tile([[1.0, 0, 0, 0]], (frames, 1, 1))
        )

    motions = [
        clip(tiny, 0, 20, objects=tracks("box", 20, 0.5)),
        clip(tiny, 1, 25),
        clip(tiny, 2, 30, objects=tracks("ball", 30, 0.1)),
    ]
    for motion in motions:
        motion.save(tmp_path / f"{motion.name}.npz")
    write_pack(find_motion_files([tmp_path]), tmp_path / "o.pack", tiny)
    pack = MotionPack.open(tmp_path / "o.pack")
    assert pack.object_names == ("box", "ball")
    for index, motion in enumerate(motions):
        found = pack.motion(index)
        assert found.object_names == motion.object_names
        np.testing.assert_allclose(found.object_pos_w, motion.object_pos_w, atol=1e-6)


def test_splits_by_content_do_not_depend_on_place_and_name(tiny: Robot, tmp_path: Path) -> None:
    shares = {"validation": 0.2, "test": 0.1}
    dealt = [split_of(f"{number:016x}", shares) for number in range(4000)]
    assert abs(dealt.count("validation") / 4000 - 0.2) < 0.03
    assert abs(dealt.count("test") / 4000 - 0.1) < 0.03
    assert dealt == [split_of(f"{number:016x}", shares) for number in range(4000)]
    assert dealt != [split_of(f"{number:016x}", shares, "other") for number in range(4000)]
    # More held out takes clips from training alone.
    more = [split_of(f"{number:016x}", {"validation": 0.2, "test": 0.3}) for number in range(4000)]
    assert all(
        after == before for before, after in zip(dealt, more, strict=True) if before != "train"
    )


def test_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = str(Path(__file__).parents[1] / "robots" / "tiny.toml")
    manifest = tmp_path / "m" / "set.jsonl"
    manifest.parent.mkdir()
    assert run(["motions", "split", str(folder), "--out", str(manifest), "--test", "0.5"]) == 0
    splits = {file.name: file.split for file in read_manifest(manifest)}
    assert set(splits) == {"run/a", "run/b", "walk/a"}
    out = tmp_path / "set.pack"
    assert run(["motions", "pack", str(manifest), "--robot", toml, "--out", str(out)]) == 0
    assert run(["motions", "info", str(out), "--verify"]) == 0
    text = capsys.readouterr().out
    assert "3 clips" in text and "licence CC0: 3 clips" in text and "robot tiny" in text
    pack = MotionPack.open(out)
    assert {entry.name: entry.split for entry in pack.entries} == splits
    for split in set(splits.values()):
        chosen = find_motion_files([f"{out}:{split}"])
        assert [c.name for c in chosen] == [n for n in sorted(splits) if splits[n] == split]
    with pytest.raises(InputError, match="no clip of this split"):
        find_motion_files([f"{out}:absent"])


def test_a_set_says_how_hard_its_clips_are(
    folder: Path, tiny: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = str(Path(__file__).parents[1] / "robots" / "tiny.toml")
    manifest, out = tmp_path / "set.jsonl", tmp_path / "set.pack"
    wanted = ["motions", "split", str(folder), "--out", str(manifest), "--difficulty"]
    assert run([*wanted, "--robot", toml]) == 0
    files = read_manifest(manifest)
    hard = [file.difficulty for file in files]
    assert hard == [pytest.approx(difficulty_of(file.load(), tiny), abs=1e-4) for file in files]
    assert all(each is not None and each >= 0.0 for each in hard)
    write_pack(files, out, tiny)
    assert [entry.difficulty for entry in MotionPack.open(out).entries] == hard
    for found in (files, find_motion_files([out])):
        library = load_library(found, tiny, 50.0)
        assert library.known_difficulty().tolist() == pytest.approx(hard)
    # One clip that does not say so, and the set does not.
    assert load_library([*files, clip(tiny, 9)], tiny, 50.0).difficulty is None
    with pytest.raises(InputError, match="difficulty must be a number"):
        manifest.write_text('{"file": "set/walk/a.npz", "difficulty": -1}')
        read_manifest(manifest)


def test_what_uses_more_of_a_limit_is_harder() -> None:
    rest = Measures(
        contact_score=1.0, root_jerk=0.0, base_height_min=1.0, base_height_max=1.0,
        support_distance=0.0, penetration=0.0, penetration_rate=0.0, limit_excess=0.0,
        fast_rate=0.0,
    )  # fmt: skip
    limits = Thresholds()
    assert used(rest, limits) == 0.0
    for name, value, expected in (
        ("root_jerk", 40.0, 0.5), ("support_distance", 0.06, 1.0), ("contact_score", 0.8, 0.5),
        ("base_height_min", 0.45, 1.0), ("fast_rate", 0.02, 2.0), ("penetration", 1.0, 0.0),
    ):  # fmt: skip
        assert used(replace(rest, **{name: value}), limits) == pytest.approx(expected)


def test_shards_hold_every_clip_once_and_are_even(tiny: Robot, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        clip(tiny, number, frames=int(rng.integers(5, 60))).save(tmp_path / f"{number:02d}.npz")
    write_pack(find_motion_files([tmp_path]), tmp_path / "s.pack", tiny)
    pack = MotionPack.open(tmp_path / "s.pack")
    shards = [pack.shard(rank, 3) for rank in range(3)]
    assert sorted(c.index for shard in shards for c in shard) == list(range(20))
    frames = [sum(pack.entries[c.index].frames for c in shard) for shard in shards]
    assert max(frames) - min(frames) <= 60


# -- refusals --------------------------------------------------------------------------------------


def test_a_bad_clip_is_named_and_nothing_is_left(folder: Path, tiny: Robot, tmp_path: Path) -> None:
    with np.load(folder / "run" / "b.npz") as archive:
        arrays = dict(archive)
    arrays["joint_pos"] = arrays["joint_pos"].copy()
    arrays["joint_pos"][3, 1] = np.nan
    np.savez(folder / "run" / "b.npz", **arrays)
    files = find_motion_files([folder])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"run/b\.npz.*joint_pos"):
        write_pack(files, tmp_path / "set.pack", tiny)
    assert sorted(tmp_path.iterdir()) == before
    packed = write_pack(files, tmp_path / "set.pack", tiny, skip_unfit=True)
    assert packed.clips == 2 and len(packed.skipped) == 1 and "run/b.npz" in packed.skipped[0]
    assert [e.name for e in MotionPack.open(tmp_path / "set.pack").entries] == ["run/a", "walk/a"]


def test_another_robots_motion_is_refused(folder: Path, g1: Robot, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tiny"):
        write_pack(find_motion_files([folder]), tmp_path / "set.pack", g1)
    with pytest.raises(InputError, match="written as .pack"):
        write_pack(find_motion_files([folder]), tmp_path / "set.npz", g1)


def _rewritten(pack: Path, change: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(pack) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(pack, "w", how) as archive:
        for name, content in {**members, **change}.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ({"frames": 10**9}, "not what its clips say"),
        ({"frames": 1}, "two or more"),
        ({"frames": True}, "two or more"),
        ({"weight": -1}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"source_fps": 0}, "source_fps"),
        ({"tags": "walk"}, "tags must be texts"),
        ({"name": None}, "name must be text"),
        ({"objects": ["box"]}, "an object"),
        ({"other": 1}, "other keys"),
    ],
)
def test_a_forged_table_of_clips_is_one_line(pack: MotionPack, line: dict, text: str) -> None:
    with zipfile.ZipFile(pack.path) as archive:
        lines = archive.read(CLIPS).decode().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **line})
    _rewritten(pack.path, {CLIPS: "\n".join(lines).encode()})
    with pytest.raises(InputError, match=text) as caught:
        MotionPack.open(pack.path)
    assert "\n" not in str(caught.value) and str(pack.path) in str(caught.value)


def test_damaged_packs_are_one_line(pack: MotionPack) -> None:
    whole = pack.path.read_bytes()
    compressed = pack.path.with_name("deflated.pack")
    compressed.write_bytes(whole)
    _rewritten(compressed, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed"):
        MotionPack.open(compressed)
    rng = np.random.default_rng(0)
    for number in range(60):
        data = bytearray(whole)
        if number % 3 == 0:
            data = data[: rng.integers(len(data))]
        else:
            for _ in range(4):
                # Where the headers are: the table and the directory at the end.
                place = rng.integers(400) if number % 3 == 1 else len(data) - 1 - rng.integers(400)
                data[place] = rng.integers(256)
        path = pack.path.with_name("damaged.pack")
        path.write_bytes(bytes(data))
        try:
            MotionPack.open(path).check()
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("head", [b"{'''escr'", b"{(escr\\ '", b"{'descr\xff"])
def test_a_forged_head_of_an_array_is_one_line(pack: MotionPack, head: bytes) -> None:
    with zipfile.ZipFile(pack.path) as archive:
        content = archive.read(CONTACT)
    _rewritten(pack.path, {CONTACT: content.replace(b"{'descr'", head, 1)})
    with pytest.raises(InputError, match=r"contact.npy is no NumPy array .*found a head"):
        MotionPack.open(pack.path)


def test_a_clip_of_a_pack_is_a_motion_file(pack: MotionPack) -> None:
    found = find_motion_files([pack.path])
    assert all(isinstance(each, PackedClip) for each in found)
    assert str(found[0]) == f"{pack.path}: run/a"
    assert isinstance(replace(found[0], weight=2.0), MotionFile)
