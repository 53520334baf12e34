"""The ladder: a policy that is well climbs it, and each that is not is told why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic.deploy import check
from mimic.deploy.check import Rung, ladder, table
from mimic.deploy.setup import SHIPPED_CLIP, SHIPPED_POLICY
from motions import RobotMotion


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first second of the walk, of which the robot stands for the most part."""
    walk = RobotMotion.load(SHIPPED_CLIP)
    arrays = {name: values[:50] for name, values in walk.frame_fields().items()}
    path = tmp_path_factory.mktemp("clip") / "short.npz"
    replace(walk, **arrays, contact=walk.contact[:50]).save(path)
    return path


def test_the_lower_rungs(short_clip: Path, monkeypatch) -> None:
    """File, contract, a robot without physics; and what the simulated ones are asked to be."""
    asked = []

    def simulated(*words: object, wire: bool, estimate: bool) -> Rung:
        asked.append((words[3], words[4], words[5], words[6], wire))
        # Who has no odometry estimates it: this policy observes it.
        assert estimate == (not words[5].odometry)  # type: ignore[attr-defined]
        return Rung(name=str(words[3]), go=True, why="")

    monkeypatch.setattr(check, "_simulated", simulated)
    rungs = list(ladder(SHIPPED_POLICY, [short_clip]))
    assert [rung.name for rung in rungs[:3]] == ["file", "contract", "fake robot"]
    assert all(rung.go for rung in rungs) and len(rungs) == 14
    delays = [flaws.state_delay for *_, flaws, _ in asked if flaws is not None]
    assert delays == [1, 2, 4, 0, 0, 0] and sum(wire for *_, wire in asked) == 1
    assert "go     estimated in that noise" in table(rungs)[-1]
    assert not table([Rung(name="x", go=False, why="y")])[0].startswith("go")


def test_a_simulated_rung(short_clip: Path) -> None:
    import robots
    from mimic.deploy.setup import references_of
    from mimic.deploy.simulated import Imperfections, SimulationSettings
    from mimic.policy.player import PolicyPlayer

    player, robot = PolicyPlayer(SHIPPED_POLICY), robots.load("unitree_g1")
    clips = references_of(player, [short_clip])
    fine = SimulationSettings(tick=0.01, physics_hz=200.0)
    went = check._simulated(player, robot, clips, "wire", 100.0, fine, None, wire=True)
    assert went.go, went.why
    deaf = Imperfections(state_loss=1.0)
    fell = check._simulated(player, robot, clips, "deaf", 100.0, fine, deaf, wire=False)
    assert not fell.go and fell.why.endswith("s")


def test_a_file_that_is_none_ends_the_ladder(tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"nonsense")
    (rung,) = ladder(path)
    assert not rung.go and rung.name == "file" and "not a readable ONNX file" in rung.why


def test_a_clip_of_another_robot_ends_it_at_the_contract(tmp_path: Path) -> None:
    walk = RobotMotion.load(SHIPPED_CLIP)
    path = tmp_path / "other.npz"
    replace(walk, robot="unitree_h1").save(path)
    *_, last = ladder(SHIPPED_POLICY, [path])
    assert not last.go and last.name == "contract" and "unitree_h1" in last.why
    assert np.isfinite(walk.joint_pos).all()
