"""A standing pose with bent knees, found numerically: soles level, centre of mass above them."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
from scipy.optimize import least_squares

from robots.derive.anatomy import Anatomy, Array, Limb, joint_limits, world_axis
from robots.derive.soles import Sole

KNEE_BEND = 0.6
"""rad of flexion from the straightest the knee can be."""
_UPPER_ARM = (0.0, 0.2, -1.0)
_FOREARM = (0.45, 0.05, -1.0)


def standing_pose(anatomy: Anatomy, soles: tuple[Sole, Sole]) -> dict[int, float]:
    """Angles (rad) per joint index; joints left out stay at zero.

    The left side is solved; the right one is its mirror image.
    """
    model = anatomy.model
    data = mujoco.MjData(model)
    _solve_arm(anatomy, data)
    _solve_leg(anatomy, data, soles[0])
    pose = {}
    for left, right in (anatomy.legs, anatomy.arms):
        for a, b in zip(left.joints, right.joints, strict=True):
            for joint in (a, b):
                pose[joint] = round(float(data.qpos[model.jnt_qposadr[joint]]), 4)
    for joint in range(1, model.njnt):
        # A joint's reference angle is where the model is drawn: not always zero.
        pose.setdefault(joint, round(float(model.qpos0[model.jnt_qposadr[joint]]), 4))
    return {joint: value for joint, value in pose.items() if value}


def mirrored_sign(anatomy: Anatomy, left: int, right: int) -> float:
    """Factor from the angle of a left joint to that of the right one in a symmetric pose."""
    x, y, z = world_axis(anatomy.data, anatomy.model, left)
    image = np.array([-x, y, -z])
    return 1.0 if image @ world_axis(anatomy.data, anatomy.model, right) > 0 else -1.0


def _solve(
    anatomy: Anatomy,
    data: mujoco.MjData,
    limbs: tuple[Limb, Limb],
    residual: Callable[[Array], Array],
    start: Array,
) -> None:
    """Minimise `residual` over a limb's joints, both sides moving as mirror images."""
    model = anatomy.model
    left, right = limbs
    address = [int(model.jnt_qposadr[j]) for j in left.joints]
    other = [int(model.jnt_qposadr[j]) for j in right.joints]
    signs = np.array(
        [mirrored_sign(anatomy, a, b) for a, b in zip(left.joints, right.joints, strict=True)]
    )
    limits = np.array([joint_limits(model, j) for j in left.joints])
    centre, half = limits.mean(axis=1), 0.45 * (limits[:, 1] - limits[:, 0])
    low, high = centre - half, centre + half

    def put(angles: Array) -> None:
        data.qpos[address] = angles
        data.qpos[other] = signs * angles
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)

    def cost(angles: Array) -> Array:
        put(angles)
        return residual(angles)

    middle = np.clip(start, low + 1e-3, high - 1e-3)
    put(least_squares(cost, middle, bounds=(low, high), x_scale=0.3, max_nfev=200).x)


def _solve_arm(anatomy: Anatomy, data: mujoco.MjData) -> None:
    left = anatomy.arms[0]
    first = anatomy.shoulder(0)

    def residual(angles: Array) -> Array:
        shoulder, elbow = data.xpos[first], data.xpos[left.middle]
        wrist = data.xpos[left.end] + data.xmat[left.end].reshape(3, 3) @ left.tip
        return np.concatenate(
            [
                _unit(elbow - shoulder) - _unit(np.array(_UPPER_ARM)),
                _unit(wrist - elbow) - _unit(np.array(_FOREARM)),
                0.03 * angles,
            ]
        )

    # A T-pose is a saddle for some arms: begin a little bent.
    _solve(anatomy, data, anatomy.arms, residual, np.full(len(left.joints), -0.1))


def _solve_leg(anatomy: Anatomy, data: mujoco.MjData, sole: Sole) -> None:
    left = anatomy.legs[0]
    reach = float(np.linalg.norm(anatomy.data.xpos[left.bodies[0]] - anatomy.data.xpos[left.end]))
    # Below the hips, also where the model is drawn with its legs apart.
    hip, ankle = (float(anatomy.data.xpos[b][1]) for b in (left.upper, left.end))
    wide = float(np.clip(ankle, 0.5 * hip, hip + 0.1 * reach))
    knee = left.joints.index(left.bend)
    bent = bent_knee(anatomy, left)
    centre = sole.points.mean(axis=0)

    def residual(angles: Array) -> Array:
        turn = data.xmat[left.end].reshape(3, 3)
        up, forward = turn @ sole.up, turn @ sole.forward
        place = data.xpos[left.end] + turn @ centre
        return np.concatenate(
            [
                30.0 * up[:2],
                [
                    3.0 * forward[1],
                    20.0 * (data.subtree_com[0][0] - place[0]) / reach,
                    2.0 * (data.xpos[left.end][1] - wide) / reach,
                    3.0 * (angles[knee] - bent),
                ],
                0.01 * angles,
            ]
        )

    start = np.zeros(len(left.joints))
    start[knee] = bent
    _solve(anatomy, data, anatomy.legs, residual, start)


def bent_knee(anatomy: Anatomy, leg: Limb, bend: float = KNEE_BEND) -> float:
    """Angle of the knee joint that bends it the human way by `bend` rad from straight."""
    model = anatomy.model
    straight, sign = straight_angle(anatomy, leg)
    low, high = joint_limits(model, leg.bend)
    return float(np.clip(straight + sign * bend, low, high))


def straight_angle(anatomy: Anatomy, leg: Limb) -> tuple[float, float]:
    """The knee's angle at which the leg is longest, and the sign of human flexion.

    A human knee bends so that the shank goes back: about the body's left axis.
    """
    model, data = anatomy.model, mujoco.MjData(anatomy.model)
    low, high = joint_limits(model, leg.bend)
    address = int(model.jnt_qposadr[leg.bend])
    angles = np.linspace(max(low, -1.0), min(high, 1.0), 81)
    reach = []
    for angle in angles:
        data.qpos[address] = angle
        mujoco.mj_kinematics(model, data)
        reach.append(np.linalg.norm(data.xpos[leg.end] - data.xpos[leg.upper]))
    # Links are drawn straight; small offsets of the joints from the line are mechanics.
    at_zero = float(np.interp(0.0, angles, reach))
    straight = 0.0 if at_zero > 0.97 * max(reach) else float(angles[int(np.argmax(reach))])
    sign = 1.0 if world_axis(anatomy.data, model, leg.bend)[1] > 0 else -1.0
    return straight, sign


def _unit(v: Array) -> Array:
    return v / max(float(np.linalg.norm(v)), 1e-9)
