"""What the page on policy files says of their columns: a program without ours observes the same."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mimic.policy.observations import RobotState
from mimic.policy.player import PolicyPlayer
from motions import RobotMotion

REPO = Path(__file__).resolve().parents[2]
ASSETS = REPO / "mimic" / "assets"


@pytest.fixture(scope="module")
def plain() -> Any:
    path = REPO / "examples" / "19_plain_numpy.py"
    spec = importlib.util.spec_from_file_location("plain_numpy", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("t", [0, 200, 372, 500])
def test_every_column_is_the_players(plain: Any, t: int) -> None:
    player = PolicyPlayer(ASSETS / "policy_g1_demo.onnx")
    told = onnx.load(player.path).metadata_props
    (contract,) = (json.loads(each.value) for each in told if each.key == "humanoid_mimic")
    clip = RobotMotion.load(ASSETS / "walk_g1_demo.npz")
    # The file's own order of joints is another one than the contract's.
    shuffled = clip.with_joint_order(clip.joint_names[::-1])
    arrays = {name: getattr(shuffled, name) for name in (
        "joint_names", "joint_pos", "joint_vel", "body_names", "body_pos_w", "body_quat_w",
    )}  # fmt: skip
    random = np.random.default_rng(t)
    quat = random.normal(size=4)
    state = {
        "joint_pos": random.normal(size=29), "joint_vel": random.normal(size=29),
        "lin_vel_b": random.normal(size=3), "ang_vel_b": random.normal(size=3),
        "anchor_pos": random.normal(size=3), "anchor_quat": quat / np.linalg.norm(quat),
    }  # fmt: skip
    action = random.normal(size=29)
    ours = player.observe(
        RobotState(
            joint_pos=state["joint_pos"], joint_vel=state["joint_vel"],
            root_ang_vel_b=state["ang_vel_b"], root_lin_vel_b=state["lin_vel_b"],
            anchor_pos_w=state["anchor_pos"], anchor_quat_w=state["anchor_quat"],
        ),
        player.reference(clip), t, action,
    )  # fmt: skip
    np.testing.assert_allclose(
        plain.observation(contract, arrays, t, state, action), ours, atol=2e-6
    )
