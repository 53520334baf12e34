"""Getting up from the floor, in the style of clips: AMP's get-up (arXiv 2104.02180).

Episodes begin with a drop in a random orientation and pose, or at frames of get-up clips. The
reward is for the height of head and base and for being upright; the style comes from an algorithm
with a motion prior (``--algorithm amp``), and ``--algorithm ppo`` shows what the heights alone make
of it. Nothing ends an episode early; whoever is not up when its time is up has failed.
"""

from __future__ import annotations

from mimic.envs.commands.fallen import FallenStartConfig
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import get_up as terms
from mimic.envs.mdp import motion_frames, rewards, terminations
from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm
from mimic.tasks.heading import HISTORY, true_state
from mimic.tasks.student import measured


def get_up() -> TaskConfig:
    """The actor sees what a robot measures, and nothing is commanded."""
    frame = {"motion_frame": ObservationTerm(function=motion_frames.motion_frame)}
    return TaskConfig(
        task="get-up",
        commands={"motions": FallenStartConfig()},
        observations={"actor": measured(HISTORY), "critic": {**true_state(), **frame}},
        rewards={
            "head": RewardTerm(function=terms.head_raised, weight=0.5, tracking=True),
            "base": RewardTerm(function=terms.base_raised, weight=0.25, tracking=True),
            "upright": RewardTerm(function=terms.upright, weight=0.25, tracking=True),
            "action_rate": RewardTerm(function=rewards.action_rate_l2, weight=-0.002),
            "joint_limit": RewardTerm(function=rewards.joint_limit, weight=-1.0),
        },
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True),
            "still_down": TerminationTerm(function=terms.still_down),
        },
        episode_length_s=6.0,
    )
