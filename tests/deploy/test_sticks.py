"""A policy that takes a velocity is steered by the sticks of the wireless remote."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic.cli import run
from mimic.deploy import session
from mimic.deploy.messages import NO_REMOTE, Remote, pressed, remote_bytes
from mimic.deploy.recorder import read_record
from mimic.deploy.replay import RECORD
from mimic.deploy.setup import SHIPPED_POLICY
from mimic.deploy.sticks import DEAD_ZONE, Steering, stick_bytes, sticks
from mimic_base.errors import MimicError
from tests.deploy.test_unitree_rl_lab import files

__all__ = ["files"]
STEERING = Steering((1.0, 0.5, 2.0))


def test_the_sticks_lie_where_unitree_says() -> None:
    """``xRockerBtnDataStruct``: head, buttons, then lx, rx, ry, L2, ly as floats."""
    told = b"\0\0" + struct.pack("<H5f", 1 << Remote.A, 0.1, 0.2, 0.3, 0.9, 0.4) + bytes(16)
    assert len(told) == 40 and pressed(told) == {Remote.A}
    shrunk = {name: (value - DEAD_ZONE) / (1 - DEAD_ZONE) for name, value in
              (("lx", 0.1), ("rx", 0.2), ("ry", 0.3), ("ly", 0.4))}  # fmt: skip
    assert sticks(told) == pytest.approx(shrunk, abs=1e-6)
    assert stick_bytes(remote_bytes(Remote.A), lx=0.1, rx=0.2, ry=0.3, ly=0.4) == (
        told[:16] + bytes(4) + told[20:]
    )


@pytest.mark.parametrize(
    ("pushed", "asked"),
    [
        ({}, (0.0, 0.0, 0.0)),
        ({"ly": 1.0}, (1.0, 0.0, 0.0)),
        ({"lx": 1.0}, (0.0, -0.5, 0.0)),
        ({"rx": -1.0}, (0.0, 0.0, 2.0)),
        ({"ry": 1.0}, (0.0, 0.0, 0.0)),
        ({"ly": -7.0}, (-1.0, 0.0, 0.0)),
        ({"ly": float("nan"), "rx": float("inf")}, (0.0, 0.0, 0.0)),
        ({"lx": DEAD_ZONE, "ly": -DEAD_ZONE}, (0.0, 0.0, 0.0)),
    ],
)
def test_what_the_sticks_ask_for(pushed: dict[str, float], asked: tuple[float, ...]) -> None:
    assert STEERING.velocity(stick_bytes(NO_REMOTE, **pushed)) == pytest.approx(asked, abs=1e-6)


def test_the_velocity_begins_at_zero_beyond_the_dead_zone_and_is_added() -> None:
    rest = Steering((1.0, 0.5, 2.0), (0.3, 0.0, 0.0))
    just = stick_bytes(NO_REMOTE, ly=DEAD_ZONE + 1e-4)
    assert 0.3 < rest.velocity(just)[0] < 0.301
    assert rest.velocity(stick_bytes(NO_REMOTE, ly=-1.0))[0] == pytest.approx(-0.7)
    for bad in ((-1.0, 0.0, 0.0), (float("nan"), 0.0, 0.0)):
        with pytest.raises(MimicError, match="velocit"):
            Steering(bad)


def test_a_steered_session_observes_the_sticks_and_replays_bit_by_bit(
    files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, described = files()
    before = session.RobotHandle.tell

    def pushing(self: Any, **told: Any) -> None:
        pushed = {"sticks": {"ly": 0.54, "rx": -1.0}} if told.get("release") else {}
        before(self, **told, **pushed)

    monkeypatch.setattr(session.RobotHandle, "tell", pushing)
    words = ["deploy", str(policy), "--describe", str(described), "--stick", "0.8", "0.2", "0.5"]
    out = tmp_path / "out"
    fast = ["--lock-step", "--command-hz", "50", "--seconds", "7", "--out", str(out)]
    assert run([*words, *fast]) in (0, 1)
    (folder,) = out.iterdir()
    record = read_record(folder / RECORD)
    seen = record.steps[record.steps["acted"] == 1]["observation"][:, 42:45]
    # The newest of five values, scaled by 1, 2, 3 and cut to the ranges of its commands.
    assert np.allclose(seen[0], 0.0) and np.allclose(seen[-1], [0.4, 0.0, 0.6], atol=1e-6)
    assert run(["deploy", "replay", str(folder)]) == 0


@pytest.mark.parametrize("option", ["--stick", "--velocity"])
def test_a_policy_that_takes_no_velocity_is_not_steered(option: str, tmp_path: Path) -> None:
    words = ["deploy", str(SHIPPED_POLICY), "--lock-step", option, "0.5", "0", "0"]
    with pytest.raises(MimicError, match=f"{option}: .* observes no velocity"):
        run([*words, "--out", str(tmp_path / "out")])
    assert not list(tmp_path.glob("out/*"))
