from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import robots
from mimic.benchmark.motion import squat
from mimic.cli import run
from mimic_base.command_line import exit_on_user_error

Mimic = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mimic(capfd: pytest.CaptureFixture[str]) -> Mimic:
    """Run ``mimic ARGUMENTS`` in this process; returns exit code, output and errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            exit_on_user_error(lambda: run([str(each) for each in arguments]))
        out, err = capfd.readouterr()
        return int(leaving.value.code or 0), out, err

    return call


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of a second of squatting as a motion file."""
    path = tmp_path_factory.mktemp("motions") / "squat.npz"
    squat(robots.load("unitree_g1"), seconds=4.0).crop(0, 18).save(path)
    return path
