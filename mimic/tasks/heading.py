"""Going where one is told, in the style of clips: AMP's task "target heading" (arXiv 2104.02180).

No clip is tracked. A direction and a speed are commanded and drawn anew at intervals; episodes
begin at frames of the clips (reference state initialisation) and end with a fall. The reward is the
task's alone: the style comes from an algorithm with a motion prior (``--algorithm amp``), and
``--algorithm ppo`` shows what a velocity reward alone makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from mimic.envs.commands.heading import HeadingCommandConfig
from mimic.envs.commands.motion_set import MotionSetConfig
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import heading as terms
from mimic.envs.mdp import motion_frames, observations, terminations
from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm
from mimic.tasks.student import measured

SCALE = 4.0
"""Of the speed's squared error, (s/m)^2. AMP's 0.25 is for 1 to 5 m/s; at a quarter of these speeds
the same share of the speed is a sixteenth of the error."""
HISTORY = 3
"""Control steps of each measurement that a deployable policy sees."""


def heading() -> TaskConfig:
    """The task seen through what a robot measures; the direction takes its own sense of heading."""
    return _heading("heading", {"heading_command": _command(), **measured(HISTORY)})


def heading_privileged() -> TaskConfig:
    """The task with the base's velocity and height among what the actor sees, without noise."""
    return _heading("heading-privileged", {"heading_command": _command(), **true_state()})


def true_state() -> Mapping[str, ObservationTerm]:
    """The robot's state without place and heading, from the simulation."""
    o = observations
    return {
        "root_height": ObservationTerm(function=o.root_height),
        "projected_gravity": ObservationTerm(function=o.projected_gravity),
        "base_lin_vel": ObservationTerm(function=o.base_lin_vel),
        "base_ang_vel": ObservationTerm(function=o.base_ang_vel),
        "joint_pos": ObservationTerm(function=o.joint_pos),
        "joint_vel": ObservationTerm(function=o.joint_vel),
        "actions": ObservationTerm(function=o.actions),
    }


def _command() -> ObservationTerm:
    return ObservationTerm(function=terms.heading_command)


def _heading(name: str, actor: Mapping[str, ObservationTerm]) -> TaskConfig:
    critic = {
        "heading_command": _command(),
        **true_state(),
        "motion_frame": ObservationTerm(function=motion_frames.motion_frame),
    }
    return TaskConfig(
        task=name,
        commands={"motions": MotionSetConfig(), "heading": HeadingCommandConfig()},
        observations={"actor": actor, "critic": critic},
        rewards={
            "heading": RewardTerm(
                function=terms.heading_speed,
                weight=1.0,
                parameters={"scale": SCALE},
                tracking=True,
            ),
        },
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True),
            "fallen": TerminationTerm(
                function=terms.fallen, parameters={"height": 0.6, "tilt": 0.5}
            ),
        },
    )
