"""Pictures of a motion: its moments side by side on one floor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic.sim.states import States
from mimic.viewer.camera import View, heading
from mimic.viewer.painter import Limbs, Painter, Pose, open_painter
from mimic.viewer.rollout import Rollout
from mimic.viewer.video import camera_path, write_picture
from motions import HumanMotion
from robots import Robot

Array = NDArray[Any]
SPACING = 1.3
"""Metres between neighbours of human size."""
HIP_HEIGHT = 0.95
"""Height of a standing person's pelvis, m."""
TURN = 130.0
"""Direction of view relative to the first heading, degrees: from the front left."""


def strip_times(duration: float, count: int) -> Array:
    """``count`` moments spread over a clip, the middle of each share, s."""
    return duration * (np.arange(count) + 0.5) / count


def strip_size(count: int, height: int) -> tuple[int, int]:
    """Width and height in pixels of a strip of ``count`` moments."""
    return 2 * round(0.5 * height * SPACING * count / _VISIBLE_HEIGHT), height


def robot_strip(
    painter: Painter,
    states: States,
    ghost: States | None = None,
    *,
    root_height: float = HIP_HEIGHT,
) -> NDArray[np.uint8]:
    """Draw robot states [N] from left to right, with those of the reference [N] as ghosts.

    Each keeps its height and heading; its place on the floor is given up. A ghost keeps its
    distance from its robot. ``root_height`` (m, standing) sets the scale, so that small robots
    fill the picture as a person does.
    """
    scale = root_height / HIP_HEIGHT
    view = _strip_view(heading(states.root_quat_w[0]), scale)
    poses = []
    for k, place in enumerate(_places(len(states), view, scale)):
        shift = place - states.root_pos_w[k] * [1.0, 1.0, 0.0]
        poses.append(Pose(states[k].moved(shift)))
        if ghost is not None:
            poses.append(Pose(ghost[k].moved(shift), ghost=True))
    return painter.draw(poses, view)


def rollout_strip(
    painter: Painter, rollout: Rollout, times: Array, *, root_height: float = HIP_HEIGHT
) -> NDArray[np.uint8]:
    """Draw a rollout with its reference as a ghost at ``times`` (s) from left to right."""
    last = len(rollout.states) - 1
    frames = np.minimum(np.round(times / rollout.control_dt).astype(int), last)
    return robot_strip(
        painter, rollout.states[frames], rollout.reference[frames], root_height=root_height
    )


def write_strip(
    path: Path, robot: Robot, rollout: Rollout, *, count: int = 7, height: int = 400
) -> None:
    """Write a PNG of ``count`` moments of a rollout, ``height`` pixels high.

    In a scene each moment is a picture of its own, at its place.
    """
    if rollout.scene is not None:
        write_picture(path, _scene_strip(robot, rollout, count, height))
        return
    with open_painter(robot, *strip_size(count, height)) as painter:
        times = strip_times(rollout.duration, count)
        image = rollout_strip(painter, rollout, times, root_height=robot.default_root_height)
    write_picture(path, image)


def _scene_strip(robot: Robot, rollout: Rollout, count: int, height: int) -> NDArray[np.uint8]:
    """Moments of a rollout side by side, each with what is around the robot there."""
    view = View.of_height(robot.default_root_height, distance=3.6)
    path = camera_path(rollout, view.lookat[2])
    towards = heading(rollout.reference.root_quat_w[0]) + view.azimuth
    images = []
    with open_painter(robot, 2 * (height * 2 // 5), height, rollout.scene) as painter:
        for share in strip_times(1.0, count):
            at = round(share * (len(rollout.states) - 1))
            x, y, z = path[at]
            looking = replace(view, lookat=(x, y, z), azimuth=towards)
            poses = [Pose(rollout.drawn(at)), Pose(rollout.drawn(at, reference=True), ghost=True)]
            title = f"{at * rollout.control_dt:.1f} s"
            images.append(painter.draw(poses, looking, title=title))
    return np.concatenate(images, axis=1)


def human_strip(painter: Painter, human: HumanMotion, times: Array) -> NDArray[np.uint8]:
    """Draw a person at ``times`` (s) from left to right."""
    frames = np.clip(np.round(times * human.fps).astype(int), 0, human.num_frames - 1)
    left = human.role("left_hip")[frames[0]] - human.role("right_hip")[frames[0]]
    view = _strip_view(float(np.degrees(np.arctan2(-left[0], left[1]))))
    parents = np.array(human.parents)
    bones = np.flatnonzero(parents >= 0)
    ground = float(np.percentile(human.pos_w[..., 2].min(axis=1), 5)) - _LIMB_RADIUS
    figures = []
    for frame, place in zip(frames, _places(len(frames), view), strict=True):
        points = human.pos_w[frame] - [*human.role("pelvis")[frame, :2], ground] + place
        figures.append(Limbs(points[parents[bones]], points[bones], radius=_LIMB_RADIUS))
        if "head" in human.roles:
            head = points[human.roles["head"]]
            up = np.array([0.0, 0.0, 1.0])
            figures.append(Limbs(head[None] + 0.02 * up, head[None] + 0.10 * up, radius=0.085))
    return painter.draw([], view, limbs=figures)


_VISIBLE_HEIGHT = 2.05
_DISTANCE = 40.0
_LIMB_RADIUS = 0.045


def _strip_view(towards: float, scale: float = 1.0) -> View:
    return View(
        lookat=(0.0, 0.0, 0.80 * scale),
        distance=_DISTANCE,
        azimuth=towards + TURN,
        elevation=-9.0,
        fovy=float(np.degrees(2 * np.arctan(0.5 * scale * _VISIBLE_HEIGHT / _DISTANCE))),
        reach=6.0 * scale,
    )


def _places(count: int, view: View, scale: float = 1.0) -> Array:
    """Places on the floor, [count, 3], from left to right in the picture."""
    return ((np.arange(count) - 0.5 * (count - 1)) * scale * SPACING)[:, None] * view.right
