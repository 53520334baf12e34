"""Policies of unitree_rl_lab: ``policy.onnx`` and the ``deploy.yaml`` that lies beside it.

The file has two orders of joints: ``stiffness`` and ``damping`` stand in the order of the robot's
motors, everything else in that of the network, and ``joint_ids_map`` tells for each joint of the
network the number of its motor. Observations come term by term, the values of the last control
steps side by side, the oldest first; with ``use_gym_history`` step by step instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mimic.deploy.foreign.player import Foreign, Network
from mimic.policy.contract import ObservationInfo
from mimic_base.errors import InputError, MimicError, input_error
from mimic_base.json_text import check_nesting
from mimic_base.reading import read_bounded

if TYPE_CHECKING:
    from mimic.deploy.foreign import PolicyFile
    from robots import Robot

SUFFIXES = (".yaml", ".yml")
LARGEST = 1 << 18
"""Bytes of a deploy.yaml; they have some thousand."""
TERM = "mimic.deploy.foreign.observations:lab_term"
TERMS = {
    "base_ang_vel": 3, "projected_gravity": 3, "velocity_commands": 3, "gait_phase": 2,
    "joint_pos_rel": 0, "joint_vel_rel": 0, "last_action": 0,
}  # fmt: skip
"""Terms that are known, and their sizes; 0: as many as joints or actions."""
SWITCHES = ("use_gym_history", "scale_first")
RANGES = ("lin_vel_x", "lin_vel_y", "ang_vel_z")
_SLICE = "tag:yaml.org,2002:python/object/apply:builtins.slice"


def read_deploy_yaml(path: Path) -> Mapping[str, Any]:
    """The content of a ``deploy.yaml``: lists, tables, texts and numbers, nothing is run.

    Python's ``slice``, which their exporter writes for "all joints", is read as the list of its
    three entries; other tags, and merged tables (``<<``), are refused.

    Raises:
        MimicError: no file, no PyYAML, no YAML, or a file that unpacks to too much.
    """
    try:
        import yaml
    except ImportError as error:
        raise MimicError(
            f"{path}: reading YAML needs the package PyYAML; install it with "
            "pip install -e '.[yaml]'"
        ) from error
    if not path.is_file():
        raise MimicError(f"description '{path}' does not exist")

    class Loader(yaml.SafeLoader):
        """Plain data only."""

        def flatten_mapping(self, node: Any) -> None:
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise yaml.YAMLError("merged tables (<<) are not read")

    Loader.add_constructor(_SLICE, _plain_list)
    try:
        data = read_bounded(path)
        if len(data) > LARGEST:
            raise input_error(
                path, "too large for a deploy.yaml", found=f"{len(data)} bytes",
                expected=f"at most {LARGEST}",
            )  # fmt: skip
        found = yaml.load(data, Loader)
        check_nesting(path, found)
    except InputError as error:
        raise MimicError(str(error)) from error
    except RecursionError as error:
        raise MimicError(f"{path}: not readable YAML (nested too deeply)") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError) as error:
        # PyYAML's resolvers raise these for dates and numbers that are none.
        raise MimicError(
            f"{path}: not readable YAML ({' '.join(str(error).split())[:160]})"
        ) from error
    if not isinstance(found, dict) or "joint_ids_map" not in found:
        raise MimicError(f"{path}: not a deploy.yaml of unitree_rl_lab: it has no joint_ids_map")
    return {str(key): value for key, value in found.items()}


def _plain_list(loader: Any, node: Any) -> Any:
    return loader.construct_sequence(node)


def read(policy: PolicyFile) -> Foreign | None:
    """The policy whose ``deploy.yaml`` the user names."""
    said = policy.deploy
    if said is None:
        return None
    if policy.session is None:
        raise MimicError("a deploy.yaml describes an ONNX file; export the policy as policy.onnx")
    motors = _whole("joint_ids_map", said.get("joint_ids_map"))
    if len(set(motors)) != len(motors) or not 0 < len(motors) <= 64:
        raise MimicError(f"joint_ids_map has {len(motors)} entries, or a motor twice")
    robot, names, missing = _robot_of(motors)
    count = len(motors)
    action, others = _action(said)
    default = _numbers("default_joint_pos", said.get("default_joint_pos"), count)
    ids = _joint_ids(action.get("joint_ids"), count)
    acting = [*range(count)] if ids is None else ids
    scale = _numbers("the action's scale", action.get("scale"), len(acting))
    offset = _numbers("the action's offset", action.get("offset"), len(acting))
    missing += [f"{name} of actions: not known here, left out" for name in others]
    if action.get("clip") is not None:
        missing.append("clip of actions: not applied; the robot's own soft limits bind")
    order = [*acting, *(joint for joint in range(count) if joint not in acting)]
    kp, kd, told = _gains(said, motors)
    missing += told
    dt = _number("step_dt", said.get("step_dt", 0.02))
    if not 0.001 <= dt <= 1.0:
        raise MimicError(f"step_dt must be from 0.001 to 1 s (found {dt:g})")
    # What actions are added to may be another pose than the one that is observed against.
    targets = dict(zip(acting, offset, strict=True))
    terms, frames_first = _terms(said, order, default, dt, len(acting), missing)
    network = _network(policy, terms, frames_first)
    return Foreign(
        format="unitree_rl_lab",
        robot=robot,
        joint_names=tuple(names[joint] for joint in order),
        acting=len(acting),
        default_joint_pos=[targets.get(joint, default[joint]) for joint in order],
        action_scale=[*scale, *[1.0] * (count - len(acting))],
        kp=[kp[joint] for joint in order],
        kd=[kd[joint] for joint in order],
        observations=terms,
        anchor_body=robot.anchor_body,
        body_names=tuple(dict.fromkeys((robot.body_names[0], robot.anchor_body, *robot.feet))),
        control_dt=dt,
        network=network,
        missing=(*missing, "digits of gains and scales: the file has three"),
    )


def _robot_of(motors: Sequence[int]) -> tuple[Robot, list[str], list[str]]:
    """The robot with these motors, and the joints of the network by name."""
    import robots
    from mimic.deploy.wire.slots import SLOTS

    for name, slots in SLOTS.items():
        if any(motor >= len(slots) or not slots[motor] for motor in motors):
            continue
        robot, names = robots.load(name), [slots[motor] for motor in motors]
        if set(names) == set(robot.joint_names):
            return robot, names, [f"the robot: taken to be '{name}', which has these motors"]
    raise MimicError(
        f"no robot of this program has the motors of joint_ids_map ({len(motors)} of them, the "
        f"highest is {max(motors)}); known are {', '.join(SLOTS)}"
    )


def _action(said: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    actions = said.get("actions")
    if not isinstance(actions, dict) or not isinstance(actions.get("JointPositionAction"), dict):
        known = ", ".join(map(str, actions)) if isinstance(actions, dict) else "none"
        raise MimicError(
            f"actions are not JointPositionAction, the only kind that is read: {known}"
        )
    return actions["JointPositionAction"], [
        str(name) for name in actions if name != "JointPositionAction"
    ]


def _gains(said: Mapping[str, Any], motors: Sequence[int]) -> tuple[Any, Any, list[str]]:
    """Stiffness and damping by joint of the network; the file has them by motor."""
    found, told = [], []
    for name in ("stiffness", "damping"):
        values = _numbers(name, said.get(name), None)
        if len(values) > max(motors):
            found.append([values[motor] for motor in motors])
        elif len(values) == len(motors):
            rank = {motor: k for k, motor in enumerate(sorted(motors))}
            found.append([values[rank[motor]] for motor in motors])
            told.append(f"{name}: taken to skip the numbers of motors that are not there")
        else:
            raise MimicError(
                f"{name} has {len(values)} entries, expected one for each motor up to {max(motors)}"
            )
    return *found, told


def _terms(
    said: Mapping[str, Any],
    order: Sequence[int],
    default: Sequence[float],
    dt: float,
    actions: int,
    missing: list[str],
) -> tuple[tuple[ObservationInfo, ...], bool]:
    """The observations, and whether they come step by step instead of term by term.

    Args:
        order: of the contract's joints, as numbers of the network's. default: in the network's.
    """
    told = said.get("observations")
    if not isinstance(told, dict) or not told:
        raise MimicError("it has no observations")
    place = {joint: k for k, joint in enumerate(order)}
    frames_first = bool(told.get("use_gym_history", False))
    terms = []
    for name, entry in told.items():
        if name in SWITCHES:
            continue
        if name not in TERMS or not isinstance(entry, dict):
            why = "; its clip lies in another file" if str(name).startswith("motion_") else ""
            raise MimicError(
                f"observation '{name}' is not known here{why}; known are {', '.join(TERMS)}"
            )
        params = entry.get("params") or {}
        parameters: dict[str, Any] = {"term": name}
        size = TERMS[name]
        if name in ("joint_pos_rel", "joint_vel_rel"):
            chosen = params.get("asset_cfg") if isinstance(params, dict) else None
            ids = _joint_ids(chosen.get("joint_ids") if isinstance(chosen, dict) else None,
                             len(order))  # fmt: skip
            joints = [*range(len(order))] if ids is None else ids
            size, parameters["joints"] = len(joints), [place[joint] for joint in joints]
            if name == "joint_pos_rel":
                parameters["default"] = [default[joint] for joint in joints]
        elif name == "last_action":
            # The network's first: they are the contract's first joints.
            size, parameters["joints"] = actions, [*range(actions)]
        elif name == "velocity_commands":
            parameters["ranges"] = _ranges(said, missing)
        elif name == "gait_phase":
            period = _number("period of gait_phase", (params or {}).get("period", 0.8))
            if not 0.05 <= period <= 60.0:
                raise MimicError(f"period of gait_phase must be 0.05 to 60 s (found {period:g})")
            parameters["period"], parameters["lead"] = period, dt
        scale = entry.get("scale")
        factors = [1.0] * size if scale is None else _numbers(f"scale of {name}", scale, size)
        one = factors[0] if len(set(factors)) == 1 else None
        if one is None:
            parameters["scale"] = factors
        if entry.get("clip") is not None:
            low, high = _numbers(f"clip of {name}", entry["clip"], 2)
            if low > high:
                raise MimicError(f"clip of {name} is from {low:g} to {high:g}")
            if told.get("scale_first") or entry.get("scale_first"):
                # Cut before it is scaled here: the same for scales above zero.
                if any(factor <= 0 for factor in factors) or one is None:
                    raise MimicError(f"scale_first of {name}: its scales must be one, above zero")
                low, high = low / one, high / one
            parameters["clip"] = [low, high]
        history = entry.get("history_length", 1)
        if not isinstance(history, int) or isinstance(history, bool) or not 0 <= history <= 1000:
            raise MimicError(f"history_length of {name} must be a count (found {history!r})")
        terms.append(
            ObservationInfo(
                name=name, size=size, scale=1.0 if one is None else one, history=max(1, history),
                function=TERM, parameters=parameters,
            )
        )  # fmt: skip
    return tuple(terms), frames_first


def _ranges(said: Mapping[str, Any], missing: list[str]) -> list[list[float]]:
    """Least and greatest velocities that are asked for, m/s, m/s, rad/s."""
    commands = said.get("commands")
    base = commands.get("base_velocity") if isinstance(commands, dict) else None
    ranges = base.get("ranges") if isinstance(base, dict) else None
    if not isinstance(ranges, dict):
        missing.append("commands: no ranges of velocities, what is asked for is not cut")
        return []
    found = [_numbers(f"range {name}", ranges.get(name), 2) for name in RANGES]
    if any(low > high for low, high in found):
        raise MimicError("a range of velocities begins above its end")
    return found


def _network(policy: PolicyFile, terms: Sequence[ObservationInfo], frames_first: bool) -> Network:
    session = policy.session
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise MimicError(f"the network takes {len(inputs)} inputs, expected one observation")
    name, out = inputs[0].name, session.get_outputs()[0].name
    total = sum(term.size * term.history for term in terms)
    takes = policy.sizes[name]
    if takes and takes != total:
        raise MimicError(
            f"its observations ({', '.join(term.name for term in terms)}) have {total} entries, "
            f"the network takes {takes}"
        )
    order = np.arange(total)
    if frames_first:
        lengths = {term.history for term in terms}
        if len(lengths) != 1:
            raise MimicError(f"use_gym_history with histories of several lengths: {lengths}")
        (steps,) = lengths
        starts = np.cumsum([0, *(term.size * term.history for term in terms)])
        order = np.concatenate(
            [
                start + step * term.size + np.arange(term.size)
                for step in range(steps)
                for start, term in zip(starts, terms, strict=False)
            ]
        )
    return lambda obs, _: session.run([out], {name: np.ascontiguousarray(obs[:, order])})[0]


def _joint_ids(told: Any, count: int) -> list[int] | None:
    """Joints of the network by number; None for all."""
    if told is None or (isinstance(told, list) and told == [None] * 3):
        return None
    ids = _whole("joint_ids", told)
    if not ids or max(ids) >= count or len(set(ids)) != len(ids):
        raise MimicError(f"joint_ids must be different numbers below {count}")
    return ids


def _whole(what: str, told: Any) -> list[int]:
    good = isinstance(told, list) and all(
        isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 1000 for each in told
    )
    if not good or not told:
        raise MimicError(f"{what} must be a list of whole numbers from 0 (found {str(told)[:60]})")
    return list(told)


def _number(what: str, told: Any) -> float:
    if isinstance(told, int | float) and not isinstance(told, bool):
        try:
            value = float(told)
        except OverflowError:
            value = math.inf
        if math.isfinite(value):
            return value
    raise MimicError(f"{what} must be a number (found {str(told)[:60]})")


def _numbers(what: str, told: Any, count: int | None) -> list[float]:
    """``count`` numbers; one stands for all."""
    if isinstance(told, list):
        found = [_number(what, each) for each in told]
        if count is None or len(found) == count:
            return found
        raise MimicError(f"{what} has {len(found)} numbers, expected {count}")
    if told is None or count is None:
        raise MimicError(f"{what} is missing, or no list of numbers")
    return [_number(what, told)] * count
