"""Policy files and checkpoints: the same figures as the network they hold, or a clear refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from mimic.envs.environment import Environment
from mimic.evaluation import evaluate
from mimic.learning.config import ActorCriticConfig, LoopConfig, PPOConfig, RunConfig
from mimic.learning.runner import start_runner
from mimic.policy.contract import METADATA_KEY, assets_of_env, contract_of_env
from mimic.policy.export import export_policy, frames_of
from mimic.tasks import make_env
from mimic.tasks.registry import task_config
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot


class Net(nn.Module):
    """The reference's joint positions plus a small network."""

    default: torch.Tensor
    scale: torch.Tensor

    def __init__(self, env: Environment) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(env.get_observations()["actor"].shape[-1], env.num_actions)
        self.register_buffer("default", env.default_joint_pos)
        self.register_buffer("scale", env.action_scale)

    default: torch.Tensor
    scale: torch.Tensor

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return (obs[:, :29] - self.default) / self.scale + 0.05 * torch.tanh(self.net(obs))


@pytest.fixture(scope="module")
def env(g1: Robot, short: RobotMotion) -> Environment:
    return make_env("tracking", [short], num_envs=4, robot=g1, threads=1)


@pytest.fixture(scope="module")
def network(env: Environment) -> Net:
    return Net(env).eval()


@pytest.fixture(scope="module")
def policy(env: Environment, network: Net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy file with its clip inside."""
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    assets = assets_of_env(env, 0)
    contract = contract_of_env(env, {"iterations": 7}, assets)
    obs = env.get_observations()["actor"]
    return export_policy(network, contract, obs, path, frames_of(assets))


def altered(policy: Path, out: Path, change: dict) -> Path:
    """The policy file with entries of its contract replaced."""
    model = onnx.load(str(policy))
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = json.dumps({**json.loads(entry.value), **change})
    onnx.save(model, str(out))
    return out


def test_the_file_gives_what_the_network_gives(
    policy: Path, network: Net, short: RobotMotion
) -> None:
    from_file = evaluate(policy, [short], "appendix-f", threads=1)
    in_torch = evaluate(
        network, [short], "appendix-f", task="tracking", robot="unitree_g1", threads=1
    )
    assert from_file.total.errors == pytest.approx(in_torch.total.errors, rel=1e-3)
    assert from_file.task == "tracking" and from_file.details["training"] == {"iterations": 7}
    assert from_file.notes == ()


def test_the_clip_inside_is_the_default(policy: Path, short: RobotMotion) -> None:
    inside = evaluate(policy, protocol="appendix-f", threads=1)
    named = evaluate(policy, [short], "appendix-f", threads=1)
    assert inside.clips[0].name == "squat"
    assert inside.total.errors == pytest.approx(named.total.errors, rel=1e-3)


def test_a_policy_of_another_task_is_refused(policy: Path, short: RobotMotion) -> None:
    with pytest.raises(MimicError, match="motion_anchor_pos_b.*trained for, 'tracking'") as error:
        evaluate(policy, [short], "appendix-f", task="tracking-no-state-estimation", threads=1)
    assert "\n" not in str(error.value)


def test_a_policy_of_other_gains_is_refused(
    policy: Path, short: RobotMotion, g1: Robot, tmp_path: Path
) -> None:
    kp = (2.0 * g1.kp).tolist()
    with pytest.raises(MimicError, match="kp of joint"):
        evaluate(altered(policy, tmp_path / "p.onnx", {"kp": kp}), [short], threads=1)


def test_a_policy_of_another_robot_is_refused(
    policy: Path, short: RobotMotion, tiny: Robot, tmp_path: Path
) -> None:
    with pytest.raises(MimicError, match="not for 'tiny'"):
        evaluate(policy, [short], robot=tiny, threads=1)
    stranger = altered(policy, tmp_path / "p.onnx", {"robot": {"name": "nobody", "hash": ""}})
    with pytest.raises(ValueError, match="nobody"):
        evaluate(stranger, [short], threads=1)


def test_another_build_of_the_robot_is_noted(
    policy: Path, short: RobotMotion, tmp_path: Path
) -> None:
    change = {"robot": {"name": "unitree_g1", "hash": "0123456789abcdef"}}
    result = evaluate(
        altered(policy, tmp_path / "p.onnx", change), [short], "appendix-f", threads=1
    )
    assert len(result.notes) == 1 and "0123456789abcdef" in result.notes[0]


def test_permuted_joints_of_a_motion_make_no_difference(policy: Path, short: RobotMotion) -> None:
    permuted = replace(
        short,
        joint_names=short.joint_names[::-1],
        joint_pos=short.joint_pos[:, ::-1],
        joint_vel=short.joint_vel[:, ::-1],
    )
    plain = evaluate(policy, [short], "appendix-f", threads=1)
    assert evaluate(policy, [permuted], "appendix-f", threads=1).total == plain.total


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("absent.onnx", None, "does not exist"),
        ("text.onnx", b"hello", "not a readable ONNX file"),
        ("absent.pt", None, "does not exist"),
        ("text.pt", b"hello", "not a readable checkpoint"),
        ("folder", None, "does not exist"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MimicError, match=told) as error:
        evaluate(path)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_a_checkpoint_that_left_its_run_is_judged_on_the_task_it_was_trained_in(
    g1: Robot, short: RobotMotion, tmp_path: Path
) -> None:
    trained = task_config("tracking")
    fewer = {
        name: {key: term for key, term in group.items() if key != "joint_vel"}
        for name, group in trained.observations.items()
    }
    trained = replace(trained, observations=fewer)
    config = RunConfig(
        task=trained,
        algorithm=PPOConfig(networks=ActorCriticConfig(actor_hidden=(8,), critic_hidden=(8,))),
        loop=LoopConfig(num_envs=4, iterations=1, checkpoint_interval=1),
    )
    env = make_env(trained, [short], num_envs=4, robot=g1, threads=1)
    start_runner(env, config, tmp_path / "run", seed=0).learn()
    alone = tmp_path / "alone.pt"
    alone.write_bytes((tmp_path / "run" / "checkpoints" / "last.pt").read_bytes())
    short.save(tmp_path / "short.npz")
    result = evaluate(alone, [tmp_path / "short.npz"], "appendix-f", robot=g1)
    assert result.clips[0].episodes == 1
    assert any("changed the observations of task 'tracking'" in note for note in result.notes)
