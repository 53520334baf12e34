"""The inverse kinematics of one frame, in a hurry: analytic Jacobians, one small QP per step.

The tasks, weights and limits are those of the per-frame method
(`retarget.solvers.per_frame.frame`). Its solver goes through mink and qpsolvers, which build every
matrix anew with checks on the way; here the normal equations are put together once and handed to
DAQP (Arnstrom, Bemporad, Axehill 2022) directly, joint limits and speeds as simple bounds.
"""

from __future__ import annotations

import daqp
import mujoco
import numpy as np

from mimic_base.vectors import Array
from retarget.solvers.per_frame.frame import Aim, FrameSolver, IkSettings
from robots.frames import RobotFrames
from robots.robot import Robot

_FAR = 1e30
"""DAQP's infinity."""


class LiveSolver(FrameSolver):
    """Solves one frame after another; `qpos` [7 + J] is its present configuration."""

    def __init__(self, robot: Robot, frames: RobotFrames, fps: float, settings: IkSettings) -> None:
        super().__init__(robot, frames, fps, settings)
        self.data = self.configuration.data
        nv = int(self.model.nv)
        self._low, self._high = np.full(nv, -_FAR), np.full(nv, _FAR)
        self._hinge = np.arange(6, nv)
        self._damping = settings.damping * np.eye(nv)
        self.max_step = self.step_limit.max_step

    @property
    def qpos(self) -> Array:
        return self.data.qpos.copy()

    def put(self, qpos: Array) -> None:
        """Take `qpos` [7 + J] as the present configuration."""
        self.data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self.data)

    def improve(
        self,
        aim: Aim,
        posture: Array,
        posture_weight: Array,
        iterations: int,
        previous: Array | None = None,
        *,
        clear: bool = False,
    ) -> None:
        """Move the present configuration towards `aim`.

        Args: `posture` [J] rad that hinges are drawn to, with weights [J] per radian; `previous`
        [J] the last frame's hinges, from which none moves further than its speed allows (None for
        no such limit); `clear` keeps all of the robot above the ground.
        """
        self.pose.set(aim.directions, aim.direction_weights, aim.points, aim.point_weights)
        square = posture_weight * posture_weight
        lower, upper = self.lower, self.upper
        if previous is not None:
            lower = np.maximum(lower, previous - self.max_step)
            upper = np.minimum(upper, previous + self.max_step)
        data, hinge = self.data, self._hinge
        for _ in range(iterations):
            jacobian, right, _ = self.pose.compute_qp_residual(self.configuration)
            hessian = jacobian.T @ jacobian
            hessian += self._damping
            hessian[hinge, hinge] += square
            gradient = -(right @ jacobian)
            q = data.qpos[7:]
            gradient[6:] += square * (q - posture)
            self._low[6:], self._high[6:] = lower - q, upper - q
            step = self._minimise(hessian, gradient, clear)
            if step is None:
                break
            largest = float(np.abs(step[3:]).max())
            if largest > 0.5:
                # Half a radian at once is as far as the linearisation can be trusted.
                step *= 0.5 / largest
            qpos = data.qpos.copy()
            mujoco.mj_integratePos(self.model, qpos, step, 1.0)
            qpos[7:] = np.minimum(np.maximum(qpos[7:], lower), upper)
            self.put(qpos)
            if largest < self.settings.tolerance:
                break

    def _minimise(self, hessian: Array, gradient: Array, clear: bool) -> Array | None:
        rows, room = np.zeros((0, len(gradient))), np.zeros(0)
        if clear:
            limit = self.ground_limit.compute_qp_inequalities(self.configuration, 0.0)
            if limit.G is not None and limit.h is not None:
                rows, room = limit.G, limit.h
        high = np.concatenate([self._high, room])
        low = np.concatenate([self._low, np.full(len(room), -_FAR)])
        # A hinge a rounding error outside its range must not make the step infeasible.
        low = np.minimum(low, high)
        sense = np.zeros(len(high), dtype=np.int32)
        step, _, flag, _ = daqp.solve(hessian, gradient, rows, high, low, sense)
        return np.array(step) if flag > 0 and np.isfinite(step).all() else None

    def depth(self) -> float:
        """How deep (m) the lowest point of the present configuration is in the ground, or 0."""
        return max(0.0, -float(self.ground_limit.heights(self.configuration).min()))
