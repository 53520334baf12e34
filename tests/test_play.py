"""play.py: what it shows, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic.commands.play import Play
from mimic_base.errors import MimicError
from motions import InputError
from robots import RobotError
from tests.viewer.support import swaying_motion, write_policy

REPO = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with policy.onnx, inside.onnx (with the clip) and sway.npz."""
    folder = tmp_path_factory.mktemp("play")
    motion = swaying_motion(robots.load("unitree_g1"), frames=16)
    motion.save(folder / "sway.npz")
    write_policy(folder / "policy.onnx", motion)
    write_policy(folder / "inside.onnx", motion, clip_inside=True)
    return folder


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "play.py", *map(str, arguments)],
        cwd=REPO, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_without_opengl_the_video_shows_stick_figures(files: Path, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    run = command(
        files / "policy.onnx", "--motion", files / "sway.npz", "--video", video,
        "--size", "160", "96", "--video-fps", "12.5", MUJOCO_GL="disabled",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stdout.splitlines() if "OpenGL" in line]
    assert len(lines) == 1
    assert "libegl1" in lines[0] and "libosmesa6" in lines[0] and "stick figures" in lines[0]
    assert "key-body error" in run.stdout and " mm" in run.stdout
    assert video.stat().st_size > 500


@pytest.mark.render
def test_with_opengl_the_video_is_rendered(files: Path, tmp_path: Path, capsys) -> None:
    video = tmp_path / "out.mp4"
    picture = tmp_path / "out.png"
    args = Play(
        policy=files / "inside.onnx", video=video, picture=picture, size=(160, 96), fps=12.5
    )
    assert args.run() == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "sway: " in printed and f"{video}: " in printed and "OpenGL" not in printed
    assert video.stat().st_size > 500


def test_a_run_directory_knows_its_motions(files: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "policy.onnx").write_bytes((files / "policy.onnx").read_bytes())
    config = {"motion": [str(files / "sway.npz")], "robot": "unitree_g1"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Play(policy=tmp_path).run() == 0
    printed = capsys.readouterr().out
    assert "sway: " in printed and "--video out.mp4" in printed
    (tmp_path / "config.json").write_text(json.dumps({**config, "motion": ["gone.npz"]}))
    with pytest.raises(MimicError, match="gone.npz.*--motion"):
        Play(policy=tmp_path).run()


def test_a_checkpoint_plays_like_its_export(tmp_path: Path, capsys) -> None:
    from mimic.learning import run_config, start_runner
    from mimic.tasks import make_env

    motion = swaying_motion(robots.load("unitree_g1"), frames=16)
    motion.save(tmp_path / "sway.npz")
    env = make_env("tracking", [tmp_path / "sway.npz"], num_envs=2, threads=1)
    config = run_config(num_envs=2, actor_hidden=(8,), critic_hidden=(8,), workers=1)
    runner = start_runner(env, config, tmp_path)
    runner.save()
    assert runner.last_checkpoint is not None
    outcomes = []
    for policy in (runner.last_checkpoint, tmp_path / "policy.onnx"):
        assert Play(policy=policy, motion=(tmp_path / "sway.npz",)).run() == 0
        outcomes.append(capsys.readouterr().out)
    assert outcomes[0] == outcomes[1]


def refused(files: Path, message: str, **arguments) -> None:
    args = Play(**{"policy": files / "policy.onnx", "motion": (files / "sway.npz",),
                            **arguments})  # fmt: skip
    with pytest.raises((MimicError, InputError, RobotError), match=message) as caught:
        args.run()
    assert "\n" not in str(caught.value)


def test_what_cannot_be_played_is_one_line(files: Path, tmp_path: Path, monkeypatch) -> None:
    refused(files, "gone.onnx' does not exist", policy=tmp_path / "gone.onnx")
    refused(files, "gone.npz' does not exist", motion=(tmp_path / "gone.npz",))
    refused(files, "--motion", motion=())
    refused(files, "neither config.json nor policy.onnx", policy=tmp_path)
    refused(files, "holds no .npz", motion=(tmp_path,))

    broken = tmp_path / "broken.onnx"
    broken.write_bytes((files / "policy.onnx").read_bytes()[:5000])
    refused(files, "broken.onnx", policy=broken)
    checkpoint = tmp_path / "broken.pt"
    checkpoint.write_bytes(b"not a checkpoint")
    refused(files, "broken.pt: not a readable checkpoint", policy=checkpoint)

    other = replace(swaying_motion(robots.load("unitree_g1"), frames=4), robot="other")
    other.save(tmp_path / "other.npz")
    refused(files, "is for robot 'other'", motion=(tmp_path / "other.npz",))
    np.savez(tmp_path / "unnamed.npz", fps=[30.0])
    refused(files, "unnamed.npz: not a robot motion", motion=(tmp_path / "unnamed.npz",))
    refused(files, "unknown robot 'nobody'", robot="nobody")

    refused(files, "must end in", video=tmp_path / "out.gif")
    refused(files, "must end in .png", picture=tmp_path / "out.jpg")
    refused(files, "must be even", video=tmp_path / "out.mp4", size=(321, 200))
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    refused(files, "needs a screen.*--video", viewer=True)
    assert not list(tmp_path.glob("out.*"))


def test_an_onnx_file_of_another_program_is_refused(files: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(files / "policy.onnx"))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "foreign.onnx"))
    refused(files, "carries no humanoid-mimic contract", policy=tmp_path / "foreign.onnx")


def test_a_mistake_ends_with_code_2_and_no_traceback(files: Path, tmp_path: Path) -> None:
    run = command(files / "policy.onnx", "--motion", tmp_path / "gone.npz")
    assert run.returncode == 2
    assert run.stderr.startswith("error: ") and run.stderr.count("\n") == 1
    assert "gone.npz" in run.stderr
