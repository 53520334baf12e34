"""What a robot motion format declares, and how its files are read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motions.robot.formats.quaternions import Order
from motions.robot.formats.raw import RawRobotMotion
from motions.robot.formats.trajectory import RobotTrajectory

Content = dict[str, Any]
"""A file's arrays, lists and texts by name; a csv's numbers are one array `table`."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format: what it declares where its files are silent, its reader and its writer.

    Attributes:
        extensions: of the files, the first one is written.
        quaternion: order of the base's quaternion columns.
        joint_orders: names in `JOINT_ORDERS` by number of columns; none: the file has names.
        fps: what the format declares, or None where the file or the user has to say.
        objects: how many objects a file has room for. scene: whether it has room for one.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    quaternion: Order = "wxyz"
    joint_orders: tuple[str, ...] = ()
    fps: float | None = None
    objects: int = 0
    scene: bool = False
    read: Callable[[Path, Content], RawRobotMotion] | None = None
    """The motion as the file has it, nothing assumed; None for our own files."""
    write: Callable[[RobotTrajectory, Format], dict[str, Any] | str] | None = None
    """The arrays of an ``.npz``, or the text of the file; None where it is not written."""
    recognise: Callable[[Content], bool] | None = None
    """Whether the content is surely of this format; None where others look the same."""
    content: Callable[[Path], Content] | None = None
    """Opens files of an extension of the format's own; npz, csv and pickles are opened for it."""
    needs_bodies: bool = False
    """Whether a file carries the pose of every body."""

    @property
    def written(self) -> bool:
        """Whether `--to` offers it."""
        return self.write is not None


def has(*keys: str) -> Callable[[Content], bool]:
    """Recognises content that has all of `keys`."""
    return lambda content: set(keys) <= set(content)
