"""An algorithm of one's own, in a folder of its own: nothing of the project is edited.

Its file is what ``mimic.learning.algorithm`` shows as an example.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import robots
from mimic.envs.spec import ObservationEntry
from mimic.learning import LoopConfig, RunConfig, algorithm, load_policy, registry, start_runner
from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.distributed import SINGLE
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.learning.fake_env import FakeEnv

REPO = Path(__file__).resolve().parents[2]
TASK = "tracking-no-state-estimation"
IMPORTS = """
import copy
from dataclasses import dataclass
import torch
from torch import nn
"""


def example() -> str:
    """The algorithm in the documentation of the protocol."""
    assert algorithm.__doc__ is not None
    _, _, code = algorithm.__doc__.partition("asks for::\n")
    return IMPORTS + textwrap.dedent(code)


@pytest.fixture(autouse=True)
def named_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of these tests count as named on a command line."""
    monkeypatch.setattr("mimic_base.trust.is_trusted", lambda module: True)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with the algorithm and a clip."""
    (tmp_path / "standing.py").write_text(example())
    sway(robots.load(TINY), fps=30.0, seconds=1.0).save(tmp_path / "sway.npz")
    return tmp_path


def mimic(*arguments: object, folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "mimic.cli", *map(str, arguments)], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_it_trains_resumes_exports_and_plays_by_the_command_line(own: Path) -> None:
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 40, "an algorithm should be short"
    mimic(
        "train", TASK, "--motion", "sway.npz", "--robot", TINY,
        "--algorithm", "standing:StandStill", "--algorithm.learning-rate", "0.01",
        "--loop.num-envs", "4", "--loop.iterations", "2", "--device", "cpu", folder=own,
    )  # fmt: skip
    (run,) = (own / "runs" / TASK).iterdir()
    saved = json.loads((run / "config.json").read_text())
    assert saved["run"]["algorithm"] == {"learning_rate": 0.01}
    rows = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    assert rows[1]["loss/pose"] < rows[0]["loss/pose"]

    shown = mimic("train", "--resume", run, "--loop.iterations", "3", folder=own)
    assert "iterations 2 to 3" in shown and "pose" not in shown.splitlines()[0]
    state = load_checkpoint(run)
    assert state["iteration"] == 3 and state["algorithm"]["name"] == "standing:StandStill"

    out = own / "standing.onnx"
    mimic("export", run, "--out", out, folder=own)
    assert PolicyPlayer(out).contract.training["iterations"] == 3
    played = [
        mimic("play", each, "--motion", own / "sway.npz", "--robot", TINY, folder=own)
        for each in (out, run / "checkpoints" / "last.pt")
    ]
    assert "sway: " in played[0] and played[0] == played[1]


def test_it_runs_on_any_environment_and_its_policy_is_loaded(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(own)
    name = "standing:StandStill"
    config = RunConfig(
        algorithm_name=name,
        algorithm=registry.config_class(name)(),
        loop=LoopConfig(num_envs=16, iterations=2),
    )
    runner = start_runner(FakeEnv(), config, own / "run")
    assert runner.learn() == "finished"
    policy, _ = load_policy(own / "run")
    obs = runner.env.get_observations()["actor"]
    with torch.no_grad():
        torch.testing.assert_close(policy(obs), runner.policy()(obs))
    with pytest.raises(MimicError, match="of algorithm 'standing:StandStill', this run of 'ppo'"):
        start_runner(FakeEnv(), RunConfig(loop=config.loop)).resume(own / "run")
    with pytest.raises(MimicError, match="cannot start from another run's networks"):
        start_runner(FakeEnv(), config).initialise(own / "run")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("Mine = 3", "is a int, expected a class"),
        ("class Mine: ...", "needs a class attribute Config"),
        ("class Mine:\n    Config = int", "needs a class attribute Config"),
        ("class Yours: ...", "no 'Mine'"),
        ("import absent_thing", "needs 'absent_thing', which is absent"),
    ],
)
def test_what_is_no_algorithm_is_told_in_one_line(
    code: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"plug_in_{abs(hash(code))}"
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MimicError, match=text):
        registry.config_class(f"{module}:Mine")


def test_an_algorithm_without_its_methods_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_done.py").write_text("class Mine:\n    def act(self, obs): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MimicError, match="lacks build, observe, update, policy, state_dict"):
        registry.algorithm_class("half_done:Mine")


@pytest.mark.parametrize("name", sorted(registry.ALGORITHMS))
def test_a_task_without_what_an_algorithm_sees_is_refused(name: str) -> None:
    spec = replace(FakeEnv().spec, observations={"camera": (ObservationEntry(name="a", size=2),)})
    with pytest.raises(MimicError, match=r"needs the observation groups? .*actor.* has camera"):
        registry.algorithm_class(name).build(spec, registry.config_class(name)(), "cpu", SINGLE)


def test_a_transition_tells_ended_episodes_apart() -> None:
    env = FakeEnv(num_envs=32)
    seen: list[Any] = []

    class Spy:
        Config: ClassVar[type] = LoopConfig
        steps: int = 60

        @classmethod
        def build(cls, spec: Any, config: Any, device: str, ranks: Any) -> Spy:
            return cls()

        def act(self, obs: Any) -> torch.Tensor:
            # Some stay near their reference until the time is over, some fail.
            reach = torch.linspace(0.0, 3.0, 32)[:, None]
            return reach * torch.ones(32, 4)

        def observe(self, transition: Any) -> None:
            seen.append(transition)

        def update(self) -> dict[str, float]:
            return {}

        def policy(self) -> torch.nn.Module:
            return torch.nn.Linear(16, 4)

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: Any) -> None: ...

    from mimic.learning.runner import Runner

    runner = Runner(env, Spy(), RunConfig(algorithm=LoopConfig(), loop=LoopConfig(iterations=1)))
    runner.learn()
    assert len(seen) == 60
    assert any(t.terminated.any() for t in seen) and any(t.truncated.any() for t in seen)
    for before, after in zip(seen, seen[1:], strict=False):
        assert torch.equal(before.next_obs["actor"], after.obs["actor"])
    for t in seen:
        assert not (t.terminated & t.truncated).any()
        assert torch.equal(t.dones.nonzero().squeeze(-1), t.final_ids)
        following = t.following_obs("critic")
        assert torch.equal(following[t.final_ids], t.final_obs["critic"])
        assert torch.equal(following[~t.dones], t.next_obs["critic"][~t.dones])
