"""Policies, checkpoints, configurations and manifests of strangers: one line each."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mimic.policy.contract import GOLDEN_KEY, METADATA_KEY, PolicyContract
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import InputError, MimicError, UserError
from mimic_base.json_text import parse_json, parse_toml
from motions.robot.dataset import find_motion_files
from motions.robot.dataset import read_manifest as read_motion_manifest
from retarget.batch.jobs import read_manifest

DEMO = Path(__file__).parents[2] / "mimic" / "assets" / "policy_g1_demo.onnx"
Refused = Callable[..., str]
DEEP = "[" * 100_000 + "]" * 100_000


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


# -- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, rule",
    [
        ("", "not valid JSON"), ("{", "not valid JSON"), (b"\xff\xfe", "not valid JSON"),
        (DEEP, "limit 'depth'"), (json.dumps(deep(150)), "limit 'depth'"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "limit 'depth'"),
        ("NaN", "NaN is no number"), ("[1, -Infinity]", "Infinity is no number"),
        ("9" * 5000, "5000 digits|not valid JSON"), ("1" + "0" * 19 + "0", "21 digits"),
        (r'"\ud800"', "half a character"),
    ],
)  # fmt: skip
def test_a_forged_json_is_one_line(text: str | bytes, rule: str) -> None:
    with pytest.raises(InputError, match=rule) as error:
        parse_json("a.json", text)
    assert str(error.value).startswith("a.json: ") and len(str(error.value)) < 400


def test_json_within_the_limits_is_read() -> None:
    value = {"a": [1, -2.5, 2**64 - 1, None, True, "é\U0001f600"], "deep": deep(90)}
    assert parse_json("a.json", json.dumps(value)) == value
    assert parse_json("a.json", json.dumps(value).encode()) == value
    assert parse_json("a.json", "[NaN]", nan=True)[0] != 0


@pytest.mark.parametrize(
    "text", ["a = " + DEEP, "a = ", "a = " + "9" * 5000, "a" + ".a" * 500 + " = 1", b"\xff"]
)
def test_a_forged_toml_is_one_line(text: str | bytes) -> None:
    with pytest.raises(InputError, match="a.toml: "):
        parse_toml("a.toml", text)


# -- contracts ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    return json.loads(PolicyPlayer(DEMO).contract.to_json())


WRONG: list[tuple[str, Any]] = [
    ("joint_names", 3), ("joint_names", [1, 2]), ("joint_names", deep(80)), ("robot", []),
    ("robot", {"name": 1, "hash": "x"}), ("kp", "high"), ("kp", [True] * 29), ("kp", None),
    ("kp", ["1"] * 29), ("control_dt", "0.02"), ("control_dt", {}), ("control_dt", True),
    ("observations", 7), ("observations", [7]), ("observations", [{"name": "a"}]),
    ("observations", [{"name": "a", "size": 10**12}]),
    ("observations", [{"name": "a", "size": 2.5}]),
    ("observations", [{"name": "a", "size": 3, "delay": 4}]),
    ("observations", [{"name": "a", "size": 3, "history": 10**9}]),
    ("motions", [{"name": "a", "hash": "b", "fps": 50, "frames": 10**15}]),
    ("motions", [{"name": "a", "hash": "b", "fps": 0, "frames": 10}]), ("motions", {"a": 1}),
    ("reference_lead", "now"), ("reference_lead", 1.5), ("anchor_body", ["a"]),
    ("clip_inside", "first"), ("quaternion", 4), ("task", {"$ref": "os:system"}),
    ("schema", ["a"] * 1000), ("schema", None),
]  # fmt: skip


@pytest.mark.parametrize("field, value", WRONG, ids=[f"{f}-{i}" for i, (f, _) in enumerate(WRONG)])
def test_a_contract_of_wrong_types_is_one_line(
    field: str, value: Any, contract: dict[str, Any]
) -> None:
    with pytest.raises(MimicError, match="contract") as error:
        PolicyContract.from_json(json.dumps({**contract, field: value}))
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("text", ["", "[]", "3", DEEP, '{"schema": NaN}', "{}"])
def test_what_is_no_contract_is_one_line(text: str) -> None:
    with pytest.raises(MimicError, match="contract"):
        PolicyContract.from_json(text)


def test_the_contract_of_the_demo_comes_back(contract: dict[str, Any]) -> None:
    read = PolicyContract.from_json(json.dumps(contract))
    assert json.loads(read.to_json()) == contract


def _policy(path: Path, **metadata: str) -> Path:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(DEMO))
    known = {entry.key: entry.value for entry in model.metadata_props} | metadata
    onnx.helper.set_model_props(model, known)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "trace",
    [DEEP, "[]", "{}", '{"obs": 1, "actions": 2}', '{"obs": [], "actions": []}',
     '{"obs": [["a"]], "actions": [[1]]}', '{"obs": [[[1]]], "actions": [[1]]}',
     '{"obs": [[1e999]], "actions": [[1]]}', '{"obs": {"$ref": "os:system"}, "actions": []}'],
)  # fmt: skip
def test_a_forged_golden_trace_is_one_line(trace: str, tmp_path: Path) -> None:
    path = _policy(tmp_path / "policy.onnx", **{GOLDEN_KEY: trace})
    with pytest.raises(MimicError, match=r"policy\.onnx: .*golden trace"):
        PolicyPlayer(path)


def test_play_tells_a_forged_contract(tmp_path: Path, refused: Refused) -> None:
    path = _policy(tmp_path / "policy.onnx", **{METADATA_KEY: DEEP})
    assert f"{path}: " in refused("mimic.cli", "play", path)


def test_weights_in_other_files_are_not_opened(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(DEMO))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(MimicError, match="weights are in other files"):
        PolicyPlayer(path)


def test_loops_are_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(DEMO))
    model.graph.node.append(onnx.helper.make_node("Loop", ["obs"], ["x"]))
    path = tmp_path / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(MimicError, match="operator that no policy needs .found Loop"):
        PolicyPlayer(path)


def test_damaged_policies_are_one_line_each(tmp_path: Path) -> None:
    import random

    whole = DEMO.read_bytes()
    rng = random.Random(0)
    path = tmp_path / "policy.onnx"
    for _ in range(15):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 4, 30))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(bytes(data[: rng.choice((len(data), len(data), len(data) // 2))]))
        try:
            PolicyPlayer(path)
        except MimicError as error:
            assert str(path) in str(error) and len(str(error)) < 600


def test_an_observation_imports_no_library_of_python(tmp_path: Path) -> None:
    from mimic.envs.observation import find_observation

    for name in ("antigravity:fly", "os:system", ".relative:x", ":x", "", "a b:c"):
        with pytest.raises(MimicError, match="declared"):
            find_observation(name)


# -- checkpoints ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, Any]:
    from mimic.learning.checkpoints import load_checkpoint

    return load_checkpoint(Path(__file__).parents[1] / "learning" / "first_schema")


STATES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nothing but a schema": lambda s: {"schema": s["schema"]},
    "a list": lambda s: [s],
    "no configuration": lambda s: {k: v for k, v in s.items() if k != "config"},
    "a configuration that is a text": lambda s: {**s, "config": "x"},
    "no loop": lambda s: {**s, "config": {"algorithm": {}}},
    "an iteration that is a text": lambda s: {**s, "iteration": "x"},
    "an algorithm without a name": lambda s: {**s, "algorithm": {"state": {}}},
    "an unknown algorithm": lambda s: {**s, "algorithm": {"name": "x", "state": {}}},
    "another state": lambda s: {**s, "algorithm": {"name": "ppo", "state": {"actor": 3}}},
    "no actions": lambda s: {**s, "spec": {**s["spec"], "num_actions": 0}},
    "absurd actions": lambda s: {**s, "spec": {**s["spec"], "num_actions": 10**12}},
    "an absurd observation": lambda s: {**s, "spec": {**s["spec"], "observations": {
        "actor": [{"name": "a", "size": 10**12}]}}},
    "observations of numbers": lambda s: {**s, "spec": {**s["spec"], "observations": 3}},
    "absurd networks": lambda s: {**s, "config": {**s["config"], "algorithm": {
        **s["config"]["algorithm"], "networks": {"actor_hidden": [10**6, 10**6]}}}},
    "deep": lambda s: {**s, "config": {**s["config"], "task": deep(150)}},
    "an identity that is deep": lambda s: {**s, "identity": {"task": deep(20), "robot": ""}},
    "a contract that is a number": lambda s: {**s, "contract": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_a_forged_checkpoint_is_one_line(
    name: str, checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    import torch

    from mimic.learning.loading import load_policy

    path = tmp_path / "clip.pt"
    torch.save(STATES[name](checkpoint), path)
    with pytest.raises(UserError) as error:
        load_policy(path)
    assert str(path) in str(error.value) and len(str(error.value)) < 600
    torch.save(checkpoint, path)
    load_policy(path)


def test_export_tells_a_forged_checkpoint(tmp_path: Path, refused: Refused) -> None:
    import torch

    path = tmp_path / "last.pt"
    torch.save({"schema": "humanoid-mimic/checkpoint/2"}, path)
    line = refused("mimic.cli", "export", path, "--out", tmp_path / "policy.onnx")
    assert f"{path}: identity: found nothing, expected a mapping" in line


def test_a_checkpoint_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    from mimic.learning.checkpoints import load_checkpoint

    path = tmp_path / "last.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("last/data.pkl", b"\x80\x02}.")
        archive.writestr("last/data/0", bytes(300 << 20))
    with pytest.raises(MimicError, match="limit 'ratio'"):
        load_checkpoint(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(MimicError, match="not a readable checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("text", [DEEP, "[]", '{"motion": 3}', '{"motion": [3]}', "NaN", "\ud800"])
def test_a_forged_configuration_is_one_line(text: str, tmp_path: Path) -> None:
    from mimic.policy.opener import find_policy

    (tmp_path / "config.json").write_text(text, errors="surrogatepass")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(MimicError, match="config.json|not a run directory") as error:
        find_policy(tmp_path)
    assert len(str(error.value)) < 400


# -- manifests ------------------------------------------------------------------------------------


def test_a_table_that_csv_cannot_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("file,weight\n" + "a" * 200_000 + ",1\n")
    with pytest.raises(InputError, match=r"set\.csv: not a readable table .*field larger"):
        find_motion_files([path])
    path.write_bytes(b"file,weight\ra.npz,1\n")  # lines of an old Macintosh, and others
    with pytest.raises(InputError, match=r"a\.npz"):
        find_motion_files([path])


@pytest.mark.parametrize(
    "line",
    [DEEP, "{" * 200, '{"clip": null}', '{"clip": 3}', '{"clip": "a\\u0000b.bvh"}', '{"clip": ""}',
     '{"clip": "a.bvh", "start": NaN}', '{"clip": "a.bvh", "start": 1e999}',
     '{"clip": "a.bvh", "end": ' + "9" * 5000 + "}", '{"clip": "\\ud800.bvh"}',
     '{"clip": "a.bvh", "ground": {"a": []}}', '{"clip": "a.bvh", "name": "../x"}',
     "a\0b.bvh"],
)  # fmt: skip
def test_a_forged_manifest_is_one_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "clips.jsonl"
    path.write_text(line + "\n")
    if line.startswith("["):
        read_manifest(path)  # a path like any other; it does not exist
    else:
        with pytest.raises(InputError, match="line 1 of the manifest|limit|binary") as error:
            read_manifest(path)
        assert str(path) in str(error.value) and len(str(error.value)) < 600
    with pytest.raises(InputError):
        read_motion_manifest(path)
