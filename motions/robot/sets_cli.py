"""`pack` and `split`: many motions into one memory-mapped file, and into training and held-out."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from mimic_base.errors import InputError, input_error
from mimic_base.files import atomic_write_text, check_writable
from mimic_base.options import parse

if TYPE_CHECKING:
    from motions.robot.dataset import MotionFile


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Pack motions of one robot into one file that training maps into memory.

    Clips are checked, brought to one rate, and keep names, splits, weights and tags of their
    manifest. Train with --motion SET.pack, or --motion SET.pack:train for one split.
    """

    motions: tyro.conf.Positional[tuple[str, ...]]
    """Motion files (.npz), folders of them, manifests (.jsonl, .csv), or other packs."""
    out: Path
    """File to write (.pack)."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    out_fps: float = 50.0
    """Frames per second of the pack; training maps it without a copy at its control rate."""
    bodies: Literal["key", "all"] = "key"
    """Bodies that are kept: those that tracking looks at, or all of the robot's."""
    validation: float = 0.0
    """Share of clips for the split `validation`, by the hash of their content; clips of a manifest
    with splits keep theirs."""
    test: float = 0.0
    """Share of clips for the split `test`, likewise; the rest is `train`."""
    skip_unfit: bool = False
    """Leave out clips that cannot be used, with a line for each, instead of refusing the set."""
    workers: int | None = None
    """Threads that read; as many as there are processors, at most eight, unless given."""


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Write a manifest that deals motions into train, validation and test by their content.

    The same clip falls into the same split on every machine and under every name.
    """

    motions: tyro.conf.Positional[tuple[str, ...]]
    """Motion files (.npz), folders of them, or manifests (.jsonl, .csv)."""
    out: Path
    """Manifest to write (.jsonl)."""
    validation: float = 0.1
    """Share of clips for validation."""
    test: float = 0.1
    """Share of clips that are held out."""
    salt: str = ""
    """Another text deals them anew."""
    difficulty: bool = False
    """Also say how hard each clip is to follow, by the measures of `mimic motions curate`: 0 rests
    on its feet, 1 would be refused. `mimic train --difficulty-ramp N` begins with easy clips."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml): whose motions they are, for --difficulty."""


def pack(arguments: Sequence[str] | None = None, *, prog: str = "mimic motions pack") -> int:
    """Write a pack; 0 when all went in, 2 when clips had to be left out."""
    options = parse(PackOptions, arguments, prog=prog)
    shares = _shares(options.validation, options.test)
    import sys

    import robots
    from motions.robot.dataset import find_motion_files
    from motions.robot.pack import MotionPack
    from motions.robot.packing import write_pack

    if options.workers is not None and options.workers < 1:
        raise input_error(None, "--workers must be at least 1", found=options.workers)
    robot = robots.load(options.robot)
    files = find_motion_files(list(options.motions))
    watched = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if watched and (done % 50 == 0 or done == total):
            end = "\n" if done == total else "\r"
            print(f"packed {done} of {total} clips", end=end, file=sys.stderr, flush=True)

    packed = write_pack(
        files, options.out, robot, fps=options.out_fps, skip_unfit=options.skip_unfit,
        bodies=robot.body_names if options.bodies == "all" else None, shares=shares,
        workers=options.workers, progress=progress,
    )  # fmt: skip
    for line in packed.skipped:
        print(f"left out: {line}")
    print(MotionPack.open(options.out).summary())
    return 2 if packed.skipped else 0


def split(arguments: Sequence[str] | None = None, *, prog: str = "mimic motions split") -> int:
    """Write a manifest with a split for every clip."""
    options = parse(SplitOptions, arguments, prog=prog)
    shares = _shares(options.validation, options.test)
    if options.out.suffix.lower() != ".jsonl":
        raise input_error(
            options.out, "the manifest is written as .jsonl", fix=f"--out {options.out}.jsonl"
        )
    from motions.robot.dataset import find_motion_files
    from motions.robot.pack import PackedClip
    from motions.robot.packing import with_splits

    files = find_motion_files(list(options.motions))
    if any(isinstance(file, PackedClip) for file in files):
        raise InputError("a pack has its splits inside; pack the clips again with --validation")
    check_writable(options.out)
    files = with_splits(files, shares, options.salt)
    if options.difficulty:
        import robots
        from motions.robot.packing import with_difficulties

        files = with_difficulties(files, robots.load(options.robot))
    folder = options.out.absolute().parent
    atomic_write_text(options.out, "".join(_line(file, folder) for file in files))
    count = Counter(file.split for file in files)
    named = ", ".join(f"{count[name]} {name}" for name in sorted(count))
    print(f"{options.out}: {len(files)} clips, {named}")
    return 0


def _shares(validation: float, test: float) -> dict[str, float]:
    shares = {"validation": validation, "test": test}
    for name, share in shares.items():
        if not (0.0 <= share <= 1.0 and math.isfinite(share)):
            raise input_error(None, f"--{name} is a share", found=share, expected="0 to 1")
    if sum(shares.values()) > 1.0:
        raise InputError(
            f"--validation and --test are more than all clips (found {validation:g} and {test:g}); "
            "choose shares whose sum is at most 1"
        )
    return shares


def _line(file: MotionFile, folder: Path) -> str:
    values = {
        "file": os.path.relpath(file.path.absolute(), folder), "name": file.name,
        "split": file.split, "tags": list(file.tags),
    }  # fmt: skip
    kept = {key: value for key, value in values.items() if value not in ("", [])}
    if file.weight != 1.0:
        kept["weight"] = file.weight
    if file.difficulty is not None:
        kept["difficulty"] = file.difficulty
    return json.dumps(kept) + "\n"
