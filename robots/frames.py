"""Anatomical frames of the robot at its zero pose, read from the compiled model alone."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from mimic_base.vectors import Array, across, rotate_about
from robots.flexion import SURE, Bend, Side, sides_of_flexion
from robots.limb_axes import bone_axes
from robots.robot import Robot
from robots.segments import LIMBS, SIDES

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
        doubts: decisions for which the model speaks as much for as against, a clause each.
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
    doubts: tuple[str, ...] = ()

    @property
    def leg_length(self) -> float:
        return self.thigh_length + self.shank_length


def robot_frames(robot: Robot) -> RobotFrames:
    """Derive limb axes, flexion axes and feet of a robot from its zero pose.

    A limb's axis is the direction between its joints at the zero pose, or the world axis that it
    is drawn along: the small offsets of the joints from that line are mechanics, not anatomy, see
    `limb_axes`. Which way knees and elbows bend is weighed in `flexion`.
    """
    model = robot.model
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    body = {role: model.body(name).id for role, name in robot.human_map.items()}
    pos, mat = data.xpos.copy(), data.xmat.reshape(-1, 3, 3).copy()
    along, doubts = _bones(model, pos, mat, body)
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
    bends, told = _bends(robot, body, along, mat)
    doubts += told
    for side in SIDES:
        sign = 1.0 if side == "left" else -1.0
        for upper, lower, joint_role in (
            ("thigh", "shank", f"{side}_knee"),
            ("upper_arm", "forearm", f"{side}_elbow"),
        ):
            first, second = f"{side}_{upper}", f"{side}_{lower}"
            hinge = across(np.array([0.0, 1.0, 0.0]), along[first])
            if joint_role in bends:
                bend, judged = bends[joint_role]
                hinge, ranges = _flexion(bend, judged.sign, model)
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
        doubts=tuple(doubts),
    )


def _hinge_above(model: mujoco.MjModel, body: int, stop: int) -> bool:
    """Whether a hinge lies between `stop` and `body`, which hangs below it."""
    while body not in (0, stop):
        if int(model.body_jntnum[body]) > 0:
            return True
        body = int(model.body_parentid[body])
    return False


def _bones(
    model: mujoco.MjModel, pos: Array, mat: Array, body: dict[str, int]
) -> tuple[dict[str, Array], list[str]]:
    """Direction [3] of every limb segment at the zero pose, and what is doubtful about them."""
    along: dict[str, Array] = {}
    doubts = []
    for side in SIDES:
        for upper, lower, role in (("thigh", "shank", "knee"), ("upper_arm", "forearm", "elbow")):
            bones = []
            for segment in (f"{side}_{upper}", f"{side}_{lower}"):
                first, second = LIMBS[segment]
                bones.append(pos[body[second]] - pos[body[first]])
            index = body[f"{side}_{role}"]
            joint = _bending_hinge(model, index, bones[0], bones[1], mat)
            hinge = None if joint is None else mat[index] @ model.jnt_axis[joint]
            found = bone_axes(bones[0], bones[1], hinge)
            for segment, axis in zip((upper, lower), found, strict=True):
                along[f"{side}_{segment}"] = axis.along
                if axis.doubt:
                    doubts.append(f"{side} {segment.replace('_', ' ')}: {axis.doubt}")
    return along, doubts


def _bending_hinge(
    model: mujoco.MjModel, body: int, upper: Array, lower: Array, mat: Array
) -> int | None:
    """The hinge of a body that is most across both bones; the first of equals."""
    best, found = -1.0, None
    for joint in range(model.njnt):
        if int(model.jnt_bodyid[joint]) == body and int(model.jnt_type[joint]) == _HINGE:
            axis = mat[body] @ model.jnt_axis[joint]
            bent = min(
                float(np.linalg.norm(np.cross(axis, bone)) / max(np.linalg.norm(bone), 1e-9))
                for bone in (upper, lower)
            )
            if bent > best + 1e-6:
                best, found = bent, joint
    return found


def _bends(
    robot: Robot, body: dict[str, int], along: dict[str, Array], mat: Array
) -> tuple[dict[str, tuple[Bend, Side]], list[str]]:
    """Per role of knee and elbow its hinge and side of flexion, and what is doubtful about them."""
    model = robot.model
    found: dict[str, tuple[Bend, Side]] = {}
    doubts = []
    for upper, lower, role in (("thigh", "shank", "knee"), ("upper_arm", "forearm", "elbow")):
        pair: dict[str, Bend] = {}
        for side in SIDES:
            index = body[f"{side}_{role}"]
            bones = along[f"{side}_{upper}"], along[f"{side}_{lower}"]
            joint = _bending_hinge(model, index, *bones, mat)
            if joint is None:
                continue
            axis = mat[index] @ model.jnt_axis[joint]
            reference = float(model.qpos0[model.jnt_qposadr[joint]])
            limited = bool(model.jnt_limited[joint])
            low, high = model.jnt_range[joint] if limited else (-np.pi, np.pi)
            bend = Bend(
                joint=joint,
                axis=axis,
                upper=bones[0],
                lower=bones[1],
                low=float(low) - reference,
                high=float(high) - reference,
                default=float(robot.default_joint_pos[joint - 1]) - reference,
                knee=role == "knee",
                side=1.0 if side == "left" else -1.0,
            )
            if bend.turns:
                pair[f"{side}_{role}"] = bend
        if len(pair) == 2:
            left, right = pair.values()
            judged = sides_of_flexion(left, right)
        else:
            judged = tuple(sides_of_flexion(bend, bend)[0] for bend in pair.values())
        for (name, bend), side in zip(pair.items(), judged, strict=True):
            found[name] = bend, side
            if side.confidence < SURE:
                doubts.append(f"{name.replace('_', ' ')}: {side.reason}")
    return found, doubts


def _flexion(
    bend: Bend, sign: float, model: mujoco.MjModel
) -> tuple[Array, dict[int, tuple[float, float]]]:
    """Flexion axis of a knee or elbow, and its range without over-extension.

    The axis is in the world at the zero pose and points along upper x lower when bent.
    """
    angles = np.linspace(bend.low, bend.high, 361)
    swept = rotate_about(bend.lower[None], bend.axis[None], angles)
    hinge = bend.axis * sign
    turned = np.arctan2(np.cross(bend.upper, swept) @ hinge, swept @ bend.upper)
    human = angles[turned > -np.radians(_OVER_EXTENSION_DEG)]
    if not len(human):
        human = angles
    human = human + float(model.qpos0[model.jnt_qposadr[bend.joint]])
    return across(hinge, bend.upper), {bend.joint - 1: (float(human.min()), float(human.max()))}


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
