"""What the tests of several engines share."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import robots
from mimic.sim.choice import missing_packages
from mimic.sim.scene import Scene, make_scene
from robots import Robot

TINY = Path(__file__).parents[1] / "robots"
BOX_FOOT = """type = "box"
group = "foot"
size = [0.1, 0.04, 0.02]
points = [[0.03, 0.0, -0.03]]"""
BALL_FOOT = """type = "sphere"
group = "foot"
size = [0.01]
points = [
    [-0.06, 0.035, -0.04], [-0.06, -0.035, -0.04], [0.12, 0.035, -0.04], [0.12, -0.035, -0.04],
]"""


def needs(engine: str) -> pytest.MarkDecorator:
    """Skip where an engine's extra is not installed."""
    absent = missing_packages(engine)
    reason = f"{' and '.join(absent)} not installed: pip install -e '.[{engine}]'"
    return pytest.mark.skipif(bool(absent), reason=reason)


def ball_footed(folder: Path) -> Robot:
    """The tiny robot on four balls a foot, as the G1 stands: colliders that all engines share."""
    text = (TINY / "tiny.toml").read_text()
    assert BOX_FOOT in text
    (folder / "tiny.toml").write_text(text.replace(BOX_FOOT, BALL_FOOT))
    (folder / "tiny.xml").write_text((TINY / "tiny.xml").read_text())
    return robots.load(folder / "tiny.toml")


def converged_scene(robot: Robot) -> Scene:
    """A scene whose contact solver runs until nothing changes, so that engines can be compared.

    With the shipped few iterations the last digits of a solution belong to the solver, not to the
    physics.
    """
    scene = make_scene(robot)
    model = copy.copy(scene.model)
    model.opt.iterations, model.opt.ls_iterations = 50, 50
    model.opt.tolerance = 1e-8
    return dataclasses.replace(scene, model=model)


def standing(robot: Robot, count: int, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Default pose on the ground [count, 7 + J] at rest [count, 6 + J], joints perturbed (rad).

    0.1 mm into the ground: exactly on it, rounding would decide whether there is a contact in the
    first physics step, and engines would part there by as much as that contact pushes.
    """
    rng = np.random.default_rng(3)
    qpos = np.zeros((count, 7 + robot.num_joints))
    qpos[:, 2], qpos[:, 3] = robot.default_root_height - 1e-4, 1.0
    qpos[:, 7:] = robot.default_joint_pos
    qpos[:, 7:] += noise * rng.uniform(-1, 1, (count, robot.num_joints))
    return torch.tensor(qpos, dtype=torch.float32), torch.zeros(count, 6 + robot.num_joints)


def wandering_targets(robot: Robot, count: int, steps: int, size: float) -> torch.Tensor:
    """[steps, count, J] joint targets: the default pose and a slow sway of up to ``size`` rad."""
    rng = np.random.default_rng(5)
    phase = rng.uniform(0, 2 * np.pi, (1, count, robot.num_joints))
    time = np.arange(steps)[:, None, None] * 0.02
    sway = size * np.sin(2 * np.pi * 0.7 * time + phase)
    return torch.tensor(robot.default_joint_pos + sway, dtype=torch.float32)
