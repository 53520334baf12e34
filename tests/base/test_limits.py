"""Limits on what files may hold, and the option that lifts them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mimic_base.command_line import take_common_options
from mimic_base.errors import InputError, UserError
from mimic_base.limits import (
    LIMITS,
    VARIABLE,
    check_limit,
    lifted,
    limit,
    over_limit,
    set_limits,
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")


def test_a_limit_is_its_default_until_the_user_lifts_it() -> None:
    assert limit("frames") == LIMITS["frames"].default
    words = ["a.bvh", "--limit", "frames=2e6", "--robot", "x", "--limit=bytes=4G"]
    rest = take_common_options(words)
    assert rest == ["a.bvh", "--robot", "x"]
    assert limit("frames") == 2_000_000
    assert limit("bytes") == 4 << 30
    assert limit("joints") == LIMITS["joints"].default


def test_the_last_word_holds_and_words_behind_a_bare_dash_are_left_alone() -> None:
    words = ["--limit", "depth=5", "--limit", "depth=7", "--", "--limit", "depth=9"]
    assert take_common_options(words) == ["--", "--limit", "depth=9"]
    assert limit("depth") == 7


@pytest.mark.parametrize("bad", ["", "frames", "legs=4", "frames=", "frames=many", "frames=-1",
                                 "frames=nan", "frames=inf", "frames=0", "frames=k"])  # fmt: skip
def test_a_bad_setting_is_one_line_that_names_the_option(bad: str) -> None:
    with pytest.raises(UserError, match="--limit: (a limit is NAME=VALUE|the limit 'frames')"):
        set_limits([bad])
    with pytest.raises(UserError, match="--limit: a limit is NAME=VALUE"):
        take_common_options(["file", "--limit"])


def test_a_refusal_names_file_value_limit_and_option() -> None:
    check_limit("a.bvh", "frames", LIMITS["frames"].default, "the number of frames")
    with pytest.raises(InputError) as error:
        check_limit("a.bvh", "frames", 1_000_001, "the number of frames")
    assert str(error.value) == (
        "a.bvh: the number of frames is above the limit 'frames' (found 1000001, expected at most "
        "1000000); --limit frames=1000001 lifts it for a file that you trust"
    )
    with pytest.raises(InputError, match="found nan"):
        check_limit("a.bvh", "magnitude", float("nan"), "a number")
    assert "found a number of 4000 bits" in str(over_limit("a", "frames", 1 << 3999, "a number"))
    assert "found more than 100, " in str(over_limit("a", "depth", None, "the nesting"))
    assert "--limit magnitude=VALUE" in str(over_limit("a", "magnitude", float("inf"), "a number"))


def test_what_a_refusal_advises_is_enough() -> None:
    for found in (1_000_001, 1.5e6, 1e7 + 0.25, 3.3e300, 10**15 + 1, 123456789012345678):
        advice = str(over_limit("a", "magnitude", found, "a number")).split("--limit ")[1]
        with lifted():
            set_limits([advice.split(" ")[0]])
            check_limit("a", "magnitude", found, "a number")


def test_a_block_lifts_and_restores_and_children_are_told() -> None:
    with lifted(frames=3, magnitude=2.5):
        assert (limit("frames"), limit("magnitude")) == (3, 2.5)
        told = subprocess.run(
            [sys.executable, "-c", "from mimic_base.limits import limit; print(limit('frames'))"],
            capture_output=True, text=True, check=True, env=dict(os.environ),
        )  # fmt: skip
        assert float(told.stdout) == 3
    assert limit("frames") == LIMITS["frames"].default


def test_a_damaged_variable_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "frames=soon")
    with pytest.raises(UserError, match="MIMIC_LIMITS: the limit 'frames'"):
        limit("frames")


@pytest.mark.parametrize("door", [["-m", "mimic.cli", "list"], ["-m", "motions"], ["train.py"]])
def test_every_door_takes_the_option(door: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *door, "--limit", "legs=2"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --limit: a limit is NAME=VALUE (found 'legs=2'")
    assert done.stderr.count("\n") == 1
