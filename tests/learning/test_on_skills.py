"""A policy on top of frozen skills: it learns, resumes, and is one file with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import robots
from mimic.cli import run as mimic
from mimic.envs.environment import quiet_task
from mimic.evaluation.policies import open_policy, trained_task
from mimic.learning.checkpoints import find_checkpoint
from mimic.learning.loading import load_policy
from mimic.learning.skills import SkilledPolicy, digest_of, load_skills, whole_task, with_skills
from mimic.policy.observations import RobotState
from mimic.policy.opener import find_policy, open_player
from mimic.policy.player import PolicyPlayer
from mimic.tasks import make_env
from mimic.tasks.heading import heading
from mimic_base.errors import MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway

TRAIN = ["--robot", str(TINY), "--loop.num-envs", "4", "--loop.iterations", "1", "--device", "cpu",
         "--algorithm.steps", "4", "--algorithm.networks.actor-hidden", "8",
         "--algorithm.networks.critic-hidden", "8"]  # fmt: skip
ASE = ["--algorithm", "ase", "--algorithm.discriminator-hidden", "8",
       "--algorithm.remembered", "20", "--algorithm.encoder-hidden", "8",
       "--task.commands.skill.size", "5"]  # fmt: skip


def trained(task: str, out: Path, *options: str) -> Path:
    assert mimic(["train", task, "--out", str(out), *TRAIN, *options]) == 0
    (folder,) = (out / task).iterdir()
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "sway.npz"
    sway(robots.load(TINY), fps=30.0, seconds=2.0).save(path)
    return path


@pytest.fixture(scope="module")
def low(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("skills", tmp_path_factory.mktemp("low"), "--motion", str(clip), *ASE)


@pytest.fixture(scope="module")
def high(low: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("high")
    return trained(
        "heading", out, "--motion", str(clip), "--algorithm", "ppo", "--skills", str(low)
    )


def test_the_latent_becomes_the_skill_of_the_frozen_policy(low: Path, clip: Path) -> None:
    found = load_skills(low)
    assert found.columns == slice(0, 5)
    task = with_skills(heading(), low)
    env = make_env(task, [clip], num_envs=3, robot=str(TINY), engine="mujoco", threads=1)
    assert env.num_actions == 5
    env.step(torch.randn(3, 5))
    seen, actions = env.get_observations()["skills"], torch.randn(3, 5)
    skill = actions / actions.norm(dim=-1, keepdim=True)
    policy, _ = load_policy(low)
    with torch.no_grad():
        wanted = policy(torch.cat([skill, seen], -1))
    env.step(actions)
    term = env.action_terms["skills"]
    torch.testing.assert_close(term.joint_actions, wanted)  # type: ignore[attr-defined]
    # What the frozen policy remembers of its actions are the joints', the newest last.
    joints = robots.load(TINY).num_joints
    torch.testing.assert_close(env.get_observations()["skills"][:, -joints:], wanted)
    # A length of no matter; a new episode has none.
    env.reset()
    assert float(env.get_observations()["skills"][:, -joints:].abs().sum()) == 0.0


def test_one_file_holds_both_and_is_what_they_are_together(high: Path, low: Path) -> None:
    player = PolicyPlayer(high / "policy.onnx")
    c = player.contract
    names = [each.name for each in c.observations]
    assert "heading_command" in names and "skills.actions" in names
    assert "skills.skill" not in names
    assert len(c.default_joint_pos) == robots.load(TINY).num_joints
    outer, _ = load_policy(high)
    inner = load_skills(low)
    size = sum(o.size * o.history for o in c.observations if not o.name.startswith("skills."))
    whole = SkilledPolicy(outer, inner.policy, size, inner.columns)
    obs = torch.randn(6, c.observation_size)
    with torch.no_grad():
        np.testing.assert_allclose(player.act(obs.numpy()), whole(obs).numpy(), atol=1e-5)
    # The checkpoint plays as the file does.
    checkpoint = open_player(find_policy(high, prefer="checkpoint"))
    np.testing.assert_allclose(checkpoint.act(obs.numpy()), player.act(obs.numpy()), atol=1e-5)


def test_the_file_alone_sees_what_the_environment_shows(high: Path, clip: Path) -> None:
    """Observations that numpy builds from a robot's state are those of the task, and the file in
    the whole task does what the policy does on top of the skills."""
    player = PolicyPlayer(high / "policy.onnx")
    loaded = open_policy(high)
    task = trained_task(loaded)
    args: Any = {"num_envs": 1, "robot": str(TINY), "engine": "mujoco", "threads": 1, "seed": 4}
    on_top = make_env(quiet_task(task), [clip], **args)
    whole = make_env(quiet_task(whole_task(task)), [clip], **args)
    a, b = on_top.reset()[0], whole.reset()[0]
    names = list(on_top.robot.body_names)
    anchor = names.index(on_top.robot.anchor_body)
    last = np.zeros(whole.num_actions)
    for _ in range(5):
        robot = whole.state.robot
        told: Any = whole.commands["heading"]
        state = RobotState(
            joint_pos=robot.joint_pos[0].numpy(), joint_vel=robot.joint_vel[0].numpy(),
            root_ang_vel_b=robot.root_ang_vel_b[0].numpy(),
            anchor_quat_w=robot.body_quat_w[0, anchor].numpy(),
            root_quat_w=robot.root_quat_w[0].numpy(),
        )  # fmt: skip
        given = {
            "heading": SimpleNamespace(
                direction_w=told.direction_w[0].numpy(), speed=told.speed[0].numpy()
            )
        }
        seen = player.observe(state, None, 0, last, given)
        # Histories begin on the clip there and with the first value here.
        np.testing.assert_allclose(seen[:3], b["actor"][0, :3].numpy(), atol=1e-5)
        joints = whole.num_actions
        np.testing.assert_allclose(seen[-joints:], b["actor"][0, -joints:].numpy(), atol=1e-5)
        action = player.act(b["actor"].numpy())
        with torch.no_grad():
            a = on_top.step(loaded.act(a["actor"]))[0]
        last = action[0]
        b = whole.step(torch.from_numpy(action))[0]
        torch.testing.assert_close(
            on_top.state.robot.joint_pos, whole.state.robot.joint_pos, atol=1e-5, rtol=0
        )


def test_a_run_on_skills_resumes_plays_exports_and_is_judged(
    high: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(high, run)
    saved = json.loads((run / "config.json").read_text())["run"]["task"]["actions"]["skills"]
    # The run has its skills with it, whatever becomes of theirs.
    assert Path(saved["policy"]) == high / "skills.pt" and digest_of(run / "skills.pt")
    obs = np.zeros((1, PolicyPlayer(run / "policy.onnx").contract.observation_size))
    (high / "skills.pt").rename(high / "elsewhere.pt")
    moved = open_player(find_policy(run, prefer="checkpoint"))
    np.testing.assert_allclose(
        moved.act(obs), PolicyPlayer(run / "policy.onnx").act(obs), atol=1e-5
    )
    with pytest.raises(MimicError, match="skills.pt"):
        mimic(["train", "--resume", str(run), "--loop.iterations", "2"])
    (high / "elsewhere.pt").rename(high / "skills.pt")
    assert mimic(["train", "--resume", str(run), "--loop.iterations", "2"]) == 0
    capsys.readouterr()
    assert mimic(["play", str(run)]) == 0
    assert "heading:" in capsys.readouterr().out
    assert mimic(["evaluate", str(run), "--episodes", "2"]) == 0
    assert mimic(["evaluate", str(run / "policy.onnx"), "--episodes", "2"]) == 0
    capsys.readouterr()
    out = tmp_path / "alone.onnx"
    assert mimic(["export", str(run), "--out", str(out)]) == 0
    assert mimic(["play", str(out), "--robot", str(TINY), "--velocity", "0.5", "0", "0"]) == 0


def test_other_skills_than_those_that_were_built_on_are_refused(
    high: Path, low: Path, clip: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "low"
    shutil.copytree(low, moved)
    with pytest.raises(MimicError, match="not the ones that were built on"):
        load_skills(moved, "0" * 16)
    assert load_skills(moved).path == find_checkpoint(moved)
    with pytest.raises(MimicError, match="has no skills to choose from"):
        with_skills(heading(), high)
    with pytest.raises(MimicError, match="--skills cannot be changed when a run is resumed"):
        mimic(["train", "--resume", str(high), "--skills", str(low), "--loop.iterations", "3"])
    env = make_env(
        with_skills(heading(), low), [clip], num_envs=1, robot=str(TINY), engine="mujoco", threads=1
    )
    with pytest.raises(MimicError, match="skills were trained without symmetry"):
        env.spec.reflections()


def test_different_skills_are_counted(
    low: Path, high: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "told.json"
    line = ["evaluate", str(low), "--episodes", "2", "--skill-draws", "8", "--json", str(told)]
    assert mimic(line) == 0
    said = capsys.readouterr().out
    assert "among 8 latents" in said and "gait/distance" in said
    found = json.loads(told.read_text())["skills"]
    assert len(found["groups"]) == 8 and 0 < found["length_s"] <= found["longest_s"] == 4.0
    with pytest.raises(MimicError, match="task 'heading' commands no skill"):
        mimic(["evaluate", str(high), "--episodes", "2", "--skill-draws", "8"])
