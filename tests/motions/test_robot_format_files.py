"""Reading and writing robot motions of other tools: round trips, orders, the command."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_exp, quat_log, quat_mul, quat_of_yaw
from motions.__main__ import main
from motions.robot.formats import (
    WRITTEN,
    BodyPoses,
    ReadOptions,
    RobotTrajectory,
    read_robot_trajectory,
)
from motions.robot.formats.formats import NEEDS_BODIES
from motions.robot.formats.orders import JOINT_ORDERS, body_order
from motions.robot.formats.quaternions import gather_evidence
from motions.robot.formats.writers import write_robot_trajectory

G1 = JOINT_ORDERS["g1-29"]


def walk(frames: int = 40, yaw: float = 1.2, fps: float = 30.0, bodies: bool = False) -> Any:
    """A base that stands upright, heads to `yaw` and moves that way, with moving joints."""
    rng = np.random.default_rng(0)
    time = np.arange(frames) / fps
    joints = 0.4 * np.sin(2 * time[:, None] + rng.uniform(0, 6, len(G1)))
    lean = np.stack([np.cos(0.05 * time), 0 * time, np.sin(0.05 * time), 0 * time], axis=1)
    quat = quat_mul(quat_of_yaw(yaw), lean)
    pos = np.stack([time * np.cos(yaw), time * np.sin(yaw), 0.78 + 0 * time], axis=1)
    poses = None
    if bodies:
        names = body_order(G1)
        # Not the robot's kinematics: links turn with their joints about axes of their own, all of
        # them on the base.
        turns = {"pelvis": quat}
        for joint, name in zip(G1, names[1:], strict=True):
            from motions.robot.formats.orders import link_of_joint, parent_joint

            above = parent_joint(joint)
            parent = "pelvis" if above is None else link_of_joint(above)
            column = G1.index(joint)
            axis = np.eye(3)[column % 3]
            turns[name] = quat_mul(turns[parent], quat_exp(joints[:, column, None] * axis))
        poses = BodyPoses(
            names=names,
            pos=np.repeat(pos[:, None], len(names), axis=1),
            quat=np.stack([turns[name] for name in names], axis=1),
        )
    return RobotTrajectory(
        fps=fps, root_pos=pos, root_quat=quat, joint_pos=joints, joint_names=G1,
        robot="unitree_g1", name="walk", bodies=poses,
    )  # fmt: skip


def file_of(motion: RobotTrajectory, folder: Path, name: str) -> Path:
    path = folder / f"{name}{'.csv' if name.endswith('csv') else '.npz'}"
    write_robot_trajectory(motion, path, name)
    return path


def refusal(path: Path, *options: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that `convert` prints; nothing may be written."""
    out = path.parent / "out"
    code = main(["convert", str(path), "--out", str(out), *options])
    text = capsys.readouterr().err
    assert code == 2
    assert len(text.strip().splitlines()) == 1 and text.startswith("error: "), text
    assert "Traceback" not in text
    assert not out.exists() or not list(out.iterdir())
    return text


def assert_same(found: RobotTrajectory, wanted: RobotTrajectory, atol: float = 1e-6) -> None:
    assert found.joint_names == wanted.joint_names
    assert found.fps == pytest.approx(wanted.fps)
    np.testing.assert_allclose(found.root_pos, wanted.root_pos, atol=atol)
    np.testing.assert_allclose(found.joint_pos, wanted.joint_pos, atol=atol)
    cosine = np.abs((found.root_quat * wanted.root_quat).sum(axis=1))
    np.testing.assert_allclose(cosine, 1.0, atol=atol)


@pytest.mark.parametrize("name", WRITTEN)
def test_round_trip(name: str, tmp_path: Path) -> None:
    motion = walk(bodies=name in NEEDS_BODIES)
    path = file_of(motion, tmp_path, name)
    found = read_robot_trajectory(path)
    assert_same(found.with_joint_order(G1), motion)
    assert not [p for p in tmp_path.iterdir() if p != path], "a temporary file stayed"


def test_gmr_carries_bodies_in_the_bases_frame(tmp_path: Path) -> None:
    path = file_of(walk(bodies=True), tmp_path, "gmr")
    found = read_robot_trajectory(path).bodies
    assert found is not None and found.in_root_frame and found.names == body_order(G1)
    np.testing.assert_allclose(found.pos, 0.0, atol=1e-6)


def test_mimickit_keeps_the_loop_and_the_rotation_vector(tmp_path: Path) -> None:
    motion = replace(walk(), loop=True)
    path = file_of(motion, tmp_path, "mimickit")
    frames = np.load(path)["frames"]
    np.testing.assert_allclose(frames[:, 3:6], quat_log(motion.root_quat), atol=1e-12)
    assert read_robot_trajectory(path).loop


def test_a_mimickit_pickle_is_read(tmp_path: Path) -> None:
    motion = walk()
    rows = np.concatenate([motion.root_pos, quat_log(motion.root_quat), motion.joint_pos], axis=1)
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps({"loop_mode": 1, "fps": 30, "frames": rows.tolist()}))
    found = read_robot_trajectory(path)
    assert_same(found, motion)
    assert found.loop and "mimickit" in " ".join(found.notes)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_gmr_pickle_is_read(protocol: int, tmp_path: Path) -> None:
    motion = walk()
    content = {
        "fps": np.float64(29.5),
        "root_pos": motion.root_pos,
        "root_rot": np.asfortranarray(np.roll(motion.root_quat, -1, axis=1)),
        "dof_pos": motion.joint_pos.astype(np.float32),
        "local_body_pos": None,
        "link_body_list": None,
    }
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    assert_same(read_robot_trajectory(path), replace(motion, fps=29.5))


def test_twist_without_wrists_uses_its_own_order(tmp_path: Path) -> None:
    motion = walk().with_frames(0, 20)
    short = JOINT_ORDERS["g1-23"]
    path = tmp_path / "clip.npz"
    np.savez(
        path, fps=30.0, root_pos=motion.root_pos, root_rot=np.roll(motion.root_quat, -1, axis=1),
        dof_pos=motion.joint_pos[:, [G1.index(n) for n in short]],
    )  # fmt: skip
    found = read_robot_trajectory(path)
    assert found.joint_names == short
    with pytest.raises(InputError, match="it lacks left_wrist.*--fill-missing-joints"):
        found.with_joint_order(G1)
    with pytest.raises(InputError, match=r"it lacks a, b, c\); .*") as lacks:
        motion.with_joint_order((*G1, "a", "b", "c"))
    assert "besides" not in str(lacks.value)
    with pytest.raises(InputError, match=r"it lacks a; it has (\w+, ){2}\w+ and 26 more besides"):
        motion.with_joint_order(("a",))
    filled = found.with_joint_order(G1, fill=np.full(29, 0.25))
    np.testing.assert_allclose(filled.joint_pos[:, G1.index("left_wrist_yaw_joint")], 0.25)
    assert any("held still" in note for note in filled.notes)


# -- orders ----------------------------------------------------------------------------------


def test_isaac_lab_order_is_level_by_level(g1: Any) -> None:
    model = g1.model
    queue, order = [1], []
    while queue:
        body = queue.pop(0)
        order += [
            model.joint(int(model.body_jntadr[body])).name for _ in range(model.body_jntnum[body])
        ]
        queue += [b for b in range(1, model.nbody) if model.body_parentid[b] == body and b != body]
    assert tuple(order[1:]) == JOINT_ORDERS["g1-29-isaaclab"]
    assert JOINT_ORDERS["g1-29"] == g1.joint_names
    assert body_order(G1) == g1.body_names


@pytest.mark.parametrize(("name", "order"), [("beyondmimic", "isaaclab"), ("mjlab", "g1-29,")])
def test_the_order_of_an_unnamed_file_is_proven_by_its_bodies(
    name: str, order: str, tmp_path: Path
) -> None:
    path = file_of(walk(bodies=True), tmp_path, name)
    found = read_robot_trajectory(path)
    assert f"format {name}" in found.notes
    assert any(order in note and "confirmed" in note for note in found.notes)
    other = "mjlab" if name == "beyondmimic" else "beyondmimic"
    with pytest.raises(InputError, match="not in the order"):
        read_robot_trajectory(path, ReadOptions(format=other))


def test_an_unnamed_file_that_fits_no_order_is_refused(tmp_path: Path) -> None:
    path = file_of(walk(bodies=True), tmp_path, "mjlab")
    data = dict(np.load(path))
    data["joint_pos"] = data["joint_pos"][:, ::-1]
    np.savez(path, **data)
    with pytest.raises(InputError, match="fit no known order.*--joint-order"):
        read_robot_trajectory(path)


# -- quaternions -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unitree-csv", "kimodo-csv", "gmr", "protomotions-npz"])
def test_a_wrong_quaternion_order_is_an_error_with_a_way_out(name: str, tmp_path: Path) -> None:
    motion = walk(yaw=1.2)
    order = "wxyz" if name in ("unitree-csv", "gmr") else "xyzw"
    path = file_of(motion, tmp_path, name)
    if path.suffix == ".csv":
        table = np.loadtxt(path, delimiter=",")
        table[:, 3:7] = np.roll(table[:, 3:7], 1 if order == "wxyz" else -1, axis=1)
        np.savetxt(path, table, delimiter=",")
    else:
        data = dict(np.load(path))
        key = "root_rot" if name == "gmr" else "base_frame_wxyz"
        data[key] = np.roll(data[key], 1 if order == "wxyz" else -1, axis=1)
        np.savez(path, **data)
    with pytest.raises(InputError, match=f"--quaternion-order {order}"):
        read_robot_trajectory(path, ReadOptions(format=name))
    found = read_robot_trajectory(path, ReadOptions(format=name, quaternion_order=order))
    assert_same(found, motion)


def test_smoothness_cannot_tell_the_order_but_uprightness_can() -> None:
    motion = walk(yaw=0.9)
    stored = np.roll(motion.root_quat, -1, axis=1)
    steps = [np.abs((q[1:] * q[:-1]).sum(axis=1)) for q in (motion.root_quat, stored)]
    np.testing.assert_allclose(steps[0], steps[1])
    assert gather_evidence(stored).verdict == "xyzw"
    assert gather_evidence(motion.root_quat).verdict == "wxyz"


def test_a_csv_that_fits_both_orders_asks_which(tmp_path: Path) -> None:
    motion = walk(yaw=0.0)
    path = file_of(motion, tmp_path, "unitree-csv")
    with pytest.raises(InputError, match="--format unitree-csv or --format kimodo-csv"):
        read_robot_trajectory(path)
    found = read_robot_trajectory(path, ReadOptions(format="unitree-csv"))
    assert_same(found, motion)
    assert any("cannot confirm it; read so, it walks forwards" in note for note in found.notes)
    backwards = read_robot_trajectory(path, ReadOptions(format="kimodo-csv"))
    assert any("walks backwards" in note for note in backwards.notes)


# -- the command -----------------------------------------------------------------------------


def test_convert_writes_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(walk(), tmp_path, "gmr")
    out = tmp_path / "out"
    assert main(["convert", str(path), "--to", "kimodo-csv", "--out", str(out)]) == 0
    assert "xyzw, confirmed" in capsys.readouterr().out
    assert_same(read_robot_trajectory(out / "gmr.csv"), walk())


def test_convert_without_kinematics_says_where_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(walk(), tmp_path, "gmr")
    told = refusal(path, "--to", "mjlab", capsys=capsys)
    assert "mimic motions convert FILE --robot NAME" in told
    with pytest.raises(InputError, match="--robot NAME"):
        main(["convert", str(path), "--to", "robot-motion", "--out", str(tmp_path / "out")])


def test_convert_never_replaces_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(walk(), tmp_path, "gmr")
    before = path.read_bytes()
    assert main(["convert", str(path), "--to", "gmr", "--out", str(tmp_path)]) == 2
    assert "would replace" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_info_and_the_table_of_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(walk(), tmp_path, "mimickit")
    assert main(["info", str(path)]) == 0
    assert "40 frames at 30 fps" in capsys.readouterr().out
    assert main(["info", "--formats"]) == 0
    assert "unitree-csv" in capsys.readouterr().out
    assert main([]) == 2
    assert "convert" in capsys.readouterr().out
    assert main(["cook"]) == 2
    assert "no command 'cook'" in capsys.readouterr().err
