"""Gears, mimic joints and closed loops: kept in simulation, met by retargeting, named by `add`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic.cli import run
from mimic_base.errors import RobotError
from motions import HumanMotion, read_human_motion
from motions.human import demo
from retarget.pipeline import retarget
from retarget.streaming import Skeleton, StreamingRetargeter
from retarget.streaming.skeleton import frames_of
from robots import Robot
from robots.constraints import CLOSED, couplings, satisfied
from robots.derive.add import add_robot
from tests.robots.stick_urdf import urdf
from tests.robots.toy_character import mjcf


def geared() -> str:
    """The robot of boxes; ankles' rolls follow hips' rolls, and forearms the upper arms."""
    text = urdf()
    for follower, leader, factor, offset in (
        ("15", "11", -1.0, 0.0), ("25", "21", -1.0, 0.0),
        ("33", "30", 0.5, -0.4), ("43", "40", 0.5, -0.4),
    ):  # fmt: skip
        head, tail = text.split(f'<joint name="j_part_{follower}"', 1)
        mimic = f'<mimic joint="j_part_{leader}" multiplier="{factor}" offset="{offset}"/></joint>'
        text = head + f'<joint name="j_part_{follower}"' + tail.replace("</joint>", mimic, 1)
    return text


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> HumanMotion:
    clip = read_human_motion(demo.write("walk", tmp_path_factory.mktemp("w") / "walk.bvh"))
    return clip.crop(0, 100)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Robot:
    folder = tmp_path_factory.mktemp("geared")
    (folder / "geared.urdf").write_text(geared())
    added = add_robot(folder / "geared.urdf", out=folder / "geared.toml")
    guess = added.derived.guesses()["constraints"]
    assert "'j_part_15' follows 'j_part_11'" in guess.reason and not added.derived.split()
    return added.robot


def misfit(robot: Robot, joint_pos: np.ndarray) -> float:
    index = {name: k for k, name in enumerate(robot.joint_names)}
    q = joint_pos.T
    ankles = [q[index[f"j_part_{s}5"]] + q[index[f"j_part_{s}1"]] for s in "12"]
    arms = [q[index[f"j_part_{s}3"]] + 0.4 - 0.5 * q[index[f"j_part_{s}0"]] for s in "34"]
    return float(np.abs([*ankles, *arms]).max())


def test_gears_are_met_everywhere(robot: Robot, walk: HumanMotion) -> None:
    assert robot.model.neq == 4 and len(couplings(robot.model)) == 4
    assert misfit(robot, robot.default_joint_pos[None]) < 2e-3
    motion = retarget(walk, robot)
    assert misfit(robot, motion.joint_pos) < CLOSED
    assert motion.quality["constraints"]["frame_rate"] == 0.0
    # The solver knew of them: what is left for the limbs is what the gears allow.
    assert motion.quality["fidelity"]["leg_deg"] < 3.0
    assert motion.quality["source_contact"]["float_rate_3cm"] < 0.05
    # Followers have hardly a motor: the gear moves them.
    effort = dict(zip(robot.joint_names, robot.effort_limit, strict=True))
    assert effort["j_part_15"] == 0.01 < effort["j_part_11"]


def test_a_stream_meets_gears(robot: Robot, walk: HumanMotion) -> None:
    stream = StreamingRetargeter(Skeleton.of(walk), robot, walk.fps)
    poses = [stream.step(frame) for frame in list(frames_of(walk))[:8]]
    assert misfit(robot, np.array([pose.joint_pos for pose in poses])) < CLOSED


def test_simulation_keeps_gears(robot: Robot) -> None:
    data = mujoco.MjData(robot.model)
    data.qpos[2] = 2.0
    data.qpos[3] = 1.0
    data.qpos[7:] = robot.default_joint_pos
    target = robot.default_joint_pos.copy()
    target[robot.joint_names.index("j_part_11")] += 0.2
    data.ctrl[:] = target
    for _ in range(100):
        mujoco.mj_step(robot.model, data)
    moved = data.qpos[7 + robot.joint_names.index("j_part_11")]
    assert abs(moved - 0.2) < 0.1 and misfit(robot, data.qpos[None, 7:]) < 0.05


LOOP = '<equality><connect name="rod" site1="rod_tip" site2="crank_pin"/></equality>'


def linked() -> str:
    """The character with a rod on the left thigh whose tip is pinned to the shin."""
    text = mjcf(LOOP)
    rod = (
        '<body name="rod" pos="0.06 0 -0.05"><joint name="rod_hinge" axis="0 -1 0" '
        'range="-170 170" armature="0.01"/><geom type="capsule" fromto="0 0 0 0 0 -.3" size=".01"/>'
        '<body name="rod_end" pos="0 0 -0.3"><joint name="rod_end_hinge" axis="0 -1 0" '
        'range="-170 170" armature="0.01"/>'
        '<geom type="capsule" fromto="0 0 0 .17 0 -.1" size=".01"/>'
        '<site name="rod_tip" pos="0.17 0 -0.1"/></body></body>'
    )
    head, tail = text.split('<body name="left_shin"', 1)
    shin, rest = tail.split(">", 1)
    pin = '<site name="crank_pin" pos="0.06 0.01 -0.05"/>'
    return f'{head}{rod}<body name="left_shin"{shin}>{pin}{rest}'


def test_a_loop_is_confirmed_and_closed(
    tmp_path: Path, walk: HumanMotion, capsys: pytest.CaptureFixture[str]
) -> None:
    file, toml = tmp_path / "linked.xml", tmp_path / "linked.toml"
    file.write_text(linked())
    with pytest.raises(RobotError, match=r"loop closed by a point \('rod'\).*--confirm"):
        run(["robots", "add", str(file), "--out", str(toml)])
    assert not toml.exists()
    assert run(["robots", "add", str(file), "--out", str(toml), "--confirm"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "unsure: constraints" in told
    import robots

    robot = robots.load(toml)
    assert robot.model.neq == 1 and any("loop closed" in doubt for doubt in robot.doubts)
    motion = retarget(walk, robot)
    assert motion.quality["constraints"]["frame_rate"] == 0.0
    # The rod follows the knee, not the knee the rod.
    free = replace(robot, model=without_equalities(robot.model))
    knee = robot.joint_names.index("left_knee")
    plain = retarget(walk, free)
    np.testing.assert_allclose(motion.joint_pos[:, knee], plain.joint_pos[:, knee], atol=0.02)


def without_equalities(model: mujoco.MjModel) -> mujoco.MjModel:
    spec_free = mujoco.MjModel.__copy__(model)
    spec_free.eq_active0[:] = 0
    return spec_free


def test_no_constraints_cost_nothing(g1: Robot) -> None:
    qpos = np.zeros((2, 7 + g1.num_joints))
    same, left = satisfied(g1.model, qpos)
    assert same is qpos and not left.any()
