"""The options of the retargeter's command line, and what they say about files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mimic_base.errors import input_error
from mimic_base.reading import real_path
from retarget.choices import Backend, Method

OLDER = {"--fps": "--out-fps"}
"""Older spelling of an option -> its name."""
SkeletonMap = Annotated[str, tyro.conf.arg(metavar="ROLE=JOINT,...")]


@dataclass(frozen=True)
class Options:
    """Turn human clips into references for a robot.

    Skeleton, unit, up axis and facing are detected and reported; an option overrides each.
    """

    clips: tyro.conf.Positional[tuple[Path, ...]]
    """Human motion files (BVH, AMC, C3D, DeepMimic JSON, joint positions, SMPL, video pose), or
    folders of them."""
    out: Path
    """Folder for the results, one .npz per clip; of a single clip also the file itself, where the
    name ends in .npz. Existing ones are replaced."""
    manifest: Path | None = None
    """File that lists clips: a path per line, or JSON lines with clip, name, start, end."""
    workers: int | None = None
    """Processes that share the clips, 1 unless given; 0 is one per core. Folders, manifests,
    several workers and shards make a batch: clips that are done are left out when it is run
    again."""
    backend: Backend = "processes"
    """What a batch runs on: processes of this machine, or a Ray cluster (extra `ray`), by default
    on all of its CPUs."""
    ray_address: str | None = None
    """Running Ray cluster: auto, HOST:PORT or ray://HOST:PORT; without it Ray is started here."""
    shard: str = ""
    """Part of the clips for one of several machines, such as 2/8."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    fps: Annotated[float | Literal["source"], tyro.conf.arg(name="out-fps")] = "source"
    """Frame rate of the result: the clip's own, or a number."""
    start: float = 0.0
    """Second of the clips to begin at."""
    end: float | None = None
    """Second of the clips to end at; their own end unless given."""
    method: Method = "whole-clip"
    """Solve all frames at once, or one after the other."""
    ground: str = ""
    """Ground that the robot walks on: slope:DEGREES, steps:RISE,TREAD,COUNT, ramp:..., rough:...,
    or a file with a terrain (.json, .toml, .npz, .obj). The results carry it in their scene.
    follow: the floor, wherever the person's feet stand (captures that hover, sink or drift);
    fixed: the floor at one height, as without the option."""
    source_ground: str = ""
    """Ground that the person walked on, said likewise, in the clip's world (m); the robot walks on
    it at its own size unless --ground says otherwise."""
    picture: bool = False
    """Also write a picture per clip: the person above, the robot below."""
    report: Path | None = None
    """Also write an HTML page: figures against goals, curves, pictures, worst moments; of a batch
    the figures of all clips."""
    unit: float | None = None
    """Metres per unit of the file."""
    up: Literal["x", "y", "z", "-y"] | None = None
    """Vertical axis of the file; --up=-y where y points down."""
    skeleton_map: SkeletonMap = ""
    """Joints of an unknown skeleton, such as pelvis=Root,left_hip=LHip."""
    drop_first: int | None = None
    """Frames to leave out at the start (a T-pose is found without it)."""
    source_fps: float | None = None
    """Frame rate of the clips, when the file is wrong or silent about it."""
    layout: str | None = None
    """Joint order of an array without names, such as lafan22 or smpl22; found unless given."""
    reader: str | None = None
    """Reader of the clips, where neither content nor ending tells: bvh, arrays, ... or one's own as
    package.module:NAME."""
    body_models: Path | None = None
    """Folder of licensed SMPL-family body models (else MIMIC_BODY_MODELS)."""
    height: float | None = None
    """Standing height of the person in metres, where the file does not tell it (SMPL parameters,
    video pose) or tells it wrongly."""


def reading_options(options: Options) -> dict[str, Any]:
    """Keyword arguments of `read_human_motion`."""
    return {
        "unit": options.unit,
        "up": options.up,
        "skeleton_map": parse_skeleton_map(options.skeleton_map),
        "drop_first": options.drop_first,
        "fps": options.source_fps,
        "layout": options.layout,
        "reader": options.reader,
        "body_models": options.body_models,
        "height": options.height,
    }


def parse_skeleton_map(text: str) -> dict[str, str] | None:
    """``role=joint,role=joint`` as a mapping; None for an empty text."""
    if not text.strip():
        return None
    mapping = {}
    for part in text.split(","):
        role, equals, joint = part.partition("=")
        if not equals or not role.strip() or not joint.strip():
            raise input_error(
                None,
                "--skeleton-map has a part that names no joint",
                found=repr(part),
                expected="ROLE=JOINT, such as pelvis=Hips,left_hip=LHip",
            )
        mapping[role.strip()] = joint.strip()
    return mapping


def is_batch(options: Options) -> bool:
    """Whether clips go through a pool with a record of each, rather than one after the other."""
    several = options.manifest is not None or bool(options.shard)
    several = several or options.workers not in (None, 1) or options.backend == "ray"
    return several or any(clip.is_dir() for clip in options.clips)


def names_a_file(options: Options) -> bool:
    """Whether ``--out`` is the result's own file rather than the folder of all results.

    Raises:
        InputError: it is, and there may be several results.
    """
    if options.out.suffix.lower() != ".npz":
        return False
    if is_batch(options) or len(options.clips) > 1:
        raise input_error(
            options.out,
            "--out names one file, which is for one clip",
            found="a batch" if is_batch(options) else f"{len(options.clips)} clips",
            fix=f"name a folder: --out {options.out.with_suffix('')}",
        )
    return True


def output_files(options: Options) -> list[Path]:
    """The file of each clip's result. Raises as `names_a_file` does."""
    if names_a_file(options):
        return [options.out]
    return [options.out / f"{name}.npz" for name in output_names(options.clips)]


def output_names(clips: Sequence[Path]) -> list[str]:
    """A file name per clip: its stem, with the folder's name where two stems are the same."""
    stems = Counter(clip.stem for clip in clips)
    names = [
        c.stem if stems[c.stem] == 1 else f"{real_path(c).parent.name}_{c.stem}" for c in clips
    ]
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[i] = f"{name}_{seen[name]}"
    return names
