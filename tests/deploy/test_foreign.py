"""Other people's policies: small files of their formats, made here, read into our contract."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import robots
from mimic.deploy.foreign import notes_of, open_policy
from mimic.deploy.setup import SHIPPED_CLIP, SHIPPED_POLICY, references_of
from mimic.policy.contract import GOLDEN_KEY, METADATA_KEY
from mimic.policy.observations import Reference, RobotState
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import UserError
from motions import RobotMotion


@pytest.fixture(scope="module")
def robot() -> robots.Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="module")
def ours() -> PolicyPlayer:
    return PolicyPlayer(SHIPPED_POLICY)


def csv(values) -> str:
    return ",".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in values)


def as_theirs(path: Path, tables: dict[str, np.ndarray], metadata: dict[str, str]) -> Path:
    """The shipped network with a clip inside: tables looked up by a clamped time step."""
    model = onnx.load(SHIPPED_POLICY)
    graph, last = model.graph, len(next(iter(tables.values()))) - 1
    graph.input.append(helper.make_tensor_value_info("time_step", TensorProto.FLOAT, [1, 1]))
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(0.0, np.float32), "clip_low"),
            numpy_helper.from_array(np.array(float(last), np.float32), "clip_high"),
            numpy_helper.from_array(np.array([-1], np.int64), "clip_flat"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Clip", ["time_step", "clip_low", "clip_high"], ["clip_time"]),
            helper.make_node("Cast", ["clip_time"], ["clip_index"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["clip_index", "clip_flat"], ["clip_row"]),
        ]
    )
    for name, table in tables.items():
        graph.initializer.append(numpy_helper.from_array(table.astype(np.float32), f"t_{name}"))
        graph.node.append(helper.make_node("Gather", [f"t_{name}", "clip_row"], [name]))
        graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *table.shape[1:]])
        )
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def clip(ours: PolicyPlayer) -> Reference:
    walk = ours.reference(RobotMotion.load(SHIPPED_CLIP))
    return Reference(**{name: values[:60] for name, values in walk.frame_fields().items()})


def mjlab_metadata(player: PolicyPlayer) -> dict[str, str]:
    c = player.contract
    return {
        "joint_names": csv(c.joint_names),
        "joint_stiffness": csv(c.kp),
        "joint_damping": csv(c.kd),
        "default_joint_pos": csv(c.default_joint_pos),
        "action_scale": csv(c.action_scale),
        "anchor_body_name": c.anchor_body,
        "body_names": csv(c.body_names),
        "observation_names": csv([term.name for term in c.observations]),
        "command_names": "motion",
    }


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, ours: PolicyPlayer, clip: Reference) -> Path:
    tables = {each.name: getattr(clip, each.name) for each in fields(Reference)}
    folder = tmp_path_factory.mktemp("theirs")
    return as_theirs(folder / "theirs.onnx", tables, mjlab_metadata(ours))


def state_of(player: PolicyPlayer) -> RobotState:
    rng, count = np.random.default_rng(1), player.contract.num_joints
    return RobotState(
        joint_pos=rng.normal(size=count) * 0.1,
        joint_vel=rng.normal(size=count),
        root_ang_vel_b=rng.normal(size=3),
        anchor_quat_w=[1.0, 0.0, 0.0, 0.0],
        anchor_pos_w=[0.1, 0.2, 0.8],
        root_lin_vel_b=rng.normal(size=3),
        root_pos_w=[0.1, 0.2, 0.8],
        root_quat_w=[1.0, 0.0, 0.0, 0.0],
    )


def test_a_policy_of_mjlab_is_ours_to_three_digits(theirs: Path, ours: PolicyPlayer, clip) -> None:
    found = open_policy(theirs)
    a, b = found.contract, ours.contract
    assert a.joint_names == b.joint_names and a.body_names == b.body_names
    for name in ("kp", "kd", "default_joint_pos", "action_scale"):
        assert np.allclose(getattr(a, name), getattr(b, name), atol=6e-4)
    assert a.effort_limit == b.effort_limit and a.robot == b.robot
    (inside,) = references_of(found, ())
    assert 2 <= inside.num_frames <= 60
    assert np.allclose(inside.body_pos_w, clip.body_pos_w[: inside.num_frames], atol=1e-5)
    state, action = state_of(ours), np.zeros(29)
    lead = ours.contract.reference_lead
    seen = found.observe(state, clip, 20 + lead, action)
    assert np.allclose(seen, ours.observe(state, clip, 20, action), atol=1e-3)
    assert np.allclose(found.act(seen), ours.act(seen), atol=1e-5)
    told = "\n".join(notes_of(found))
    assert "BeyondMimic/mjlab" in told and "'unitree_g1'" in told and "control step" in told
    assert notes_of(ours) == []


def test_it_walks_as_ours_does(theirs: Path, robot) -> None:
    from mimic.deploy import check
    from mimic.deploy.simulated import SimulationSettings

    player = open_policy(theirs)
    coarse = SimulationSettings(tick=0.02, physics_hz=200.0)
    rung = check._simulated(
        player, robot, references_of(player, ()), "x", 50.0, coarse, None, wire=False
    )
    assert rung.go, rung.why


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("joint_names", "a,b,c", "none has its joints"),
        ("action_scale", "1.0,2.0", "has 2 numbers, expected 29"),
        ("joint_stiffness", "x", "no list of numbers"),
        ("observation_names", "command,heights", "heights is not known"),
        ("observation_names", "command", "the network takes 160"),
        ("anchor_body_name", "tail", "anchor_body_name"),
        ("body_names", "torso_link", "lack the base"),
        ("joint_damping", "nan", "expected 29"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    tmp_path: Path, ours, clip, key: str, value: str, told: str
) -> None:
    tables = {each.name: getattr(clip, each.name)[:5] for each in fields(Reference)}
    path = as_theirs(tmp_path / "p.onnx", tables, {**mjlab_metadata(ours), key: value})
    with pytest.raises(UserError, match=told) as raised:
        open_policy(path)
    assert "\n" not in str(raised.value) and "p.onnx" in str(raised.value)


def small(path: Path, size: int, out: int, extra: dict[str, np.ndarray] | None = None) -> Path:
    """One matrix from observations to actions, with tables as `as_theirs`."""
    weights = np.random.default_rng(0).normal(size=(size, out)).astype(np.float32) * 0.01
    nodes = [helper.make_node("MatMul", ["obs", "w"], ["actions"])]
    inputs = [helper.make_tensor_value_info("obs", TensorProto.FLOAT, [None, size])]
    outputs = [helper.make_tensor_value_info("actions", TensorProto.FLOAT, [None, out])]
    initial = [numpy_helper.from_array(weights, "w")]
    if extra:
        inputs.append(helper.make_tensor_value_info("time_step", TensorProto.FLOAT, [1, 1]))
        last = float(len(next(iter(extra.values()))) - 1)
        initial += [
            numpy_helper.from_array(np.array(0.0, np.float32), "low"),
            numpy_helper.from_array(np.array(last, np.float32), "high"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        ]
        nodes += [
            helper.make_node("Clip", ["time_step", "low", "high"], ["t"]),
            helper.make_node("Cast", ["t"], ["i"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["i", "flat"], ["row"]),
        ]
        for name, table in extra.items():
            initial.append(numpy_helper.from_array(table.astype(np.float32), f"t_{name}"))
            nodes.append(helper.make_node("Gather", [f"t_{name}", "row"], [name]))
            outputs.append(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *table.shape[1:]])
            )
    graph = helper.make_graph(nodes, "policy", inputs, outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def test_a_policy_of_holosoma(tmp_path: Path, ours: PolicyPlayer, clip, robot) -> None:
    c = ours.contract
    anchor, root = c.body_names.index(c.anchor_body), c.body_names.index(c.root_body)
    tables = {
        "joint_pos": clip.joint_pos,
        "joint_vel": clip.joint_vel,
        "ref_pos_xyz": clip.body_pos_w[:, anchor],
        "ref_quat_xyzw": clip.body_quat_w[:, anchor][:, [1, 2, 3, 0]],
    }
    path = small(tmp_path / "h.onnx", 154, 29, tables)
    model = onnx.load(path)
    for key, value in (("dof_names", c.joint_names), ("kp", c.kp), ("kd", c.kd)):
        model.metadata_props.add(key=key, value=json.dumps(list(value)))
    onnx.save(model, path)
    found = open_policy(path)
    assert found.contract.observation_size == 154 and found.contract.kp == c.kp
    inside = found.reference_inside()
    count = inside.num_frames
    # The base comes out of the anchor and the joints.
    assert np.allclose(inside.body_pos_w[:, 0], clip.body_pos_w[:count, root], atol=1e-4)
    assert np.allclose(inside.body_quat_w[:, 1], clip.body_quat_w[:count, anchor], atol=1e-5)
    told = "\n".join(notes_of(found))
    assert "default_joint_pos" in told and "action_scale" in told and "torso_link" in told


DESCRIBED = """
robot = "unitree_g1"
control_dt = 0.02
action_scale = 0.25
joint_names = [JOINTS]
observations = [
  {name = "base_ang_vel", scale = 0.25}, {name = "projected_gravity"},
  {name = "velocity_commands", scales = [2.0, 2.0, 0.25]},
  {name = "joint_pos", history = 2}, {name = "joint_vel", scale = 0.05},
  {name = "last_action"}, {name = "phase", period = 0.8},
]
[kp]
left_knee_joint = 150.0
"""
LEGS = ("left_hip_pitch_joint", "left_knee_joint", "right_hip_pitch_joint", "right_knee_joint")
SIZE = 3 + 3 + 3 + 2 * 4 + 4 + 4 + 2


def description(path: Path, text: str = DESCRIBED) -> Path:
    path.write_text(text.replace("JOINTS", ", ".join(f'"{name}"' for name in LEGS)))
    return path


def test_a_described_policy_of_the_legs(tmp_path: Path) -> None:
    path, toml = small(tmp_path / "l.onnx", SIZE, 4), description(tmp_path / "l.toml")
    with pytest.raises(UserError, match="--describe policy.toml"):
        open_policy(path)
    found = open_policy(path, toml, (0.5, 0.0, 1.0))
    c = found.contract
    assert c.joint_names[:4] == LEGS and c.num_joints == 29 and c.kp[1] == 150.0
    state = replace(state_of(found), root_quat_w=[1.0, 0.0, 0.0, 0.0])
    reference, last = found.reference_inside(), np.zeros(29)
    first = found.observe(state, reference, 0, last)
    assert np.allclose(first[6:9], [1.0, 0.0, 0.25]) and np.allclose(first[-2:], [0.0, 1.0])
    joints = np.asarray(state.joint_pos)[:4] - np.asarray(c.default_joint_pos)[:4]
    assert np.allclose(first[9:17], [*joints, *joints], atol=1e-6)
    action = found.act(first)
    assert action.shape == (29,) and np.any(action[:4]) and not np.any(action[4:])
    later = found.observe(state, reference, 1, action)
    assert np.allclose(later[-6:-2], action[:4]) and later[-2] > 0.1
    assert any("kp" in line for line in notes_of(found))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('robot = "unitree_g1"', "", "lacks robot"),
        ("projected_gravity", "heights", "'heights' is not known here"),
        ("left_knee_joint = 150", "left_wing = 150", "has no joint left_wing"),
        ("control_dt = 0.02", "control_dt = 0.0", "control_dt"),
        ("control_dt", "control_step", "control_step"),
        ("[kp]", "[kp", "TOML"),
        ("history = 2", "history = 3", "cannot be run"),
    ],
)
def test_a_description_that_does_not_fit(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = small(tmp_path / "l.onnx", SIZE, 4)
    toml = description(tmp_path / "l.toml", DESCRIBED.replace(old, new))
    with pytest.raises(UserError, match=told) as raised:
        open_policy(path, toml)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_runs_where_it_is_trusted_only(tmp_path: Path, monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    path, toml = tmp_path / "legs.pt", description(tmp_path / "l.toml")
    torch.jit.script(torch.nn.Linear(SIZE, 4)).save(str(path))
    monkeypatch.delenv("MIMIC_TRUST", raising=False)
    with pytest.raises(UserError, match="--trust torchscript"):
        open_policy(path, toml)
    monkeypatch.setenv("MIMIC_TRUST", "torchscript")
    found = open_policy(path, toml)
    assert found.act(np.zeros(SIZE)).shape == (29,)


TWELVE = [
    f"{side}_{joint}_joint"
    for side in ("left", "right")
    for joint in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
]
GYM = f"""
robot = "unitree_g1"
action_scale = 0.25
joint_names = {json.dumps(TWELVE)}
observations = [
  {{name = "base_ang_vel", scale = 0.25}}, {{name = "projected_gravity"}},
  {{name = "velocity_command", scales = [2.0, 2.0, 0.25]}},
  {{name = "joint_pos"}}, {{name = "joint_vel", scale = 0.05}}, {{name = "actions"}},
  {{name = "phase", period = 0.8}},
]
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_recurrent_policy_of_the_legs_as_unitree_rl_gym_exports_it(
    tmp_path: Path, monkeypatch
) -> None:
    """47 observations, 12 of 29 joints, an LSTM whose memory is in buffers of the module."""
    torch = pytest.importorskip("torch")

    class Exported(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = torch.nn.LSTM(47, 8, 1)
            self.actor = torch.nn.Linear(8, 12)
            self.register_buffer("hidden_state", torch.zeros(1, 1, 8))
            self.register_buffer("cell_state", torch.zeros(1, 1, 8))

        def forward(self, x):
            out, (h, c) = self.memory(x.unsqueeze(0), (self.hidden_state, self.cell_state))
            self.hidden_state[:] = h
            self.cell_state[:] = c
            return self.actor(out.squeeze(0))

    torch.manual_seed(0)
    made = Exported()
    path, toml = tmp_path / "motion.pt", description(tmp_path / "gym.toml", GYM)
    torch.jit.script(made).save(str(path))
    monkeypatch.setenv("MIMIC_TRUST", "torchscript")
    player = open_policy(path, toml, (0.5, 0.0, 0.1))
    assert player.contract.joint_names[:12] == tuple(TWELVE)
    assert player.contract.observation_size == 47
    state, still = state_of(player), player.reference_inside()

    def acts() -> np.ndarray:
        player.restart()
        last, found = np.zeros(29), []
        for step in range(3):
            last = player.act(player.observe(state, still, step, last))
            found.append(last[:12])
        return np.array(found)

    first = acts()
    assert np.abs(first[1] - first[0]).max() > 1e-4, "it has no memory"
    assert np.array_equal(acts(), first), "its memory outlives its end"
    # The same by hand.
    memory, last, steps = None, np.zeros(12), []
    up = -np.asarray([0.0, 0.0, 1.0])
    joints = np.asarray(state.joint_pos)[:12] - player.contract.default_joint_pos[:12]
    for step in range(3):
        angle = 2 * np.pi * 0.02 * step / 0.8
        obs = np.concatenate(
            [
                0.25 * np.asarray(state.root_ang_vel_b), up, [1.0, 0.0, 0.025], joints,
                0.05 * np.asarray(state.joint_vel)[:12], last, [np.sin(angle), np.cos(angle)],
            ]
        )  # fmt: skip
        with torch.no_grad():
            out, memory = made.memory(torch.tensor(obs, dtype=torch.float32)[None, None], memory)
            last = made.actor(out[0])[0].numpy()
        steps.append(last)
    assert np.allclose(first, steps, atol=1e-5)


def test_ours_are_opened_as_ever() -> None:
    player = open_policy(SHIPPED_POLICY)
    assert type(player) is PolicyPlayer
    metadata = {each.key for each in onnx.load(SHIPPED_POLICY).metadata_props}
    assert {METADATA_KEY, GOLDEN_KEY} <= metadata


@pytest.mark.parametrize("value", ['["x"]', "[[1.0]]", "7", "null"])
def test_gains_of_holosoma_that_are_no_numbers(
    tmp_path: Path, ours: PolicyPlayer, clip: Reference, value: str
) -> None:
    c = ours.contract
    tables = {
        "joint_pos": clip.joint_pos, "joint_vel": clip.joint_vel,
        "ref_pos_xyz": clip.body_pos_w[:, 0], "ref_quat_xyzw": clip.body_quat_w[:, 0],
    }  # fmt: skip
    model = onnx.load(small(tmp_path / "h.onnx", 154, 29, tables))
    for key, told in (("dof_names", json.dumps(c.joint_names)), ("kp", value), ("kd", value)):
        model.metadata_props.add(key=key, value=told)
    onnx.save(model, tmp_path / "h.onnx")
    with pytest.raises(UserError, match="metadata 'kp' is no list of numbers"):
        open_policy(tmp_path / "h.onnx")


@pytest.mark.parametrize("key", ["body_names", "joint_names", "observation_names"])
def test_endless_names_are_cut(
    key: str, tmp_path: Path, ours: PolicyPlayer, clip: Reference
) -> None:
    tables = {each.name: getattr(clip, each.name) for each in fields(Reference)}
    metadata = {**mjlab_metadata(ours), key: csv(["pelvis", *["elbow of nobody"] * 500])}
    path = as_theirs(tmp_path / "t.onnx", tables, metadata)
    with pytest.raises(UserError) as refused:
        open_policy(path)
    assert len(str(refused.value)) < 1500 and "\n" not in str(refused.value)


def test_bytes_that_are_no_text_print_nothing(theirs: Path, tmp_path: Path, capfd) -> None:
    data = theirs.read_bytes()
    at = data.index(b"joint_names")
    (tmp_path / "t.onnx").write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    with pytest.raises(UserError, match="not a readable ONNX file"):
        open_policy(tmp_path / "t.onnx")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 5000 + ".toml", "a\0b"])
def test_a_robot_of_no_possible_name_is_unknown(name: str) -> None:
    with pytest.raises(UserError) as refused:
        robots.load(name)
    assert len(str(refused.value)) < 600 and "\n" not in str(refused.value)
