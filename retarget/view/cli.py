"""The command line of the viewer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mimic_base.browser_page import (
    address,
    check_port,
    close_server,
    open_server,
    require_viser,
    seen_by,
)
from mimic_base.errors import InputError
from mimic_base.options import parse
from mimic_base.reading import real_path
from motions.robot.formats.cli import SOURCE_OLDER, SourceOptions

if TYPE_CHECKING:
    from retarget.view.sources import Pair


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Play robot motions and their source clips in a browser, with the report's curves."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Robot motions and human clips, or folders of them, in any order; a motion's own clip is
    known by its name."""
    port: int = 8080
    """Port of the page; 0 takes any that is free."""
    host: str = "127.0.0.1"
    """Address to serve at: this machine alone unless told otherwise; 0.0.0.0 lets all others look
    and steer, without a password."""
    robot: str = ""
    """Robot name, or a description file (.toml); by default the one that a motion names."""
    paused: bool = False
    """Wait at the first frame instead of playing."""
    check: bool = False
    """Load every motion, start, print the address and end."""


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m retarget.view") -> int:
    """Serve until Ctrl-C."""
    options = parse(Options, arguments, prog=prog, renamed=SOURCE_OLDER)
    require_viser()
    if not options.files:
        raise InputError("no motion given; say which: mimic view MOTION.npz [CLIP]")
    check_port(options.host, options.port)
    reading = options.read_options()
    from retarget.view.app import Entry, Viewer
    from retarget.view.sources import find_pairs, load_show

    pairs = find_pairs(options.files, reading)

    names = entry_names(pairs)
    entries = [
        Entry(name, partial(load_show, pair, options.robot, reading))
        for name, pair in zip(names, pairs, strict=True)
    ]
    if options.check:
        for entry in entries[1:]:
            entry.load()
    server = open_server(options.host, options.port, "humanoid-mimic")
    try:
        viewer = Viewer(server, entries, paused=options.paused)
        for name, pair in zip(names, pairs, strict=True):
            print(f"{name}: {pair.motion}, source {pair.clip or 'not found'}")
        who = seen_by(options.host)
        print(f"{address(server)} ({who}; Ctrl-C ends)", flush=True)
        if not options.check:
            viewer.run()
    finally:
        close_server(server)
    return 0


def entry_names(pairs: Sequence[Pair]) -> list[str]:
    """A name per motion: its stem, with the folder's where two are the same."""
    stems = Counter(pair.motion.stem for pair in pairs)
    return [
        pair.motion.stem
        if stems[pair.motion.stem] == 1
        else f"{real_path(pair.motion).parent.name}/{pair.motion.name}"
        for pair in pairs
    ]
