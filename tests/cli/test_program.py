"""The one program: every sub-command exists, is quick to explain itself, and completes."""

from __future__ import annotations

import importlib
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimic.cli import COMMANDS, Command, Group, run
from mimic.commands.kept_help import can_be_kept
from mimic.completion import script

REPO = Path(__file__).resolve().parents[2]
DEAR = ("torch", "tensordict", "rsl_rl", "numba", "mink", "matplotlib", "jax", "onnxruntime",
        "scipy", "mujoco")  # fmt: skip
"""What takes tenths of a second or seconds to import, and help has no use for."""


def leaves() -> Iterator[tuple[tuple[str, ...], Command]]:
    for word, command in COMMANDS.items():
        if isinstance(command, Group):
            for inner, each in command.commands.items():
                yield (word, inner), each
        else:
            yield (word,), command


LEAVES = dict(leaves())


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_of_the_table_exists(words: tuple[str, ...]) -> None:
    module, _, name = LEAVES[words].target.partition(":")
    target = getattr(importlib.import_module(module), name)
    if isinstance(target, type):
        assert callable(getattr(target, "run", None))
    else:
        assert inspect.signature(target).parameters["prog"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("words", [(), *((w,) for w in COMMANDS), *LEAVES], ids=" ".join)
def test_help_imports_nothing_dear(words: tuple[str, ...]) -> None:
    program = f"""
import sys
from mimic.cli import run
try:
    code = run({[*words, "--help"]!r})
except SystemExit as leaving:
    code = leaving.code or 0
assert code == 0, code
print("dear:", [name for name in {DEAR!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"usage: {' '.join(('mimic', *words))} " in done.stdout
    assert done.stdout.rstrip().endswith("dear: []"), done.stdout.splitlines()[-1]


def test_a_word_that_is_no_command_brings_the_nearest(capsys) -> None:
    for words, told in [
        (["retraget"], "error: mimic: no command 'retraget'; did you mean 'mimic retarget'?"),
        (["motions", "shw"], "did you mean 'mimic motions show'?"),
        (["fly"], "expected one of retarget, stream"),
    ]:
        assert run(words) == 2
        out, err = capsys.readouterr()
        assert not out and told in err and len(err.splitlines()) == 1


def test_a_group_without_a_command_means_its_first(mimic, clip: Path, tmp_path: Path) -> None:
    named, plain = mimic("motions", "show", clip), mimic("motions", clip)
    assert named == plain and named[0] == 0 and "unitree_g1" in named[1]


def test_version(capsys) -> None:
    from importlib.metadata import version

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"mimic {version('humanoid-mimic')}\n"


@pytest.mark.parametrize("door", ["play.py", "demo.py", "train.py"])
def test_old_doors_are_the_same_commands(door: str) -> None:
    shown = [
        subprocess.run(
            [sys.executable, *words, "--help"], cwd=REPO, capture_output=True, text=True, check=True
        ).stdout
        for words in ([door], ["-m", "mimic.cli", Path(door).stem])
    ]
    assert shown[0] == shown[1] and f"usage: mimic {Path(door).stem} " in shown[0]


def complete(code: str, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    asked = f"""
{code}
COMP_WORDS=({" ".join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}
_mimic_completion; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_and_their_options() -> None:
    code = script("bash", COMMANDS)
    assert complete(code, "mimic", "ret") == ["retarget"]
    assert complete(code, "mimic", "motions", "cu") == ["curate"]
    assert complete(code, "mimic", "motions", "--de") == ["--demo"]
    assert complete(code, "mimic", "motions", "edit", "--time") == ["--time-scale"]
    assert complete(code, "mimic", "retarget", "walk.bvh", "--rob") == ["--robot"]
    assert "--loop.iterations" in complete(code, "mimic", "train", "--loop.it")
    assert complete(code, "mimic", "retarget", "wa") == []


def test_completion_is_printed_for_known_shells(mimic) -> None:
    code, out, _ = mimic("--print-completion", "zsh")
    assert code == 0 and out.startswith("#compdef mimic\n") and "bashcompinit" in out
    if shutil.which("zsh"):
        assert subprocess.run(["zsh", "-n", "-c", out], check=False).returncode == 0
    code, _, err = mimic("--print-completion=fish")
    assert code == 2 and "bash or zsh" in err and "fish" in err


def test_help_of_a_task_is_made_once(tmp_path: Path) -> None:
    program = f"""
import sys
from mimic.cli import run
try:
    run(["train", "tracking", "--help"])
except SystemExit as leaving:
    assert not leaving.code
print("dear:", [name for name in {DEAR!r} if name in sys.modules])
"""
    environment = {**os.environ, "MIMIC_CACHE": str(tmp_path)}
    first, second = (
        subprocess.run(
            [sys.executable, "-c", program], cwd=REPO, env=environment, capture_output=True,
            text=True, check=True,
        ).stdout.rpartition("dear:")
        for _ in range(2)
    )  # fmt: skip
    assert first[0] == second[0] and "--task.rewards.body-position.weight" in first[0]
    assert "torch" in first[2] and second[2].strip() == "[]"


def test_help_that_needs_files_or_modules_of_others_is_not_kept() -> None:
    assert can_be_kept(["tracking", "--help"]) and not can_be_kept(["tracking"])
    for words in ("mine:task --help", "tracking --algorithm=a:B -h", "tracking --config=run -h",
                  "tracking --resume run -h"):  # fmt: skip
        assert not can_be_kept(words.split())
