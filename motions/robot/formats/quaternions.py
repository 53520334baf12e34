"""Which of a quaternion's four columns is w: checked on the data, not believed.

Both readings of a column of four are unit quaternions, and both turn equally fast from frame to
frame (a permutation of the components keeps all inner products), so neither length nor smoothness
tells them apart. Uprightness does as soon as the base turns away from world x, or from its
opposite: read wrongly, a base that heads to `yaw` and stands upright leans over with
cos(lean) = cos(yaw), or -cos(yaw). Where both readings stand upright, they differ by half a turn
about the vertical; then the direction of travel is a hint, and only the robot's kinematics can
tell for certain (feet that slide at twice the walking speed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.rotations import quat_normalize, quat_rotate

Array = NDArray[Any]
Order = Literal["wxyz", "xyzw"]
ORDERS: tuple[Order, ...] = ("wxyz", "xyzw")
_X_AT: dict[Order, int] = {"wxyz": 1, "xyzw": 0}
"""The column of x in each, which that of y follows."""

UPRIGHT = 0.6
"""Mean height of the base's z axis above which a clip counts as upright (53 degrees)."""
MARGIN = 0.25
"""How much more upright one reading has to be than the other to decide."""
WALKING = 0.3
"""m/s below which the direction of travel says nothing."""


@dataclass(frozen=True)
class Evidence:
    """How each reading looks.

    Attributes:
        upright: cosine between the base's z axis and the vertical, by order; mean over the clip.
    """

    upright: dict[Order, float]

    @property
    def verdict(self) -> Order | None:
        """The order that the data prove, or None when both readings are possible."""
        first, second = sorted(ORDERS, key=lambda order: -self.upright[order])
        if self.upright[first] > UPRIGHT and self.upright[first] - self.upright[second] > MARGIN:
            return first
        return None

    def text(self, order: Order) -> str:
        return f"{order}: mean uprightness {self.upright[order]:+.2f}"


def reorder(columns: Array, order: Order) -> Array:
    """Quaternions wxyz [..., 4] from columns in `order`."""
    return columns if order == "wxyz" else np.roll(columns, 1, axis=-1)


def store(quat: Array, order: Order) -> Array:
    """Columns in `order` from quaternions wxyz [..., 4]."""
    return quat if order == "wxyz" else np.roll(quat, -1, axis=-1)


def gather_evidence(columns: Array) -> Evidence:
    """Look at both readings of `columns` [T, 4], of any length but zero."""
    square = columns * columns
    whole = square.sum(axis=1)
    # The height of a base's z axis is 1 - 2 (x^2 + y^2).
    return Evidence(
        {
            order: float(1.0 - 2.0 * (square[:, at : at + 2].sum(axis=1) / whole).mean())
            for order, at in _X_AT.items()
        }
    )


def ahead(columns: Array, order: Order, root_pos: Array, fps: float) -> float | None:
    """Mean cosine between heading and velocity while walking; None when it hardly moves.

    Args:
        columns: [T, 4], read in that order. root_pos: the base's path, [T, 3] m.
    """
    velocity = np.gradient(root_pos[:, :2], 1.0 / fps, axis=0)
    speed = np.linalg.norm(velocity, axis=1)
    moving = speed > WALKING
    if moving.mean() <= 0.2:
        return None
    quat = quat_normalize(reorder(columns, order))
    facing = quat_rotate(quat, np.array([1.0, 0.0, 0.0]))[:, :2]
    facing = facing / np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-9)
    along = np.sum(facing[moving] * velocity[moving], axis=1).sum()
    return float(along / speed[moving].sum())


def check_order(
    where: str, columns: Array, root_pos: Array, fps: float, declared: Order, given: Order | None
) -> tuple[Order, str]:
    """The order to read with, and a note about how sure it is.

    Args:
        declared: what the format says. given: the user's `--quaternion-order`, which wins.

    Raises `InputError` when the data contradict the declared order and no override is given.
    """
    evidence = gather_evidence(columns)
    verdict = evidence.verdict
    if given is not None:
        doubt = "" if verdict in (None, given) else f", although the data look like {verdict}"
        return given, f"quaternions read as {given}, as asked for{doubt}"
    if verdict is not None and verdict != declared:
        raise input_error(
            where,
            f"the base's quaternions are not {declared}, as this format declares",
            found=f"{evidence.text(declared)}; {evidence.text(verdict)}",
            expected="a base that stands upright",
            fix=f"if the file is {verdict}, say --quaternion-order {verdict} "
            f"(or {declared}, if the robot does lie there)",
        )
    if verdict == declared:
        return declared, f"quaternions {declared}, confirmed by the base's uprightness"
    hint = ""
    along = ahead(columns, declared, root_pos, fps)
    if along is not None and abs(along) > 0.5:
        hint = f"; read so, it walks {'forwards' if along > 0 else 'backwards'}"
    return declared, (
        f"quaternions {declared} as the format declares; the base's orientation alone cannot "
        f"confirm it{hint}"
    )
