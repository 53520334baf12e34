"""A policy file without this program: its contract, its observation column by column, its action.

    python examples/19_plain_numpy.py [POLICY.onnx MOTION.npz]

numpy and onnxruntime are all it takes; docs/howto/policy_file.md tells what the file holds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

ASSETS = Path(__file__).resolve().parents[1] / "mimic" / "assets"


def matrix(q: Any) -> Any:
    """Rotation matrix [3, 3] of a quaternion (w, x, y, z)."""
    w, x, y, z = q
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def observation(contract: Any, clip: Any, t: int, state: Any, action: Any) -> Any:
    """The 160 columns of task `tracking`: of a clip, a robot's state, and the action before."""
    t = min(t + contract["reference_lead"], len(clip["joint_pos"]) - 1)
    joint = [list(clip["joint_names"]).index(name) for name in contract["joint_names"]]
    anchor = list(clip["body_names"]).index(contract["anchor_body"])
    turn = matrix(state["anchor_quat"]).T
    way = clip["body_pos_w"][t, anchor] - state["anchor_pos"]
    columns = {
        "command": np.concatenate([clip["joint_pos"][t, joint], clip["joint_vel"][t, joint]]),
        "motion_anchor_pos_b": turn @ way,
        "motion_anchor_ori_b": (turn @ matrix(clip["body_quat_w"][t, anchor]))[:, :2].ravel(),
        "base_lin_vel": state["lin_vel_b"],
        "base_ang_vel": state["ang_vel_b"],
        "joint_pos": state["joint_pos"] - contract["default_joint_pos"],
        "joint_vel": state["joint_vel"],
        "actions": action,
    }
    terms = contract["observations"]
    return np.concatenate([term["scale"] * columns[term["name"]] for term in terms])


def main(
    policy: str = str(ASSETS / "policy_g1_demo.onnx"),
    motion: str = str(ASSETS / "walk_g1_demo.npz"),
) -> None:
    session = onnxruntime.InferenceSession(policy)
    told = session.get_modelmeta().custom_metadata_map
    contract, golden = (
        json.loads(told[key]) for key in ("humanoid_mimic", "humanoid_mimic_golden")
    )
    seen = np.asarray(golden["obs"], np.float32)
    (actions,) = session.run(["actions"], {"obs": seen})
    off = np.abs(actions - np.asarray(golden["actions"])).max()
    print(f"{len(seen)} golden observations: actions off by {off:.0e}")

    clip = dict(np.load(motion, allow_pickle=False))
    joint = [list(clip["joint_names"]).index(name) for name in contract["joint_names"]]
    root, anchor = (
        list(clip["body_names"]).index(contract[name]) for name in ("root_body", "anchor_body")
    )
    turn = matrix(clip["body_quat_w"][0, root]).T
    state = {  # a robot that is just where the clip begins
        "joint_pos": clip["joint_pos"][0, joint], "joint_vel": clip["joint_vel"][0, joint],
        "lin_vel_b": turn @ clip["body_lin_vel_w"][0, root],
        "ang_vel_b": turn @ clip["body_ang_vel_w"][0, root],
        "anchor_pos": clip["body_pos_w"][0, anchor], "anchor_quat": clip["body_quat_w"][0, anchor],
    }  # fmt: skip
    obs = observation(contract, clip, 0, state, np.zeros(len(joint)))
    (action,) = session.run(["actions"], {"obs": obs[None].astype(np.float32)})
    target = contract["default_joint_pos"] + np.multiply(contract["action_scale"], action[0])
    miss = np.abs(target - clip["joint_pos"][1, joint]).max()
    print(f"{len(obs)} columns; targets are {miss:.2f} rad from the clip's next pose at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
