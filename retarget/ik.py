"""Inverse kinematics frame by frame, on mink: warm-started, hard limits, two stages.

Stage 1 follows orientations only (limb directions, flexion axes, trunk, planned feet); its result
tells where the feet are against the pelvis, from which the root and the footprints are fitted.
Stage 2 starts from it and adds positions: root and feet. Where the result is then smoothed, a last
pass puts standing feet back in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import mink
import numpy as np

from motions.rotations import matrix_to_quat
from retarget.calibration import SegmentTrack
from retarget.robot_frames import LIMBS, SEGMENTS, SIDES, RobotFrames
from retarget.tasks import FrameStepLimit, JointTask, PoseTask, Tree
from retarget.vectors import Array, across
from robots.robot import Robot

Progress = Callable[[int], None]

NUM_POINTS = 7
"""Root, and ankle, ball and heel of the left and the right foot."""


def _default_weights() -> dict[str, tuple[float, float]]:
    return {
        "pelvis": (3.0, 3.0),
        "chest": (2.0, 1.5),
        "thigh": (1.5, 0.15),
        "shank": (1.5, 0.15),
        "upper_arm": (1.5, 0.1),
        "forearm": (1.5, 0.1),
        "foot": (0.6, 0.3),
        "hand": (0.15, 0.15),
    }


@dataclass(frozen=True)
class IkSettings:
    """Weights per radian (directions), per metre (points) and solver limits."""

    weights: Mapping[str, tuple[float, float]] = field(default_factory=_default_weights)
    """Segment kind -> weights of its primary and secondary axis."""
    standing_foot: tuple[float, float] = (4.0, 1.0)
    """Added to the foot's axes where it stands on its whole sole (stage 2)."""
    root: float = 30.0
    ankle: float = 15.0
    standing_edge: float = 60.0
    """Of each edge of the sole that is on the ground."""
    rest_waist: float = 0.08
    rest_wrist: float = 0.10
    rest_other: float = 0.01
    posture: float = 1.0
    """Pull of every hinge to the smoothed solution (last pass)."""
    pelvis_hold: float = 3.0
    keep: float = 0.02
    """Pull of every hinge to its last angle: keeps singular poses from spinning."""
    damping: float = 1e-5
    iterations: tuple[int, int, int] = (3, 4, 2)
    """Most solver steps a frame: stage 1, stage 2, last pass after smoothing."""
    tolerance: float = 1.5e-3
    """rad; a frame is done when no hinge moved more in a step."""
    warm_up: int = 80
    """Solver steps for the first frame, from the default pose."""
    max_step: float = 0.45
    """rad per frame at most, beside the joints' own velocity limits."""
    velocity_share: float = 0.95
    bad_limb_deg: float = 30.0
    """A limb that misses its direction by more sets off a fresh start (stage 1)."""
    catch_up: float = 3.0
    """Pull of a hinge that is more than a frame's step away from where stage 1 has it."""


@dataclass(frozen=True)
class Aim:
    """What the solver is to reach, of one frame or (with a leading T) of a clip.

    Attributes:
        directions, direction_weights: [K, 3] unit and [K], primary and secondary axis of every
            segment in turn.
        points, point_weights: [7, 3] m and per metre; see `NUM_POINTS`.
        posture: [J] rad that all hinges are drawn to, or None for the rest posture.
    """

    directions: Array
    direction_weights: Array
    points: Array
    point_weights: Array
    posture: Array | None = None

    def at(self, t: int) -> Aim:
        return Aim(
            self.directions[t],
            self.direction_weights[t],
            self.points[t],
            self.point_weights[t],
            None if self.posture is None else self.posture[t],
        )


class FrameSolver:
    """Solves one frame after another for one robot."""

    def __init__(self, robot: Robot, frames: RobotFrames, fps: float, settings: IkSettings) -> None:
        self.robot, self.frames, self.settings, self.fps = robot, frames, settings, fps
        model = robot.model
        self.model = model
        self.configuration = mink.Configuration(model)
        links = [frames.links[s] for s in SEGMENTS]
        bodies, local = [1], [np.zeros(3)]
        for i, side in enumerate(SIDES):
            for point in (np.zeros(3), frames.ball[i], frames.heel[i]):
                bodies.append(frames.links[f"{side}_foot"].body)
                local.append(frames.foot_turns[i].T @ point)
        self.axes = np.concatenate([[link.primary, link.secondary] for link in links])
        self.pose = PoseTask(
            Tree(model), [x.body for x in links for _ in (0, 1)], self.axes, bodies, np.stack(local)
        )
        self.joints = JointTask(model)
        self.tasks = [self.pose, self.joints]
        step = np.minimum(robot.velocity_limit * settings.velocity_share / fps, settings.max_step)
        self.step_limit = FrameStepLimit(model, step)
        self.limit_steps = True
        limit = mink.ConfigurationLimit(model)
        # A robot's elbow may bend backwards; once it does, the arm is caught in a mirrored pose
        # that fits the directions nearly as well and has no short way out.
        for joint, (low, high) in frames.flexion.items():
            limit.lower[7 + joint], limit.upper[7 + joint] = low, high
        self.limits = [limit, self.step_limit]
        self.lower, self.upper = limit.lower[7:], limit.upper[7:]
        rest, self.rest_weight = rest_posture(robot, settings)
        self.rest = np.clip(rest, self.lower, self.upper)

    def start(self, qpos: Array) -> None:
        """Take `qpos` [7 + J] as the configuration to begin from; no velocity limit applies."""
        self.configuration.update(qpos)
        self.step_limit.previous = None

    def worst_limb(self) -> float:
        """Largest angle (rad) by which a limb of the current configuration misses its direction."""
        rows = [2 * SEGMENTS.index(name) for name in LIMBS]
        reached = self.pose.values(self.configuration)[rows]
        cosine = np.sum(reached * self.pose.target[rows], axis=1)
        return float(np.arccos(np.clip(cosine.min(), -1.0, 1.0)))

    def frame(
        self, aim: Aim, guess: Array | None, iterations: int, previous: Array | None
    ) -> Array:
        """Solve one frame; returns qpos [7 + J].

        Args: `guess` qpos to start from (else the last solution); `previous` the last frame's
        hinge angles [J], None for a first frame.
        """
        s, configuration = self.settings, self.configuration
        self.step_limit.previous = previous if self.limit_steps else None
        if guess is not None:
            start = guess.copy()
            if previous is not None and self.limit_steps:
                step = self.step_limit.max_step
                start[7:] = np.clip(start[7:], previous - step, previous + step)
            start[7:] = np.clip(start[7:], self.lower, self.upper)
            configuration.update(start)
        self.pose.set(aim.directions, aim.direction_weights, aim.points, aim.point_weights)
        self.joints.set(*self._posture(aim, guess, previous))
        dt = 1.0 / self.fps
        for _ in range(iterations):
            try:
                velocity = mink.solve_ik(
                    configuration, self.tasks, dt, "daqp", damping=s.damping, limits=self.limits
                )
            except mink.NoSolutionFound:
                # Seen with hinges a rounding error outside their range; the next frame recovers.
                break
            # Half a radian at once is as far as the linearisation can be trusted.
            largest = float(np.abs(velocity[3:]).max()) * dt
            if largest > 0.5:
                velocity *= 0.5 / largest
            configuration.integrate_inplace(velocity, dt)
            if largest < s.tolerance:
                break
        return configuration.q

    def _posture(
        self, aim: Aim, guess: Array | None, previous: Array | None
    ) -> tuple[Array, Array]:
        s = self.settings
        if aim.posture is not None:
            return aim.posture, np.full(len(aim.posture), s.posture)
        if previous is None:
            return self.rest, self.rest_weight
        weight = np.sqrt(self.rest_weight**2 + s.keep**2)
        target = (self.rest_weight**2 * self.rest + s.keep**2 * previous) / weight**2
        if guess is not None and self.limit_steps:
            # Stage 1 has found another way to hold the limb: go there, not back.
            far = np.abs(guess[7:] - previous) > 1.5 * self.step_limit.max_step
            target, weight = np.where(far, guess[7:], target), np.where(far, s.catch_up, weight)
        return target, weight


def rest_posture(robot: Robot, settings: IkSettings) -> tuple[Array, Array]:
    """Angles [J] hinges are drawn to, and how strongly: waist and wrists to straight."""
    model = robot.model
    rest = robot.default_joint_pos.copy()
    weight = np.full(len(rest), settings.rest_other)
    chains = [
        ("pelvis", "chest", settings.rest_waist),
        ("left_elbow", "left_wrist", settings.rest_wrist),
        ("right_elbow", "right_wrist", settings.rest_wrist),
    ]
    for top, bottom, value in chains:
        body = model.body(robot.human_map[bottom]).id
        while body not in (0, model.body(robot.human_map[top]).id):
            for joint in range(
                model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]
            ):
                rest[joint - 1] = 0.0
                weight[joint - 1] = value
            body = int(model.body_parentid[body])
    return np.clip(rest, robot.joint_lower, robot.joint_upper), weight


def direction_targets(
    segments: Mapping[str, SegmentTrack], settings: IkSettings, frames: int
) -> tuple[Array, Array]:
    """Targets [T, K, 3] and weights [T, K] of the direction task; absent segments weigh nothing."""
    target = np.zeros((frames, 2 * len(SEGMENTS), 3))
    weight = np.zeros((frames, 2 * len(SEGMENTS)))
    for k, name in enumerate(SEGMENTS):
        track = segments.get(name)
        if track is None:
            continue
        first, second = settings.weights[name.removeprefix("left_").removeprefix("right_")]
        target[:, 2 * k], target[:, 2 * k + 1] = track.primary, track.secondary
        weight[:, 2 * k] = first
        weight[:, 2 * k + 1] = second * track.trust
    return target, weight


def first_guess(robot: Robot, pelvis: SegmentTrack, root: Array) -> Array:
    """Default pose [7 + J] at `root` [3], turned like the pelvis of frame 0."""
    left, up = pelvis.primary[0], across(pelvis.secondary[:1], pelvis.primary[:1])[0]
    matrix = np.stack([np.cross(left, up), left, up], axis=1)
    return np.concatenate([root, matrix_to_quat(matrix), robot.default_joint_pos])


def solve_orientations(
    solver: FrameSolver,
    aim: Aim,
    start: Array,
    iterations: int,
    progress: Progress | None = None,
) -> Array:
    """Stage 1: every frame from its predecessor, begun at `start` [7 + J]; qpos [T, 7 + J].

    No velocity limit applies yet. Where an arm or leg is caught (wound up against a joint limit,
    though another posture would do), the frame is solved again from the rest posture, and the
    better posture is carried back in time for as long as it is the better one.
    """
    settings, frames = solver.settings, len(aim.directions)
    bad = np.radians(settings.bad_limb_deg)
    result = np.empty((frames, solver.model.nq))
    error = np.empty(frames)
    solver.start(start)
    solver.limit_steps = False
    previous: Array | None = None
    next_try = 0
    for t in range(frames):
        steps = settings.warm_up if t == 0 else iterations
        result[t] = solver.frame(aim.at(t), None, steps, previous)
        error[t] = solver.worst_limb()
        if error[t] > bad and t >= next_try:
            next_try = t + max(1, int(0.2 * solver.fps))
            fresh = np.concatenate([result[t, :7], solver.rest])
            candidate = solver.frame(aim.at(t), fresh, 25, None)
            better = solver.worst_limb()
            if better < 0.6 * error[t]:
                result[t], error[t] = candidate, better
                _carry_back(solver, aim, result, error, t, iterations)
            solver.configuration.update(result[t])
        previous = result[t, 7:]
        if progress is not None:
            progress(t)
    solver.limit_steps = True
    return result


def _carry_back(
    solver: FrameSolver, aim: Aim, result: Array, error: Array, start: int, iterations: int
) -> None:
    for t in range(start - 1, -1, -1):
        candidate = solver.frame(aim.at(t), result[t + 1], iterations, result[t + 1, 7:])
        better = solver.worst_limb()
        if better > error[t] - np.radians(3.0):
            break
        result[t], error[t] = candidate, better


def solve_clip(
    solver: FrameSolver,
    aim: Aim,
    guesses: Array,
    iterations: int,
    progress: Progress | None = None,
) -> Array:
    """Solve all frames in order, each from its own guess; qpos and `guesses` are [T, 7 + J]."""
    frames = len(aim.directions)
    result = np.empty((frames, solver.model.nq))
    solver.start(guesses[0])
    previous: Array | None = None
    for t in range(frames):
        # The first frame has no predecessor to lean on: it is iterated to convergence.
        steps = solver.settings.warm_up if t == 0 else iterations
        result[t] = solver.frame(aim.at(t), guesses[t], steps, previous)
        previous = result[t, 7:]
        if progress is not None:
            progress(t)
    return result
