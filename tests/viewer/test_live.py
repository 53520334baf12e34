"""A policy that is commanded while it plays: keys, a gamepad, sliders, the page in a browser."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import robots
from mimic.cli import run as mimic
from mimic.envs.commands import MotionSetConfig, SkillCommandConfig
from mimic.tasks import make_env
from mimic.tasks.heading import heading
from mimic.tasks.reach import reach
from mimic.tasks.skills import skills
from mimic.viewer.live.controls import TURN
from mimic.viewer.live.keys import KEYS, Gamepad, keys_of
from mimic.viewer.live.session import LivePlay
from mimic_base.errors import MimicError
from tests.browser import CHROMIUM, browser, until
from tests.conftest import TINY
from tests.envs.conftest import sway


def playing(task: Any, robot: Any) -> LivePlay:
    """A policy that stands still, in the environment of a task."""
    commands = {
        name: MotionSetConfig(optional=True) if isinstance(each, MotionSetConfig) else each
        for name, each in task.commands.items()
    }
    task = replace(task, commands=commands)
    env = make_env(task, num_envs=1, robot=robot, engine="mujoco", threads=1)
    player: Any = SimpleNamespace(
        path="fake", act=lambda obs: np.zeros((1, env.num_actions), np.float32),
        contract=SimpleNamespace(
            observation_size=env.spec.sizes["actor"], num_joints=env.num_actions
        ),
    )  # fmt: skip
    return LivePlay(player, task, robot)


def test_a_terminals_keys_by_name() -> None:
    assert keys_of("w\x1b[A\x1bOD Wz\x1b[Zn") == ["w", "up", "left", "space", "w", "n"]
    assert set(keys_of("wasdnhrx ")) < set(KEYS)


def test_a_gamepad_has_a_middle_and_buttons_that_are_said_once() -> None:
    pad = Gamepad()
    assert pad.take("0.05,-0.05,0;0,0,0,0") == [] and not pad.active
    assert pad.take("1.00,-0.56,0.5,0;1,0,0,1") == [("skill", 1.0), ("restart", 1.0)]
    assert pad.left == -1.0 and pad.forward == pytest.approx(0.5)
    assert pad.turn == pytest.approx(-(0.5 - 0.12) / 0.88) and pad.active
    assert pad.take("0,0,0,0;1,0,0,1") == []
    # Let go: the middle is still told once, then nothing.
    assert pad.active and pad.forward == 0.0
    pad.settle()
    assert not pad.active
    for wrong in ("", "nan,0;1", "a;b", "1,2,3", "inf;", ";;;", "1e999;1"):
        Gamepad().take(wrong)


def test_keys_turn_into_a_heading_and_a_speed() -> None:
    play = playing(heading(), robots.load(TINY))
    command: Any = play.env.commands["heading"]
    for _ in range(3):
        play.say(KEYS["w"])
    play.step()
    assert command.speed.item() == pytest.approx(0.3)
    torch.testing.assert_close(command.direction_w, torch.tensor([[1.0, 0.0]]))
    # Sideways is a direction, turning a rate.
    play.say(KEYS["a"])
    for _ in range(5):
        play.say(KEYS["left"])
    for _ in range(10):
        play.step()
    yaw = TURN * 10 * play.env.control_dt
    angle = yaw + math.atan2(0.1, 0.3)
    expected = torch.tensor([[math.cos(angle), math.sin(angle)]])
    torch.testing.assert_close(command.direction_w, expected, atol=1e-5, rtol=0)
    assert command.speed.item() == pytest.approx(math.hypot(0.3, 0.1))
    play.say(KEYS["space"])
    play.set(0, "forward", 99.0)
    play.step()
    assert command.speed.item() == 0.0
    # What the policy sees is what is commanded.
    play.set(0, "forward", 99.0)
    play.step()
    assert play._obs["actor"][0, 2].item() == pytest.approx(1.2)
    assert "forward (m/s) 1.20" in play.shown().told and "robot/speed_along" in play.figures


def test_a_stick_is_a_speed_until_it_is_let_go() -> None:
    play = playing(heading(), robots.load(TINY))
    command: Any = play.env.commands["heading"]
    play.say_gamepad("0,-1,0,0;0")
    play.step()
    assert command.speed.item() == pytest.approx(1.2)
    play.say_gamepad("0,0,0,0;0")
    play.step()
    assert command.speed.item() == 0.0
    play.set(0, "forward", 0.4)
    play.step()
    assert command.speed.item() == pytest.approx(0.4)


def test_a_fall_begins_anew_and_is_counted() -> None:
    play = playing(heading(), robots.load(TINY))
    lying = replace(
        play.env.default_state(1),
        root_quat_w=torch.tensor([[math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0]]),
    )
    play.env._put(torch.tensor([0]), lying)
    play.step()
    assert play.falls == 1 and play.time_s == 0.0
    play.say(KEYS["x"])
    play.run(lambda _: None, 10.0)
    assert play.ended and "falls: 1" in play.told()


def test_a_skill_stays_until_another_is_asked_for() -> None:
    task = skills()
    small = {"skill": SkillCommandConfig(size=4, interval_s=(0.0, 0.01))}
    play = playing(replace(task, commands={**task.commands, **small}), robots.load(TINY))
    command: Any = play.env.commands["skill"]
    play.step()
    first = command.z
    for _ in range(5):
        play.step()
    assert torch.equal(command.z, first)
    play.say(KEYS["n"])
    play.step()
    assert not torch.equal(command.z, first) and play.shown().told == "skill 2"


def test_a_point_and_a_hand_for_reaching(g1: Any) -> None:
    play = playing(reach(), g1)
    command: Any = play.env.commands["reach"]
    side = float(command.side[0])
    for _ in range(99):
        play.say(KEYS["up"])
    play.say(KEYS["h"])
    play.set(0, "left", 0.2)
    play.step()
    assert command.side.item() == -side
    assert command.point[0, 1:].tolist() == pytest.approx([0.2, 1.3])
    shown = play.shown()
    assert shown.target is not None and shown.target[2] == pytest.approx(1.3, abs=1e-5)
    assert "error/hand" in shown.figures


@pytest.fixture
def page() -> Iterator[tuple[LivePlay, str]]:
    """A page on which the policy plays, and its address."""
    pytest.importorskip("viser")
    from mimic.viewer.live.page import LivePage
    from mimic_base.browser_page import address, close_server, open_server

    robot = robots.load(TINY)
    play = playing(heading(), robot)
    server = open_server("127.0.0.1", 0, "test")
    live = LivePage(server, play, robot)
    thread = threading.Thread(target=play.run, args=(live,), daemon=True)
    thread.start()
    try:
        yield play, address(server)
    finally:
        play.say(KEYS["x"])
        thread.join(30)
        close_server(server)
    assert not thread.is_alive()


PRESS = (
    "for (const target of [document.activeElement || document.body]) target.dispatchEvent("
    "new KeyboardEvent('keydown', {{key: '{0}', code: '{0}', bubbles: true}}))"
)
CLICK = "[...document.querySelectorAll('label')].find(b => b.innerText.trim() == '{}')?.click()"
PAD = (
    "navigator.getGamepads = () => [{connected: true, axes: [0, -1, 0, 0], "
    "buttons: [0, 0, 0, 0].map(() => ({pressed: false}))}]"
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_commands_by_keys_and_by_a_gamepad(
    page: tuple[LivePlay, str], tmp_path: Path
) -> None:
    play, address = page
    command: Any = play.env.commands["heading"]
    with browser(address, tmp_path / "profile") as ask:
        until(lambda: "robot/speed_along" in (ask("document.body.innerText") or ""))
        ask(PRESS.format("ArrowUp"))
        until(lambda: abs(command.speed.item() - 0.1) < 1e-6)
        until(lambda: "forward (m/s) 0.10" in ask("document.body.innerText"))
        ask(PAD)
        until(lambda: abs(command.speed.item() - 1.2) < 1e-6)


def test_the_program_serves_a_page_for_who_tracks_no_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("viser")
    sway(robots.load(TINY), fps=30.0).save(tmp_path / "sway.npz")
    small = ["--motion", str(tmp_path / "sway.npz"), "--robot", str(TINY), "--loop.num-envs", "4",
             "--loop.iterations", "1", "--device", "cpu", "--algorithm.steps", "4",
             "--algorithm.networks.actor-hidden", "8", "--algorithm.networks.critic-hidden", "8",
             "--algorithm", "ppo", "--out", str(tmp_path)]  # fmt: skip
    assert mimic(["train", "heading", *small]) == 0
    assert mimic(["train", "tracking", *small]) == 0
    (run,), (tracker,) = ((tmp_path / name).iterdir() for name in ("heading", "tracking"))
    capsys.readouterr()
    assert mimic(["play", str(run), "--browser", "--port", "0", "--seconds", "0.1"]) == 0
    said = capsys.readouterr().out
    assert "http://localhost:" in said and "commanded last: forward (m/s) 0.00" in said
    with pytest.raises(MimicError, match="this one tracks clips"):
        mimic(["play", str(tracker), "--browser", "--port", "0"])
    with pytest.raises(MimicError, match="--browser goes without --video"):
        mimic(["play", str(run), "--browser", "--port", "0", "--velocity", "1", "0", "0"])
