"""Ask the retargeter for more: a hand that stays at a place, a pelvis that stays low, a slope.

    python examples/12_objective.py

An objective is weighted least-squares rows on bodies; docs/objectives.md has the equations of those
there are. A kind of your own is a class with `name`, `at` and `add`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import robots
from mimic_base.surface import Slope
from motions.human import demo
from retarget import retarget
from retarget.objectives import Point
from retarget.solvers.normal import NormalEquations


@dataclass(frozen=True)
class StayBelow:
    """A body's origin stays under a height: r = max(z - most, 0), one row a frame."""

    name: str
    body: str
    most: float
    weight: float

    def at(self, frames: object) -> StayBelow:
        return self  # the same in every frame

    def add(self, normal: NormalEquations) -> None:
        pose, body = normal.pose, normal.tree.body(self.body)
        over = pose.pos[body, 2] + pose.root[2] - self.most
        on = self.weight * (over > 0.0)
        # After the body's twist (w, v): the velocity of its origin p is v + w x p.
        at, up = pose.pos[body], np.array([0.0, 0.0, 1.0])[:, None] + 0.0 * pose.pos[body]
        row = np.concatenate([np.cross(at, up, axis=0), up])
        normal.rows(body, (on * row)[None], (on * over)[None])


def main() -> None:
    human, robot = demo.generate("wave"), robots.load("unitree_g1")
    plain = retarget(human, robot, fps=30.0)
    frames, hand = plain.num_frames, robot.body_names.index("left_wrist_yaw_link")

    # The left hand shall rest on a shelf in front of the robot, the whole clip long.
    shelf = np.array([0.3, 0.25, 0.9])
    rest = Point(
        name="shelf", body="left_wrist_yaw_link", point=np.zeros(3), target=shelf, weight=20.0
    )
    low = StayBelow(name="low", body="pelvis", most=0.70, weight=60.0)
    motion = retarget(human, robot, fps=30.0, objectives=[rest, low])
    off = np.linalg.norm(motion.body_pos_w[:, hand] - shelf, axis=1)
    before = np.linalg.norm(plain.body_pos_w[:, hand] - shelf, axis=1)
    print(f"hand off its place: {100 * before.mean():.0f} cm before, {100 * off.mean():.1f} cm now")
    print(f"pelvis at most {motion.body_pos_w[:, 0, 2].max():.2f} m, {frames} frames")

    # On another ground: feet, contacts and obstacles follow the surface.
    hill = retarget(demo.generate("walk"), robot, fps=30.0, ground=Slope(along_x=0.1))
    climb = hill.body_pos_w[-1, 0, 2] - hill.body_pos_w[0, 0, 2]
    print(f"the walk climbs {climb:.2f} m")


if __name__ == "__main__":
    main()
