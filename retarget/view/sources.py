"""From the files a user names to what the viewer plays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import robots
from mimic_base.errors import InputError, input_error
from mimic_base.files import is_hidden
from mimic_base.reading import real_path
from mimic_base.terrain import TerrainSurface
from motions import HumanMotion, RobotMotion, read_human_motion
from motions.human.readers import EXTENSIONS, is_human_clip
from motions.robot.completion import complete
from motions.robot.formats.detect import EXTENSIONS as ROBOT_EXTENSIONS
from motions.robot.formats.detect import ReadOptions
from motions.robot.formats.reading import read_robot_trajectory
from motions.robot.terrain import terrain_of
from retarget.batch.record import record_path
from retarget.feet.contacts import ground_height
from retarget.page.curves import clip_curves, worst_moments
from retarget.page.rows import clip_rows
from retarget.person.bones import body_bones
from retarget.person.calibration import calibrate
from retarget.person.scaling import leg_scale
from retarget.view.align import source_part
from retarget.view.show import BodyTrack, Show, SkeletonTrack
from robots.frames import robot_frames
from robots.robot import Robot
from robots.shapes import vendor_model, visible_shapes

MESH_CELL = 0.005
"""m; vendors' meshes have up to a million triangles, most of them smaller than a pixel."""
DEFAULT_ROBOT = "unitree_g1"


@dataclass(frozen=True)
class Pair:
    """A robot motion and, where it is known, the human clip that it was made from."""

    motion: Path
    clip: Path | None


def find_pairs(paths: Sequence[Path], reading: ReadOptions | None = None) -> list[Pair]:
    """Robot motions among files and folders, each with its clip.

    A clip is that of a motion when its file name is the motion's ``source``; one motion and one
    clip belong together whatever their names. Without a clip given, a file of that name is looked
    for beside the motion, one folder above, in the current folder, and where a batch has noted it.

    Raises:
        InputError: a path is absent, or no robot motion is among them.
    """
    motions: list[Path] = []
    clips: list[Path] = []
    for path in paths:
        found = _in_folder(path) if path.is_dir() else [path]
        if not path.exists():
            raise input_error(path, "no such file or folder")
        for file in found:
            (clips if _is_clip(file) else motions).append(file)
    if not motions:
        raise InputError(
            "no robot motion given; make one: mimic retarget CLIP --robot unitree_g1 --out DIR"
        )
    if len(motions) == len(clips) == 1:
        return [Pair(motions[0], clips[0])]
    return [Pair(motion, _clip_of(motion, clips, reading)) for motion in motions]


def _in_folder(folder: Path) -> list[Path]:
    endings = {*EXTENSIONS, *ROBOT_EXTENSIONS} - {".json", ".txt"}
    found = sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in endings and not is_hidden(p) and p.is_file()
    )
    if not found:
        raise input_error(folder, "the folder holds no motion", expected=", ".join(sorted(endings)))
    return found


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and is_human_clip(path)


def _clip_of(motion: Path, clips: Sequence[Path], reading: ReadOptions | None) -> Path | None:
    try:
        name = read_robot_trajectory(motion, reading).source
    except InputError:
        return None  # said again, aloud, when the motion is shown
    name = Path(name).name if name else ""
    for clip in clips:
        if clip.name == name or (not name and clip.stem == motion.stem):
            return clip
    beside = [motion.parent / name, motion.parent.parent / name, Path(name)] if name else []
    for clip in [*beside, *_noted(motion)]:
        if clip.is_file() and real_path(clip) != real_path(motion) and _is_clip(clip):
            return clip
    return None


def _noted(motion: Path) -> list[Path]:
    """The clip of a batch's record of this motion."""
    try:
        record = json.loads(record_path(motion.parent, motion.stem).read_text(encoding="utf-8"))
        return [Path(record["clip"])]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def load_motion(
    path: Path, robot_name: str = "", reading: ReadOptions | None = None
) -> tuple[RobotMotion, Robot]:
    """A robot motion of any known format with the poses of all bodies of its robot.

    Raises:
        InputError, RobotError: the file cannot be used, or is not the robot's.
    """
    trajectory = read_robot_trajectory(path, reading)
    robot = robots.load(robot_name or trajectory.robot or DEFAULT_ROBOT)
    # Unchecked: a viewer is there to show what is wrong, too.
    return complete(trajectory, robot, check=False), robot


def load_show(pair: Pair, robot_name: str = "", reading: ReadOptions | None = None) -> Show:
    """Everything the viewer plays of one motion."""
    motion, robot = load_motion(pair.motion, robot_name, reading)
    terrain = terrain_of(motion.scene).parts()
    ground = TerrainSurface(terrain)
    notes = [f"{motion.num_frames} frames at {motion.fps:g} fps on {robot.title}"]
    human, skeleton = None, None
    if pair.clip is not None:
        clip = read_human_motion(pair.clip)
        human, start = source_part(clip, motion, robot)
        skeleton = skeleton_track(human, robot)
        if not ground.is_flat:
            # What the person walked on is not known: both begin at the level of their feet.
            person = calibrate(human)
            soles = np.concatenate([person.ball[0, :, 2], person.heel[0, :, 2]])
            feet = [motion.body_pos_w[0, motion.body_names.index(name)] for name in robot.feet]
            level = max(float(ground.height(foot[0], foot[1])) for foot in feet)
            skeleton = replace(skeleton, ground=float(soles.min()), level=level)
        notes.append(f"source {pair.clip.name}" + (f" from {start:.2f} s" if start else ""))
    elif motion.source:
        notes.append(f"source {motion.source}: not at hand")
    curves = clip_curves(motion, robot, human)
    return Show(
        name=pair.motion.stem,
        fps=motion.fps,
        bodies=(body_track(motion, robot),),
        skeleton=skeleton,
        rows=tuple(clip_rows(curves)),
        moments=tuple(worst_moments(curves, robot.joint_names)),
        notes=tuple(notes),
        terrain=terrain,
    )


def body_track(motion: RobotMotion, robot: Robot) -> BodyTrack:
    """The robot as its vendor draws it, where the motion puts its bodies."""
    shapes = visible_shapes(vendor_model(robot), MESH_CELL)
    return BodyTrack(shapes, motion.body_names, motion.body_pos_w, motion.body_quat_w)


def skeleton_track(human: HumanMotion, robot: Robot) -> SkeletonTrack:
    """The person, with the ground and the scale that retargeting finds."""
    person = calibrate(human)
    ground = ground_height(person.ball, person.heel, person.fps, person.leg_length)
    return SkeletonTrack(
        pos=human.pos_w,
        bones=body_bones(human),
        root=human.roles["pelvis"],
        ground=ground,
        scale=leg_scale(person, robot_frames(robot)),
    )
