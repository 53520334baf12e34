"""Messages have the fields they have and no others, and arrays that nobody changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimic.deploy.messages import (
    Odometry,
    Remote,
    RobotIdentity,
    damping_command,
    pressed,
    remote_bytes,
)
from mimic_base.errors import RobotError


def test_a_misspelt_attribute_is_an_error(make_command, make_state) -> None:
    # Unitree's messages call the velocity dq; qd, set by mistake, is silently kept by theirs.
    for message, name in [(make_command(), "qd"), (make_state(), "temp")]:
        with pytest.raises(AttributeError):
            setattr(message, name, 1.0)
        with pytest.raises(TypeError):
            replace(message, **{name: 1.0})


def test_arrays_are_copies_that_cannot_be_changed(make_command) -> None:
    mine = np.zeros(3)
    command = make_command(joint_pos=mine)
    mine[0] = 1.0
    assert command.joint_pos[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        command.joint_pos[0] = 1.0


def test_another_number_of_joints_is_refused(make_command, make_state, identity) -> None:
    with pytest.raises(RobotError, match=r"kp has shape \(2,\), expected \(3,\)"):
        make_command(kp=[1.0, 2.0])
    with pytest.raises(RobotError, match="joint_vel has shape"):
        make_state(joint_vel=np.zeros(29))
    with pytest.raises(RobotError, match=r"lin_vel_b has shape"):
        Odometry(pos_w=np.zeros(3), lin_vel_b=np.zeros(2))
    with pytest.raises(RobotError, match="names a joint twice"):
        replace(identity, joint_names=("hip", "hip", "knee"))
    with pytest.raises(RobotError, match="effort_limit holds a number that is not finite"):
        RobotIdentity(**{**vars(identity), "effort_limit": [1.0, np.inf, 1.0]})


def test_damping_asks_for_nothing_but_resistance(make_command) -> None:
    command = damping_command([0.1, np.nan, np.inf], [1.0, 2.0, 3.0], 5)
    assert command.damps and np.isfinite(command.joint_pos).all()
    assert command.mode_machine == 5 and list(command.kd) == [1.0, 2.0, 3.0]
    assert not make_command().damps
    assert not replace(command, torque=[0.0, 1.0, 0.0]).damps


def test_buttons_of_the_remote() -> None:
    assert pressed(bytes(40)) == frozenset()
    told = remote_bytes(Remote.B, Remote.L2)
    assert len(told) == 40 and pressed(told) == {Remote.B, Remote.L2}
    # B is bit 9 of the two bytes behind the header, L2 bit 5.
    assert told[2:4] == bytes([0b100000, 0b10])
