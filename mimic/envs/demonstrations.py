"""The other side of a discriminator: clips as a group of observations would show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from mimic.envs.features import BodyState
from mimic.envs.mdp.motion_frames import Feature, feature_of
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment
    from mimic.envs.motion_library import MotionLibrary
    from mimic.envs.terms import ObservationTerm


KEPT = 2**24
"""Numbers of features that are computed once for all frames, 64 MB; larger sets of clips have them
computed with every window."""


@dataclass(frozen=True, eq=False)
class _Column:
    feature: Feature
    scale: float
    history: int
    table: torch.Tensor | None = None
    """[F, d] of every frame of the library."""

    def values(self, library: MotionLibrary, rows: torch.Tensor) -> torch.Tensor:
        """[n, H, d] of rows [n, H]."""
        if self.table is not None:
            return self.table[rows]
        return self.scale * self.feature(BodyState.of_frames(library, rows))

    def kept(self, library: MotionLibrary) -> _Column:
        """With the values of all frames at hand, where they are few."""
        frames = len(library.joint_pos)
        width = self.values(library, library.start[:1, None]).shape[-1]
        if frames * width > KEPT:
            return self
        every = torch.arange(frames, device=library.start.device)
        table = torch.cat([self.values(library, rows) for rows in every.split(4096)])
        return replace(self, table=table)


class Demonstrations:
    """Windows of clips, each as the observation group of a robot that has moved like it.

    Args:
        terms: of the group; each is declared with ``mimic.envs.mdp.motion_frames.of_state``.
        group: its name, for refusals.

    Attributes:
        size: columns of a window, the same as the group's.
        frames: control steps that a window spans.

    Raises:
        MimicError: a term that is no feature of a state, or one that is late or filtered.
    """

    def __init__(
        self,
        library: MotionLibrary,
        terms: Mapping[str, ObservationTerm],
        *,
        group: str = "style",
    ) -> None:
        self.library = library
        columns = [_column(group, name, term) for name, term in terms.items()]
        self._columns = [each.kept(library) for each in columns]
        self.frames = max(each.history for each in self._columns)
        # Windows lie within one clip; of a shorter clip its first frame stands for those before.
        self._first = torch.minimum(
            torch.full_like(library.length, self.frames - 1), library.length - 1
        )
        self._ends = library.length - self._first
        weight = self._ends.float()
        if library.weight is not None:
            weight = weight * library.weight.to(weight)
        self._weight = weight
        self.size = self.windows(self._drawn(1)).shape[1]

    def sample(self, count: int) -> torch.Tensor:
        """Windows [count, D] that end at frames drawn evenly from all clips, by their weights.

        Random numbers are torch's own, as an algorithm's.
        """
        return self.windows(self._drawn(count))

    def windows(self, ends: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The windows [n, D] that end at given clips [n] and rows of the library [n]."""
        clip, row = ends
        back = torch.arange(self.frames - 1, -1, -1, device=row.device)
        rows = torch.maximum(row[:, None] - back, self.library.start[clip][:, None])
        parts = [
            each.values(self.library, rows[:, self.frames - each.history :]).flatten(1)
            for each in self._columns
        ]
        return torch.cat(parts, -1)

    def _drawn(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        clip = torch.multinomial(self._weight, count, replacement=True)
        share = torch.rand(count, device=clip.device)
        place = (share * self._ends[clip]).long().clamp_max(self._ends[clip] - 1)
        return clip, self.library.start[clip] + self._first[clip] + place


def demonstrations(env: Environment, group: str) -> Demonstrations:
    """The clips of an environment as its observation group would show them.

    Raises:
        MimicError: no such group, no command with clips, or terms that clips cannot be told by.
    """
    terms = env.cfg.observations.get(group)
    if terms is None:
        raise MimicError(
            f"task '{env.task_name}' has no observation group '{group}'; it has "
            f"{', '.join(env.cfg.observations)}"
        )
    found = libraries(env)
    if not found:
        raise MimicError(
            f"task '{env.task_name}' has no clips to show: none of its commands "
            f"({', '.join(env.commands) or 'it has none'}) takes motions"
        )
    return Demonstrations(found[0], terms, group=group)


def libraries(env: Environment) -> Sequence[MotionLibrary]:
    """The motion libraries of an environment's commands, in order."""
    found = [getattr(each, "library", None) for each in env.commands.values()]
    return [each for each in found if each is not None]


def _column(group: str, name: str, term: ObservationTerm) -> _Column:
    feature = feature_of(term.function)
    if feature is None:
        raise MimicError(
            f"observation '{name}' of the group '{group}' cannot be computed from a clip: its "
            "function is not declared with mimic.envs.mdp.motion_frames.of_state"
        )
    if term.delay[1] or term.filter or term.noise:
        raise MimicError(
            f"observation '{name}' of the group '{group}' is noisy, late or filtered, which the "
            "frames of a clip are not; set its noise, delay and filter to 0"
        )
    return _Column(feature, term.scale, term.history)
