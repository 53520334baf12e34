"""What MuJoCo and Qhull remark on a robot's model is told in lines of ours, not theirs."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import mujoco
import pytest

from robots.derive.add import add_robot
from robots.heard import MOST, heard
from tests.robots.stick_urdf import urdf

NARROW = "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0.1 0.1 1e-9\nf 1 2 3\nf 2 4 3\nf 1 3 4\nf 1 4 2\n"
"""A mesh that is nearly flat: Qhull warns of it."""
FALLING = "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"


def test_all_ways_of_warning_are_heard_and_nothing_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = mujoco.MjModel.from_xml_string(FALLING)
    data = mujoco.MjData(model)
    with heard() as lines:
        data.qpos[0] = float("nan")
        mujoco.mj_step(model, data)
        warnings.warn("a mesh is\nodd. It has reasons.", stacklevel=1)
        os.write(2, b"QH7089 qhull precision warning: The hull is narrow.  Is it flat\n(a)?\n")
        os.write(2, b"QH7089 qhull precision warning: The hull is narrow.  Is it flat\n(b)?\n")
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())
    assert lines[0].startswith("Nan, Inf or huge value in QPOS at DOF 0")
    assert lines[1:] == ["a mesh is odd", "qhull precision warning: The hull is narrow"]
    # Afterwards everything is as it was.
    os.write(2, b"back\n")
    assert capfd.readouterr().err == "back\n"


def test_a_flood_is_cut_and_an_error_goes_through(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="mine"), heard() as lines:
        for number in range(MOST + 3):
            os.write(2, f"WARNING: number {number} {'x' * 300}\n".encode())
        raise ValueError("mine")
    assert len(lines) == MOST + 1 and lines[-1] == "and 3 more"
    assert max(map(len, lines)) <= 160 and capfd.readouterr().err == ""


def test_adding_a_robot_tells_what_mujoco_warns_of(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flat.obj").write_text(NARROW)
    model = tmp_path / "stick.urdf"
    text = urdf(mesh=str(tmp_path / "flat.obj"))
    model.write_text(text.replace("visual>", "collision>"))
    capfd.readouterr()
    added = add_robot(model, out=tmp_path / "stick.toml")
    assert any("hull is narrow" in line for line in added.warnings)
    assert capfd.readouterr() == ("", "")
