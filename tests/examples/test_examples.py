"""Every example runs on its own, in seconds, and says what it should."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((REPO / "examples").glob("[0-9]*.py"))
PARTS = ("push_box.py", "stand_still.py", "nearest_window.py")
MODULES = [REPO / "examples" / name for name in PARTS]
LONGEST = 110

# What an example prints that shows it did its work, as regular expressions.
SAYS = {
    "01_retarget": (
        r"walk\.npz: 373 frames of 29 joints at 50 Hz",
        r"standing feet slide at [01]\.",
    ),
    "02_edit_motion": (r"routine\.npz: 8\.\d s", "what the right one did: True"),
    "03_quality": (r"skate of soles .* of standing feet", r"feasible frames: \d+ %"),
    "04_add_robot": (r"mine\.png: 23 hinges", r"squat: limb error 0\.\d deg, 0 jumps"),
    "05_human_reader": (r"unit 0\.0254 m, up y, \d+ roles", r"limb error 0\.\d deg"),
    "06_robot_motion_format": (r"bodies agree to 0\.0", "refused: .*centimetres"),
    "07_play_without_torch": ("tracking on unitree_g1", r"stayed up \(torch loaded: False\)"),
    "08_evaluate": (r"total: success \d+ % of 8 episodes", "protocol quick-look, engine mujoco"),
    "09_terms": (r"actor sees 164 numbers, the last 4 of h", r"reward/soft_landing': -0\.0"),
    "10_train_a_task": (
        "finished after 3 iterations",
        "finished after 5 iterations",
        "agrees with torch",
        "gravity: 3 x 3",
    ),
    "11_engine": (r"they agree to (0e\+00|\de-0[5-9]) m",),
    "13_scene": (
        r"heights at .* \[0\. +0\.1 +0\.2\] m",
        r"feet carry 3\d\d N, the robot weighs 3\d\d N",
        r"lies at 0\.10 m, the ground bears it with 4\.\d N",
        r"up\.npz carries boxes: standing soles \d\.\d mm off",
        r"trained on it: 0\.12 m high",
    ),
    "14_data_set": (r"set\.pack: 4 clips", "split validation", "mapped: True", r"256, 4, 14, 3"),
    "15_student": (
        r"teacher: .*-teacher/checkpoints/last\.pt",
        "finished after 2 iterations",
        "agrees with torch",
        r"joint_vel: 29 x 5",
    ),
    "16_robustness": (
        "undisturbed: 100 % of 4",
        r"motor_strength: 1x \d+ %, 4x \d+ %",
        r"torque \d\.\d N m",
        "below 95 %",
    ),
    "17_deploy": (
        r"\d\.\d\d s  hold",
        r"damping  button B of the remote",
        r"motors damp: True; \d+ commands, 0 outside the limits",
    ),
    "18_motion_prior": (
        "finished after 2 iterations",
        "finished after 3 iterations",
        r"commanded: direction_w, \[2\] of length one",
        r"heading: .* after \d+\.\d s",
    ),
    "19_plain_numpy": (
        r"8 golden observations: actions off by [0-9]e-0[6-9]",
        "160 columns; targets",
    ),
    "12_objective": (r"\d+ cm before, [0-4]\.\d cm now", "pelvis at most 0.7", "climbs 0.2"),
}


def test_every_example_has_its_test() -> None:
    assert {path.stem for path in EXAMPLES} == set(SAYS)


@pytest.mark.parametrize("path", [*EXAMPLES, *MODULES], ids=lambda p: p.stem)
def test_an_example_is_short_and_begins_with_its_use(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    use = f"    python examples/{path.name}" if path in EXAMPLES else "by hand, from this folder: "
    assert use in " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(REPO),
        "OMP_NUM_THREADS": "1",
        # Nothing may need a network: whoever asks for one is sent to a closed door.
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    run = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    for pattern in SAYS[path.stem]:
        assert re.search(pattern, run.stdout), f"{pattern!r} not in:\n{run.stdout}"
