"""Files as people have them: pointers, odd spellings, libraries of clips, csv of other robots."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_exp
from motions.human.readers.bvh import read_bvh
from motions.robot.dataset import find_motion_files
from motions.robot.formats import ReadOptions, read_robot_trajectory
from motions.robot.formats.orders import JOINT_ORDERS
from motions.robot.motion import RobotMotion

G1 = JOINT_ORDERS["g1-29"]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4242\n"
ENDINGS = ("csv", "npz", "pkl", "bvh", "npy", "json", "amc", "c3d", "fbx", "pt")


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_reader_tells_a_pointer_of_git_lfs(ending: str, tmp_path: Path) -> None:
    from motions import read_human_motion

    path = tmp_path / f"clip.{ending}"
    path.write_text(POINTER)
    readers = [read_human_motion]
    if ending in ("csv", "npz", "pkl"):
        readers = [read_robot_trajectory]
    if ending == "npz":
        readers += [RobotMotion.load, read_human_motion]
    for read in readers:
        with pytest.raises(InputError, match="a Git LFS pointer.*git lfs pull"):
            read(path)


BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
}
MOTION
"""
ROWS = "0.5 90.25 0 0 0 0 1.5 0 0\n0.5 91.25 0 0 0 0 2.5 0 0\n"


@pytest.mark.parametrize(
    "says",
    [
        "Frames:2\nFrame Time:0.0166667\n",
        "Frames : 2\nFrame Time : 0.0166667\n",
        "FRAMES 2\nFRAME TIME 0.0166667\n",
        "Frames: 2\nFrameTime: 0.0166667\n",
        "Frames: 2\nFrame Time: 0,0166667\n",
        "Frames = 2\nFrame Time (s) = 0.0166667\n",
    ],
)
@pytest.mark.parametrize("comma", [False, True])
def test_spellings_of_a_bvh(says: str, comma: bool, tmp_path: Path) -> None:
    path = tmp_path / "clip.bvh"
    path.write_text(BVH + says + (ROWS.replace(".", ",") if comma else ROWS))
    clip = read_bvh(path)
    assert clip.fps == 60.0
    assert clip.pos[:, 0, 1].tolist() == [90.25, 91.25]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("cp932", "左ひざ"), ("gbk", "左大腿骨"), ("latin-1", "Hüfte"), ("utf-16", "左ひざ")],
)
def test_joint_names_of_a_bvh_in_older_encodings(encoding: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.bvh"
    text = BVH.replace("Spine", name) + "Frames: 2\nFrame Time: 0.0166667\n" + ROWS
    path.write_bytes(text.encode(encoding))
    assert read_bvh(path).joint_names == ("Hips", name)


def _bones_seed(folder: Path, separator: str = ",") -> tuple[Path, np.ndarray]:
    """Four frames: a base that turns about two axes and one joint at 30 degrees."""
    heads = ["Frame", *(f"root_{what}{axis}" for what in ("translate", "rotate") for axis in "XYZ")]
    heads += [f"{joint}_dof" for joint in reversed(G1)]
    rows = np.zeros((4, len(heads)))
    rows[:, 0] = range(4)
    rows[:, 3] = 78.0
    rows[:, 4], rows[:, 6] = 10.0, 90.0
    rows[:, heads.index("left_knee_joint_dof")] = 30.0
    path = folder / "walk.csv"
    lines = [separator.join(heads), *(separator.join(map(str, row)) for row in rows.tolist())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path, rows


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_named_columns_in_centimetres_and_degrees(separator: str, tmp_path: Path) -> None:
    found = read_robot_trajectory(_bones_seed(tmp_path, separator)[0])
    assert found.fps == 120.0
    assert found.joint_names == tuple(reversed(G1))
    assert np.allclose(found.root_pos[0], [0.0, 0.0, 0.78])
    knee = found.joint_pos[:, found.joint_names.index("left_knee_joint")]
    assert np.allclose(knee, np.radians(30.0)) and np.count_nonzero(found.joint_pos[0]) == 1
    # About the fixed x axis first, then about the fixed z axis: the base heads along y, and its
    # own y axis, which pointed to the left, has risen by 10 degrees.
    turn = np.array([0.5, 0.5]) * np.radians([10.0, 90.0])
    x, z = [np.cos(turn[0]), np.sin(turn[0]), 0, 0], [np.cos(turn[1]), 0, 0, np.sin(turn[1])]
    both = [z[0] * x[0], z[0] * x[1], z[3] * x[1], z[3] * x[0]]
    assert np.allclose(found.root_quat[0], both)


def test_a_heading_of_no_known_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.csv"
    path.write_text(",".join(f"q_{k}" for k in range(12)) + "\n" + ",".join("0" * 12) + "\n")
    with pytest.raises(InputError, match=r"names columns of no known format \(found q_0"):
        read_robot_trajectory(path)


def _clip(frames: int = 5, joints: int = 29, depth: bool = False) -> dict[str, object]:
    time = np.arange(frames)[:, None] / 30.0
    dof = np.repeat(0.1 * time, joints, axis=1)
    quat = quat_exp(np.concatenate([0 * time, 0 * time, 1.0 + time], axis=1))
    return {
        "root_trans_offset": np.concatenate([time, 0 * time, 0 * time + 0.78], axis=1),
        "pose_aa": np.zeros((frames, joints + 4, 3)),
        "dof": dof[..., None] if depth else dof,
        "root_rot": np.roll(quat, -1, axis=1),
        "fps": 30,
    }


@pytest.mark.parametrize("depth", [False, True])
@pytest.mark.parametrize("joints", [29, 23])
@pytest.mark.parametrize("named", [True, False])
def test_a_motion_library(named: bool, joints: int, depth: bool, tmp_path: Path) -> None:
    path = tmp_path / "lib.pkl"
    clip = _clip(joints=joints, depth=depth)
    path.write_bytes(pickle.dumps({"0-walk": clip} if named else clip))
    found = read_robot_trajectory(path)
    assert found.fps == 30 and found.joint_names == JOINT_ORDERS[f"g1-{joints}"]
    assert found.name == ("0-walk" if named else "lib")
    assert np.allclose(found.root_quat, np.roll(clip["root_rot"], 1, axis=1))  # type: ignore[arg-type]
    assert np.allclose(found.joint_pos[4], 0.4 / 30.0)


def test_a_library_of_several_clips_names_them(tmp_path: Path) -> None:
    path = tmp_path / "lib.pkl"
    path.write_bytes(pickle.dumps({"walk": _clip(), "run": _clip()}))
    with pytest.raises(InputError, match=r"several clips.*\(found 2: run, walk\)"):
        read_robot_trajectory(path)


def test_a_library_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").touch, ())  # type: ignore[return-value]

    path = tmp_path / "lib.pkl"
    path.write_bytes(pickle.dumps({"walk": {**_clip(), "extra": Runs()}}))
    with pytest.raises(InputError, match="lib.pkl"):
        read_robot_trajectory(path)
    assert not (tmp_path / "ran").exists()


def test_columns_of_a_named_robot(tmp_path: Path) -> None:
    path = tmp_path / "h1.csv"
    row = [0, 0, 1.0, 0, 0, 0.6, 0.8, *(0.01 * k for k in range(19))]
    np.savetxt(path, [row, row], delimiter=",")
    names = tuple(f"j{k}_joint" for k in range(19))
    found = read_robot_trajectory(path, ReadOptions(robot="my_h1", robot_joints=names))
    assert found.joint_names == names and found.robot == "my_h1"
    assert any("order of my_h1's joints" in note for note in found.notes)
    with pytest.raises(InputError, match=r"whose they are with --robot NAME"):
        read_robot_trajectory(path)


def test_another_robot_of_29_joints_is_no_g1(tmp_path: Path) -> None:
    path = tmp_path / "t1.csv"
    row = [0, 0, 1.0, 0, 0, 0.6, 0.8, *(0.01 * k for k in range(29))]
    np.savetxt(path, [row, row], delimiter=",")
    names = tuple(f"j{k}_joint" for k in range(29))
    options = ReadOptions(format="unitree-csv", robot="t1", robot_joints=names)
    assert read_robot_trajectory(path, options).joint_names == names


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("walk.csv", "retarget.convert"),
        ("seed.csv", "retarget.convert"),
        ("walk.pkl", "retarget.convert"),
        ("walk.bvh", "python -m retarget "),
    ],
)
def test_training_on_a_file_of_another_program_names_the_command(
    name: str, command: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    text = ",".join("0.1" for _ in range(36)) + "\n"
    if name == "seed.csv":
        text = _bones_seed(tmp_path)[0].read_text(encoding="utf-8-sig")
    path.write_text(text)
    with pytest.raises(InputError, match=command) as refusal:
        find_motion_files([path])
    assert str(path) in str(refusal.value).split(command)[1]


def test_a_motion_without_names_is_told_how_to_name_them(tmp_path: Path) -> None:
    path = tmp_path / "walk.npz"
    rng = np.random.default_rng(0)
    arrays = {
        "joint_pos": rng.normal(size=(5, 29)), "joint_vel": np.zeros((5, 29)),
        "body_pos_w": np.zeros((5, 30, 3)), "body_quat_w": np.tile([1.0, 0, 0, 0], (5, 30, 1)),
        "body_lin_vel_w": np.zeros((5, 30, 3)), "body_ang_vel_w": np.zeros((5, 30, 3)),
    }  # fmt: skip
    np.savez(path, fps=np.array([50]), **arrays)
    with pytest.raises(InputError, match=r"python -m retarget\.convert .*walk\.npz --out"):
        RobotMotion.load(path)
