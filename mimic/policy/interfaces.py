"""Which interface a policy is commanded through: what its contract says, and how to choose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mimic.policy.contract import PolicyContract
from mimic_base.errors import MimicError

VELOCITY = "velocity"
"""The interface through which a policy is commanded by a velocity alone."""


def interface_command(commands: Mapping[str, Any]) -> str | None:
    """Name of the interface command among what a contract's commands say of themselves."""
    for name, told in commands.items():
        if isinstance(told, Mapping) and isinstance(told.get("interfaces"), Mapping):
            return name
    return None


def interface_names(contract: PolicyContract) -> tuple[str, ...]:
    """The interfaces that a policy has been trained for; none where it knows only one reference."""
    name = interface_command(contract.commands)
    return () if name is None else tuple(map(str, contract.commands[name]["interfaces"]))


def interface_of(contract: PolicyContract) -> str:
    """The interface that a policy file was exported for; empty where it knows of none."""
    name = interface_command(contract.commands)
    return "" if name is None else str(contract.commands[name].get("interface", ""))


def with_interface(contract: PolicyContract, interface: str, where: object) -> PolicyContract:
    """The contract of the same policy, commanded through another of its interfaces.

    Args:
        where: the policy's file, for refusals.

    Raises:
        MimicError: it has no interfaces, or none of this name.
    """
    check_interface(interface, interface_names(contract), where)
    name = interface_command(contract.commands)
    assert name is not None
    told = contract.commands[name]
    constants = {**told.get("constants", {}), "mask": told["interfaces"][interface]}
    changed = {**told, "interface": interface, "constants": constants}
    return replace(contract, commands={**contract.commands, name: changed})


def check_interface(interface: str, known: Sequence[str], where: object) -> None:
    """Refuse an interface that a policy was not trained for.

    Raises:
        MimicError: that is so.
    """
    if not known:
        raise MimicError(
            f"{where}: this policy has no interfaces to choose from ('{interface}' is asked for); "
            "train one on the task tracking-student-interfaces"
        )
    if interface not in known:
        raise MimicError(
            f"{where}: this policy was not trained for the interface '{interface}'; it knows "
            f"{', '.join(known)}"
        )
