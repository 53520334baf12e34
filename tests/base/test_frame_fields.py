"""The six arrays of a frame are listed once, and all who hold them agree on it."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

from mimic.policy.observations import Reference
from mimic_base.frame_fields import BODY_FIELDS, FRAME_FIELDS, JOINT_FIELDS, frame_shapes

REPO = Path(__file__).resolve().parents[2]


def test_shapes_by_name() -> None:
    shapes = frame_shapes(7, 3, 2)
    assert tuple(shapes) == FRAME_FIELDS == JOINT_FIELDS + BODY_FIELDS
    assert shapes["joint_vel"] == (7, 3)
    assert shapes["body_quat_w"] == (7, 2, 4) and shapes["body_ang_vel_w"] == (7, 2, 3)


def test_arrays_come_back_in_the_listed_order() -> None:
    arrays = {name: np.zeros(shape) for name, shape in frame_shapes(4, 3, 2).items()}
    reference = Reference(**arrays)
    assert tuple(reference.frame_fields()) == FRAME_FIELDS
    assert reference.frame(9).frame_fields()["body_pos_w"].shape == (2, 3)


def test_no_module_lists_them_again() -> None:
    """A tuple or list of all six names stands in one module only."""
    again = []
    for package in ("mimic_base", "motions", "robots", "retarget", "mimic"):
        for path in (REPO / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Tuple(elts=items) | ast.List(elts=items):
                        texts = {i.value for i in items if isinstance(i, ast.Constant)}
                        if set(FRAME_FIELDS) <= texts:
                            again.append(str(path.relative_to(REPO)))
                    case _:
                        pass
    assert not again
