"""The inverse kinematics of one frame, on mink: weights, targets, limits, one solver per robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import mink
import mujoco
import numpy as np

from mimic_base.vectors import Array
from retarget.solvers.per_frame.tasks import FrameStepLimit, GroundLimit, JointTask, PoseTask, Tree
from robots.collision import check_geometry, outer_points
from robots.frames import RobotFrames
from robots.robot import Robot
from robots.segments import LIMBS, SEGMENTS, SIDES

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
    """Of each edge of the sole that is on the ground, along the ground."""
    standing_height: float = 60.0
    """Of its height."""
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

    def at(self, t: int | Array) -> Aim:
        """The aim of one frame, or of an array of them."""
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
        self.tree = Tree(model)
        self.pose = PoseTask(
            self.tree, [x.body for x in links for _ in (0, 1)], self.axes, bodies, np.stack(local)
        )
        self.joints = JointTask(model)
        self.tasks = [self.pose, self.joints]
        step = np.minimum(robot.velocity_limit * settings.velocity_share / fps, settings.max_step)
        self.step_limit = FrameStepLimit(model, step)
        self.placed = True
        """Whether speed and ground limits apply; stage 1 goes without."""
        limit = mink.ConfigurationLimit(model)
        # A robot's elbow may bend backwards; once it does, the arm is caught in a mirrored pose
        # that fits the directions nearly as well and has no short way out.
        for joint, (low, high) in frames.flexion.items():
            limit.lower[7 + joint], limit.upper[7 + joint] = low, high
        self.ground_limit = _ground_limit(robot, self.tree)
        self.limits: list[mink.Limit] = [limit, self.step_limit, self.ground_limit]
        self._free = self.limits[:1]
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
        self.step_limit.previous = previous
        limits = self.limits if self.placed else self._free
        if guess is not None:
            start = guess.copy()
            if previous is not None and self.placed:
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
                    configuration, self.tasks, dt, "daqp", damping=s.damping, limits=limits
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
        if guess is not None and self.placed:
            # Stage 1 has found another way to hold the limb: go there, not back.
            far = np.abs(guess[7:] - previous) > 1.5 * self.step_limit.max_step
            target, weight = np.where(far, guess[7:], target), np.where(far, s.catch_up, weight)
        return target, weight


def _ground_limit(robot: Robot, tree: Tree) -> GroundLimit:
    """Feet by their sole points, all else by the outer points of the vendor's geometry."""
    bodies, points = [], []
    for foot, sole in zip(robot.feet, robot.sole_points, strict=True):
        bodies += [robot.model.body(foot).id] * len(sole)
        points.append(sole)
    for name, outer in outer_points(check_geometry(robot)):
        if name not in robot.feet:
            bodies += [robot.model.body(name).id] * len(outer)
            points.append(outer)
    return GroundLimit(tree, np.array(bodies), np.concatenate(points))


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
        ends = (model.body(robot.human_map[role]).id for role in (top, bottom))
        for body in bodies_between(model, *ends):
            for joint in range(
                model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]
            ):
                if joint > 0:  # the free joint is no hinge
                    rest[joint - 1] = 0.0
                    weight[joint - 1] = value
    return np.clip(rest, robot.joint_lower, robot.joint_upper), weight


def bodies_between(model: mujoco.MjModel, first: int, second: int) -> list[int]:
    """Bodies whose joints turn `second` against `first`; either may be the nearer to the root."""

    def above(body: int) -> list[int]:
        way = [body]
        while way[-1] > 0:
            way.append(int(model.body_parentid[way[-1]]))
        return way

    a, b = above(first), above(second)
    return [x for x in a if x not in b] + [x for x in b if x not in a]
