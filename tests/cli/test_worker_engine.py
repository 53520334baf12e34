"""Tracking on an engine in another process that has one model for all environments.

That is what the worker of Isaac Gym can do; MuJoCo stands in for it, speaking the same protocol.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mimic.benchmark.motion import squat
from mimic.sim.engines.remote import WORKERS
from robots import Robot
from tests.conftest import TINY

POOR = f"""
import sys
sys.path.insert(0, {str(WORKERS)!r})
from worker_protocol import serve
from mujoco_worker import MujocoSimulator


class OneModel(MujocoSimulator):
    def open(self, request):
        super().open(request)
        return []

    def field(self, name, values):
        raise NotImplementedError(name)


sys.exit(serve(OneModel, "one-model"))
"""
OFF = (
    "--task.events.foot-friction.mode", "off", "--task.events.anchor-com.mode", "off",
)  # fmt: skip
"""What docs/engines.md tells users of such an engine."""


@pytest.fixture
def begin(tiny: Robot, tmp_path: Path) -> list[object]:
    """A training on it, but for what is turned off."""
    (tmp_path / "worker.py").write_text(POOR)
    squat(tiny, seconds=1.0).save(tmp_path / "squat.npz")
    return [
        "train", "tracking-no-state-estimation", "--motion", tmp_path / "squat.npz",
        "--robot", TINY, "--engine", f"remote:worker={tmp_path / 'worker.py'}",
        "--loop.num-envs", 4, "--loop.iterations", 2, "--algorithm.steps", 4,
        "--out", tmp_path / "runs", "--name", "first",
    ]  # fmt: skip


def test_what_varies_is_refused_with_what_turns_it_off(mimic, begin, tmp_path: Path) -> None:
    code, _, err = mimic(*begin)
    assert code == 2 and err.count("\n") == 1
    assert "cannot vary geom_friction, body_ipos between environments" in err
    assert "foot_friction, anchor_com" in err and " ".join(OFF) in err
    assert not (tmp_path / "runs").exists()


def test_tracking_is_trained_resumed_and_played(mimic, begin, tmp_path: Path) -> None:
    code, out, err = mimic(*begin, *OFF)
    assert code == 0, out + err
    (config,) = tmp_path.glob("runs/**/config.json")
    run = config.parent
    saved = json.loads(config.read_text("utf-8"))["run"]["task"]["events"]
    assert saved["foot_friction"]["mode"] == saved["anchor_com"]["mode"] == "off"
    assert saved["joint_default"]["mode"] == "startup" and saved["push"]["mode"] == "interval"
    code, out, err = mimic("train", "--resume", run, "--loop.iterations", 3)
    assert code == 0, out + err
    lines = (run / "progress.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2, 3]
    code, out, err = mimic("play", run)
    assert code == 0 and "squat" in out, out + err
