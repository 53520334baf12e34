"""Where episodes start: frames drawn more often where the policy fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from mimic.envs.motion_library import MotionLibrary
from mimic_base.errors import MimicError

SamplingMode = Literal["adaptive", "return", "beyondmimic", "uniform", "start"]

FAILURE_COSTS = 50.0
"""Perfect control steps that a failure counts as having lost (``return``)."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How start frames are drawn.

    ``adaptive``: failures are divided by visits and mixed with a true uniform share, so that the
    distribution does not depend on the number of environments. ``return``: the same of the reward
    that was missed, a failure counting as ``FAILURE_COSTS`` steps without any: starts go where
    returns are low, also where nobody falls any more (as in SuperMimic). ``beyondmimic``: the
    published rule, whose uniform floor is absolute in failures per step summed over environments.
    ``uniform``: all frames alike. ``start``: first frame of a uniformly drawn clip. Where a set of
    motions gives its clips weights, "uniform" means in proportion to them, but for ``beyondmimic``.
    """

    mode: SamplingMode = "adaptive"
    uniform_share: float = 0.5
    """Share of starts drawn uniformly (``adaptive``, ``return``); BeyondMimic's absolute floor is
    0.1."""
    kernel_size: int = 3
    """Seconds before a failure that are also drawn (``adaptive``, ``return``)."""
    kernel_decay: float = 0.8
    smoothing: float = 1e-3
    """Forgetting per control step of the failure statistics."""
    bin_s: float = 1.0


def _ceil_div(value: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return -torch.div(-value, by, rounding_mode="floor")


class StartSampler:
    """Failure-weighted choice of start frames over bins of about a second of every clip."""

    def __init__(
        self, config: SamplingConfig, library: MotionLibrary, generator: torch.Generator
    ) -> None:
        self.config = config
        self.library = library
        self.generator = generator
        device = library.length.device
        # BeyondMimic: floor(duration) + 1 bins a clip.
        bins = (library.length / (library.fps * config.bin_s)).long() + 1
        self.bins_of_clip = bins
        self.first_bin = torch.cumsum(bins, 0) - bins
        self.num_bins = int(bins.sum())
        self.clip_of_bin = torch.repeat_interleave(
            torch.arange(library.num_clips, device=device), bins
        )
        # Frame f of a clip of L frames and b bins lies in bin floor(f b / L).
        inside = torch.arange(self.num_bins, device=device) - self.first_bin[self.clip_of_bin]
        length, count = library.length[self.clip_of_bin], bins[self.clip_of_bin]
        self.frames_of_bin = _ceil_div((inside + 1) * length, count) - _ceil_div(
            inside * length, count
        )
        # Clips of a pack may stand in any order.
        self._start, self._clip = torch.sort(library.start)
        if library.weight is None:
            self.uniform = self.frames_of_bin / library.num_frames
        else:
            self.uniform = self.frames_of_bin * library.weight[self.clip_of_bin]
            self.uniform = self.uniform / self.uniform.sum()
        self.failures = torch.zeros(self.num_bins, device=device)
        self.visits = torch.zeros(self.num_bins, device=device)
        self.missed = torch.zeros(self.num_bins, device=device)
        self._neighbours = self._kernel_index(device)
        self._admitted: torch.Tensor | None = None

    def admit(self, share: float) -> None:
        """Draw from the easiest ``share`` (0 to 1) of the clips alone, at least from one.

        Clips of equal difficulty come in by their order in the set; 1 is the whole set.

        Raises:
            MimicError: the set does not say how hard its clips are.
        """
        difficulty = self.library.known_difficulty()
        count = max(1, min(len(difficulty), math.ceil(share * len(difficulty))))
        if count == len(difficulty):
            self._admitted = None
            return
        easiest = torch.argsort(difficulty, stable=True)[:count]
        admitted = torch.zeros(len(difficulty), dtype=torch.bool, device=difficulty.device)
        admitted[easiest] = True
        self._admitted = admitted

    def bin_of(self, rows: torch.Tensor) -> torch.Tensor:
        """The bins [n] of library rows [n], each a row of one of the library's clips."""
        place = torch.searchsorted(self._start, rows, right=True) - 1
        clip = self._clip[place]
        inside = rows - self._start[place]
        return (
            self.first_bin[clip] + (inside * self.bins_of_clip[clip]) // self.library.length[clip]
        )

    @property
    def bin_of_row(self) -> torch.Tensor:
        """[F] the bin of every frame, clip by clip; to look at, not for large sets."""
        library = self.library
        clip = torch.repeat_interleave(
            torch.arange(library.num_clips, device=library.length.device), library.length
        )
        first = torch.cumsum(library.length, 0) - library.length
        inside = torch.arange(library.num_frames, device=clip.device) - first[clip]
        return self.bin_of(library.start[clip] + inside)

    def _kernel_index(self, device: torch.device) -> torch.Tensor:
        """[K, bins] the bins u = 0..K-1 seconds later, clamped to the end of the same clip."""
        size = 1 if self.config.mode == "beyondmimic" else self.config.kernel_size
        last = (self.first_bin + self.bins_of_clip - 1)[self.clip_of_bin]
        bins = torch.arange(self.num_bins, device=device)
        return torch.stack([torch.minimum(bins + u, last) for u in range(size)])

    def record(
        self, rows: torch.Tensor, failed: torch.Tensor, missed: torch.Tensor | None = None
    ) -> None:
        """Update the statistics after a control step.

        Args:
            rows: [N] library row each environment is at. failed: [N] bool, terminated there.
            missed: [N] in [0, 1], the part of the most reward there is that it did not get; asked
                for by ``return`` alone.
        """
        bins = self.bin_of(rows)
        alpha = self.config.smoothing
        counts = torch.bincount(bins[failed], minlength=self.num_bins).float()
        self.failures.mul_(1 - alpha).add_(counts, alpha=alpha)
        visits = torch.bincount(bins, minlength=self.num_bins).float()
        self.visits.mul_(1 - alpha).add_(visits, alpha=alpha)
        if missed is not None:
            lost = torch.bincount(bins, weights=missed, minlength=self.num_bins)
            lost = lost.to(self.missed) + FAILURE_COSTS * counts
            self.missed.mul_(1 - alpha).add_(lost, alpha=alpha)

    def probabilities(self) -> torch.Tensor:
        """[bins] probability of starting in each bin; 0 in clips that are not admitted yet."""
        found = self._of_all_clips()
        if self._admitted is None:
            return found
        inside = self._admitted[self.clip_of_bin]
        # Where all the weight is in other clips, those admitted are drawn uniformly.
        kept = torch.where((found * inside).sum() > 0, found, self.uniform) * inside
        return kept / kept.sum()

    def _of_all_clips(self) -> torch.Tensor:
        config = self.config
        uniform = self.uniform
        if config.mode == "uniform" or config.mode == "start":
            return uniform
        decay = config.kernel_decay ** torch.arange(
            len(self._neighbours), device=uniform.device, dtype=torch.float32
        )
        if config.mode == "beyondmimic":
            weight = self.failures + 0.1 / self.num_bins
            weight = (decay[:, None] * weight[self._neighbours]).sum(0)
            return weight / weight.sum()
        # Failures per visit: a bin seldom started from is not mistaken for an easy one.
        lost = self.missed if config.mode == "return" else self.failures
        rate = lost / self.visits.clamp_min(1e-9)
        rate = torch.where(self.visits > 0, rate, torch.zeros_like(rate))
        weight = (decay[:, None] * rate[self._neighbours]).sum(0) * uniform
        total = weight.sum()
        # Without a question to the device.
        focused = torch.where(total > 0, weight / total.clamp_min(1e-30), uniform)
        return config.uniform_share * uniform + (1 - config.uniform_share) * focused

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw [count] clip indices and frames within the clip."""
        device = self.failures.device
        length = self.library.length
        if self.config.mode == "start":
            weight = self.library.weight
            if self._admitted is not None:
                chances = self._admitted.float() * (1.0 if weight is None else weight)
                clip = torch.multinomial(chances, count, replacement=True, generator=self.generator)
            elif weight is None:
                clip = torch.randint(
                    self.library.num_clips, (count,), generator=self.generator, device=device
                )
            else:
                clip = torch.multinomial(weight, count, replacement=True, generator=self.generator)
            return clip, torch.zeros_like(clip)
        bins = torch.multinomial(
            self.probabilities(), count, replacement=True, generator=self.generator
        )
        clip = self.clip_of_bin[bins]
        inside = (bins - self.first_bin[clip]).float()
        inside += torch.rand(count, generator=self.generator, device=device)
        frame = (inside / self.bins_of_clip[clip] * (length[clip] - 1)).long()
        return clip, torch.minimum(frame, length[clip] - 2).clamp_min(0)

    def metrics(self) -> dict[str, torch.Tensor]:
        """Normalised entropy and the most likely bin, for the log; left on the device."""
        p = self.probabilities()
        entropy = -(p * torch.log(p.clamp_min(1e-12))).sum() / math.log(max(self.num_bins, 2))
        top, bin_of_top = p.max(0)
        return {
            "sampling/entropy": entropy,
            "sampling/top1_probability": top,
            "sampling/top1_bin": bin_of_top.to(p),
        }

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {
            "failures": self.failures.clone(),
            "visits": self.visits.clone(),
            "missed": self.missed.clone(),
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        if state["failures"].shape != self.failures.shape:
            raise MimicError(
                f"sampler state has {len(state['failures'])} bins, this motion set has "
                f"{self.num_bins}: resume with the same motions"
            )
        self.failures.copy_(state["failures"])
        self.visits.copy_(state["visits"])
        # Earlier checkpoints have none.
        if "missed" in state:
            self.missed.copy_(state["missed"])
