"""Reaching for points with a hand, ASE's first task for a policy on top of skills (2205.01906).

A point in the robot's heading frame and one of the hands are commanded and drawn anew at
intervals. With ``--skills RUN`` the policy chooses among the skills of a frozen one
(``mimic.learning.skills``); without it the policy moves the joints itself.
"""

from __future__ import annotations

from mimic.envs.commands.motion_set import MotionSetConfig
from mimic.envs.commands.reach import ReachCommandConfig
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import heading, motion_frames, terminations
from mimic.envs.mdp import reach as terms
from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm
from mimic.tasks.heading import HISTORY, true_state
from mimic.tasks.student import measured

SCALE = 5.0
"""Of the squared distance, 1 / m^2, as published."""


def reach() -> TaskConfig:
    """The actor sees the point and what a robot measures; episodes begin in the default pose where
    no clips are given, else at their frames."""
    point = {"reach_command": ObservationTerm(function=terms.reach_command)}
    frame = {"motion_frame": ObservationTerm(function=motion_frames.motion_frame)}
    return TaskConfig(
        task="reach",
        commands={"motions": MotionSetConfig(optional=True), "reach": ReachCommandConfig()},
        observations={
            "actor": {**point, **measured(HISTORY)},
            "critic": {**point, **true_state(), **frame},
        },
        rewards={
            "reach": RewardTerm(
                function=terms.hand_at_point,
                weight=1.0,
                parameters={"scale": SCALE},
                tracking=True,
            ),
        },
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True),
            "fallen": TerminationTerm(function=heading.fallen),
        },
    )
