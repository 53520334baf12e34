"""Whole-clip inverse kinematics: all frames at once, Gauss-Newton on a banded system.

Compared with solving frame by frame, smoothness, speed limits and contacts are part of what is
minimised instead of filters before and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from mimic_base.vectors import Array
from mimic_base.windows import lowest, mean
from retarget.objectives import Objective, stacked
from retarget.solvers import kernels
from retarget.solvers.normal import NormalEquations
from retarget.solvers.tree import BodyTree, rotation_matrix, rotation_vector
from retarget.solvers.weights import rest_posture
from retarget.solvers.whole_clip.banded import BandedSystem, TimeCoupling
from retarget.solvers.whole_clip.damping import UNMOVED, ActiveFrames, Damping
from retarget.solvers.whole_clip.obstacles import Obstacle
from retarget.solvers.whole_clip.settings import ClipSettings
from retarget.solvers.whole_clip.state import ClipState
from robots.frames import RobotFrames
from robots.robot import Robot
from robots.segments import SIDES

NEIGHBOURS = 0.15
"""s; settled frames this close to an unsettled one are solved again with it."""
RELAX_AFTER = 20
"""Steps after which the tolerance grows, twofold every four steps."""
CHUNK = 128
"""Frames assembled at once."""
SINGLE = 240.0
"""Frames/s up to which steps are found in single precision, which takes half the time. Smoothness
grows with the square of the rate and rounding with it: on real clips steps are wrong by 1 part in
5,000 at 30 frames/s and 1 in 200 at 240, which the next step makes good."""
LIFTED, LIFTED_CHANGE = 1e-3, 0.02
"""m; a frame in which a step lifts a held point further off the ground counts as moved by at least
so much (rad): what was held takes part in the next step only."""


class ClipSolver:
    """Whole-clip inverse kinematics of one robot at one frame rate."""

    def __init__(
        self,
        robot: Robot,
        frames: RobotFrames,
        fps: float,
        settings: ClipSettings | None = None,
    ) -> None:
        self.fps = fps
        self.settings = s = settings or ClipSettings()
        self.tree = BodyTree(robot.model)
        lower, upper = robot.joint_lower.copy(), robot.joint_upper.copy()
        for joint, (low, high) in frames.flexion.items():
            lower[joint], upper[joint] = max(lower[joint], low), min(upper[joint], high)
        self.lower, self.upper = lower[:, None], upper[:, None]
        margin = np.minimum(s.limit_margin, 0.1 * (self.upper - self.lower))
        self.inner = self.lower + margin, self.upper - margin
        rest, weight = rest_posture(robot, s.weights)
        self.rest = np.clip(rest, lower, upper)[:, None]
        self.rest_weight = weight[:, None]
        pace = (fps / 30.0) ** 2
        joints = self.tree.num_joints
        self.smoothness = pace * np.concatenate(
            [np.full(3, s.smooth_root), np.full(3, s.smooth_turn), np.full(joints, s.smooth_joint)]
        )
        for side in SIDES:
            foot, shank = (frames.links[f"{side}_{name}"].body for name in ("foot", "shank"))
            ankle = (self.tree.moves[foot] > 0) & (self.tree.moves[shank] == 0)
            self.smoothness[ankle] *= s.smooth_ankle
        self.precision = np.float32 if fps <= SINGLE else np.float64
        self._store: Array | None = None
        self.step_limit = np.minimum(s.speed_share * robot.velocity_limit / fps, s.max_frame_step)

    def start(self, root: Array, root_mat: Array) -> ClipState:
        """The rest posture everywhere; `root` [T, 3] m, `root_mat` [T, 3, 3]."""
        joints = np.repeat(self.rest, len(root), axis=1)
        return ClipState(root.T.copy(), np.moveaxis(root_mat, 0, -1).copy(), joints)

    def solve(
        self,
        state: ClipState,
        objectives: Sequence[Objective],
        iterations: int,
        *,
        obstacles: Sequence[Obstacle] = (),
        smooth: float = 1.0,
        tolerance: float = 0.01,
        callback: Callable[[], None] | None = None,
    ) -> ClipState:
        """Improve `state` towards `objectives` (of T frames).

        Args:
            obstacles: what the pose must keep clear of.
            smooth: factor on the weights of accelerations.
            tolerance: rad; a frame is settled when it moves less.
            callback: called after every iteration.
        """
        state = replace(state, root=state.root.copy(), mat=state.mat.copy(),
                        joints=state.joints.copy())  # fmt: skip
        terms = stacked(objectives, self.tree, state.frames)
        damping = Damping.fresh(state, self.settings.damping)
        active = ActiveFrames.whole(state.frames)
        unsettled = np.ones(state.frames, bool)
        reach = round(NEIGHBOURS * self.fps)
        # Small matrices: threads of the linear algebra library would only wait for each other.
        with threadpool_limits(1, user_api="blas"):
            for k in range(iterations):
                change = self.step(state, terms, active, obstacles, smooth, damping)
                # What has not come to rest by then takes turns between two contacts: a little
                # unrest is better than no end.
                enough = tolerance * 2.0 ** max(0.0, (k - RELAX_AFTER) / 4.0)
                unsettled[active.frames] = change > enough
                if callback is not None:
                    callback()
                if not unsettled.any():
                    break
                # A settled frame is left alone until a neighbour of it moves.
                active = ActiveFrames.around(unsettled, reach)
        return state

    def step(
        self,
        state: ClipState,
        terms: Sequence[Objective],
        active: ActiveFrames,
        obstacles: Sequence[Obstacle],
        smooth: float,
        damping: Damping,
    ) -> Array:
        """One Gauss-Newton step of some of the frames, in place; their largest changes [K], rad."""
        s, frames = self.settings, active.frames
        whole, state = state, state.at(frames)
        if len(frames) < whole.frames:
            terms = [term.at(frames) for term in terms]
        system = BandedSystem(len(frames), self.tree.num_dofs, self.precision, self._store)
        self._store = system.store
        coupling = self._coupling(state, smooth)
        # In parts that stay in the processor's cache; the system itself spans all frames, so that
        # parts leave no seam.
        parts = [slice(begin, begin + CHUNK) for begin in range(0, len(frames), CHUNK)]
        poses = []
        for part in parts:
            joints = state.joints[:, part]
            pose = self.tree.pose(state.root[:, part], state.mat[..., part], joints)
            normal = NormalEquations(self.tree, pose)
            for term in terms:
                term.at(part).add(normal)
            self._joints(normal, joints, damping.held[:, frames[part]])
            for obstacle in obstacles:
                obstacle(normal, pose, frames[part])
            normal.fill(system.blocks[part], system.gradient[part])
            poses.append(pose)
        coupling.own += np.where(active.free, damping.value[frames], UNMOVED)[:, None]
        step = system.solve(coupling)
        lifted = np.zeros(len(frames), bool)
        for obstacle in obstacles:
            for part, pose in zip(parts, poses, strict=True):
                rise = obstacle.after(self.tree, pose, frames[part], step[part])
                lifted[part] |= rise > LIFTED
        step[~active.free] = 0.0
        # Beyond `max_step` the linearisation is not to be trusted. One caught limb does not hold
        # up the clip, but its neighbours in time take as short a step, or the curve would kink.
        largest = np.abs(step[:, 3:]).max(axis=1)
        damping.adapt(frames, step, s)
        share = np.minimum(1.0, s.max_step / np.maximum(largest, 1e-9))
        if share.min() < 1.0:
            width = max(1, round(0.3 * self.fps))
            share = lowest(share, 2 * width + 1)
            share = mean(share, 2 * width + 1)
            step *= share[:, None]
        turn = rotation_matrix(step[:, 3:6].T)
        wanted = state.joints + step[:, 6:].T
        joints = np.clip(wanted, self.lower, self.upper)
        damping.hold(frames, wanted, joints, step[:, 6:].T)
        mat = np.einsum("ijt,jkt->ikt", turn, state.mat)
        whole.put(frames, ClipState(state.root + step[:, :3].T, mat, joints))
        moved = np.abs(joints - state.joints).max(axis=0)
        moved = np.maximum(moved, np.abs(step[:, 3:6]).max(axis=1))
        return np.where(lifted & active.free, np.maximum(moved, LIFTED_CHANGE), moved)

    def _joints(self, normal: NormalEquations, q: Array, held: Array) -> None:
        s = self.settings
        normal.cost += kernels.joint_rows(
            normal.diagonal, normal.gradient, q, self.rest[:, 0], self.rest_weight[:, 0] ** 2,
            self.inner[0][:, 0], self.inner[1][:, 0], s.limit**2, held, s.held**2,
        )  # fmt: skip

    def _coupling(self, state: ClipState, smooth: float) -> TimeCoupling:
        coupling = TimeCoupling.empty(state.frames, self.tree.num_dofs)
        if state.frames < 2:
            return coupling
        turn = np.einsum("ijt,kjt->ikt", state.mat[..., 1:], state.mat[..., :-1])
        joint = np.diff(state.joints, axis=1)
        steps = np.concatenate([np.diff(state.root, axis=1), rotation_vector(turn), joint]).T
        coupling.accelerations(np.ascontiguousarray(steps), smooth * self.smoothness)
        over = np.abs(steps[:, 6:]) - self.step_limit
        if (over > 0).any():
            residual = np.zeros_like(steps)
            residual[:, 6:] = np.where(over > 0, np.sign(steps[:, 6:]) * over, 0.0)
            coupling.steps(residual, self.settings.speed * (residual != 0.0))
        return coupling
