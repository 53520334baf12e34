"""A ground that follows the feet of captures that hover, sink or drift."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic.cli import run
from motions import HumanMotion, RobotMotion, read_human_motion
from motions.human import demo
from motions.human.writers.bvh import write_bvh
from retarget.feet.follow import following, ground_below


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> HumanMotion:
    return read_human_motion(demo.write("walk", tmp_path_factory.mktemp("w") / "walk.bvh"))


def raised(clip: HumanMotion, height: np.ndarray) -> HumanMotion:
    pos = clip.pos_w.copy()
    pos[..., 2] += height[:, None]
    return replace(clip, pos_w=pos)


@pytest.mark.parametrize("kind", ["hover", "sink", "drift"])
def test_the_ground_is_found_again(walk: HumanMotion, kind: str) -> None:
    time = np.arange(walk.num_frames) / walk.fps
    ramp = np.clip((time - 1.0) / 0.5, 0.0, 1.0)
    height = {"hover": 0.2 * ramp, "sink": -0.3 * ramp, "drift": 0.04 * time}[kind]
    found = ground_below(raised(walk, height)) - ground_below(walk)
    assert np.abs(found - height).max() < 0.06
    still = following(raised(walk, height))
    low = still.pos_w[..., 2].min(axis=1)
    assert np.abs(low).max() < 0.06
    assert any("the ground follows the feet" in w for w in still.report["warnings"])


def test_jumps_keep_their_height(walk: HumanMotion) -> None:
    time = np.arange(walk.num_frames) / walk.fps
    at = time % 1.5
    flight = np.maximum(0.0, 3.0 * at - 4.905 * at**2)
    ground = ground_below(raised(walk, flight))
    assert np.ptp(ground) < 0.08 < 0.4 < flight.max()


def test_the_robot_walks_on_the_ground(
    walk: HumanMotion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    time = np.arange(walk.num_frames) / walk.fps
    clip = raised(walk, 0.2 * np.clip((time - 0.5) / 0.3, 0.0, 1.0)).crop(0, 150)
    file = tmp_path / "hover.bvh"
    write_bvh(clip, file)
    floats = {}
    for ground in ("fixed", "follow"):
        out = tmp_path / f"{ground}.npz"
        assert run(["retarget", str(file), "--out", str(out), "--ground", ground]) == 0
        floats[ground] = RobotMotion.load(out).quality["foot"]["float_rate"]
    assert floats["fixed"] > 0.5 and floats["follow"] < 0.05
    told = " ".join(capsys.readouterr().out.split())
    assert "no foot stands for" in told and "no foot near the ground" in told
