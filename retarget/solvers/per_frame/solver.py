"""One frame after another on mink: the problem's objectives and limits in mink's terms."""

from __future__ import annotations

from collections.abc import Sequence

import mink
import mujoco
import numpy as np
from mink.limits.limit import Constraint
from mink.tasks.task import BaseTask
from mink.tasks.task import Objective as QuadraticObjective

from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from retarget.objectives import Objective
from retarget.solvers.per_frame.problem import FrameProblem, GroundPoints
from retarget.solvers.per_frame.settings import IkSettings
from retarget.solvers.tree import BodyTree
from robots.frames import RobotFrames
from robots.robot import Robot


class FrameSolver(FrameProblem):
    """Solves one frame after another for one robot."""

    def __init__(
        self,
        robot: Robot,
        frames: RobotFrames,
        fps: float,
        settings: IkSettings,
        ground: Surface = FLAT,
    ) -> None:
        super().__init__(robot, frames, fps, settings, ground)
        self.configuration = mink.Configuration(self.model)
        self.objectives = ObjectiveTask(self)
        self.joints = JointTask(self.model)
        self.tasks = [self.objectives, self.joints]
        self.step_limit = FrameStepLimit(self.model, self.max_step)
        self.placed = True
        """Whether speed and ground limits apply; stage 1 goes without."""
        limit = mink.ConfigurationLimit(self.model)
        limit.lower[7:], limit.upper[7:] = self.lower, self.upper
        self.limits: list[mink.Limit] = [
            limit, self.step_limit, GroundLimit(self.tree, self.ground),
        ]  # fmt: skip
        self._free = self.limits[:1]

    def start(self, qpos: Array) -> None:
        """Take `qpos` [7 + J] as the configuration to begin from; no velocity limit applies."""
        self.configuration.update(qpos)
        self.step_limit.previous = None

    def frame(
        self,
        objectives: Sequence[Objective],
        guess: Array | None,
        iterations: int,
        previous: Array | None,
        *,
        rest: bool = True,
    ) -> Array:
        """Solve one frame; returns qpos [7 + J].

        Args: `objectives` of this frame (T = 1); `guess` qpos to start from (else the last
        solution); `previous` the last frame's joint angles [J], None for a first frame; `rest`:
        whether joints are drawn to the rest posture and their last angles.
        """
        s, configuration = self.settings, self.configuration
        self.step_limit.previous = previous
        limits = self.limits if self.placed else self._free
        if guess is not None:
            start = guess.copy()
            if previous is not None and self.placed:
                start[7:] = np.clip(start[7:], previous - self.max_step, previous + self.max_step)
            start[7:] = np.clip(start[7:], self.lower, self.upper)
            configuration.update(start)
        self.objectives.terms = objectives
        target, weight = self._posture(guess, previous)
        self.joints.set(target, weight if rest else 0.0 * weight)
        dt = 1.0 / self.fps
        for _ in range(iterations):
            try:
                velocity = mink.solve_ik(
                    configuration, self.tasks, dt, "daqp", damping=s.damping, limits=limits
                )
            except mink.NoSolutionFound:
                # Seen with joints a rounding error outside their range; the next frame recovers.
                break
            # Half a radian at once is as far as the linearisation can be trusted.
            largest = float(np.abs(velocity[3:]).max()) * dt
            if largest > 0.5:
                velocity *= 0.5 / largest
            configuration.integrate_inplace(velocity, dt)
            if largest < s.tolerance:
                break
        return configuration.q

    def _posture(self, guess: Array | None, previous: Array | None) -> tuple[Array, Array]:
        """Angles [J] that joints are drawn to, and how strongly [J]."""
        s = self.settings
        if previous is None:
            return self.rest, self.rest_weight
        weight = np.sqrt(self.rest_weight**2 + s.keep**2)
        target = (self.rest_weight**2 * self.rest + s.keep**2 * previous) / weight**2
        if guess is not None and self.placed:
            # Stage 1 has found another way to hold the limb: go there, not back.
            far = np.abs(guess[7:] - previous) > 1.5 * self.max_step
            target, weight = np.where(far, guess[7:], target), np.where(far, s.catch_up, weight)
        return target, weight


class ObjectiveTask(BaseTask):
    """Objectives of one frame as a quadratic cost of mink's."""

    def __init__(self, problem: FrameProblem) -> None:
        self.problem = problem
        self.terms: Sequence[Objective] = ()

    def compute_qp_objective(self, configuration: mink.Configuration) -> QuadraticObjective:
        pose = self.problem.tree.pose_at(configuration.data.qpos)
        return QuadraticObjective(*self.problem.equations(pose, self.terms))


class JointTask(BaseTask):
    """Joints are drawn to target angles, each with its own weight."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._nv = model.nv
        self.target = model.qpos0[7:].copy()
        self.weight = np.ones(model.nv - 6)

    def set(self, target: Array, weight: Array) -> None:
        """Angles [J] rad and weights [J] per radian."""
        self.target, self.weight = target, weight

    def compute_qp_objective(self, configuration: mink.Configuration) -> QuadraticObjective:
        square = self.weight**2
        hessian = np.zeros((self._nv, self._nv))
        hessian.flat[6 * (self._nv + 1) :: self._nv + 1] = square
        gradient = np.zeros(self._nv)
        gradient[6:] = square * (configuration.data.qpos[7:] - self.target)
        return QuadraticObjective(hessian, gradient)


class FrameStepLimit(mink.Limit):
    """Bounds the joints' total change since the previous frame, however many solver steps it takes.

    mink's own velocity limit bounds a single solver step; a frame that takes four steps could move
    four times as fast.
    """

    def __init__(self, model: mujoco.MjModel, max_step: Array) -> None:
        self.max_step = np.asarray(max_step, dtype=float)
        rows = np.eye(model.nv)[6:]
        self._g = np.concatenate([rows, -rows])
        self.previous: Array | None = None

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> Constraint:
        del dt
        if self.previous is None:
            return Constraint()
        moved = configuration.data.qpos[7:] - self.previous
        # Rounding may leave a joint a hair outside; standing still must stay feasible.
        room = np.concatenate([self.max_step - moved, self.max_step + moved])
        return Constraint(G=self._g, h=np.maximum(room, 0.0))


class GroundLimit(mink.Limit):
    """Keeps `GroundPoints` above their surface."""

    def __init__(self, tree: BodyTree, points: GroundPoints) -> None:
        self.tree, self.points = tree, points

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> Constraint:
        del dt
        found = self.points.inequalities(self.tree.pose_at(configuration.data.qpos))
        return Constraint() if found is None else Constraint(G=found[0], h=found[1])
