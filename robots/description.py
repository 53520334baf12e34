"""Robot descriptions: one small TOML file beside the vendor's MJCF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mimic_base.errors import InputError, RobotError
from mimic_base.json_text import parse_toml
from mimic_base.reading import read_bounded
from mimic_base.text import plain

BUILTIN_DIR = Path(__file__).parent / "descriptions"
NAME = 200
"""Characters of a robot's name or path that a refusal shows."""


@dataclass(frozen=True, kw_only=True)
class Motor:
    """Constants shared by the joints a motor type drives (kg m^2, N m, rad/s)."""

    name: str
    armature: float
    effort: float
    velocity: float
    joints: tuple[str, ...]
    damping_ratio: float | None = None
    """Of its servo; None: that of the robot."""


@dataclass(frozen=True, kw_only=True)
class CollisionGeom:
    """One collision primitive in its body's frame (m)."""

    body: str
    type: str
    group: str
    size: tuple[float, ...]
    points: tuple[tuple[float, ...], ...] = ()
    fromto: tuple[float, ...] = ()
    mirror: bool = False


@dataclass(frozen=True, kw_only=True)
class KeyPoint:
    """A point of interest that no body's origin marks, such as a hand without a wrist joint (m).

    The overlay welds a massless body of this name there.
    """

    name: str
    body: str
    pos: tuple[float, float, float]
    mirror: bool = False


@dataclass(frozen=True, kw_only=True)
class Description:
    """The parsed description file of a robot."""

    path: Path
    name: str
    title: str
    model: Mapping[str, Any]
    joint_ranges: Mapping[str, tuple[float, float]]
    natural_frequency_hz: float
    damping_ratio: float
    action_scale_factor: float
    soft_limit_factor: float
    motors: tuple[Motor, ...]
    default_pose: Mapping[str, float]
    bodies: Mapping[str, Any]
    human: Mapping[str, str]
    collision: tuple[CollisionGeom, ...]
    points: tuple[KeyPoint, ...]
    doubts: tuple[str, ...] = ()
    """What was derived on split or absent evidence, a line each; retargeting repeats it."""


def find(name_or_path: str | Path) -> Path:
    """Return the description file of a built-in name or of a user's own ``.toml``."""
    path, told = Path(name_or_path), plain(name_or_path, NAME)
    if path.suffix == ".toml":
        if not _is_file(path):
            raise RobotError(f"robot description '{told}' does not exist")
        return path
    builtin = BUILTIN_DIR / f"{name_or_path}.toml"
    if _is_file(builtin):
        return builtin
    known = ", ".join(sorted(p.stem for p in BUILTIN_DIR.glob("*.toml")))
    raise RobotError(
        f"unknown robot '{told}'; known: {known}; or give the path of a description file (.toml)"
    )


def _is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read(path: Path) -> Description:
    """Parse a description file.

    Raises:
        RobotError: not TOML, or a key is missing or has the wrong type.
    """
    try:
        data = parse_toml(path, read_bounded(path), rule="not a valid TOML file")
    except InputError as error:
        raise RobotError(str(error)) from error
    try:
        control = data.get("control", {})
        bodies = data["bodies"]
        for key in ("root", "anchor", "feet", "end_effectors", "key_bodies"):
            wanted = str if key in ("root", "anchor") else list
            if not isinstance(bodies[key], wanted):
                raise TypeError(f"bodies.{key} must be a {wanted.__name__}, is {bodies[key]!r}")
        if len(bodies["feet"]) != 2:
            raise ValueError(f"bodies.feet must be the left and the right foot: {bodies['feet']}")
        if not isinstance(data["model"], dict):
            raise TypeError(f"model must be a table, is {data['model']!r}")
        for key, value in control.items():
            if not float(value) > 0:
                raise ValueError(f"control.{key} must be positive, is {value}")
        doubts = data.get("doubts", [])
        if not isinstance(doubts, list) or not all(isinstance(d, str) for d in doubts):
            raise TypeError(f"doubts must be a list of texts, is {doubts!r}")
        return Description(
            path=path,
            doubts=tuple(doubts),
            name=str(data["name"]),
            title=str(data.get("title", data["name"])),
            model=data["model"],
            joint_ranges={
                str(k): (float(low), float(high))
                for k, (low, high) in data.get("joint_ranges", {}).items()
            },
            natural_frequency_hz=float(control.get("natural_frequency_hz", 10.0)),
            damping_ratio=float(control.get("damping_ratio", 2.0)),
            action_scale_factor=float(control.get("action_scale_factor", 0.25)),
            soft_limit_factor=float(control.get("soft_limit_factor", 0.9)),
            motors=tuple(
                Motor(
                    name=str(m["name"]),
                    armature=float(m["armature"]),
                    effort=float(m["effort"]),
                    velocity=float(m["velocity"]),
                    joints=tuple(m["joints"]),
                    damping_ratio=float(m["damping_ratio"]) if "damping_ratio" in m else None,
                )
                for m in data["motors"]
            ),
            default_pose={str(k): float(v) for k, v in data.get("default_pose", {}).items()},
            bodies=bodies,
            human=data.get("human", {}),
            collision=tuple(
                CollisionGeom(
                    body=g["body"],
                    type=g["type"],
                    group=g["group"],
                    size=tuple(g["size"]),
                    points=tuple(tuple(p) for p in g.get("points", ())),
                    fromto=tuple(g.get("fromto", ())),
                    mirror=bool(g.get("mirror", False)),
                )
                for g in data.get("collision", ())
            ),
            points=tuple(
                KeyPoint(
                    name=str(p["name"]),
                    body=str(p["body"]),
                    pos=(float(p["pos"][0]), float(p["pos"][1]), float(p["pos"][2])),
                    mirror=bool(p.get("mirror", False)),
                )
                for p in data.get("points", ())
            ),
        )
    except KeyError as error:
        raise RobotError(f"{path}: key {error} is missing from the robot description") from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise RobotError(f"{path}: malformed robot description: {error}") from error


def match_joints(patterns: Mapping[str, Any], joints: tuple[str, ...], what: str) -> dict[str, Any]:
    """Assign each wildcard pattern's value to the joints it matches.

    Raises:
        RobotError: a pattern matches no joint, or two patterns claim the same joint.
    """
    values: dict[str, Any] = {}
    for pattern, value in patterns.items():
        hits = [joint for joint in joints if fnmatchcase(joint, pattern)]
        if not hits:
            raise RobotError(f"{what}: pattern '{pattern}' matches no joint of {list(joints)}")
        for joint in hits:
            if joint in values:
                raise RobotError(f"{what}: joint '{joint}' is matched by more than one pattern")
            values[joint] = value
    return values
