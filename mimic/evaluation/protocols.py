"""Named evaluation protocols: figures are comparable only within one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mimic.envs.commands import MotionCommandConfig
from mimic.envs.environment import TaskConfig, quiet_task
from mimic.envs.failure import ROOT_HEIGHT, ROOT_TILT
from mimic.envs.mdp import terminations
from mimic.envs.terms import TerminationTerm
from mimic.evaluation.measures import (
    DEFAULT_ERRORS,
    HOLOMOTION_ERRORS,
    MEASURES,
    MJLAB_ERRORS,
    PHC_ERRORS,
    SONIC_ERRORS,
)
from mimic.evaluation.metrics import AveragedOver
from mimic_base.errors import MimicError

Disturbances = Literal["none", "physics", "task"]


def _failure(function: Any, threshold: float) -> TerminationTerm:
    return TerminationTerm(function=function, parameters={"threshold": threshold})


APPENDIX_F_FAILURES: Mapping[str, TerminationTerm] = {
    "root_height": _failure(terminations.root_height, ROOT_HEIGHT),
    "root_tilt": _failure(terminations.root_tilt, ROOT_TILT),
}
"""SuperMimic (arXiv 2610.28480), appendix F: pelvis height (m), projected gravity."""

TRACKING_FAILURES: Mapping[str, TerminationTerm] = {
    "anchor_height": _failure(terminations.anchor_height, 0.25),
    "anchor_tilt": _failure(terminations.anchor_tilt, 0.8),
    "end_effector_height": _failure(terminations.end_effector_height, 0.25),
}
"""BeyondMimic's terminations in training (arXiv 2508.08241)."""

PHC_FAILURES: Mapping[str, TerminationTerm] = {
    "mean_body_distance": _failure(terminations.mean_body_distance, 0.5),
}
"""PHC's evaluation (arXiv 2305.06456): mean distance of the bodies in the world, m."""

SONIC_FAILURES: Mapping[str, TerminationTerm] = {
    "anchor_height": _failure(terminations.anchor_height, 0.25),
    "anchor_orientation": _failure(terminations.anchor_orientation, 1.0),
    "end_effector_height": _failure(terminations.end_effector_height, 0.25),
}
"""SONIC's evaluation (arXiv 2511.07820, ``terminations/tracking/eval``): m, rad, m. Its own rule
for the orientation is on the square, > 1 rad^2, which is the same."""

HOLOMOTION_FAILURES: Mapping[str, TerminationTerm] = {
    "max_body_distance": _failure(terminations.max_body_distance, 0.25),
}
"""HoloMotion 1.4: no body may ever be further than this from its reference in the world, m."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a policy is judged. The policy's actions are deterministic in all protocols.

    Of clips: every episode starts at its clip's first frame and succeeds when no failure occurs
    until the clip's last frame, or until ``time_limit_s``. Of the task's own episodes
    (``own_episodes``): they start as the task's command says, and the task's own terminations end
    them.
    """

    name: str
    description: str
    failures: Mapping[str, TerminationTerm]
    episodes: int
    """Episodes of each clip, or of all, unless the user asks for another number."""
    observation_noise: bool = False
    """The task's noise on the policy's observations."""
    start_noise: float = 0.0
    """Noise on the start state as a fraction of the task's reset noise."""
    disturbances: Disturbances = "none"
    """``task``: the task's own pushes and randomised friction, mass and joint zeros; ``physics``:
    the same without what happens again and again, such as pushes."""
    time_limit_s: float | None = None
    """None: the whole clip, or the task's own longest episode."""
    own_episodes: bool = False
    """Whether the task's own episodes, rewards and terminations are played, whatever the task is;
    otherwise whole clips, which needs a motion command."""
    errors: tuple[str, ...] = DEFAULT_ERRORS
    """What is told of each state, see ``mimic.evaluation.measures``."""
    averaged_over: AveragedOver = "steps"
    """Whether errors are means over all steps, or over the episodes' own means."""
    whole_clip: bool = False
    """Whether errors are averaged to the clip's end also after a failure."""
    smoothness: bool = False
    """Whether torques, contacts and actions are judged too, see ``mimic.evaluation.smoothness``."""

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise MimicError(f"episodes must be at least 1, got {self.episodes}")
        if not self.start_noise >= 0:
            raise MimicError(f"start noise must not be negative, got {self.start_noise}")
        if self.time_limit_s is not None and not self.time_limit_s > 0:
            raise MimicError(f"time limit must be positive, got {self.time_limit_s} s")
        unknown = [name for name in self.errors if name not in MEASURES]
        if unknown:
            raise MimicError(
                f"protocol '{self.name}': unknown error '{unknown[0]}'; known: "
                f"{', '.join(MEASURES)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The definition in plain numbers and texts."""
        count: dict[str, Any] = {"episodes_per_clip": self.episodes, "start_frame": 0}
        if self.own_episodes:
            count = {"episodes": self.episodes}
        return {
            "name": self.name,
            "description": self.description,
            "failures": {
                name: {"function": term.function.__name__, **term.parameters}
                for name, term in self.failures.items()
            },
            **count,
            "deterministic_policy": True,
            "observation_noise": self.observation_noise,
            "start_noise": self.start_noise,
            "disturbances": self.disturbances,
            "time_limit_s": self.time_limit_s,
            **self._beyond_the_usual(),
        }

    def _beyond_the_usual(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self.errors != DEFAULT_ERRORS:
            told["errors"] = {name: MEASURES[name].about for name in self.errors}
        if self.averaged_over != "steps":
            told["averaged_over"] = self.averaged_over
        if self.whole_clip:
            told["errors_to_the_end_of_the_clip"] = True
        if self.smoothness:
            told["smoothness"] = True
        return told

    def environment(self, task: TaskConfig) -> TaskConfig:
        """The task as this protocol plays it.

        Of clips only the tracking rewards stay, since the normalised return counts nothing else,
        and there are no terminations: failures are judged from outside, on states that nobody has
        reset. The task's own episodes keep both.
        """
        quiet = quiet_task(
            task,
            observation_noise=self.observation_noise,
            start_noise=self.start_noise,
            disturbances=self.disturbances != "none",
        )
        if self.disturbances == "physics":
            lasting = {n: term for n, term in quiet.events.items() if term.mode != "interval"}
            quiet = replace(quiet, events=lasting)
        if self.own_episodes:
            return quiet
        tracking = {name: term for name, term in task.rewards.items() if term.tracking}
        return replace(quiet, rewards=tracking, terminations={})


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="appendix-f",
            description="each clip once, whole, without noise or disturbance (SuperMimic, app. F)",
            failures=APPENDIX_F_FAILURES,
            episodes=1,
        ),
        Protocol(
            name="noisy-start",
            description="whole clips under observation noise from slightly perturbed starts, "
            "judged as in appendix F",
            failures=APPENDIX_F_FAILURES,
            episodes=100,
            observation_noise=True,
            start_noise=0.2,
        ),
        Protocol(
            name="robust",
            description="whole clips under all that training adds: observation noise, start noise, "
            "pushes, randomised physics; judged as in appendix F",
            failures=APPENDIX_F_FAILURES,
            episodes=100,
            observation_noise=True,
            start_noise=1.0,
            disturbances="task",
        ),
        Protocol(
            name="mjlab",
            description="the first 10 s under observation noise, judged by the terminations of "
            "training (as mjlab's evaluate)",
            failures=TRACKING_FAILURES,
            episodes=100,
            observation_noise=True,
            time_limit_s=10.0,
        ),
        Protocol(
            name="beyondmimic",
            description="mjlab's evaluate as published: the first 10 s from noisy starts under "
            "observation noise and randomised physics, no pushes, judged by the terminations of "
            "training; errors are means over episodes",
            failures=TRACKING_FAILURES,
            episodes=1024,
            observation_noise=True,
            start_noise=1.0,
            disturbances="physics",
            time_limit_s=10.0,
            errors=MJLAB_ERRORS,
            averaged_over="episodes",
        ),
        Protocol(
            name="phc",
            description="each clip once, whole, without noise or disturbance; fails where the "
            "bodies are 0.5 m off on average (PHC)",
            failures=PHC_FAILURES,
            episodes=1,
            errors=PHC_ERRORS,
        ),
        Protocol(
            name="sonic",
            description="each clip once, whole, without noise or disturbance, judged by SONIC's "
            "evaluation terminations",
            failures=SONIC_FAILURES,
            episodes=1,
            errors=SONIC_ERRORS,
        ),
        Protocol(
            name="holomotion",
            description="each clip once, whole, without noise or disturbance; fails where a body "
            "is ever 0.25 m off, errors to the clip's end; with smoothness (HoloMotion)",
            failures=HOLOMOTION_FAILURES,
            episodes=1,
            errors=HOLOMOTION_ERRORS,
            whole_clip=True,
            smoothness=True,
        ),
        Protocol(
            name="task",
            description="the task's own episodes, rewards and terminations, without noise or "
            "disturbance",
            failures={},
            episodes=100,
            own_episodes=True,
        ),
        Protocol(
            name="task-robust",
            description="the task's own episodes, rewards and terminations under all that training "
            "adds: observation noise, start noise, events",
            failures={},
            episodes=100,
            observation_noise=True,
            start_noise=1.0,
            disturbances="task",
            own_episodes=True,
        ),
    )
}
OF_CLIPS, OF_TASKS = "noisy-start", "task"
"""What is played where no protocol is named: by tasks that track clips, and by others."""


def tracks_clips(task: TaskConfig) -> bool:
    """Whether some command of a task asks for frames of clips."""
    return any(isinstance(each, MotionCommandConfig) for each in task.commands.values())


def default_protocol(task: TaskConfig) -> str:
    """Name of the protocol that is played where none is named."""
    return OF_CLIPS if tracks_clips(task) else OF_TASKS


def get_protocol(
    name: str, *, episodes: int | None = None, start_noise: float | None = None
) -> Protocol:
    """A protocol by name, with the user's own number of episodes or start noise.

    Raises:
        MimicError: unknown protocol, or a number that cannot be.
    """
    if name not in PROTOCOLS:
        raise MimicError(f"unknown protocol '{name}'; known: {', '.join(PROTOCOLS)}")
    chosen = PROTOCOLS[name]
    if episodes is not None:
        chosen = replace(chosen, episodes=episodes)
    if start_noise is not None:
        chosen = replace(chosen, start_noise=start_noise)
    return chosen
