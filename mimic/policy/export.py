"""Writes the policy file, and proves it before anyone can find it under its name."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from mimic.envs.actions import inner_of
from mimic.policy.contract import GOLDEN_KEY, METADATA_KEY, PolicyContract
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from mimic_base.files import atomic_path
from mimic_base.frame_fields import FRAME_FIELDS

OPSET = 18
TOLERANCE = 1e-5
GOLDEN_ROWS = 8


def frames_of(assets: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The frames [T, ...] that commands put into a file, by the names of its outputs.

    Args:
        assets: from ``mimic.policy.contract.assets_of_env``.
    """
    frames: dict[str, torch.Tensor] = {}
    for command, each in assets.items():
        frames |= each.clip
        frames |= {
            f"{command}.{name}": values.detach().cpu().float()
            for name, values in each.frames.items()
        }
    return frames


def whole_policy(policy: nn.Module, env: Any) -> nn.Module:
    """The policy [N, D] -> joint actions [N, J] that a file holds: with the frozen one inside of
    the environment's actions, where there is one. D are the columns of ``whole_observations``."""
    inner = inner_of(getattr(env, "action_terms", {}))
    return policy if inner is None else inner.whole(policy, env.spec.sizes["actor"])


def whole_observations(seen: Mapping[str, torch.Tensor], env: Any) -> torch.Tensor:
    """What ``whole_policy`` sees [N, D], from all observation groups of the environment."""
    inner = inner_of(getattr(env, "action_terms", {}))
    if inner is None:
        return seen["actor"]
    return torch.cat([seen["actor"], seen[inner.group]], -1)


def export_policy(
    policy: nn.Module,
    contract: PolicyContract,
    observations: torch.Tensor,
    path: Path | str,
    frames: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Write a policy as one ONNX file with its contract and a golden trace.

    The file is read back by ``PolicyPlayer`` and compared with torch before it gets its name.

    Args:
        policy: obs [N, D] -> actions [N, A], normaliser included.
        observations: [N, D] real observations: for the comparison and the golden trace.
        frames: what commands put inside, from ``frames_of`` the assets that the contract was made
            with; the file then takes ``time_step`` [N, 1] too and gives out that frame of each, the
            last one where they have ended.

    Raises:
        MimicError: weights that are not finite, sizes that do not match the contract, or a file
            that computes something else than torch. No file is left then.
    """
    path = Path(path)
    policy = policy.cpu().eval()
    real = observations.detach().cpu().float()
    _check_policy(policy, contract, real, path)
    frames = frames or {}
    promised = set(contract.outputs_inside)
    promised |= set() if contract.clip_inside is None else set(FRAME_FIELDS)
    if set(frames) != promised:
        raise ValueError("what is inside must be given to the contract and the export alike")
    model = onnx.load_model_from_string(_graph(policy, contract, frames))
    golden = real[:GOLDEN_ROWS]
    with torch.no_grad():
        answers = policy(golden)
    _set_metadata(model, METADATA_KEY, contract.to_json())
    _set_metadata(
        model, GOLDEN_KEY, json.dumps({"obs": golden.tolist(), "actions": answers.tolist()})
    )
    onnx.checker.check_model(model)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        player = PolicyPlayer(temporary)
        _compare(player, policy, real, path)
        for name, given in player.frames_inside().items():
            if not np.array_equal(given, frames[name].double().numpy()):
                raise MimicError(f"{path}: not exported, what is inside differs in '{name}'")
    return path


def _check_policy(
    policy: nn.Module, contract: PolicyContract, real: torch.Tensor, path: Path
) -> None:
    for name, value in policy.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise MimicError(
                f"{path}: not exported, the policy's '{name}' holds numbers that are not finite; "
                "export an earlier checkpoint"
            )
    if real.ndim != 2 or real.shape[1] != contract.observation_size or len(real) == 0:
        raise MimicError(
            f"{path}: not exported, observations have shape {tuple(real.shape)}, the contract says "
            f"[N, {contract.observation_size}]"
        )
    with torch.no_grad():
        actions = policy(real[:1])
    if actions.shape != (1, contract.num_joints):
        raise MimicError(
            f"{path}: not exported, the policy gives {actions.shape[-1]} actions for "
            f"{contract.num_joints} joints"
        )


class _WithFrames(nn.Module):
    """The policy plus frames: (obs, time_step) -> (actions, that frame of each)."""

    def __init__(self, policy: nn.Module, frames: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.policy = policy
        self.last = [len(values) - 1 for values in frames.values()]
        for index, values in enumerate(frames.values()):
            self.register_buffer(f"frames_{index}", values)

    def forward(self, obs: torch.Tensor, time_step: torch.Tensor) -> tuple[torch.Tensor, ...]:
        step = time_step.long().squeeze(-1)
        given = [
            getattr(self, f"frames_{index}")[step.clamp(0, last)]
            for index, last in enumerate(self.last)
        ]
        return (self.policy(obs), *given)


def _graph(
    policy: nn.Module, contract: PolicyContract, frames: Mapping[str, torch.Tensor]
) -> bytes:
    # Two rows, so that no operation is specialised to a batch of one.
    inputs: tuple[torch.Tensor, ...] = (torch.zeros(2, contract.observation_size),)
    module, names, outputs = policy, ["obs"], ["actions"]
    if frames:
        module = _WithFrames(policy, frames).eval()
        inputs += (torch.zeros(2, 1),)
        names.append("time_step")
        outputs += frames
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        # The other exporter (dynamo) writes the weights into a second file.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, inputs, buffer, opset_version=OPSET, dynamo=False, input_names=names,
            output_names=outputs, dynamic_axes={name: {0: "batch"} for name in names + outputs},
        )  # fmt: skip
    return buffer.getvalue()


def _set_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    entry = model.metadata_props.add()
    entry.key, entry.value = key, value


def _compare(player: PolicyPlayer, policy: nn.Module, real: torch.Tensor, path: Path) -> None:
    """Compare onnxruntime with torch on real observations and on random ones of their scale."""
    generator = torch.Generator().manual_seed(0)
    spread = real.std(0, correction=0) + 0.1
    noise = torch.randn((256, real.shape[1]), generator=generator)
    obs = torch.cat([real[:256], real.mean(0) + noise * spread])
    with torch.no_grad():
        expected = policy(obs).numpy()
    error = np.abs(player.act(obs.numpy()) - expected) / np.maximum(1.0, np.abs(expected))
    if not error.max() <= TOLERANCE:
        raise MimicError(
            f"{path}: not exported, onnxruntime and torch differ by {error.max():.2g}, allowed is "
            f"{TOLERANCE:g}"
        )
