from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
Writer = Callable[..., Path]


@pytest.fixture
def write_tiny(tmp_path: Path) -> Writer:
    """Write the tiny robot with a text replaced in its description or model; returns the TOML."""

    def write(toml: tuple[str, str] = ("", ""), xml: tuple[str, str] = ("", "")) -> Path:
        for name, (old, new) in (("tiny.toml", toml), ("tiny.xml", xml)):
            text = (HERE / name).read_text()
            assert old in text
            (tmp_path / name).write_text(text.replace(old, new) if old else text)
        return tmp_path / "tiny.toml"

    return write
