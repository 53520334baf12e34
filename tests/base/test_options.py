"""Options of a command: what is wrong with them is one line that names the option."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from mimic_base import options
from mimic_base.errors import InputError, MimicError
from mimic_base.options import given, parse, respelled

OLDER = {"--output": "--out", "--num-envs": "--loop.num-envs", "--video": "--loop.video"}


@dataclass(frozen=True)
class Term:
    """One term."""

    history: int = 1
    """Steps."""
    weight: float = 1.0
    """Weight."""

    def __post_init__(self) -> None:
        if self.history < 1:
            raise MimicError(f"an observation's history must be at least 1, got {self.history}")
        if self.weight > 9:
            raise ValueError("too heavy, and said by a class\nof somebody else")


@dataclass(frozen=True)
class Loop:
    """The loop."""

    num_envs: int = 8
    """Environments."""
    video: bool = True
    """A video too."""
    terms: dict[str, Term] = field(default_factory=lambda: {"pos": Term(), "vel": Term()})
    """Terms."""

    def __post_init__(self) -> None:
        if self.num_envs < 1:
            raise MimicError(f"num_envs must be at least 1, got {self.num_envs}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Do something."""

    clips: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Clips."""
    out: Path
    """Folder for the results; existing ones stay. (required by law)"""
    size: tuple[int, int] = (4, 3)
    """Width and height."""
    shares: tuple[float, ...] = ()
    """Shares."""
    frames: int | None = None
    """Frames."""
    rate: float | Literal["source"] = "source"
    """Rate."""
    way: Literal["fast", "slow"] = "fast"
    """How."""
    hours: float = 1.0
    """Time."""
    loop_config: Annotated[Loop, tyro.conf.arg(name="loop")] = field(default_factory=Loop)
    """The loop."""

    def __post_init__(self) -> None:
        if not self.hours > 0:
            raise MimicError(f"--hours must be positive, got {self.hours:g}")
        if self.frames == 7:
            raise MimicError("frames must not be 7")


def read(*words: str) -> Options:
    return parse(Options, words, prog="program run", renamed=OLDER)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "program run: missing --out PATH (Folder for the results) (see 'program run --help')"),
        ("--out", "program run: --out wants a value, and fewer are given"),
        ("--out a --size 3", "program run: --size wants 2 values, and fewer are given"),
        ("--out a --ways fast", "program run: unknown option '--ways'; did you mean '--way'?"),
        ("--out a --frobnicate", "program run: unknown option '--frobnicate' (see"),
        ("--out a --frames x", "--frames: found 'x', expected a whole number or None (see"),
        ("--out a --frames 1.5", "--frames: found '1.5', expected a whole number or None"),
        ("--out a --rate x", "--rate: found 'x', expected a number or source"),
        ("--out a --way up", "--way: found 'up', expected fast or slow"),
        ("--out a --hours x", "--hours: found 'x', expected a number (see"),
        ("--out a --size 3 b", "--size: found '3', 'b', expected 2 whole numbers"),
        ("--out a --shares 1 b c", "--shares: found '1', 'b', 'c', expected numbers"),
        ("--out a --hours 0", "--hours must be positive, got 0"),
        ("--out a --frames 7", "--frames must not be 7"),
        ("--out a --loop.num-envs 0", "--loop.num-envs must be at least 1, got 0"),
        ("--out a --loop.num_envs=-2", "--loop.num-envs must be at least 1, got -2"),
        ("--output a --num-envs 0", "--num-envs must be at least 1, got 0"),
        ("--out a --num-envs x", "--num-envs: found 'x', expected a whole number"),
        ("--output", "program run: --output wants a value, and fewer are given"),
        ("--out a --loop.terms.vel.history 0",
         "--loop.terms.vel.history: an observation's history must be at least 1, got 0"),
        ("--out a --loop.terms.vel.history 0 --loop.terms.vel.weight 2",
         "--loop.terms.vel.history: an observation's history must be at least 1, got 0"),
        ("--out a --loop.terms.pos.weight 10 --loop.terms.pos.history 2",
         "--loop.terms.pos: too heavy, and said by a class of somebody else"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    words: str, text: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A narrow terminal breaks no word of it.
    monkeypatch.setenv("COLUMNS", "30")
    with pytest.raises(InputError) as caught:
        read(*words.split())
    assert str(caught.value).startswith(text), str(caught.value)
    assert "\n" not in str(caught.value) and not set("│╭─") & set(str(caught.value))
    assert capfd.readouterr() == ("", "")


def test_a_word_too_many() -> None:
    with pytest.raises(InputError, match="^program: unexpected argument 'more' "):
        parse(Loop, ["more", "--num-envs", "3"], prog="program")


def test_an_error_around_it_is_not_taken_for_its_own() -> None:
    try:
        raise MimicError("something else")
    except MimicError:
        with pytest.raises(InputError, match="missing --out PATH"):
            read()


def test_words_of_another_version_of_the_parser_are_still_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cli(*_: object, **__: object) -> None:
        import sys

        box = "+- Odd ----+\n| It is not \x1b[31mright\x1b[0m  |\n| at all.  |\n| --- |\n| help |\n"
        sys.stderr.write(box)
        raise SystemExit(2)

    monkeypatch.setattr(tyro, "cli", cli)
    with pytest.raises(InputError) as caught:
        read("--out", "a")
    text = "program run: It is not right at all (see 'program run --help')"
    assert str(caught.value) == text


def test_help_is_printed_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        read("--help")
    assert not leaving.value.code
    out = capsys.readouterr().out
    assert "usage: program run" in out and "--output" not in out and "--loop.num-envs" in out


def test_older_spellings() -> None:
    found = read("clip.bvh", "--output=a", "--num_envs", "3", "--no-video")
    assert found.out == Path("a") and found.clips == (Path("clip.bvh"),)
    assert (found.loop_config.num_envs, found.loop_config.video) == (3, False)
    assert respelled(["--output", "--", "--output"], OLDER)[0] == ["--out", "--", "--output"]


def test_a_value_before_parsing() -> None:
    words = ["a", "--preset", "gpu", "--run_dir=b=c", "--", "--resume", "d"]
    assert given(words, "--preset") == "gpu" and given(words, "--run-dir") == "b=c"
    assert given(words, "--resume") is None and given(["--resume"], "--resume") is None


def test_colours_and_frames_are_taken_off() -> None:
    rows = options._rows("╭─ \x1b[1mTitle\x1b[0m ─╮\n│ one │\n│ ─── │\n│     two │\n╰──╯\n")
    assert rows == ["one", "", "    two"]
