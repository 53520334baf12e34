"""What a user may name to be played: a policy file, a run directory, a checkpoint."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import robots
from mimic.policy.observations import Reference
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot


@dataclass(frozen=True)
class Clip:
    """A reference to track."""

    name: str
    reference: Reference


@dataclass(frozen=True)
class Playable:
    """A policy with the clips it is to track and the robot it drives."""

    player: PolicyPlayer
    robot: Robot
    clips: tuple[Clip, ...]
    notes: tuple[str, ...] = ()
    """What the user should know, one line each."""


def find_playable(
    source: Path, motions: Sequence[Path] = (), robot: str | Path | None = None
) -> Playable:
    """Load what ``source`` names.

    Args:
        source: a policy file (.onnx), a run directory, or a checkpoint (.pt).
        motions: motion files or folders; without any, the clip inside the policy file, else
            those the run was trained on.
        robot: name or description file; without it, the one the policy was trained for.

    Raises:
        MimicError, InputError, RobotError: whatever of this is absent, damaged or does not fit.
    """
    if not source.exists():
        raise MimicError(
            f"'{source}' does not exist; name a run directory, a policy.onnx or a checkpoint.pt"
        )
    config = _run_config(source)
    named = robot or config.get("robot")
    body = robots.load(named) if named else None
    files = _motion_files(motions)
    if source.suffix == ".pt" or (source.is_dir() and not (source / "policy.onnx").is_file()):
        files = files or _trained_on(config, source)
        player = _from_checkpoint(source, files, body)
    else:
        player = PolicyPlayer(source / "policy.onnx" if source.is_dir() else source)
        if not files and player.contract.clip_inside is None:
            files = _trained_on(config, source)
    body = body or robots.load(player.contract.robot.name)
    return Playable(player, body, _clips(player, files), _notes(player, body))


def _run_config(source: Path) -> dict[str, Any]:
    """The run's own record of how it was started; empty for a file that lies alone."""
    folders = (source,) if source.is_dir() else (source.parent, source.parent.parent)
    for folder in folders:
        file = folder / "config.json"
        if not file.is_file():
            continue
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise MimicError(f"{file}: not valid JSON ({error})") from error
        if isinstance(config, dict) and "motion" in config:
            return config
    if source.is_dir() and not any(source.glob("*.onnx")):
        raise MimicError(
            f"'{source}' is not a run directory: it has neither config.json nor policy.onnx"
        )
    return {}


def _motion_files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(path.glob("*.npz"))
            if not found:
                raise MimicError(f"motion folder '{path}' holds no .npz file; retarget clips first")
            files += found
        else:
            files.append(path)
    return files


def _trained_on(config: dict[str, Any], source: Path) -> list[Path]:
    trained = [Path(path) for path in config.get("motion", ())]
    if not trained:
        raise MimicError(
            f"{source}: holds no clip to track; name a motion file with --motion "
            "(python -m retarget makes one)"
        )
    for path in trained:
        if not path.exists():
            raise MimicError(
                f"motion '{path}', which this run was trained on, does not exist any more; "
                "name another with --motion"
            )
    return _motion_files(trained)


def _from_checkpoint(source: Path, files: Sequence[Path], robot: Robot | None) -> PolicyPlayer:
    """Export the checkpoint's policy, then read it back as any policy file."""
    # Torch is needed for nothing else here.
    from mimic.learning import load_policy
    from mimic.policy.contract import contract_of_env
    from mimic.policy.export import export_policy
    from mimic.tasks import make_env

    policy, identity = load_policy(source)
    env = make_env(identity["task"], files, num_envs=1, robot=robot or identity["robot"], threads=1)
    obs = env.get_observations()["actor"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.onnx"
        export_policy(policy, contract_of_env(env, {}), obs, path)
        return PolicyPlayer(path)


def _clips(player: PolicyPlayer, files: Sequence[Path]) -> tuple[Clip, ...]:
    if not files:
        inside = player.contract.clip_inside
        name = player.contract.motions[inside].name if inside is not None else ""
        return (Clip(name, player.reference_inside()),)
    clips = []
    for file in files:
        motion = RobotMotion.load(file)
        clips.append(Clip(motion.name or file.stem, player.reference(motion)))
    return tuple(clips)


def _notes(player: PolicyPlayer, robot: Robot) -> tuple[str, ...]:
    if player.contract.robot.hash != robot.content_hash:
        return (
            f"note: robot '{robot.name}' differs from the one this policy was trained on "
            f"({robot.content_hash} here, {player.contract.robot.hash} there): another model "
            "version or other gains",
        )
    return ()
