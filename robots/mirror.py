"""Left and right: which body is the other's mirror image, and where its points are."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import RobotError

_FLIP = np.array([1.0, -1.0, 1.0])
_PAIRS = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))


def other_side(name: str) -> list[str]:
    """Names that the mirror image of a left part may have, the likeliest first."""
    found = [name.replace(a, b) for a, b in _PAIRS if a in name]
    found += [f"{name[:i]}r{name[i + 1 :]}" for i, c in enumerate(name) if c == "l"]
    found += [f"{name[:i]}R{name[i + 1 :]}" for i, c in enumerate(name) if c == "L"]
    return found


@dataclass(frozen=True, eq=False)
class Mirror:
    """Mirror images across the robot's middle plane (y = 0 at the zero pose).

    Attributes:
        model: the vendor's model. pos, mat: [B, 3], [B, 3, 3] of its bodies at the zero pose.
    """

    model: mujoco.MjModel
    pos: NDArray[np.float64]
    mat: NDArray[np.float64]

    @classmethod
    def of(cls, model: mujoco.MjModel) -> Mirror:
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        return cls(model, data.xpos.copy(), data.xmat.reshape(-1, 3, 3).copy())

    def body(self, name: str) -> str:
        """The body on the right that mirrors the left body `name`.

        Raises:
            RobotError: the name is not a left body's.
        """
        names = {self.model.body(i).name for i in range(self.model.nbody)}
        for other in other_side(name):
            if other in names:
                return other
        raise RobotError(f"mirror of body '{name}': it is not a left body with a right one")

    def name(self, name: str) -> str:
        """The likeliest name of the mirror image of a thing that is not in the model."""
        candidates = other_side(name)
        if not candidates:
            raise RobotError(f"mirror of '{name}': the name does not say that it is on the left")
        return candidates[0]

    def point(self, body: str, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mirror image of `point` [3] m (in `body`'s frame), in the frame of the mirror body."""
        a, b = self.model.body(body).id, self.model.body(self.body(body)).id
        turned = _FLIP[:, None] * self.mat[a] * _FLIP
        if np.allclose(turned, self.mat[b], atol=1e-5):
            return point * _FLIP  # the usual case, free of rounding
        root = self.pos[1]
        image = _FLIP * (self.pos[a] + self.mat[a] @ point - root) + root
        return self.mat[b].T @ (image - self.pos[b])
