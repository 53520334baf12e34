"""Quality of a retargeted clip: contact, limits, smoothness, self-collision, faithfulness.

Thresholds are those of the project's benchmark. Speeds are differences of neighbouring frames.

contact     a foot's clearance is the height of its lowest sole point. Penetration is what is under
            the ground; a clip floats while its lower foot is more than 3 cm up. Skate is the
            horizontal speed of the lowest sole point (foot sliding) while it stays under 2 cm
            (`foot`), while the *source's* foot stands (`source_contact`: any part of it touches,
            so rolling, pivoting and dragged feet count), or while it stands with its ball at rest
            (`source_planted`, close to the stance masks of the benchmark's evaluator).
            `source_skate_mean_mps` is what the person's own balls do on the same frames.
fidelity    angle between the source's bones and the robot's limb axes; an axis is fixed in the
            link, the world axis nearest to the limb at the zero pose.
limits      shares of (frame, joint) samples beyond the vendor's range or within 1 mrad of it.
velocity    of the hinges; beyond 10 rad/s, and beyond each joint's own limit.
jumps       steps over 0.5 rad in a frame; `rel` are steps over 0.2 rad and five times the median
            step within a second.
smooth      mean absolute acceleration and jerk of the hinges, mean jerk of the root.
self        depth of contacts between links that are not parent, grandparent or sibling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from mimic_base.stretches import stretches
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array, dot, unit
from mimic_base.windows import windows
from motions import HumanMotion
from robots.collision import (
    CheckGeometry,
    check_geometry,
    lowest_point,
    self_contacts,
    sole_paths,
)
from robots.frames import robot_frames
from robots.kinematics import forward_kinematics
from robots.robot import Robot
from robots.segments import LIMBS

CONTACT_HEIGHT = 0.02
FLOAT_HEIGHT = 0.03
DEEP = 0.01
SKATE_SPEED = 0.10
FAST = 10.0
JUMP = 0.5
AT_LIMIT = 1e-3


def measure(
    robot: Robot,
    fps: float,
    root_pos: Array,
    root_quat: Array,
    joint_pos: Array,
    *,
    source: HumanMotion | None = None,
    contact: Array | None = None,
    planted: Array | None = None,
    soles: Array | None = None,
    ground: Surface = FLAT,
) -> dict[str, Any]:
    """All quality figures, as nested plain numbers.

    Args:
        root_pos, root_quat, joint_pos: [T, 3] m, [T, 4] wxyz, [T, J] rad in the robot's order.
        source: the person at the same frames, for faithfulness.
        contact: [T, 2] bool, left and right foot of the source stands.
        planted: [T, 2] bool, feet of the source that stand with their ball at rest.
        soles: [T, 2, 3] m paths of the source's balls at the robot's size: how far the person's
            own feet slide on the frames of both masks.
        ground: the surface over which heights count, along the vertical.

    Raises `ValueError` when `source` or `contact` have another number of frames.
    """
    frames = len(joint_pos)
    for other in (
        source.num_frames if source else frames,
        frames if contact is None else len(contact),
    ):
        if other != frames:
            raise ValueError(f"the motion has {frames} frames, what it is compared with {other}")
    geometry = check_geometry(robot)
    names = robot.body_names
    soles_of: list[list[_Sole]] = [[], []]
    lowest, errors = [], []
    for part in stretches(frames):
        # With the frame that follows: speeds are differences.
        more = slice(part.start, min(part.stop + 1, frames))
        pos, quat = forward_kinematics(robot, root_pos[more], root_quat[more], joint_pos[more])
        paths = sole_paths(geometry, names, pos, quat)
        count = part.stop - part.start
        for foot, path in zip(soles_of, paths, strict=True):
            if not ground.is_flat:
                path[..., 2] = ground.clearance(path)
            foot.append(_Sole.of(path, count, fps))
        pos, quat = pos[:count], quat[:count]
        lowest.append(lowest_point(geometry, names, pos, quat, ground))
        if source is not None:
            errors.append(limb_errors(robot, source, quat, part))
    feet = [_Sole.joined(foot) for foot in soles_of]
    low = np.concatenate(lowest)
    result: dict[str, Any] = {"frames": frames, "fps": float(fps), "seconds": frames / fps}
    result["foot"] = _foot(feet, fps)
    if source is not None:
        error = {limb: np.concatenate([each[limb] for each in errors]) for limb in LIMBS}
        result["fidelity"] = _fidelity(error, source, root_pos)
    if contact is not None:
        result["source_contact"] = _source_contact(feet, np.asarray(contact, bool), fps, soles)
    if planted is not None:
        result["source_planted"] = _source_contact(feet, np.asarray(planted, bool), fps, soles)
    result["any_geom_ground_pen"] = {
        "rate_1cm": float((-low > DEEP).mean()),
        "max_m": float(max(0.0, -low.min())),
    }
    result.update(_limits(robot, geometry, joint_pos))
    result["velocity"], result["jumps"] = _speed(robot, joint_pos, fps)
    result["smooth"] = _smooth(root_pos, joint_pos, fps)
    result["self_collision"] = _self_collision(robot, geometry, root_pos, root_quat, joint_pos)
    return result


@dataclass(frozen=True)
class _Sole:
    """What the sole points of one foot do.

    Attributes:
        clear: [T] m height of the lowest of them over the ground.
        speed: [T-1] m/s horizontal, of the one that is lowest at the first of two frames.
        near: [N] m/s horizontal, of each that is within 2.5 mm of the ground at the first of two.
    """

    clear: Array
    speed: Array
    near: Array

    @classmethod
    def of(cls, path: Array, frames: int, fps: float) -> _Sole:
        """From the paths [T, K, 3] m of its points over `frames`, and the frame after where there
        is one."""
        speed = np.linalg.norm(np.diff(path[:, :, :2], axis=0), axis=-1) * fps
        lowest = path[:, :, 2].argmin(axis=1)
        return cls(
            path[:frames, :, 2].min(axis=1),
            speed[np.arange(len(speed)), lowest[: len(speed)]],
            speed[np.abs(path[:-1, :, 2]) < 0.0025],
        )

    @classmethod
    def joined(cls, parts: list[_Sole]) -> _Sole:
        """One stretch of frames after the other."""
        return cls(
            np.concatenate([part.clear for part in parts]),
            np.concatenate([part.speed for part in parts]),
            np.concatenate([part.near for part in parts]),
        )


def _foot(soles: list[_Sole], fps: float) -> dict[str, Any]:
    clear = np.stack([sole.clear for sole in soles], axis=1)
    lowest = clear.min(axis=1)
    depth = np.maximum(0.0, -lowest)
    on = clear < CONTACT_HEIGHT
    skate = []
    for foot, sole in enumerate(soles):
        both = on[1:, foot] & on[:-1, foot]
        skate.append(sole.speed[both])
    skate, near = np.concatenate(skate), np.concatenate([sole.near for sole in soles])
    deep = depth > DEEP
    some = len(skate) > 0
    return {
        "pen_rate": float(deep.mean()),
        "pen_max_m": float(depth.max()),
        "pen_mean_m": float(depth.mean()),
        "pen_mean_when_m": float(depth[deep].mean()) if deep.any() else 0.0,
        "float_rate": float((lowest > FLOAT_HEIGHT).mean()),
        "float_mean_m": float(np.maximum(0.0, lowest).mean()),
        "clearance_median_m": float(np.median(lowest)),
        "contact_ratio": float(on.mean()),
        "n_contact_samples": int(len(skate)),
        "skate_mean_mps": float(skate.mean()) if some else None,
        "skate_p95_mps": float(np.percentile(skate, 95)) if some else None,
        "skate_rate": float((skate > SKATE_SPEED).mean()) if some else None,
        "skate_phuma_mps": float(near.mean()) if len(near) else None,
        "omni_skate_dur": float((skate / fps > 0.01).mean()) if some else None,
    }


def _source_contact(
    soles: list[_Sole], contact: Array, fps: float, source: Array | None
) -> dict[str, Any]:
    speed, clear, own = [], [], []
    for foot, sole in enumerate(soles):
        both = contact[1:, foot] & contact[:-1, foot]
        speed.append(sole.speed[both])
        clear.append(sole.clear[contact[:, foot]])
        if source is not None:
            steps = np.linalg.norm(np.diff(source[:, foot, :2], axis=0), axis=1) * fps
            own.append(steps[both])
    speed, clear = np.concatenate(speed), np.concatenate(clear)
    if not len(speed):
        return {"n": 0, "ratio": float(contact.mean())}
    same = {"source_skate_mean_mps": float(np.concatenate(own).mean())} if own else {}
    return {
        "n": int(len(speed)),
        "ratio": float(contact.mean()),
        "skate_mean_mps": float(speed.mean()),
        "skate_p95_mps": float(np.percentile(speed, 95)),
        "skate_rate": float((speed > SKATE_SPEED).mean()),
        "omni_skate_dur": float((speed / fps > 0.01).mean()),
        "clearance_abs_mean_m": float(np.abs(clear).mean()),
        "float_rate_3cm": float((clear > FLOAT_HEIGHT).mean()),
        "pen_rate_1cm": float((clear < -DEEP).mean()),
        **same,
    }


def _fidelity(error: dict[str, Array], source: HumanMotion, root_pos: Array) -> dict[str, Any]:
    every = np.stack(list(error.values()), axis=1)
    leg = np.stack([e for k, e in error.items() if "thigh" in k or "shank" in k], axis=1)
    arm = np.stack([e for k, e in error.items() if "arm" in k], axis=1)
    path = _path_length(source.role("pelvis"))
    return {
        "limb_dir_err_mean_deg": float(every.mean()),
        "leg_deg": float(leg.mean()),
        "arm_deg": float(arm.mean()),
        "p95_deg": float(np.percentile(every, 95)),
        "root_path_ratio": float(_path_length(root_pos) / path) if path > 0 else None,
    }


def limb_errors(
    robot: Robot, source: HumanMotion, quat: Array, frames: slice = slice(None)
) -> dict[str, Array]:
    """Angle [T] deg between each limb of the source and of the robot, by the limb's name.

    `quat` [T, B, 4] are the orientations of the robot's bodies at `frames` of the source.
    """
    links = robot_frames(robot).links
    error = {}
    for limb, (start, end) in LIMBS.items():
        bone = unit(source.role(end)[frames] - source.role(start)[frames])
        link = links[limb]
        axis = _rotate(quat[:, link.body - 1], link.primary)
        error[limb] = np.degrees(np.arccos(np.clip(dot(bone, axis), -1.0, 1.0)))
    return error


def _rotate(quat: Array, v: Array) -> Array:
    w, u = quat[:, :1], quat[:, 1:]
    t = 2.0 * np.cross(u, v)
    return v + w * t + np.cross(u, t)


def _path_length(pos: Array) -> float:
    return float(np.linalg.norm(np.diff(pos[:, :2], axis=0), axis=1).sum())


def _limits(robot: Robot, geometry: CheckGeometry, q: Array) -> dict[str, Any]:
    model = geometry.model
    joints = [model.joint(name).id for name in robot.joint_names]
    low, high = model.jnt_range[joints].T
    limited = model.jnt_limited[joints].astype(bool)
    excess = np.maximum(np.maximum(low - q, q - high), 0.0) * limited
    beyond = excess > 1e-6
    near = ((q - low) < AT_LIMIT) | ((high - q) < AT_LIMIT)
    return {
        "joint_limit": {
            "frame_rate": float(beyond.any(axis=1).mean()),
            "sample_rate": float(beyond.mean()),
            "max_excess_rad": float(excess.max()),
        },
        "near_limit_sample_rate": float(near[:, limited].mean()) if limited.any() else 0.0,
    }


def _speed(robot: Robot, q: Array, fps: float) -> tuple[dict[str, Any], dict[str, Any]]:
    step = np.abs(np.diff(q, axis=0))
    speed = step * fps
    velocity = {
        "max": float(speed.max()),
        "p99": float(np.percentile(speed, 99)),
        "mean": float(speed.mean()),
        "rate_gt": float((speed > FAST).mean()),
        "frame_rate_gt": float((speed > FAST).any(axis=1).mean()),
        "over_own_limit_rate": float((speed > robot.velocity_limit).mean()),
        "worst_joint": robot.joint_names[int(speed.max(axis=0).argmax())],
    }
    window = max(3, int(fps) | 1)
    fast = step > 0.2
    usual = np.median(windows(step, window)[fast], axis=-1)
    relative = fast.copy()
    relative[fast] = step[fast] > 5 * usual
    jumps = {
        "count": int((step > JUMP).sum()),
        "frame_rate": float((step > JUMP).any(axis=1).mean()),
        "rel_count": int(relative.sum()),
        "rel_frame_rate": float(relative.any(axis=1).mean()),
    }
    return velocity, jumps


def _smooth(root_pos: Array, q: Array, fps: float) -> dict[str, Any]:
    def mean_abs(order: int) -> float | None:
        if len(q) <= order:
            return None
        return float(np.abs(np.diff(q, n=order, axis=0)).mean() * fps**order)

    jerk = np.linalg.norm(np.diff(root_pos, n=3, axis=0), axis=1) * fps**3
    speed = np.linalg.norm(np.diff(root_pos, axis=0), axis=1) * fps
    return {
        "mean_abs_acc": mean_abs(2),
        "mean_abs_jerk": mean_abs(3),
        "root_jerk": float(jerk.mean()) if len(jerk) else None,
        "root_lin_speed_max": float(speed.max()),
    }


def _self_collision(
    robot: Robot, geometry: CheckGeometry, root_pos: Array, root_quat: Array, q: Array
) -> dict[str, Any]:
    model = geometry.model
    data = mujoco.MjData(model)
    free = next(j for j in range(model.njnt) if int(model.jnt_type[j]) == _FREE)
    address = int(model.jnt_qposadr[free])
    joints = [int(model.jnt_qposadr[model.joint(name).id]) for name in robot.joint_names]
    depth = np.zeros(len(q))
    pairs: dict[str, int] = {}
    for t in range(len(q)):
        data.qpos[address : address + 3] = root_pos[t]
        data.qpos[address + 3 : address + 7] = root_quat[t]
        data.qpos[joints] = q[t]
        mujoco.mj_kinematics(model, data)
        found = self_contacts(model, data, geometry.touching)
        if found:
            depth[t] = max(0.0, -min(distance for _, distance in found))
            for a, b in {pair for pair, distance in found if -distance > DEEP}:
                name = f"{model.body(a).name}|{model.body(b).name}"
                pairs[name] = pairs.get(name, 0) + 1
    worst = sorted(pairs.items(), key=lambda item: -item[1])[:6]
    return {
        "rate_any": float((depth > 0).mean()),
        "rate_deep": float((depth > DEEP).mean()),
        "mean_depth_when_m": float(depth[depth > 0].mean()) if (depth > 0).any() else 0.0,
        "max_depth_m": float(depth.max()),
        "top_pairs": dict(worst),
    }


_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
