"""The simulated scene of a motion: the terrain and the objects that its file carries.

A motion's scene is plain data (`motions.robot.scene`), written by whoever made the motion; what it
says of terrain and of objects' shapes is what the robot is to track it on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import SceneConfig
from mimic_base.errors import MimicError
from motions import RobotMotion
from motions.robot.dataset import MotionFile, find_motion_files, read_header
from motions.robot.terrain import terrain_of

_PASSED_ON = ("shape", "mesh", "mass", "friction", "fixed")
IGNORE = "leave the scenes out with --no-motion-scene"


def scene_of_motion(motion: RobotMotion) -> SceneConfig:
    """Terrain and objects of a motion; objects begin where they are in its first frame.

    A tracked object whose shape the scene does not tell is left out.
    """
    tracked = {name: k for k, name in enumerate(motion.object_names)}
    objects = {}
    for name, values in motion.scene.get("objects", {}).items():
        given: dict[str, Any] = {key: values[key] for key in _PASSED_ON if key in values}
        for key in ("size", "mesh_scale", "pos", "quat"):
            if key in values:
                given[key] = tuple(values[key])
        if name in tracked and not values.get("fixed"):
            given["pos"] = tuple(motion.object_pos_w[0, tracked[name]].tolist())
            given["quat"] = tuple(motion.object_quat_w[0, tracked[name]].tolist())
        objects[name] = ObjectConfig(**given)
    return SceneConfig(terrain=terrain_of(motion.scene), objects=objects)


def scene_of_motions(
    motions: Sequence[Path | str | MotionFile | RobotMotion], *, fix: str = IGNORE
) -> SceneConfig:
    """The scene that all of `motions` (files, folders, manifests, clips in memory) share.

    Objects begin where they are in the first one.

    Args:
        fix: ends the refusal of motions whose scenes differ.

    Raises:
        MimicError: they do not share one: every environment of an engine has the same terrain.
    """
    paths = [each for each in motions if not isinstance(each, RobotMotion)]
    clips: list[MotionFile | RobotMotion] = [m for m in motions if isinstance(m, RobotMotion)]
    clips += find_motion_files(paths) if paths else []
    if not clips:
        return SceneConfig()
    first = _scene(clips[0])
    for clip in clips[1:]:
        if _scene(clip) != first:
            raise MimicError(
                f"{_named(clips[0])} and {_named(clip)} carry different scenes (terrain or "
                f"objects), and all clips of a run share one; choose those of one scene, or {fix}"
            )
    if not first:
        return SceneConfig()
    one = clips[0]
    return scene_of_motion(one if isinstance(one, RobotMotion) else one.load())


def with_motion_scene(
    scene: SceneConfig, motions: Sequence[Path | str | MotionFile | RobotMotion]
) -> SceneConfig:
    """A task's `scene` with terrain and objects of its motions, where it has none of its own."""
    if scene.objects or scene.terrain != SceneConfig().terrain:
        return scene
    found = scene_of_motions(motions)
    return replace(scene, terrain=found.terrain, objects=found.objects)


def _named(clip: MotionFile | RobotMotion) -> str:
    return clip.name if isinstance(clip, RobotMotion) else str(clip)


def _scene(clip: MotionFile | RobotMotion) -> Mapping[str, Any]:
    """The scene as its file tells it; empty where that cannot be read, which loading will tell."""
    if isinstance(clip, RobotMotion):
        return clip.scene
    header = read_header(clip)
    if header is None or not header.scene:
        return {}
    try:
        found = json.loads(header.scene)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
