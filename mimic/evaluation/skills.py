"""How many clearly different skills a policy has: drawn latents, played and grouped.

Each of K latents is held over R episodes. They begin at frames of the clips that are drawn once,
the same for every latent. An episode is described by mean and standard deviation over time of
``mimic.envs.features.motion_frame``, each divided by the feature's spread over the clips
(``mimic.evaluation.gait``), less the mean over all latents of the episodes with the same beginning:
what a beginning does to every skill tells none from another.

The latents' mean descriptions are grouped by Ward's method (agglomerative; scipy) into 2 ... K / 4
groups; the number of skills is the number of groups whose mean silhouette (Rousseeuw 1987) over all
K R episodes, each in its latent's group, is largest. A silhouette counts what lies between groups
against what lies within them, episodes of the same latent included, so that a skill that does
something else every time makes it small. Below ``CLEAR`` nothing is clearly apart: one skill.
Latents that change the motion without forming groups are told by ``separation``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mimic.envs.commands import MotionSet, SkillCommand
from mimic.envs.features import motion_frame
from mimic.envs.mdp.motion_frames import robot_of
from mimic.envs.threads import few_threads
from mimic.evaluation.evaluate import make_evaluation_env
from mimic.evaluation.gait import LEAST_SPREAD, spread_of, style_clips
from mimic.evaluation.policies import LoadedPolicy, load, trained_task
from mimic.evaluation.policies import robot_of as robot_of_policy
from mimic.evaluation.protocols import get_protocol
from mimic_base.errors import MimicError

CLEAR = 0.25
"""Mean silhouette from which on groups are clearly apart; below, as usually read, the structure
is weak or none."""
FEWEST = 8
"""Latents at least; each group has four on average at least, or every latent alone would be one."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SkillCount:
    """What ``count_skills`` found.

    Attributes:
        groups: [K] group of each latent, from 0. silhouette: mean over all episodes; 0 for one
            skill whose parts are not apart.
        separation: root mean square of the differences between latents over that between episodes
            of the same one.
    """

    groups: tuple[int, ...]
    silhouette: float
    separation: float

    @property
    def number(self) -> int:
        """How many clearly different skills there are."""
        return len(set(self.groups))

    @property
    def sizes(self) -> list[int]:
        """Latents of each group, the largest first."""
        return sorted(np.bincount(self.groups).tolist(), reverse=True)


def count_skills(episodes: Array) -> SkillCount:
    """Group latents by descriptions [K, R, D] of their episodes; see the module.

    Raises:
        MimicError: fewer than eight latents, or than two episodes of each.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import cdist

    latents, repeats, size = episodes.shape
    if latents < FEWEST or repeats < 2:
        raise MimicError(
            f"to tell skills apart takes at least {FEWEST} of them and 2 episodes of each, got "
            f"{latents} and {repeats}"
        )
    tree = linkage(episodes.mean(1), "ward")
    points = episodes.reshape(-1, size)
    apart: Array = np.asarray(cdist(points, points), np.float64)
    within = float(np.sqrt(episodes.var(1).mean()))
    separation = float(np.sqrt(episodes.mean(1).var(0).mean())) / max(within, 1e-9)
    best = SkillCount(groups=(0,) * latents, silhouette=0.0, separation=separation)
    for number in range(2, latents // 4 + 1):
        groups = fcluster(tree, number, "maxclust") - 1
        mean = float(silhouettes(apart, np.repeat(groups, repeats)).mean())
        if mean >= CLEAR and mean > best.silhouette:
            best = replace(best, groups=tuple(groups.tolist()), silhouette=mean)
    return best


def silhouettes(apart: Array, groups: NDArray[np.int64]) -> Array:
    """``(b - a) / max(a, b)`` [P] of points with distances [P, P]: a is a point's mean distance to
    its own group, b that to the nearest other one; 0 for a point alone in its group."""
    member = groups[:, None] == np.unique(groups)[None]
    counts = member.sum(0)
    sums = apart @ member
    own = np.unique(groups, return_inverse=True)[1]
    rows = np.arange(len(groups))
    others = counts[own] - 1
    a = sums[rows, own] / np.maximum(others, 1)
    means = sums / counts
    means[rows, own] = np.inf
    b = means.min(1)
    scale = np.maximum(np.maximum(a, b), 1e-300)
    return np.where(others > 0, (b - a) / scale, 0.0)


@dataclass(frozen=True, kw_only=True)
class SkillResult:
    """Skills of a policy.

    Attributes:
        repeats: episodes of each latent. length_s: their mean length. longest_s: the longest
            possible.
    """

    count: SkillCount
    repeats: int
    length_s: float
    longest_s: float

    def sentence(self) -> str:
        """In words."""
        c = self.count
        return (
            f"{c.number} clearly different skill{'' if c.number == 1 else 's'} among "
            f"{len(c.groups)} latents (silhouette {c.silhouette:.2f}, groups of "
            f"{', '.join(map(str, c.sizes))}; latents differ {c.separation:.1f} times as much as "
            f"episodes of one); {self.repeats} episodes each, {self.length_s:.1f} "
            f"of {self.longest_s:.1f} s on average"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "skills": self.count.number,
            "silhouette": self.count.silhouette,
            "separation": self.count.separation,
            "groups": list(self.count.groups),
            "repeats": self.repeats,
            "length_s": self.length_s,
            "longest_s": self.longest_s,
        }


def measure_skills(
    policy: Path | str | LoadedPolicy, latents: int, *, repeats: int = 4, seconds: float = 4.0,
    motions: Any = (), robot: Any = None, engine: str = "auto", device: str = "cpu", seed: int = 0,
    threads: int = 0,
) -> SkillResult:  # fmt: skip
    """Play ``latents`` drawn skills and count the clearly different ones.

    Args:
        repeats: episodes of each. seconds: their longest length.

    Raises:
        MimicError: a policy that is commanded no skill, or too few latents or episodes.
    """
    if latents < FEWEST or repeats < 2 or not 0 < seconds < 1e4:
        raise MimicError(
            f"skills are counted from {FEWEST} or more of them, 2 or more episodes and a time, got "
            f"{latents}, {repeats} and {seconds}"
        )
    loaded = load(policy, robot=robot)
    task = replace(trained_task(loaded), episode_length_s=seconds)
    body = robot_of_policy(loaded, robot)
    count = latents * repeats
    protocol = get_protocol("task", episodes=count)
    env = make_evaluation_env(
        task, motions or loaded.motions, protocol, robot=body, engine=engine, device=device,
        seed=seed, max_envs=count, threads=threads,
    )  # fmt: skip
    loaded.check(env)
    command = next((each for each in env.commands.values() if isinstance(each, SkillCommand)), None)
    if command is None:
        raise MimicError(
            f"{loaded.source}: task '{task.task}' commands no skill; name a policy of the task "
            "skills"
        )
    drawn = torch.randn(latents, command.config.size, generator=env.generator, device=env.device)
    library = style_clips(env)
    steps = torch.zeros(count)
    with torch.no_grad(), few_threads(count):
        command.hold(drawn.repeat_interleave(repeats, 0))
        env.reset()
        for each in env.commands.values():
            if isinstance(each, MotionSet):
                each.clip = each.clip[:repeats].repeat(latents)
                each.frame = each.frame[:repeats].repeat(latents)
        env.reset_envs(torch.arange(count, device=env.device), resample=False)
        obs = env.observe()["actor"]
        first = motion_frame(robot_of(env)).double()
        total, squares = torch.zeros_like(first), torch.zeros_like(first)
        running = torch.ones(count, dtype=torch.bool, device=first.device)
        for _ in range(env.max_episode_length):
            frame = motion_frame(robot_of(env)).double()
            total += torch.where(running[:, None], frame, 0.0)
            squares += torch.where(running[:, None], frame.square(), 0.0)
            steps += running.cpu()
            result, _, dones, _ = env.step(loaded.act(obs))
            obs = result["actor"]
            running &= ~dones
            if not running.any():
                break
    mean = total / steps[:, None].to(total)
    std = (squares / steps[:, None].to(total) - mean.square()).clamp_min(0.0).sqrt()
    spread = mean.std(0).clamp_min(LEAST_SPREAD) if library is None else spread_of(library)[1]
    described = torch.cat([mean / spread, std / spread], -1).cpu().numpy()
    described = described.reshape(latents, repeats, -1)
    return SkillResult(
        count=count_skills(described - described.mean(0)),
        repeats=repeats,
        length_s=float(steps.mean()) * env.control_dt,
        longest_s=env.max_episode_length * env.control_dt,
    )
