"""Does an unnamed file keep to a joint order? Its own body rotations tell.

Between a link and the one before it only their hinge turns, so from the first frame to any other
the relative rotation has exactly the angle by which that joint's column has changed. No model of
the robot is needed beyond which link hangs on which.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import quat_conj, quat_log, quat_mul
from motions.robot.formats.orders import JOINT_ORDERS, parent_joint

Array = NDArray[Any]

TOLERANCE = 0.03
"""rad between a hinge's column and the rotation of its link; single precision allows 0.001."""
ENOUGH_MOTION = 0.1
"""rad the joints have to move for the test to mean anything."""


def hinge_mismatch(joint_pos: Array, body_quat: Array, joints: tuple[str, ...]) -> float:
    """Largest disagreement in rad between joint columns and body rotations in the order `joints`.

    Args:
        joint_pos: [T, J]. body_quat: [T, J + 1, 4] wxyz, the base and then one body per joint.
    """
    worst = 0.0
    for column, joint in enumerate(joints):
        above = parent_joint(joint)
        parent = 0 if above is None else joints.index(above) + 1
        relative = quat_mul(quat_conj(body_quat[:, parent]), body_quat[:, column + 1])
        turned = np.linalg.norm(quat_log(quat_mul(relative, quat_conj(relative[:1]))), axis=1)
        change = np.abs(joint_pos[:, column] - joint_pos[0, column])
        change = np.minimum(change, np.abs(2 * np.pi - change))
        worst = max(worst, float(np.abs(turned - change).max()))
    return worst


def proven_order(joint_pos: Array, body_quat: Array) -> str | None:
    """The only known order that fits the body rotations (wxyz), None when none or several do."""
    if np.ptp(joint_pos, axis=0).max(initial=0.0) < ENOUGH_MOTION:
        return None
    fits = [
        name
        for name, joints in JOINT_ORDERS.items()
        if joint_pos.shape[1] == len(joints)
        and body_quat.shape[1] == len(joints) + 1
        and hinge_mismatch(joint_pos, body_quat, joints) < TOLERANCE
    ]
    return fits[0] if len(fits) == 1 else None
