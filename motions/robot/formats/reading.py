"""Reading a robot motion of any known format into generalised coordinates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mimic_base.errors import InputError, about, input_error
from mimic_base.reading import guarded
from mimic_base.resample import check_fps
from mimic_base.rotations import quat_exp
from motions.robot.formats.consistency import TOLERANCE, hinge_mismatch
from motions.robot.formats.detect import ReadOptions, detect_format, read_content
from motions.robot.formats.format import Format
from motions.robot.formats.formats import find_format
from motions.robot.formats.layouts.motion_npz import read_motion_npz
from motions.robot.formats.orders import (
    JOINT_ORDERS,
    ROBOT_OF_ORDER,
    body_order,
    link_of_joint,
)
from motions.robot.formats.quaternions import ORDERS, check_order, reorder, store
from motions.robot.formats.rates import asked_rate, check_rate, fitting_rate, rounded
from motions.robot.formats.raw import Array, RawRobotMotion, check_sound, names, numbers, rate, text
from motions.robot.formats.trajectory import (
    TRAJECTORY_SCHEMA_2,
    TRAJECTORY_SCHEMAS,
    RobotTrajectory,
    trajectory_of,
)
from motions.robot.motion import SCHEMAS as MOTION_SCHEMAS
from motions.robot.motion import RobotMotion, read_objects


def read_robot_trajectory(path: Path | str, options: ReadOptions | None = None) -> RobotTrajectory:
    """Read a robot motion of any format in `FORMATS`.

    `notes` of the result say which format was found and what was declared or proven. Raises
    `InputError`, one line, for everything that makes the file unusable or ambiguous.
    """
    path, options = Path(path), options or ReadOptions()
    asked = None if options.format is None else find_format(options.format)
    if options.quaternion_order not in (None, *ORDERS):
        raise input_error(
            None, "unknown quaternion order", found=options.quaternion_order, expected=ORDERS
        )
    try:
        with about(path), guarded(path, "robot motion"):
            return _read(path, asked, options)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error


def _read(path: Path, asked: Format | None, options: ReadOptions) -> RobotTrajectory:
    data = read_content(path, asked)
    form = asked or detect_format(path, data, options)
    if form.read in (None, read_motion_npz) and "schema" in data:
        return _own_file(path, data, form, options)
    if form.read is None:
        raise input_error(path, f"no file of format {form.name}: it carries no schema")
    try:
        raw = form.read(path, data)
    except KeyError as error:
        raise input_error(
            path, f"not a file of format {form.name}: it lacks {error}", fix="choose another"
        ) from error
    return _assemble(path, raw, form, options)


def _own_file(
    path: Path, data: dict[str, Any], form: Format, options: ReadOptions
) -> RobotTrajectory:
    schema, fitting = text(data, "schema"), None
    if schema in MOTION_SCHEMAS:
        data.clear()  # read again below, in its own type
        complete = RobotMotion.load(path, joint_names=options.joint_order)
        pairs = [
            (complete.joint_pos, complete.joint_vel),
            (complete.body_pos_w, complete.body_lin_vel_w),
        ]
        fitting = fitting_rate(pairs)
        motion = trajectory_of(complete)
    elif schema in TRAJECTORY_SCHEMAS:
        frames = len(numbers(path, data, "root_pos", None, 3))
        motion = RobotTrajectory(
            fps=rate(path, data) or 0.0,
            root_pos=numbers(path, data, "root_pos", None, 3),
            root_quat=numbers(path, data, "root_quat", frames, 4),
            joint_pos=numbers(path, data, "joint_pos", frames, None),
            joint_names=options.joint_order or names(data, "joint_names") or (),
            robot=text(data, "robot"),
            source=text(data, "source"),
            licence=text(data, "licence"),
            name=str(path),
            loop=text(data, "loop") == "True",
            **(read_objects(path, data) if schema == TRAJECTORY_SCHEMA_2 else {}),
        )
        motion = motion.named(text(data, "name") or path.stem)
    else:
        raise input_error(
            path, "unknown schema", found=repr(schema),
            expected=" or ".join((*MOTION_SCHEMAS, *TRAJECTORY_SCHEMAS)),
        )  # fmt: skip
    if options.fps is None:
        fps, notes = motion.fps, check_rate(str(path), motion.fps, fitting)
    else:
        fps, notes = asked_rate(str(path), motion.fps, fitting, options.fps)
    return replace(motion, fps=fps, notes=(f"format {form.name}", *notes))


def _assemble(
    path: Path, raw: RawRobotMotion, form: Format, options: ReadOptions
) -> RobotTrajectory:
    where, notes = str(path), [f"format {form.name}", *raw.notes]
    check_sound(where, raw)
    fps, note = _rate(where, raw, form, options)
    notes += note
    bodies = raw.bodies
    if raw.root_rot.shape[1:] == (3,):
        quat = quat_exp(raw.root_rot)
    else:
        order, remark = check_order(
            where, raw.root_rot, raw.root_pos, fps, form.quaternion, options.quaternion_order
        )
        notes.append(remark)
        quat = reorder(raw.root_rot, order)
        if bodies is not None and bodies.quat is not None:
            bodies = replace(bodies, quat=reorder(bodies.quat, order))
    raw = replace(raw, bodies=bodies)
    joints, remark, robot = _joint_names(where, raw, form, options)
    if remark:
        notes.append(remark)
    if bodies is not None and not bodies.names:
        # Unnamed bodies stand in the joints' order, one each, or cannot be told apart.
        known = bodies.pos.shape[1] == len(joints) + 1 and joints in JOINT_ORDERS.values()
        bodies = replace(bodies, names=body_order(joints)) if known else None
    trajectory = RobotTrajectory(
        fps=fps,
        root_pos=raw.root_pos,
        root_quat=quat,
        joint_pos=raw.joint_pos,
        joint_names=joints,
        robot=raw.robot or robot,
        source=raw.source or f"{path.name} ({form.name})",
        licence=raw.licence,
        name=where,
        loop=raw.loop,
        bodies=bodies,
        contact=raw.contact,
        objects=raw.objects,
        notes=tuple(notes),
    )
    # Errors about the content name the file; the motion itself keeps its own name.
    return trajectory.named(raw.name or path.stem)


def _rate(
    where: str, raw: RawRobotMotion, form: Format, options: ReadOptions
) -> tuple[float, list[str]]:
    fitting = fitting_rate(raw.velocities)
    if options.fps is not None:
        return asked_rate(where, raw.fps, fitting, options.fps)
    if raw.fps is not None:
        fps = check_fps(raw.fps, f"{where}: fps")
        return fps, check_rate(where, fps, fitting)
    if form.fps is not None:
        note = f"{form.fps:g} fps as {form.name} declares (the file has none; --source-fps)"
        return form.fps, [note]
    raise input_error(
        where,
        "the file carries no frame rate",
        fix="say it with --source-fps, such as --source-fps 30"
        if fitting is None
        else "say it with --source-fps; the file's velocities fit "
        f"--source-fps {rounded(fitting):g}",
    )


def _joint_names(
    where: str, raw: RawRobotMotion, form: Format, options: ReadOptions
) -> tuple[tuple[str, ...], str, str]:
    """Names of the joint columns, a note on where they come from, and the robot they tell."""
    columns = raw.joint_pos.shape[1]
    if options.joint_order is not None:
        _fits(where, columns, options.joint_order, "--joint-order")
        return options.joint_order, "joint order as asked for", ""
    if raw.joint_names is not None:
        _fits(where, columns, raw.joint_names, "the file's joint_names")
        return raw.joint_names, "", ""
    known = [name for name in form.joint_orders if len(JOINT_ORDERS[name]) == columns]
    of_robot = not options.robot or any(ROBOT_OF_ORDER[name] == options.robot for name in known)
    if not of_robot and columns == len(options.robot_joints):
        remark = f"joint columns in the order of {options.robot}'s joints (the file has no names)"
        return options.robot_joints, remark, options.robot
    if not known:
        declared = " or ".join(f"{len(JOINT_ORDERS[n])} ({n})" for n in form.joint_orders)
        raise input_error(
            where,
            "the number of joints is not one that this format declares an order for",
            found=f"{columns} joint columns without names",
            expected=declared or "joint_names in the file",
            fix="say whose they are with --robot NAME"
            + (f" ({options.robot} has {len(options.robot_joints)})" if options.robot else "")
            + ", or what the columns are with --joint-order NAME,NAME,...",
        )
    order = known[0]
    joints = JOINT_ORDERS[order]
    remark = f"joint order {order} as {form.name} declares (the file has no names)"
    bodies = raw.bodies
    if bodies is not None and bodies.quat is not None and bodies.quat.shape[1] == columns + 1:
        error = hinge_mismatch(raw.joint_pos, bodies.quat, joints)
        if error > TOLERANCE:
            _check_reading(where, raw.joint_pos, bodies.quat, joints, options)
            raise input_error(
                where,
                f"the joints are not in the order {order} that {form.name} declares",
                found=f"a link turns {error:.2f} rad otherwise than its joint",
                fix="choose another --format or --joint-order",
            )
        remark = f"joint order {order}, confirmed by the file's body rotations"
    if raw.link_names:
        links = [link_of_joint(joint) for joint in joints]
        listed = [name for name in raw.link_names if name in links]
        if listed != links:
            raise input_error(
                where,
                f"the file's links are not those of {order}",
                found=", ".join(raw.link_names[:6]) + ", ...",
                fix="say what the joint columns are with --joint-order NAME,NAME,...",
            )
    return joints, remark, ROBOT_OF_ORDER[order]


def _check_reading(
    where: str, joint_pos: Array, quat: Array, joints: tuple[str, ...], options: ReadOptions
) -> None:
    """`InputError` when the links turn as their joints once w stands at the other end."""
    used = options.quaternion_order or "wxyz"
    other = "xyzw" if used == "wxyz" else "wxyz"
    if hinge_mismatch(joint_pos, reorder(store(quat, used), other), joints) < TOLERANCE:
        raise input_error(
            where,
            f"the body rotations are {other}, not {used}",
            found=f"links that turn as their joints only when read as {other}",
            fix=f"say --quaternion-order {other}",
        )


def _fits(where: str, columns: int, joints: tuple[str, ...], what: str) -> None:
    if len(joints) != columns:
        raise input_error(
            where,
            f"{what} and the file's joint columns differ in number",
            found=f"{columns} columns",
            expected=f"{len(joints)} for {', '.join(joints[:3])}, ...",
        )
