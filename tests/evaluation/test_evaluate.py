from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from mimic.benchmark.motion import squat
from mimic.envs.environment import Environment
from mimic.evaluation import Protocol, evaluate, get_protocol
from mimic_base.errors import InputError, MimicError
from motions import RobotMotion
from robots import Robot


def judge(policy, motions, protocol: Protocol | str = "appendix-f", **options):
    options = {"task": "tracking", "robot": "unitree_g1", "threads": 1, **options}
    return evaluate(policy, motions, protocol, **options)


def test_a_short_clip_is_tracked_to_its_end(follow, short: RobotMotion) -> None:
    result = judge(follow, [short])
    (clip,) = result.clips
    assert follow.calls == short.num_frames - 1
    assert clip.success == 1.0 and clip.failures == {}
    assert clip.survived_share == 1.0
    assert clip.duration_s == pytest.approx(0.34)
    assert clip.survived_s == pytest.approx(0.34)
    assert 0.9 < clip.normalised_return <= 1.0
    assert clip.errors["joint_rad"] is not None and clip.errors["joint_rad"] < 0.05
    assert clip.errors["key_body_mm"] is not None and clip.errors["key_body_mm"] < 40
    assert result.total.to_dict() | {"name": ""} == clip.to_dict() | {"name": ""}


def test_a_fall_ends_the_count(jump, g1: Robot) -> None:
    clip = squat(g1, seconds=12.0)
    result = judge(jump, [clip], get_protocol("mjlab", episodes=3))
    assert result.total.success == 0.0
    assert sum(result.total.failures.values()) == 3
    assert result.total.survived_s < 2.0
    # Ten seconds were planned, and the missing ones cost their return.
    assert result.total.duration_s == pytest.approx(10.0)
    assert result.total.normalised_return < 0.2
    errors = result.total.errors
    # Judged before the fall only: a robot on the floor would be off by half a metre.
    assert errors["key_body_mm"] is not None and errors["key_body_mm"] < 350


def test_rounds_and_order_do_not_change_figures(follow, g1: Robot, short: RobotMotion) -> None:
    clips = [short, replace(short.crop(0, 9), name="half")]
    together = judge(follow, clips, get_protocol("appendix-f", episodes=3))
    in_rounds = judge(follow, clips, get_protocol("appendix-f", episodes=3), max_envs=4)
    assert [clip.name for clip in together.clips] == ["squat", "half"]
    assert [clip.episodes for clip in together.clips] == [3, 3]
    assert together.clips[0].duration_s == pytest.approx(0.34)
    assert together.clips[1].duration_s == pytest.approx(0.16)
    for one, other in zip(together.clips, in_rounds.clips, strict=True):
        assert one.errors == pytest.approx(other.errors)
        assert one.normalised_return == pytest.approx(other.normalised_return)


def test_the_seed_decides_noisy_episodes(follow, short: RobotMotion) -> None:
    protocol = get_protocol("noisy-start", episodes=4)
    first, again, other = (judge(follow, [short], protocol, seed=s).to_dict() for s in (3, 3, 4))
    assert first == again
    assert first["total"] != other["total"]
    assert first["protocol"]["episodes_per_clip"] == 4


def test_a_blown_up_state_is_a_failure(
    follow, short: RobotMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Environment.step
    steps = 0

    def broken(self: Environment, actions: torch.Tensor):
        nonlocal steps
        steps += 1
        if steps == 4:
            ids = torch.tensor([1])
            self.engine.set_velocity(ids, torch.full((1, 35), 1e5))
        return real(self, actions)

    monkeypatch.setattr(Environment, "step", broken)
    result = judge(follow, [short], get_protocol("appendix-f", episodes=2))
    assert result.total.success == 0.5
    assert result.total.failures == {"non_finite": 1}
    json.dumps(result.to_dict(), allow_nan=False)


def test_progress_reaches_its_end_even_after_falls(jump, short: RobotMotion) -> None:
    seen: list[tuple[int, int]] = []
    judge(jump, [short], progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (17, 17) and seen[0] == (1, 17)


def test_result_as_table_and_json(follow, short: RobotMotion, tmp_path: Path) -> None:
    clips = [short, replace(short, name="again")]
    result = judge(follow, clips)
    result.save_json(tmp_path / "result.json")
    data = json.loads((tmp_path / "result.json").read_text())
    assert data["schema"] == "humanoid-mimic/evaluation/1"
    assert data["protocol"]["name"] == "appendix-f"
    assert data["units"]["key_body_mm"] == "mm"
    assert [clip["name"] for clip in data["clips"]] == ["squat", "again"]
    assert all(len(clip["hash"]) == 16 for clip in data["clips"])
    assert data["robot"]["hash"] and data["seed"] == 0
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(result.table())
    text = console.export_text()
    assert "again" in text and "100 %" in text and "total" in text


def test_another_robots_motion_is_refused(follow, tiny: Robot) -> None:
    foreign = squat(tiny, seconds=1.0)
    with pytest.raises(InputError, match=f"for robot '{tiny.name}'"):
        judge(follow, [foreign])


def test_no_motion_is_refused(follow) -> None:
    with pytest.raises(MimicError, match="--motion"):
        judge(follow, [])
