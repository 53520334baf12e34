from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import robots
from robots import Robot

HERE = Path(__file__).parent
Writer = Callable[..., Path]


@pytest.fixture(scope="session")
def g1() -> Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="session")
def tiny() -> Robot:
    return robots.load(HERE / "tiny.toml")


@pytest.fixture
def write_tiny(tmp_path: Path) -> Writer:
    """Write the tiny robot with a text replaced in its description or model; returns the TOML."""

    def write(toml: tuple[str, str] = ("", ""), xml: tuple[str, str] = ("", "")) -> Path:
        for name, (old, new) in (("tiny.toml", toml), ("tiny.xml", xml)):
            text = (HERE / name).read_text()
            assert old in text
            (tmp_path / name).write_text(text.replace(old, new) if old else text)
        return tmp_path / "tiny.toml"

    return write
