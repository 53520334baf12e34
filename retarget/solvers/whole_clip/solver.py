"""Whole-clip inverse kinematics: all frames at once, Gauss-Newton on a banded system.

Compared with solving frame by frame, smoothness, speed limits and contacts are part of what is
minimised instead of filters before and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from mimic_base.stretches import stretches
from mimic_base.vectors import Array
from mimic_base.windows import lowest, mean
from retarget.objectives import Objective, stacked
from retarget.solvers import kernels
from retarget.solvers.normal import NormalEquations
from retarget.solvers.tree import BodyTree, TreePose, rotation_matrix, rotation_vector
from retarget.solvers.weights import rest_posture
from retarget.solvers.whole_clip.banded import BandedSystem, TimeCoupling
from retarget.solvers.whole_clip.damping import UNMOVED, ActiveFrames, Damping
from retarget.solvers.whole_clip.factor import WindowedSystem
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
REST = 2.0
"""How often the frames of a step are thought to be solved after it, on average."""
CHUNK = 128
"""Frames assembled at once."""
WINDOW = 8192
"""Frames whose normal equations are in memory at once: 10 kB each for a robot of 29 joints."""
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
        window: int | None = None,
    ) -> None:
        """`window` frames are held at once, rounded up to a multiple of `CHUNK`; the result does
        not depend on it."""
        self.fps = fps
        self.window = -(-(window or WINDOW) // CHUNK) * CHUNK
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
        callback: Callable[[int, float], None] | None = None,
        in_place: bool = False,
    ) -> ClipState:
        """Improve `state` towards `objectives` (of T frames).

        Args:
            obstacles: what the pose must keep clear of.
            smooth: factor on the weights of accelerations.
            tolerance: rad; a frame is settled when it moves less.
            callback: called with (frames solved since the last call, how many more are guessed),
                once a window in every iteration.
            in_place: whether `state` itself is changed, which saves the memory of another.
        """
        if not in_place:
            state = replace(state, root=state.root.copy(), mat=state.mat.copy(),
                            joints=state.joints.copy())  # fmt: skip
        terms = Terms.of(objectives, self.tree, state.frames, self.window)
        damping = Damping.fresh(state, self.settings.damping, self.precision)
        active = ActiveFrames.whole(state.frames)
        unsettled = np.ones(state.frames, bool)
        reach = round(NEIGHBOURS * self.fps)
        # Small matrices: threads of the linear algebra library would only wait for each other.
        with threadpool_limits(1, user_api="blas"):
            for k in range(iterations):
                change = self.step(state, terms, active, obstacles, smooth, damping, callback)
                # What has not come to rest by then takes turns between two contacts: a little
                # unrest is better than no end.
                enough = tolerance * 2.0 ** max(0.0, (k - RELAX_AFTER) / 4.0)
                unsettled[active.frames] = change > enough
                if not unsettled.any():
                    break
                # A settled frame is left alone until a neighbour of it moves.
                active = ActiveFrames.around(unsettled, reach)
        return state

    def step(
        self,
        state: ClipState,
        terms: Terms,
        active: ActiveFrames,
        obstacles: Sequence[Obstacle],
        smooth: float,
        damping: Damping,
        callback: Callable[[int, float], None] | None = None,
    ) -> Array:
        """One Gauss-Newton step of some of the frames, in place; their largest changes [K], rad."""
        frames = active.frames
        windows = list(stretches(len(frames), self.window))
        lifted = np.zeros(len(frames), bool)
        poses: list[TreePose] = []

        def fill(k: int, blocks: Array, gradient: Array) -> TimeCoupling:
            window = windows[k]
            at = frames[window]
            poses[:] = self._assemble(state, terms, at, obstacles, damping, blocks, gradient)
            coupling = self._coupling(state, frames, window, smooth)
            damped = np.where(active.free[window], damping.value[at], UNMOVED)
            coupling.own[len(coupling.own) - len(at) :] += damped[:, None]
            return coupling

        def done(k: int, step: Array, filled: bool) -> None:
            at = frames[windows[k]]
            parts = list(stretches(len(at), CHUNK))
            if not filled:
                poses[:] = [self._pose(state.at(at[part])) for part in parts]
            for obstacle in obstacles:
                for part, pose in zip(parts, poses, strict=True):
                    here = slice(windows[k].start + part.start, windows[k].start + part.stop)
                    found = step[here].astype(float)
                    lifted[here] |= obstacle.after(self.tree, pose, at[part], found) > LIFTED
            if callback is not None:  # windows come from the last to the first
                callback(len(at), windows[k].start + REST * len(frames))

        if len(windows) > 1:
            system = WindowedSystem(windows, self.tree.num_dofs, self.precision)
            step = system.solve(fill, done)
        else:
            system = BandedSystem(len(frames), self.tree.num_dofs, self.precision, self._store)
            self._store = system.store
            step = system.solve(fill(0, system.blocks, system.gradient))
            done(0, step, True)
        return self._moved(state, active, windows, step, lifted, damping)

    def _assemble(
        self,
        state: ClipState,
        terms: Terms,
        frames: Array,
        obstacles: Sequence[Obstacle],
        damping: Damping,
        blocks: Array,
        gradient: Array,
    ) -> list[TreePose]:
        """Fill the `blocks` [K, n, n] and the `gradient` [K, n] of `frames`; their poses."""
        state, rows, held = state.at(frames), terms.at(frames), damping.held[:, frames]
        poses = []
        # In parts that stay in the processor's cache; the system itself spans all frames, so that
        # parts leave no seam.
        for part in stretches(len(frames), CHUNK):
            pose = self._pose(state.at(part))
            normal = NormalEquations(self.tree, pose)
            for term in rows:
                term.at(part).add(normal)
            self._joints(normal, state.joints[:, part], held[:, part])
            for obstacle in obstacles:
                obstacle(normal, pose, frames[part])
            normal.fill(blocks[part], gradient[part])
            poses.append(pose)
        return poses

    def _pose(self, state: ClipState) -> TreePose:
        return self.tree.pose(state.root, state.mat, state.joints)

    def _moved(
        self,
        state: ClipState,
        active: ActiveFrames,
        windows: Sequence[slice],
        step: Array,
        lifted: Array,
        damping: Damping,
    ) -> Array:
        """Take the `step` [K, n]; how far [K] rad every frame of it moves."""
        s, frames = self.settings, active.frames
        step[~active.free] = 0.0
        # Beyond `max_step` the linearisation is not to be trusted. One caught limb does not hold
        # up the clip, but its neighbours in time take as short a step, or the curve would kink.
        largest = np.abs(step[:, 3:]).max(axis=1).astype(float)
        damping.adapt(frames, step, s, windows)
        share = np.minimum(1.0, s.max_step / np.maximum(largest, 1e-9))
        if share.min() < 1.0:
            width = max(1, round(0.3 * self.fps))
            share = lowest(share, 2 * width + 1)
            share = mean(share, 2 * width + 1)
        moved = np.empty(len(frames))
        for window in windows:
            at = frames[window]
            here, found = state.at(at), step[window].astype(float)
            found *= share[window, None]
            turn = rotation_matrix(found[:, 3:6].T)
            wanted = here.joints + found[:, 6:].T
            joints = np.clip(wanted, self.lower, self.upper)
            damping.hold(at, wanted, joints, found[:, 6:].T)
            mat = np.einsum("ijt,jkt->ikt", turn, here.mat)
            state.put(at, ClipState(here.root + found[:, :3].T, mat, joints))
            change = np.abs(joints - here.joints).max(axis=0)
            moved[window] = np.maximum(change, np.abs(found[:, 3:6]).max(axis=1))
        return np.where(lifted & active.free, np.maximum(moved, LIFTED_CHANGE), moved)

    def _joints(self, normal: NormalEquations, q: Array, held: Array) -> None:
        s = self.settings
        normal.cost += kernels.joint_rows(
            normal.diagonal, normal.gradient, q, self.rest[:, 0], self.rest_weight[:, 0] ** 2,
            self.inner[0][:, 0], self.inner[1][:, 0], s.limit**2, held, s.held**2,
        )  # fmt: skip

    def _coupling(
        self, state: ClipState, frames: Array, window: slice, smooth: float
    ) -> TimeCoupling:
        """Coupling of a window of `frames` and of the two frames before it.

        Of the clip's rows on accelerations and steps those that touch the window are added: they
        reach two frames beyond it on either side.
        """
        begin, end = max(window.start - 2, 0), min(window.stop + 2, len(frames))
        part = state.at(frames[begin:end])
        coupling = TimeCoupling.empty(part.frames, self.tree.num_dofs)
        if part.frames < 2:
            return coupling
        turn = np.einsum("ijt,kjt->ikt", part.mat[..., 1:], part.mat[..., :-1])
        joint = np.diff(part.joints, axis=1)
        steps = np.concatenate([np.diff(part.root, axis=1), rotation_vector(turn), joint]).T
        coupling.accelerations(np.ascontiguousarray(steps), smooth * self.smoothness)
        over = np.abs(steps[:, 6:]) - self.step_limit
        if (over > 0).any():
            residual = np.zeros_like(steps)
            residual[:, 6:] = np.where(over > 0, np.sign(steps[:, 6:]) * over, 0.0)
            coupling.steps(residual, self.settings.speed * (residual != 0.0))
        return coupling.first(window.stop - begin)


@dataclass(frozen=True)
class Terms:
    """A clip's objectives, gathered for compiled loops: at once, or where the clip is longer than a
    window for the frames that are asked for."""

    objectives: Sequence[Objective]
    tree: BodyTree
    frames: int
    gathered: bool

    @classmethod
    def of(cls, objectives: Sequence[Objective], tree: BodyTree, frames: int, window: int) -> Terms:
        gathered = frames <= window
        rows = stacked(objectives, tree, frames) if gathered else objectives
        return cls(rows, tree, frames, gathered)

    def at(self, frames: Array) -> Sequence[Objective]:
        """The objectives of some of the frames."""
        if self.gathered and len(frames) == self.frames:
            return self.objectives
        rows = [each.at(frames) for each in self.objectives]
        return rows if self.gathered else stacked(rows, self.tree, len(frames))
