"""Damping is reachable from every mode, and left by a reset alone."""

from __future__ import annotations

import pytest

from mimic.deploy.modes import ACTIVE, FOLLOWERS, Mode, ModeMachine

WAY = (Mode.PASSIVE, Mode.STAND, Mode.READY, Mode.TRACK, Mode.HOLD)


def machine_in(mode: Mode) -> ModeMachine:
    machine = ModeMachine()
    way = WAY if mode in WAY else (mode,) if mode != Mode.DISCONNECTED else ()
    for each in way:
        assert machine.go(each, 1.0)
        if each == mode:
            break
    return machine


@pytest.mark.parametrize("mode", Mode)
def test_damping_follows_every_mode(mode: Mode) -> None:
    machine = machine_in(mode)
    assert machine.mode == mode
    assert machine.go(Mode.DAMPING, 2.0) and machine.mode == Mode.DAMPING
    assert machine.since == (1.0 if mode == Mode.DAMPING else 2.0)


@pytest.mark.parametrize("mode", [each for each in Mode if each != Mode.DAMPING])
def test_nothing_but_a_reset_follows_damping(mode: Mode) -> None:
    machine = machine_in(Mode.DAMPING)
    assert not machine.go(mode, 2.0) and machine.mode == Mode.DAMPING
    assert machine.reset(3.0) and machine.mode == Mode.PASSIVE and machine.since == 3.0


@pytest.mark.parametrize("mode", [each for each in Mode if each != Mode.DAMPING])
def test_there_is_nothing_to_reset_elsewhere(mode: Mode) -> None:
    machine = machine_in(mode)
    assert not machine.reset(2.0) and machine.mode == mode


def test_no_mode_is_skipped() -> None:
    for at, mode in enumerate(WAY):
        machine = machine_in(mode)
        for later in WAY[at + 2 :]:
            assert not machine.go(later, 2.0)
    assert not ModeMachine().go(Mode.STAND, 0.0)
    assert set(FOLLOWERS) == set(Mode) and Mode.PASSIVE not in ACTIVE and Mode.DAMPING not in ACTIVE
