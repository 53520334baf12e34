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

UPRIGHT = 0.6
"""Mean height of the base's z axis above which a clip counts as upright (53 degrees)."""
MARGIN = 0.25
"""How much more upright one reading has to be than the other to decide."""
WALKING = 0.3
"""m/s below which the direction of travel says nothing."""


@dataclass(frozen=True)
class Evidence:
    """How each reading looks; means over the clip.

    Attributes:
        upright: cosine between the base's z axis and the vertical, by order.
        ahead: cosine between heading and velocity while walking; None when it hardly moves.
    """

    upright: dict[Order, float]
    ahead: dict[Order, float | None]

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


def gather_evidence(columns: Array, root_pos: Array, fps: float) -> Evidence:
    """Look at both readings of `columns` [T, 4] along the path `root_pos` [T, 3] m."""
    velocity = np.gradient(root_pos[:, :2], 1.0 / fps, axis=0)
    speed = np.linalg.norm(velocity, axis=1)
    moving = speed > WALKING
    upright: dict[Order, float] = {}
    ahead: dict[Order, float | None] = {}
    for order in ORDERS:
        quat = quat_normalize(reorder(columns, order))
        upright[order] = float(quat_rotate(quat, np.array([0.0, 0.0, 1.0]))[:, 2].mean())
        facing = quat_rotate(quat, np.array([1.0, 0.0, 0.0]))[:, :2]
        facing = facing / np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-9)
        ahead[order] = (
            float(np.sum(facing[moving] * velocity[moving], axis=1).sum() / speed[moving].sum())
            if moving.mean() > 0.2
            else None
        )
    return Evidence(upright, ahead)


def check_order(
    where: str, columns: Array, root_pos: Array, fps: float, declared: Order, given: Order | None
) -> tuple[Order, str]:
    """The order to read with, and a note about how sure it is.

    Args:
        declared: what the format says. given: the user's `--quaternion-order`, which wins.

    Raises `InputError` when the data contradict the declared order and no override is given.
    """
    evidence = gather_evidence(columns, root_pos, fps)
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
    ahead = evidence.ahead[declared]
    if ahead is not None and abs(ahead) > 0.5:
        hint = f"; read so, it walks {'forwards' if ahead > 0 else 'backwards'}"
    return declared, (
        f"quaternions {declared} as the format declares; the base's orientation alone cannot "
        f"confirm it{hint}"
    )
