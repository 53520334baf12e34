"""Anatomical frames of the robot at its zero pose, read from the compiled model alone."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from mimic_base.vectors import Array, across, rotate_about, unit
from robots.robot import Robot
from robots.segments import LIMBS, SIDES

_SNAP_DEG = 30.0
_OVER_EXTENSION_DEG = 2.0


@dataclass(frozen=True)
class LinkFrame:
    """Two perpendicular unit vectors fixed in a link; their meaning depends on the segment.

    ========== ===================== ==========================================
    segment    primary               secondary
    ========== ===================== ==========================================
    pelvis     left                  up
    chest      up                    left
    limbs      along the bone        flexion axis of knee or elbow
    foot       up from the sole      forward
    hand       along the fingers     out of the palm
    ========== ===================== ==========================================
    """

    body: int
    """Body index in the model."""
    primary: Array
    secondary: Array


@dataclass(frozen=True)
class RobotFrames:
    """What the retargeter knows of a robot's anatomy.

    Attributes:
        links: per segment (see `segments.SEGMENTS`) its body and axes.
        thigh_length, shank_length: m, mean of both sides.
        sole_height: m from the sole up to the ankle body's origin, standing.
        hips: m, middle of both hip joints in the frame of the floating base.
        soles: per foot [K, 3] m points of the sole, seen from the ankle body's origin in the
            foot's anatomical frame (forward, left, up; the world's at the zero pose).
        heel, ball: per foot the middle of the sole's rear and front edge, in the same frame.
        flexion: joint index (among the hinges) -> lowest and highest angle at which a knee or elbow
            is bent the human way or straight; within the joint's own range.
        foot_turns: per foot the rotation from its link frame to the anatomical one.
        rigid: segments that no hinge moves against the one before; they follow no target.
    """

    links: dict[str, LinkFrame]
    thigh_length: float
    shank_length: float
    sole_height: float
    hips: Array
    soles: tuple[Array, Array]
    heel: tuple[Array, Array]
    ball: tuple[Array, Array]
    flexion: dict[int, tuple[float, float]]
    foot_turns: tuple[Array, Array]
    rigid: frozenset[str] = frozenset()

    @property
    def leg_length(self) -> float:
        return self.thigh_length + self.shank_length


def robot_frames(robot: Robot) -> RobotFrames:
    """Derive limb axes, flexion axes and feet of a robot from its zero pose.

    A limb's axis is the direction between its joints at the zero pose, snapped to the world axis
    it is within 30 degrees of: links are drawn along the axes, and the small offsets of the joints
    from that line are mechanics, not anatomy.
    """
    model = robot.model
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    body = {role: model.body(name).id for role, name in robot.human_map.items()}
    pos, mat = data.xpos.copy(), data.xmat.reshape(-1, 3, 3).copy()
    along = {seg: _snap(pos[body[b]] - pos[body[a]]) for seg, (a, b) in LIMBS.items()}
    links: dict[str, LinkFrame] = {}
    flexion: dict[int, tuple[float, float]] = {}

    def add(segment: str, index: int, primary: Array, secondary: Array) -> None:
        to_link = mat[index].T
        links[segment] = LinkFrame(index, to_link @ primary, to_link @ secondary)

    left = np.array([0.0, 1.0, 0.0])
    up = np.array([0.0, 0.0, 1.0])
    forward = np.array([1.0, 0.0, 0.0])
    add("pelvis", body["pelvis"], left, up)
    add("chest", body["chest"], up, left)
    for side in SIDES:
        sign = 1.0 if side == "left" else -1.0
        for upper, lower, joint_role in (
            ("thigh", "shank", f"{side}_knee"),
            ("upper_arm", "forearm", f"{side}_elbow"),
        ):
            first, second = f"{side}_{upper}", f"{side}_{lower}"
            bones = along[first], along[second]
            hinge, ranges = _flexion(model, body[joint_role], *bones, mat)
            flexion.update(ranges)
            add(first, body[LIMBS[first][0]], along[first], hinge)
            add(second, body[LIMBS[second][0]], along[second], hinge)
            if lower == "forearm":
                # Half-way between pronation and supination the palm faces along the elbow's
                # flexion axis, towards the body; robots are built to that middle.
                hand = body[f"{side}_wrist"]
                add(f"{side}_hand", hand, along[second], sign * hinge)
        foot = model.body(robot.feet[SIDES.index(side)]).id
        add(f"{side}_foot", foot, up, forward)
    rigid = {
        f"{side}_hand"
        for side in SIDES
        if not _hinge_above(model, body[f"{side}_wrist"], body[f"{side}_elbow"])
    }
    heel, ball, soles, turns = [], [], [], []
    for name, points in zip(robot.feet, robot.sole_points, strict=True):
        turn = mat[model.body(name).id]
        standing = points @ turn.T
        soles.append(standing)
        turns.append(turn)
        for edge, x in ((heel, standing[:, 0].min()), (ball, standing[:, 0].max())):
            middle = standing[np.abs(standing[:, 0] - x) < 0.01].mean(axis=0)
            edge.append(np.array([x, middle[1], standing[:, 2].min()]))
    thigh, shank, hips = _legs(model, pos, body)
    return RobotFrames(
        links=links,
        thigh_length=thigh,
        shank_length=shank,
        sole_height=-float(np.mean([sole[:, 2].min() for sole in soles])),
        hips=mat[1].T @ (hips - pos[1]),
        heel=(heel[0], heel[1]),
        ball=(ball[0], ball[1]),
        soles=(soles[0], soles[1]),
        flexion=flexion,
        foot_turns=(turns[0], turns[1]),
        rigid=frozenset(rigid),
    )


def _hinge_above(model: mujoco.MjModel, body: int, stop: int) -> bool:
    """Whether a hinge lies between `stop` and `body`, which hangs below it."""
    while body not in (0, stop):
        if int(model.body_jntnum[body]) > 0:
            return True
        body = int(model.body_parentid[body])
    return False


def _snap(v: Array) -> Array:
    v = unit(v)
    k = int(np.abs(v).argmax())
    axis = np.zeros(3)
    axis[k] = np.sign(v[k])
    return axis if axis @ v > np.cos(np.radians(_SNAP_DEG)) else v


def _flexion(
    model: mujoco.MjModel, child: int, upper: Array, lower: Array, mat: Array
) -> tuple[Array, dict[int, tuple[float, float]]]:
    """Flexion axis of the joint of body `child`, and its range without over-extension.

    The axis is in the world at the zero pose and points along upper x lower when bent.
    """
    hinges = [
        j
        for j in range(model.njnt)
        if int(model.jnt_bodyid[j]) == child and int(model.jnt_type[j]) == _HINGE
    ]
    if not hinges:
        return across(np.array([0.0, 1.0, 0.0]), upper), {}
    joint = hinges[0]
    axis = mat[child] @ model.jnt_axis[joint]
    low, high = model.jnt_range[joint] if model.jnt_limited[joint] else (-np.pi, np.pi)
    angles = np.linspace(low, high, 361)
    swept = rotate_about(lower[None], axis[None], angles)
    normals = np.cross(upper, swept)
    # The pose bent most clearly tells which way is flexion.
    best = normals[np.linalg.norm(normals, axis=1).argmax()]
    if abs(best @ axis) < 1e-6:
        return across(np.array([0.0, 1.0, 0.0]), upper), {}
    hinge = axis * np.sign(best @ axis)
    bend = np.arctan2(normals @ hinge, swept @ upper)
    human = angles[bend > -np.radians(_OVER_EXTENSION_DEG)]
    return across(hinge, upper), {joint - 1: (float(human.min()), float(human.max()))}


_HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)


def _legs(model: mujoco.MjModel, pos: Array, body: dict[str, int]) -> tuple[float, float, Array]:
    """Thigh and shank length, and the middle of the hips [3].

    Several motors share the hip; the first of them, nearest to the pelvis, marks its height.
    """
    thigh, shank, hips = [], [], []
    for side in SIDES:
        knee, ankle = pos[body[f"{side}_knee"]], pos[body[f"{side}_ankle"]]
        hip = body[f"{side}_hip"]
        while int(model.body_parentid[hip]) not in (0, body["pelvis"]):
            hip = int(model.body_parentid[hip])
        hips.append(pos[hip])
        thigh.append(float(pos[hip][2] - knee[2]))
        shank.append(float(np.linalg.norm(knee - ankle)))
    return float(np.mean(thigh)), float(np.mean(shank)), np.mean(hips, axis=0)
