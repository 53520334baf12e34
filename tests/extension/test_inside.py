"""What a part costs that ships with the program: the files to touch, in a copy of the packages.

Every part below is put into the copy and used there by its short name, through the command line
where that has a name for it. docs/architecture.md shows the counts; a test compares them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import robots
from motions.human import demo
from tests.conftest import TINY
from tests.envs.conftest import sway

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("mimic_base", "motions", "robots", "retarget", "mimic")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something new, as it would be committed."""

    new: dict[str, str] = field(default_factory=dict)
    """File to add -> its text."""
    lines: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """File to edit -> pairs of a line that is there and the lines that come before it; an empty one
    is the end of the file."""

    def cost(self) -> str:
        """Files to touch, as the table of the docs says it."""
        told = [f"{len(self.new)} new"] if self.new else []
        for file, edits in self.lines.items():
            count = sum(len(text.strip().splitlines()) for _, text in edits)
            # Inside the packages, the last two folders are enough.
            short = "/".join(file.split("/")[-2:])
            told.append(f"{count} line{'s' if count > 1 else ''} in `{short}`")
        return " + ".join(told)


def example(name: str) -> str:
    """An example's text without what makes it a program."""
    text = (REPO / "examples" / f"{name}.py").read_text("utf-8").partition("\ndef main()")[0]
    return "".join(line for line in text.splitlines(True) if line.strip() not in PROGRAM)


PROGRAM = (
    "import robots", "from motions import HumanMotion, read_human_motion",
    "from motions.human import demo", "from retarget import retarget",
    "from retarget.objectives import Point", "from mimic_base.surface import Slope",
)  # fmt: skip
"""Imports of the examples that only their programs use."""
TINY_TEXT = TINY.read_text("utf-8").replace('"tiny.xml"', f'"{TINY.with_suffix(".xml")}"')
REWARD = '''

def upright(env: Environment) -> torch.Tensor:
    """Height of the base, m."""
    return env.state.robot.root_pos_w[:, 2]
'''
OBSERVATION = '''

@observable(mirror=joints())
def joint_power(env: Any) -> Any:
    """Velocities times last actions, [N, J]."""
    return env.state.robot.joint_vel * env.actions
'''
ENTRY = '"mimic.learning.algorithms.stand_still:StandStill'
ENGINE = "mimic.sim.engines.one_by_one:OneByOne"
PARTS = {
    "learning algorithm": Part(
        new={"mimic/learning/algorithms/stand_still.py": example("stand_still")},
        lines={"mimic/learning/registry.py": (
            ('    "world-model": Entry(', f'    "stand-still": Entry({ENTRY}", {ENTRY}Config"),\n'),
        )},
    ),
    "task with a command and an object": Part(
        new={"mimic/tasks/push_box.py": example("push_box")},
        lines={"mimic/tasks/registry.py": (
            ("from mimic.tasks.tracking import", "from mimic.tasks.push_box import push_box\n"),
            ('    "tracking-no-state-estimation":', '    "push-box": push_box,\n'),
        )},
    ),
    "observation with mirror rule and numpy form": Part(
        lines={
            "mimic/envs/mdp/observations.py": (("", OBSERVATION),),
            "mimic/tasks/tracking.py": (
                ('        "joint_pos": ObservationTerm(',
                 '        "joint_power": ObservationTerm(function=o.joint_power),\n'),
            ),
        },
    ),
    "reward, termination, event": Part(
        lines={
            "mimic/envs/mdp/rewards.py": (("", REWARD),),
            "mimic/tasks/tracking.py": (
                ('        "action_rate": RewardTerm(',
                 '        "upright": RewardTerm(function=r.upright, weight=0.5),\n'),
            ),
        },
    ),
    "physics engine": Part(
        new={"mimic/sim/engines/one_by_one.py": example("11_engine")},
        lines={"mimic/sim/choice.py": (
            ('    "warp": "mimic.sim', f'    "one-by-one": "{ENGINE}",\n'),
        )},
    ),
    "robot": Part(new={"robots/descriptions/tiny.toml": TINY_TEXT}),
    "reader of human motion": Part(
        new={"motions/human/readers/columns.py": example("05_human_reader")},
    ),
    "retargeting objective": Part(
        new={"retarget/objectives/stay_below.py": example("12_objective")},
    ),
}  # fmt: skip
"""Row of the table -> what it takes."""


def put(part: Part, root: Path) -> None:
    """Add and edit the files below a folder; what is edited has to be there, once."""
    for name, text in part.new.items():
        assert not (root / name).exists()
        (root / name).write_text(text, "utf-8")
    for name, edits in part.lines.items():
        text = (root / name).read_text("utf-8")
        for before, added in edits:
            assert not before or text.count(before) >= 1, (name, before)
            at = text.index(before) if before else len(text)
            text = text[:at] + added + text[at:]
        (root / name).write_text(text, "utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with every part in it, and a clip of each kind beside it."""
    root = tmp_path_factory.mktemp("inside")
    for package in PACKAGES:
        # With what Python and numba have compiled: the copies are as old as the originals.
        shutil.copytree(REPO / package, root / package)
    for part in PARTS.values():
        put(part, root)
    sway(robots.load(TINY), fps=30.0).save(root / "sway.npz")
    human = demo.generate("squat").crop(0, 30)
    names = human.joint_names
    parents = [names[p] if p >= 0 else "-" for p in human.parents]
    head = "\n".join(f"{name} {parent}" for name, parent in zip(names, parents, strict=True))
    rows = [" ".join(f"{x:.4f}" for x in row) for row in human.pos_w.reshape(len(human.pos_w), -1)]
    (root / "squat.columns").write_text(head + "\n\n" + "\n".join(rows) + "\n", "utf-8")
    return root


def in_copy(home: Path, *arguments: object, program: str = "") -> str:
    """Run ``mimic`` (or a program) on the copy; its output."""
    words = ["-c", program] if program else ["-m", "mimic.cli", *map(str, arguments)]
    done = subprocess.run(
        [sys.executable, *words], cwd=home, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(home), "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def train(home: Path, task: str, *options: object) -> Path:
    out = home / f"runs-{task}"
    in_copy(
        home, "train", task, "--robot", "tiny", "--algorithm", "stand-still", "--device", "cpu",
        "--num-envs", 2, "--iterations", 1, "--out", out, *options,
    )  # fmt: skip
    (config,) = out.rglob("config.json")
    return config.parent


def test_an_engine_an_algorithm_terms_and_a_robot_by_their_names(home: Path) -> None:
    # The engine has one model for all environments.
    same = [f"--task.events.{event}.mode=off" for event in ("foot-friction", "anchor-com")]
    run = train(home, "tracking", "--motion", "sway.npz", "--engine", "one-by-one", *same)
    saved = json.loads((run / "config.json").read_text("utf-8"))
    assert (saved["engine"], saved["algorithm"], saved["robot"]) == (
        "one-by-one", "stand-still", "tiny",
    )  # fmt: skip
    assert saved["identity"]["robot"] == "tiny"
    assert "joint_power" in [each["name"] for each in saved["observations"]["actor"]]
    assert saved["run"]["task"]["rewards"]["upright"]["weight"] == 0.5
    line = json.loads((run / "progress.jsonl").read_text("utf-8").splitlines()[-1])
    assert line["reward/upright"] > 0 and "loss/action" in line
    assert (run / "policy.onnx").is_file()


def test_a_task_by_its_name(home: Path) -> None:
    run = train(home, "push-box")
    saved = json.loads((run / "config.json").read_text("utf-8"))
    assert saved["task"] == "push-box" and "place" in saved["run"]["task"]["commands"]


def test_a_reader_by_the_files_ending_and_an_objective(home: Path) -> None:
    told = in_copy(home, program="""
from mimic.cli import run
assert run("retarget squat.columns --source-fps 60 --out squat.npz".split()) == 0
import retarget, robots
from motions import read_human_motion
from retarget.objectives.stay_below import StayBelow
low = StayBelow(name="low", body="pelvis", most=0.6, weight=60.0)
human = read_human_motion("squat.columns", fps=60.0)
motion = retarget.retarget(human, robots.load("unitree_g1"), objectives=[low])
print("pelvis", motion.body_pos_w[:, 0, 2].max() < 0.65, retarget.__file__)
""")  # fmt: skip
    assert "(columns)" in told and (home / "squat.npz").is_file()
    assert f"pelvis True {home}" in told


def test_the_table_of_the_docs_has_these_counts() -> None:
    text = (REPO / "docs" / "architecture.md").read_text("utf-8")
    table = text.partition("### Files to touch")[2].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    inside = {row[0]: row[3] for row in cells if row[0] in PARTS}
    assert inside == {name: part.cost() for name, part in PARTS.items()}
    # From outside, a file of the project is touched by none: `stranger/` and `examples/`.
    assert all(row[2] == "0" for row in cells if row[0] in PARTS)
    assert not re.findall(r"push_box|stand_still", (REPO / "mimic/cli.py").read_text("utf-8"))
