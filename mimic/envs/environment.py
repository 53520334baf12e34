"""The vectorised environment: rsl_rl's ``VecEnv`` contract over an engine and named terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from tensordict import TensorDict

from mimic.envs.actions import Action, ActionConfig, ActionDelay, JointPositionConfig
from mimic.envs.commands.base import Command, CommandConfig, InitialState
from mimic.envs.compiled import Compiled
from mimic.envs.demonstrations import Demonstrations, demonstrations
from mimic.envs.features import BodyState
from mimic.envs.imagination import Imagination
from mimic.envs.observing import ObservationGroups
from mimic.envs.parts import StepParts
from mimic.envs.sharpness import Sharpness
from mimic.envs.spec import EnvSpec
from mimic.envs.symmetry import reflections
from mimic.envs.terms import (
    CurriculumTerm,
    EventTerm,
    ObservationTerm,
    RewardTerm,
    TerminationTerm,
    check_shape,
    check_terms,
    weighted_rewards,
)
from mimic.envs.threads import few_threads
from mimic.sim.engine import Engine
from mimic.sim.errors import CannotVaryError, EngineError
from mimic.sim.scene import PHYSICS_HZ, SceneConfig
from mimic.sim.state import SceneState
from mimic_base.errors import MimicError
from robots import Robot

STATISTICS_EVERY = 24
"""Control steps between two computations of the commands' slow figures for the log."""


def joint_positions() -> dict[str, ActionConfig]:
    """The default action: position targets of all joints."""
    return {"joint_pos": JointPositionConfig()}


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """A task as data: named terms and the numbers around them."""

    task: str
    """Name of the task."""
    scene: SceneConfig = field(default_factory=SceneConfig)
    """Terrain, objects and named contacts around the robot."""
    actions: Mapping[str, ActionConfig] = field(default_factory=joint_positions)
    """What the columns of an action mean, in their order."""
    commands: Mapping[str, CommandConfig] = field(default_factory=dict)
    """What is asked of each environment. Terms name the command they mean by a parameter."""
    observations: Mapping[str, Mapping[str, ObservationTerm]]
    """Groups of what is seen: ``actor``, ``critic`` and whatever an algorithm asks for."""
    rewards: Mapping[str, RewardTerm]
    """What is added up to the reward of a control step."""
    terminations: Mapping[str, TerminationTerm]
    """What ends an episode."""
    events: Mapping[str, EventTerm] = field(default_factory=dict)
    """What happens to environments: randomised physics, pushes."""
    curriculum: Mapping[str, CurriculumTerm] = field(default_factory=dict)
    """What changes as training goes on."""
    episode_length_s: float = 10.0
    """Longest episode, where a termination asks for it, s."""
    control_hz: float = 50.0
    """Actions a second."""
    physics_hz: float = PHYSICS_HZ
    """Rate of the physics in training. 100 takes half the work for nearly the same motion;
    evaluation and playing always use at least 200."""
    observation_noise: bool = True
    """Whether observations carry their terms' noise."""
    action_delay: tuple[int, int] = (0, 0)
    """Fewest and most control steps by which actions arrive late; drawn for each environment at
    each restart. Evaluations without disturbances have none."""
    delay_from_first: bool = False
    """Whether the first action of an episode also stands in for those that would have arrived
    before it; otherwise they are actions of zero."""
    motion_scene: bool = True
    """Whether terrain and objects are those that the motions carry, where `scene` has none. Other
    motions then bring others."""

    def __post_init__(self) -> None:
        for name in ("episode_length_s", "control_hz", "physics_hz"):
            if not getattr(self, name) > 0:
                raise MimicError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.actions:
            raise MimicError(f"task '{self.task}' has no action")
        least, most = self.action_delay
        if not 0 <= least <= most:
            raise MimicError(
                f"action_delay must be a range of control steps such as (0, 2), got "
                f"{self.action_delay}"
            )


def quiet_task(
    task: TaskConfig,
    *,
    observation_noise: bool = False,
    start_noise: float = 0.0,
    disturbances: bool = False,
) -> TaskConfig:
    """The task as evaluations and players see it: nothing random but what is asked for.

    Args:
        observation_noise: keep the terms' noise.
        start_noise: share of the commands' noise on start states that stays.
        disturbances: keep the events: pushes and randomised physics.

    The physics runs at 200 Hz at least, whatever the task was trained on.
    """
    return replace(
        task,
        commands={name: each.quiet(start_noise) for name, each in task.commands.items()},
        events=dict(task.events) if disturbances else {},
        action_delay=task.action_delay if disturbances else (0, 0),
        rewards={
            name: replace(term, adaptive=0.0) if getattr(term, "adaptive", 0.0) else term
            for name, term in task.rewards.items()
        },
        curriculum={},
        physics_hz=max(task.physics_hz, PHYSICS_HZ),
        observation_noise=observation_noise,
    )


def _check_terms(config: TaskConfig) -> None:
    """Raise a `MimicError` where a term cannot be called as the environment will call it."""
    task = f"task '{config.task}'"
    for group, terms in config.observations.items():
        check_terms(f"{task}: observations.{group}", terms, ObservationTerm, 1)
    check_terms(f"{task}: rewards", config.rewards, RewardTerm, 1)
    check_terms(f"{task}: terminations", config.terminations, TerminationTerm, 1)
    check_terms(f"{task}: events", config.events, EventTerm, 2)
    check_terms(f"{task}: curriculum", config.curriculum, CurriculumTerm, 2)


class Environment:
    """Many copies of a scene, each with a robot that is asked to do something.

    A control step: physics under the targets that the actions mean; commands go on;
    terminations and rewards compare state and command of the same time; finished environments
    are observed a last time and restart; interval events fire; observations are computed.

    Args:
        seed: of commands, noise and events.
        compiled: whether kinematics, commands, terminations, rewards and observations go through
            ``torch.compile``. Results differ by rounding.

    Attributes:
        commands: the task's commands by name.
        actions, previous_actions: [N, A] the policy's last two outputs; zero after a restart.
        key_body_ids: [B] places of the robot's key bodies among all bodies.
        default_joint_pos: [J] the robot's; default_joint_pos_of_env: [N, J] each environment's.
        number: [N] each environment's own number, from 0.
        episode_length_buf: [N] control steps since the restart.
        drawn: [N, d] each: what events have drawn of the physics, by name, as differences from the
            robot's description; see ``mimic.envs.mdp.privileged``.
        randomisation: strength of pushes and start noise; 1 is the task as configured.
        parts: the functions of a control step, where compilers and clocks take hold.
    """

    shared_tensors = frozenset(
        {
            "default_joint_pos",
            "joint_action_scale",
            "action_scale",
            "soft_lower",
            "soft_upper",
            "key_body_ids",
        }  # fmt: skip
    )
    """Tensors that all environments have in common, see ``mimic.envs.rows``."""

    def __init__(
        self, config: TaskConfig, engine: Engine, *, seed: int = 0, compiled: bool = False
    ) -> None:
        _check_terms(config)
        self.cfg = config
        self.task_name = config.task
        self.engine = engine
        self.scene = engine.scene
        self.robot: Robot = engine.scene.robot
        self.device = engine.device
        self.num_envs = engine.num_envs
        self.control_dt = engine.scene.control_dt
        self.max_episode_length = round(config.episode_length_s / self.control_dt)
        self.generator = torch.Generator(device=self.device).manual_seed(seed)

        def constant(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=self.device).clone()

        self.default_joint_pos = constant(self.robot.default_joint_pos)
        self.joint_action_scale = constant(self.robot.action_scale)
        self.soft_lower = constant(self.robot.soft_lower)
        self.soft_upper = constant(self.robot.soft_upper)
        names = list(self.robot.body_names)
        self.key_body_ids = torch.tensor(
            [names.index(name) for name in self.robot.key_bodies], device=self.device
        )
        n = self.num_envs
        self.default_joint_pos_of_env = self.default_joint_pos.repeat(n, 1)
        self._actions: dict[str, Action] = {
            name: each.build(self) for name, each in config.actions.items()
        }
        self._action_sizes = [each.size for each in self._actions.values()]
        self.num_actions = sum(self._action_sizes)
        self.action_offset = torch.cat([each.offset for each in self._actions.values()])
        self.action_scale = torch.cat([each.scale for each in self._actions.values()])
        self.actions = torch.zeros(n, self.num_actions, device=self.device)
        self.previous_actions = torch.zeros_like(self.actions)
        self.number = torch.arange(n, device=self.device)
        self.action_delay: ActionDelay | None = None
        if config.action_delay[1]:
            self.action_delay = ActionDelay(
                config.action_delay, n, self.num_actions, self.generator, self.device,
                from_first=config.delay_from_first,
            )  # fmt: skip
        self.episode_length_buf = torch.zeros(n, dtype=torch.long, device=self.device)
        self.terminated = torch.zeros(n, dtype=torch.bool, device=self.device)
        self.reward_per_step = torch.zeros(n, device=self.device)
        self.non_finite_resets = 0
        self.drawn: dict[str, torch.Tensor] = {}
        self.randomisation = 1.0
        self.commands: dict[str, Command] = {
            name: each.build(self) for name, each in config.commands.items()
        }
        self._starter = self._find_starter()
        self._has_goals = any(term.success for term in config.terminations.values())
        self._curriculum: dict[str, float] = {}
        self.sharpness = Sharpness(config.rewards, self.device)
        self._statistics: dict[str, torch.Tensor] = {}
        self._steps = 0
        self._interval_left = {
            name: self._draw_interval(term, n)
            for name, term in config.events.items()
            if term.mode == "interval"
        }
        everyone = torch.arange(n, device=self.device)
        self._startup_events(everyone)
        self._observing: ObservationGroups | None = None
        self.reset_envs(everyone)
        self._update_commands()
        self._observing = ObservationGroups(
            config.observations, self, noise=config.observation_noise, seed=seed
        )
        self.parts = StepParts(
            {
                "engine": lambda targets: self.engine.step(targets),
                "commands": self._update_commands,
                "terminations": self._termination_terms,
                "rewards": self._reward_terms,
                "observation_terms": lambda: self.observing.terms(self),
                "observations": self._observe,
                "final_observations": self._final_observations,
                "resets": self.reset_envs,
                "events": self._interval_events,
                "log": self._log,
            }
        )
        self._compiled: list[Compiled[..., Any]] = []
        if compiled:
            self._compile()
        self._observations = self.observe()

    @property
    def state(self) -> SceneState:
        """Robot, objects and named contacts: ``env.state.robot.joint_pos`` and so on."""
        return self.engine.state

    @property
    def observing(self) -> ObservationGroups:
        """What computes the observations."""
        assert self._observing is not None
        return self._observing

    # rsl_rl's contract ---------------------------------------------------------------------

    def get_observations(self) -> TensorDict:
        """Observations of the current state, ``{group: [N, d]}``."""
        return self._observations

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance one control step.

        Args:
            actions: [N, A] raw actions.

        Returns:
            Observations, rewards [N], dones [N] and extras: ``time_outs`` [N] bool, episodes cut
            off though nothing went wrong; ``terminated`` [N] bool, those that failed; ``final_ids``
            [k], the environments that ended; ``final_observations`` [k, ...], every group as it was
            in the last state of each, before the restart; ``disturbed`` [N] bool, those that an
            event has touched after the rewards were computed; ``log``, a mapping of numbers that
            stay on the device; ``figures``, the values [N] whose means ``log`` holds, of the states
            before restarts: ``reward/NAME`` (weighted, a second), ``termination/NAME`` (bool) and
            what the commands measure. A state that has blown up cannot be observed: its row shows
            the start it was put back to.
        """
        with few_threads(self.num_envs):
            return self._step(actions)

    @property
    def compiled(self) -> bool:
        """Whether all parts that should be are compiled; known after the first step."""
        return bool(self._compiled) and not any(each.failed for each in self._compiled)

    def _step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        parts = self.parts
        self.previous_actions = self.actions
        # A copy: the caller may reuse its buffer, and resets write into ours.
        self.actions = actions.detach().to(self.device, torch.float32, copy=True)
        late = self.actions if self.action_delay is None else self.action_delay(self.actions)
        parts.engine(self.targets(late))
        self.episode_length_buf += 1
        broken = self.engine.non_finite()
        if broken.any():
            # Rewards and observations of a blown-up state would poison the whole batch.
            self._revive(broken)
        for command in self.commands.values():
            command.advance()
        parts.commands()

        terminated, time_outs, reasons = parts.terminations()
        terminated |= broken
        time_outs &= ~terminated
        self.reward_per_step, terms = parts.rewards()
        self.sharpness.see(terms)
        rewards = self.reward_per_step * self.control_dt
        rewards = torch.where(broken, torch.zeros_like(rewards), rewards)
        self.terminated = terminated
        failed = self._failed(reasons, broken) if self._has_goals else terminated
        for command in self.commands.values():
            command.record(failed)
        dones = terminated | time_outs
        done_ids = dones.nonzero().squeeze(-1)
        log, figures = parts.log(terms, reasons, done_ids, broken)
        final = parts.final_observations(done_ids)
        disturbed = parts.events()
        changed = disturbed | dones
        if len(done_ids):
            parts.resets(done_ids)
        changed_ids = changed.nonzero().squeeze(-1)
        if len(changed_ids):
            parts.commands(changed_ids)
        self._observations = parts.observations()
        self._steps += 1
        extras = {
            "time_outs": time_outs,
            "terminated": terminated,
            "final_ids": done_ids,
            "final_observations": final,
            "disturbed": disturbed,
            "log": log,
            "figures": figures,
        }
        return self._observations, rewards, dones, extras

    def targets(self, actions: torch.Tensor) -> torch.Tensor:
        """[N, J] joint position targets (rad) that actions [N, A] ask for."""
        targets = self.default_joint_pos_of_env
        columns = actions.split(self._action_sizes, -1)
        for term, own in zip(self._actions.values(), columns, strict=True):
            targets = term.apply(own, targets)
        return targets

    # resets --------------------------------------------------------------------------------

    def reset(self) -> tuple[TensorDict, dict[str, Any]]:
        """Restart every environment with a new command."""
        self.reset_envs(torch.arange(self.num_envs, device=self.device))
        return self.observe(), {}

    def reset_envs(self, env_ids: torch.Tensor, *, resample: bool = True) -> None:
        """Restart the environments ``env_ids`` [n]; refresh observations by ``observe``.

        Args:
            resample: draw new commands; otherwise they keep those they have been given.
        """
        if resample:
            for command in self.commands.values():
                command.resample(env_ids)
        self._put(env_ids, self._start_of(env_ids))
        self.episode_length_buf[env_ids] = 0
        self.actions = self.actions.clone()
        self.actions[env_ids] = 0.0
        self.previous_actions = self.previous_actions.clone()
        self.previous_actions[env_ids] = 0.0
        if self.action_delay is not None:
            self.action_delay.reset(env_ids)
        for name, left in self._interval_left.items():
            left[env_ids] = self._draw_interval(self.cfg.events[name], len(env_ids))
        for term in self.cfg.events.values():
            if term.mode == "reset":
                term.function(self, env_ids, **term.parameters)
        if self._observing is not None:
            self._observing.reset(env_ids)

    def observe(self) -> TensorDict:
        """Recompute observations after a state or a command was changed from outside."""
        # The number of threads is part of a compiled program: the same as in steps.
        with few_threads(self.num_envs):
            self.parts.commands()
            self._observations = self.parts.observations(again=True)
        return self._observations

    def frames_before(self, env_ids: torch.Tensor, count: int) -> BodyState | None:
        """The ``count`` frames [n, count, ...] of a clip before those that episodes of the
        environments ``env_ids`` [n] begin at; None where they do not begin on a clip."""
        return None if self._starter is None else self._starter.frames_before(env_ids, count)

    def demonstrations(self, group: str) -> Demonstrations:
        """The task's clips as the observation group ``group`` would show them.

        Raises:
            MimicError: no such group, no clips, or observations that clips cannot be told by.
        """
        return demonstrations(self, group)

    def default_state(self, count: int) -> InitialState:
        """The robot's default pose over the origin, standing on the terrain, ``count`` times."""

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(count, *shape, device=self.device)

        pos, quat = zeros(3), zeros(4)
        # On whatever is at the origin.
        pos[:, 2] = float(self.robot.default_root_height) + float(self.scene.height(0.0, 0.0))
        quat[:, 0] = 1.0
        return InitialState(
            root_pos_w=pos,
            root_quat_w=quat,
            joint_pos=self.default_joint_pos.repeat(count, 1),
            root_lin_vel_w=zeros(3),
            root_ang_vel_b=zeros(3),
            joint_vel=zeros(self.robot.num_joints),
        )

    # the learner's side --------------------------------------------------------------------

    def begin_iteration(self, iteration: int) -> None:
        """Tell the curriculum which iteration of the learner comes next, counted from 0."""
        for name, term in self.cfg.curriculum.items():
            value = term.function(self, iteration, **term.parameters)
            if value is not None:
                self._curriculum[f"curriculum/{name}"] = float(value)

    def reseed(self, seed: int) -> None:
        """Begin new random numbers: commands, noise and events from here on."""
        self.generator.manual_seed(seed)

    def shared_statistics(self) -> list[torch.Tensor]:
        """Tensors that processes which train together replace by their mean."""
        of_commands = [c.shared_statistics() for c in self.commands.values()]
        sharp = [*self.sharpness.stds.values(), *self.sharpness.errors.values()]
        return [*(each for some in of_commands for each in some), *sharp]

    # introspection -------------------------------------------------------------------------

    @property
    def spec(self) -> EnvSpec:
        """What networks and algorithms are built from."""
        return EnvSpec(
            num_envs=self.num_envs,
            num_actions=self.num_actions,
            control_dt=self.control_dt,
            device=self.device,
            task=self.task_name,
            robot=self.robot.name,
            observations=dict(self.observing.entries),
            default_joint_pos=tuple(self.action_offset.tolist()),
            action_scale=tuple(self.action_scale.tolist()),
            reflect=lambda: reflections(self),
            imagine=lambda: Imagination(self),
            demonstrate=self.demonstrations,
        )

    def observation_layout(self, group: str) -> list[dict[str, Any]]:
        """Name, size, scale and history of each term of an observation group, in order."""
        return [
            {"name": e.name, "size": e.size, "scale": e.scale, "history": e.history}
            for e in self.observing.entries[group]
        ]

    @property
    def action_terms(self) -> Mapping[str, Action]:
        """The action terms by name, in the order of their columns."""
        return self._actions

    @property
    def max_reward(self) -> float:
        """Sum of the tracking rewards' weights: what perfect tracking pays a step, before dt."""
        return sum(term.weight for term in self.cfg.rewards.values() if term.tracking)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
        """Uniform random numbers from the environment's own generator."""
        drawn = torch.rand(shape, generator=self.generator, device=self.device)
        return low + (high - low) * drawn

    def describe(self) -> dict[str, Any]:
        """Task, robot and commands in plain texts and numbers."""
        return {
            "task": self.task_name,
            "robot": self.robot.name,
            "robot_hash": self.robot.content_hash,
            "commands": {name: command.describe() for name, command in self.commands.items()},
        }

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the environment it is used in."""
        return {
            "task": self.task_name,
            "robot": self.robot.name,
            "robot_hash": self.robot.content_hash,
            "motions": self._motion_hashes(),
            **{f"{group}_observations": size for group, size in self.spec.sizes.items()},
            "actions": self.num_actions,
        }

    def _motion_hashes(self) -> list[str]:
        """Content hashes of all clips that the commands track, in order."""
        found = [command.describe().get("hashes", []) for command in self.commands.values()]
        return [each for hashes in found for each in hashes]

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the commands' statistics, the generator, counters.

        Physics states and what terms remember are not kept: a resumed run begins new episodes.
        """
        return {
            "commands": {name: each.state_dict() for name, each in self.commands.items()},
            "sharpness": self.sharpness.state_dict(),
            "generator": self.generator.get_state(),
            "non_finite_resets": self.non_finite_resets,
            "task": self.task_name,
            "robot": self.robot.name,
            "motion_hashes": self._motion_hashes(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state_dict`` has given, here or by an earlier version.

        Raises:
            MimicError: it belongs to another task, robot or set of motions.
        """
        commands = state.get("commands")
        if commands is None:
            # Before commands had names there was one.
            commands = {name: {"sampler": state["sampler"]} for name in list(self.commands)[:1]}
        ours = {"robot": self.robot.name, "motion_hashes": self._motion_hashes()}
        for key, value in ours.items():
            if state.get(key, value) != value:
                raise MimicError(
                    f"the saved environment is of another {key.replace('_', ' ')} "
                    f"({state[key]}) than this one ({value}); resume with what the run was "
                    "started with"
                )
        for name, command in self.commands.items():
            command.load_state_dict(commands[name])
        self.sharpness.load_state_dict(state.get("sharpness", {}))
        # A checkpoint read onto a GPU has everything there; generators take it from the CPU.
        self.generator.set_state(state["generator"].cpu())
        self.non_finite_resets = int(state["non_finite_resets"])

    def close(self) -> None:
        """Give back what the engine holds."""
        self.engine.close()

    # the step's parts ----------------------------------------------------------------------

    def _find_starter(self) -> Command | None:
        starters = [
            name
            for name, command in self.commands.items()
            if type(command).initial_state is not Command.initial_state
        ]
        if len(starters) > 1:
            raise MimicError(
                f"task '{self.task_name}': the commands {', '.join(starters)} all say where "
                "episodes begin; only one may"
            )
        return self.commands[starters[0]] if starters else None

    def _start_of(self, env_ids: torch.Tensor, *, noise: bool = True) -> InitialState:
        state = None
        if self._starter is not None:
            state = self._starter.initial_state(env_ids, noise=noise)
        return self.default_state(len(env_ids)) if state is None else state

    def _put(self, env_ids: torch.Tensor, state: InitialState) -> None:
        given = {f.name: getattr(state, f.name) for f in fields(state)}
        if given["objects"] is None:
            del given["objects"]
        self.engine.reset_to(env_ids, **given)

    def _revive(self, broken: torch.Tensor) -> None:
        ids = broken.nonzero().squeeze(-1)
        self.non_finite_resets += len(ids)
        self._put(ids, self._start_of(ids, noise=False))
        self.actions[ids] = 0.0

    def _update_commands(self, env_ids: torch.Tensor | None = None) -> None:
        for command in self.commands.values():
            command.update(env_ids)

    def _compile(self) -> None:
        """Have what is the same pure function of all environments at every step compiled."""

        def compiled(function: Callable[..., Any], name: str) -> Any:
            self._compiled.append(Compiled(function, name))
            return self._compiled[-1]

        self.engine.wrap_kinematics(lambda function: compiled(function, "kinematics"))
        for command in self.commands.values():
            command.compile(compiled)
        for part, name in (
            ("terminations", "terminations"),
            ("rewards", "rewards"),
            ("observation_terms", "observations"),
        ):
            self.parts.replace(part, lambda function, name=name: compiled(function, name))

    def _termination_terms(self) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """[N] bool failures, [N] bool truncations, and each term's own."""
        terminated = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        time_outs = torch.zeros_like(terminated)
        reasons: dict[str, torch.Tensor] = {}
        for name, term in self.cfg.terminations.items():
            value = term.function(self, **term.parameters)
            value = check_shape(name, value, (self.num_envs,), exactly=True)
            reasons[name] = value
            if term.time_out:
                time_outs |= value
            else:
                terminated |= value
        return terminated, time_outs, reasons

    def _failed(self, reasons: dict[str, torch.Tensor], broken: torch.Tensor) -> torch.Tensor:
        """[N] bool: ended by something that is neither a time-out nor the aim."""
        failed = broken.clone()
        for name, term in self.cfg.terminations.items():
            if not (term.time_out or term.success):
                failed |= reasons[name]
        return failed

    def _reward_terms(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """[N] weighted sum, and each weighted term."""
        return weighted_rewards(self, self.cfg.rewards, self.sharpness.stds)

    def _startup_events(self, everyone: torch.Tensor) -> None:
        """Randomise what stays for good.

        Raises:
            EngineError: the engine has one value for all environments of what some events vary.
        """
        refused: dict[str, CannotVaryError] = {}
        for name, term in self.cfg.events.items():
            if term.mode == "startup":
                try:
                    term.function(self, everyone, **term.parameters)
                except CannotVaryError as error:
                    refused[name] = error
        if refused:
            varied = ", ".join(dict.fromkeys(each.field for each in refused.values()))
            off = " ".join(f"--task.events.{name.replace('_', '-')}.mode off" for name in refused)
            raise EngineError(
                f"engine '{self.engine.name}' cannot vary {varied} between environments, as the "
                f"event(s) {', '.join(refused)} of task '{self.task_name}' would; turn them off "
                f"(mimic train TASK {off}) or use --engine mujoco"
            )

    def _interval_events(self) -> torch.Tensor:
        """Fire the events that are due; [N] bool: environments they touched."""
        fired = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        for name, left in self._interval_left.items():
            left -= self.control_dt
            due = left <= 0
            ids = due.nonzero().squeeze(-1)
            if len(ids):
                term = self.cfg.events[name]
                term.function(self, ids, **term.parameters)
                left[ids] = self._draw_interval(term, len(ids))
                fired |= due
        return fired

    def _draw_interval(self, term: EventTerm, count: int) -> torch.Tensor:
        return self.uniform((count,), *term.interval_s)

    def _observe(self, again: bool = False) -> TensorDict:
        return self.observing.observe(self.parts.observation_terms(), again=again)

    def _final_observations(self, env_ids: torch.Tensor) -> TensorDict:
        """Every group [n, d] of the environments ``env_ids`` in their present state."""
        if not len(env_ids):
            return self._observations[:0]
        # A compiled program is of one size, and so fast that all rows cost no more than some.
        whole = self.parts.observation_terms() if self._compiled else None
        return self.observing.final(env_ids, whole)

    def _log(
        self,
        terms: dict[str, torch.Tensor],
        reasons: dict[str, torch.Tensor],
        done_ids: torch.Tensor,
        broken: torch.Tensor,
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What is logged, and the figures [N] it is the mean of."""
        values = {f"reward/{name}": value for name, value in terms.items()}
        values["reward/total"] = self.reward_per_step
        values |= {f"termination/{name}": value for name, value in reasons.items()}
        values["termination/non_finite"] = broken
        for command in self.commands.values():
            values |= command.metrics()
        # One reduction for all of them; nothing is fetched from the device here.
        means = torch.stack([value.float() for value in values.values()]).mean(1)
        log: dict[str, Any] = dict(zip(values, means.unbind(), strict=True))
        log["non_finite_resets"] = float(self.non_finite_resets)
        if len(done_ids):
            lengths = self.episode_length_buf[done_ids].float()
            log["episode_length_s"] = lengths.mean() * self.control_dt
        if self._steps % STATISTICS_EVERY == 0:
            for command in self.commands.values():
                self._statistics |= command.statistics()
        return log | self._statistics | self._curriculum | self.sharpness.log(), values
