"""Which way a model has to be turned so that it stands upright and faces +x."""

from __future__ import annotations

import copy
import itertools

import mujoco
import numpy as np

from mimic_base.errors import RobotError
from robots.derive.anatomy import Anatomy, Array, joint_limits, world_axis
from robots.derive.geometry import body_points
from robots.derive.limbs import find_anatomy

Turn = tuple[float, float, float, float]
IDENTITY: Turn = (1.0, 0.0, 0.0, 0.0)
BACKWARD = -0.5
"""Score of `forward` below which a robot is taken to face the other way."""
_LONG = 0.25
"""Length of a leg as a share of the robot's largest extent, at least."""
_LEG_HINGES = 4
"""A model that has to be set upright needs so many in a leg: a dog on its hind legs has three."""


def find_turn(model: mujoco.MjModel, what: str) -> Turn:
    """Quaternion (wxyz) that turns the root's frame upright and facing +x at the zero pose.

    The model as it stands is preferred; then turned about the vertical, then any of the cube's 24
    orientations. Knees and toes tell front from back.

    Raises:
        RobotError: no orientation shows a humanoid; why not, is said of the model as it stands.
    """
    points = body_points(model, _kinematics(model))
    refused: RobotError | None = None
    stands = False
    try:
        anatomy = find_anatomy(model, what, points)
        stands = _stands(anatomy)
        if stands and forward(anatomy) >= BACKWARD:
            return IDENTITY
    except RobotError as error:
        refused = error
    best, found = (0.0 if stands else 0.3), None
    for turn in _cube_turns():
        level = abs(turn[1]) + abs(turn[2]) < 1e-9
        if stands and not level:
            continue  # upright as it is, only turned about
        try:
            anatomy = find_anatomy(turned(model, turn), what, _turned(model, points, turn))
        except RobotError:
            continue
        score = forward(anatomy)
        hinged = level or len(anatomy.legs[0].joints) >= _LEG_HINGES
        if score > best and hinged and _stands(anatomy):
            best, found = score, turn
    if found is not None:
        return found
    if refused is not None:
        raise refused
    return IDENTITY


def turned(model: mujoco.MjModel, turn: Turn) -> mujoco.MjModel:
    """A copy whose zero pose has the root's frame turned by `turn`."""
    other = copy.deepcopy(model)
    other.qpos0[3:7] = turn
    return other


def forward(anatomy: Anatomy) -> float:
    """How surely, -2..2, knees and toes say that it faces +x (1 and more) or -x (-1 and less)."""
    model, leg = anatomy.model, anatomy.legs[0]
    score = 0.0
    if model.jnt_limited[leg.bend]:
        low, high = joint_limits(model, leg.bend)
        sign = np.sign(world_axis(anatomy.data, model, leg.bend)[1])
        flexion, extension = (high, -low) if sign > 0 else (-low, high)
        score += float(np.clip((flexion - extension) / max(high - low, 1e-6), -1.0, 1.0))
    if leg.end in anatomy.points:
        cloud = anatomy.points[leg.end]
        low_part = cloud[cloud[:, 2] < cloud[:, 2].min() + 0.25 * np.ptp(cloud[:, 2])]
        ends = low_part[:, 0].min(), low_part[:, 0].max()
        ahead = 0.5 * sum(ends) - float(anatomy.data.xpos[leg.end][0])
        score += float(np.clip(4.0 * ahead / max(ends[1] - ends[0], 1e-6), -1.0, 1.0))
    return score


def _stands(anatomy: Anatomy) -> bool:
    """Whether the legs are long, hang straight down, and begin below the arms."""
    data, leg = anatomy.data, anatomy.legs[0]
    hip, ankle = data.xpos[leg.bodies[0]], data.xpos[leg.end]
    drop = float(hip[2] - ankle[2])
    size = float(np.ptp(data.xpos[1:], axis=0).max())
    above = float(data.xpos[anatomy.shoulder(0)][2]) > float(hip[2])
    return above and drop > _LONG * size and drop > 0.7 * float(np.linalg.norm(hip - ankle))


def _kinematics(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return data


def _turned(model: mujoco.MjModel, points: dict[int, Array], turn: Turn) -> dict[int, Array]:
    """Points of the untilted zero pose, turned about the root."""
    matrix, root = np.zeros(9), np.asarray(model.qpos0[:3])
    mujoco.mju_quat2Mat(matrix, np.array(turn))
    return {b: (cloud - root) @ matrix.reshape(3, 3).T + root for b, cloud in points.items()}


def _cube_turns() -> list[Turn]:
    """The 23 turns of a cube but none, those about the vertical first."""
    found: list[Turn] = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0.0:
                quat = np.zeros(4)
                mujoco.mju_mat2Quat(quat, matrix.ravel())
                w, x, y, z = (round(float(v), 9) for v in quat)
                found.append((w, x, y, z))
    found.sort(key=lambda t: abs(t[1]) + abs(t[2]))
    return [t for t in found if abs(t[0]) < 1.0]
