"""From generalised coordinates to a complete `RobotMotion`, checked against what the file says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.resample import check_fps
from mimic_base.rotations import (
    quat_conj,
    quat_inv_rotate,
    quat_log,
    quat_mul,
    quat_of_yaw,
)
from mimic_base.stretches import by_stretches
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from motions.robot.formats.trajectory import BodyPoses, RobotTrajectory
from motions.robot.motion import RobotMotion
from motions.robot.quality.plausible import (
    check_height,
    check_limits,
    exchanged_sides,
    ground_note,
    sliding,
    sole_path,
)
from motions.robot.terrain import ground_of
from robots.kinematics import forward_kinematics
from robots.robot import Robot

BODY_TOLERANCE = 0.05
"""m between the file's bodies and the robot's kinematics; model revisions differ by 1 cm."""
SLIDING = 0.2
"""m/s of the lowest sole point, median over the clip, above which a reading is suspect."""
STANDING_HEIGHT, STANDING_SPEED = 0.03, 0.3
"""m, m/s: below both a sole stands."""
HINGE_TOLERANCE = 0.35
"""rad by which a link may turn about another axis than its hinge's; generated clips do."""


def complete(
    trajectory: RobotTrajectory,
    robot: Robot,
    *,
    fill_missing: bool = False,
    fps: float | None = None,
    check: bool = True,
) -> RobotMotion:
    """The motion with the pose and velocity of every body of `robot`.

    Args:
        fill_missing: hold joints that the motion lacks at the robot's default pose.
        fps: resample to this rate; the motion's own unless given.
        check: compare with the file's own body poses, the feet with the ground they stand on, the
            base's height and the joints with what the robot can do.

    What was checked goes into ``quality["import"]``. Raises `InputError` when the joints are not
    the robot's, or the file contradicts the robot: its body poses, the base's height, the joints'
    ranges.
    """
    if not trajectory.joint_names:
        trajectory = joints_from_bodies(trajectory, robot)
    fill = robot.default_joint_pos if fill_missing else None
    trajectory = trajectory.with_joint_order(robot.joint_names, fill)
    notes = list(trajectory.notes)
    if check:
        notes += _check(trajectory, robot)
    if fps is not None:
        trajectory = trajectory.resample(check_fps(fps, f"{trajectory.where}: new fps"))
    figures: dict[str, Any] = {"import": {"notes": notes}} if notes else {}
    motion = RobotMotion.from_coordinates(
        robot,
        trajectory.root_pos,
        trajectory.root_quat,
        trajectory.joint_pos,
        fps=trajectory.fps,
        contact=trajectory.contact,
        quality=figures,
        source=trajectory.source,
        licence=trajectory.licence,
        name=trajectory.name,
        objects=trajectory.objects,
        scene=trajectory.scene,
    )
    if trajectory.contact is not None:
        return motion
    ground = ground_of(motion.scene)
    stands = standing(robot, motion.body_pos_w, motion.body_quat_w, motion.fps, ground)
    return replace(motion, contact=stands.astype(float))


def standing(
    robot: Robot, body_pos: Array, body_quat: Array, fps: float, ground: Surface = FLAT
) -> Array:
    """Whether the left, right foot stands: low over the `ground` and slow; [T, 2] bool."""
    result = []
    for foot in (0, 1):
        path = sole_path(robot, foot, body_pos, body_quat)
        speed = np.linalg.norm(np.gradient(path, 1.0 / fps, axis=0), axis=-1).min(axis=1)
        height = path[..., 2] if ground.is_flat else ground.clearance(path)
        result.append((height.min(axis=1) < STANDING_HEIGHT) & (speed < STANDING_SPEED))
    return np.stack(result, axis=1)


def _check(trajectory: RobotTrajectory, robot: Robot) -> list[str]:
    check_height(trajectory, robot)
    pos, quat = forward_kinematics(
        robot, trajectory.root_pos, trajectory.root_quat, trajectory.joint_pos
    )
    notes = []
    bodies = trajectory.bodies
    shared = [] if bodies is None else [n for n in bodies.names if n in robot.body_names]
    if bodies is not None and shared:
        notes.append(_compare_bodies(trajectory, bodies, shared, robot, pos))
    if bodies is None or bodies.in_root_frame or not shared:
        _compare_sliding(trajectory, robot, pos, quat)
    notes += check_limits(trajectory, robot)
    notes += ground_note(robot, pos, quat, ground_of(trajectory.scene))
    if not shared:
        notes += exchanged_sides(trajectory, robot, pos, quat)
    return notes


def _compare_bodies(
    trajectory: RobotTrajectory, bodies: BodyPoses, shared: list[str], robot: Robot, pos: Array
) -> str:
    """The file's body positions against kinematics, in the base's frame."""
    mine = [robot.body_names.index(n) for n in shared]
    others = [bodies.names.index(n) for n in shared]

    def apart(pos: Array, other: Array, root: Array, quat: Array) -> Array:
        ours = quat_inv_rotate(quat[:, None], pos[:, mine] - root[:, None])
        theirs = other[:, others]
        if not bodies.in_root_frame:
            theirs = quat_inv_rotate(quat[:, None], theirs - root[:, None])
        return np.linalg.norm(ours - theirs, axis=-1)

    root_pos, root_quat = trajectory.root_pos, trajectory.root_quat
    error = by_stretches(apart, pos, bodies.pos, root_pos, root_quat)
    worst = shared[int(error.max(axis=0).argmax())]
    # The median, not the worst frame: a glitch is for curation to find.
    if np.median(error.max(axis=1)) > BODY_TOLERANCE:
        raise input_error(
            trajectory.where,
            f"the file's body positions are not those of robot {robot.name} in these joint angles",
            found=f"{worst} off by {error.max() * 100:.1f} cm at frame "
            f"{int(error.max(axis=1).argmax())}",
            expected=f"at most {BODY_TOLERANCE * 100:.0f} cm",
            fix="check --robot, --joint-order and --quaternion-order",
        )
    return (
        f"{len(shared)} body positions of the file agree with the robot's kinematics within "
        f"{error.max() * 1000:.1f} mm"
    )


def _compare_sliding(trajectory: RobotTrajectory, robot: Robot, pos: Array, quat: Array) -> None:
    """Refuse a base that is turned by half a turn: its standing foot moves at twice its speed."""
    fps = trajectory.fps
    as_read = sliding(robot, pos, quat, fps)
    if as_read < SLIDING:
        return
    # A quaternion read in the wrong order and yet upright is off by half a turn about the vertical.
    turned = quat_mul(trajectory.root_quat, quat_of_yaw(np.pi))
    other = forward_kinematics(robot, trajectory.root_pos, turned, trajectory.joint_pos)
    if sliding(robot, *other, fps) < 0.5 * as_read:
        raise input_error(
            trajectory.where,
            "the feet slide, and would not if the base faced the other way: its quaternions are "
            "in another order than was assumed",
            found=f"{as_read:.2f} m/s in the median",
            fix="give the other --quaternion-order (wxyz or xyzw)",
        )


def joints_from_bodies(trajectory: RobotTrajectory, robot: Robot) -> RobotTrajectory:
    """Joint angles from the rotations of the links, for files that carry nothing else.

    Each hinge's angle is the twist about its axis of its link relative to the link before. What
    the links turn about other axes cannot be kept and is reported.

    Raises `InputError` when a link is missing or turns far beyond what a hinge can do.
    """
    bodies = trajectory.bodies
    where = trajectory.where
    if bodies is None or bodies.quat is None:
        raise input_error(where, "neither joint angles nor link rotations are in the file")
    missing = [n for n in robot.body_names if n not in bodies.names]
    if missing:
        raise input_error(
            where, f"the file is not of robot {robot.name}", found=f"no link {', '.join(missing)}"
        )
    model = robot.model
    angles = np.zeros((trajectory.num_frames, robot.num_joints))
    residual = np.zeros(robot.num_joints)
    for column in range(robot.num_joints):
        joint = column + 1
        body = int(model.jnt_bodyid[joint])
        parent = int(model.body_parentid[body])
        above = bodies.quat[:, bodies.names.index(robot.body_names[parent - 1])]
        link = bodies.quat[:, bodies.names.index(robot.body_names[body - 1])]
        turn = quat_mul(quat_conj(quat_mul(above, model.body_quat[body])), link)
        axis = model.jnt_axis[joint]
        angle = 2.0 * np.arctan2(turn[:, 1:] @ axis, turn[:, 0])
        angle = np.unwrap((angle + np.pi) % (2 * np.pi) - np.pi)
        twist = np.concatenate([np.cos(angle / 2)[:, None], np.sin(angle / 2)[:, None] * axis], 1)
        rest = np.linalg.norm(quat_log(quat_mul(quat_conj(twist), turn)), axis=1)
        angles[:, column] = angle + model.qpos0[model.jnt_qposadr[joint]]
        residual[column] = rest.max()
    if residual.max() > HINGE_TOLERANCE:
        raise input_error(
            where,
            f"the links do not move as robot {robot.name}'s hinges can",
            found=f"{robot.joint_names[int(residual.argmax())]} off its axis by "
            f"{residual.max():.2f} rad",
            expected=f"at most {HINGE_TOLERANCE} rad",
        )
    note = f"joint angles from link rotations, off their hinges by {residual.max():.3f} rad at most"
    return replace(
        trajectory,
        joint_pos=angles,
        joint_names=robot.joint_names,
        notes=(*(n for n in trajectory.notes if "links' rotations" not in n), note),
    )
