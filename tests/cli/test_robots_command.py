"""``mimic robots``: the list, and adding a robot of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic.cli import run
from tests.robots.stick_urdf import urdf


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    path = tmp_path / "stick.urdf"
    path.write_text(urdf(mesh="package://stick/base.stl"))
    return path


def test_add_reports_guesses_and_files(
    stick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "mine.toml", tmp_path / "look.png"
    arguments = ["robots", "add", str(stick), "--out", str(out), "--picture", str(picture)]
    assert run([*arguments, "--name", "mine"]) == 0
    printed = capsys.readouterr().out
    assert out.is_file() and picture.is_file()
    assert 'name = "mine"' in out.read_text()
    assert "1 mesh files are absent or neither STL, OBJ nor MSH (base)" in printed
    assert "mine: 21 joints" in printed and "knees" in printed and "0.95" in printed
    assert f"--robot {out}" in printed


def test_list_names_every_robot(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["robots"]) == 0
    plain = capsys.readouterr().out
    for name in ("unitree_g1", "unitree_g1_23dof", "unitree_h1", "booster_t1", "robotis_op3"):
        assert name in plain
    assert "apptronik_apollo" in plain and "mimic robots add FILE" in plain
    assert run(["robots", "list"]) == 0
    assert capsys.readouterr().out == plain


def test_bad_file_is_one_line_and_exit_code_2(mimic, tmp_path: Path) -> None:
    bad = tmp_path / "bad.xml"
    bad.write_text("<mujoco>")
    code, _, err = mimic("robots", "add", bad, "--out", tmp_path / "bad.toml")
    assert code == 2
    assert err.count("\n") == 1 and err.startswith("error: ") and "bad.xml" in err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.xml"]
