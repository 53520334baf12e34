"""The contract survives the file exactly and refuses what cannot be true."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mimic.policy.contract import PolicyContract, contract_of_env
from mimic_base.errors import MimicError
from tests.learning.fake_env import JOINTS, FakeEnv


@pytest.fixture
def contract() -> PolicyContract:
    return contract_of_env(FakeEnv(), {"iterations": 3})


def test_every_number_comes_back_as_it_was(contract: PolicyContract) -> None:
    odd = replace(contract, kp=(0.1 + 0.2, 1 / 3, 14.250616, 2e-7), control_dt=1 / 49)
    assert PolicyContract.from_json(odd.to_json()) == odd


def test_the_contract_describes_the_environment(contract: PolicyContract) -> None:
    assert contract.observation_size == 16 and contract.num_joints == JOINTS
    assert [term.name for term in contract.observations] == ["command", "joint_pos", "actions"]
    assert [(m.name, m.fps, m.frames) for m in contract.motions] == [
        ("first", 30.0, 50), ("second", 120.0, 50),
    ]  # fmt: skip
    data = json.loads(contract.to_json())
    assert data["schema"] == "humanoid-mimic/policy/2" and data["quaternion"] == "wxyz"
    assert data["robot"] == {"name": "fake", "hash": "0123456789abcdef"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema": "humanoid-mimic/policy/3"}, "schema 'humanoid-mimic/policy/3'"),
        ({"schema": None}, "schema None"),
        ({"kp": [1.0, 2.0]}, "kp has 2 entries, there are 4 joints"),
        ({"kd": [1.0, 1.0, 1.0, "x"]}, "contract: kd.3: found 'x', expected a number"),
        ({"action_scale": [0.0, 1.0, 1.0, 1.0]}, "action_scale must be positive"),
        ({"joint_names": ["a", "a", "b", "c"]}, "joint_names names an entry twice"),
        ({"joint_lower": [2.0] * 4}, "has limits"),
        ({"quaternion": "xyzw"}, "quaternion is 'xyzw'"),
        ({"control_dt": 0.0}, "control_dt must be positive"),
        ({"observations": []}, "observations must have terms"),
        ({"observations": [{"title": "x"}]}, "contract: observations.0.name: missing field"),
        ({"anchor_body": "nose"}, "anchor_body 'nose'"),
        ({"clip_inside": 2}, "clip_inside is 2, there are 2 motions"),
        ({"inside": {"goal": {"height": 0}}}, "'goal.height' has 0 frames inside"),
        ({"inside": {"goal": 3}}, "contract: inside.goal: found 3, expected a mapping"),
    ],
)
def test_a_contract_that_cannot_be_is_refused_in_one_line(
    contract: PolicyContract, change: dict[str, Any], text: str
) -> None:
    data = json.loads(contract.to_json()) | change
    with pytest.raises(MimicError, match=text) as caught:
        PolicyContract.from_json(json.dumps(data))
    assert "\n" not in str(caught.value)


def test_a_missing_entry_is_named(contract: PolicyContract) -> None:
    data = json.loads(contract.to_json())
    del data["effort_limit"], data["motions"]
    with pytest.raises(MimicError, match="lacks effort_limit, motions"):
        PolicyContract.from_json(json.dumps(data))
    with pytest.raises(MimicError, match="not JSON"):
        PolicyContract.from_json("{")
    with pytest.raises(MimicError, match="not a JSON object"):
        PolicyContract.from_json("[]")


def test_numbers_that_are_not_finite_never_reach_a_file(contract: PolicyContract) -> None:
    with pytest.raises(MimicError, match="not finite"):
        replace(contract, kp=(1.0, float("nan"), 1.0, 1.0))
