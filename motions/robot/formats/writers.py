"""Writing robot motions for other tools; never a pickle: where a tool has one, its keys as npz."""

from __future__ import annotations

from pathlib import Path

from mimic_base.errors import input_error
from mimic_base.files import atomic_write_text, save_npz
from motions.robot.formats.format import Format
from motions.robot.formats.formats import WRITTEN, find_format
from motions.robot.formats.orders import JOINT_ORDERS
from motions.robot.formats.trajectory import RobotTrajectory


def write_robot_trajectory(
    trajectory: RobotTrajectory,
    path: Path | str,
    format_name: str,
    joint_order: tuple[str, ...] | None = None,
) -> tuple[str, ...]:
    """Write `trajectory` in a format of `WRITTEN`, all of the file or nothing.

    The result says what the format has no room for, one sentence each.

    Args:
        joint_order: order of the columns; unless given, the format's own, or the motion's where
            the file carries names.

    Raises `InputError` when the joints do not fit the format or body poses are missing.
    """
    form = find_format(format_name, "--to")
    if form.write is None:
        raise input_error(
            None, "this format is not written", found=repr(format_name), expected=", ".join(WRITTEN)
        )
    trajectory = trajectory.with_joint_order(joint_order or _columns(trajectory, form))
    content = form.write(trajectory, form)
    if isinstance(content, str):
        atomic_write_text(path, content)
    else:
        save_npz(path, **content)
    return _left_out(trajectory, form)


def _left_out(trajectory: RobotTrajectory, form: Format) -> tuple[str, ...]:
    """What of the objects and the scene does not go into a file of this format."""
    names = () if trajectory.objects is None else trajectory.objects.names
    lost = [f"the objects {', '.join(names)}"] if len(names) > form.objects else []
    if trajectory.scene and not form.scene:
        lost.append("the scene")
    if not lost:
        return ()
    return (
        f"format {form.name} has no room for {' and '.join(lost)}: left out "
        "(robot-motion and trajectory keep them)",
    )


def _columns(trajectory: RobotTrajectory, form: Format) -> tuple[str, ...]:
    """The format's order for these joints."""
    if not form.joint_orders:
        return trajectory.joint_names
    for name in form.joint_orders:
        if set(JOINT_ORDERS[name]) == set(trajectory.joint_names):
            return JOINT_ORDERS[name]
    raise input_error(
        trajectory.where,
        f"format {form.name} declares no order for these {len(trajectory.joint_names)} joints",
        found=", ".join(trajectory.joint_names[:4]) + ", ...",
        expected=" or ".join(form.joint_orders),
        fix="say the order of the columns with --out-joint-order NAME,NAME,...",
    )
