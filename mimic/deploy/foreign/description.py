"""What a user says of a policy file that does not say it itself: a small TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mimic.configuration import from_plain
from mimic.deploy.foreign.player import CONTROL_DT
from mimic_base.errors import InputError, MimicError
from mimic_base.json_text import parse_toml
from mimic_base.reading import read_bounded


@dataclass(frozen=True, kw_only=True)
class Term:
    """An observation of a described policy."""

    name: str
    """base_ang_vel, projected_gravity, velocity_command, joint_pos, joint_vel, actions, phase, or
    another observation of ours, such as base_lin_vel."""
    scale: float = 1.0
    """Of all its entries."""
    scales: tuple[float, ...] = ()
    """Of each entry of a velocity_command, besides."""
    history: int = 1
    """Values side by side, the oldest first."""
    period: float = 0.8
    """s a stride, of a phase."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """A policy described. What a file says itself goes before it."""

    robot: str = ""
    """Name of the robot, or a description file; by default the one whose joints the file names."""
    control_dt: float = CONTROL_DT
    """s of a control step."""
    joint_names: tuple[str, ...] = ()
    """Of the actions, in the network's order."""
    default_joint_pos: Mapping[str, float] = field(default_factory=dict)
    """rad, by joint; those that are not named: the robot's."""
    kp: Mapping[str, float] = field(default_factory=dict)
    """N m/rad, by joint; likewise."""
    kd: Mapping[str, float] = field(default_factory=dict)
    """N m s/rad, by joint; likewise."""
    action_scale: float = 0.25
    """rad of an action of one."""
    anchor_body: str = ""
    """Of a clip; by default the robot's."""
    observations: tuple[Term, ...] = ()
    """In the network's order."""


def read_description(path: Path | None) -> Description:
    """A description, or the one that says nothing.

    Raises:
        MimicError: no file, no TOML, or entries that are none.
    """
    if path is None:
        return Description()
    if not path.is_file():
        raise MimicError(f"description '{path}' does not exist")
    try:
        plain = parse_toml(path, read_bounded(path))
    except InputError as error:
        raise MimicError(str(error)) from error
    found = from_plain(Description, plain, source=path, imports=False)
    if not 0.001 <= found.control_dt <= 1.0:
        raise MimicError(f"{path}: control_dt must be from 0.001 to 1 s (found {found.control_dt})")
    return found
