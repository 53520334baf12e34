"""What can be evaluated: policy files, runs, checkpoints, or any function of observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import robots
from mimic.configuration import from_plain, to_plain
from mimic.envs.commands import InterfaceCommandConfig
from mimic.envs.environment import TaskConfig
from mimic.envs.observation import find_observation, reference_to
from mimic.envs.terms import ObservationTerm
from mimic.learning.skills import GROUP as SKILLS
from mimic.learning.skills import whole_task
from mimic.policy.contract import PolicyContract
from mimic.policy.interfaces import check_interface, interface_names, interface_of
from mimic.policy.opener import PolicySource, find_policy, open_checkpoint, open_player
from mimic.tasks.interfaces import with_interface
from mimic.tasks.registry import task_config
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

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
        robot_source: name or description file of the robot, as its run was given it.
        run_task: the task as its run resolved it, in plain values; None where that is not known.
        check: refuses an environment it was not made for; returns what a reader of the figures
            should know.
        details: what else it says about itself.
        interface: the interface that it is judged through; empty where it knows of none.
        contract: of a policy file, whose actions are the joints' whatever it was trained on.
    """

    act: PolicyFunction
    source: str
    task: str
    robot: str
    motions: tuple[Path | RobotMotion, ...] = ()
    robot_source: str = ""
    run_task: Mapping[str, Any] | None = None
    check: Callable[[Environment], list[str]] = lambda env: []
    details: Mapping[str, Any] = field(default_factory=dict)
    interface: str = ""
    contract: PolicyContract | None = None


def open_policy(path: Path | str, interface: str | None = None) -> LoadedPolicy:
    """Open an ONNX file, a run directory or one of its checkpoints.

    Args:
        interface: one of those that it was trained for; by default what its contract says.

    Raises:
        MimicError: absent, damaged, or made by another program; no such interface.
    """
    source = find_policy(path, prefer="checkpoint")
    found = (_from_onnx if source.kind == "onnx" else _from_checkpoint)(source, interface)
    if not found.interface:
        return found
    return replace(found, details={**found.details, "interface": found.interface})


def _through(contract: PolicyContract | None, interface: str | None, where: object) -> str:
    """The interface that is asked for, or the contract's own."""
    if interface is not None:
        check_interface(interface, interface_names(contract) if contract else (), where)
        return interface
    return interface_of(contract) if contract else ""


def _from_onnx(source: PolicySource, interface: str | None) -> LoadedPolicy:
    player = open_player(source)
    contract = player.contract

    def act(obs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(player.act(obs.cpu().numpy())).to(obs.device)

    return LoadedPolicy(
        act=act,
        source=str(source.named),
        task=contract.task,
        robot=contract.robot.name,
        motions=_own_motions(player, source),
        **_of_run(source),
        check=lambda env: _check_contract(player, env),
        details={"training": dict(contract.training), "trained_on": _names(contract.motions)},
        interface=_through(contract, interface, source.named),
        contract=contract,
    )


def _from_checkpoint(source: PolicySource, interface: str | None) -> LoadedPolicy:
    from mimic.learning.checkpoints import check_identity

    policy, state = open_checkpoint(source)
    identity = state["identity"]
    told = state["contract"]
    contract = None if told is None else PolicyContract.from_json(told)

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
        **_of_run(source, state["config"].get("task")),
        check=check,
        interface=_through(contract, interface, source.named),
    )


def _of_run(source: PolicySource, saved: Any = None) -> dict[str, Any]:
    """What the run that a policy lies in says of its robot and its task.

    Args:
        saved: the task in the policy's own file, which may have left its run.
    """
    task = source.config.get("run", {}).get("task") or saved
    return {
        "robot_source": str(source.config.get("robot", "")),
        # A task of the first schema was a name and a few numbers.
        "run_task": task if isinstance(task, Mapping) and "rewards" in task else None,
    }


def load(
    policy: Path | str | LoadedPolicy | PolicyFunction,
    task: str | TaskConfig | None = None,
    robot: Path | str | Robot | None = None,
) -> LoadedPolicy:
    """A policy to be judged: opened, or a bare function with the task and robot it is for."""
    if isinstance(policy, LoadedPolicy):
        return policy
    if isinstance(policy, Path | str):
        return open_policy(policy)
    if task is None or robot is None:
        raise ValueError("a policy that is a function needs task and robot")
    name = robot.name if isinstance(robot, Robot) else robots.load(robot).name
    return LoadedPolicy(
        act=policy,
        source=getattr(policy, "__name__", type(policy).__name__),
        task=task if isinstance(task, str) else task.task,
        robot=name,
    )


def robot_of(policy: LoadedPolicy, robot: Path | str | Robot | None = None) -> Robot:
    """The robot to judge a policy on: the one given, else its run's, else by its name.

    Raises:
        MimicError, RobotError: another robot than the policy's, or an unknown one.
    """
    chosen = robot or policy.robot_source or policy.robot
    if not isinstance(chosen, Robot):
        chosen = robots.load(chosen)
    if chosen.name != policy.robot:
        raise MimicError(
            f"{policy.source}: the policy is for robot '{policy.robot}', not for '{chosen.name}'"
        )
    return chosen


def trained_task(policy: LoadedPolicy) -> TaskConfig:
    """The task as the policy's run resolved it; by its name where that is not known.

    Raises:
        MimicError: the task's code cannot be found, or has other fields now.
    """
    if policy.run_task is None:
        found = task_config(policy.task)
        if policy.contract is not None:
            found = as_observed(found, policy.contract)
    else:
        found = from_plain(TaskConfig, policy.run_task, source=f"{policy.source}: task")
        if policy.contract is not None:
            found = whole_task(found)
    return with_interface(found, policy.interface) if policy.interface else found


def as_observed(task: TaskConfig, contract: PolicyContract) -> TaskConfig:
    """A task by its name as a policy file observes it: one that was trained on top of skills
    observes more than the task shows by itself."""
    if not any(each.name.startswith(f"{SKILLS}.") for each in contract.observations):
        return task
    seen = {
        each.name: ObservationTerm(
            function=find_observation(each.function),
            scale=each.scale,
            history=each.history,
            filter=each.filter,
            parameters=dict(each.parameters),
        )
        for each in contract.observations
    }
    return replace(task, observations={**task.observations, "actor": seen})


def named_task(policy: LoadedPolicy) -> tuple[TaskConfig, list[str]]:
    """The task by the policy's name for it, so that figures of runs compare.

    Where the policy's run changed what the policy sees, does or stands on, it is the run's own
    task, and the second value says so, as it tells the interface that the policy is commanded
    through, where it has several.
    """
    found, notes = _named_task(policy)
    if policy.interface:
        found = with_interface(found, policy.interface)
        notes = [*notes, f"commanded through the interface '{policy.interface}'"]
    return found, notes


def _named_task(policy: LoadedPolicy) -> tuple[TaskConfig, list[str]]:
    named = task_config(policy.task)
    if policy.run_task is None:
        return named, []
    try:
        trained = trained_task(policy)
    except MimicError as error:
        return named, [f"judged on task '{policy.task}' as it is now: {error}"]
    changed = [
        what
        for what, one, other in (
            ("observations", _seen(trained), _seen(named)),
            ("interfaces", _interfaces(trained), _interfaces(named)),
            ("actions", to_plain(trained.actions), to_plain(named.actions)),
            ("scene", to_plain(trained.scene), to_plain(named.scene)),
            ("scene of its motions", trained.motion_scene, named.motion_scene),
            ("control_hz", trained.control_hz, named.control_hz),
        )
        if one != other
    ]
    if not changed:
        return named, []
    return trained, [
        f"this run changed the {' and '.join(changed)} of task '{policy.task}': it is judged on "
        "the task as it was trained"
    ]


def _interfaces(task: TaskConfig) -> Any:
    """What each interface shows."""
    return {
        name: {key: one.mask for key, one in each.interfaces.items()}
        for name, each in task.commands.items()
        if isinstance(each, InterfaceCommandConfig)
    }


def _seen(task: TaskConfig) -> Any:
    """What an actor's observations are, without noise and delay."""
    return [
        (name, reference_to(t.function), to_plain(t.parameters), t.scale, t.history, t.filter)
        for name, t in task.observations["actor"].items()
    ]


def _names(motions: Any) -> list[str]:
    return [motion.name for motion in motions]


def _own_motions(player: PolicyPlayer, source: PolicySource) -> tuple[Path | RobotMotion, ...]:
    """The clip inside a file; of one that tracks none, those that its run's episodes begin on."""
    contract = player.contract
    if contract.clip_inside is not None:
        return (_clip_inside(player),)
    return () if contract.motions else tuple(source.trained_on)


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
    lead = next((getattr(c, "reference_lead", 0) for c in env.commands.values()), 0)
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
