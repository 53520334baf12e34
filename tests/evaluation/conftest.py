from __future__ import annotations

import pytest
import torch

from mimic.benchmark.motion import squat
from motions import RobotMotion
from robots import Robot


@pytest.fixture(scope="session")
def short(g1: Robot) -> RobotMotion:
    """A third of a second of squatting: too short to fall under the reference's own targets."""
    return squat(g1, seconds=4.0).crop(0, 18)


class Follow:
    """Asks for the reference's joint positions, which stand first in the observation."""

    def __init__(self, robot: Robot) -> None:
        self.default = torch.tensor(robot.default_joint_pos, dtype=torch.float32)
        self.scale = torch.tensor(robot.action_scale, dtype=torch.float32)
        self.calls = 0

    def __call__(self, obs: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return (obs[:, : len(self.default)] - self.default) / self.scale


@pytest.fixture
def follow(g1: Robot) -> Follow:
    return Follow(g1)


@pytest.fixture
def jump() -> object:
    """A policy that throws the robot over."""
    return lambda obs: torch.full((len(obs), 29), 8.0)
