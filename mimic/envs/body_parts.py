"""Which joints and bodies of a robot are its legs, its upper body, its hands: by its own tree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robots import Robot


def leg_joints(robot: Robot) -> NDArray[np.bool_]:
    """[J] whether a joint lies between a foot and the floating base; all others, the waist
    included, are the upper body's (as in ExBody, arXiv 2402.16796)."""
    model = robot.model
    bodies = set()
    for foot in robot.feet:
        body = model.body(foot).id
        while body != 0:
            bodies.add(body)
            body = int(model.body_parentid[body])
    of_joint = [int(model.jnt_bodyid[model.joint(name).id]) for name in robot.joint_names]
    return np.array([body in bodies for body in of_joint])


def hands(robot: Robot) -> tuple[str, str] | None:
    """The left and the right wrist; None where they are not among the robot's key bodies."""
    left, right = (robot.human_map.get(f"{side}_wrist", "") for side in ("left", "right"))
    return (left, right) if {left, right} <= set(robot.key_bodies) else None


def upper_key_bodies(robot: Robot) -> tuple[str, ...]:
    """The key bodies that hang on the base by joints of the upper body, in their order."""
    model, legs = robot.model, leg_joints(robot)
    upper = {
        int(model.jnt_bodyid[model.joint(name).id])
        for name, leg in zip(robot.joint_names, legs, strict=True)
        if not leg
    }

    def above(name: str) -> bool:
        body = model.body(name).id
        while body != 0:
            if body in upper:
                return True
            body = int(model.body_parentid[body])
        return False

    return tuple(name for name in robot.key_bodies if above(name))
