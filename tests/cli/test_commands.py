"""What each command prints, and that a mistake is one line and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimic.evaluation import PROTOCOLS
from mimic.tasks import task_names

REPO = Path(__file__).resolve().parents[2]


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "mimic.cli", *arguments],
        cwd=REPO, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def refused(code: int, err: str, *told: str) -> None:
    lines = err.strip().splitlines()
    assert code == 2, err
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    for part in told:
        assert part in lines[0]


def test_light_commands_do_not_load_torch() -> None:
    script = (
        "import sys; from mimic.cli import run; run(['robots']); run(['motions']); "
        "assert 'torch' not in sys.modules and 'mujoco' in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_robots_as_a_process() -> None:
    run = process("robots")
    assert run.returncode == 0 and run.stderr == ""
    assert "unitree_g1" in run.stdout and "29" in run.stdout


def test_an_absent_model_comes_with_the_command_that_gets_it(tmp_path: Path) -> None:
    run = process("robots", MENAGERIE_ROOT=str(tmp_path))
    assert run.returncode == 0
    assert "absent" in run.stdout and "MENAGERIE_ROOT" in run.stdout


def test_list_derives_sizes(mimic) -> None:
    code, out, _ = mimic("list", "--terms")
    assert code == 0
    for name in task_names():
        assert name in out
    assert "160" in out and "154" in out and "286" in out
    assert "motion_anchor_ori_b 6" in out and "end_effector_height" in out


def test_motions_shows_a_file_and_a_folder(mimic, clip: Path) -> None:
    code, out, _ = mimic("motions", clip)
    assert code == 0
    assert "unitree_g1" in out and "0.34" in out and "fastest joint" in out
    code, out, _ = mimic("motions", clip.parent)
    assert code == 0 and "squat" in out


def test_demo_clips_are_written(mimic, tmp_path: Path) -> None:
    code, out, _ = mimic("motions", "--demo", tmp_path / "clips")
    assert code == 0
    written = sorted(path.name for path in (tmp_path / "clips").glob("*.bvh"))
    assert "walk.bvh" in written
    assert all(name in out for name in written)


def test_help_names_every_protocol(mimic) -> None:
    code, out, _ = mimic("evaluate", "--help")
    assert code == 0 and all(name in out for name in PROTOCOLS)
    code, out, _ = mimic("--help")
    for command in ("list", "motions", "robots", "evaluate", "export", "benchmark", "deploy"):
        assert command in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["motions", "absent.npz"], ["absent.npz", "no such file"]),
        (["motions", "{empty}"], ["empty.npz", "empty"]),
        (["motions", "{text}"], ["text.npz", "not a readable"]),
        (["motions", "{folder}"], ["holds no .npz"]),
        (["list", "--robot", "marvin"], ["marvin", "unitree_g1"]),
        (["evaluate", "absent.onnx"], ["absent.onnx", "does not exist"]),
        (["evaluate", "{text}", "--protocol", "b"], ["unknown protocol 'b'", "appendix-f"]),
        (["evaluate", "{text}", "--episodes", "0"], ["at least 1", "0"]),
        (["evaluate", "{text}"], ["text.npz", "not a readable ONNX file"]),
        (["evaluate", "{text}", "--json", "{text}/result.json"], ["result.json", "cannot write"]),
        (["export", "absent"], ["absent", "does not exist"]),
        (["export", "{folder}"], ["not a run directory"]),
        (["export", "{folder}", "--out", "x.txt"], ["--out x.txt", "ends in .onnx"]),
        (["export", "{text}"], ["text.npz", "not a readable checkpoint"]),
        (["export", "{motion}"], ["motion.npz", "a NumPy archive (.npz)", "a run of mimic train"]),
        (["play", "{motion}"], ["motion.npz", "a NumPy archive (.npz)", "expected a policy.onnx"]),
        (["evaluate", "{motion}"], ["motion.npz", "a NumPy archive", "expected a policy.onnx"]),
        (["benchmark", "--num-envs", "0"], ["--num-envs"]),
        (["benchmark", "--seconds", "0"], ["--seconds"]),
        (["benchmark", "--threads", "-1"], ["--threads"]),
        (["benchmark", "--motion", "absent.npz"], ["absent.npz", "does not exist"]),
        (["benchmark", "--task", "fly", "--num-envs", "2"], ["unknown task 'fly'", "tracking"]),
        (["benchmark", "--engine", "bullet", "--num-envs", "2"], ["unknown engine 'bullet'"]),
    ],
)
def test_mistakes(mimic, tmp_path: Path, arguments: list[str], told: list[str]) -> None:
    places = {name: tmp_path / f"{name}.npz" for name in ("empty", "text", "motion")}
    np.savez(places["motion"], fps=30)
    places["empty"].write_bytes(b"")
    places["text"].write_bytes(b"not what it should be")
    places["folder"] = tmp_path / "folder"
    places["folder"].mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, _, err = mimic(*(each.format(**places) for each in arguments))
    refused(code, err, *told)
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


@pytest.mark.parametrize("arguments", [["fly"], [], ["evaluate"], ["benchmark", "--seconds", "x"]])
def test_wrong_usage_has_exit_code_2(mimic, arguments: list[str]) -> None:
    code, out, err = mimic(*arguments)
    assert code == 2 and (out + err) and "Traceback" not in out + err


def test_a_mistake_as_a_process() -> None:
    run = process("evaluate", "absent.onnx")
    refused(run.returncode, run.stderr, "absent.onnx")
    assert run.stdout == ""


def test_benchmark_measures_and_writes_json(mimic, tmp_path: Path, clip: Path) -> None:
    report = tmp_path / "benchmark.json"
    code, out, _ = mimic(
        "benchmark", "--num-envs", 2, 4, "--seconds", 0.02, "--no-ppo", "--threads", 1, 2,
        "--motion", clip, "--json", report,
    )  # fmt: skip
    assert code == 0 and "physics" in out and "observations" in out and "speed-up" in out
    data = json.loads(report.read_text())
    pairs = [(m["num_envs"], m["threads"]) for m in data["measurements"]]
    assert pairs == [(2, 1), (2, 2), (4, 1), (4, 2)]
    for measured in data["measurements"]:
        assert 0 < measured["full"] < measured["physics_inside"]
        assert measured["with_policy"] < measured["full"]
        assert measured["ratio_inside"] == pytest.approx(
            measured["full"] / measured["physics_inside"]
        )
        assert sum(measured["stages"].values()) == pytest.approx(1.0)
        assert measured["setup_s"] > 0 and measured["peak_memory_mb"] > 100
        assert measured["ppo_iteration_s"] is None
    assert data["machine"]["versions"]["mujoco"] and data["settings"]["task"] == "tracking"


def test_list_is_measured_once_and_then_read(mimic, tmp_path: Path, monkeypatch) -> None:
    from mimic.commands import list_tasks

    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path))
    measured = []
    original = list_tasks.measured_facts

    def measure(robot):
        measured.append(robot.name)
        return original(robot)

    monkeypatch.setattr(list_tasks, "measured_facts", measure)
    first, second = mimic("list", "--terms"), mimic("list", "--terms")
    assert first == second and first[0] == 0 and measured == ["unitree_g1"]
    monkeypatch.setattr(list_tasks, "program_hash", lambda: "another state of the program")
    assert mimic("list", "--terms") == first and len(measured) == 2


def test_list_builds_nothing_the_second_time(mimic, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path))
    assert mimic("list")[0] == 0
    script = (
        "import sys; from mimic.cli import run; run(['list']); "
        "print([n for n in ('torch', 'scipy', 'mimic.benchmark') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.rstrip().endswith("[]"), run.stdout + run.stderr
