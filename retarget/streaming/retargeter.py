"""Retargeting of a live stream: one frame of a person in, one pose of the robot out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimic_base.errors import input_error
from mimic_base.resample import check_fps
from mimic_base.rotations import quat_conj, quat_exp, quat_log, quat_mul
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from motions import HumanMotion
from retarget.feet.plan import FootPlan
from retarget.objectives import Objective, stacked
from retarget.objectives.human import (
    direction_objectives,
    first_guess,
    followed,
    foot_objectives,
    root_objective,
)
from retarget.person.body_constants import BodyConstants
from retarget.person.calibration import CalibratedHuman, calibrate_with
from retarget.person.scaling import leg_scale, scaled_hips
from retarget.streaming.calibrator import Calibrator, CausalFill
from retarget.streaming.contacts import ContactTracker
from retarget.streaming.door import Conventions, Door
from retarget.streaming.foot_locking import FootLocking, step_within
from retarget.streaming.input_filter import InputFilter
from retarget.streaming.pose import RobotPose, waiting_pose
from retarget.streaming.settings import StreamSettings
from retarget.streaming.skeleton import HumanFrame, Skeleton, with_frame
from retarget.streaming.solver import LiveSolver
from retarget.streaming.terrain import GroundBelow, relative, tilted
from robots.constraints import off_limbs, satisfied
from robots.frames import robot_frames
from robots.robot import Robot
from robots.segments import SIDES


class StreamingRetargeter:
    """Retargets a person's movement frame by frame, without any delay of its own.

    Needs the source's `skeleton` and a constant frame rate. A calibration comes from the same
    code as a clip's (`retarget.person.body_constants`), out of

    - `calibration`, a clip of the same person on the same skeleton: a few seconds with knees and
      elbows bent once and both feet flat on the ground; or else
    - the stream's own first frames, as many as `StreamSettings.calibration_seconds` say. Until
      then the first frame's is used, in which the person should stand, knees and elbows a little
      bent; a standing rest pose of the skeleton (BVH's T-pose) makes that one nearly as good.

    In both cases a standing rest pose of the skeleton gives the neutral attitude of pelvis, chest,
    feet and hands. The robot stands on `ground`; how high the floor is for the person is learnt
    from the soles that rest, the first frame's to begin with. A person who walks on a
    `source_ground` stands on it where the floor would be; the robot then walks on it at its own
    size, unless `ground` says otherwise.

    Every pose keeps the joints' limits and, against the pose before, their speed limits. The
    state is the instance's own; the same frames give the same poses.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        robot: Robot,
        fps: float,
        *,
        calibration: HumanMotion | None = None,
        settings: StreamSettings | None = None,
        ground: Surface | None = None,
        source_ground: Surface | None = None,
        conventions: Conventions | None = None,
    ) -> None:
        """Raises `InputError` for a frame rate or a calibration clip that cannot be.

        `conventions` say what the frames are in, where that is not metres, z up, wxyz. Of a
        skeleton that no clip's reader has checked, frames are `waiting` until they can be a
        standing person's; `door` has the reason.
        """
        said = conventions or Conventions()
        raw = skeleton.rest_pos
        if raw is not None and said != Conventions():
            skeleton = replace(skeleton, rest_pos=said.rest(raw, skeleton))
        self._raw_rest, self._said = raw, said
        self.skeleton, self.robot = skeleton, robot
        self.fps = check_fps(fps, f"{skeleton.name}: fps")
        self.settings = settings or StreamSettings()
        if calibration is not None:
            _check_calibration(calibration, skeleton)
        self._calibration = calibration
        self.frames = robot_frames(robot)
        ik = self.settings.ik
        self._pointing = LiveSolver(robot, self.frames, self.fps, ik)
        self._whole = LiveSolver(robot, self.frames, self.fps, ik, ground or FLAT)
        self.ground, self.source_ground = ground, source_ground
        self._feet = [robot.model.body(name).id for name in robot.feet]
        self._hips = [robot.model.body(robot.human_map[f"{side}_hip"]).id for side in SIDES]
        points = [robot.model.body(name).id for name in robot.human_map.values()]
        self._passive = off_limbs(robot.model, points)
        self._legs = self._whole.tree.moves[self._feet, 6:].any(axis=0)
        self._turns = np.stack([turn.T for turn in self.frames.foot_turns])
        joints = len(skeleton.joint_names)
        quat = np.tile([1.0, 0.0, 0.0, 0.0], (2, joints, 1)) if skeleton.rotations else None
        self._clip = skeleton.clip(np.zeros((2, joints, 3)), quat, self.fps)
        self.reset()

    def reset(self) -> None:
        """Forget all frames; the next one is a first one again."""
        s = self.settings
        self.door = Door(self.skeleton, self._said, self._raw_rest)
        self._input = InputFilter(self.skeleton, self.fps, s)
        self._calibrator = Calibrator(self.skeleton, self.fps, s, self._calibration)
        self._fill = CausalFill(self.fps)
        self._feet_locked = FootLocking(self.frames, self.fps, s)
        self._below: GroundBelow | None = None
        self._below_source: GroundBelow | None = None
        if self.source_ground is not None:
            self._below_source = GroundBelow(self.source_ground, self.fps)
        if self.ground is not None and not self.ground.is_flat:
            self._below = GroundBelow(self.ground, self.fps)
        self._contacts: ContactTracker | None = None
        self._last: Array | None = None
        self._before: Array | None = None

    @property
    def body(self) -> BodyConstants | None:
        """The person's constants in use; None before the first frame."""
        return self._calibrator.body

    @property
    def calibrated(self) -> bool:
        """Whether the calibration is final."""
        return self._calibrator.done

    def step(self, frame: HumanFrame | None) -> RobotPose:
        """The robot's pose for the next frame; None (or numbers that are not finite) is a dropped
        one.

        Raises `InputError` for a frame of another skeleton, which leaves the state as it was.
        """
        taken = self._input.take(self.door.take(frame))
        if taken is None:
            return waiting_pose(self.robot)
        pos, quat, status = taken
        body = self._calibrator.update(pos, quat, usable=status == "ok")
        person = calibrate_with(with_frame(self._clip, pos, quat), body, self._fill)
        if self._contacts is None:
            self._contacts = ContactTracker(self.fps, person.leg_length, self.settings)
        person = self._on_ground(person, self._contacts)
        self._contacts.update(person.ball[0], person.heel[0])
        now = heading = None
        if self._last is not None:
            now = self._whole.data.xpos[self._feet]
            forward = self._turned(self._whole)[:, :, 0]
            heading = np.arctan2(forward[:, 1], forward[:, 0])
        plan = self._feet_locked.plan(person, self._contacts, heading)
        if self._below is not None:
            ball = self._feet_locked.robot_ball(person)
            self._below.update(ball, plan.confidence[0])
            plan = tilted(plan, self._below)
        ankle, turned, limbs = self._point(person, plan, self._contacts.ground.height)
        plan = self._feet_locked.reachable(plan, self._contacts, turned)
        root_quat = self._pointing.data.qpos[3:7]
        root, target = self._feet_locked.place(
            person, self._contacts, plan, ankle, root_quat, now, jump=status == "jump",
            below=self._below, hips=self._pointing.data.xpos[self._hips] - self._pointing.qpos[:3],
        )  # fmt: skip
        qpos = self._solve(person, plan, root, target, limbs)
        if self.robot.model.neq:
            qpos = satisfied(self.robot.model, qpos[None], self._passive)[0][0]
        return RobotPose(
            qpos[:3].copy(), qpos[3:7].copy(), qpos[7:].copy(), plan.confidence[0].copy(), status
        )

    def _on_ground(self, person: CalibratedHuman, contacts: ContactTracker) -> CalibratedHuman:
        """The person relative to the ground it walks on, where that is known."""
        if self._below_source is None:
            return person
        if self.ground is None:
            scaled = self._below_source.surface.scaled(leg_scale(person, self.frames))
            self.ground = scaled
            self._whole = LiveSolver(self.robot, self.frames, self.fps, self.settings.ik, scaled)
            self._below = None if scaled.is_flat else GroundBelow(scaled, self.fps)
        self._below_source.update(person.ball[0], contacts.confidence)
        return relative(person, self._below_source)

    def _point(
        self, person: CalibratedHuman, plan: FootPlan, ground: float
    ) -> tuple[Array, Array, Objective]:
        """Follow the directions of all segments.

        Returns the ankles [2, 3] m seen from the root, the feet's orientations [2, 3, 3], and the
        directions of all segments but the feet.
        """
        s, solver = self.settings, self._pointing
        segments = followed(person.segments, plan, self.frames)
        path = scaled_hips(person, self.frames, ground, plan.support)
        directions = direction_objectives(segments, self.robot, self.frames, s.ik.weights)
        feet = [each for each in directions if "_foot." in each.name]
        others = [each for each in directions if "_foot." not in each.name]
        limbs = stacked(others, solver.tree, 1)[0]
        objectives = [root_objective(self.robot, path, 1.0), limbs, *feet]
        rest, weight = solver.rest, solver.rest_weight
        if self._last is None:
            solver.put(first_guess(self.robot, person.segments["pelvis"], path[0]))
            solver.improve(objectives, rest, weight, s.warm_up)
        else:
            keep = np.sqrt(weight**2 + s.ik.keep**2)
            posture = (weight**2 * rest + s.ik.keep**2 * solver.qpos[7:]) / keep**2
            solver.improve(objectives, posture, keep, s.orientation_iterations)
        data = solver.data
        ankle = data.xpos[self._feet] - data.xpos[1]
        return ankle, self._turned(solver), limbs

    def _turned(self, solver: LiveSolver) -> Array:
        """Orientations [2, 3, 3] of a solver's feet, columns forward, left, up."""
        return solver.data.xmat[self._feet].reshape(2, 3, 3) @ self._turns

    def _solve(
        self,
        person: CalibratedHuman,
        plan: FootPlan,
        root: Array,
        ankle: Array,
        limbs: Objective,
    ) -> Array:
        """The whole pose [7 + J], within all limits and above the ground.

        `limbs` are the directions of all segments but the feet.
        """
        s, solver, last = self.settings, self._whole, self._last
        weights = s.ik.weights
        up, forward = weights.standing_foot
        standing = {}
        for i, side in enumerate(SIDES):
            standing[f"{side}_foot.primary"] = up * plan.flat[:, i]
            standing[f"{side}_foot.secondary"] = forward * plan.flat[:, i]
        feet = {f"{side}_foot": person.segments[f"{side}_foot"] for side in SIDES}
        segments = followed(feet, plan, self.frames)
        objectives = [
            root_objective(self.robot, root[None], weights.root),
            limbs,
            *direction_objectives(segments, self.robot, self.frames, weights, standing),
            *foot_objectives(plan, ankle[None], self.robot, self.frames, weights),
        ]
        guess = self._pointing.qpos
        guess[:3] = root
        if last is None:
            solver.put(guess)
            solver.improve(objectives, solver.rest, solver.rest_weight, s.warm_up, clear=True)
        else:
            step = solver.max_step
            wished = guess[7:].copy()
            if self._below is not None:
                # The pointing stage knows nothing of a ground at two heights: legs go on evenly.
                even = last if self._before is None else last + s.evenness * (last - self._before)
                wished[self._legs] = even[7:][self._legs]
            guess[7:] = np.clip(wished, last[7:] - step, last[7:] + step)
            guess[7:] = np.clip(guess[7:], solver.lower, solver.upper)
            solver.put(guess)
            posture, strong = self._posture(wished, last)
            solver.improve(
                objectives, posture, strong, s.position_iterations, previous=last[7:], clear=True
            )
        qpos = solver.qpos
        if last is not None:
            turned = _turned_within(last[3:7], qpos[3:7], s.root_turn_speed / self.fps)
            place = step_within(last[:3], qpos[:3], s.root_speed / self.fps)
            if not (np.array_equal(turned, qpos[3:7]) and np.array_equal(place, qpos[:3])):
                qpos[:3], qpos[3:7] = place, turned
                solver.put(qpos)
        depth = solver.depth()
        if depth > s.allowed_depth:
            qpos[2] += depth - s.allowed_depth
        self._before, self._last = last, qpos
        return qpos

    def _posture(self, wished: Array, last: Array) -> tuple[Array, Array]:
        """Angles [J] that joints are drawn to and how strongly: the rest posture, the last angles
        and an even movement."""
        s, ik, solver = self.settings, self.settings.ik, self._whole
        q = last[7:]
        even = q if self._before is None else q + s.evenness * (q - self._before[7:])
        squares = solver.rest_weight**2, ik.keep**2, s.bend**2
        total = squares[0] + squares[1] + squares[2]
        target = (squares[0] * solver.rest + squares[1] * q + squares[2] * even) / total
        # The pointing stage has found another way to hold the limb: go there, not back.
        far = np.abs(wished - q) > 1.5 * solver.max_step
        return np.where(far, wished, target), np.where(far, ik.catch_up, np.sqrt(total))


def _turned_within(before: Array, after: Array, most: float) -> Array:
    """`after` [4], or the turn from `before` towards it that is allowed (rad)."""
    cosine = float(after @ before)
    if cosine < 0.0:
        # Neighbours on the same side of the sphere, so that consumers may interpolate.
        after, cosine = -after, -cosine
    angle = 2.0 * float(np.arccos(min(1.0, cosine)))
    if angle <= most:
        return after
    turn = quat_log(quat_mul(after, quat_conj(before)))
    return quat_mul(quat_exp(turn * (most / angle)), before)


def _check_calibration(clip: HumanMotion, skeleton: Skeleton) -> None:
    if (clip.quat_w is not None) != skeleton.rotations:
        has = "positions only", "positions and rotations"
        raise input_error(
            clip.name,
            "the calibration clip has not what the stream has",
            found=has[clip.quat_w is not None],
            expected=has[skeleton.rotations],
            fix="record it with the same source",
        )
    if clip.joint_names != skeleton.joint_names or clip.parents != skeleton.parents:
        raise input_error(
            clip.name,
            "the calibration clip is of another skeleton than the stream",
            found=f"{len(clip.joint_names)} joints: {', '.join(clip.joint_names)}",
            expected=f"{len(skeleton.joint_names)} joints: {', '.join(skeleton.joint_names)}",
            fix="record it with the same source",
        )
