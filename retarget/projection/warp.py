"""Bounded time-warping: a smooth, monotone re-timing that only ever slows down.

The unknown is x = r^2, the square of the rate at which the path is followed. Wrench and joint
torques are linear in it (see `loads`), so that the best x under bounds is a linear programme.
"""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from mimic_base.resample import lerp_frames
from mimic_base.vectors import Array
from motions import RobotMotion
from motions.robot.dynamics.contact import GroundPoints, share_load
from motions.robot.dynamics.feasibility import DynamicsSettings
from motions.robot.dynamics.inverse import bare_model, coordinates, derivatives, required_forces
from motions.robot.objects import ObjectTracks
from retarget.projection.loads import Loads, stretches
from retarget.projection.program import LinearProgram, Term
from retarget.projection.shift import INSIDE, edge_rows
from robots.robot import Robot

REACH = 1.0
"""s before and after a violation within which time may slow down for it."""
SLOW_COST = 0.01
"""Cost of x below one, per frame, where a metre of the zero-moment point outside costs 3."""
EASE = 0.15
"""s, the shortest time in which the rate goes from the one bound to the other."""


def plan_warp(
    motion: RobotMotion,
    robot: Robot,
    loads: Loads,
    bad: Array,
    most: Array,
    settings: DynamicsSettings,
) -> Array | None:
    """Slowness p = 1 / r [T], from 1 to `most` [T], that brings wrench and torques nearer to what
    contacts and motors give; None where nothing helps.

    `bad` [T] bool are the frames to be helped.
    """
    square = np.ones(motion.num_frames)
    torque = _Torques(motion, robot, settings, float(most.max()))
    for part in stretches(bad, round(REACH * motion.fps)):
        if part.stop - part.start >= 8:
            square[part] = _plan(motion, robot, loads, torque, part, most[part], settings.friction)
    slowness = np.clip(1.0 / np.sqrt(square), 1.0, most)
    return slowness if slowness.max() > 1.0 + 1e-6 else None


def _plan(
    motion: RobotMotion,
    robot: Robot,
    loads: Loads,
    torque: _Torques,
    part: slice,
    most: Array,
    friction: float,
) -> Array:
    """x [n] of one stretch."""
    frames, count = np.arange(part.start, part.stop), part.stop - part.start
    least = 1.0 / most**2
    if part.start > 0:
        least[:2] = 1.0
    if part.stop < motion.num_frames:
        least[-2:] = 1.0
    program = LinearProgram()
    square = program.variables(count, cost=-SLOW_COST, lower=least, upper=1.0)
    outside, slip = program.variables(count, cost=3.0), program.variables(count, cost=1.0)
    # x' by central differences, one-sided at the ends; half of it counts.
    at = np.arange(count)
    low, high = np.maximum(at - 1, 0), np.minimum(at + 1, count - 1)
    pace = 0.5 * loads.fps / (high - low)

    def wrench_rows(local: Array, rows: Array, bound: Array, slack: Array) -> None:
        """rows [R, 6] . wrench(x, x') <= bound + weight * slack."""
        each = frames[local]
        inertial = (rows * loads.inertial[each]).sum(axis=1)
        slope = (rows * loads.tangential[each]).sum(axis=1) * pace[local]
        terms: list[Term] = [
            (square[local], inertial), (square[high[local]], slope),
            (square[low[local]], -slope), (slack[local], -loads.weight),
        ]  # fmt: skip
        program.at_most(terms, bound - (rows * loads.gravity[each]).sum(axis=1))

    local, normal, offset = edge_rows(loads, frames)
    zero = np.zeros(len(local))
    rows = np.stack([zero, zero, INSIDE - offset, normal[:, 1], -normal[:, 0], zero], axis=1)
    wrench_rows(local, rows, zero, outside)
    grip = np.where(loads.on_ground[frames], friction / np.sqrt(2.0), 0.0)
    for axis in (0, 1):
        for sign in (1.0, -1.0):
            rows = np.zeros((count, 6))
            rows[:, axis], rows[:, 2] = sign, -grip
            wrench_rows(at, rows, np.zeros(count), slip)
    flight = np.flatnonzero(~loads.on_ground[frames])
    for sign in (1.0, -1.0):
        rows = np.zeros((len(flight), 6))
        rows[:, 2] = sign
        wrench_rows(flight, rows, np.zeros(len(flight)), slip)
    torque.add_rows(program, frames, square)

    fast = np.abs(motion.joint_vel[frames]) / robot.velocity_limit
    over = np.flatnonzero(fast.max(axis=1) > 1.0)
    speed = program.variables(len(over), cost=1.0)
    program.at_most([(square[over], fast.max(axis=1)[over] ** 2), (speed, -1.0)], 1.0)

    bend = 4.0 * (1.0 - least.min()) / max(EASE * loads.fps, 2.0) ** 2
    middle = [(square[:-2], 1.0), (square[1:-1], -2.0), (square[2:], 1.0)]
    program.at_most(middle, bend)
    program.at_most([(i, -v) for i, v in middle], bend)
    found = program.solve()
    return np.ones(count) if found is None else np.clip(found[square], least, 1.0)


class _Torques:
    """Joint torques between the motion's own timing and the slowest.

    Contact forces that carry two wrenches carry what lies between them as well, so that the
    torques in between are on the line.
    """

    def __init__(
        self, motion: RobotMotion, robot: Robot, settings: DynamicsSettings, most: float
    ) -> None:
        self.robot, self.settings, self.most = robot, settings, most
        self.model = bare_model(robot)
        self.data = mujoco.MjData(self.model)
        self.qpos = coordinates(motion.root_pos, motion.root_quat, motion.joint_pos)
        self.qvel, self.qacc = derivatives(self.model, self.qpos, motion.fps, settings.cutoff_hz)
        self.points = GroundPoints(robot, self.model)

    def add_rows(self, program: LinearProgram, frames: Array, square: Array) -> None:
        """Keep the torques of `frames` [n], at x of the variables `square` [n], to the limits."""
        limit = self.robot.effort_limit
        for k, t in enumerate(frames):
            own = self._at(t, 1.0)
            over = np.flatnonzero(np.abs(own) > limit)
            if not len(over):
                continue
            slow = self._at(t, 1.0 / self.most)
            gain = (own - slow)[over] / (1.0 - 1.0 / self.most**2)
            sign = np.sign(own[over])
            slack = program.variables(len(over), cost=1.0)
            # own + (x - 1) gain, in the direction in which it is too much
            terms = [(np.repeat(square[k], len(over)), sign * gain), (slack, -limit[over])]
            program.at_most(terms, limit[over] - sign * (own[over] - gain))

    def _at(self, t: int, rate: float) -> Array:
        """Joint torques [J] of a frame, followed at a constant rate."""
        speed, acceleration = rate * self.qvel[t], rate**2 * self.qacc[t]
        force = required_forces(self.model, self.data, self.qpos[t], speed, acceleration)
        s = self.settings
        bodies, at = self.points.touching(self.data, s.height, s.most_points)
        _, left = share_load(self.model, self.data, force, bodies, at, s.friction)
        return left[6:]


def frame_positions(slowness: Array, most: Array | float) -> Array:
    """Where the frames of the re-timed motion lie in the old one: fractional indices [T'].

    The slowness p [T], from 1 to `most` (a number, or [T]), is piecewise linear in the old time, so
    that new time is piecewise quadratic and is inverted exactly: steps stay within [1 / most, 1].
    The first and the last frame are the old ones, for which p is raised to make a whole number of
    frames (or lowered, where the bound leaves no room).
    """
    last = len(slowness) - 1
    p, whole = _whole_frames(slowness, most)
    time = np.concatenate([[0.0], np.cumsum(0.5 * (p[1:] + p[:-1]))])
    new = np.arange(last + whole + 1, dtype=float)
    k = np.clip(np.searchsorted(time, new, side="right") - 1, 0, last - 1)
    # p_k u + (p_k+1 - p_k) u^2 / 2 = new - time_k, by the stable form of the root
    left = np.maximum(new - time[k], 0.0)
    root = np.sqrt(np.maximum(p[k] ** 2 + 2.0 * (p[k + 1] - p[k]) * left, 0.0))
    position = k + np.clip(2.0 * left / (p[k] + root), 0.0, 1.0)
    position[0], position[-1] = 0.0, last
    return position


def _whole_frames(p: Array, most: Array | float) -> tuple[Array, int]:
    """Slowness that lasts a whole number of frames longer than the old timing, and that number."""

    def frames(values: Array) -> float:
        return float((0.5 * (values[1:] + values[:-1])).sum())

    extra = frames(p - 1.0)
    if extra < 1e-6:
        return np.ones_like(p), 0
    up, down = int(np.ceil(extra - 1e-9)), int(np.floor(extra + 1e-9))
    room = (most - p) * (p - 1.0) / (p.max() - 1.0)
    if up - extra <= frames(room):
        return p + room * max(0.0, (up - extra) / max(frames(room), 1e-12)), up
    return 1.0 + (p - 1.0) * min(1.0, down / extra), down


def warped(motion: RobotMotion, robot: Robot, positions: Array) -> RobotMotion:
    """The motion at fractional frames [T'], at its own frame rate.

    Splines with continuous accelerations, for the base's rotation too (slerp would add a jump of
    the velocity at every frame); contacts are carried over linearly. Joint limits that the motion
    keeps are kept.
    """
    frame = np.arange(motion.num_frames, dtype=float)
    joints = CubicSpline(frame, motion.joint_pos)(positions)
    joints = np.clip(
        joints,
        np.minimum(robot.joint_lower, motion.joint_pos.min(axis=0)),
        np.maximum(robot.joint_upper, motion.joint_pos.max(axis=0)),
    )
    root = CubicSpline(frame, motion.root_pos)(positions)
    turns = RotationSpline(frame, Rotation.from_quat(motion.root_quat, scalar_first=True))
    quat = turns(positions).as_quat(scalar_first=True)
    for values, old in ((joints, motion.joint_pos), (root, motion.root_pos)):
        values[0], values[-1] = old[0], old[-1]
    quat[0], quat[-1] = motion.root_quat[0], motion.root_quat[-1]
    objects = None if motion.objects is None else motion.objects.at(positions)
    contact = lerp_frames(motion.contact, positions)
    return rebuilt(motion, robot, root, quat, joints, contact, objects)


def rebuilt(
    motion: RobotMotion,
    robot: Robot,
    root: Array,
    quat: Array,
    joints: Array,
    contact: Array,
    objects: ObjectTracks | None,
) -> RobotMotion:
    """A motion with other coordinates (joints in the robot's order) and all bodies."""
    return RobotMotion.from_coordinates(
        robot,
        root,
        quat,
        joints,
        fps=motion.fps,
        contact=contact,
        quality=motion.quality,
        source=motion.source,
        licence=motion.licence,
        name=motion.name,
        objects=objects,
        scene=motion.scene,
    )
