"""The command line of fetching."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from mimic_base.cache import cache_folder
from mimic_base.command_line import USER_ERROR_EXIT_CODE, user_error_text
from mimic_base.errors import InputError, input_error
from mimic_base.options import parse
from motions.human.fetch.cmu import ACKNOWLEDGEMENT, BASE_URL, BASE_VARIABLE, fetch_cmu

_CMU = re.compile(r"cmu/(\d{1,3})_(\d{1,2})", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """Fetch human clips from the place of their owner.

    Files that are there already are checked and not fetched again.
    """

    clips: tyro.conf.Positional[tuple[str, ...]]
    """Clips as COLLECTION/CLIP, such as cmu/02_01 (subject 2, trial 1)."""
    out: Path | None = None
    """Folder for the files; MIMIC_CACHE, else ~/.cache/humanoid-mimic, unless given."""
    base_url: str | None = None
    """Another place of the collection: https, file, or http, which nobody vouches for."""
    again: bool = False
    """Fetch even what is there, and compare."""
    timeout: float = 120.0
    """Seconds for a file, all in all."""


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic motions fetch") -> int:
    """Fetch every clip; 0 when all went well, 2 when one could not be had."""
    options = parse(Options, arguments, prog=prog)
    if not options.clips:
        raise InputError("no clips given; say which: python -m motions fetch cmu/02_01")
    if not options.timeout > 0:
        raise input_error(None, "--timeout must be above zero", found=f"{options.timeout:g}")
    clips = [_parse(clip) for clip in options.clips]
    base = options.base_url or os.environ.get(BASE_VARIABLE, "").strip() or BASE_URL
    folder = (options.out or cache_folder()) / "cmu"
    broken = 0
    for subject, trial in clips:
        try:
            amc, notes = fetch_cmu(
                subject, trial, folder, base, again=options.again, timeout=options.timeout
            )
        except Exception as error:
            text = user_error_text(error)
            if text is None:
                raise
            print(f"error: {text}", file=sys.stderr, flush=True)
            broken += 1
            continue
        for note in notes:
            print(f"  {note}")
        print(amc)
    if broken < len(clips):
        print(ACKNOWLEDGEMENT)
    return USER_ERROR_EXIT_CODE if broken else 0


def _parse(clip: str) -> tuple[str, str]:
    match = _CMU.fullmatch(clip.strip())
    if match is None:
        raise input_error(
            None,
            f"no such clip: {clip!r}",
            expected="cmu/SUBJECT_TRIAL, such as cmu/02_01",
            fix="mocap.cs.cmu.edu lists what there is",
        )
    return f"{int(match[1]):02d}", f"{int(match[2]):02d}"
