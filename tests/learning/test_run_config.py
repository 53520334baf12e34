"""Every number of a run can be given on the command line, is kept, and makes the run again."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import robots
from mimic.commands.train import parse, resolved_task, train
from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.config import RunConfig, run_config, with_values
from mimic_base.errors import InputError, MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.learning.test_runner import assert_same

REPO = Path(__file__).resolve().parents[2]
TASK = "tracking-no-state-estimation"
SMALL = [
    "--robot", str(TINY), "--num-envs", "4", "--steps-per-iteration", "4", "--workers", "1",
    "--actor-hidden", "8", "--critic-hidden", "8", "--device", "cpu", "--iterations", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(path)
    return path


def only_run(out: Path) -> Path:
    (folder,) = (out / TASK).iterdir()
    return folder


def test_every_kind_of_number_has_an_option() -> None:
    args = parse([
        TASK,
        "--task.rewards.body-position.weight", "2",
        "--task.rewards.body-position.parameters.std", "0.2",
        "--task.terminations.anchor-tilt.parameters.threshold", "0.9",
        "--task.events.push.interval-s", "2", "4",
        "--task.observations.actor.joint-vel.noise", "0.1",
        "--task.commands.motion.reset-noise.joint-pos", "0.05",
        "--task.no-observation-noise",
        "--algorithm.networks.actor-hidden", "32", "16",
        "--algorithm.learning-rate-range", "1e-4", "1e-3",
        "--loop.num-envs", "12",
    ])  # fmt: skip
    task = resolved_task(args)
    assert task.rewards["body_position"].weight == 2.0
    assert task.rewards["body_position"].parameters == {"std": 0.2}
    assert task.rewards["body_orientation"].weight == 1.0
    assert task.terminations["anchor_tilt"].parameters["threshold"] == 0.9
    assert task.events["push"].interval_s == (2.0, 4.0)
    assert task.observations["actor"]["joint_vel"].noise == 0.1
    motion: Any = task.commands["motion"]
    assert motion.reset_noise.joint_pos == 0.05
    assert not task.observation_noise
    assert args.algorithm_config.networks.actor_hidden == (32, 16)
    assert args.algorithm_config.learning_rate_range == (1e-4, 1e-3)
    assert args.loop.num_envs == 12
    # What was not named stays the preset's.
    assert task.physics_hz == 100.0 and args.algorithm_config.gamma == 0.98


def test_old_options_stand_for_the_new_ones() -> None:
    old = parse([
        TASK, "--learning-rate", "1e-4", "--actor-hidden", "8", "8", "--no-clipped-value-loss",
        "--physics-hz=200", "--drift-limit", "0.25", "--num_envs", "9",
        "--randomisation-ramp", "7", "--no-obs-normalization",
    ])  # fmt: skip
    assert old.algorithm_config.learning_rate == 1e-4 and old.loop.num_envs == 9
    assert old.algorithm_config.networks.actor_hidden == (8, 8)
    assert not old.algorithm_config.networks.obs_normalization
    task = resolved_task(old)
    assert task.physics_hz == 200.0
    assert task.curriculum["randomisation"].parameters["iterations"] == 7
    assert task.terminations["anchor_drift"].parameters == {"threshold": 0.25}
    never = resolved_task(parse([TASK, "--drift-limit", "0"]))
    assert "anchor_drift" not in never.terminations
    with pytest.raises(MimicError, match="drift_limit must not be negative, got -1"):
        resolved_task(parse([TASK, "--drift-limit", "-1"]))


def test_presets_set_numbers_of_the_task_too() -> None:
    cpu, gpu = (resolved_task(parse([TASK, "--preset", name])) for name in ("cpu", "gpu"))
    ramps = [task.curriculum["randomisation"].parameters for task in (cpu, gpu)]
    assert (cpu.physics_hz, ramps[0]) == (100.0, {"start": 0.25, "iterations": 3000})
    assert (gpu.physics_hz, ramps[1]) == (200.0, {"start": 1.0, "iterations": 0})
    assert "anchor_drift" not in gpu.terminations


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--task.episode-length-s", "3"], "need its name, first of all arguments"),
        (["walk", "--task.episode-length-s", "3"], "unknown task 'walk'"),
        ([TASK, "--algorithm", "pp"], "unknown algorithm 'pp'; did you mean 'ppo'?; known: ppo"),
        ([TASK, "--algorithm", "math:pi"], "is a float, expected a class"),
        ([TASK, "--algorithm", "no_such:Class"], "there is no module 'no_such'"),
        (["--resume", "a", "--config", "b"], "give only one of them"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMIC_TRUST", "math")  # as the program does with what it is called with
    with pytest.raises(MimicError, match=re.escape(text)):
        parse(arguments)


def test_impossible_numbers_are_refused_by_the_options_name() -> None:
    for option, text in (
        ("--algorithm.clip", "--algorithm.clip must be positive, got 0"),
        ("--clip", "--clip must be positive, got 0"),
        ("--loop.num-envs", "--loop.num-envs must be at least 1, got 0"),
        ("--task.physics-hz", "--task.physics-hz must be positive, got 0"),
        ("--task.observations.actor.command.history",
         "--task.observations.actor.command.history: an observation's history must be at least 1"),
    ):  # fmt: skip
        with pytest.raises(InputError) as caught:
            parse([TASK, option, "0"])
        assert str(caught.value).startswith(text)


def test_a_run_starts_again_from_its_configuration_alone(clip: Path, tmp_path: Path) -> None:
    options = ["--task.rewards.action-rate.weight", "-0.3", "--algorithm.clip", "0.15"]
    first = [TASK, "--motion", str(clip), *SMALL, *options, "--seed", "3"]
    assert train(parse([*first, "--out", str(tmp_path / "a")])) == 0
    run = only_run(tmp_path / "a")
    saved = json.loads((run / "config.json").read_text())
    assert saved["run"]["task"]["rewards"]["action_rate"]["weight"] == -0.3
    assert saved["run"]["algorithm"]["clip"] == 0.15
    assert saved["seed"] == 3 and saved["sessions"][0]["git"].keys() == {"commit", "dirty"}

    config = tmp_path / "copied.json"
    config.write_text((run / "config.json").read_text())
    assert train(parse(["--config", str(config), "--out", str(tmp_path / "b")])) == 0
    again = only_run(tmp_path / "b")
    a, b = load_checkpoint(run), load_checkpoint(again)
    assert a.pop("wall_s") > 0 and b.pop("wall_s") > 0
    assert_same(a, b)
    # Options change what the file says.
    changed = parse(["--config", str(config), "--algorithm.clip", "0.3", "--seed", "4"])
    assert changed.algorithm_config.clip == 0.3 and changed.seed == 4
    assert resolved_task(changed).rewards["action_rate"].weight == -0.3
    more = [TASK, "--config", str(config), "--task.rewards.action-rate.weight", "-0.5"]
    assert resolved_task(parse(more)).rewards["action_rate"].weight == -0.5


def test_a_resumed_run_leaves_the_first_configuration_as_it_was(clip: Path, tmp_path: Path) -> None:
    first = [TASK, "--motion", str(clip), *SMALL, "--seed", "3", "--out", str(tmp_path)]
    assert train(parse(first)) == 0
    run = only_run(tmp_path)
    before = json.loads((run / "config.json").read_text())
    assert not (run / "resumed.json").exists()
    more = ["--seed", "5", "--iterations", "2", "--algorithm.clip", "0.1"]
    assert train(parse(["--resume", str(run), *more])) == 0
    after = json.loads((run / "config.json").read_text())
    assert len(before.pop("sessions")) == 1 and len(after.pop("sessions")) == 2
    assert before == after
    # Started again, it is the first run; gone on with, the one of the last session.
    for start in (run, run / "config.json"):
        again = parse(["--config", str(start)])
        assert (again.seed, again.loop.iterations, again.algorithm_config.clip) == (3, 1, 0.2)
    on = parse(["--resume", str(run)])
    assert (on.seed, on.loop.iterations, on.algorithm_config.clip) == (5, 2, 0.1)
    with pytest.raises(MimicError, match="already has 2 iterations"):
        train(on)
    assert train(parse(["--resume", str(run), "--iterations", "3"])) == 0
    assert parse(["--resume", str(run)]).algorithm_config.clip == 0.1
    assert parse(["--config", str(run)]).algorithm_config.clip == 0.2


def test_clips_too_short_to_learn_from(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "two.npz"
    sway(robots.load(TINY), fps=30.0, name="two").crop(0, 2).save(short)
    alone = [TASK, "--motion", str(short), *SMALL, "--out", str(tmp_path / "runs")]
    with pytest.raises(MimicError) as caught:
        train(parse(alone))
    text = "motion two: too short to learn from (found 2 control steps of 0.02 s, expected at least"
    assert str(caught.value).startswith(text) and not (tmp_path / "runs").exists()
    beside = [TASK, "--motion", str(short), str(clip), *SMALL, "--out", str(tmp_path / "runs")]
    assert train(parse(beside)) == 0
    note = "note: 1 of 2 clips are shorter than 10 control steps (two)"
    assert note in capsys.readouterr().err


def test_the_examples_of_the_help_are_lines_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    examples = [line for line in shown if line.startswith("mimic train ")]
    assert len(examples) == 5 and all(line.count("mimic train") == 1 for line in examples)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda run: run["algorithm"].update(discount=0.9),
         "config.json: algorithm: discount: unknown field of PPOConfig"),
        (lambda run: run["algorithm"].update(clip="wide"), "clip: found 'wide', expected a number"),
        (lambda run: run.update(algorithm_name=7), "an algorithm's name is a text (found 7)"),
        (lambda run: run.update(algorithm_name=["ppo"]), "an algorithm's name is a text"),
        (lambda run: run["loop"].pop("num_envs") and run.pop("loop"), "loop: missing field"),
        (lambda run: run["task"]["rewards"]["joint_limit"].update(wieght=1.0),
         "task: rewards.joint_limit.wieght: unknown field of RewardTerm; did you mean 'weight'?"),
        (lambda run: run["task"]["rewards"]["joint_limit"].update(function="mimic.envs.mdp:no"),
         "task: rewards.joint_limit.function: 'mimic.envs.mdp:no'"),
    ],
)  # fmt: skip
def test_a_configuration_that_does_not_fit_is_one_line(
    change: Any, text: str, tmp_path: Path
) -> None:
    args = parse([TASK])
    config = RunConfig(
        task=resolved_task(args), algorithm=args.algorithm_config, loop=args.loop
    ).to_plain()
    change(config)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"task": TASK, "motion": [], "run": config}))
    with pytest.raises(MimicError, match=re.escape(text)) as caught:
        resolved_task(parse(["--config", str(path)]))
    assert "\n" not in str(caught.value)


def test_values_at_paths() -> None:
    config = with_values(RunConfig(), {"algorithm.networks.init_std": 0.7, "loop.num_envs": 3})
    assert config.algorithm.networks.init_std == 0.7 and config.loop.num_envs == 3
    with pytest.raises(MimicError, match="loop.num_env: no 'num_env'; did you mean 'num_envs'?"):
        with_values(config, {"loop.num_env": 3})
    assert run_config(config, clip=0.3).loop.num_envs == 3


def test_help_is_quick_and_a_tasks_own_help_lists_its_numbers() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    plain = subprocess.run(
        [sys.executable, "-m", "mimic.commands.train", "--help"],
        cwd=REPO, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 1.5, "torch or tasks are imported for help"
    assert "--algorithm.learning-rate" in plain and "--loop.num-envs" in plain
    assert "--task.physics-hz" not in plain and "mimic train TASK --help" in plain


def test_the_options_of_a_task_are_shown_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([TASK, "--help"])
    shown = capsys.readouterr().out
    assert "--task.rewards.body-position.weight" in shown
    assert "--task.physics-hz" in shown


def test_more_minibatches_than_samples_are_refused(clip: Path, tmp_path: Path) -> None:
    arguments = [TASK, "--motion", str(clip), *SMALL, "--out", str(tmp_path)]
    with pytest.raises(MimicError, match="40 minibatches of 16 samples"):
        train(parse([*arguments, "--minibatches", "40"]))
    assert not list(tmp_path.iterdir())
