"""``mimic motions from-video clip.mp4 --out clip.npz``: landmarks of a person in a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from mimic_base.errors import InputError
from mimic_base.options import parse


@dataclass(frozen=True)
class Options:
    """Find a person in a video and write the landmarks; `mimic retarget` reads the file."""

    video: tyro.conf.Positional[Path]
    """The video: one still camera, the whole body in the picture."""
    out: Path
    """The .npz to write: BlazePose landmarks in metres and in pixels, with confidence."""
    person: int | None = None
    """Whom to follow, counted from 1 at the left; the largest unless given."""
    model: Path | None = None
    """A .task bundle, or the fetched package of the model; the cache's unless given."""


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic motions from-video") -> int:
    """Write the landmarks and say how the clip fits them; 0 when all went well."""
    options = parse(Options, arguments, prog=prog)
    if options.out.suffix.lower() != ".npz":
        raise InputError(f"--out must be an .npz (found {options.out.name})")
    from mimic_base.files import check_writable, save_npz

    check_writable(options.out)
    from motions.human.video.estimate import estimate

    arrays = estimate(options.video, person=options.person, model=options.model)
    save_npz(options.out, **arrays)
    seen = int(arrays["detected"].sum())
    print(f"{options.out}: {seen} of {len(arrays['detected'])} frames with the person, "
          f"{arrays['fps']:g} fps")  # fmt: skip
    return 0
