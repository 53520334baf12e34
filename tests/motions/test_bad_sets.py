"""Large sets with one thing wrong: each is one clear line, and nothing is written by halves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic.cli import run
from mimic.envs.motion_library import load_library
from mimic_base.errors import InputError, UserError
from motions.robot.dataset import find_motion_files
from motions.robot.pack import MotionPack
from robots import Robot
from tests.motions.test_pack import clip

CLIPS = int(os.environ.get("MIMIC_LARGE_SET", "200"))
"""``MIMIC_LARGE_SET=10000`` for a set of the size that people have."""
BAD = CLIPS * 4711 // 10_000


@pytest.fixture
def many(tiny: Robot, tmp_path: Path) -> Path:
    """So many clips: links to one file."""
    folder = tmp_path / "many"
    folder.mkdir()
    first = tmp_path / "one.npz"
    clip(tiny, 1, frames=10).save(first)
    for number in range(CLIPS):
        os.link(first, folder / f"clip_{number:05d}.npz")
    return folder


def put_nan(path: Path) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["joint_pos"] = arrays["joint_pos"].copy()
    arrays["joint_pos"][3, 1] = np.nan
    path.unlink()  # the others are the same file
    np.savez(path, **arrays)


def told(words: list[str]) -> str:
    """The one line that a command ends with; the program prints it and exits with 2."""
    with pytest.raises((UserError, OSError)) as refused:
        run(words)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def pack(source: Path, tmp_path: Path, *more: str) -> list[str]:
    return ["motions", "pack", str(source), "--out", str(tmp_path / "set.pack"), "--robot",
            str(Path(__file__).resolve().parents[1] / "robots" / "tiny.toml"), *more]  # fmt: skip


def left_over(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in tmp_path.iterdir() if p.name not in ("many", "one.npz"))


def test_a_number_that_is_none_in_one_clip_of_many(
    many: Path, tiny: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"clip_{BAD:05d}.npz"
    put_nan(many / name)
    error = told(pack(many, tmp_path))
    assert name in error and "joint_pos" in error and left_over(tmp_path) == []
    with pytest.raises(InputError, match=rf"{name}.*joint_pos") as refused:
        load_library(find_motion_files([many]), tiny, 50.0, "cpu")
    assert "\n" not in str(refused.value)
    # Left out where that is asked for: the others are packed, and it is told.
    assert run(pack(many, tmp_path, "--skip-unfit")) == 2
    said = capsys.readouterr().out
    assert said.count("left out: ") == 1 and name in said
    assert MotionPack.open(tmp_path / "set.pack").num_clips == CLIPS - 1


def test_a_missing_file(many: Path, tmp_path: Path) -> None:
    manifest = many / "set.jsonl"
    names = [f"clip_{number:05d}.npz" for number in range(CLIPS)]
    manifest.write_text("".join(json.dumps({"file": name}) + "\n" for name in names))
    (many / names[BAD]).unlink()
    error = told(pack(manifest, tmp_path))
    assert names[BAD] in error and left_over(tmp_path) == []


def test_a_clip_of_another_robot(many: Path, tiny: Robot, tmp_path: Path) -> None:
    name = f"clip_{BAD:05d}.npz"
    (many / name).unlink()
    replace(clip(tiny, 2, frames=10), robot="other").save(many / name)
    error = told(pack(many, tmp_path))
    assert name in error and "'other'" in error and "'tiny'" in error
    assert left_over(tmp_path) == []
    with pytest.raises(InputError, match=f"{name}.*'other'"):
        load_library(find_motion_files([many]), tiny, 50.0, "cpu")


def test_mixed_rates_become_one(tiny: Robot, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for fps in (25.0, 30.0, 50.0, 120.0):
        clip(tiny, int(fps), frames=round(2 * fps) + 1, fps=fps).save(folder / f"{fps:g}.npz")
    assert run(pack(folder, tmp_path)) == 0
    packed = MotionPack.open(tmp_path / "set.pack")
    assert packed.fps == 50.0 and {e.source_fps for e in packed.entries} == {25, 30, 50, 120}
    # Two seconds each.
    assert [entry.frames for entry in packed.entries] == [101] * 4


def test_a_full_disk(many: Path, tmp_path: Path, most_bytes: Callable[[int], None]) -> None:
    most_bytes(4096)
    try:
        error = told(pack(many, tmp_path))
    finally:
        # Whoever runs the tests writes files too.
        most_bytes(-1)
    assert "set.pack" in error and left_over(tmp_path) == []
