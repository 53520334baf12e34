"""The same thing has the same option name in every command; docs/options.md says which."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from mimic.cli import COMMANDS, Command, Group, call
from mimic_base.errors import UserError

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "docs" / "options.md"

SYNONYMS = {
    "--robot": "robot-name robot-description embodiment robot-file",
    "--motion": "motions reference-motion references refs ref motion-file motion-dir",
    "--out": "output outputs output-dir out-dir output-path save save-to destination dest target "
    "target-dir folder directory dir project keep-in write",
    "--device": "cuda gpu dev accelerator torch-device",
    "--seed": "rng rng-seed random-seed num-seed seed-value",
    "--seeds": "num-seeds",
    "--engine": "simulator sim physics physics-engine sim-backend",
    "--engines": "simulators",
    "--num-envs": "envs n-envs nenvs num-environments environments",
    "--iterations": "max-iterations num-iterations iters n-iterations",
    "--episodes": "num-episodes n-episodes trials rollouts",
    "--threads": "num-threads n-threads cores num-cores",
    "--workers": "num-workers n-workers jobs processes num-processes",
    "--start": "from begin start-time t0 first-second",
    "--end": "until stop end-time t1 last-second",
    "--source-fps": "fps input-fps in-fps file-fps",
    "--out-fps": "target-fps output-fps resample rate frame-rate framerate",
    "--out-joint-order": "output-joint-order target-joint-order",
    "--json": "json-file json-out dump",
    "--report": "html html-report",
    "--picture": "image img png screenshot",
    "--video": "mp4 movie record",
    "--name": "label tag run-name",
    "--resume": "continue restart",
    "--config": "cfg config-file",
}
"""Option -> names that would mean the same."""
KINDS = {"--picture": {"flag", "PATH"}, "--video": {"flag", "PATH"}}
"""What options take that is not the same everywhere: retargeted clips have a picture each, beside
its motion, and the demo has a video in its folder; elsewhere there is one, and it is named."""
SAID = {
    "--robot": "Robot name, or a description file (.toml)",
    "--motion": "Robot motions (.npz) or folders of them",
    "--engine": "Physics engine: auto, mujoco, mjx or warp; options follow a colon",
    "--json": "Also write everything into this file",
    "--seed": "Seed of",
    "--device": "auto, cpu, cuda or cuda:N",
    "--source-fps": "Frame",
}
"""Option -> words of its help that are the same everywhere."""


def leaves() -> Iterator[tuple[str, Command]]:
    for word, command in COMMANDS.items():
        if isinstance(command, Group):
            yield from ((f"{word} {inner}", each) for inner, each in command.commands.items())
        else:
            yield word, command


@cache
def shown(name: str) -> dict[str, tuple[str, str]]:
    """Option -> what it takes (`flag`, INT, PATH ...) and what its help says, of a command."""
    command = dict(leaves())[name]
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        # Narrow enough for one column of groups.
        patch.setenv("COLUMNS", "100")
        arguments = ["tracking", "--help"] if name == "train" else ["--help"]
        with contextlib.suppress(SystemExit):
            call(command, arguments, f"mimic {name}")
    found: dict[str, tuple[str, str]] = {}
    last = ""
    for raw in out.getvalue().splitlines():
        line = re.sub(r"[│╭╰─╮╯]", "", raw).strip()
        # A flag whose two names are too long for one line has the second on the next.
        option = re.match(r"(--(?![\w.-]*\bno-)[a-z][\w.-]*)(?:, --[\w.-]*no-[\w.-]+|,)?(.*)", line)
        if option:
            last, rest = option[1], option[2]
            value = re.match(r" ?((?:[\[\]{}|A-Z.,:=_-]|\w+(?=[,}]))+(?: [\[\]A-Z.]+)*)?", rest)
            takes = (value[1] or "").strip() if value else ""
            found[last] = (takes or "flag", rest[value.end() if value else 0 :].strip())
        elif last and line:
            found[last] = (found[last][0], f"{found[last][1]} {line}".strip())
    return found


NAMES = [name for name, _ in leaves()]


def last_part(option: str) -> str:
    return re.split(r"^--|\.", option)[-1]


def test_the_sweep_sees_options() -> None:
    assert {"--robot", "--out", "--out-fps", "--workers"} <= set(shown("retarget"))
    assert shown("evaluate")["--seed"] == ("INT", "Seed of noise, starts and disturbances. "
                                           "(default: 0)")  # fmt: skip
    assert shown("retarget")["--picture"][0] == "flag"
    assert "--task.rewards.body-position.weight" in shown("train")
    assert sum(len(shown(name)) for name in NAMES) > 250


@pytest.mark.parametrize("name", NAMES)
def test_no_command_has_a_name_of_its_own_for_a_common_thing(name: str) -> None:
    wrong = {word: option for option, words in SYNONYMS.items() for word in words.split()}
    # Numbers of a run are fields of its configuration, and called as papers call them.
    ours = [each for each in shown(name) if "." not in each]
    found = {each: wrong[last_part(each)] for each in ours if last_part(each) in wrong}
    assert not found, f"mimic {name}: {found}"


def test_no_script_has_a_name_of_its_own_for_a_common_thing() -> None:
    wrong = {word: option for option, words in SYNONYMS.items() for word in words.split()}
    found, count = {}, 0
    for path in sorted((REPO / "scripts").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for each in ast.walk(tree):
            names: list[str] = []
            if isinstance(each, ast.Call) and getattr(each.func, "attr", "") == "add_argument":
                # What one process of a script tells another is not for users.
                if not any("SUPPRESS" in ast.dump(keyword) for keyword in each.keywords):
                    names = [str(a.value) for a in each.args if isinstance(a, ast.Constant)]
            elif isinstance(each, ast.ClassDef) and each.name in ("Options", "Arguments"):
                fields = [a for a in each.body if isinstance(a, ast.AnnAssign)]
                fields = [a for a in fields if "Positional" not in ast.unparse(a.annotation)]
                names = [f"--{ast.unparse(a.target).replace('_', '-')}" for a in fields]
            count += len(names)
            said = {n: wrong[last_part(n)] for n in names if last_part(n) in wrong}
            found.update({f"{path.name} {n}": known for n, known in said.items()})
    assert count > 60 and not found


def test_the_same_option_takes_the_same_everywhere() -> None:
    takes: dict[str, set[str]] = {}
    for name in NAMES:
        for option, (kind, _) in shown(name).items():
            if option in SYNONYMS:
                plain = kind.replace("{None}|", "").replace("|{source}", "")
                takes.setdefault(option, set()).add(plain.strip("[]").split(" ")[0].strip("["))
    different = {o: k for o, k in takes.items() if len(k) > 1 and k != KINDS.get(o)}
    assert len(takes) >= 20 and not different


@pytest.mark.parametrize("option", SAID)
def test_the_same_option_is_explained_in_the_same_words(option: str) -> None:
    said = {name: shown(name)[option][1] for name in NAMES if option in shown(name)}
    assert len(said) >= 3
    assert not {name: text for name, text in said.items() if SAID[option] not in text}


def test_the_table_of_the_docs_is_what_the_commands_have() -> None:
    text = PAGE.read_text("utf-8").partition("## Older")[0]
    rows = re.findall(r"^\| `(--[a-z-]+)` \|[^|]*\|[^|]*\| (.*?) \|$", text, re.M)
    assert {option for option, _ in rows} >= set(SYNONYMS)
    for option, cell in rows:
        named = set(re.findall(r"`([a-z][a-z -]*)`", cell))
        has = {name for name in NAMES if option in shown(name)}
        grouped = [f"--{group}.{option[2:]}" for group in ("loop", "algorithm")]
        has |= {"train"} if any(each in shown("train") for each in grouped) else set()
        assert named == has, option


def test_the_page_lists_the_older_spellings() -> None:
    text = PAGE.read_text("utf-8").partition("## Older")[2]
    for name, line, now in OLDER:
        older = next(word for word in line.split() if word.startswith("--") and word != "--out")
        row = rf"^\| `{older}` \| `{now}` \| .*`{name}`.*\|$"
        assert re.search(row, text, re.M), (name, older)


OLDER = [
    ("retarget", "--fps 50 --out a b", "--out-fps"),
    ("motions convert", "--fps 30 --out a b", "--source-fps"),
    ("motions convert", "--resample 30 --out a b", "--out-fps"),
    ("motions convert", "--output-joint-order a --out a b", "--out-joint-order"),
    ("motions info", "--fps 30", "--source-fps"),
    ("motions edit", "b --out a --fps 30", "--source-fps"),
    ("motions curate", "--fps 30", "--source-fps"),
    ("view", "--fps 30", "--source-fps"),
    ("motions check", "a b --project a.npz", "--out"),
    ("play", "a --fps 30", "--video-fps"),
    ("parity", "a --reference mujoco", "--reference-engine"),
    ("slurm", "--folder a", "--out"),
]
"""Command, a line with an older spelling, the present name."""


@pytest.mark.parametrize(("name", "line", "now"), OLDER, ids=lambda each: str(each).split(" ")[0])
def test_older_spellings_are_accepted_and_not_listed(
    name: str, line: str, now: str, capfd: pytest.CaptureFixture[str]
) -> None:
    command = dict(leaves())[name]
    older = next(word for word in line.split() if word.startswith("--") and word != "--out")
    assert now in shown(name)
    assert older == "--reference" or older not in shown(name)
    # An option that is not known is refused for that, before anything else.
    for word, known in ((older, True), (f"{older}-x", False)):
        capfd.readouterr()
        told = ""
        try:
            assert call(command, line.replace(older, word).split(), f"mimic {name}") == 2
        except (UserError, OSError) as error:
            told = str(error)
        told += capfd.readouterr().err
        assert told and ("unknown option" in told) != known, told
