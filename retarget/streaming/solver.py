"""The inverse kinematics of one frame, in a hurry: normal equations and one small QP per step.

The objectives, weights and limits are those of the per-frame method
(`retarget.solvers.per_frame.problem`). Its solver goes through mink and qpsolvers, which build
every matrix anew with checks on the way; here the normal equations are handed to DAQP (Arnstrom,
Bemporad, Axehill 2022) directly, joint limits and speeds as simple bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import daqp
import mujoco
import numpy as np

from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from retarget.objectives import Direction, Objective, Point, stacked
from retarget.solvers.per_frame.problem import FrameProblem
from retarget.solvers.per_frame.settings import IkSettings
from retarget.solvers.tree import TreePose
from robots.frames import RobotFrames
from robots.robot import Robot

WALL = 0.05
"""m; points that are deeper in a ground that is not flat are in a wall."""
_FAR = 1e30
"""DAQP's infinity."""


class LiveSolver(FrameProblem):
    """Solves one frame after another; `qpos` [7 + J] is its present configuration."""

    def __init__(
        self,
        robot: Robot,
        frames: RobotFrames,
        fps: float,
        settings: IkSettings,
        ground: Surface = FLAT,
    ) -> None:
        super().__init__(robot, frames, fps, settings, ground)
        if not ground.is_flat:
            self.ground.wall = WALL
        self.data = mujoco.MjData(self.model)
        nv = int(self.model.nv)
        self._low, self._high = np.full(nv, -_FAR), np.full(nv, _FAR)
        self._revolute = np.arange(6, nv)
        self._damping = settings.damping * np.eye(nv)
        self.put(self.model.qpos0)
        self._warm_up()

    def _warm_up(self) -> None:
        """Load (or compile) the inner loops now, which the first frame would wait for else."""
        body, one = self.model.body(1).name, np.ones(3)
        terms = stacked(
            [
                Direction(name="", body=body, axis=one, target=one[None], weight=0.0),
                Point(name="", body=body, point=one, target=one[None], weight=0.0),
            ],
            self.tree,
            1,
        )
        self.equations(self.tree.pose_at(self.data.qpos), terms)

    @property
    def qpos(self) -> Array:
        return self.data.qpos.copy()

    def put(self, qpos: Array) -> None:
        """Take `qpos` [7 + J] as the present configuration."""
        self.data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self.data)

    def improve(
        self,
        objectives: Sequence[Objective],
        posture: Array,
        posture_weight: Array,
        iterations: int,
        previous: Array | None = None,
        *,
        clear: bool = False,
    ) -> None:
        """Move the present configuration towards `objectives` (of one frame).

        Args: `posture` [J] rad that joints are drawn to, with weights [J] per radian; `previous`
        [J] the last frame's angles, from which none moves further than its speed allows (None for
        no such limit); `clear` keeps all of the robot above the ground.
        """
        terms = stacked(objectives, self.tree, 1)
        square = posture_weight * posture_weight
        lower, upper = self.lower, self.upper
        if previous is not None:
            lower = np.maximum(lower, previous - self.max_step)
            upper = np.minimum(upper, previous + self.max_step)
        data, revolute = self.data, self._revolute
        for _ in range(iterations):
            pose = self.tree.pose_at(data.qpos)
            hessian, gradient = self.equations(pose, terms)
            hessian += self._damping
            hessian[revolute, revolute] += square
            q = data.qpos[7:]
            gradient[6:] += square * (q - posture)
            self._low[6:], self._high[6:] = lower - q, upper - q
            step = self._minimise(hessian, gradient, pose if clear else None)
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

    def _minimise(self, hessian: Array, gradient: Array, clear: TreePose | None) -> Array | None:
        rows, room = np.zeros((0, len(gradient))), np.zeros(0)
        if clear is not None:
            rows, room = self.ground.inequalities(clear) or (rows, room)
        high = np.concatenate([self._high, room])
        low = np.concatenate([self._low, np.full(len(room), -_FAR)])
        # A joint a rounding error outside its range must not make the step infeasible.
        low = np.minimum(low, high)
        sense = np.zeros(len(high), dtype=np.int32)
        step, _, flag, _ = daqp.solve(hessian, gradient, rows, high, low, sense)
        return np.array(step) if flag > 0 and np.isfinite(step).all() else None

    def depth(self) -> float:
        """How deep (m) the lowest point of the present configuration is in the ground, or 0."""
        heights = self.ground.heights(self.tree.pose_at(self.data.qpos))
        return max(0.0, -float(heights[heights > -self.ground.wall].min(initial=0.0)))
