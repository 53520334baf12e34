"""Geom types have one place, and are the numbers that compiled models hold."""

from __future__ import annotations

import re
from pathlib import Path

import mujoco
import pytest

from robots import geom_types

REPO = Path(__file__).resolve().parents[2]
NAMES = ("plane", "sphere", "capsule", "ellipsoid", "cylinder", "box")


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_model_holds_these_numbers(name: str) -> None:
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><worldbody><geom type="{name}" size="1 1 1"/></worldbody></mujoco>'
    )
    assert model.geom_type[0] == getattr(geom_types, name.upper())


def test_a_mesh_too() -> None:
    spec = mujoco.MjSpec()
    spec.add_mesh(name="m", uservert=[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1])
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="m")
    assert spec.compile().geom_type[0] == geom_types.MESH


def test_they_are_written_down_once() -> None:
    number = re.compile(r"int\(mujoco\.mjtGeom")
    files = [path for folder in ("robots", "retarget") for path in (REPO / folder).rglob("*.py")]
    assert [p.name for p in files if number.search(p.read_text())] == ["geom_types.py"]
