"""Policies of other programs, read into our contract: one module for each format.

A reader is a function ``read(policy) -> Foreign | None`` in a module of this package, None where
the file is not its own; `READERS` names them in the order in which they are asked.
"""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic.policy.contract import METADATA_KEY
from mimic.policy.player import PolicyPlayer, open_session
from mimic_base.errors import MimicError
from mimic_base.text import plain

if TYPE_CHECKING:
    from mimic.deploy.foreign.description import Description
    from robots import Robot

SHOWN = 1000
"""Characters of a refusal."""
READERS = ("unitree_rl_lab", "mjlab", "holosoma", "described")
"""Modules of this package."""


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """A file as readers look at it.

    Attributes:
        session: of onnxruntime; None for a TorchScript file. metadata: of the ONNX file.
        description: what the user says of it. described: whether they say anything.
        deploy: the ``deploy.yaml`` that they name instead.
    """

    path: Path
    session: Any
    metadata: Mapping[str, str]
    description: Description
    described: bool
    deploy: Mapping[str, Any] | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Last dimension of each input and output; 0 where it is not a number."""
        ends = [*self.session.get_inputs(), *self.session.get_outputs()]
        last = {each.name: (each.shape or [0])[-1] for each in ends}
        return {name: size if isinstance(size, int) else 0 for name, size in last.items()}

    def robot_of(self, joint_names: tuple[str, ...]) -> tuple[Robot, tuple[str, ...]]:
        """The robot that the policy is for, and what had to be taken for granted.

        Raises:
            MimicError: none has these joints.
        """
        import robots

        named = self.description.robot
        if named:
            return robots.load(named), ()
        for each in robots.available():
            robot = robots.load(each.name)
            if set(joint_names) == set(robot.joint_names):
                return robot, (f"the robot: taken to be '{each.name}', which has these joints",)
        raise MimicError(
            f"{self.path}: the file does not say which robot it is for, and none has its joints "
            f'({", ".join(joint_names[:3])}, ...); name it as robot = "..." in --describe'
        )


def notes_of(player: PolicyPlayer) -> list[str]:
    """What another program's policy does not say of itself, for the console."""
    missing = getattr(player, "missing", ())
    if not missing:
        return []
    told = f"{player.path}: a policy of {getattr(player, 'format', '')}; it does not say"
    return [told, *(f"  {line}" for line in missing)]


def open_policy(
    path: Path,
    describe: Path | None = None,
    velocity: Sequence[float] = (0.0, 0.0, 0.0),
) -> PolicyPlayer:
    """A policy file of ours or of another program.

    Args:
        describe: a TOML file that says what the policy file does not, see `Description`, or the
            ``deploy.yaml`` of unitree_rl_lab.
        velocity: m/s, m/s, rad/s that a policy without a clip is asked for.

    Raises:
        MimicError: a file of none of the known formats, or one that is damaged or says too little.
    """
    session, metadata = None, {}
    if not zipfile.is_zipfile(path):
        session, metadata = open_session(path)
        if METADATA_KEY in metadata:
            return PolicyPlayer(path)
    from mimic.deploy.foreign.description import read_description
    from mimic.deploy.foreign.player import ForeignPlayer

    yaml = describe is not None and describe.suffix.lower() in (".yaml", ".yml")
    deploy = None
    try:
        if yaml and describe is not None:
            from mimic.deploy.foreign.unitree_rl_lab import read_deploy_yaml

            deploy = read_deploy_yaml(describe)
        description = read_description(None if yaml else describe)
    except MimicError as error:
        raise MimicError(plain(error, SHOWN)) from error
    policy = PolicyFile(
        path=path, session=session, metadata=metadata, description=description,
        described=describe is not None and not yaml, deploy=deploy,
    )  # fmt: skip
    for name in READERS:
        module = importlib.import_module(f"mimic.deploy.foreign.{name}")
        try:
            found = module.read(policy)
        except MimicError as error:
            # Names in a file are as long as its author likes.
            text = plain(error, SHOWN)
            raise MimicError(text if str(path) in text else f"{path}: {text}") from error
        except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            # Of tables whose shapes or kinds no reader has thought of.
            reason = plain(f"{type(error).__name__}: {error}", 160)
            raise MimicError(f"{path}: a damaged policy of {name}'s kind ({reason})") from error
        if found is not None:
            player = ForeignPlayer(path, found)
            player.velocity = (float(velocity[0]), float(velocity[1]), float(velocity[2]))
            return player
    raise MimicError(
        f"{path}: no contract of this program, none of BeyondMimic, mjlab or holosoma, and no "
        "description; say with --describe policy.toml what it observes and commands, or name the "
        "deploy.yaml of unitree_rl_lab there"
    )
