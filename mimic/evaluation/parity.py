"""Which boundary differs between two engines: observation, action, effort or state.

The same actions are played through both. In the first pass the second engine is put into the
first one's state before every step, so that a difference belongs to that one step and does not
grow out of earlier ones; in the second pass both run free, which says how long they stay together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mimic.envs.commands import MotionCommand, ResetNoise
from mimic.envs.copying import copy_environment
from mimic.envs.environment import Environment, quiet_task
from mimic.envs.motion_library import MotionSource, find_motion_files
from mimic.envs.threads import few_threads
from mimic.evaluation.policies import LoadedPolicy, load, named_task, robot_of
from mimic.evaluation.protocols import tracks_clips
from mimic.sim import pick_device
from mimic.tasks.registry import make_env
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

START_NOISE = ResetNoise(position=(0.0, 0.0, 0.0), lin_vel=(0.1, 0.1, 0.05), joint_pos=0.02)
"""How starts on a clip are perturbed."""
BOUNDS: Mapping[str, float] = {
    "observation": 1e-4,
    "action": 1e-6,
    "effort": 0.02,
    "state": 0.01,
    "velocity": 1.0,
}
"""Largest differences in one control step that count as the same.

``observation`` (its own units) and ``action`` (rad) are computed by the same code from the same
state, and may differ by rounding only. ``effort`` is a share of the motor's limit, ``state`` is in
m and rad, ``velocity`` in m/s and rad/s: what few iterations of two contact solvers may leave, at
the moment a foot touches down.
"""
UNITS: Mapping[str, str] = {
    "observation": "", "action": "rad", "effort": "of limit", "state": "m, rad",
    "velocity": "m/s, rad/s",
}  # fmt: skip
HORIZONS = (1, 2, 5, 10, 25, 50)
"""Control steps after which the distance of two engines under the same actions is told."""
APART_M = 0.05
"""Mean distance of key bodies at which two free runs are called apart."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The largest difference at one boundary, over all steps and environments.

    Attributes:
        median: over steps of the largest difference over environments, the usual case.
        where: the observation term, joint or coordinate it was seen at, and when (s).
    """

    name: str
    worst: float
    median: float
    bound: float
    where: str
    time_s: float

    @property
    def differs(self) -> bool:
        return not self.worst <= self.bound


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """Two engines under the same actions.

    Attributes:
        boundaries: in the order in which a difference travels: observation, action, effort, state,
            velocity; each from identical states at the start of the step.
        together_s: mean time for which free runs stay within 5 cm (key bodies); the run's
            length where they never part.
        length_s: length of the run.
        apart_mm: mean distance of the key bodies (mm) after some seconds under the same actions,
            from identical states.
    """

    reference: str
    engine: str
    num_envs: int
    boundaries: tuple[Boundary, ...]
    together_s: float
    length_s: float
    apart_mm: tuple[tuple[float, float], ...] = ()

    @property
    def first_difference(self) -> str | None:
        """The first boundary that differs; None when the engines agree."""
        return next((each.name for each in self.boundaries if each.differs), None)

    def verdict(self) -> str:
        """One line."""
        together = f"free runs stay together for {self.together_s:.1f} of {self.length_s:.1f} s"
        pair = f"{self.reference} and {self.engine}"
        if self.first_difference is None:
            return f"{pair} agree at every boundary; {together}"
        worst = next(each for each in self.boundaries if each.differs)
        return (
            f"{pair} differ at the {worst.name}: {worst.worst:.2g} {UNITS[worst.name]} at "
            f"{worst.where}, {worst.time_s:.2f} s (bound {worst.bound:g}); {together}"
        )

    def growth(self) -> str:
        """One line on how a difference grows."""
        found = [f"{mm:.3g} mm after {seconds:g} s" for seconds, mm in self.apart_mm]
        return f"apart under the same actions: {', '.join(found)}"

    def to_dict(self) -> dict[str, Any]:
        plain = asdict(self)
        plain["boundaries"] = [
            {**asdict(each), "differs": each.differs} for each in self.boundaries
        ]
        plain |= {"first_difference": self.first_difference, "verdict": self.verdict()}
        return plain


def parity(
    policy: Path | str | LoadedPolicy,
    motions: Sequence[Path | str | RobotMotion] = (),
    *,
    robot: Path | str | Robot | None = None,
    reference: str = "mujoco",
    engines: Sequence[str] = ("warp",),
    device: str = "auto",
    episodes: int = 2,
    seconds: float = 3.0,
    threads: int = 0,
    seed: int = 0,
) -> list[ParityReport]:
    """Compare engines with ``reference`` under the actions of a policy.

    Args:
        motions: for a task that tracks clips motion files, folders or clips; by default those the
            policy comes with.
        robot: instead of the one that the policy's run names.
        episodes: of each clip, from slightly perturbed starts without other noise; of another task
            from the starts and with the commands that it draws.
        seconds: how much of each is played. Nothing ends an episode before.

    Raises:
        MimicError, InputError: unknown names, absent files, an engine that cannot run.
    """
    if not seconds > 0 or episodes < 1:
        raise MimicError(f"parity needs at least one episode and some time, got {episodes} of "
                         f"{seconds} s")  # fmt: skip
    loaded = load(policy)
    body = robot_of(loaded, robot)
    trained = named_task(loaded)[0]
    clips: list[MotionSource] = []
    if tracks_clips(trained):
        chosen = motions or loaded.motions
        if not chosen:
            raise MimicError(
                f"{loaded.source}: the policy comes without a clip; name one (--motion)"
            )
        clips = [c for c in chosen if isinstance(c, RobotMotion)]
        paths = [c for c in chosen if not isinstance(c, RobotMotion)]
        clips += find_motion_files(paths) if paths else []
    elif motions:
        clips = list(motions)
    # No noise, no events and nothing that ends: what two engines are given is the same to the last
    # bit.
    config = replace(quiet_task(trained), terminations={})

    def build(engine: str) -> Environment:
        env = make_env(
            config, clips, num_envs=max(len(clips), 1) * episodes, robot=body, engine=engine,
            seed=seed, device=pick_device(device, engine), threads=threads,
        )  # fmt: skip
        loaded.check(env)
        return env

    ours = build(reference)
    return [_compare(ours, build(engine), loaded, seconds, seed) for engine in engines]


def _compare(
    ours: Environment, other: Environment, policy: LoadedPolicy, seconds: float, seed: int
) -> ParityReport:
    steps = round(seconds / ours.control_dt)
    with torch.no_grad(), few_threads(ours.num_envs):
        worst = _synchronised(ours, other, policy, steps, seed)
        together = _free(ours, other, policy, steps, seed)
        apart = _by_horizon(ours, other, policy, steps, seed)
    return ParityReport(
        reference=ours.engine.name,
        engine=other.engine.name,
        num_envs=ours.num_envs,
        boundaries=worst,
        together_s=together * ours.control_dt,
        length_s=steps * ours.control_dt,
        apart_mm=tuple((k * ours.control_dt, 1e3 * metres) for k, metres in apart.items()),
    )


def _start(envs: Sequence[Environment], seed: int) -> None:
    """Every environment at the start of an episode, of its clip where there are some; all alike."""
    first, count = envs[0], envs[0].num_envs
    first.reseed(seed)
    everyone = torch.arange(count, device=first.device)
    tracked = [c for c in first.commands.values() if isinstance(c, MotionCommand)]
    for command in tracked:
        # Each clip from its first frame.
        clip = everyone % command.library.num_clips
        command.reset_noise = START_NOISE
        command.restart(everyone, clip, torch.zeros_like(clip))
    if not tracked:
        first.reset_envs(everyone)
    for env in envs[1:]:
        env.reset_envs(torch.arange(count, device=env.device))
        copy_environment(first, env)
    for env in envs:
        env.observe()


def _synchronised(
    ours: Environment, other: Environment, policy: LoadedPolicy, steps: int, seed: int
) -> tuple[Boundary, ...]:
    _start((ours, other), seed)
    tracks = {name: _Track(BOUNDS[name]) for name in BOUNDS}
    limit = torch.as_tensor(ours.robot.effort_limit, dtype=torch.float32)
    joints = list(ours.robot.joint_names)
    places, speeds = ours.scene.coordinate_names, ours.scene.velocity_names
    terms = {
        group: [entry.name for entry in entries for _ in range(entry.width)]
        for group, entries in ours.spec.observations.items()
    }
    for step in range(steps):
        time = step * ours.control_dt
        # The warm start of the solver is not part of the state, so both forget it.
        ours.engine.restore(ours.engine.snapshot())
        copy_environment(ours, other)
        here, there = (env.observe() for env in (ours, other))
        for group, names in terms.items():
            tracks["observation"].see(here[group], there[group], names, time)
        actions = policy.act(here["actor"])
        targets = [_targets(env, actions) for env in (ours, other)]
        tracks["action"].see(targets[0], targets[1], joints, time)
        ours.step(actions)
        other.step(actions.to(other.device))
        efforts = [
            _effort(env, each) / limit for env, each in zip((ours, other), targets, strict=True)
        ]
        tracks["effort"].see(efforts[0], efforts[1], joints, time)
        here_now, there_now = (env.engine.snapshot() for env in (ours, other))
        tracks["state"].see(here_now[0], there_now[0], places, time)
        tracks["velocity"].see(here_now[1], there_now[1], speeds, time)
    return tuple(track.boundary(name) for name, track in tracks.items())


def _free(
    ours: Environment, other: Environment, policy: LoadedPolicy, steps: int, seed: int
) -> float:
    """Mean number of steps for which key bodies stay within ``APART_M``; each acts for itself."""
    _start((ours, other), seed)
    together = torch.ones(ours.num_envs, dtype=torch.bool)
    total = 0.0
    obs = [env.get_observations()["actor"] for env in (ours, other)]
    for _ in range(steps):
        obs = [
            env.step(policy.act(o))[0]["actor"] for env, o in zip((ours, other), obs, strict=True)
        ]
        together &= _distance(ours, other) < APART_M
        total += float(together.float().mean())
    return total


def _by_horizon(
    ours: Environment, other: Environment, policy: LoadedPolicy, steps: int, seed: int
) -> dict[int, float]:
    """Mean distance of key bodies (m) after so many steps under the actions taken in ``ours``."""
    _start((ours, other), seed)
    longest = min(HORIZONS[-1], steps)
    found: dict[int, list[float]] = {k: [] for k in HORIZONS if k <= longest}
    obs = ours.get_observations()["actor"]
    for step in range(steps):
        if step % longest == 0:
            # From the same state again; the solvers' warm starts are forgotten by both.
            ours.engine.restore(ours.engine.snapshot())
            copy_environment(ours, other)
        actions = policy.act(obs)
        obs = ours.step(actions)[0]["actor"]
        other.step(actions.to(other.device))
        ahead = step % longest + 1
        if ahead in found:
            found[ahead].append(float(_distance(ours, other).mean()))
    return {k: sum(each) / len(each) for k, each in found.items()}


def _distance(ours: Environment, other: Environment) -> torch.Tensor:
    """[N] mean distance of the key bodies, m."""
    robot = ours.robot
    key = [robot.body_names.index(name) for name in robot.key_bodies]
    bodies = [env.state.robot.body_pos_w[:, key].cpu() for env in (ours, other)]
    return (bodies[0] - bodies[1]).square().sum(-1).sqrt().mean(-1)


def _targets(env: Environment, actions: torch.Tensor) -> torch.Tensor:
    """[N, J] joint targets (rad) that actions ask for."""
    return env.targets(actions.to(env.device))


def _effort(env: Environment, targets: torch.Tensor) -> torch.Tensor:
    """[N, J] torque (N m) of the motors in the new state, on the CPU."""
    robot = env.robot
    kp, kd, limit = (
        torch.as_tensor(each, dtype=torch.float32)
        for each in (robot.kp, robot.kd, robot.effort_limit)
    )
    state = env.state.robot
    error = targets.cpu() - state.joint_pos.cpu()
    return (kp * error - kd * state.joint_vel.cpu()).clamp(-limit, limit)


class _Track:
    """Largest difference of one boundary over a run."""

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._each: list[float] = []
        self._worst, self._where, self._time = -1.0, "", 0.0

    def see(self, a: torch.Tensor, b: torch.Tensor, names: Sequence[str], time: float) -> None:
        difference = (a.cpu() - b.cpu()).abs().amax(0)
        value, column = difference.max(0)
        self._each.append(float(value))
        # Also taken where it is not a number.
        if not float(value) <= self._worst:
            self._worst, self._where, self._time = float(value), names[int(column)], time

    def boundary(self, name: str) -> Boundary:
        ordered = sorted(self._each)
        return Boundary(
            name=name, worst=self._worst, median=ordered[len(ordered) // 2], bound=self._bound,
            where=self._where, time_s=self._time,
        )  # fmt: skip
