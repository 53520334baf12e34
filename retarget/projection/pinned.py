"""The base moved while the feet stay: legs solved again by the whole-clip solver."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from mimic_base.rotations import quat_rotate, quat_to_matrix, slerp
from mimic_base.vectors import Array
from motions import RobotMotion
from motions.robot.dynamics.inverse import coordinates
from retarget.objectives import Direction, Objective, Point
from retarget.solvers.weights import bodies_between
from retarget.solvers.whole_clip.obstacles import Ground, OwnBody
from retarget.solvers.whole_clip.settings import ClipSettings
from retarget.solvers.whole_clip.solver import ClipSolver
from retarget.solvers.whole_clip.state import ClipState
from robots.frames import RobotFrames, robot_frames
from robots.kinematics import forward_kinematics
from robots.robot import Robot
from robots.segments import SEGMENTS, SIDES

ITERATIONS = 30
FOOT, ROOT, HEIGHT = 150.0, 60.0, 6.0
"""Weights per metre: of the feet's points, of the base's place and of its height. A leg that is
straight already lets the base down."""
LEG, OTHER = 0.2, 6.0
"""Weights per radian of the directions of thighs and shanks, and of all other segments."""
FADE = 0.25
"""s over which the change goes to nothing beside a shift."""


class PinnedFeet:
    """Moves the base of one motion to where it is told, again and again."""

    def __init__(self, motion: RobotMotion, robot: Robot) -> None:
        self.fps = motion.fps
        self.qpos = coordinates(motion.root_pos, motion.root_quat, motion.joint_pos)
        self.robot, self.frames = robot, robot_frames(robot)
        pos, quat = forward_kinematics(robot, motion.root_pos, motion.root_quat, motion.joint_pos)
        self.root, self.objectives = pos[:, 0], _as_it_is(robot, pos, quat, self.frames)
        self.solver = ClipSolver(robot, self.frames, motion.fps, ClipSettings())
        self.legs = _leg_joints(robot)

    def moved(self, shift: Array, most: float, most_turn: float) -> Array:
        """qpos [T, 7 + J] with the base moved by `shift` [T, 2] m as far as the legs allow.

        Arms and trunk keep their angles. Every frame's base moves by at most `most` m in all and
        every leg joint by at most `most_turn` rad: where more comes out, the whole change is
        scaled down.
        """
        path = self.root.copy()
        path[:, :2] += shift
        weight = np.broadcast_to([ROOT, ROOT, HEIGHT], path.shape)
        root = Point(
            name="root",
            body=self.robot.body_names[0],
            point=np.zeros(3),
            target=path,
            weight=weight,
        )
        qpos, fps = self.qpos, self.fps
        mat = np.moveaxis(quat_to_matrix(qpos[:, 3:7]), 0, -1)
        start = ClipState(path.T.copy(), mat, qpos[:, 7:].T.copy())
        frames = len(qpos)
        state = self.solver.solve(
            start,
            [root, *self.objectives],
            ITERATIONS,
            obstacles=(Ground(self.robot, frames), OwnBody(self.robot)),
        )
        solved = state.qpos()
        change = solved - qpos
        change[:, 7:][:, ~self.legs] = 0.0
        near = maximum_filter1d(np.abs(shift).max(axis=1), 2 * round(FADE * fps) + 1) > 1e-6
        fade = uniform_filter1d(near.astype(float), 2 * round(0.5 * FADE * fps) + 1)
        change *= fade[:, None]
        far = np.linalg.norm(change[:, :3], axis=1).max() / most
        turned = np.abs(change[:, 7:]).max() / most_turn
        share = 1.0 / max(1.0, far, turned) * (1.0 - 1e-9)
        result = qpos + share * change
        result[:, 3:7] = slerp(qpos[:, 3:7], solved[:, 3:7], share * fade)
        return result


def _leg_joints(robot: Robot) -> Array:
    """[J] bool: joints between the base and the feet."""
    model = robot.model
    legs = np.zeros(robot.num_joints, bool)
    for side in SIDES:
        foot = model.body(robot.human_map[f"{side}_ankle"]).id
        for body in bodies_between(model, 1, foot):
            first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
            legs[[joint - 1 for joint in range(first, first + count) if joint > 0]] = True
    return legs


def _as_it_is(robot: Robot, pos: Array, quat: Array, frames: RobotFrames) -> list[Objective]:
    """Objectives that are met already by bodies at `pos` [T, B, 3], turned by `quat` [T, B, 4]."""
    result: list[Objective] = []
    for name in SEGMENTS:
        if name in frames.rigid:
            continue
        link = frames.links[name]
        weight = LEG if name.endswith(("thigh", "shank")) else OTHER
        for kind, axis in (("primary", link.primary), ("secondary", link.secondary)):
            target = quat_rotate(quat[:, link.body - 1], axis)
            body = robot.body_names[link.body - 1]
            result.append(
                Direction(name=f"{name}.{kind}", body=body, axis=axis, target=target, weight=weight)
            )
    for i, side in enumerate(SIDES):
        body = frames.links[f"{side}_foot"].body - 1
        for part, local in (
            ("ankle", np.zeros(3)), ("ball", frames.ball[i]), ("heel", frames.heel[i])
        ):  # fmt: skip
            place = frames.foot_turns[i].T @ local
            target = pos[:, body] + quat_rotate(quat[:, body], place)
            result.append(
                Point(
                    name=f"{side}_foot.{part}", body=robot.body_names[body], point=place,
                    target=target, weight=FOOT,
                )
            )  # fmt: skip
    return result
