"""What a user may name to be played: a policy file, a run directory, a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import robots
from mimic.policy.contract import PolicyContract
from mimic.policy.interfaces import VELOCITY
from mimic.policy.observations import Reference
from mimic.policy.opener import PolicySource, find_policy, open_player
from mimic.policy.player import PolicyPlayer
from mimic.sim.motion_scene import scene_of_motion
from mimic.sim.scene import SceneConfig
from mimic_base.errors import MimicError
from motions.robot.dataset import MotionFile, distinct_names, find_motion_files, names_motions
from motions.robot.steady import steady_motion
from robots import Robot


@dataclass(frozen=True)
class Clip:
    """A reference to track."""

    name: str
    reference: Reference
    scene: SceneConfig | None = None
    """Terrain and objects that its file carries; None for the bare floor."""


@dataclass(frozen=True)
class Playable:
    """A policy with the clips it is to track and the robot it drives."""

    player: PolicyPlayer
    robot: Robot
    clips: tuple[Clip, ...]
    """Empty for a policy that tracks none: it is played in the environment of its task."""
    notes: tuple[str, ...] = ()
    """What the user should know, one line each."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What ``config.json`` of its run holds; empty for a file that lies alone."""
    velocity: tuple[float, float, float] | None = None
    """What is commanded where it tracks no clip."""


def find_playable(
    source: Path,
    motions: Sequence[Path] = (),
    robot: str | Path | None = None,
    *,
    motion_scene: bool = True,
    interface: str | None = None,
    velocity: tuple[float, float, float] | None = None,
) -> Playable:
    """Load what ``source`` names.

    Args:
        source: a policy file (.onnx), a run directory, or a checkpoint (.pt).
        motions: motion files or folders; without any, the clip inside the policy file, else
            those the run was trained on.
        robot: name or description file; without it, the one the policy was trained for.
        motion_scene: whether clips are played in the scenes that their files carry, unless the
            policy was trained without them.
        interface: one of those that the policy was trained for, instead of its file's own.
        velocity: commanded instead of a clip (m/s forwards, to the left, rad/s to the left),
            through the interface ``velocity`` unless another is asked for.

    Raises:
        MimicError, InputError, RobotError: whatever of this is absent, damaged or does not fit.
    """
    found = find_policy(source)
    named = robot or found.config.get("robot")
    body = robots.load(named) if named else None
    files = _motion_files(motions)
    if velocity is not None and files:
        raise MimicError("--velocity commands without a clip; leave out --motion")
    if found.kind == "checkpoint" and found.config.get("motion") != [] and velocity is None:
        files = files or _trained_on(found)
    player = open_player(found, files, body)
    if velocity is not None and interface is None and takes_velocity(player.contract):
        body = body or robots.load(player.contract.robot.name)
        return Playable(player, body, (), _notes(player, body), found.config, velocity)
    if velocity is not None:
        interface = interface or VELOCITY
    if interface is not None:
        player.choose_interface(interface)
    if velocity is not None:
        body = body or robots.load(player.contract.robot.name)
        motion = steady_motion(body, velocity)
        clips = (Clip(motion.name, player.reference(motion)),)
        return Playable(player, body, clips, _notes(player, body), found.config)
    if not files and player.contract.motions and player.contract.clip_inside is None:
        files = _trained_on(found)
    body = body or robots.load(player.contract.robot.name)
    if files and not player.contract.motions:
        raise MimicError(
            f"{source}: this policy of task '{player.contract.task}' tracks no clip; leave out "
            "--motion"
        )
    trained: Mapping[str, Any] = found.config.get("run", {}).get("task") or {}
    motion_scene = motion_scene and trained.get("motion_scene", True)
    clips = _clips(player, files, motion_scene) if player.contract.motions else ()
    return Playable(player, body, clips, _notes(player, body), found.config)


HEADING = "mimic.envs.commands.heading:HeadingCommand"


def takes_velocity(contract: PolicyContract) -> bool:
    """Whether one of a policy's commands is a direction and a speed."""
    kinds = (each.get("kind") for each in contract.commands.values() if isinstance(each, Mapping))
    return HEADING in kinds


def _motion_files(paths: Sequence[Path]) -> list[MotionFile]:
    return find_motion_files(paths) if paths else []


def _trained_on(source: PolicySource) -> list[MotionFile]:
    trained = source.trained_on
    if not trained:
        raise MimicError(
            f"{source.named}: holds no clip to track; name a motion file with --motion "
            "(mimic retarget makes one)"
        )
    for path in trained:
        if not names_motions(path):
            raise MimicError(
                f"motion '{path}', which this run was trained on, does not exist any more; "
                "name another with --motion"
            )
    return _motion_files(trained)


def _clips(player: PolicyPlayer, files: Sequence[MotionFile], scenes: bool) -> tuple[Clip, ...]:
    if not files:
        inside = player.contract.clip_inside
        name = player.contract.motions[inside].name if inside is not None else ""
        return (Clip(name, player.reference_inside()),)
    names, references, carried = [], [], []
    for file in files:
        motion = file.load()
        names.append(motion.name or file.path.stem)
        references.append(player.reference(motion, where=str(file)))
        carried.append(scene_of_motion(motion) if scenes and motion.scene else None)
    return tuple(
        map(Clip, distinct_names(names, [file.path for file in files]), references, carried)
    )


def _notes(player: PolicyPlayer, robot: Robot) -> tuple[str, ...]:
    through = ()
    if player.interface:
        through = (f"note: commanded through the interface '{player.interface}'",)
    return (*through, *_build_notes(player, robot))


def _build_notes(player: PolicyPlayer, robot: Robot) -> tuple[str, ...]:
    if player.contract.robot.hash != robot.content_hash:
        return (
            f"note: robot '{robot.name}' differs from the one this policy was trained on "
            f"({robot.content_hash} here, {player.contract.robot.hash} there): another model "
            "version or other gains",
        )
    return ()
