"""Which format a file has: by its ending, its arrays, and where those do not tell, its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_base.archives import ZIP_MAGIC
from mimic_base.errors import input_error
from mimic_base.numpy_files import load_npz
from mimic_base.pickle_data import load_pickle
from mimic_base.reading import read_bounded
from motions.robot.formats.consistency import proven_order
from motions.robot.formats.content import read_csv_content
from motions.robot.formats.format import Format
from motions.robot.formats.formats import FORMATS
from motions.robot.formats.layouts.csv_tables import read_csv
from motions.robot.formats.layouts.motion_npz import read_motion_npz
from motions.robot.formats.orders import JOINT_ORDERS
from motions.robot.formats.quaternions import Order, gather_evidence, reorder
from motions.robot.formats.raw import check_sound, names, text
from motions.robot.formats.trajectory import TRAJECTORY_SCHEMAS

_OPENED = (".npz", ".csv", ".pkl", ".pickle")
EXTENSIONS = tuple(
    dict.fromkeys((*_OPENED, *(e for form in FORMATS.values() for e in form.extensions)))
)
"""File name endings that may hold a robot motion."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What the user says about a file; None leaves it to the file and its format.

    Attributes:
        format: a name in `FORMATS`, or package.module:NAME.
        fps: frames per second, where the file has none.
        joint_order: names of the joint columns. quaternion_order: overrides the format's.
    """

    format: str | None = None
    fps: float | None = None
    joint_order: tuple[str, ...] | None = None
    quaternion_order: Order | None = None
    robot: str = ""
    """The robot that the user names."""
    robot_joints: tuple[str, ...] = ()
    """Its joints: columns without names are these where the format declares none for this robot."""


def read_content(path: Path, form: Format | None = None) -> dict[str, Any]:
    """The arrays, lists and texts of a file by name; a csv is one `table`.

    Args:
        form: the format that the user says it has, which may open files of its own kind.
    """
    suffix = path.suffix.lower()
    for known in FORMATS.values() if form is None else (form,):
        if known.content is not None and suffix in known.extensions:
            return known.content(path)
    if path.exists() and suffix not in EXTENSIONS:
        raise input_error(
            path,
            "unknown kind of robot motion file",
            found=f"extension {suffix or 'none'}",
            expected=", ".join(EXTENSIONS),
            fix="PyTorch files (.pt, .motion) are not read: export npz or csv"
            if suffix in (".pt", ".motion", ".pth")
            else None,
        )
    if suffix == ".csv":
        return read_csv_content(path)
    if suffix in (".pkl", ".pickle"):
        content = _read_pickle(path)
        if not isinstance(content, dict):
            raise input_error(path, "the pickle holds no dictionary", found=type(content).__name__)
        return {str(key): value for key, value in content.items()}
    return load_npz(path, objects=True)


def _read_pickle(path: Path) -> Any:
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file")
    data = read_bounded(path)
    if not data:
        raise input_error(path, "the file is empty")
    if data.startswith(ZIP_MAGIC):
        raise input_error(
            path,
            "this is a PyTorch archive (.pt, .motion), which this program does not read",
            fix="export the clip as npz or csv with the program that wrote it",
        )
    return load_pickle(path, data)


def detect_format(path: Path, data: dict[str, Any], options: ReadOptions) -> Format:
    """The format by content; what two formats share is decided by the data or refused."""
    suffix = path.suffix.lower()
    owners = [f for f in FORMATS.values() if f.content is not None and suffix in f.extensions]
    if len(owners) == 1:
        return owners[0]  # it has opened the file
    schema = text(data, "schema")
    if schema:
        return FORMATS["trajectory" if schema in TRAJECTORY_SCHEMAS else "robot-motion"]
    sure = [form for form in FORMATS.values() if form.recognise is not None]
    sure = [form for form in sure if form.recognise is not None and form.recognise(data)]
    if len(sure) > 1:
        raise input_error(
            path,
            "several formats have such content",
            found=", ".join(form.name for form in sure),
            fix="say which with --format",
        )
    if sure:
        return sure[0]
    if "columns" in data:
        raise input_error(
            path,
            "the heading names columns of no known format",
            found=", ".join(data["columns"][:8]) + ", ...",
            expected="root_translateX, ..., root_rotateX, ..., NAME_dof (csv of BONES-SEED)",
            fix="take the heading out if the rest is root x y z, quaternion, joint angles in rad",
        )
    if "table" in data:
        return _which_csv(path, data, options)
    if "joint_pos" not in data or "body_pos_w" not in data:
        raise input_error(
            path,
            "no known robot motion format",
            found=", ".join(sorted(data)[:12]) or "an empty file",
            expected=f"one of {', '.join(FORMATS)}",
        )
    if names(data, "joint_names") is not None:
        return FORMATS["robot-motion"]
    raw = read_motion_npz(path, data)
    check_sound(str(path), raw)
    bodies = raw.bodies
    if options.joint_order is None and bodies is not None and bodies.quat is not None:
        columns = reorder(bodies.quat, options.quaternion_order or "wxyz")
        order = proven_order(raw.joint_pos, columns)
        if order is not None:
            return FORMATS["beyondmimic" if order.endswith("isaaclab") else "mjlab"]
        if options.quaternion_order is None:
            other = reorder(bodies.quat, "xyzw")
            if proven_order(raw.joint_pos, other) is not None:
                raise input_error(
                    path,
                    "the body rotations are xyzw, in this format they are wxyz",
                    found="links that turn as their joints only when read as xyzw",
                    fix="say --quaternion-order xyzw",
                )
        raise input_error(
            path,
            "the file carries no joint_names, and its body rotations fit no known order",
            fix="say what its columns are: --joint-order NAME,NAME,... or --format",
        )
    return FORMATS["mjlab"]


def _which_csv(path: Path, data: dict[str, Any], options: ReadOptions) -> Format:
    raw = read_csv(path, data)
    check_sound(str(path), raw)
    order = options.quaternion_order
    if order is None:
        order = gather_evidence(raw.root_rot).verdict
    if order is None and raw.joint_pos.shape[1] != len(JOINT_ORDERS["g1-29"]):
        return FORMATS["unitree-csv"]  # Kimodo writes one robot only
    if order is None:
        raise input_error(
            path,
            "a csv may be Unitree's (quaternions xyzw) or Kimodo's (wxyz), and this one fits both",
            fix="say which: --format unitree-csv or --format kimodo-csv",
        )
    return FORMATS["unitree-csv" if order == "xyzw" else "kimodo-csv"]
