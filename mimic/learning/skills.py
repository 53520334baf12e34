"""Skills as actions: a policy on top of a frozen one (ASE, arXiv 2205.01906, section 7).

The frozen policy has learnt skills: it sees a latent vector of length one (``mimic.tasks.skills``)
and moves the joints. The policy on top acts by such vectors: at every control step its action [k],
brought to length one, is the skill. The published one acts at a fifth of the rate; here it acts at
every step, since a policy file remembers nothing.

To the runner the frozen policy is an action term, so that any algorithm can learn on top of it. It
sees the observation group ``skills``, as it was trained to. A policy file holds both: it takes the
observations of both and gives joint actions, as any other file does.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from mimic.envs.actions import Action, ActionConfig, Inner, JointPositionConfig
from mimic.envs.mdp.observations import actions as last_actions
from mimic.envs.mdp.skill import joint_actions
from mimic.envs.mdp.skill import skill as skill_term
from mimic.envs.observation import Table
from mimic.envs.spec import EnvSpec, ObservationEntry
from mimic.envs.terms import ObservationTerm
from mimic.learning.checkpoints import find_checkpoint, load_checkpoint, spec_from_plain
from mimic.learning.loading import policy_of, task_of
from mimic.sim.state import RowsOfEnvironments
from mimic_base.errors import MimicError
from mimic_base.files import atomic_path
from robots.symmetry import MirrorMap

if TYPE_CHECKING:
    from mimic.envs.environment import Environment, TaskConfig

GROUP = "skills"
"""Name of the action term, and of the observation group that the frozen policy sees."""
OWN = "skills.pt"
"""The skills' checkpoint in the folder of a run that is built on them."""


class SkilledPolicy(nn.Module):
    """A policy on top of a frozen one as one: observations of both [N, D] -> actions [N, A].

    Args:
        outer: [N, d] -> [N, k]. inner: the frozen one. size: d.
        columns: of the skill in what the inner one sees.
    """

    def __init__(self, outer: nn.Module, inner: nn.Module, size: int, columns: slice) -> None:
        super().__init__()
        self.outer, self.inner = outer, inner
        self.size, self.at = size, columns.start

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        skill = functional.normalize(self.outer(obs[:, : self.size]), dim=-1)
        rest = obs[:, self.size :]
        return self.inner(torch.cat([rest[:, : self.at], skill, rest[:, self.at :]], -1))


@dataclass(frozen=True, kw_only=True)
class LowLevel:
    """A frozen policy of skills, read from its checkpoint."""

    path: Path
    spec: EnvSpec
    task: TaskConfig
    policy: nn.Module
    """[N, D] -> [N, A], on the CPU."""
    symmetric: bool
    """Whether it was trained to do the mirror image of what it does in the mirror image."""

    @cached_property
    def columns(self) -> slice:
        """Columns of the skill in what it sees.

        Raises:
            MimicError: it sees none.
        """
        at = 0
        for entry in self.spec.observations["actor"]:
            if entry.function == SKILL_FUNCTION and entry.history == 1:
                return slice(at, at + entry.size)
            at += entry.width
        raise MimicError(
            f"{self.path}: this policy of task '{self.spec.task}' has no skills to choose from; "
            "name a run of --algorithm ase on the task skills"
        )

    @property
    def seen(self) -> dict[str, ObservationTerm]:
        """What it observes beside the skill, as a group of the task on top."""
        return {
            name: in_joint_space(term)
            for name, term in self.task.observations["actor"].items()
            if term.function is not skill_term
        }


SKILL_FUNCTION = f"{skill_term.__module__}:{skill_term.__qualname__}"


SKILLS_TYPE = f"{__name__}:SkillsConfig"


def digest_of(file: Path) -> str:
    """A short hash of a file's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def load_skills(path: Path | str, digest: str = "") -> LowLevel:
    """Read a policy of skills.

    Args:
        path: a run directory or a checkpoint. digest: of the checkpoint, where it must be the same.

    Raises:
        MimicError: absent or damaged, another content, or a policy without skills.
    """
    file = find_checkpoint(path)
    if digest and digest_of(file) != digest:
        raise MimicError(
            f"{file}: these skills are not the ones that were built on (content {digest_of(file)}, "
            f"expected {digest}); restore the checkpoint, or train anew with --skills"
        )
    state = load_checkpoint(file)
    task = task_of(state, file)
    if isinstance(task, str):
        raise MimicError(f"{file}: a checkpoint of the first schema has no skills")
    found = LowLevel(
        path=file,
        spec=spec_from_plain(state["spec"], file),
        task=task,
        policy=policy_of(state, file).eval(),
        symmetric=bool(state["config"]["algorithm"].get("symmetry", False)),
    )
    _ = found.columns
    if not _moves_all_joints(task.actions):
        raise MimicError(f"{file}: skills move all joints by position; these have other actions")
    for parameter in found.policy.parameters():
        parameter.requires_grad_(False)
    return found


def _moves_all_joints(actions: Mapping[str, ActionConfig]) -> bool:
    return len(actions) == 1 and all(isinstance(a, JointPositionConfig) for a in actions.values())


def in_joint_space(term: ObservationTerm) -> ObservationTerm:
    """The observation with the joints' last actions for the last actions."""
    return replace(term, function=joint_actions) if term.function is last_actions else term


def with_skills(task: TaskConfig, path: Path | str) -> TaskConfig:
    """The same task with skills for actions.

    Args:
        path: run directory or checkpoint of the skills.

    Raises:
        MimicError: as ``load_skills``; the task has such actions or such a group already, or
            another control rate.
    """
    low = load_skills(path)
    if GROUP in task.observations or not _moves_all_joints(task.actions):
        raise MimicError(
            f"--skills: task '{task.task}' must move all joints by position and have no "
            f"observation group '{GROUP}'"
        )
    if low.task.control_hz != task.control_hz:
        raise MimicError(
            f"--skills: {low.path} acts at {low.task.control_hz:g} Hz, task '{task.task}' at "
            f"{task.control_hz:g}; set --task.control-hz"
        )
    groups = {
        group: {name: in_joint_space(term) for name, term in terms.items()}
        for group, terms in task.observations.items()
    }
    config = SkillsConfig(
        policy=str(low.path.resolve()), digest=digest_of(low.path), actions=low.task.actions
    )
    return replace(task, actions={GROUP: config}, observations={**groups, GROUP: low.seen})


def whole_task(task: TaskConfig) -> TaskConfig:
    """The task as a file that holds both policies plays it: both observe, and joints are moved.
    Another task is itself."""
    config = task.actions.get(GROUP)
    if not isinstance(config, SkillsConfig):
        return task
    groups = dict(task.observations)
    inner = {f"{GROUP}.{name}": term for name, term in groups.pop(GROUP).items()}
    groups["actor"] = {**groups["actor"], **inner}
    return replace(task, actions=config.actions, observations=groups)


def kept_in(task: TaskConfig, folder: Path) -> TaskConfig:
    """The task with its skills copied into a run's folder: the run goes on with them, whatever
    becomes of theirs. Another task is itself."""
    config = task.actions.get(GROUP)
    if not isinstance(config, SkillsConfig):
        return task
    own = folder / OWN
    with atomic_path(own) as temporary:
        shutil.copyfile(config.policy, temporary)
    return replace(task, actions={GROUP: replace(config, policy=str(own.resolve()))})


def whole_policy(policy: nn.Module, state: Mapping[str, Any], path: Path) -> nn.Module:
    """The policy of a checkpoint as its contract describes it: with the skills below it, if any.

    Raises:
        MimicError: the skills are not where they were, or others.
    """
    # Read as it is written: who plays a checkpoint needs none of its task's code.
    actions = (state["config"].get("task") or {}).get("actions") or {}
    plain = actions.get(GROUP)
    if not isinstance(plain, Mapping) or plain.get("$type") != SKILLS_TYPE:
        return policy
    digest, own = str(plain["digest"]), path.parent.parent / OWN
    # A run that was moved has its skills with it.
    there = own.is_file() and digest_of(own) == digest
    low = load_skills(own if there else str(plain["policy"]), digest)
    size = spec_from_plain(state["spec"], path).sizes["actor"]
    return SkilledPolicy(policy, low.policy, size, low.columns)


@dataclass(frozen=True, kw_only=True)
class SkillsConfig(ActionConfig):
    """The skills of a frozen policy instead of joint targets."""

    policy: str
    """Checkpoint of the frozen policy."""
    digest: str = ""
    """Hash of its content; empty: any."""
    actions: Mapping[str, ActionConfig] = field(default_factory=dict)
    """Its own actions."""

    def build(self, env: Environment) -> SkillsAction:
        return SkillsAction(self, env)


class SkillsAction(RowsOfEnvironments, Action):
    """See ``SkillsConfig``.

    Attributes:
        joint_actions: [N, A] the frozen policy's last actions.
    """

    shared_tensors: ClassVar[frozenset[str]] = frozenset({"offset", "scale"})

    def __init__(self, config: SkillsConfig, env: Environment) -> None:
        self.low = load_skills(config.policy, config.digest)
        if self.low.spec.robot != env.robot.name:
            raise MimicError(
                f"{self.low.path}: these skills are of robot '{self.low.spec.robot}', not of "
                f"'{env.robot.name}'"
            )
        self._env = env
        self._policy = self.low.policy.to(env.device)
        ((_, joints),) = config.actions.items()
        self._joints = joints.build(env)
        self.size = self.low.columns.stop - self.low.columns.start
        self.offset = torch.zeros(self.size, device=env.device)
        self.scale = torch.ones(self.size, device=env.device)
        self.joint_actions = torch.zeros(env.num_envs, self._joints.size, device=env.device)

    def apply(self, actions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if not hasattr(self._env, "get_observations"):
            raise MimicError(
                "actions that are skills cannot be imagined: the frozen policy sees what is "
                "simulated; train by --algorithm ppo"
            )
        seen = self._env.get_observations()[GROUP]
        at = self.low.columns.start
        skill = functional.normalize(actions, dim=-1)
        with torch.no_grad():
            self.joint_actions = self._policy(torch.cat([seen[:, :at], skill, seen[:, at:]], -1))
        return self._joints.apply(self.joint_actions, targets)

    def mirror(self, robot: MirrorMap) -> Table:
        if not self.low.symmetric:
            raise MimicError(
                f"{self.low.path}: these skills were trained without symmetry, so that the mirror "
                "image of one is unknown; train without symmetry (--algorithm.no-symmetry)"
            )
        # The same skill does the mirror image in the mirror image.
        return list(range(self.size)), [1.0] * self.size

    @property
    def inner(self) -> Inner:
        entries = self.low.spec.observations["actor"]
        scale = self._joints.scale.tolist()
        return Inner(
            group=GROUP,
            entries=tuple(
                replace(each, name=f"{GROUP}.{each.name}", function=_of_file(each))
                for each in entries
                if each.function != SKILL_FUNCTION
            ),
            default_joint_pos=tuple(self._joints.offset.tolist()),
            action_scale=tuple(scale),
            whole=self._whole,
        )

    def _whole(self, policy: nn.Module, size: int) -> nn.Module:
        # A copy: what is exported goes to the CPU.
        low = load_skills(self.low.path)
        return SkilledPolicy(policy, low.policy, size, self.low.columns)


def _of_file(entry: ObservationEntry) -> str:
    """Where an observation of the frozen policy is declared."""
    return entry.function or f"{last_actions.__module__}:{entry.name}"
