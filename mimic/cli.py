"""The ``mimic`` command: everything the program does, in one tree of sub-commands.

The tree is a table of names. What a sub-command needs is imported when it is called, so that help
is quick, and this is the one place of the package that names modules of ``retarget``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from mimic_base.command_line import USER_ERROR_EXIT_CODE, exit_on_user_error, take_common_options
from mimic_base.limits import LIMITS

DISTRIBUTION = "humanoid-mimic"
COMPLETION = "--print-completion"


@dataclass(frozen=True)
class Command:
    """A sub-command that does something."""

    target: str
    """``module:name`` of a function ``(arguments, *, prog) -> exit code``, or of a dataclass of
    options with a method ``run() -> exit code``, and maybe older spellings of them in ``older``."""
    summary: str
    """What it does, for the list of commands."""


@dataclass(frozen=True)
class Group:
    """Sub-commands below one word."""

    summary: str
    """What they are about, for the list of commands."""
    commands: Mapping[str, Command]
    """Word -> sub-command."""
    default: str
    """The sub-command that is meant where none is named."""


MOTIONS = Group(
    "robot motions and human clips: show, convert, edit, check, curate",
    {
        "show": Command("mimic.commands.show_motions:ShowMotions", "figures of motion files"),
        "info": Command("motions.robot.formats.info:main", "what a file of any format holds"),
        "convert": Command("motions.robot.formats.cli:main", "other formats into motion files"),
        "edit": Command("motions.robot.editing.cli:main", "crop, mirror, blend, join, loop, ramp"),
        "check": Command("retarget.projection.cli:main", "torques, contacts, balance; mend them"),
        "curate": Command("motions.robot.curation.cli:main", "keep, repair or reject, why"),
        "feasibility": Command(
            "mimic.commands.feasibility:Feasibility", "what a learned model can follow"
        ),
        "pack": Command("motions.robot.sets_cli:pack", "a set as one memory-mapped file"),
        "split": Command("motions.robot.sets_cli:split", "a manifest: train, validation, test"),
        "fetch": Command("motions.human.fetch.cli:main", "get human clips from their owners"),
        "from-video": Command("motions.human.video.cli:main", "a person's landmarks in a video"),
        "demo": Command("motions.demo:main", "write the generated human clips"),
    },
    default="show",
)
ROBOTS = Group(
    "the robots there are; add one of your own",
    {
        "list": Command("mimic.commands.show_robots:ListRobots", "robots and their models"),
        "add": Command("mimic.commands.show_robots:AddRobot", "describe a robot by its model"),
    },
    default="list",
)
DEPLOY = Group(
    "a policy on a robot, simulated or over DDS",
    {
        "run": Command("mimic.commands.deploy:Deploy", "run it: limp, stand, track, hold"),
        "check": Command("mimic.commands.deploy:CheckDeployment", "go or no-go, rung by rung"),
        "replay": Command("mimic.commands.deploy:ReplaySession", "a recorded session once more"),
    },
    default="run",
)
COMPARE = Group(
    "trainings side by side",
    {
        "methods": Command(
            "mimic.commands.compare:CompareMethods", "every method, same budget, one table"
        ),
    },
    default="methods",
)
SECTIONS: Mapping[str, Mapping[str, Command | Group]] = {
    "motions": {
        "retarget": Command("retarget.command.cli:main", "human clips into motions of a robot"),
        "stream": Command("retarget.streaming.cli:main", "the same frame by frame, live"),
        "view": Command("retarget.view.cli:main", "motions and their clips in a browser"),
        "motions": MOTIONS,
        "robots": ROBOTS,
    },
    "policies": {
        "list": Command("mimic.commands.list_tasks:ListTasks", "tasks to train, with sizes"),
        "train": Command("mimic.commands.train:main", "train a policy, or go on training"),
        "play": Command("mimic.commands.play:Play", "watch a policy: figures, video, window"),
        "evaluate": Command("mimic.commands.evaluate:Evaluate", "success and errors of a policy"),
        "compare": COMPARE,
        "refine": Command("mimic.commands.refine:Refine", "clips as a policy physically does them"),
        "robustness": Command("mimic.commands.robustness:Robustness", "what makes a policy fall"),
        "deploy": DEPLOY,
        "slurm": Command("mimic.commands.slurm:main", "train as a job of a Slurm cluster"),
        "export": Command("mimic.commands.export:Export", "a run's policy as an ONNX file"),
    },
    "all of it": {
        "demo": Command("mimic.commands.demo:Demo", "clips in; video, report and policy out"),
        "benchmark": Command("mimic.commands.benchmark:Benchmark", "environment steps a second"),
        "parity": Command("mimic.commands.parity:Parity", "where two engines differ"),
    },
}
"""Heading -> word -> what it means."""
COMMANDS: Mapping[str, Command | Group] = {
    word: command for section in SECTIONS.values() for word, command in section.items()
}


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    words = take_common_options(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0 if words else USER_ERROR_EXIT_CODE
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"mimic {version(DISTRIBUTION)}")
        return 0
    if words[0].partition("=")[0] == COMPLETION:
        from mimic.completion import script

        shell = words[0].partition("=")[2] or " ".join(words[1:2])
        print(script(shell, COMMANDS))
        return 0
    word, rest = words[0], words[1:]
    if word not in COMMANDS:
        return _unknown("mimic", word, COMMANDS)
    command, prog = COMMANDS[word], f"mimic {word}"
    if isinstance(command, Group):
        group = command
        if rest and rest[0] in ("-h", "--help"):
            print(group_overview(prog, group))
            return 0
        word = group.default
        if rest and rest[0] in group.commands:
            word, rest = rest[0], rest[1:]
        elif rest and _is_a_word(rest[0]):
            return _unknown(prog, rest[0], group.commands)
        command, prog = group.commands[word], f"{prog} {word}"
    return call(command, rest, prog)


def call(command: Command, arguments: Sequence[str], prog: str) -> int:
    """Import what a sub-command needs and run it with its own arguments."""
    module, _, name = command.target.partition(":")
    target: Any = getattr(importlib.import_module(module), name)
    if isinstance(target, type):
        from mimic_base.options import parse

        return parse(target, arguments, prog=prog, renamed=getattr(target, "older", None)).run()
    return target(arguments, prog=prog) or 0


def overview() -> str:
    """The answer to ``mimic --help``."""
    lines = [
        "usage: mimic COMMAND [--help | ...]",
        "",
        "Humanoid motion imitation: human clips in, motions of a robot and policies out.",
    ]
    for heading, section in SECTIONS.items():
        lines += ["", f"{heading}:"]
        lines += [f"  {word:10} {command.summary}" for word, command in section.items()]
    return "\n".join(
        [
            *lines,
            "",
            "options:",
            "  --version                         the program's release",
            f"  {COMPLETION} {{bash,zsh}}     the shell's completion, to be sourced by it",
            "  --limit NAME=VALUE                of any command: how much a file may hold; NAME is",
            f"                                    {', '.join(LIMITS)}",
        ]
    )


def group_overview(prog: str, group: Group) -> str:
    """The answer to ``--help`` of a group."""
    lines = [
        f"usage: {prog} COMMAND [--help | ...]",
        "",
        group.summary[0].upper() + group.summary[1:] + ".",
        "",
    ]
    for word, command in group.commands.items():
        also = " (unless another is named)" if word == group.default else ""
        lines.append(f"  {word:11} {command.summary}{also}")
    return "\n".join(lines)


def _is_a_word(text: str) -> bool:
    """Whether an argument can only be meant as a sub-command: neither option nor file."""
    return not text.startswith("-") and text.isidentifier() and not Path(text).exists()


def _unknown(prog: str, word: str, known: Mapping[str, Any]) -> int:
    near = get_close_matches(word, known, n=1)
    hint = f"did you mean '{prog} {near[0]}'?" if near else f"expected one of {', '.join(known)}"
    print(f"error: {prog}: no command '{word}'; {hint}", file=sys.stderr)
    return USER_ERROR_EXIT_CODE


def main() -> NoReturn:
    """Entry point: a user's mistake is one line and exit code 2."""
    exit_on_user_error(run)


if __name__ == "__main__":
    main()
