"""Models of strangers: looked through as text, then compiled in a process apart, before we do.

MuJoCo's parser and compiler are C++, and a model of a few lines can ask for hours and for all the
memory (``<replicate count="1000000000">``). A model that is not of the robots that come with the
program goes three steps:

1. `look_through` reads its XML, with what it includes, as a stream: depth, elements (copies of
   ``replicate``, ``composite``, ``flexcomp`` and attached models counted), bodies, cells of height
   fields and textures, sizes of the files it names; no entities, no file outside its own folder
   and the one above.
2. `check_model` compiles it in a child process with limits of time and memory
   (`mimic_base.child`), and notes success under the hash of all it consists of: the next start
   does not pay.
3. Only then the same bytes are parsed in this process.

The third step runs the same code on the same bytes: it does not protect from a model made to take
over the process that compiles it, see SECURITY.md.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import mujoco
import numpy as np

from mimic_base import child
from mimic_base.cache import digest_of, load_arrays, save_arrays
from mimic_base.errors import RobotError, UserError
from mimic_base.limits import check_limit
from mimic_base.reading import real_path
from mimic_base.text import plain
from robots.urdf import resolve_mesh

_CACHE, _SCHEMA = "models", "humanoid-mimic/checked-model/1"
_CHUNK = 1 << 16
_BODIES = ("body", "link")
_COPIES = {"replicate": (1.0,), "composite": (1.0, 1.0, 1.0), "flexcomp": (10.0, 10.0, 10.0)}
"""Elements that stand for as many as ``count`` says, by the counts where it says nothing."""
_ASSETS = ("mesh", "hfield", "texture", "skin", "flexcomp")
_SIDES = ("fileright", "fileleft", "fileup", "filedown", "filefront", "fileback")
_SIZES = ("nuserdata", "nkey", "nconmax", "njmax", "nstack")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}


@dataclass(eq=False)
class Looked:
    """What was found in a model's text.

    Attributes:
        texts: XML files. assets: files of meshes and pictures that are there. absent: names of
            those that are not. folders: where the model says its assets are, as far as these lie
            below its own folder.
    """

    texts: list[Path] = field(default_factory=list)
    assets: set[Path] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)


def check_model(path: Path) -> None:
    """Raise `RobotError` (or `InputError` for a limit) where a model cannot be compiled safely."""
    looked = look_through(path)
    files = [*looked.texts, *sorted(looked.assets)]
    parts = [_SCHEMA, mujoco.__version__, *sorted(looked.absent), *map(str, files)]
    try:
        key = digest_of([*parts, *files])
    except OSError as error:
        raise RobotError(f"{error.filename or path}: cannot be read: {error.strerror}") from error
    if _is_checked(path, key):
        return
    # What the model names and no folder that it chooses: `meshdir="/"` would be the whole system.
    reads = [*map(real_path, files), *sorted(looked.folders)]
    _compile_apart(path, "compile_model", {"file": str(real_path(path))}, reads)
    _note_checked(path, key)


def check_mesh(path: Path, scale: Sequence[float]) -> None:
    """The same for a mesh that the scene of a motion names.

    Raises `RobotError`, or `InputError` for a limit.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise RobotError(f"{path}: a mesh must be an ordinary file")
        check_limit(path, "bytes", found.st_size, "the size of this mesh file")
        key = digest_of([_SCHEMA, mujoco.__version__, "mesh", repr([*scale]), path])
    except OSError as error:
        raise RobotError(f"{path}: cannot be read: {error.strerror}") from error
    if not _is_checked(path, key):
        file = real_path(path)
        arguments = {"file": str(file), "scale": [float(factor) for factor in scale]}
        _compile_apart(path, "compile_mesh", arguments, [file])
        _note_checked(path, key)


def _is_checked(path: Path, key: str) -> bool:
    return key in _CHECKED or load_arrays(_CACHE, path.stem, key) is not None


def _note_checked(path: Path, key: str) -> None:
    _CHECKED.add(key)
    save_arrays(_CACHE, path.stem, key, {"checked": np.ones(1, np.uint8)})


_CHECKED: set[str] = set()
"""Hashes of models that this process has seen compiled; the cache may not be writable."""


def _compile_apart(
    path: Path, function: str, arguments: Mapping[str, Any], reads: Sequence[Path]
) -> None:
    job = child.Job(
        target=f"robots.native:{function}",
        arguments=arguments,
        about=path,
        what="MuJoCo",
        reads=reads,
        seconds="compile",
    )
    try:
        found = child.call(job)
    except child.ChildError as error:
        raise RobotError(f"{path}: MuJoCo cannot compile this robot: {error}") from error
    if found.get("refused") is not None:
        said = plain(found["refused"], 2000)
        # The child saw the path with its links resolved.
        raise RobotError(said.replace(str(real_path(path)), str(path), 1))


def look_through(path: Path) -> Looked:
    """Read a model's XML, and what it includes, without building anything of it.

    Raises:
        RobotError: it is no XML, has entities, or names files that it may not.
        InputError: it is above a limit.
    """
    looked = Looked()
    reader = _Reader(path, looked)
    reader.read(path, above=())
    reader.find_assets()
    return looked


class _Reader:
    """Reads the texts of one model; `read` counts what a file adds, `find_assets` ends it.

    Assets are looked for when all texts are read: what says where they are may stand behind them.
    """

    def __init__(self, path: Path, looked: Looked) -> None:
        self.path = path
        self.looked = looked
        self.folders = [""]
        self.named: dict[tuple[str, str, Path], None] = {}
        self.stripped = False
        self.sizes: dict[Path, tuple[float, float]] = {}
        self.bytes = 0

    def read(self, file: Path, above: tuple[Path, ...]) -> tuple[float, float]:
        """Elements and bodies of a file with all that it includes."""
        place = real_path(file)
        if place in above:
            raise RobotError(f"{self.path}: '{file.name}' includes itself")
        if place in self.sizes:
            return self.sizes[place]
        check_limit(self.path, "depth", len(above), "the depth of files that include others")
        self._check_file(file)
        self.looked.texts.append(file)
        one = _Text(self, file, (*above, place))
        one.parse()
        self.sizes[place] = (one.elements, one.bodies)
        return self.sizes[place]

    def include(self, name: str, file: Path, above: tuple[Path, ...]) -> tuple[float, float]:
        """Elements and bodies of an XML file that `file` names."""
        if not name or "\0" in name:
            return 0.0, 0.0
        places = [self.path.parent / name, file.parent / name]
        place = next((each for each in places if os.path.lexists(each)), places[0])
        inside = Path(os.path.normpath(place.absolute())).is_relative_to(
            os.path.normpath(self.path.absolute().parent.parent)
        )
        if os.path.isabs(name) or not inside:
            raise RobotError(
                f"{self.path}: the model includes '{name}', which lies outside its own folder and "
                "the one above; copy it beside the model"
            )
        return self.read(place, above)

    def asset(self, name: str, kind: str, file: Path) -> None:
        """Note the name of a file of a mesh or a picture."""
        if name and "\0" not in name:
            self.named[name, kind, file] = None

    def find_assets(self) -> None:
        """Find the files of all names that were noted, and check them."""
        places = len(self.named) * len(self.folders)
        check_limit(self.path, "elements", places, "the number of places to look for its files in")
        own = real_path(self.path).parent
        for folder in self.folders:
            place = real_path(self.path.parent / folder)
            if place != own and place.is_relative_to(own) and os.path.isdir(place):
                self.looked.folders.add(place)
        for name, kind, file in self.named:
            self._find_asset(name, kind, file)

    def _find_asset(self, name: str, kind: str, file: Path) -> None:
        if name.startswith(("package://", "model://", "file://")):
            found = [resolve_mesh(name, file)]
        else:
            names = [name, Path(name).name] if self.stripped else [name]
            bases = dict.fromkeys([self.path.parent, file.parent])
            found = [b / middle / n for b in bases for middle in self.folders for n in names]
        there = [place for place in found if os.path.exists(place)]
        if not there:
            self.looked.absent.add(name)
        for place in there:
            size = self._check_file(place)
            check_limit(place, "bytes", size, f"the size of this {kind} file")
            self._check_picture(place)
            self.looked.assets.add(place)

    def _check_file(self, file: Path) -> int:
        try:
            found = file.stat()
        except OSError as error:
            raise RobotError(f"{file}: cannot be read: {error.strerror or error}") from error
        if not stat.S_ISREG(found.st_mode):
            raise RobotError(f"{file}: '{self.path}' names it, and it is no ordinary file")
        return found.st_size

    def _check_picture(self, file: Path) -> None:
        """Width and height of a PNG; MuJoCo's own format of height fields says them likewise."""
        with file.open("rb") as stream:
            start = stream.read(24)
        if start.startswith(b"\x89PNG") and len(start) == 24:
            wide, high = (int.from_bytes(start[at : at + 4], "big") for at in (16, 20))
            check_limit(file, "cells", wide * high, "the number of pixels")


class _Text:
    """One XML file, element after element."""

    def __init__(self, reader: _Reader, file: Path, above: tuple[Path, ...]) -> None:
        self.reader, self.file, self.above = reader, file, above
        self.elements = self.bodies = 0.0
        self.copies = [1.0]
        self.attached: dict[str, tuple[float, float]] = {}

    def parse(self) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._declaration
        parser.EntityDeclHandler = self._declaration
        try:
            with self.file.open("rb") as stream:
                while data := stream.read(_CHUNK):
                    self.reader.bytes += len(data)
                    check_limit(
                        self.reader.path, "xml", self.reader.bytes, "the size of the model's XML"
                    )
                    parser.Parse(data, False)
                parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise RobotError(
                f"{self.file}: MuJoCo cannot read this model: not XML: {error}"
            ) from error
        except (ValueError, LookupError) as error:  # an encoding that is none
            if isinstance(error, UserError):
                raise
            raise RobotError(
                f"{self.file}: MuJoCo cannot read this model: not XML: {error}"
            ) from error
        except OSError as error:
            raise RobotError(f"{self.file}: cannot be read: {error.strerror or error}") from error

    def _declaration(self, *_: Any) -> None:
        raise RobotError(
            f"{self.file}: the model declares XML entities or a document type, which robot models "
            "do without; remove the <!DOCTYPE ...>"
        )

    def _start(self, tag: str, given: Mapping[str, str]) -> None:
        path = self.reader.path
        times = self.copies[-1]
        check_limit(self.file, "depth", len(self.copies), "the depth of the model's elements")
        copies = times * self._count(tag, given)
        self.copies.append(copies)
        self._add(copies if tag in _COPIES else times, times * (tag in _BODIES))
        if tag == "include":
            elements, bodies = self.reader.include(given.get("file", ""), self.file, self.above)
            self._add(times * elements, times * bodies)
        elif tag == "model" and "file" in given:
            size = self.reader.include(given["file"], self.file, self.above)
            self.attached[given.get("name", Path(given["file"]).stem)] = size
        elif tag == "attach":
            elements, bodies = self.attached.get(given.get("model", ""), (0.0, 0.0))
            self._add(times * elements, times * bodies)
        elif tag == "compiler":
            for key in ("meshdir", "texturedir", "assetdir"):
                if given.get(key, "") not in self.reader.folders:
                    self.reader.folders.append(given[key])
            self.reader.stripped |= given.get("strippath", "").strip().lower() == "true"
        elif tag == "size":
            self._check_sizes(given)
        if tag in _ASSETS:
            for key in ("file", "filename", *_SIDES):
                self.reader.asset(given.get(key, ""), tag, self.file)
            for keys in (("nrow", "ncol"), ("width", "height")):
                cells = math.prod(_number(given.get(key, "1")) for key in keys)
                check_limit(path, "cells", cells, f"the size of a {tag}")

    def _end(self, _: str) -> None:
        self.copies.pop()

    def _count(self, tag: str, given: Mapping[str, str]) -> float:
        usual = _COPIES.get(tag)
        if usual is None:
            return 1.0
        words = given.get("count", "").split()
        counts = [_number(word) for word in words] or list(usual)
        return max(1.0, math.prod(max(1.0, count) for count in counts))

    def _add(self, elements: float, bodies: float) -> None:
        self.elements += elements
        self.bodies += bodies
        path = self.reader.path
        check_limit(path, "elements", self.elements, "the number of the model's elements")
        check_limit(path, "joints", self.bodies, "the number of the model's bodies")

    def _check_sizes(self, given: Mapping[str, str]) -> None:
        path = self.reader.path
        for key in (*_SIZES, *(k for k in given if k.startswith("nuser_"))):
            check_limit(path, "items", _number(given.get(key, "0")), f"<size {key}>")
        text = given.get("memory", "").strip().upper()
        if text and text != "-1":
            unit = _UNITS.get(text[-1:], 1)
            amount = _number(text[:-1] if unit > 1 else text) * unit
            check_limit(path, "memory", amount, "<size memory>")


def _number(text: str) -> float:
    """A number of an attribute; zero for what is none, infinite for what is not finite."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else math.inf
