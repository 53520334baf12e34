"""What a reader of human clips declares; a module of this folder with a `READER` is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motions.human.readers.raw import RawClip, ReadOptions


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A kind of file: its endings, how its content is known, and the function that reads it.

    A clip is read by the reader that knows its content, else by its ending: clips get renamed.
    Where several know the content, the one whose ending the file has.
    """

    name: str
    extensions: tuple[str, ...]
    """Endings of the files, with the dot, in small letters."""
    read: Callable[[Path, ReadOptions], RawClip]
    """The clip as the file has it, in its own unit and axes (see `RawClip`)."""
    recognise: Callable[[bytes, str], bool] | None = None
    """Whether a file that begins with these bytes, and with this text (stripped, empty where it is
    none), is surely of this kind."""
    is_clip: Callable[[Path], bool] | None = None
    """Whether a file of this kind found in a folder is a human clip; all of them unless given."""
    generic: bool = False
    """Whether `recognise` is so wide that other readers go first that know the content."""
    text: bool = False
    """Whether the files are text, so that damage of the text is told at once."""
