"""Texts that come from files, made safe for where they are shown.

A name, a source or a licence inside a file is anybody's text. It may hold the control sequences of
a terminal, markup of HTML, or the parts of a path. Whoever shows such a text passes it through the
function of the place: `plain` (one line anywhere), `markup` (the Rich console), `html` (a page),
`markdown` (the viewer) or `file_name` (a file named after it).
"""

from __future__ import annotations

import re
import sys
from html import escape
from typing import Any, TextIO

LONGEST_LINE = 800
"""Characters of an error line; the middle of a longer one is left out."""
LONGEST_NAME = 120
"""Bytes of a file name made from a text, its ending left aside: file systems take 255."""

_CONTROL = re.compile(
    # C0 and C1 control characters and DEL; the marks that turn the direction of writing, the line
    # and paragraph separators, the invisible ones, and halves of surrogate pairs.
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_SPACES = re.compile(r"\s+")
_STREAM_CONTROL = re.compile(
    "[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a stream never takes: all of the above but tab, backspace, new line and carriage return,
which the program's own output uses."""
_OWN_SEQUENCE = re.compile(r"\x1b\[(?:[0-9;]*[mAK]|\?25[hl])")
"""Colours, a line up, the rest of a line cleared, the cursor hidden: what Rich draws with."""
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
"""Names that Windows keeps for devices."""


def plain(text: object, most: int | None = None) -> str:
    r"""A text as one line without control characters: they become ``\x1b``, ``\u202e``.

    Args:
        most: characters to keep; the middle of a longer text is left out.
    """
    line = _CONTROL.sub(_written, _SPACES.sub(_one_line, str(text)).strip())
    return line if most is None else cut(line, most)


def cut(text: str, most: int) -> str:
    """`text` of at most `most` characters: its beginning and its end stay, three to one."""
    if len(text) <= most:
        return text
    mark = f" ... ({len(text)} characters) ... "
    end = max(0, most - len(mark)) // 4
    begin = max(0, most - len(mark) - end)
    return text[:begin] + mark + text[len(text) - end :]


def markup(text: object, most: int | None = None) -> str:
    """A text for the Rich console: plain, and its square brackets are no markup."""
    from rich.markup import escape as escape_markup

    return escape_markup(plain(text, most))


def html(text: object, most: int | None = None) -> str:
    """A text for an HTML page, in an element or between quotes of an attribute."""
    return escape(plain(text, most), quote=True)


def markdown(text: object, most: int | None = None) -> str:
    """A text for Markdown, MDX too: letters, digits and spaces stay, all else is a reference.

    MDX, which the viewer's page uses, runs what stands in braces and what follows ``import`` or
    ``export`` at the beginning as a program, and takes ``<`` for an element; a character reference
    (``&#60;``) is never anything but a character.
    """
    line = plain(text, most)
    inert = "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in line)
    if line.startswith(("import", "export")):
        inert = f"&#{ord(line[0])};{inert[1:]}"
    return inert


def file_name(text: object, fallback: str = "unnamed") -> str:
    """A name fit for a file, without folders, made from any text.

    Letters, digits, ``.``, ``-`` and ``_`` stay, all else becomes ``_``. A name that begins with a
    dot, that Windows keeps for a device, or that is too long is changed; a hash of the whole keeps
    long ones apart.
    """
    whole = str(text)
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in whole).strip(" .")
    if not name.strip("_"):
        return fallback
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    data = name.encode("utf-8", "replace")
    if len(data) > LONGEST_NAME:
        import hashlib

        digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:8]
        name = data[: LONGEST_NAME - 9].decode("utf-8", "ignore") + f"-{digest}"
    return name


def is_file_path(text: object) -> bool:
    """Whether a text can be a path below a folder: relative, without ``..``, of fit names."""
    if not isinstance(text, str) or not text or _CONTROL.search(text) or "\\" in text:
        return False
    parts = text.split("/")
    return all(
        part not in ("", ".", "..")
        and ":" not in part
        and not _RESERVED.fullmatch(part)
        and len(part.encode("utf-8", "replace")) <= 255
        for part in parts
    )


def _one_line(match: re.Match[str]) -> str:
    """White space as it is, but a space in place of any with a tab or a line's end in it."""
    return match[0] if match[0].strip(" \xa0\u3000") == "" else " "


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class SafeStream:
    """A text stream that shows control characters instead of sending them to the terminal.

    On a terminal the few sequences that the program's own tables and bars are drawn with go
    through; all else about the stream is as it was.
    """

    def __init__(self, stream: TextIO, title: str = "") -> None:
        """Errors of `stream` (a full disk, where it goes into a file) name it by its `title`."""
        self._stream = stream
        self._title = title
        self._draws = bool(getattr(stream, "isatty", lambda: False)())

    def write(self, text: str) -> int:
        """Write `text`; the number of its characters comes back, as from any stream."""
        try:
            return self._write(text)
        except OSError as error:
            error.filename = error.filename or self._title or None
            raise

    def flush(self) -> None:
        """Hand over what has been written."""
        try:
            self._stream.flush()
        except OSError as error:
            error.filename = error.filename or self._title or None
            raise

    def _write(self, text: str) -> int:
        if _STREAM_CONTROL.search(text) is None:
            self._stream.write(text)
            return len(text)
        own = _OWN_SEQUENCE.findall(text) if self._draws else []
        foreign = _OWN_SEQUENCE.split(text) if self._draws else [text]
        for k, part in enumerate(foreign):
            self._stream.write(_STREAM_CONTROL.sub(_written, part))
            if k < len(own):
                self._stream.write(own[k])
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Any:
        return iter(self._stream)


def guard_streams() -> None:
    """Let standard output and standard error of this process show control characters."""
    for name, title in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, SafeStream):
            setattr(sys, name, SafeStream(stream, title))
