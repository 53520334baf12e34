"""Texts from files where they are shown: terminal, console, pages, viewer, file names."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from mimic_base.command_line import user_error_text
from mimic_base.errors import InputError, about
from mimic_base.text import (
    LONGEST_LINE,
    LONGEST_NAME,
    SafeStream,
    cut,
    file_name,
    html,
    is_file_path,
    markdown,
    markup,
    plain,
)

TITLE = "\x1b]0;owned\x07"
"""Sets the title of a terminal's window."""


def test_a_line_has_no_control_characters() -> None:
    assert plain(f"a{TITLE}b") == r"a\x1b]0;owned\x07b"
    assert plain("one\n  two\r\nthree\tfour") == "one two three four"
    assert plain("two  spaces") == "two  spaces"
    assert plain("txt\u202egpj.exe") == r"txt\u202egpj.exe"
    assert plain("\x9b2J\ud800") == r"\x9b2J\ud800"
    assert plain("naïve 人 👩\u200d🔬") == "naïve 人 👩\u200d🔬"


def test_long_lines_keep_beginning_and_end() -> None:
    line = cut("begin" + "x" * 5000 + "end", 400)
    assert len(line) == 400 and line.startswith("begin") and line.endswith("end")
    assert "5008 characters" in line
    assert cut("short", 400) == "short"


def test_an_error_is_one_line_of_a_sensible_length() -> None:
    error = InputError(f"clip{TITLE}.bvh: " + "joint, " * 2000 + "rename them")
    assert "\x1b" not in str(error) and "\x07" not in str(error)
    line = user_error_text(error)
    assert line is not None and len(line) == LONGEST_LINE and line.endswith("rename them")
    assert line.startswith(r"clip\x1b]0;owned\x07.bvh")


def test_an_error_of_the_system_names_its_file() -> None:
    with pytest.raises(OSError) as raised, about(Path("clip.bvh")):
        raise OSError(22, "Invalid argument")
    assert user_error_text(raised.value) == "clip.bvh: Invalid argument"
    with pytest.raises(OSError) as raised, about(Path("other")):
        raise OSError(2, "No such file or directory", "named")
    assert user_error_text(raised.value) == "named: No such file or directory"
    assert "\x1b" not in (user_error_text(OSError(2, "No such file", f"a{TITLE}")) or "")


def test_rich_markup_is_text() -> None:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=200).print(f"[bold]{markup(f'[red]{TITLE}[/] [/bold]')}[/bold]")
    assert out.getvalue() == "[red]\\x1b]0;owned\\x07[/] [/bold]\n"


def test_html_and_markdown_are_text() -> None:
    evil = "<img src=x onerror=alert(1)> {alert(1)} [a](javascript:alert(1)) \"' `x` **b** | & _"
    for made in (html(evil), markdown(evil)):
        assert unescape(made) == evil and "<" not in made and '"' not in made
    assert not set(markdown(evil)) & set("<>{}[]()*_`|\\!\"'=:/.")
    assert unescape(markdown("export const a = 1")) == "export const a = 1"
    assert not markdown("export const a = 1").startswith("export")
    assert markdown("\n# x") == "&#35; x"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a/b\\c:d", "a_b_c_d"),
        ("walk 1", "walk_1"),
        (".bashrc", "bashrc"),
        ("nul", "_nul"),
        ("COM1.npz", "_COM1.npz"),
        ("", "unnamed"),
        ("...", "unnamed"),
        ("人", "人"),
        (f"x{TITLE}", "x__0_owned_"),
    ],
)
def test_file_names(text: str, name: str) -> None:
    assert file_name(text) == name


def test_long_file_names_are_cut_and_stay_apart() -> None:
    one, two = file_name("人" * 300 + "a"), file_name("人" * 300 + "b")
    assert one != two and max(len(one.encode()), len(two.encode())) <= LONGEST_NAME


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a/b c", True),
        ("人.x", True),
        ("../a", False),
        ("/a", False),
        ("a//b", False),
        ("a/./b", False),
        ("a\0b", False),
        ("a\x1b", False),
        ("a\\b", False),
        ("C:x", False),
        ("aux", False),
        ("x" * 256, False),
        ("", False),
        (3, False),
    ],
)
def test_paths_below_a_folder(text: object, fits: bool) -> None:
    assert is_file_path(text) is fits


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_streams_show_control_characters() -> None:
    text = f"\x1b[31mred\x1b[0m {TITLE}\x1b]52;c;eA==\x07 \x1b[2K\x1b[1A\x1b[?25l\x1bc\x9b2J\tü\r\n"
    pipe, terminal = io.StringIO(), _Terminal()
    for stream in (pipe, terminal):
        assert SafeStream(stream).write(text) == len(text)
    assert "\x1b" not in pipe.getvalue() and "\x9b" not in pipe.getvalue()
    assert pipe.getvalue().endswith("\tü\r\n")
    shown = terminal.getvalue()
    assert shown.startswith("\x1b[31mred\x1b[0m \\x1b]0;owned\\x07\\x1b]52;c;eA==\\x07 ")
    assert shown.endswith("\x1b[2K\x1b[1A\x1b[?25l\\x1bc\\x9b2J\tü\r\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_no_command_sends_a_names_control_sequences_to_the_terminal(tmp_path: Path) -> None:
    """An error line, a print and a line of Rich's, on a terminal, with a name out of a file."""
    code = (
        "import sys\n"
        "from mimic_base.command_line import exit_on_user_error\n"
        "from mimic_base.errors import input_error\n"
        "from mimic_base.text import markup\n"
        "def main():\n"
        "    from rich.console import Console\n"
        "    name = 'x\\x1b]0;owned\\x07\\x1b[2J\\udcff'\n"
        "    print(name)\n"
        "    Console(force_terminal=True).print(f'[red]{markup(name)}[/red]', highlight=False)\n"
        "    raise input_error(name, 'no clip')\n"
        "exit_on_user_error(main)\n"
    )
    lead, follow = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdout=follow, stderr=follow, stdin=follow, cwd=tmp_path
    )
    os.close(follow)
    data = b""
    while True:
        try:
            part = os.read(lead, 4096)
        except OSError:
            break
        if not part:
            break
        data += part
    os.close(lead)
    assert run.wait() == 2
    assert b"\x1b]0" not in data and b"\x1b[2J" not in data and b"\x07" not in data
    assert data.count(rb"x\x1b]0;owned\x07\x1b[2J\udcff") == 3
    assert b"Traceback" not in data


def test_warnings_of_numbers_in_a_file_are_not_shown(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from mimic_base.command_line import exit_on_user_error\n"
        "from mimic_base.errors import input_error\n"
        "def main():\n"
        "    np.linalg.norm(np.full((2, 3), 1e200), axis=1)\n"
        "    np.array([1e300]).astype(np.float32) * np.inf - np.inf / np.zeros(1)\n"
        "    raise input_error('clip.npz', 'no clip')\n"
        "exit_on_user_error(main)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, "error: clip.npz: no clip\n")
