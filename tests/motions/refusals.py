"""What a refused clip says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_base.errors import InputError
from motions import read_human_motion


def refusal(path: Path, **options: object) -> str:
    """The one line, which names the file, with which reading `path` fails."""
    with pytest.raises(InputError) as caught:
        read_human_motion(path, **options)  # pyright: ignore[reportArgumentType]
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    return text
