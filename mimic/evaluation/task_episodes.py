"""Judges a policy on the episodes of its own task, whatever its commands, scene and terms are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.threads import few_threads
from mimic.evaluation.evaluate import NON_FINITE, Progress, check_protocol, make_evaluation_env
from mimic.evaluation.gait import GAIT, GaitMeter, NearestWindow, style_clips
from mimic.evaluation.policies import LoadedPolicy, PolicyFunction, load, robot_of, trained_task
from mimic.evaluation.protocols import Protocol, get_protocol
from mimic.evaluation.result_head import ProtocolResult
from mimic.tasks.registry import task_config
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

SCHEMA = "humanoid-mimic/task-evaluation/1"
TIME_LIMIT = "time_limit"
"""How an episode ends that nothing has ended within the longest time."""
REWARD, TERMINATION = "reward/", "termination/"


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """Figures of the episodes of a task.

    Attributes:
        success: share of episodes that a ``success`` termination has ended; of a task without
            such a term, of those that no failure has ended.
        length_s: mean length. longest_s: length at which an episode is cut off.
        episode_return, return_std: mean and standard deviation over episodes of the sum of
            rewards, as training sums them: each times the control step.
        rewards: mean of each weighted reward term over all steps, a second.
        endings: how many episodes each termination has ended.
        measured: mean over all steps of what the commands measure; of a task whose clips are a
            style, also how near the robot comes to it (``mimic.evaluation.gait``).
    """

    episodes: int
    success: float
    length_s: float
    longest_s: float
    episode_return: float
    return_std: float
    rewards: Mapping[str, float]
    endings: Mapping[str, int]
    measured: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {
            "episodes": self.episodes,
            "success": self.success,
            "length_s": self.length_s,
            "longest_s": self.longest_s,
            "return": self.episode_return,
            "return_std": self.return_std,
            "rewards_per_s": dict(self.rewards),
            "endings": dict(self.endings),
            "measured": dict(self.measured),
        }

    def sentence(self) -> str:
        """A judgement in words."""
        return (
            f"{100 * self.success:.0f} % of {self.episodes} episodes succeed, last "
            f"{self.length_s:.1f} of {self.longest_s:.1f} s, return {self.episode_return:.3f}"
        )


@dataclass(frozen=True, kw_only=True)
class TaskResult(ProtocolResult):
    """What ``evaluate_task`` found."""

    total: TaskSummary

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain numbers and texts."""
        return {**self.head(SCHEMA), "total": self.total.to_dict(), **self.tail()}

    def table(self) -> Table:
        """One figure a line: episodes, how they ended, reward terms, what commands measure."""
        t = self.total
        table = Table(title=f"{self.protocol.name}: {self.protocol.description}", title_style="")
        table.add_column("figure", overflow="fold")
        table.add_column("value", justify="right")
        table.add_row("episodes", str(t.episodes))
        table.add_row("success", f"{100 * t.success:.4g} %")
        table.add_row("length (s)", f"{t.length_s:.2f} of {t.longest_s:.2f}")
        table.add_row("return of an episode", f"{t.episode_return:.4g} ± {t.return_std:.2g}")
        table.add_section()
        for name, count in t.endings.items():
            table.add_row(f"ended by {name}", str(count))
        table.add_section()
        for name, value in t.rewards.items():
            table.add_row(f"reward {name} (a second)", f"{value:.4g}")
        if t.measured:
            table.add_section()
        for name, value in t.measured.items():
            table.add_row(f"{name} (mean)", f"{value:.4g}")
        return table


def evaluate_task(
    policy: Path | str | LoadedPolicy | PolicyFunction,
    motions: Sequence[Path | str | RobotMotion] = (),
    protocol: Protocol | str = "task",
    *,
    task: str | TaskConfig | None = None,
    robot: Path | str | Robot | None = None,
    engine: str = "auto",
    device: str = "auto",
    seed: int = 0,
    max_envs: int = 4096,
    threads: int = 0,
    motion_scene: bool = True,
    progress: Progress | None = None,
    env: Environment | None = None,
) -> TaskResult:
    """Judge a policy on the episodes of its own task, as its run resolved it.

    Args:
        policy: see ``evaluate``; so are the other arguments.
        motions: for a task that tracks clips; by default those the policy comes with.
        protocol: one of the task's own episodes (``own_episodes``), or its name.

    Raises:
        MimicError, InputError, RobotError: unknown names, absent or damaged files, a policy of
            another task or robot, a protocol of clips.
    """
    if isinstance(protocol, str):
        protocol = get_protocol(protocol)
    if not protocol.own_episodes:
        raise MimicError(f"protocol '{protocol.name}' plays clips, not a task's own episodes")
    loaded = load(policy, task, robot)
    body = robot_of(loaded, robot)
    if task is None:
        config = trained_task(loaded)
    else:
        config = task if isinstance(task, TaskConfig) else task_config(task)
    check_protocol(config, protocol)
    config = replace(config, motion_scene=config.motion_scene and motion_scene)
    if env is None:
        env = make_evaluation_env(
            config, motions or loaded.motions, protocol, robot=body, engine=engine,
            device=device, seed=seed, max_envs=max_envs, threads=threads,
        )  # fmt: skip
    else:
        env.reseed(seed)
    notes = loaded.check(env)
    return TaskResult(
        protocol=protocol,
        policy=loaded.source,
        task=config.task,
        robot=body.name,
        robot_hash=body.content_hash,
        engine=env.engine.name,
        seed=seed,
        control_dt=env.control_dt,
        total=_play(env, loaded.act, protocol, progress),
        notes=tuple(notes),
        details=loaded.details,
    )


def _play(
    env: Environment, act: PolicyFunction, protocol: Protocol, progress: Progress | None
) -> TaskSummary:
    limit = env.max_episode_length
    if protocol.time_limit_s is not None:
        limit = min(limit, round(protocol.time_limit_s / env.control_dt))
    sizes = [len(ids) for ids in torch.arange(protocol.episodes).split(env.num_envs)]
    tallies = []
    clips = style_clips(env)
    nearest = None if clips is None else NearestWindow(clips)
    meters: list[GaitMeter] = []
    for done, count in enumerate(sizes):
        tally = _Tally(env, count)
        with torch.no_grad(), few_threads(env.num_envs):
            # A round may be smaller than the environment: the rest plays along, uncounted.
            obs = env.reset()[0]["actor"]
            if nearest is not None and len(nearest.windows):
                meters.append(GaitMeter(env, nearest, count))
            for step in range(limit):
                result, _, _, extras = env.step(act(obs))
                obs = result["actor"]
                tally.add(extras["figures"])
                if meters:
                    meters[-1].add(tally.running)
                if progress:
                    progress(done * limit + step + 1, len(sizes) * limit)
                if not tally.running.any():
                    break
        tallies.append(tally)
    if progress:
        progress(len(sizes) * limit, len(sizes) * limit)
    found = _summary(env, tallies, limit)
    windows = sum(int(each.steps.sum()) for each in meters)
    if not windows:
        return found
    distance = sum(float(each.total.sum()) for each in meters) / windows
    return replace(found, measured={**found.measured, GAIT: distance})


class _Tally:
    """Sums over the first episode of each environment; nothing counts after its end.

    Attributes:
        steps: [E] control steps. ending: [E] index into ``reasons``, -1 where nothing has ended it.
        sums: [E] each, over the steps of the episode.
    """

    def __init__(self, env: Environment, count: int) -> None:
        self.count = count
        self.reasons = _reasons(env.cfg)
        self.steps = torch.zeros(count, dtype=torch.long)
        self.ending = torch.full((count,), -1, dtype=torch.long)
        self.sums: dict[str, torch.Tensor] = {}

    @property
    def running(self) -> torch.Tensor:
        """[E] bool."""
        return self.ending < 0

    def add(self, figures: Mapping[str, torch.Tensor]) -> None:
        """Count one control step of every running episode; ``figures``: see ``env.step``."""
        running = self.running
        self.steps += running
        for name, values in figures.items():
            if name.startswith(TERMINATION):
                continue
            total = self.sums.setdefault(name, torch.zeros(self.count, dtype=torch.float64))
            # where, not a product: what has blown up would turn the sums into NaN.
            total += torch.where(running, values[: self.count].cpu().double(), 0.0)
        for index, name in enumerate(self.reasons):
            fired = figures[TERMINATION + name][: self.count].cpu().bool()
            self.ending = torch.where(fired & running & (self.ending < 0), index, self.ending)


def _reasons(task: TaskConfig) -> list[str]:
    """What may end an episode; what goes wrong first, as in training."""
    failures = [n for n, t in task.terminations.items() if not (t.time_out or t.success)]
    others = [n for n in task.terminations if n not in failures]
    others.sort(key=lambda name: not task.terminations[name].success)
    return [NON_FINITE, *failures, *others]


def _summary(env: Environment, tallies: Sequence[_Tally], limit: int) -> TaskSummary:
    steps = torch.cat([each.steps for each in tallies])
    ending = torch.cat([each.ending for each in tallies])
    sums = {n: torch.cat([each.sums[n] for each in tallies]) for n in tallies[0].sums}
    reasons, terms = tallies[0].reasons, env.cfg.terminations
    counts = {name: int((ending == i).sum()) for i, name in enumerate(reasons)}
    counts[TIME_LIMIT] = int((ending < 0).sum())
    goals = {name for name, term in terms.items() if term.success}
    good = goals or {TIME_LIMIT, *(name for name, term in terms.items() if term.time_out)}
    returns = sums.pop(REWARD + "total") * env.control_dt
    means = {name: float(total.sum()) / int(steps.sum()) for name, total in sums.items()}
    episodes = len(steps)
    return TaskSummary(
        episodes=episodes,
        success=sum(count for name, count in counts.items() if name in good) / episodes,
        length_s=float(steps.double().mean()) * env.control_dt,
        longest_s=limit * env.control_dt,
        episode_return=float(returns.mean()),
        return_std=float(returns.std(correction=0)),
        rewards={
            name.removeprefix(REWARD): mean
            for name, mean in means.items()
            if name.startswith(REWARD)
        },
        endings={name: count for name, count in counts.items() if count},
        measured={name: mean for name, mean in means.items() if not name.startswith(REWARD)},
    )
