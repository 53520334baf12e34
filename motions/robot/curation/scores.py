"""Scores of feasibility, as `mimic motions feasibility --json` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_base.errors import InputError, input_error
from mimic_base.json_text import parse_json
from mimic_base.reading import read_bounded

SCHEMA = "humanoid-mimic/feasibility/1"


@dataclass(frozen=True, kw_only=True)
class ScoredWindow:
    """Some seconds of a clip and how well they can be followed."""

    from_s: float
    to_s: float
    """Seconds from the beginning of the file."""
    score: float
    """0 to 1."""


Scores = Mapping[Path, Sequence[ScoredWindow]]
"""Of files, by their resolved paths."""


def read_scores(path: Path) -> Scores:
    """The windows of every clip of a file of scores.

    Raises:
        InputError: absent, damaged, or no file of scores.
    """
    content: Any = parse_json(path, read_bounded(path))
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise input_error(
            path,
            "not a file of scores",
            found=f"schema {schema!r:.60}",
            expected=f"'{SCHEMA}'",
            fix="make it by: mimic motions feasibility MOTION --model RUN --json FILE",
        )
    try:
        return {
            Path(clip["file"]).resolve(): [
                ScoredWindow(
                    from_s=float(each["from_s"]),
                    to_s=float(each["to_s"]),
                    score=float(each["score"]),
                )
                for each in clip["windows"]
            ]
            for clip in content["clips"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: clips: not as mimic motions feasibility writes them ({error!r:.80}); make "
            "the file again"
        ) from error


def scores_of(scores: Scores, file: Path, source: str) -> Sequence[ScoredWindow]:
    """The windows of one file.

    Raises:
        InputError: it was not scored.
    """
    found = scores.get(file.resolve())
    if found is None:
        raise InputError(
            f"{file}: {source} has no scores of it (it has {len(scores)} other files); score it "
            "by: mimic motions feasibility MOTION --model RUN --json FILE"
        )
    return found


def worst_between(
    windows: Sequence[ScoredWindow], from_s: float, to_s: float
) -> ScoredWindow | None:
    """The hardest window that overlaps some seconds; None where none does."""
    inside = [each for each in windows if each.from_s < to_s and each.to_s > from_s]
    return min(inside, key=lambda each: each.score, default=None)
