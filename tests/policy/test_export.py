"""A policy file computes what torch computes, or it does not exist."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from mimic.learning import Runner, run_config, start_runner
from mimic.policy.contract import GOLDEN_KEY, METADATA_KEY, contract_of_env
from mimic.policy.export import export_policy
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from tests.learning.fake_env import FRAMES, JOINTS, FakeEnv

SMALL = run_config(
    num_envs=16, iterations=1, steps_per_iteration=4, actor_hidden=(16, 8), critic_hidden=(8,),
    workers=1, output_gain=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def runner() -> Runner:
    made = start_runner(FakeEnv(), SMALL)
    made.learn()
    return made


@pytest.fixture(scope="module")
def policy_file(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    runner.export(path)
    return path


def rewrite(source: Path, target: Path, change: Any) -> Path:
    model = onnx.load(source)
    change(model)
    onnx.save(model, target)
    return target


def drop_metadata(model: onnx.ModelProto, *keys: str) -> None:
    kept = [entry for entry in model.metadata_props if entry.key not in keys]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)


def scale_weights(model: onnx.ModelProto, factor: float) -> None:
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2:
            value = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


@pytest.mark.parametrize("feedthrough", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
def test_the_file_answers_as_torch_for_any_batch(
    tmp_path: Path, feedthrough: bool, normalise: bool
) -> None:
    config = run_config(SMALL, command_feedthrough=feedthrough, obs_normalization=normalise)
    made = start_runner(FakeEnv(), config)
    made.learn()
    made.export(tmp_path / "policy.onnx")
    player = PolicyPlayer(tmp_path / "policy.onnx")
    for rows in (1, 5):
        obs = torch.randn(rows, 16)
        with torch.no_grad():
            expected = made.policy()(obs).numpy()
        np.testing.assert_allclose(player.act(obs.numpy()), expected, rtol=1e-5, atol=1e-5)
    assert player.act(np.zeros(16)).shape == (JOINTS,)
    assert [path.name for path in tmp_path.iterdir()] == ["policy.onnx"]


def test_the_file_is_plain_onnx_of_the_promised_opset(policy_file: Path) -> None:
    model = onnx.load(policy_file)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    assert not any(node.domain for node in model.graph.node)
    assert [each.name for each in model.graph.input] == ["obs"]
    assert [each.name for each in model.graph.output] == ["actions"]


def test_the_golden_trace_holds_real_observations(runner: Runner, policy_file: Path) -> None:
    player = PolicyPlayer(policy_file)
    real = runner.env.get_observations()["actor"][: len(player.golden_obs)].numpy()
    np.testing.assert_array_equal(player.golden_obs, real)
    np.testing.assert_allclose(player.act(real), player.golden_actions, rtol=1e-5, atol=1e-5)


def test_a_clip_inside_gives_its_frames_and_stays_on_the_last(
    runner: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "clip.onnx"
    runner.export(path, choice=1)
    player = PolicyPlayer(path)
    assert isinstance(runner.env, FakeEnv)
    inside, library = player.reference_inside(), runner.env.motion
    assert inside.num_frames == FRAMES
    for name in ("joint_pos", "joint_vel", "body_quat_w", "body_ang_vel_w"):
        rows = getattr(library, name)[FRAMES:].double().numpy()
        np.testing.assert_array_equal(getattr(inside, name), rows)
    names = [each.name for each in player._session.get_outputs()]
    assert names[0] == "actions" and set(names[1:]) >= {"joint_pos", "body_pos_w"}
    for asked, given in ((-3.0, 0), (7.0, 7), (10_000.0, FRAMES - 1)):
        step = np.array([[asked]], np.float32)
        inputs = {"obs": np.zeros((1, 16), np.float32), "time_step": step}
        (rows,) = player._session.run(["joint_pos"], inputs)
        expected = library.joint_pos[FRAMES + given].numpy()
        np.testing.assert_array_equal(np.asarray(rows)[0], expected)
    assert player.act(np.zeros((3, 16))).shape == (3, JOINTS)
    with pytest.raises(MimicError, match="clip 2 does not exist"):
        runner.export(path, choice=2)
    with pytest.raises(MimicError, match="no clip 'third' in this run; it has first, second"):
        runner.export(path, choice="third")


def test_weights_that_are_not_finite_are_not_exported(runner: Runner, tmp_path: Path) -> None:
    policy = copy.deepcopy(runner.policy())
    next(iter(policy.parameters())).data[0, 0] = torch.nan
    contract = contract_of_env(runner.env, {})
    obs = runner.env.get_observations()["actor"]
    with pytest.raises(MimicError, match=r"'mlp\.0\.weight' holds numbers that are not finite"):
        export_policy(policy, contract, obs, tmp_path / "p.onnx")
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_do_not_match_are_not_exported(runner: Runner, tmp_path: Path) -> None:
    contract = contract_of_env(runner.env, {})
    with pytest.raises(MimicError, match="observations have shape"):
        export_policy(runner.policy(), contract, torch.zeros(4, 15), tmp_path / "p.onnx")
    with pytest.raises(MimicError, match="gives 2 actions for 4 joints"):
        export_policy(nn.Linear(16, 2), contract, torch.zeros(4, 16), tmp_path / "p.onnx")


def test_a_policy_that_onnx_computes_differently_leaves_no_file(
    runner: Runner, tmp_path: Path
) -> None:
    class Unstable(nn.Module):
        """Traced once, it is another function afterwards."""

        def __init__(self, policy: nn.Module) -> None:
            super().__init__()
            self.policy = policy
            self.calls = 0

        def forward(self, obs: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.policy(obs) + 0.01 * self.calls

    contract = contract_of_env(runner.env, {})
    obs = runner.env.get_observations()["actor"]
    with pytest.raises(MimicError, match="differs? "):
        export_policy(Unstable(runner.policy()), contract, obs, tmp_path / "p.onnx")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_policies_are_refused(policy_file: Path, tmp_path: Path) -> None:
    whole = policy_file.read_bytes()
    cases = {
        "torn.onnx": (whole[: len(whole) // 2], "not a readable ONNX file"),
        "empty.onnx": (b"", "not a readable ONNX file"),
        "text.onnx": (b"hello", "not a readable ONNX file"),
    }
    for name, (content, text) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(MimicError, match=text) as caught:
            PolicyPlayer(path)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(MimicError, match="does not exist"):
        PolicyPlayer(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: drop_metadata(m, METADATA_KEY, GOLDEN_KEY), "no humanoid-mimic contract"),
        (lambda m: drop_metadata(m, GOLDEN_KEY), "golden trace .* missing"),
        (lambda m: scale_weights(m, 1.01), "differs from its golden trace"),
        (lambda m: scale_weights(m, float("nan")), "not finite"),
    ],
)
def test_an_altered_file_is_refused(
    policy_file: Path, tmp_path: Path, change: Any, text: str
) -> None:
    path = rewrite(policy_file, tmp_path / "altered.onnx", change)
    with pytest.raises(MimicError, match=text) as caught:
        PolicyPlayer(path)
    assert "altered.onnx" in str(caught.value) and "\n" not in str(caught.value)


def test_a_contract_of_other_sizes_is_refused(policy_file: Path, tmp_path: Path) -> None:
    def widen(model: onnx.ModelProto) -> None:
        for entry in model.metadata_props:
            if entry.key == METADATA_KEY:
                entry.value = entry.value.replace('"size": 8', '"size": 9')

    path = rewrite(policy_file, tmp_path / "wide.onnx", widen)
    with pytest.raises(MimicError, match="'obs' has 16 entries, its contract says 17"):
        PolicyPlayer(path)


def test_an_observation_of_another_size_is_refused(policy_file: Path) -> None:
    player = PolicyPlayer(policy_file)
    with pytest.raises(MimicError, match=r"shape \(154,\), this policy takes \[16\]"):
        player.act(np.zeros(154))
    with pytest.raises(MimicError, match="not finite"):
        player.act(np.full(16, np.nan))
