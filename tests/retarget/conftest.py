"""Small human clips for the tests, made by the project's own generator."""

from __future__ import annotations

import pytest

import robots
from motions import HumanMotion
from robots.robot import Robot
from tests.retarget.helpers import demo_clip


@pytest.fixture(scope="session")
def robot() -> Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="session")
def squat() -> HumanMotion:
    """Half a squat, 30 frames/s."""
    return demo_clip("squat", 40, 130, 2)


@pytest.fixture(scope="session")
def walk() -> HumanMotion:
    """Two steps of a walk, 30 frames/s."""
    return demo_clip("walk", 120, 220, 2)
