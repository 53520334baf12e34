"""What can be evaluated: policy files, runs, checkpoints, or any function of observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mimic.envs.commands.motion import motion_command
from mimic.policy.opener import PolicySource, find_policy, open_player
from mimic_base.errors import MimicError
from motions import RobotMotion

if TYPE_CHECKING:
    from mimic.envs.environment import Environment
    from mimic.policy.player import PolicyPlayer

PolicyFunction = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class LoadedPolicy:
    """A policy and what it says about itself.

    Attributes:
        act: observations [N, D] -> deterministic actions [N, A].
        task, robot: what it was trained for.
        motions: clips to judge it on when the user names none.
        check: refuses an environment it was not made for; returns what a reader of the figures
            should know.
        details: what else it says about itself.
    """

    act: PolicyFunction
    source: str
    task: str
    robot: str
    motions: tuple[Path | RobotMotion, ...] = ()
    check: Callable[[Environment], list[str]] = lambda env: []
    details: Mapping[str, Any] = field(default_factory=dict)


def open_policy(path: Path | str) -> LoadedPolicy:
    """Open an ONNX file, a run directory or one of its checkpoints.

    Raises:
        MimicError: absent, damaged, or made by another program.
    """
    source = find_policy(path, prefer="checkpoint")
    return _from_onnx(source) if source.kind == "onnx" else _from_checkpoint(source)


def _from_onnx(source: PolicySource) -> LoadedPolicy:
    player = open_player(source)
    contract = player.contract

    def act(obs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(player.act(obs.cpu().numpy())).to(obs.device)

    return LoadedPolicy(
        act=act,
        source=str(source.named),
        task=contract.task,
        robot=contract.robot.name,
        motions=(_clip_inside(player),) if contract.clip_inside is not None else (),
        check=lambda env: _check_contract(player, env),
        details={"training": dict(contract.training), "trained_on": _names(contract.motions)},
    )


def _from_checkpoint(source: PolicySource) -> LoadedPolicy:
    from mimic.learning.checkpoints import check_identity
    from mimic.learning.loading import load_policy

    policy, identity = load_policy(source.file)

    def act(obs: torch.Tensor) -> torch.Tensor:
        # Where the environment is; a second call finds it there.
        return policy.to(obs.device)(obs)

    def check(env: Environment) -> list[str]:
        found = env.identity
        sizes = {name: found[name] for name in ("actor_observations", "actions")}
        check_identity(source.file, identity, sizes)
        return _hash_note(identity["robot_hash"], env)

    return LoadedPolicy(
        act=act,
        source=str(source.named),
        task=identity["task"],
        robot=identity["robot"],
        motions=tuple(source.trained_on),
        check=check,
    )


def _names(motions: Any) -> list[str]:
    return [motion.name for motion in motions]


def _clip_inside(player: PolicyPlayer) -> RobotMotion:
    contract = player.contract
    frames: dict[str, Any] = {**player.reference_inside().frame_fields()}
    info = contract.motions[contract.clip_inside or 0]
    return RobotMotion(
        fps=1.0 / contract.control_dt,
        **frames,
        joint_names=contract.joint_names,
        body_names=contract.body_names,
        robot=contract.robot.name,
        name=info.name,
        source=f"inside {player.path.name}",
    )


def _check_contract(player: PolicyPlayer, env: Environment) -> list[str]:
    """Refuse an environment whose robot or observations differ from the policy's contract."""
    contract = player.contract
    wanted = [(t.name, t.size, t.scale, t.history) for t in contract.observations]
    layout = env.observation_layout("actor")
    found = [(t["name"], t["size"], t["scale"], t["history"]) for t in layout]
    if wanted != found:
        raise MimicError(
            f"{player.path}: the policy observes {_layout(wanted)}; task '{env.task_name}' gives "
            f"{_layout(found)}; evaluate it on the task it was trained for, '{contract.task}'"
        )
    lead = motion_command(env).reference_lead
    if contract.reference_lead != lead:
        raise MimicError(
            f"{player.path}: the policy observes the reference {contract.reference_lead} step(s) "
            f"ahead, task '{env.task_name}' gives it {lead} ahead; train it again "
            "with the installed version"
        )
    if contract.joint_names != env.robot.joint_names:
        raise MimicError(
            f"{player.path}: the policy's joints are not robot '{env.robot.name}'s, or in another "
            "order; export the policy again with the installed version"
        )
    for name in ("default_joint_pos", "action_scale", "kp", "kd", "effort_limit"):
        theirs, ours = np.asarray(getattr(contract, name)), getattr(env.robot, name)
        if not np.allclose(theirs, ours, rtol=1e-5, atol=1e-8):
            joint = env.robot.joint_names[int(np.abs(theirs - ours).argmax())]
            raise MimicError(
                f"{player.path}: {name} of joint '{joint}' differs between the policy and robot "
                f"'{env.robot.name}'; use the robot description it was trained with"
            )
    if abs(contract.control_dt - env.control_dt) > 1e-9:
        raise MimicError(
            f"{player.path}: the policy acts every {contract.control_dt} s, the task every "
            f"{env.control_dt} s"
        )
    return _hash_note(contract.robot.hash, env)


def _layout(terms: list[tuple[str, int, float, int]]) -> str:
    return ", ".join(f"{name}[{size}]" for name, size, _, _ in terms)


def _hash_note(trained_on: str, env: Environment) -> list[str]:
    if trained_on == env.robot.content_hash:
        return []
    return [
        f"the policy was trained on another build of robot '{env.robot.name}' "
        f"({trained_on}, here {env.robot.content_hash})"
    ]
