from __future__ import annotations

import pytest

from mimic.sim.scene import Scene, make_scene
from robots import Robot


@pytest.fixture(scope="session")
def g1_scene(g1: Robot) -> Scene:
    return make_scene(g1)


@pytest.fixture(scope="session")
def tiny_scene(tiny: Robot) -> Scene:
    return make_scene(tiny)
