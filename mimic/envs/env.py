"""The vectorised environment: rsl_rl's ``VecEnv`` contract over an engine and lists of terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from tensordict import TensorDict

from mimic.envs.command import REFERENCE_LEAD, MotionCommand
from mimic.envs.compiled import Compiled
from mimic.envs.motion_library import MotionLibrary
from mimic.envs.reset import ResetNoise, reference_state
from mimic.envs.rows import Rows
from mimic.envs.sampling import SamplingConfig
from mimic.envs.spec import EnvSpec, ObservationEntry
from mimic.envs.symmetry import reflections
from mimic.envs.terms import (
    EventTerm,
    ObservationTerm,
    RewardTerm,
    TerminationTerm,
    check_shape,
)
from mimic.envs.threads import few_threads
from mimic.sim import Engine
from mimic_base.errors import MimicError
from robots import Robot


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """A task as data: named terms and the numbers around them."""

    task: str
    observations: Mapping[str, Mapping[str, ObservationTerm]]
    rewards: Mapping[str, RewardTerm]
    terminations: Mapping[str, TerminationTerm]
    events: Mapping[str, EventTerm] = field(default_factory=dict)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    reset_noise: ResetNoise = field(default_factory=ResetNoise)
    episode_length_s: float = 10.0
    observation_noise: bool = True
    physics_hz: float = 200.0
    """Rate of the physics in training. 100 takes half the work for nearly the same motion;
    evaluation and playing always use at least 200."""
    randomisation_start: float = 1.0
    """Strength of pushes and start noise at the first iteration of a training, as a share of the
    task's own."""
    randomisation_ramp: int = 0
    """Iterations over which that strength grows to the task's own."""

    def __post_init__(self) -> None:
        if not self.physics_hz >= 1:
            raise MimicError(f"physics_hz must be at least 1, got {self.physics_hz}")
        if not 0 <= self.randomisation_start <= 1:
            raise MimicError(
                f"randomisation_start must lie in [0, 1], got {self.randomisation_start}"
            )


class TrackingEnv:
    """Many robots tracking reference clips.

    A control step: physics under the targets ``default + scale * action``; the reference advances;
    terminations and rewards compare state and reference of the same time; finished environments
    restart at drawn frames; interval events fire; observations are computed.

    Args:
        seed: of starts, noise and events.
        compiled: whether kinematics, reference, terminations, rewards and observations go through
            ``torch.compile``. Results differ by rounding.
    """

    shared_tensors = frozenset({"default_joint_pos", "action_scale", "soft_lower", "soft_upper"})
    """Tensors that all environments have in common, see ``mimic.envs.rows``."""

    def __init__(
        self,
        config: EnvConfig,
        engine: Engine,
        library: MotionLibrary,
        *,
        seed: int = 0,
        compiled: bool = False,
    ) -> None:
        self.cfg = config
        self.task_name = config.task
        self.engine = engine
        self.scene = engine.scene
        self.robot: Robot = engine.scene.robot
        self.motion = library
        self.device = engine.device
        self.num_envs = engine.num_envs
        self.num_actions = self.robot.num_joints
        self.control_dt = engine.scene.control_dt
        self.reference_lead = REFERENCE_LEAD
        self.max_episode_length = round(config.episode_length_s / self.control_dt)
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        # Final observations have noise of their own, so that an episode's end changes nothing in
        # the random numbers of what goes on.
        self._final_generator = torch.Generator(device=self.device).manual_seed(seed + 1)

        def constant(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=self.device).clone()

        self.default_joint_pos = constant(self.robot.default_joint_pos)
        self.action_scale = constant(self.robot.action_scale)
        self.soft_lower = constant(self.robot.soft_lower)
        self.soft_upper = constant(self.robot.soft_upper)
        n, j = self.num_envs, self.num_actions
        self.default_joint_pos_of_env = self.default_joint_pos.repeat(n, 1)
        self.actions = torch.zeros(n, j, device=self.device)
        self.previous_actions = torch.zeros(n, j, device=self.device)
        self.episode_length_buf = torch.zeros(n, dtype=torch.long, device=self.device)
        self.terminated = torch.zeros(n, dtype=torch.bool, device=self.device)
        self.command = MotionCommand(library, self.robot, engine, config.sampling, self.generator)
        self.non_finite_resets = 0
        # Strength of pushes and start noise, for a curriculum; 1 is the task as configured.
        self.randomisation = 1.0
        self._interval_left = {
            name: self._draw_interval(term, n)
            for name, term in config.events.items()
            if term.mode == "interval"
        }
        everyone = torch.arange(n, device=self.device)
        for term in config.events.values():
            if term.mode == "startup":
                term.function(self, everyone, **term.parameters)
        self.reset_envs(everyone)
        self.command.update()
        self._distinct: list[ObservationTerm] = []
        self._columns: dict[str, list[tuple[int, float]]] = {}
        self._layout: dict[str, list[dict[str, Any]]] = {}
        self._describe_observations()
        self._noise = {group: self._noise_of(group) for group in config.observations}
        self._compiled: list[Compiled[..., Any]] = []
        self._rows_agree = self._check_rows()
        if compiled:
            self._compile()
        self._observations = self.observe()

    # rsl_rl's contract ---------------------------------------------------------------------

    def get_observations(self) -> TensorDict:
        """Observations of the current state, ``{group: [N, d]}``."""
        return self._observations

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance one control step.

        Args:
            actions: [N, J] raw actions.

        Returns:
            Observations, rewards [N], dones [N] and extras: ``time_outs`` [N] bool, episodes cut
            off though nothing went wrong; ``terminated`` [N] bool, those that failed; ``final_ids``
            [k], the environments that ended; ``final_observations`` [k, ...], every group as it was
            in the last state of each, before the restart; ``log``, a mapping of floats. A state
            that has blown up cannot be observed: its row shows the reference it was put back to.
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
        self.previous_actions = self.actions
        # A copy: the caller may reuse its buffer, and resets write into ours.
        self.actions = actions.detach().to(self.device, torch.float32, copy=True)
        self.engine.step(self.default_joint_pos_of_env + self.action_scale * self.actions)
        self.episode_length_buf += 1
        broken = self.engine.non_finite()
        if broken.any():
            # Rewards and observations of a blown-up state would poison the whole batch.
            self._revive(broken)
        self.command.advance()
        self.command.update()

        terminated, time_outs, reasons = self._terminations()
        terminated |= broken
        time_outs &= ~terminated
        rewards, terms = self._rewards()
        rewards = torch.where(broken, torch.zeros_like(rewards), rewards)
        self.terminated = terminated
        self.command.sampler.record(self.command.row, terminated)
        dones = terminated | time_outs
        log = self._log(terms, reasons, dones, broken)
        done_ids = dones.nonzero().squeeze(-1)
        final = self._final_observations(done_ids)
        changed = self._interval_events() | dones
        if len(done_ids):
            self.reset_envs(done_ids)
        changed_ids = changed.nonzero().squeeze(-1)
        if len(changed_ids):
            self.command.update(changed_ids)
        self._observations = self._compute_observations()
        extras = {
            "time_outs": time_outs,
            "terminated": terminated,
            "final_ids": done_ids,
            "final_observations": final,
            "log": log,
        }
        return self._observations, rewards, dones, extras

    # resets --------------------------------------------------------------------------------

    def reset(self) -> tuple[TensorDict, dict[str, Any]]:
        """Restart every environment at a drawn frame."""
        self.reset_envs(torch.arange(self.num_envs, device=self.device))
        return self.observe(), {}

    def reset_envs(self, env_ids: torch.Tensor) -> None:
        """Restart the environments ``env_ids`` [n] at frames drawn by the sampler."""
        clip, frame = self.command.sampler.draw(len(env_ids))
        self.reset_to(env_ids, clip, frame)

    def reset_to(
        self,
        env_ids: torch.Tensor,
        clip: torch.Tensor,
        frame: torch.Tensor,
        noise: ResetNoise | None = None,
    ) -> None:
        """Restart environments at given clips and frames; refresh observations by ``observe``."""
        self.command.assign(env_ids, clip, frame)
        row = self.motion.start[clip] + frame
        chosen = self.cfg.reset_noise if noise is None else noise
        qpos, qvel = reference_state(self, row, chosen)
        self.engine.reset(env_ids, qpos, qvel)
        self.episode_length_buf[env_ids] = 0
        self.actions = self.actions.clone()
        self.actions[env_ids] = 0.0
        self.previous_actions = self.previous_actions.clone()
        self.previous_actions[env_ids] = 0.0
        for name, left in self._interval_left.items():
            left[env_ids] = self._draw_interval(self.cfg.events[name], len(env_ids))

    def observe(self) -> TensorDict:
        """Recompute observations after ``reset_to``."""
        # The number of threads is part of a compiled program: the same as in steps.
        with few_threads(self.num_envs):
            self.command.update()
            self._observations = self._compute_observations()
        return self._observations

    # introspection -------------------------------------------------------------------------

    def observation_layout(self, group: str) -> list[dict[str, Any]]:
        """Name, size, scale and history of each term of an observation group, in order."""
        return [dict(entry) for entry in self._layout[group]]

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
            observations={
                group: tuple(ObservationEntry(**entry) for entry in layout)
                for group, layout in self._layout.items()
            },
            default_joint_pos=tuple(self.default_joint_pos.tolist()),
            action_scale=tuple(self.action_scale.tolist()),
            reflect=lambda: reflections(self),
        )

    @property
    def max_reward(self) -> float:
        """Sum of the tracking rewards' weights: what perfect tracking pays a step, before dt."""
        return sum(term.weight for term in self.cfg.rewards.values() if term.tracking)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
        """Uniform random numbers from the environment's own generator."""
        drawn = torch.rand(shape, generator=self.generator, device=self.device)
        return low + (high - low) * drawn

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: sampler statistics, generator, counters.

        Physics states are not kept: a resumed run begins new episodes.
        """
        return {
            "sampler": self.command.sampler.state_dict(),
            "generator": self.generator.get_state(),
            "non_finite_resets": self.non_finite_resets,
            "motion_hashes": list(self.motion.hashes),
            "task": self.task_name,
            "robot": self.robot.name,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.command.sampler.load_state_dict(state["sampler"])
        # A checkpoint read onto a GPU has everything there; generators take it from the CPU.
        self.generator.set_state(state["generator"].cpu())
        self.non_finite_resets = int(state["non_finite_resets"])

    # training ------------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the environment it is used in."""
        return {
            "task": self.task_name,
            "robot": self.robot.name,
            "robot_hash": self.robot.content_hash,
            "motions": list(self.motion.hashes),
            **{f"{group}_observations": size for group, size in self.spec.sizes.items()},
            "actions": self.num_actions,
        }

    def begin_iteration(self, iteration: int) -> None:
        """Tell the environment how many iterations of the training are done: curricula need it."""
        start, ramp = self.cfg.randomisation_start, self.cfg.randomisation_ramp
        done = iteration / ramp if ramp else 1.0
        self.randomisation = 1.0 if done >= 1.0 else start + (1.0 - start) * done

    def shared_statistics(self) -> list[torch.Tensor]:
        """Tensors whose mean over all processes that train together each of them should have."""
        return [self.command.sampler.failures, self.command.sampler.visits]

    def reseed(self, seed: int) -> None:
        """Begin new random numbers: starts, noise and events from here on."""
        self.generator.manual_seed(seed)

    def close(self) -> None:
        """Nothing to release: kept for the VecEnv habit."""

    # the step's parts ----------------------------------------------------------------------

    def _revive(self, broken: torch.Tensor) -> None:
        ids = broken.nonzero().squeeze(-1)
        self.non_finite_resets += len(ids)
        qpos, qvel = reference_state(self, self.command.row[ids], ResetNoise.none())
        self.engine.reset(ids, qpos, qvel)
        self.actions[ids] = 0.0

    def _compile(self) -> None:
        """Have what is the same pure function of all environments at every step compiled."""

        def compiled(function: Callable[..., Any], name: str) -> Any:
            self._compiled.append(Compiled(function, name))
            return self._compiled[-1]

        self.engine.wrap_kinematics(lambda function: compiled(function, "kinematics"))
        self.command.wrap_lookup(lambda function: compiled(function, "references"))
        self._termination_terms = compiled(self._termination_terms, "terminations")
        self._reward_terms = compiled(self._reward_terms, "rewards")
        self._observation_groups = compiled(self._observation_groups, "observations")

    def _terminations(self) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        return self._termination_terms()

    def _termination_terms(self) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """[N] bool failures, [N] bool truncations, and each term's own."""
        terminated = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        time_outs = torch.zeros_like(terminated)
        reasons: dict[str, torch.Tensor] = {}
        for name, term in self.cfg.terminations.items():
            value = check_shape(name, term.function(self, **term.parameters), (self.num_envs,))
            reasons[name] = value
            if term.time_out:
                time_outs |= value
            else:
                terminated |= value
        return terminated, time_outs, reasons

    def _rewards(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.reward_per_step, terms = self._reward_terms()
        return self.reward_per_step * self.control_dt, terms

    def _reward_terms(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """[N] weighted sum, and each weighted term."""
        total = torch.zeros(self.num_envs, device=self.device)
        terms: dict[str, torch.Tensor] = {}
        for name, term in self.cfg.rewards.items():
            value = check_shape(name, term.function(self, **term.parameters), (self.num_envs,))
            terms[name] = term.weight * value
            total += terms[name]
        return total, terms

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

    def _compute_observations(self) -> TensorDict:
        return self._with_noise(self._observation_groups(), self.generator)

    def _final_observations(self, env_ids: torch.Tensor) -> TensorDict:
        """Every group [n, d] of the environments ``env_ids`` in their present state."""
        if not len(env_ids):
            groups = {name: self._observations[name][:0] for name in self._columns}
        elif self._rows_agree and not self._compiled:
            groups = self._groups_of(Rows(self, env_ids, self.num_envs))
        else:
            # A compiled program is of one size, and so fast that all rows cost no more than some.
            groups = self._observation_groups()
            groups = {name: values[env_ids] for name, values in groups.items()}
        return self._with_noise(groups, self._final_generator)

    def _with_noise(
        self, groups: dict[str, torch.Tensor], generator: torch.Generator
    ) -> TensorDict:
        count = len(next(iter(groups.values()))) if groups else self.num_envs
        if self.cfg.observation_noise:
            for group, values in groups.items():
                span, width = self._noise[group]
                if len(width):
                    drawn = torch.rand((count, len(width)), generator=generator, device=self.device)
                    values[:, span] += width * (2.0 * drawn - 1.0)
        return TensorDict(groups, batch_size=[count], device=self.device)

    def _observation_groups(self) -> dict[str, torch.Tensor]:
        """Every group [N, d] without noise."""
        return self._groups_of(self)

    def _groups_of(self, env: Any) -> dict[str, torch.Tensor]:
        """Every group [n, d] without noise, of this environment or of a view of its rows."""
        values = [term.function(env, **term.parameters) for term in self._distinct]
        return {
            group: torch.cat(
                [values[i] * scale if scale != 1.0 else values[i] for i, scale in columns], -1
            )
            for group, columns in self._columns.items()
        }

    def _check_rows(self) -> bool:
        """Whether every term gives the same on a view of some environments as on all of them.

        A term that asks its command or its environment for more than attributes may not; then the
        observations of all environments are computed where those of some are wanted.
        """
        some = torch.tensor([self.num_envs - 1], device=self.device)
        try:
            part = self._groups_of(Rows(self, some, self.num_envs))
        except Exception:
            # Whatever a stranger's term raises on a view: it runs on whole environments then.
            return False
        whole = self._groups_of(self)
        return all(
            torch.allclose(part[group], values[some], rtol=1e-4, atol=1e-5, equal_nan=True)
            for group, values in whole.items()
        )

    def _describe_observations(self) -> None:
        """Find the distinct terms: those that actor and critic share are computed once a step."""
        places: dict[tuple[str, Any, str], int] = {}
        sizes: list[int] = []
        for group, terms in self.cfg.observations.items():
            self._columns[group], self._layout[group] = [], []
            for name, term in terms.items():
                key = (name, term.function, repr(term.parameters))
                if key not in places:
                    places[key] = len(self._distinct)
                    self._distinct.append(term)
                    value = term.function(self, **term.parameters)
                    sizes.append(check_shape(name, value, (self.num_envs,)).shape[1])
                index = places[key]
                self._columns[group].append((index, term.scale))
                self._layout[group].append(
                    {"name": name, "size": sizes[index], "scale": term.scale, "history": 1}
                )

    def _noise_of(self, group: str) -> tuple[slice, torch.Tensor]:
        """The columns of a group from the first to the last noisy one, and each one's width."""
        terms = self.cfg.observations[group]
        widths = [
            terms[entry["name"]].noise for entry in self._layout[group]
            for _ in range(entry["size"])
        ]  # fmt: skip
        width = torch.tensor(widths, device=self.device)
        noisy = width.nonzero().squeeze(-1).tolist()
        # One draw for all columns that have any.
        span = slice(noisy[0], noisy[-1] + 1) if noisy else slice(0, 0)
        return span, width[span]

    def _log(
        self,
        terms: dict[str, torch.Tensor],
        reasons: dict[str, torch.Tensor],
        dones: torch.Tensor,
        broken: torch.Tensor,
    ) -> dict[str, float]:
        c = self.command
        error = (c.body_pos_w - c.robot_body_pos_w).square().sum(-1).sqrt()
        values = {f"reward/{name}": value for name, value in terms.items()}
        values["reward/total"] = self.reward_per_step
        values |= {f"termination/{name}": value for name, value in reasons.items()}
        values["termination/non_finite"] = broken
        values["error/key_body_mm"] = 1e3 * error.mean(-1)
        # One reduction and one transfer to the host for all of them.
        means = torch.stack([value.float() for value in values.values()]).mean(1).tolist()
        log = dict(zip(values, means, strict=True))
        log["non_finite_resets"] = float(self.non_finite_resets)
        if dones.any():
            log["episode_length_s"] = float(
                self.episode_length_buf[dones].float().mean() * self.control_dt
            )
        log |= self.command.sampler.metrics()
        return log
