"""The metrics agree with the benchmark's independent judge on every number both report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import robots
from motions import HumanMotion
from motions.robot.quality.metrics import measure

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path(os.environ.get("MIMIC_BENCH", ROOT.parent / "shared" / "bench"))
JUDGE = BENCH / "retarget_metrics.py"
LAFAN_ROLES = {
    "pelvis": "Hips", "spine": "Spine", "chest": "Spine2", "neck": "Neck", "head": "Head",
    **{
        f"{side}_{role}": f"{prefix}{name}"
        for side, prefix in (("left", "Left"), ("right", "Right"))
        for role, name in (
            ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand"), ("hip", "UpLeg"),
            ("knee", "Leg"), ("ankle", "Foot"), ("toe", "Toe"),
        )
    },
}  # fmt: skip

needs_judge = pytest.mark.skipif(
    not JUDGE.exists(), reason=f"the benchmark's judge is absent: {JUDGE} (set MIMIC_BENCH)"
)


def _clip(tmp_path: Path, frames: int = 120) -> tuple[dict[str, np.ndarray], HumanMotion]:
    """A made-up motion that penetrates, skates, floats, jumps and collides; and its source."""
    rng = np.random.default_rng(7)
    robot = robots.load("unitree_g1")
    t = np.arange(frames) / 30.0
    waves = 0.4 * np.sin(2 * np.pi * (0.4 + rng.random(robot.num_joints)) * t[:, None])
    q = np.clip(robot.default_joint_pos + waves, robot.joint_lower, robot.joint_upper)
    q[60:, 3] += 0.7
    q[70:80, 15:19] = robot.joint_lower[15:19]
    root = np.stack([0.5 * t, 0.1 * np.sin(t), 0.757 + 0.03 * np.sin(5 * t)], axis=1)
    turn = np.stack([np.cos(0.1 * t), 0 * t, 0.1 * np.sin(t), np.sin(0.1 * t)], axis=1)
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    names = tuple(LAFAN_ROLES.values())
    human = HumanMotion(
        name="made up",
        fps=30.0,
        joint_names=names,
        parents=(-1, *[0] * (len(names) - 1)),
        pos_w=rng.normal(size=(frames, len(names), 3)),
        quat_w=None,
        roles={role: names.index(name) for role, name in LAFAN_ROLES.items()},
    )
    contact = np.stack([np.sin(3 * t) > 0, np.sin(3 * t) < 0.3], axis=1)
    np.savez(
        tmp_path / "motion.npz",
        root_pos=root, root_rot=turn, dof_pos=q, fps=30, joint_names=np.array(robot.joint_names),
    )  # fmt: skip
    np.savez(
        tmp_path / "source.npz",
        joint_names=np.array(names), pos=human.pos_w, fps=30, contact=contact,
    )  # fmt: skip
    limits = dict(zip(robot.joint_names, robot.velocity_limit.tolist(), strict=True))
    (tmp_path / "limits.json").write_text(json.dumps(limits))
    return {"root": root, "turn": turn, "q": q, "contact": contact}, human


def _assert_equal(ours: dict, judged: dict, where: str = "") -> int:
    compared = 0
    for key, value in ours.items():
        name = f"{where}/{key}"
        assert key in judged, f"{name} is not among the judge's figures"
        if isinstance(value, dict):
            if key == "top_pairs":
                assert set(value.values()) <= set(judged[key].values()) or value == judged[key]
            else:
                compared += _assert_equal(value, judged[key], name)
        elif isinstance(value, str) or value is None:
            assert value == judged[key], name
            compared += 1
        else:
            assert value == pytest.approx(judged[key], rel=1e-6, abs=1e-6), name
            compared += 1
    return compared


@needs_judge
def test_every_figure_agrees_with_the_judge(tmp_path: Path) -> None:
    robot = robots.load("unitree_g1")
    clip, human = _clip(tmp_path)
    source = str(tmp_path / "source.npz")
    command = [
        sys.executable, str(JUDGE), "--motion", str(tmp_path / "motion.npz"),
        "--robot", str(robot.vendor_xml), "--contacts", source, "--source", source,
        "--vel-limits-json", str(tmp_path / "limits.json"),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    judged = json.loads(run.stdout)
    ours = measure(
        robot, 30.0, clip["root"], clip["turn"], clip["q"], source=human, contact=clip["contact"]
    )
    assert _assert_equal(ours, judged) > 50
    assert ours["self_collision"]["rate_deep"] > 0
    assert ours["jumps"]["count"] > 0
    assert ours["any_geom_ground_pen"]["max_m"] > 0.01


def test_a_still_stance_is_clean() -> None:
    robot = robots.load("unitree_g1")
    frames = 10
    root = np.tile([0.0, 0.0, robot.default_root_height], (frames, 1))
    turn = np.tile([1.0, 0, 0, 0], (frames, 1))
    q = np.tile(robot.default_joint_pos, (frames, 1))
    figures = measure(robot, 50.0, root, turn, q, contact=np.ones((frames, 2), bool))
    assert figures["foot"]["pen_max_m"] < 1e-3
    assert figures["source_contact"]["skate_mean_mps"] == 0.0
    assert figures["source_contact"]["float_rate_3cm"] == 0.0
    assert figures["velocity"]["max"] == 0.0
    assert figures["jumps"]["count"] == 0


def test_sources_of_another_length_are_refused() -> None:
    robot = robots.load("unitree_g1")
    turn = np.tile([1.0, 0, 0, 0], (3, 1))
    q = np.tile(robot.default_joint_pos, (3, 1))
    with pytest.raises(ValueError, match="3 frames"):
        measure(robot, 50.0, np.zeros((3, 3)), turn, q, contact=np.ones((4, 2), bool))
