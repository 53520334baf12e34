from __future__ import annotations

from pathlib import Path

import pytest

import robots
from mimic.sim.scene import Scene, make_scene
from robots import Robot

TINY = Path(__file__).parents[1] / "robots" / "tiny.toml"


@pytest.fixture(scope="session")
def g1() -> Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="session")
def tiny() -> Robot:
    return robots.load(TINY)


@pytest.fixture(scope="session")
def g1_scene(g1: Robot) -> Scene:
    return make_scene(g1)


@pytest.fixture(scope="session")
def tiny_scene(tiny: Robot) -> Scene:
    return make_scene(tiny)
