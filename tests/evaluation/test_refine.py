"""References as the robot does them: what physics allows, with its contacts, and what failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic.benchmark.motion import squat
from mimic.commands.refine import Refine
from mimic.evaluation.refine import refine, write_refined
from mimic_base.errors import InputError, MimicError
from motions import RobotMotion
from robots import Robot
from robots.kinematics import forward_kinematics


@pytest.fixture(scope="module")
def clips(g1: Robot, short: RobotMotion) -> list[RobotMotion]:
    """One that is tracked to its end, and one that the reference's own targets fall in."""
    long = replace(squat(g1, seconds=4.0), name="long")
    return [replace(short, source="a clip", licence="free"), long]


def found(policy: Any, clips: Sequence[RobotMotion], **options: Any) -> dict[str, Any]:
    options = {"task": "tracking", "robot": "unitree_g1", "threads": 1, **options}
    return {each.name: each for each in refine(policy, clips, **options)}


def test_what_the_robot_did_is_a_motion_of_its_own(
    follow: Any, g1: Robot, clips: list[RobotMotion]
) -> None:
    refined = found(follow, clips[:1])["squat"]
    motion, original = refined.motion, clips[0]
    assert refined.success and refined.failure == "" and refined.failed_at_s is None
    assert motion is not None and motion.num_frames == original.num_frames == refined.frames
    assert motion.fps == pytest.approx(50.0) and motion.robot == "unitree_g1"
    assert (motion.source, motion.licence) == ("a clip", "free")
    # It begins where the clip does, then goes where physics takes it.
    np.testing.assert_allclose(motion.joint_pos[0], original.joint_pos[0], atol=1e-5)
    assert np.abs(motion.joint_pos - original.joint_pos).max() > 1e-3
    off = np.linalg.norm(motion.root_pos - original.root_pos, axis=-1)
    assert 1e-4 < off.max() < 0.1
    assert refined.errors["key_body_mm"] < 40
    # Bodies are those of its own joints; both feet bear the robot.
    pos, _ = forward_kinematics(g1, motion.root_pos, motion.root_quat, motion.joint_pos)
    np.testing.assert_allclose(pos, motion.body_pos_w, atol=1e-5)
    assert motion.contact.shape == (18, 2) and motion.contact[5:].min() > 0.9
    assert motion.quality["refined"]["success"] is True


def test_a_clip_that_fails_is_left_out_cut_or_kept(follow: Any, clips: list[RobotMotion]) -> None:
    left_out = found(follow, clips)
    assert left_out["squat"].success and left_out["squat"].motion is not None
    failed = left_out["long"]
    assert not failed.success and failed.failure in ("root_height", "root_tilt")
    assert failed.motion is None and 0.6 < failed.failed_at_s < 4.0
    cut = found(follow, clips, failed="cut")["long"]
    assert cut.failed_at_s == pytest.approx(failed.failed_at_s)
    assert cut.frames == round((cut.failed_at_s - 0.2) * 50)
    kept = found(follow, clips[1:], failed="keep", max_envs=1)["long"]
    assert kept.frames == clips[1].num_frames
    # Alone or beside others, in one round or in several, it is the same.
    np.testing.assert_allclose(kept.motion.joint_pos[: cut.frames], cut.motion.joint_pos, atol=1e-6)
    assert kept.motion.quality["refined"]["failure"] == failed.failure


def test_files_and_their_names(follow: Any, clips: list[RobotMotion], tmp_path: Path) -> None:
    twice = [clips[0], replace(clips[0], name="a/b: c"), replace(clips[1], name="long")]
    options: dict[str, Any] = {"task": "tracking", "robot": "unitree_g1", "threads": 1}
    written = write_refined(refine(follow, twice, **options), tmp_path / "out")
    files = {each.name: each.file for each in written}
    assert files == {"squat": "squat.npz", "a/b: c": "a_b__c.npz", "long": ""}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_b__c.npz", "squat.npz"]
    assert RobotMotion.load(tmp_path / "out" / "squat.npz").num_frames == 18
    assert all(each.motion is None for each in written)


def test_the_command_writes_motions_and_a_report(
    clips: list[RobotMotion], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = Path(__file__).parents[2] / "mimic" / "assets" / "policy_g1_demo.onnx"
    clips[0].save(tmp_path / "in" / "squat.npz")
    out = tmp_path / "out"
    command = Refine(policy=policy, motion=(tmp_path / "in",), out=out, threads=1, device="cpu")
    assert command.run() == 0
    assert "1 of 1 clips to their end" in capsys.readouterr().out
    report = json.loads((out / "refined.json").read_text())
    assert report["clips"][0]["success"] is True and report["clips"][0]["frames"] == 18
    assert RobotMotion.load(out / "squat.npz").contact.min() >= 0.0


def test_mistakes_are_one_line_and_leave_nothing(tmp_path: Path, clips: list[RobotMotion]) -> None:
    out = tmp_path / "out"
    policy = Path(__file__).parents[2] / "mimic" / "assets" / "policy_g1_demo.onnx"
    with pytest.raises(MimicError, match="no motion given; name files or folders with --motion"):
        Refine(policy=policy, out=out).run()
    with pytest.raises(MimicError, match="does not exist"):
        Refine(policy=tmp_path / "absent.onnx", motion=(tmp_path,), out=out).run()
    with pytest.raises(InputError, match="holds no .npz file"):
        Refine(policy=policy, motion=(tmp_path,), out=out).run()
    (tmp_path / "file").write_text("")
    clips[0].save(tmp_path / "in" / "squat.npz")
    with pytest.raises((InputError, OSError)):
        Refine(policy=policy, motion=(tmp_path / "in",), out=tmp_path / "file").run()
    assert not out.exists()
