"""Feet and root of one frame after another: what `retarget.feet.plan` and `fit_root` do for a clip.

A foot that begins to stand gets a footprint where it lands; footprints pull the root, and the
root carries the source's own movement. All of it looks back only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimic_base.rotations import cross, quat_rotate
from mimic_base.vectors import Array, smoothstep
from retarget.feet.plan import FLAT_DEG, STANDING_UP, FootPlan, footprint_offsets, level_foot
from retarget.feet.terrain import sole_height
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import leg_scale, scaled_hips
from retarget.solvers.tree import rotation_matrix, rotation_vector
from retarget.streaming.contacts import ContactTracker
from retarget.streaming.settings import StreamSettings
from retarget.streaming.solver import WALL
from retarget.streaming.terrain import GroundBelow, highest_hip, within_reach
from robots.frames import RobotFrames
from robots.segments import SIDES


class FootLocking:
    """Keeps footprints and the root's path."""

    def __init__(self, frames: RobotFrames, fps: float, settings: StreamSettings) -> None:
        self.frames, self.fps, self.settings = frames, fps, settings
        contact_hz = min(settings.root.contact_hz / fps, 0.45)
        self._own = 1.0 / (2.0 * np.sin(np.pi * contact_hz)) ** 2
        self._carry = np.exp(-1.0 / (settings.carry_seconds * fps))
        self._heading = np.zeros(2)
        self._source_heading = np.zeros(2)
        self._aside = np.zeros(2)
        self._standing = np.zeros(2, bool)
        self._print = np.zeros((2, 2))
        self._source = np.zeros((2, 2))
        self._error = np.zeros((2, 3))
        self._level = np.tile(np.eye(3), (2, 1, 1))
        self._path: Array | None = None
        self._root = np.zeros(3)
        self._astray = np.zeros(3)
        self._sunk = 0.0

    def plan(
        self, person: CalibratedHuman, contacts: ContactTracker, now: Array | None
    ) -> FootPlan:
        """What both feet shall do in this frame (one frame's `FootPlan`), not flattened yet.

        `now` [2] rad are the headings of the robot's feet, None before its first pose.
        """
        tracks = [person.segments[f"{side}_foot"] for side in SIDES]
        up = np.concatenate([track.primary for track in tracks])
        forward = np.concatenate([track.secondary for track in tracks])
        pitch = np.arcsin(np.clip(forward[:, 2], -1.0, 1.0))
        raised = smoothstep(np.abs(pitch), *np.radians(FLAT_DEG))
        upright = smoothstep(up[:, 2], *STANDING_UP)
        confidence = smoothstep(contacts.confidence, 0.0, 1.0) * upright
        heading = np.arctan2(forward[:, 1], forward[:, 0])
        held = self._standing & contacts.standing
        # A foot that comes down stands as the robot has it, and turns on only as far as its
        # source strays from where that was then.
        strayed = np.angle(np.exp(1j * (heading - self._source_heading)))
        play = np.radians(self.settings.pivot_deg)
        follow = np.where(held, strayed - np.clip(strayed, -play, play), 0.0)
        begins = contacts.standing & ~self._standing
        landed = heading if now is None else now
        start = np.where(begins, landed, heading)
        self._heading = np.where(held, self._heading + follow, start)
        self._source_heading = np.where(held, self._source_heading + follow, heading)
        flat = confidence * (1.0 - raised)
        self._level = level_foot(self._heading, follow * self.fps)
        source = np.stack([forward, cross(up, forward), up], axis=-1)
        return FootPlan(
            source[None],
            self._heading[None].copy(),
            confidence[None],
            flat[None],
            smoothstep(-pitch, *np.radians((-2.0, 2.0)))[None],
            np.stack([confidence, confidence], axis=-1)[None],
            (),
            (),
        )

    def robot_ball(self, person: CalibratedHuman) -> Array:
        """About where the balls [2, 3] m of the robot's feet are, with what it has strayed by."""
        return leg_scale(person, self.frames) * person.ball[0] + self._astray

    def reachable(self, plan: FootPlan, contacts: ContactTracker, turned: Array) -> FootPlan:
        """The plan with feet that are not held flat as `turned` [2, 3, 3], which the robot can do.

        A foot that stands keeps its heading from the moment it lands, flat or not, and finds back
        when it has left.
        """
        tilt = None if plan.tilt is None else plan.tilt[0]
        if tilt is not None:
            turned = np.swapaxes(tilt, -1, -2) @ turned
        aside = self._heading - np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
        aside = np.angle(np.exp(1j * aside))
        self._aside = np.where(contacts.standing, aside, self._carry * self._aside)
        c, s = np.cos(self._aside)[:, None], np.sin(self._aside)[:, None]
        swing = turned.copy()
        swing[:, 0] = c * turned[:, 0] - s * turned[:, 1]
        swing[:, 1] = s * turned[:, 0] + c * turned[:, 1]
        matrix = held_flat(swing, self._level, plan.flat[0])
        return replace(plan, matrix=(matrix if tilt is None else tilt @ matrix)[None])

    def place(
        self,
        person: CalibratedHuman,
        contacts: ContactTracker,
        plan: FootPlan,
        ankle: Array,
        root_quat: Array,
        now: Array | None,
        *,
        jump: bool,
        below: GroundBelow | None = None,
        hips: Array | None = None,
    ) -> tuple[Array, Array]:
        """The root [3] m and the ankles [2, 3] m of this frame.

        Args: `ankle` [2, 3] m seen from the root and `root_quat` [4], from the orientations
        alone; `now` [2, 3] m where the robot's ankles are, None before its first pose; `jump`: the
        source is elsewhere, which is no movement; where the robot's ground is not flat what is
        `below` it, and its `hips` [2, 3] m seen from the root.
        """
        s = self.settings
        path = scaled_hips(person, self.frames, contacts.ground.height, plan.support)[0]
        path = path - quat_rotate(root_quat, self.frames.hips)
        first = self._path is None
        moved = np.zeros(3) if self._path is None else path - self._path
        self._path = path
        if first:
            self._root = path.copy()
        if jump:
            moved[:2] = 0.0
        ball = leg_scale(person, self.frames) * person.ball[0, :, :2]
        offset = footprint_offsets(plan, self.frames)[0]
        confidence = plan.confidence[0]
        standing = contacts.standing & (confidence > 0.0)

        guess = self._root + moved
        seen = guess + ankle - offset
        begins = standing & ~self._standing
        fresh = begins | jump
        # It stands where the robot has put it, not where it should be on its way to: a foot that
        # is pulled on when it has landed slides.
        landed = seen if now is None else now - offset
        self._print[fresh], self._source[fresh] = landed[fresh, :2], ball[fresh]
        self._standing = standing
        stray = ball - self._source
        length = np.sqrt((stray * stray).sum(axis=1, keepdims=True))
        slide = stray * np.maximum(0.0, 1.0 - s.slide / np.maximum(length, 1e-9))
        self._print += slide
        self._source += slide

        place = np.concatenate([self._print, self._print_height(plan)], axis=1)
        weight = np.where(standing, confidence, 0.0)
        pull = (weight[:, None] * (place - seen)).sum(axis=0)
        # In height the source's own ground is known: what no foot corrects returns to it.
        drift = np.array([0.0, 0.0, 0.05 * self._own])
        pull = pull + drift * (path - guess)
        root = guess + pull / (weight.sum() + self._own + drift)
        if first:
            root = guess
        self._root = root if first else step_within(self._root, root, s.root_speed / self.fps)

        wanted = self._root + ankle
        if below is not None:
            wanted[:, 2] += below.lifts(self._soles(wanted, plan), standing)
        error = place + offset - wanted
        # On the ground at once, upright and at its height as it comes to stand firmly.
        firm = confidence * standing
        held = np.stack([standing * 1.0, standing * 1.0, firm], axis=1)
        self._error = held * error + (1.0 - held) * self._carry * self._error
        target = wanted + self._error
        self._astray = np.append((self._root - path)[:2], 0.0)
        if below is not None and hips is not None:
            return self._over_terrain(target, plan, standing, below, hips)
        for i in (0, 1):
            lowest = (self.frames.soles[i] @ plan.matrix[0, i, 2]).min()
            target[i, 2] = max(target[i, 2], -lowest)
        return self._root.copy(), target

    def _over_terrain(
        self, target: Array, plan: FootPlan, standing: Array, below: GroundBelow, hips: Array
    ) -> tuple[Array, Array]:
        """Root [3] m and ankles [2, 3] m with soles over the ground and feet within reach."""
        leg = self.frames.leg_length
        for i, points in enumerate(self._soles(target, plan)):
            depth = -float(below.surface.clearance(points).min())
            target[i, 2] += depth if 0.0 < depth < WALL else 0.0
        root = self._root.copy()
        # Feet that stand draw the root down to where their legs reach them, the others follow it.
        for i in np.flatnonzero(standing):
            room = highest_hip(root + hips[i], target[i], leg) - (root + hips[i])[2]
            root[2] += min(room, 0.0)
        self._sunk += 0.25 * (root[2] - self._root[2] - self._sunk)
        root[2] = self._root[2] + self._sunk
        for i in np.flatnonzero(~standing):
            target[i] = within_reach(root + hips[i], target[i], leg)
        return root, target

    def _soles(self, ankle: Array, plan: FootPlan) -> list[Array]:
        """Sole points [K, 3] m of both feet at their `ankle` [2, 3] m."""
        return [ankle[i] + self.frames.soles[i] @ plan.matrix[0, i].T for i in (0, 1)]

    def _print_height(self, plan: FootPlan) -> Array:
        """Heights [2, 1] m at which the footprints lie."""
        if plan.tilt is None:
            return np.zeros((2, 1))
        return np.array([
            sole_height(
                plan.ground, self._print[i : i + 1], self._heading[i : i + 1], plan.tilt[:, i],
                self.frames.soles[i] - self.frames.ball[i],
            )
            for i in (0, 1)
        ])  # fmt: skip


def step_within(before: Array, after: Array, reach: float) -> Array:
    """`after` [3], or the place on the way there from `before` that is `reach` m from it."""
    step = after - before
    size = float(np.sqrt(step @ step))
    return after if size <= reach else before + step * (reach / size)


def held_flat(swing: Array, level: Array, flat: Array) -> Array:
    """Orientations [2, 3, 3] from `swing` (where `flat` [2] is 0) to `level` (where it is 1)."""
    turn = level @ swing.transpose(0, 2, 1)
    part = flat * rotation_vector(turn.transpose(1, 2, 0))
    return rotation_matrix(part).transpose(2, 0, 1) @ swing
