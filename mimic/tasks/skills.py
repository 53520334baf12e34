"""Skills without a goal, for ASE (arXiv 2205.01906): a latent vector is commanded, nothing else.

The task has no reward of its own: the discriminator says whether a motion looks like the clips, the
encoder whether it can be seen which skill it is. Episodes begin at frames of the clips and end with
a fall.
"""

from __future__ import annotations

from mimic.envs.commands.motion_set import MotionSetConfig
from mimic.envs.commands.skill import SkillCommandConfig
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import heading as terms
from mimic.envs.mdp import motion_frames, terminations
from mimic.envs.mdp.skill import skill
from mimic.envs.terms import ObservationTerm, TerminationTerm
from mimic.tasks.heading import HISTORY, true_state
from mimic.tasks.student import measured


def skills() -> TaskConfig:
    """The actor sees its skill and what a robot measures."""
    seen = {"skill": ObservationTerm(function=skill)}
    frame = {"motion_frame": ObservationTerm(function=motion_frames.motion_frame)}
    return TaskConfig(
        task="skills",
        commands={"motions": MotionSetConfig(), "skill": SkillCommandConfig()},
        observations={
            "actor": {**seen, **measured(HISTORY)},
            "critic": {**seen, **true_state(), **frame},
        },
        rewards={},
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True),
            "fallen": TerminationTerm(function=terms.fallen),
        },
    )
