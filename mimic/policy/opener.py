"""Opens whatever a user may name as a policy: a policy file, a run directory, a checkpoint.

Playing, evaluation, export and viewers all come through here. Torch is imported for checkpoints
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mimic.policy.contract import PolicyContract
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import InputError, MimicError
from mimic_base.json_text import parse_json
from mimic_base.reading import read_bounded

if TYPE_CHECKING:
    from torch import nn

    from motions.robot.dataset import MotionFile
    from robots import Robot

CONFIG = "config.json"
EXPORTED = "policy.onnx"


@dataclass(frozen=True, kw_only=True)
class PolicySource:
    """A policy that was found, not yet read."""

    named: Path
    """What the user named."""
    file: Path
    """The file it is in."""
    kind: Literal["onnx", "checkpoint"]
    """What that file is."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The run's own record of how it was started; empty for a file that lies alone."""

    @property
    def trained_on(self) -> list[Path]:
        """Motion files and folders of the run; empty where it is not known."""
        return [Path(each) for each in self.config.get("motion", ())]


def find_policy(named: Path | str, prefer: Literal["onnx", "checkpoint"] = "onnx") -> PolicySource:
    """Find the policy that is meant.

    Args:
        prefer: which file of a run directory is taken where it has both.

    Raises:
        MimicError: there is nothing, or nothing that holds a policy.
    """
    named = Path(named)
    if not named.exists():
        raise MimicError(
            f"policy '{named}' does not exist; name a run directory, a policy.onnx or a "
            "checkpoint.pt"
        )
    config = _config_of(named)
    if not named.is_dir():
        kind = "checkpoint" if named.suffix == ".pt" else "onnx"
        return PolicySource(named=named, file=named, kind=kind, config=config)
    exported = named / EXPORTED
    if prefer == "onnx" and exported.is_file():
        return PolicySource(named=named, file=exported, kind="onnx", config=config)
    from mimic.learning.checkpoints import find_checkpoint

    return PolicySource(named=named, file=find_checkpoint(named), kind="checkpoint", config=config)


def open_player(
    source: PolicySource, motions: Sequence[Path | MotionFile] = (), robot: Robot | None = None
) -> PolicyPlayer:
    """The policy as it is played on one robot.

    Args:
        motions, robot: only for checkpoints of the first schema, which do not say by themselves
            what the policy observes: an environment of their task is asked.

    Raises:
        MimicError: a damaged file, or one of another program.
    """
    if source.kind == "onnx":
        return PolicyPlayer(source.file)
    policy, state = open_checkpoint(source)
    if state["contract"] is not None:
        from mimic.learning.skills import whole_policy

        contract = PolicyContract.from_json(state["contract"])
        policy = whole_policy(policy, state, source.file)
    else:
        from mimic.policy.contract import contract_of_env
        from mimic.tasks import make_env

        identity = state["identity"]
        env = make_env(
            identity["task"], motions, num_envs=1, robot=robot or identity["robot"], threads=1
        )
        contract = contract_of_env(env, {})
    return CheckpointPlayer(source.file, contract, policy)


def open_checkpoint(source: PolicySource) -> tuple[nn.Module, dict[str, Any]]:
    """The deterministic policy, observations [N, D] -> actions [N, A] on the CPU, and the
    checkpoint's whole state.

    Raises:
        MimicError: a damaged file, or one of another program.
    """
    from mimic.learning.checkpoints import load_checkpoint
    from mimic.learning.loading import policy_of

    state = load_checkpoint(source.file)
    return policy_of(state, source.file), state


class CheckpointPlayer(PolicyPlayer):
    """A policy with its contract, computed by torch: a checkpoint played without an export."""

    def __init__(self, path: Path, contract: PolicyContract, policy: nn.Module) -> None:
        self.path = path
        self.contract = contract
        self.policy = policy.eval()
        self.golden_obs = np.zeros((0, contract.observation_size), np.float32)
        self.golden_actions = np.zeros((0, contract.num_joints), np.float32)
        self._builder = None
        self._frames = None
        self._default = np.asarray(contract.default_joint_pos)
        self._scale = np.asarray(contract.action_scale)

    def _run(self, outputs: list[str], obs: NDArray[np.float32], time_step: Any) -> Any:
        import torch

        with torch.no_grad():
            return [self.policy(torch.from_numpy(np.ascontiguousarray(obs))).numpy()]


def _config_of(named: Path) -> dict[str, Any]:
    from mimic.learning.run_dir import config_file

    folders = (named,) if named.is_dir() else (named.parent, named.parent.parent)
    for folder in folders:
        file = config_file(folder)
        if file is None:
            continue
        try:
            config = parse_json(file, read_bounded(file), nan=True)
        except InputError as error:
            raise MimicError(str(error)) from error
        if isinstance(config, dict) and "motion" in config:
            motions = config["motion"]
            if not isinstance(motions, list) or not all(isinstance(m, str) for m in motions):
                raise MimicError(f"{file}: motion: expected a list of paths")
            return config
    if named.is_dir() and not any(named.glob("*.onnx")) and named.name != "checkpoints":
        raise MimicError(
            f"'{named}' is not a run directory: it has neither {CONFIG} nor {EXPORTED}"
        )
    return {}
