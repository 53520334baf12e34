"""What a training run shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

LOSS = "loss/"
SHORT = {"action_std": "std", "learning_rate": "lr"}
"""How figures that many algorithms have are called in the one line of an iteration."""


@dataclass(frozen=True, kw_only=True)
class IterationStats:
    """Figures of one iteration.

    Attributes:
        figures: what the algorithm's update has given; losses are named ``loss/...``.
        log: mean of the environment's log over the iteration's steps.
    """

    iteration: int
    iterations: int
    samples: int
    samples_per_s: float
    eta_s: float
    wall_s: float
    reward: float
    episode_length_s: float | None
    collect_s: float
    learn_s: float
    figures: Mapping[str, float] = field(default_factory=dict)
    log: Mapping[str, float] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, float]:
        """Entries of the log under ``prefix/``, without it."""
        cut = len(prefix) + 1
        return {k[cut:]: v for k, v in self.log.items() if k.startswith(prefix + "/")}

    @property
    def terminations(self) -> dict[str, float]:
        """Share of each reason among the episodes that ended."""
        rates = self.part("termination")
        total = sum(rates.values())
        return {name: rate / total for name, rate in rates.items()} if total > 0 else {}

    def record(self) -> dict[str, float | int | None]:
        """Everything as one flat mapping."""
        own = {
            name: getattr(self, name)
            for name in (
                "iteration", "samples", "samples_per_s", "wall_s", "reward", "episode_length_s",
                "collect_s", "learn_s",
            )
        }  # fmt: skip
        return own | dict(self.figures) | dict(self.log)

    @property
    def losses(self) -> dict[str, float]:
        """The algorithm's losses, without their prefix."""
        return {k.removeprefix(LOSS): v for k, v in self.figures.items() if k.startswith(LOSS)}


def summary(stats: IterationStats) -> str:
    """One line: how far, how fast, how good."""
    parts = [
        f"it {stats.iteration:>{len(str(stats.iterations))}}/{stats.iterations}",
        f"{stats.samples / 1e6:.2f}M",
        f"{stats.samples_per_s:,.0f}/s",
        f"ETA {clock(stats.eta_s)}",
        f"reward {stats.reward:.3f}",
    ]
    if stats.episode_length_s is not None:
        parts.append(f"episode {stats.episode_length_s:.2f} s")
    if "error/key_body_mm" in stats.log:
        parts.append(f"error {stats.log['error/key_body_mm']:.0f} mm")
    if "sampling/entropy" in stats.log:
        parts.append(f"sampling entropy {stats.log['sampling/entropy']:.2f}")
    for name, value in stats.figures.items():
        if "/" not in name:
            short = SHORT.get(name, name.replace("_", " "))
            parts.append(f"{short} {value:{'.1e' if name.endswith('rate') else '.3f'}}")
    parts += [
        f"collect {stats.collect_s:.2f} s",
        f"learn {stats.learn_s:.2f} s",
    ]
    return "  ".join(parts)


def details(stats: IterationStats) -> list[str]:
    """Reward terms and reasons of termination, a line each."""
    lines = []
    rewards = {k: v for k, v in stats.part("reward").items() if k != "total"}
    if rewards:
        lines.append("rewards  " + "  ".join(f"{k} {v:.3f}" for k, v in rewards.items()))
    if stats.terminations:
        shares = (f"{k} {100 * v:.0f} %" for k, v in stats.terminations.items() if v > 0)
        lines.append("ends     " + "  ".join(shares))
    return lines


def clock(seconds: float) -> str:
    """``h:mm:ss``."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class TrainingConsole:
    """Shows iterations: a table that updates in place, or a group of lines every few iterations."""

    def __init__(self, interval: int, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.interval = interval
        self._first = True
        live = self.console.is_terminal and not self.console.is_dumb_terminal
        self._live = Live(console=self.console, auto_refresh=False) if live else None

    def __enter__(self) -> TrainingConsole:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.console.print(text, markup=False, soft_wrap=True)

    def show(self, stats: IterationStats) -> None:
        if self._live:
            self._live.update(table(stats), refresh=True)
            return
        if self._first or stats.iteration % self.interval == 0 or stats.eta_s <= 0:
            self.say(summary(stats))
            for line in details(stats):
                self.say("    " + line)
        self._first = False


def table(stats: IterationStats) -> Group:
    """The live view."""
    grid = Table.grid(padding=(0, 2))
    for _ in range(4):
        grid.add_column(justify="left")
    left = {k: f"{v:8.3f}" for k, v in stats.part("reward").items() if k != "total"}
    right = {k: f"{100 * v:6.1f} %" for k, v in stats.terminations.items()}
    right |= {f"{k} loss": f"{v:8.4f}" for k, v in stats.losses.items()}
    right |= {f"sampling {k}": f"{v:8.3f}" for k, v in stats.part("sampling").items()}
    names = list(left.items()), list(right.items())
    for row in range(max(map(len, names))):
        cells: list[str] = []
        for column in names:
            cells += column[row] if row < len(column) else ("", "")
        grid.add_row(*cells)
    return Group(Text(summary(stats), style="bold"), grid)
