"""Isaac Gym's and legged_gym's conventions against ours; the example that uses them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from torch import nn

import robots
from mimic.sim.workers.isaacgym_worker import columns
from mimic_base.errors import MimicError
from motions.robot.formats.orders import JOINT_ORDERS
from robots import Robot

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "legged_gym_policy.py"
example: Any = ModuleType("legged_gym_policy")
# Its dataclasses look their module up.
sys.modules["legged_gym_policy"] = example
exec(compile(EXAMPLE.read_text(), str(EXAMPLE), "exec"), example.__dict__)
LeggedGymObservation, joint_order = example.LeggedGymObservation, example.joint_order
load_actor = example.load_actor
HALF = np.sqrt(0.5)


@pytest.fixture(scope="module")
def g1() -> Robot:
    return robots.load("unitree_g1")


def test_joint_orders_of_the_g1(g1: Robot) -> None:
    assert joint_order(g1, "isaacgym") == JOINT_ORDERS["g1-29"] == g1.joint_names
    assert joint_order(g1, "isaaclab") == JOINT_ORDERS["g1-29-isaaclab"] != g1.joint_names


def test_siblings_come_by_name_in_isaac_gym_and_as_written_in_isaac_lab() -> None:
    def leg(name: str) -> str:
        return (
            f"<body name='{name}_thigh'><joint name='{name}_hip'/><geom size='0.1'/>"
            f"<body name='{name}_calf'><joint name='{name}_knee'/><geom size='0.1'/></body></body>"
        )

    legs = "".join(map(leg, ("FR", "FL", "RR", "RL")))
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody><body name='trunk'><freejoint/><geom size='0.1'/>{legs}</body>"
        "</worldbody></mujoco>"
    )
    names = tuple(model.joint(j).name for j in range(1, model.njnt))
    dog = type("Dog", (), {"model": model, "joint_names": names})()
    assert joint_order(dog, "isaacgym") == (  # type: ignore[arg-type]
        "FL_hip", "FL_knee", "FR_hip", "FR_knee", "RL_hip", "RL_knee", "RR_hip", "RR_knee",
    )  # fmt: skip
    assert joint_order(dog, "isaaclab") == (  # type: ignore[arg-type]
        "FR_hip", "FL_hip", "RR_hip", "RL_hip", "FR_knee", "FL_knee", "RR_knee", "RL_knee",
    )  # fmt: skip


def test_an_observation_is_laid_out_as_legged_gym_does(g1: Robot) -> None:
    order = joint_order(g1, "isaaclab")
    default = tuple(g1.default_joint_pos[columns(g1.joint_names, order)])
    observation = LeggedGymObservation(joint_names=order, default_joint_pos=default)
    assert [name for name, _ in observation.layout] == [
        "base_lin_vel", "base_ang_vel", "projected_gravity", "commands", "joint_pos", "joint_vel",
        "actions",
    ]  # fmt: skip
    size = sum(count for _, count in observation.layout)
    assert size == 12 + 3 * 29
    qpos = np.concatenate([[0, 0, 0.8, HALF, 0, HALF, 0], g1.default_joint_pos])
    qvel = np.concatenate([[0.0, 0.0, 1.0], [0.4, 0.8, 1.2], np.zeros(29)])
    knee = g1.joint_names.index("left_knee_joint")
    qpos[7 + knee] += 0.5
    qvel[6 + knee] = 40.0
    actions = np.arange(29.0) * 10.0
    found = observation(qpos, qvel, [1.0, -1.0, 2.0], actions, g1.joint_names)
    assert found.shape == (size,)
    # Pitched by 90 degrees: what falls along -z in the world goes along x in the base.
    assert found[:12] == pytest.approx(
        np.array([-2.0, 0, 0, 0.1, 0.2, 0.3, 1, 0, 0, 2.0, -2.0, 0.5]), abs=1e-9
    )
    place = 12 + order.index("left_knee_joint")
    assert found[place] == pytest.approx(0.5) and found[place + 29] == pytest.approx(2.0)
    assert np.count_nonzero(np.abs(found[12 : 12 + 58]) > 1e-9) == 2
    assert found[-29:].max() == 100.0, "observations are clipped"
    blind = LeggedGymObservation(joint_names=order, default_joint_pos=default, with_lin_vel=False)
    assert blind(qpos, qvel, [1.0, -1.0, 2.0], actions, g1.joint_names) == pytest.approx(found[3:])


def test_actions_become_targets_in_our_order(g1: Robot) -> None:
    order = joint_order(g1, "isaaclab")
    default = tuple(0.01 * i for i in range(29))
    observation = LeggedGymObservation(joint_names=order, default_joint_pos=default)
    actions = np.zeros((2, 29))
    actions[1, order.index("waist_yaw_joint")] = 2.0
    targets = observation.targets(actions, g1.joint_names)
    expected = np.array(default)[columns(order, g1.joint_names)]
    assert targets[0] == pytest.approx(expected)
    expected[g1.joint_names.index("waist_yaw_joint")] += 0.5
    assert targets[1] == pytest.approx(expected)
    with pytest.raises(MimicError, match="2 default positions for 29 joints"):
        LeggedGymObservation(joint_names=order, default_joint_pos=(0.0, 0.0))


def test_the_actor_of_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    actor = nn.Sequential(
        nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 8), nn.ELU(), nn.Linear(8, 4)
    )  # fmt: skip
    weights = {f"actor.{name}": value for name, value in actor.state_dict().items()}
    weights |= {"std": torch.ones(4), "critic.0.weight": torch.ones(1, 6)}
    path = tmp_path / "model_1500.pt"
    torch.save({"model_state_dict": weights, "iter": 1500, "infos": None}, path)
    obs = torch.randn(3, 6)
    torch.testing.assert_close(load_actor(path)(obs), actor(obs).detach())

    def told(content: object) -> str:
        torch.save(content, path)
        with pytest.raises(MimicError) as caught:
            load_actor(path)
        return str(caught.value)

    assert "a recurrent policy" in told({"model_state_dict": {"memory_a.rnn": torch.ones(1)}})
    assert "holds no 'actor.<n>.weight'; found std" in told(
        {"model_state_dict": {"std": torch.ones(4)}}
    )
    assert "expected a file that holds 'model_state_dict'" in told([1, 2])
    lone = {"model_state_dict": {"actor.0.weight": torch.ones(2, 3)}}
    assert "layer 'actor.0' has a weight of shape [2, 3] and a bias of []" in told(lone)
    flat = {"model_state_dict": {"actor.0.weight": torch.ones(2), "actor.0.bias": torch.ones(2)}}
    assert "expected [outputs, inputs] and [outputs]" in told(flat)
    odd = {"model_state_dict": {"actor.mlp.0.weight": torch.ones(2, 3)}}
    assert "found actor.mlp.0.weight" in told(odd)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(MimicError, match="not a checkpoint of legged_gym"):
        load_actor(path)


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example.main(None, "unitree_g1", 0.2)
    assert "after 0.2 s the base is at" in capsys.readouterr().out
