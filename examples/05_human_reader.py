"""Read human motion from a format of your own, then retarget it.

    python examples/05_human_reader.py

A reader turns a file into a `RawClip`: names, parents and positions (or positions and rotations) in
the file's own unit and axes. What is common to all is found out: roles, unit, up axis, facing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import robots
from mimic_base.errors import input_error
from motions import HumanMotion, read_human_motion
from motions.human import demo
from motions.human.readers.raw import RawClip, ReadOptions, need_fps, read_text
from motions.human.readers.reader import Reader
from retarget import retarget


def read_columns(path: Path, options: ReadOptions) -> RawClip:
    """A line `name parent` per joint, an empty line, then a line x y z x y z ... per frame."""
    head, _, body = read_text(path).partition("\n\n")
    joints = [line.split() for line in head.splitlines()]
    names = tuple(name for name, _ in joints)
    try:
        parents = tuple(names.index(parent) if parent != "-" else -1 for _, parent in joints)
        frames = np.array([[float(x) for x in line.split()] for line in body.splitlines()])
        pos = frames.reshape(len(frames), len(names), 3)
    except ValueError as error:
        # One line: file, rule, value found, what was expected.
        raise input_error(path, "not a file of columns", found=str(error)) from error
    return RawClip(
        path=path,
        format="columns",
        fps=need_fps(path, options),
        joint_names=names,
        parents=parents,
        pos=pos,
    )


READER = Reader(name="columns", extensions=(".columns",), read=read_columns, text=True)
"""On the command line, from a module: mimic retarget FILE --reader package.module:READER"""


def main() -> None:
    path = Path("walk.columns")
    _write(demo.generate("walk"), path)

    human = read_human_motion(path, fps=60.0, reader="__main__:READER")
    print(f"unit {human.report['unit']} m, up {human.report['up']}, {len(human.roles)} roles found")
    motion = retarget(human, robots.load("unitree_g1"), fps=30.0)
    print(f"limb error {motion.quality['fidelity']['limb_dir_err_mean_deg']:.1f} deg")


def _write(human: HumanMotion, path: Path) -> None:
    """The clip in inches, with y up, as somebody else would have it."""
    parents = [human.joint_names[p] if p >= 0 else "-" for p in human.parents]
    lines = [f"{name} {parent}" for name, parent in zip(human.joint_names, parents, strict=True)]
    inches = human.pos_w[..., [1, 2, 0]].reshape(human.num_frames, -1) / 0.0254
    rows = [" ".join(f"{x:.4f}" for x in row) for row in inches]
    path.write_text("\n".join(lines) + "\n\n" + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
