"""Observation groups: terms side by side, with noise, filters, delays and histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict

from mimic.envs.mdp.motion_frames import feature_of
from mimic.envs.memory import TermMemory
from mimic.envs.observation import reference_to
from mimic.envs.rows import Rows
from mimic.envs.spec import ObservationEntry
from mimic.envs.terms import ObservationTerm, check_shape

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

Groups = dict[str, torch.Tensor]


class ObservationGroups:
    """Computes the observations of an environment.

    ``terms`` is the pure part: every group without noise and memory. ``observe`` and ``final`` add
    those. Terms that groups share are computed once.

    Attributes:
        entries: what each group is made of, in the order of its columns.
    """

    def __init__(
        self,
        groups: Mapping[str, Mapping[str, ObservationTerm]],
        env: Environment,
        *,
        noise: bool,
        seed: int,
    ) -> None:
        self._env = env
        self._num_envs = env.num_envs
        self._device = env.device
        self._noisy = noise
        self._terms = groups
        self._distinct: list[ObservationTerm] = []
        self._columns: dict[str, list[tuple[int, float]]] = {}
        self.entries: dict[str, tuple[ObservationEntry, ...]] = {}
        self._describe(groups)
        self._noise = {group: self._noise_of(group, terms) for group, terms in groups.items()}
        self._memories = {
            group: [
                TermMemory(
                    term, entry.size, env.num_envs, env.control_dt, env.device, env.generator
                )
                if term.has_memory
                else None
                for term, entry in zip(terms.values(), self.entries[group], strict=True)
            ]
            for group, terms in groups.items()
            if any(term.has_memory for term in terms.values())
        }
        # Final observations have noise of their own, so that an episode's end changes nothing in
        # the random numbers of what goes on.
        self._final_generator = torch.Generator(device=env.device).manual_seed(seed + 1)
        self._rows_agree = self._check_rows()
        self._begin(torch.arange(self._num_envs, device=self._device))

    def terms(self, env: Any) -> Groups:
        """Every group [n, d] of an environment or of a view of its rows; nothing is kept.

        Each term counts once here, however long its history is.
        """
        values = [term.function(env, **term.parameters) for term in self._distinct]
        return {
            group: torch.cat(
                [values[i] * scale if scale != 1.0 else values[i] for i, scale in columns], -1
            )
            for group, columns in self._columns.items()
        }

    def observe(self, groups: Groups, *, again: bool = False) -> TensorDict:
        """Observations of all environments from their terms.

        Args:
            groups: what ``terms`` gave for all environments; taken over.
            again: the same control step is observed once more.
        """
        self._add_noise(groups, self._env.generator)
        for group, memories in self._memories.items():
            groups[group] = torch.cat(
                [
                    values if memory is None else memory.see(values, again=again)
                    for memory, values in self._by_term(group, groups[group], memories)
                ],
                -1,
            )
        return self._dictionary(groups, self._num_envs)

    def final(self, env_ids: torch.Tensor, whole: Groups | None = None) -> TensorDict:
        """Observations of the environments ``env_ids`` [n] in their present state; none is kept.

        Args:
            whole: the terms of all environments, where they are at hand.
        """
        if whole is None and not self._rows_agree:
            whole = self.terms(self._env)
        if whole is None:
            groups = self.terms(Rows(self._env, env_ids, self._num_envs))
        else:
            groups = {name: values[env_ids] for name, values in whole.items()}
        self._add_noise(groups, self._final_generator)
        for group, memories in self._memories.items():
            groups[group] = torch.cat(
                [
                    values if memory is None else memory.would_see(env_ids, values)
                    for memory, values in self._by_term(group, groups[group], memories)
                ],
                -1,
            )
        return self._dictionary(groups, len(env_ids))

    def noise_widths(self, group: str) -> torch.Tensor:
        """[D] half width of the uniform noise on each column of a group."""
        columns = sum(entry.size for entry in self.entries[group])
        widths = torch.zeros(columns, device=self._device)
        if self._noisy:
            span, width = self._noise[group]
            widths[span] = width
        return widths

    def reset(self, env_ids: torch.Tensor) -> None:
        """Forget what the environments ``env_ids`` [n] have seen."""
        for memories in self._memories.values():
            for memory in memories:
                if memory is not None:
                    memory.reset(env_ids)
        self._begin(env_ids)

    def _begin(self, env_ids: torch.Tensor) -> None:
        """Let histories begin with the frames of the clip before the one that episodes of the
        environments ``env_ids`` [n] begin at, where there is one and the term can be told of it."""
        for group, memories in self._memories.items():
            for entry, memory in zip(self.entries[group], memories, strict=True):
                feature = feature_of(self._terms[group][entry.name].function)
                if memory is None or feature is None:
                    continue
                past = self._env.frames_before(env_ids, memory.length)
                if past is not None:
                    memory.begin(env_ids, entry.scale * feature(past))

    def take(self, other: ObservationGroups) -> None:
        """Remember what the same observations of another environment do."""
        for group, memories in self._memories.items():
            for mine, theirs in zip(memories, other._memories[group], strict=True):
                if mine is not None and theirs is not None:
                    mine.take(theirs)

    # parts ---------------------------------------------------------------------------------

    def _by_term(
        self, group: str, values: torch.Tensor, memories: list[TermMemory | None]
    ) -> list[tuple[TermMemory | None, torch.Tensor]]:
        sizes = [entry.size for entry in self.entries[group]]
        return list(zip(memories, values.split(sizes, -1), strict=True))

    def _dictionary(self, groups: Groups, count: int) -> TensorDict:
        return TensorDict(groups, batch_size=[count], device=self._device)  # type: ignore[arg-type]

    def _describe(self, groups: Mapping[str, Mapping[str, ObservationTerm]]) -> None:
        places: dict[tuple[str, Any, str], int] = {}
        sizes: list[int] = []
        for group, terms in groups.items():
            columns: list[tuple[int, float]] = []
            entries: list[ObservationEntry] = []
            for name, term in terms.items():
                key = (name, term.function, repr(term.parameters))
                if key not in places:
                    places[key] = len(self._distinct)
                    self._distinct.append(term)
                    value = term.function(self._env, **term.parameters)
                    sizes.append(check_shape(name, value, (self._num_envs,)).shape[1])
                index = places[key]
                columns.append((index, term.scale))
                entries.append(
                    ObservationEntry(
                        name=name,
                        size=sizes[index],
                        scale=term.scale,
                        history=term.history,
                        delay=term.delay,
                        filter=term.filter,
                        function=reference_to(term.function),
                        parameters=dict(term.parameters),
                    )
                )
            self._columns[group], self.entries[group] = columns, tuple(entries)

    def _noise_of(
        self, group: str, terms: Mapping[str, ObservationTerm]
    ) -> tuple[slice, torch.Tensor]:
        """The columns of a group from the first to the last noisy one, and each one's width."""
        widths = [
            terms[entry.name].noise for entry in self.entries[group] for _ in range(entry.size)
        ]
        width = torch.tensor(widths, device=self._device)
        noisy = width.nonzero().squeeze(-1).tolist()
        # One draw for all columns that have any.
        span = slice(noisy[0], noisy[-1] + 1) if noisy else slice(0, 0)
        return span, width[span]

    def _add_noise(self, groups: Groups, generator: torch.Generator) -> None:
        if not self._noisy:
            return
        for group, values in groups.items():
            span, width = self._noise[group]
            if len(width):
                drawn = torch.rand(
                    (len(values), len(width)), generator=generator, device=self._device
                )
                values[:, span] += width * (2.0 * drawn - 1.0)

    def _check_rows(self) -> bool:
        """Whether every term gives the same on a view of some environments as on all of them.

        A term that asks its command or its environment for more than attributes may not; then the
        observations of all environments are computed where those of some are wanted.
        """
        some = torch.tensor([self._num_envs - 1], device=self._device)
        try:
            part = self.terms(Rows(self._env, some, self._num_envs))
        except Exception:
            # Whatever a stranger's term raises on a view: it runs on whole environments then.
            return False
        whole = self.terms(self._env)
        return all(
            torch.allclose(part[group], values[some], rtol=1e-4, atol=1e-5, equal_nan=True)
            for group, values in whole.items()
        )
