"""Policies of unitree_rl_lab: a small network and its deploy.yaml, written here, read and played.

What the network is given is computed a second time from the file alone, number by number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import robots
from mimic.cli import run
from mimic.deploy.foreign import notes_of, open_policy
from mimic.deploy.recorder import read_record
from mimic.deploy.replay import RECORD
from mimic.deploy.wire.slots import G1_JOINTS
from mimic.policy.observations import RobotState
from mimic_base.errors import UserError

yaml = pytest.importorskip("yaml")

MAP = [
    0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 22, 4, 10, 16, 23, 5, 11, 17, 24, 18, 25, 19, 26, 20,
    27, 21, 28,
]  # fmt: skip
HISTORY = 5


def deploy_yaml(**changes: Any) -> dict[str, Any]:
    """As their exporter writes it for a G1 that walks; each number is another one."""
    robot = robots.load("unitree_g1")
    default = [round(0.01 * k - 0.1, 3) for k in range(29)]
    one: dict[str, Any] = {"params": {}, "clip": None, "history_length": HISTORY}
    return {
        "joint_ids_map": MAP,
        "step_dt": 0.02,
        # By motor.
        "stiffness": [round(float(each), 1) for each in robot.kp],
        "damping": [round(float(each), 2) for each in robot.kd],
        "default_joint_pos": default,
        "commands": {
            "base_velocity": {
                "ranges": {
                    "lin_vel_x": [-0.5, 1.0], "lin_vel_y": [-0.3, 0.3], "ang_vel_z": [-0.2, 0.2],
                    "heading": None,
                },
            },
        },
        "actions": {
            "JointPositionAction": {
                "clip": None, "joint_names": [".*"], "scale": [0.25] * 29, "offset": default,
                "joint_ids": None,
            },
        },
        "observations": {
            "base_ang_vel": {**one, "scale": [0.2, 0.2, 0.2]},
            "projected_gravity": {**one, "scale": [1.0, 1.0, 1.0]},
            "velocity_commands": {**one, "scale": [1.0, 2.0, 3.0]},
            "joint_pos_rel": {**one, "scale": [1.0] * 29},
            "joint_vel_rel": {**one, "scale": [0.05] * 29, "clip": [-0.5, 0.5]},
            "last_action": {**one, "scale": [1.0] * 29},
        },
        **changes,
    }  # fmt: skip


def network(path: Path, size: int, out: int = 29, gain: float = 0.02) -> Path:
    """One matrix and tanh, as small as such a network can be."""
    weights = gain * np.random.default_rng(0).normal(size=(size, out))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "W"], ["x"]), helper.make_node("Tanh", ["x"], ["a"])],
        "walk",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, [1, size])],
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, out])],
        [numpy_helper.from_array(weights.astype(np.float32), "W")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture
def files(tmp_path: Path):
    def make(size: int = 96 * HISTORY, out: int = 29, **changes: Any) -> tuple[Path, Path]:
        told = tmp_path / "deploy.yaml"
        told.write_text(yaml.dump(deploy_yaml(**changes), default_flow_style=None, sort_keys=False))
        return network(tmp_path / "policy.onnx", size, out), told

    return make


def measured(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What a G1 measures, joints by motor."""
    quat = rng.normal(size=4)
    return {
        "q": rng.normal(size=29), "dq": 12.0 * rng.normal(size=29), "gyro": rng.normal(size=3),
        "quat": quat / np.linalg.norm(quat),
    }  # fmt: skip


def expected(past: list[dict[str, Any]], told: dict[str, Any]) -> np.ndarray:
    """The observation of their documentation, from the file and the last five steps."""
    frames: list[list[np.ndarray]] = []
    for step in past:
        w, x, y, z = step["quat"]
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        frames.append(
            [
                0.2 * step["gyro"],
                rotation.T @ [0.0, 0.0, -1.0],
                np.clip([0.7, 0.4, -1.0], [-0.5, -0.3, -0.2], [1.0, 0.3, 0.2]) * [1.0, 2.0, 3.0],
                step["q"][MAP] - told["default_joint_pos"],
                0.05 * np.clip(step["dq"][MAP], -0.5, 0.5),
                step["action"],
            ]
        )
    if told["observations"].get("use_gym_history"):
        return np.concatenate([each for frame in frames for each in frame])
    return np.concatenate([frame[k] for k in range(6) for frame in frames])


@pytest.mark.parametrize("gym", [False, True])
def test_every_number_that_the_network_gets(files, gym: bool) -> None:
    told = deploy_yaml()
    if gym:
        told["observations"]["use_gym_history"] = True
    policy, described = files(observations=told["observations"])
    player = open_policy(policy, described, (0.7, 0.4, -1.0))
    contract = player.contract
    assert contract.joint_names == tuple(G1_JOINTS[motor] for motor in MAP)
    assert contract.default_joint_pos == tuple(told["default_joint_pos"])
    motors = [G1_JOINTS.index(name) for name in contract.joint_names]
    assert contract.kp == tuple(told["stiffness"][motor] for motor in motors)
    assert contract.kd == tuple(told["damping"][motor] for motor in motors)
    rng, past, action = np.random.default_rng(3), [], np.zeros(29)
    weights = numpy_helper.to_array(onnx.load(policy).graph.initializer[0])
    for step in range(7):
        seen = measured(rng)
        past.append({**seen, "action": action})
        past = ([past[0]] * (HISTORY - 1) + past if step == 0 else past)[-HISTORY:]
        state = RobotState(
            joint_pos=seen["q"][motors], joint_vel=seen["dq"][motors], root_ang_vel_b=seen["gyro"],
            root_quat_w=seen["quat"], anchor_quat_w=seen["quat"], anchor_pos_w=None,
            root_lin_vel_b=None, root_pos_w=None,
        )  # fmt: skip
        obs = player.observe(state, player.reference_inside(), step, action)
        wanted = expected(past, told)
        if not gym:
            assert np.allclose(obs, wanted, atol=1e-6), step
        action = player.act(obs)
        assert np.allclose(action, np.tanh(wanted.astype(np.float32) @ weights), atol=1e-5), step
    assert contract.observation_size == 480
    notes = "\n".join(notes_of(player))
    assert "unitree_rl_lab" in notes and "'unitree_g1', which has these motors" in notes


def test_it_plays_on_the_simulated_robot(files, tmp_path: Path, capsys) -> None:
    policy, described = files()
    words = ["deploy", str(policy), "--describe", str(described), "--velocity", "0.3", "0", "0"]
    out = tmp_path / "out"
    fast = ["--lock-step", "--command-hz", "50", "--seconds", "7", "--out", str(out)]
    assert run([*words, *fast]) in (0, 1)
    said = capsys.readouterr().out
    assert "  track" in said and ", 0 of them outside the limits" in said
    (session,) = out.iterdir()
    record = read_record(session / RECORD)
    acting = record.steps[record.steps["acted"] == 1]
    assert len(acting) > 20 and record.header["describe"] == "policy.yaml"
    # The velocity that is asked for, in the last of five values.
    assert np.allclose(acting["observation"][:, 42:45], [0.3, 0.0, 0.0])
    assert run(["deploy", "replay", str(session)]) == 0


def test_some_joints_and_another_pose_to_add_to(files) -> None:
    """A policy of the legs and the waist that observes all joints; offsets that are no default."""
    told = deploy_yaml()
    legs = [k for k, motor in enumerate(MAP) if motor < 15]
    action = {
        **told["actions"]["JointPositionAction"],
        "joint_ids": legs, "scale": [0.5] * 15, "offset": [0.2] * 15, "clip": [[-1, 1]] * 15,
    }  # fmt: skip
    seen = {k: v for k, v in told["observations"].items() if k in ("joint_pos_rel", "last_action")}
    seen["joint_pos_rel"] = {**seen["joint_pos_rel"], "history_length": 1}
    seen["last_action"] = {**seen["last_action"], "scale": None, "history_length": 1}
    seen["gait_phase"] = {"params": {"period": 0.8}, "history_length": 1}
    policy, described = files(
        29 + 15 + 2, 15, actions={"JointPositionAction": action}, observations=seen
    )
    player = open_policy(policy, described)
    names = player.contract.joint_names
    assert names[:15] == tuple(G1_JOINTS[MAP[k]] for k in legs)
    assert player.contract.default_joint_pos[:15] == (0.2,) * 15
    q = np.random.default_rng(0).normal(size=29)
    state = RobotState(
        joint_pos=q[[G1_JOINTS.index(name) for name in names]], joint_vel=np.zeros(29),
        root_ang_vel_b=np.zeros(3), root_quat_w=[1, 0, 0, 0], anchor_quat_w=[1, 0, 0, 0],
        anchor_pos_w=None, root_lin_vel_b=None, root_pos_w=None,
    )  # fmt: skip
    obs = player.observe(state, player.reference_inside(), 0, np.zeros(29))
    assert np.allclose(obs[:29], q[MAP] - told["default_joint_pos"], atol=1e-6)
    angle = 2 * np.pi * 0.02 / 0.8
    assert np.allclose(obs[-2:], [np.sin(angle), np.cos(angle)], atol=1e-6)
    assert not np.any(player.act(obs)[15:])
    assert any("clip of actions: not applied" in line for line in notes_of(player))


def test_a_g1_of_23_joints_with_gains_that_skip_what_is_not_there(files) -> None:
    robot = robots.load("unitree_g1_23dof")
    motors = [G1_JOINTS.index(name) for name in robot.joint_names]
    told = deploy_yaml()
    one = {"clip": None, "history_length": 1, "params": {}}
    policy, described = files(
        23, 23, joint_ids_map=motors, stiffness=[1.0 + k for k in range(23)],
        damping=[1.0] * 23, default_joint_pos=[0.0] * 23,
        actions={"JointPositionAction": {"scale": [0.25] * 23, "offset": [0.0] * 23}},
        observations={"joint_vel_rel": one}, commands=told["commands"],
    )  # fmt: skip
    player = open_policy(policy, described)
    assert player.contract.robot.name == "unitree_g1_23dof"
    assert player.contract.kp == tuple(1.0 + k for k in range(23))
    assert any("skip the numbers of motors" in line for line in notes_of(player))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"joint_ids_map": [0, 0]}, "a motor twice"),
        ({"joint_ids_map": list(range(12))}, "no robot of this program has the motors"),
        ({"joint_ids_map": "all"}, "must be a list of whole numbers"),
        ({"stiffness": [1.0] * 7}, "stiffness has 7 entries"),
        ({"damping": [1.0] * 28 + [float("nan")]}, "damping must be a number"),
        ({"step_dt": 0}, "step_dt must be from 0.001"),
        ({"actions": {"JointVelocityAction": {}}}, "the only kind that is read: JointVelocity"),
        ({"observations": {}}, "has no observations"),
        ({"observations": {"height_scan": {}}}, "'height_scan' is not known here"),
        ({"observations": {"motion_command": {}}}, "its clip lies in another file"),
        ({"observations": {"last_action": {"history_length": "5"}}}, "must be a count"),
        ({"observations": {"last_action": {"history_length": 2}}}, "58 entries, the network takes"),
        ({"observations": {"last_action": {"scale": [1.0]}}}, "has 1 numbers, expected 29"),
    ],
)
def test_what_does_not_fit_is_one_line(files, changes: dict[str, Any], told: str) -> None:
    policy, described = files(**changes)
    with pytest.raises(UserError, match=told) as refused:
        open_policy(policy, described)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 1500


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("joint_ids_map: [0, 1", "not readable YAML"),
        ("- 1\n", "not a deploy.yaml of unitree_rl_lab"),
        (f"{BOMB}joint_ids_map: *i\n", "number of values|levels|nesting|limit"),
        ("joint_ids_map: &x [*x]\n", "nesting"),
        ("joint_ids_map: " + "[" * 5000 + "]" * 5000, "nest"),
        ("a: &a {x: 1}\njoint_ids_map: {<<: *a}\n", "merged tables"),
        ("joint_ids_map: !!python/object/apply:os.system ['touch x']\n", "not readable YAML"),
        ("joint_ids_map: 2026-99-99\n", "not readable YAML"),
        ("joint_ids_map: \x00\n", "not readable YAML"),
        ("joint_ids_map: [" + "1" * 5000 + "]\n", "not readable YAML"),
        ("#" * (1 << 19), "too large for a deploy.yaml"),
        ("? [1]\n: 2\n", "not readable YAML"),
        ("? {a: 1}\n: 2\n", "not readable YAML"),
    ],
)
def test_hostile_yaml_is_one_line(tmp_path: Path, text: str, told: str, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    policy = network(tmp_path / "p.onnx", 10)
    (tmp_path / "deploy.yaml").write_text(text)
    with pytest.raises(UserError, match=told) as refused:
        open_policy(policy, tmp_path / "deploy.yaml")
    assert "\n" not in str(refused.value) and not (tmp_path / "x").exists()


def test_their_slice_for_all_joints_is_read(files) -> None:
    policy, described = files()
    text = described.read_text().replace(
        "joint_ids: null",
        "joint_ids: !!python/object/apply:builtins.slice [null, null, null]",
    )
    assert "slice" in text
    described.write_text(text)
    assert open_policy(policy, described).contract.num_joints == 29
