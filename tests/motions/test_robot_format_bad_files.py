"""Robot motions of other tools that are damaged, foreign or contradict themselves."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motions.robot.formats import (
    WRITTEN,
    ReadOptions,
    read_robot_trajectory,
)
from motions.robot.formats.formats import NEEDS_BODIES
from motions.robot.motion import RobotMotion
from tests.motions.test_robot_format_files import G1, assert_same, file_of, refusal, walk


def arrays(name: str, tmp_path: Path) -> dict[str, Any]:
    return dict(np.load(file_of(walk(bodies=name in NEEDS_BODIES), tmp_path, name)))


ROOT_KEY = {
    "trajectory": "root_pos", "gmr": "root_pos", "mimickit": "frames", "mjlab": "body_pos_w",
    "protomotions-npz": "base_frame_pos", "holosoma": "joint_pos",
}  # fmt: skip
JOINT_KEY = {
    "trajectory": "joint_pos", "gmr": "dof_pos", "mimickit": "frames", "mjlab": "joint_pos",
    "protomotions-npz": "joint_angles", "holosoma": "joint_pos",
}  # fmt: skip


@pytest.mark.parametrize("ending", ["npz", "csv", "pkl"])
def test_missing_empty_and_foreign_files(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"clip.{ending}"
    assert "no such file" in refusal(path, capsys=capsys)
    path.write_bytes(b"")
    assert "empty" in refusal(path, capsys=capsys)
    path.write_bytes(bytes(range(256)) * 4)
    assert str(path) in refusal(path, capsys=capsys)


@pytest.mark.parametrize("name", WRITTEN)
def test_truncated_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(walk(bodies=name in NEEDS_BODIES), tmp_path, name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.61)])
    assert str(path) in refusal(path, capsys=capsys)


@pytest.mark.parametrize("name", sorted(ROOT_KEY))
@pytest.mark.parametrize("which", ["root", "joint"])
def test_values_that_are_not_finite(
    name: str, which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = arrays(name, tmp_path)
    key = (ROOT_KEY if which == "root" else JOINT_KEY)[name]
    value = np.array(data[key])
    index = (7, 0) if value.ndim == 2 else (7, 0, 0)
    if which == "joint":
        index = (7, value.shape[1] - 1)
    value[index] = np.nan
    path = tmp_path / "clip.npz"
    np.savez(path, **{**data, key: value})
    text = refusal(path, "--format", name, capsys=capsys)
    assert "not finite" in text and "frame 7" in text


def test_a_csv_with_nan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(walk(), tmp_path, "unitree-csv")
    lines = path.read_text().splitlines()
    lines[3] = "nan" + lines[3][lines[3].index(",") :]
    path.write_text("\n".join(lines))
    text = refusal(path, "--format", "unitree-csv", capsys=capsys)
    assert "not finite" in text and "frame 3" in text


@pytest.mark.parametrize("options", [(), ("--format", "unitree-csv")])
def test_a_damaged_csv_is_called_so_before_its_layout_is_guessed(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(walk(yaw=0.0), tmp_path, "unitree-csv")
    table = np.loadtxt(path, delimiter=",")

    def said(rows: np.ndarray) -> str:
        np.savetxt(path, rows, delimiter=",")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return refusal(path, *options, capsys=capsys)

    holed, unturned = table.copy(), table.copy()
    holed[5, 9] = np.nan
    unturned[:, 3:7] = 0.0
    assert "joint_pos holds a value that is not finite (found frame 5, column 2)" in said(holed)
    assert "at least two frames (found 1)" in said(table[:1])
    assert "unit quaternions (found length 0.000 at frame 0)" in said(unturned)


@pytest.mark.parametrize(("name", "key"), [("gmr", "local_body_pos"), ("mjlab", "body_pos_w")])
def test_holes_in_body_poses(
    name: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = dict(np.load(file_of(walk(bodies=True), tmp_path, name)))
    holed = data[key].copy()
    holed[3, 4] = np.nan
    path = tmp_path / "clip.npz"
    np.savez(path, **{**data, key: holed})
    assert "body positions holds a value that is not finite (found frame 3" in refusal(
        path, capsys=capsys
    )


def test_signs_of_quaternions_that_flip_are_put_right(tmp_path: Path) -> None:
    motion = walk()
    path = file_of(motion, tmp_path, "unitree-csv")
    table = np.loadtxt(path, delimiter=",")
    table[::3, 3:7] *= -1.0
    np.savetxt(path, table, delimiter=",")
    found = read_robot_trajectory(path)
    assert_same(found, motion)
    assert (np.sum(found.root_quat[1:] * found.root_quat[:-1], axis=1) > 0.9).all()


@pytest.mark.parametrize(
    "spelled",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", ";").replace(".", ","),
        lambda text: text.replace(",", "\t").replace(".", ","),
        lambda text: text.replace(",", ", "),
        lambda text: text.replace(",", "  ").replace(".", ",").replace("\n", "\r\n"),
    ],
    ids=["semicolons", "semicolons, decimal commas", "tabs, decimal commas", "spaced", "spaces"],
)
def test_separators_and_decimal_commas_of_a_csv(spelled: Any, tmp_path: Path) -> None:
    motion = walk()
    path = file_of(motion, tmp_path, "unitree-csv")
    path.write_text(spelled(path.read_text()), newline="")
    assert_same(read_robot_trajectory(path), motion)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_of_a_csv(encoding: str, tmp_path: Path) -> None:
    motion = walk()
    path = file_of(motion, tmp_path, "unitree-csv")
    path.write_text(path.read_text(), encoding=encoding)
    assert_same(read_robot_trajectory(path), motion)


@pytest.mark.parametrize("options", [(), ("--format", "mjlab")])
def test_body_rotations_with_w_last_say_which_option_helps(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Heading along x, both readings of the base stand upright; only the links can tell.
    motion = walk(yaw=0.0 if options else 1.2, bodies=True)
    data = dict(np.load(file_of(motion, tmp_path, "mjlab")))
    path = tmp_path / "clip.npz"
    np.savez(path, **{**data, "body_quat_w": np.roll(data["body_quat_w"], -1, axis=-1)})
    text = refusal(path, *options, capsys=capsys)
    assert "body rotations are xyzw" in text and "--quaternion-order xyzw" in text
    found = read_robot_trajectory(path, ReadOptions(quaternion_order="xyzw"))
    assert_same(found, motion)


@pytest.mark.parametrize("name", ["mjlab", "holosoma", "robot-motion"])
def test_a_rate_that_contradicts_the_velocities_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.npz"
    if name == "robot-motion":
        clip = walk(bodies=True)
        assert clip.bodies is not None
        RobotMotion.build(
            fps=30.0, joint_pos=clip.joint_pos, body_pos_w=clip.bodies.pos,
            body_quat_w=clip.bodies.quat, joint_names=G1, body_names=clip.bodies.names,
            robot="unitree_g1", name="clip",
        ).save(path)  # fmt: skip
        data = dict(np.load(path))
    else:
        data = arrays(name, tmp_path)
    np.savez(path, **data)
    notes = read_robot_trajectory(path).notes
    assert "30 fps, confirmed by the file's velocities" in notes
    np.savez(path, **{**data, "fps": np.array([50.0])})
    text = refusal(path, capsys=capsys)
    assert "contradicts the file's own velocities" in text
    assert "found fps 50, while the velocities fit 30" in text and "--source-fps 30" in text
    found = read_robot_trajectory(path, ReadOptions(fps=50.0))
    assert found.fps == 50.0
    assert any("as asked for, its velocities fit 30" in note for note in found.notes)
    still = {k: 0 * v if k in ("joint_vel", "body_lin_vel_w") else v for k, v in data.items()}
    np.savez(path, **{**still, "fps": np.array([50.0])})
    assert read_robot_trajectory(path).fps == 50.0


def test_a_missing_rate_is_proposed_from_the_velocities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = arrays("mjlab", tmp_path)
    del data["fps"]
    path = tmp_path / "clip.npz"
    np.savez(path, **data)
    assert "velocities fit --source-fps 30" in refusal(path, capsys=capsys)


@pytest.mark.parametrize("name", sorted(JOINT_KEY))
def test_wrong_joint_count(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = arrays(name, tmp_path)
    path = tmp_path / "clip.npz"
    np.savez(path, **{**data, JOINT_KEY[name]: data[JOINT_KEY[name]][:, :-1]})
    text = refusal(path, "--format", name, capsys=capsys)
    assert "28" in text or "35" in text


@pytest.mark.parametrize("name", sorted(JOINT_KEY))
@pytest.mark.parametrize("fps", [0.0, -30.0, np.nan])
def test_impossible_rates(
    name: str, fps: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = arrays(name, tmp_path)
    path = tmp_path / "clip.npz"
    np.savez(path, **{**data, "fps": np.array([fps])})
    assert "frame rate must be 1 to 1000" in refusal(path, "--format", name, capsys=capsys)


@pytest.mark.parametrize("name", sorted(JOINT_KEY))
def test_one_frame(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = arrays(name, tmp_path)
    frames = len(data[JOINT_KEY[name]])
    path = tmp_path / "clip.npz"
    np.savez(path, **{k: v[:1] if np.shape(v)[:1] == (frames,) else v for k, v in data.items()})
    assert "at least two frames" in refusal(path, "--format", name, capsys=capsys)


def test_a_missing_rate_has_to_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = arrays("gmr", tmp_path)
    del data["fps"]
    path = tmp_path / "clip.npz"
    np.savez(path, **data)
    assert "--source-fps" in refusal(path, capsys=capsys)
    assert read_robot_trajectory(path, ReadOptions(fps=25)).fps == 25


def test_degrees_and_long_quaternions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = arrays("gmr", tmp_path)
    path = tmp_path / "clip.npz"
    np.savez(path, **{**data, "dof_pos": np.degrees(data["dof_pos"])})
    assert "radians" in refusal(path, capsys=capsys)
    np.savez(path, **{**data, "root_rot": 1.5 * data["root_rot"]})
    assert "unit quaternions" in refusal(path, capsys=capsys)


class Attack:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("function", [os.system, eval, getattr, np.load, pickle.loads, bytearray])
def test_a_malicious_pickle_is_refused_and_not_run(
    function: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps({"fps": 30, "x": Attack(function, f"touch {canary}")}))
    text = refusal(path, capsys=capsys)
    assert "the pickle is refused" in text and "it asks for" in text
    assert not canary.exists()


@pytest.mark.parametrize(
    "value",
    [np.array([Attack(eval, "1")], dtype=object), np.zeros(2, dtype=[("a", float)]),
     np.zeros(2, dtype="M8[s]"), np.float64, np.dtype("f8")],
)  # fmt: skip
def test_a_pickle_of_other_arrays_is_refused(
    value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps({"root_rot": value}))
    assert "refused" in refusal(path, capsys=capsys)


def test_a_torch_archive_and_an_object_npz_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.pkl"
    path.write_bytes(b"PK\x03\x04rest")
    assert "PyTorch" in refusal(path, capsys=capsys)
    other = tmp_path / "clip.motion"
    other.write_bytes(b"PK\x03\x04rest")
    assert "PyTorch" in refusal(other, capsys=capsys)
    objects = tmp_path / "objects.npz"
    np.savez(objects, root_rot=np.array([Attack(eval, "1")], dtype=object))
    text = refusal(objects, capsys=capsys)
    assert "holds Python objects" in text and "builtins.eval" in text


def test_objects_that_are_plain_data_are_read_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists of names are often saved as arrays of objects; as numbers they are of no use."""
    data = arrays("gmr", tmp_path)
    path = tmp_path / "clip.npz"
    np.savez(path, **{**data, "notes": np.array(["a", {"b": 1}], dtype=object)})
    assert read_robot_trajectory(path, ReadOptions()).fps == 30
    np.savez(path, **{**data, "root_rot": np.array([{}] * len(data["root_rot"]), dtype=object)})
    assert "root_rot must hold numbers" in refusal(path, capsys=capsys)


def test_a_csv_with_a_header_and_one_of_unequal_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(walk(), tmp_path, "kimodo-csv")
    text = path.read_text()
    path.write_text("x,y,z\n" + text)
    assert "header" in refusal(path, capsys=capsys)
    path.write_text(text + "1,2,3\n")
    assert "line 41" in refusal(path, capsys=capsys)


def test_a_human_kimodo_skeleton_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "soma.npz"
    np.savez(path, posed_joints=np.zeros((4, 30, 3)), global_rot_mats=np.zeros((4, 30, 3, 3)))
    assert "not a G1's" in refusal(path, capsys=capsys)
