"""`info`: what a robot motion file holds, and which formats there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from mimic_base.options import parse
from motions.robot.dataset import PACK
from motions.robot.formats.cli import SOURCE_OLDER, SourceOptions, find_motion_files, for_each
from motions.robot.formats.formats import FORMATS
from motions.robot.formats.orders import JOINT_ORDERS
from motions.robot.formats.reading import read_robot_trajectory
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.pack import MotionPack


@dataclass(frozen=True, kw_only=True)
class InfoOptions(SourceOptions):
    """Say what robot motion files hold, and how sure their layout is."""

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Robot motion files, folders of them, or packs."""
    verify: bool = False
    """Of a pack, read everything: checksums, and that all numbers are finite."""
    formats: bool = False
    """List the known formats and joint orders instead."""


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic motions info") -> int:
    """Print what the files hold; 0 when all could be read, 2 when one could not."""
    options = parse(InfoOptions, arguments, prog=prog, renamed=SOURCE_OLDER)
    if options.formats:
        print(formats_text())
        return 0
    reading = options.read_options()

    def one(path: Path, _name: str) -> None:
        if path.suffix.lower() == PACK:
            pack = MotionPack.open(path)
            if options.verify:
                pack.check()
            print(pack.summary())
            return
        print(info_text(path, read_robot_trajectory(path, reading)))

    return for_each(find_motion_files(options.files), one)


def formats_text() -> str:
    """The table of formats and the named joint orders."""
    width = max(map(len, FORMATS))
    lines = [
        f"{name:{width}}  {'in, out' if form.written else 'in     '}  {form.title}"
        for name, form in FORMATS.items()
    ]
    lines += ["", "joint orders:"]
    lines += [f"{name}: {', '.join(joints)}" for name, joints in JOINT_ORDERS.items()]
    return "\n".join(lines)


def info_text(path: Path, motion: RobotTrajectory) -> str:
    """A few lines about one motion."""
    path_length = float(np.linalg.norm(np.diff(motion.root_pos[:, :2], axis=0), axis=1).sum())
    height = motion.root_pos[:, 2]
    lines = [
        f"{path}: {motion.num_frames} frames at {motion.fps:g} fps, {motion.duration:.2f} s, "
        f"{len(motion.joint_names)} joints"
        + (f", robot {motion.robot}" if motion.robot else "")
        + (", loops" if motion.loop else ""),
        f"  base: {path_length:.2f} m along the ground, {height.min():.2f} to {height.max():.2f} m "
        "high",
    ]
    if motion.joint_pos.size:
        speed = np.abs(np.diff(motion.joint_pos, axis=0)).max() * motion.fps
        lines.append(f"  fastest joint: {speed:.1f} rad/s")
    if motion.objects is not None:
        lines.append(f"  objects: {', '.join(motion.objects.names)}")
    if motion.scene:
        lines.append(f"  scene: {json.dumps(motion.scene)[:200]}")
    if motion.licence:
        lines.append(f"  licence: {motion.licence}")
    return "\n".join([*lines, *(f"  {note}" for note in motion.notes)])
