"""A student that is commanded through several interfaces, and what chooses one of them.

One network serves a full reference, three points (OmniH2O), a pelvis path (PHUMA), an upper body
with a root velocity (ExBody) and a velocity alone: which parts of the reference are shown is drawn
with every episode and told by a mask (``mimic.envs.commands.interface``). A teacher who sees the
whole reference labels all of them. Rewards and failures compare the whole body whatever is shown,
as OmniH2O's do.
"""

from __future__ import annotations

from dataclasses import replace

from mimic.envs.commands import InterfaceCommandConfig
from mimic.envs.commands.interface import unknown_interface
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import interfaces
from mimic.envs.terms import ObservationTerm
from mimic.tasks.student import STUDENT_STEPS, everything, measured
from mimic.tasks.tracking import tracking
from mimic_base.errors import MimicError


def shown(steps: tuple[int, ...] = STUDENT_STEPS) -> dict[str, ObservationTerm]:
    """The reference through an interface: the coming frame, later ones, head and hands, mask."""
    return {
        "command": ObservationTerm(function=interfaces.shown_joints),
        "reference_root": ObservationTerm(function=interfaces.shown_root),
        "reference_points": ObservationTerm(function=interfaces.shown_points),
        "reference_frames": ObservationTerm(
            function=interfaces.shown_frames, parameters={"steps": steps}
        ),
        "interface": ObservationTerm(function=interfaces.mask),
    }


def student_with_interfaces() -> TaskConfig:
    """The student's task through an interface that is drawn with every episode. The critic sees
    what a teacher sees."""
    base = tracking()
    return replace(
        base,
        task="tracking-student-interfaces",
        commands={**base.commands, "interface": InterfaceCommandConfig()},
        observations={"actor": {**shown(), **measured()}, "critic": everything()},
    )


def with_interface(config: TaskConfig, interface: str) -> TaskConfig:
    """The same task, commanded through one interface alone.

    Raises:
        MimicError: the task has no interface command, or none knows this interface.
    """
    found = {
        name: each
        for name, each in config.commands.items()
        if isinstance(each, InterfaceCommandConfig)
    }
    if not found:
        raise MimicError(
            f"task '{config.task}' has no interfaces to choose from (its commands: "
            f"{', '.join(config.commands) or 'none'}); leave out --interface"
        )
    for each in found.values():
        if interface not in each.interfaces:
            raise MimicError(unknown_interface(interface, each.interfaces))
    fixed = {name: replace(each, fixed=interface) for name, each in found.items()}
    return replace(config, commands={**config.commands, **fixed})
