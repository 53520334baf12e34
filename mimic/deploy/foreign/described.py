"""Policies that say nothing themselves, described by a TOML file: legged_gym and its kin.

TorchScript (``.pt``) or ONNX from an observation to actions. TorchScript is a program, and is run
only where the user trusts it (``--trust torchscript``); torch is imported for it alone. A recurrent
network that keeps its memory in buffers, as unitree_rl_gym's exported LSTM does, begins anew where
tracking begins.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mimic.deploy.foreign.mjlab import sizes_of
from mimic.deploy.foreign.player import Foreign, Network
from mimic.policy.contract import ObservationInfo
from mimic_base.errors import MimicError
from mimic_base.reading import read_bounded
from mimic_base.trust import check_program

if TYPE_CHECKING:
    from mimic.deploy.foreign import PolicyFile
    from mimic.deploy.foreign.description import Term

HERE = "mimic.deploy.foreign.observations"
OTHERS = {"velocity_commands": "velocity_command", "last_action": "actions"}


def read(policy: PolicyFile) -> Foreign | None:
    """The policy that the user describes."""
    said = policy.description
    if not policy.described:
        return None
    lacking = [name for name in ("robot", "joint_names", "observations") if not getattr(said, name)]
    if lacking:
        raise MimicError(f"its description lacks {', '.join(lacking)}")
    robot, _ = policy.robot_of(said.joint_names)
    joints = said.joint_names
    index = {name: k for k, name in enumerate(robot.joint_names)}
    unknown = [
        name
        for names in (joints, said.kp, said.kd, said.default_joint_pos)
        for name in names
        if name not in index
    ]
    if unknown:
        raise MimicError(f"robot '{robot.name}' has no joint {', '.join(dict.fromkeys(unknown))}")
    missing = tuple(
        f"{what}: the robot's own for {', '.join(sorted(left)[:3])}{' ...' * (len(left) > 3)}"
        for what in ("kp", "kd", "default_joint_pos")
        if (left := set(joints) - set(getattr(said, what)))
    )
    terms = tuple(_term(each, len(joints)) for each in said.observations)
    anchor = said.anchor_body or robot.anchor_body

    def numbers(name: str, usual: Any) -> list[float]:
        given = getattr(said, name)
        return [float(given.get(joint, usual[index[joint]])) for joint in joints]

    network, forget = _network(policy)
    return Foreign(
        format="described",
        robot=robot,
        joint_names=joints,
        default_joint_pos=numbers("default_joint_pos", robot.default_joint_pos),
        action_scale=[said.action_scale] * len(joints),
        kp=numbers("kp", robot.kp),
        kd=numbers("kd", robot.kd),
        observations=terms,
        anchor_body=anchor,
        body_names=tuple(dict.fromkeys((robot.body_names[0], anchor, *robot.feet))),
        control_dt=said.control_dt,
        network=network,
        forget=forget,
        missing=missing,
    )


def _term(term: Term, joints: int) -> ObservationInfo:
    name = OTHERS.get(term.name, term.name)
    acting = list(range(joints))
    ours: dict[str, tuple[int, str, dict[str, Any]]] = {
        "joint_pos": (joints, "joint_pos_of", {"joints": acting}),
        "joint_vel": (joints, "joint_vel_of", {"joints": acting}),
        "actions": (joints, "actions_of", {"joints": acting}),
        "velocity_command": (
            3, "velocity_command", {"scale": list(term.scales or (1.0, 1.0, 1.0))},
        ),
        "phase": (2, "phase", {"period": term.period}),
    }  # fmt: skip
    if name in ours:
        size, function, parameters = ours[name]
        if name == "velocity_command" and len(parameters["scale"]) != 3:
            raise MimicError("scales of a velocity_command are three numbers")
        return ObservationInfo(
            name=name, size=size, scale=term.scale, history=term.history,
            function=f"{HERE}:{function}", parameters=parameters,
        )  # fmt: skip
    sizes = {k: v for k, v in sizes_of(joints).items() if k.startswith(("base_", "projected_"))}
    if name not in sizes:
        known = ", ".join([*ours, *sizes])
        raise MimicError(f"observation '{term.name}' is not known here; known are {known}")
    return ObservationInfo(name=name, size=sizes[name], scale=term.scale, history=term.history)


def _network(policy: PolicyFile) -> tuple[Network, Callable[[], None] | None]:
    """The network, and what puts its memory back: recurrent ones keep it in their buffers."""
    session = policy.session
    if session is not None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1:
            raise MimicError(f"the network takes {len(inputs)} inputs, expected one observation")
        name, out = inputs[0].name, outputs[0].name
        return lambda obs, _: session.run([out], {name: obs})[0], None
    check_program(f"torchscript:{policy.path.name}")
    import torch

    try:
        with warnings.catch_warnings():
            # That newer files are of another kind is no concern of who has this one.
            warnings.simplefilter("ignore", DeprecationWarning)
            data = io.BytesIO(read_bounded(policy.path))
            module = torch.jit.load(data, map_location="cpu").eval()
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise MimicError(f"not a readable TorchScript file ({reason})") from error

    def run(obs: np.ndarray, _: int) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(np.ascontiguousarray(obs))).numpy()

    buffers = list(module.buffers())
    first = [each.clone() for each in buffers]

    def forget() -> None:
        with torch.no_grad():
            for each, value in zip(buffers, first, strict=True):
                each.copy_(value)

    return run, forget if buffers else None
