"""Completion of ``mimic`` in a shell: a script made from the commands' own help."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mimic_base.errors import input_error

if TYPE_CHECKING:
    from mimic.cli import Command, Group

SHELLS = ("bash", "zsh")
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w.-]*")
_HEAD = {"bash": "", "zsh": "#compdef mimic\nautoload -U +X bashcompinit && bashcompinit\n"}
_SCRIPT = """{head}# Completion of mimic; made by: mimic --print-completion {shell}
_mimic_completion() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" at="mimic" words="" number word
  for ((number = 1; number < COMP_CWORD; number++)); do
    word="${{COMP_WORDS[number]}}"
    case "$at $word" in
      {places}) at="$at $word" ;;
      *) break ;;
    esac
  done
  case "$at" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _mimic_completion mimic
"""


def script(shell: str, commands: Mapping[str, Command | Group]) -> str:
    """The script for ``bash`` or ``zsh``; sub-commands, then their options, else file names."""
    if shell not in SHELLS:
        raise input_error(
            None, "--print-completion is for a shell", found=repr(shell),
            expected=" or ".join(SHELLS),
        )  # fmt: skip
    words = {"mimic": [*commands, "--help", "--version", "--print-completion"]}
    from mimic.cli import Group

    for word, command in commands.items():
        place = f"mimic {word}"
        if not isinstance(command, Group):
            words[place] = options(command, place)
            continue
        below = {f"{place} {each}": each for each in command.commands}
        for inner, each in below.items():
            words[inner] = options(command.commands[each], inner)
        words[place] = [*below.values(), *words[f"{place} {command.default}"]]
    places = [f'"{place}"' for place in words if place != "mimic"]
    cases = [f'    "{place}") words="{" ".join(each)}" ;;' for place, each in words.items()]
    return _SCRIPT.format(
        head=_HEAD[shell], shell=shell, places=" | ".join(places), cases="\n".join(cases)
    ).rstrip()


def options(command: Command, prog: str) -> list[str]:
    """Names of a command's options, as its help lists them."""
    from mimic.cli import call

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        call(command, ["--help"], prog)
    # Help is drawn in a frame: an option ends where its column does.
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()).splitlines()
    named = [
        match
        for line in lines
        if line.lstrip(" │|").startswith("-")
        for match in _OPTION.findall(line)
    ]
    return list(dict.fromkeys(["--help", *named]))
