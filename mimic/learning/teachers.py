"""Teachers of a student: policies of other runs, asked what they would do in the same states.

A teacher is the checkpoint of a run of any algorithm. It observes its own group: the terms that
its checkpoint's task has for the actor, without noise and delay, are added to the student's task
(``teacher_groups``), so that every environment is seen through both pairs of eyes. What a teacher
asks of the joints is what counts: its actions are turned into the student's where the two scale
them differently.

A student's checkpoint holds its teachers (``Teachers.state_dict``): a run goes on without them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict
from torch import nn

import robots
from mimic.configuration import to_plain
from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.learning.checkpoints import find_checkpoint, load_checkpoint, spec_from_plain
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.loading import algorithm_of, task_of
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment, TaskConfig
    from mimic.learning.student_config import TaughtConfig
    from robots import Robot

GROUP = "teacher"
"""Observation group of the first teacher; others that see something else are numbered."""
CHOICE_GROUP = "teacher_choice"
"""Observation group that tells which of several teachers an environment asks."""
NO_TEACHER = "a student needs a teacher: name its run with --teacher RUN"

Terms = Mapping[str, ObservationTerm]


# what the environment computes for them ----------------------------------------------------


def teacher_groups(
    config: TaughtConfig, task: TaskConfig, robot: str | Path | Robot
) -> dict[str, Terms]:
    """The observation groups that a student's teachers need beside the task's own.

    Args:
        config: names the teachers.
        task: the student's. robot: the student's, or its name.

    Raises:
        MimicError: no teacher, an absent or damaged one, one of another robot, one whose task is
            not known any more or looks at commands that the student's task does not have.
    """
    if not config.teacher:
        raise MimicError(NO_TEACHER)
    body = robots.load(robot) if isinstance(robot, str | Path) else robot
    groups: dict[str, Terms] = {}
    clips: list[tuple[str, ...]] = []
    for path in config.teacher:
        file, state = _opened(path)
        _check_robot(file, state["identity"], body)
        # What it cannot be built from is told before anything is trained or written.
        algorithm_of(state, file).policy()
        terms = _observed(file, state, task)
        group = _group_of(terms, groups)
        groups[group] = terms
        clips.append(tuple(state["identity"].get("motions", ())))
    if len(clips) > 1:
        term = ObservationTerm(
            function=teacher_of,
            parameters={"clips": tuple(clips), "by": config.teacher_choice},
        )
        groups[CHOICE_GROUP] = {"teacher": term}
    return groups


def _opened(path: Path) -> tuple[Path, dict[str, Any]]:
    """A teacher's checkpoint; what is none is refused by what it is."""
    if path.suffix == ".onnx":
        raise MimicError(
            f"teacher '{path}' is a policy file; name the run directory or checkpoint it was "
            "exported from"
        )
    if not path.exists():
        raise MimicError(f"teacher '{path}' does not exist; name a run directory or a checkpoint")
    file = find_checkpoint(path)
    return file, load_checkpoint(file)


def _check_robot(file: Path, identity: Mapping[str, Any], robot: Robot) -> None:
    if identity.get("robot") != robot.name:
        raise MimicError(
            f"{file}: this teacher is of robot '{identity.get('robot')}', the student of "
            f"'{robot.name}'; a teacher must be trained on the student's robot"
        )


def _observed(file: Path, state: Mapping[str, Any], task: TaskConfig) -> Terms:
    """The terms of a teacher's actor, without noise and delay."""
    theirs = task_of(state, file)
    if isinstance(theirs, str):
        from mimic.tasks.registry import task_config

        theirs = task_config(theirs)
    terms = {
        name: replace(term, noise=0.0, delay=(0, 0))
        for name, term in theirs.observations.get("actor", {}).items()
    }
    saved = [(each.name, each.history) for each in spec_from_plain(state["spec"], file)
             .observations.get("actor", ())]  # fmt: skip
    if saved != [(name, term.history) for name, term in terms.items()]:
        raise MimicError(
            f"{file}: this teacher observes {', '.join(name for name, _ in saved) or 'nothing'}, "
            f"its task has {', '.join(terms) or 'nothing'} now; use the version of the program it "
            "was trained with"
        )
    for name, command in theirs.commands.items():
        ours = task.commands.get(name)
        if ours is None:
            raise MimicError(
                f"{file}: this teacher follows the command '{name}', which task '{task.task}' does "
                f"not have (its commands: {', '.join(task.commands) or 'none'})"
            )
        lead = [getattr(each, "reference_lead", None) for each in (command, ours)]
        if lead[0] != lead[1]:
            raise MimicError(
                f"{file}: this teacher sees the reference {lead[0]} step(s) ahead, task "
                f"'{task.task}' shows it {lead[1]} ahead; give both the same "
                f"--task.commands.{name}.reference-lead"
            )
    if theirs.control_hz != task.control_hz:
        raise MimicError(
            f"{file}: this teacher acts {theirs.control_hz:g} times a second, task '{task.task}' "
            f"{task.control_hz:g} times"
        )
    return terms


def _group_of(terms: Terms, groups: Mapping[str, Terms]) -> str:
    """The group that shows these terms already, or the name of a new one."""
    for name, known in groups.items():
        if list(known) == list(terms) and to_plain(dict(known)) == to_plain(dict(terms)):
            return name
    return GROUP if not groups else f"{GROUP}_{len(groups) + 1}"


def teacher_of(
    env: Environment, clips: Sequence[Sequence[str]], by: str, command: str = "motion"
) -> torch.Tensor:
    """The number of the teacher that each environment asks, [N, 1].

    Args:
        clips: hashes of the clips that each teacher was trained on.
        by: ``clip``: the first teacher that knows the environment's clip, clips that none knows
            dealt out in turn; ``environment``: environments dealt out in turn.
    """
    if by == "environment":
        return (env.number % len(clips)).float()[:, None]
    motion: Any = env.commands[command]
    known = tuple(map(tuple, clips))
    table = _teachers_of_clips(motion.library.hashes, known, str(env.device))
    return table[motion.clip][:, None]


@functools.lru_cache(maxsize=4)
def _teachers_of_clips(
    hashes: tuple[str, ...], clips: tuple[tuple[str, ...], ...], device: str
) -> torch.Tensor:
    """[C] the number of the teacher of every clip of a library, as floats."""
    known: dict[str, int] = {}
    for teacher, taught in enumerate(clips):
        for digest in taught:
            known.setdefault(digest, teacher)
    found = [known.get(digest, number % len(clips)) for number, digest in enumerate(hashes)]
    return torch.tensor(found, device=device).float()


# what the student asks ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """A frozen policy, and how its actions become a student's."""

    path: str
    """Where it came from."""
    group: str
    """The observation group it sees."""
    policy: nn.Module
    """[N, D] -> [N, A], its own actions."""
    gain: torch.Tensor
    """[A] and"""
    offset: torch.Tensor
    """[A]: ``gain * action + offset`` is the student's action for the same joint targets."""
    std: torch.Tensor
    """[A] standard deviation of its actions, in the student's units."""
    plain: Mapping[str, Any]
    """What it is built from again."""

    @classmethod
    def build(cls, plain: Mapping[str, Any], spec: EnvSpec, device: str, std: float) -> Teacher:
        """Make a teacher from what a checkpoint says of it.

        Args:
            plain: ``path``, ``group``, and of a checkpoint ``spec``, ``config.algorithm``,
                ``algorithm``.
            std: standard deviation of its actions, in its own units; 0: what it has learnt.

        Raises:
            MimicError: networks that do not fit, or actions of other joints than the student's.
        """
        path = plain["path"]
        weights = [each for each in _tensors(plain["algorithm"]["state"])]
        size = sum(each.numel() * each.element_size() for each in weights)
        policy = algorithm_of(plain, Path(path), size).policy().to(device).eval()
        for parameter in policy.parameters():
            parameter.requires_grad_(False)
        theirs = spec_from_plain(plain["spec"], path)
        if theirs.robot != spec.robot or theirs.num_actions != spec.num_actions:
            raise MimicError(
                f"{path}: this teacher moves {theirs.num_actions} joints of '{theirs.robot}', the "
                f"student {spec.num_actions} of '{spec.robot}'"
            )
        if plain["group"] in spec.sizes:
            found, wanted = spec.sizes[plain["group"]], theirs.sizes["actor"]
            if found != wanted:
                raise MimicError(
                    f"{path}: this teacher observes {wanted} numbers, the student's task shows it "
                    f"{found} ('{plain['group']}')"
                )
        scale, other = (torch.tensor(s.action_scale, device=device) for s in (spec, theirs))
        zero, there = (torch.tensor(s.default_joint_pos, device=device) for s in (spec, theirs))
        gain = other / scale
        own = _learnt_std(plain["algorithm"]["state"]) if not std else None
        own = torch.full_like(gain, std or 0.3) if own is None else own.to(device)
        return cls(
            path=path,
            group=plain["group"],
            policy=policy,
            gain=gain,
            offset=(there - zero) / scale,
            std=gain * own,
            plain=plain,
        )

    def actions(self, obs: torch.Tensor) -> torch.Tensor:
        """The student's actions [N, A] that this teacher asks for, seeing ``obs`` [N, D]."""
        return self.policy(obs) * self.gain + self.offset


def _tensors(values: Any) -> list[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, Mapping):
        return [each for value in values.values() for each in _tensors(value)]
    if isinstance(values, list | tuple):
        return [each for value in values for each in _tensors(value)]
    return []


def _learnt_std(state: Mapping[str, Any]) -> torch.Tensor | None:
    """[A] the standard deviation that an actor of ours has learnt; None for another's."""
    actor = state.get("actor")
    if not isinstance(actor, Mapping):
        return None
    if "distribution.std_param" in actor:
        return actor["distribution.std_param"].detach().abs().clamp_min(1e-3)
    if "distribution.log_std_param" in actor:
        return actor["distribution.log_std_param"].detach().exp().clamp_min(1e-3)
    return None


class Teachers:
    """All teachers of a student.

    Attributes:
        members: in the order they were named.
        stds: [K, A] the standard deviation of each one's actions.
    """

    def __init__(self, members: Sequence[Teacher]) -> None:
        self.members = list(members)
        self.stds = torch.stack([each.std for each in members])

    @classmethod
    def load(cls, config: TaughtConfig, spec: EnvSpec, device: str) -> Teachers:
        """Read the teachers that a configuration names.

        Raises:
            MimicError: an absent, damaged or unfit one, or a task that does not show them what
                they need.
        """
        if not config.teacher:
            raise MimicError(NO_TEACHER)
        members = []
        groups: dict[str, Any] = {}
        for path in config.teacher:
            file, state = _opened(path)
            group = _saved_group(state["spec"]["observations"]["actor"], groups)
            groups[group] = state["spec"]["observations"]["actor"]
            if group not in spec.sizes:
                raise MimicError(
                    f"the observation group '{group}' of teacher '{path}' is not part of task "
                    f"'{spec.task}'; mimic train adds it by itself"
                )
            plain = _stripped(file, state)
            members.append(Teacher.build({**plain, "group": group}, spec, device, _std(config)))
        return cls(members)

    @classmethod
    def restored(
        cls, saved: Sequence[Mapping[str, Any]], config: TaughtConfig, spec: EnvSpec, device: str
    ) -> Teachers:
        """The teachers that a student's checkpoint holds."""
        return cls([Teacher.build(each, spec, device, _std(config)) for each in saved])

    def choice(self, obs: TensorDict) -> torch.Tensor:
        """[N] the number of the teacher that each environment asks."""
        if len(self.members) == 1:
            first = obs[self.members[0].group]
            return torch.zeros(len(first), dtype=torch.long, device=first.device)
        return obs[CHOICE_GROUP][:, 0].long()

    @torch.no_grad()
    def actions(self, obs: TensorDict) -> torch.Tensor:
        """[N, A] what its teacher would do in each environment."""
        if len(self.members) == 1:
            return self.members[0].actions(obs[self.members[0].group])
        choice = self.choice(obs)
        found = obs[CHOICE_GROUP].new_zeros(len(choice), self.stds.shape[1])
        for number, each in enumerate(self.members):
            rows = (choice == number).nonzero().squeeze(-1)
            if len(rows):
                found[rows] = each.actions(obs[each.group][rows])
        return found

    def state_dict(self) -> list[dict[str, Any]]:
        """All of them, as a checkpoint holds them."""
        return [dict(each.plain) for each in self.members]

    def describe(self, config: TaughtConfig) -> str:
        """A line for the user."""
        if len(self.members) == 1:
            return f"teacher: {self.members[0].path}"
        how = "the clip" if config.teacher_choice == "clip" else "the environment"
        return f"teachers, chosen by {how}: {', '.join(each.path for each in self.members)}"


def _saved_group(entries: Any, groups: Mapping[str, Any]) -> str:
    """The group's name as ``teacher_groups`` has given it, from saved observations alone."""

    def seen(each: Any) -> list[dict[str, Any]]:
        return [{name: value for name, value in entry.items() if name != "delay"} for entry in each]

    for name, known in groups.items():
        if seen(known) == seen(entries):
            return name
    return GROUP if not groups else f"{GROUP}_{len(groups) + 1}"


def _std(config: TaughtConfig) -> float:
    return float(getattr(config, "teacher_std", 0.0))


def _stripped(file: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """What a teacher is built from again, without what only its own training needs."""
    # Built without environments, an algorithm keeps what its policy needs.
    kept = algorithm_of(state, file).state_dict()
    return {
        "path": str(file),
        "spec": state["spec"],
        "config": {"algorithm": state["config"]["algorithm"]},
        "algorithm": {"name": state["algorithm"]["name"], "state": kept},
    }


class PendingTeachers:
    """A student's teachers, read from their runs unless the student's checkpoint holds them.

    They are read when they are first asked: a resumed run takes them from its checkpoint, even
    where their own runs are gone.
    """

    def __init__(
        self, config: TaughtConfig, spec: EnvSpec, device: str, ranks: Ranks = SINGLE
    ) -> None:
        self._config, self._spec, self._device, self._ranks = config, spec, device, ranks
        self._found: Teachers | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody will ask: there are environments to learn in."""
        return self._spec.num_envs > 0

    def get(self) -> Teachers:
        """The teachers.

        Raises:
            MimicError: see ``Teachers.load``.
        """
        if self._found is None:
            self._take(Teachers.load(self._config, self._spec, self._device))
        assert self._found is not None
        return self._found

    def state_dict(self) -> list[dict[str, Any]] | None:
        """What a checkpoint holds of them; None where they have never been asked."""
        return None if self._found is None else self._found.state_dict()

    def load_state_dict(self, saved: Sequence[Mapping[str, Any]] | None) -> None:
        """Take the teachers of a checkpoint.

        Raises:
            ValueError: they are not those that the configuration names now.
        """
        if not saved or not self.wanted:
            return
        if len(saved) != len(self._config.teacher):
            raise ValueError("a run keeps its teachers")
        self._take(Teachers.restored(saved, self._config, self._spec, self._device))

    def _take(self, teachers: Teachers) -> None:
        self._found = teachers
        if self._ranks.first:
            print(teachers.describe(self._config), flush=True)
