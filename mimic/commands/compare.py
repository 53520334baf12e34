"""``mimic compare``: trainings side by side."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mimic.commands.output import make_console, say

if TYPE_CHECKING:
    from mimic.benchmark.methods import Method

SETTINGS, RESULT, PAGE, TABLE, CURVES = (
    "settings.json", "result.json", "README.md", "table.json", "curves.png",
)  # fmt: skip
SCHEMA = "humanoid-mimic/methods/1"


@dataclass(frozen=True, kw_only=True)
class CompareMethods:
    """Train every method of imitation on the same clips with the same budget, judge them alike,
    and put them into one table with one plot.

    Each run is a process of its own. The same command goes on where one was interrupted: finished
    runs are kept, a killed one goes on from its last checkpoint. Methods and seeds may be added
    later; another budget needs another --out.
    """

    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them; by default the walk that comes with the program."""
    methods: tuple[str, ...] = ()
    """Which ones; all of them unless given. --show says what they are."""
    seeds: tuple[int, ...] = (0, 1)
    """A run of each method with each seed."""
    budget: str = "minutes=15"
    """Of each run: minutes=M of CPU time (of the clock on a GPU), or samples=N."""
    judgements: int = 12
    """Points of each learning curve."""
    judge_episodes: int = 20
    """Episodes of each clip at such a point."""
    episodes: int = 100
    """Episodes of each clip in the judgement at the end."""
    preset: Literal["cpu", "gpu"] = "cpu"
    """Whose numbers each method trains with."""
    num_envs: int | None = None
    """Environments of every run; by default the method's own preset's."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    engine: str = "auto"
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64)."""
    device: str = "auto"
    """Where physics, environment and networks are computed: auto, cpu, cuda or cuda:N."""
    train_options: str = ""
    """Further options of `mimic train` for every run, in one text:
    --train-options="--loop.checkpoint-interval 20"."""
    out: Path = Path("runs/methods")
    """Runs, README.md, table.json and curves.png are kept here."""
    show: bool = False
    """Say what the methods are, and do nothing."""

    def run(self) -> int:
        from mimic.benchmark.methods import METHODS, Budget, methods_of
        from mimic_base.errors import MimicError

        console = make_console()
        if self.show:
            for name, method in METHODS.items():
                say(console, f"{name:14} {method.task} by {method.algorithm}: {method.about}")
            return 0
        chosen, budget = methods_of(self.methods), Budget.parse(self.budget)
        for name in ("judgements", "judge_episodes", "episodes"):
            if getattr(self, name) < 1:
                option = "--" + name.replace("_", "-")
                raise MimicError(f"{option} must be at least 1, got {getattr(self, name)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise MimicError(f"--seeds must be one or more different numbers, got {self.seeds}")
        settings, motions = self._settings(str(budget))
        failed = []
        for seed in self.seeds:
            for name, method in chosen.items():
                folder = self.out / f"{name}-seed{seed}"
                if (folder / RESULT).is_file():
                    say(console, f"{name}, seed {seed}: there already")
                    continue
                teacher = None
                if method.teacher:
                    teacher = latest_run(self.out / f"{method.teacher}-seed{seed}")
                    if teacher is None or not complete(teacher):
                        say(console, f"{name}, seed {seed}: its teacher is not there", "yellow")
                        failed.append(folder)
                        continue
                say(console, f"{name}, seed {seed}: training, {folder / 'train.log'}")
                status = self._train(method, seed, folder, motions, teacher)
                if status == 130:
                    say(console, "interrupted; the same command goes on")
                    return 130
                run = latest_run(folder)
                if status or run is None or not complete(run):
                    say(console, f"{name}, seed {seed}: failed; {last_line(folder)}", "red")
                    failed.append(folder)
                    continue
                result = self._result(name, seed, run, motions)
                _write(folder / RESULT, result)
                self._report(settings)
        results = self._report(settings)
        console.print(_table(results))
        say(console, str(self.out / PAGE))
        return 2 if failed else 0

    def _settings(self, budget: str) -> tuple[dict[str, Any], tuple[Path, ...]]:
        """What all runs have in common, kept beside them, and the clips.

        Raises:
            MimicError: the folder holds a comparison with others.
        """
        import robots
        from mimic.benchmark.methods import content_of
        from mimic.benchmark.motion import demo_walk
        from mimic_base.errors import MimicError
        from mimic_base.files import check_folder_writable
        from motions.robot.dataset import find_motion_files

        robot = robots.load(self.robot)
        motions = tuple(each.resolve() for each in self.motion) or (demo_walk(robot),)
        files = find_motion_files(motions)
        settings = {
            "schema": SCHEMA, "budget": budget, "preset": self.preset, "robot": robot.name,
            "engine": self.engine, "num_envs": self.num_envs, "train_options": self.train_options,
            "clips": [each.name or Path(str(each)).stem for each in files],
            "content": content_of(files),
            "judgements": self.judgements, "judge_episodes": self.judge_episodes,
            "episodes": self.episodes,
        }  # fmt: skip
        check_folder_writable(self.out)
        file = self.out / SETTINGS
        if file.is_file():
            before = json.loads(file.read_text(encoding="utf-8"))
            other = [
                f"{name} {before.get(name)} there, {value} here"
                for name, value in settings.items()
                if before.get(name) != value
            ]
            if other:
                raise MimicError(
                    f"{self.out}: holds a comparison with other settings "
                    f"({'; '.join(other)[:300]}); give the same, or another --out"
                )
        else:
            _write(file, settings)
        return settings, motions

    def _train(
        self, method: Method, seed: int, folder: Path, motions: tuple[Path, ...],
        teacher: Path | None,
    ) -> int:  # fmt: skip
        """Begin a run or go on with it; returns its exit status."""
        from mimic.benchmark.methods import common_words, words_of
        from mimic.commands.compared_run import Order, order_text

        run = latest_run(folder)
        if run is not None and complete(run):
            return 0
        if run is not None:
            words = ["--resume", str(run), *common_words(self.judge_episodes)]
        else:
            further = tuple(self.train_options.split())
            if self.num_envs is not None:
                further += ("--loop.num-envs", str(self.num_envs))
            words = words_of(
                method, motions=motions, preset=self.preset, robot=self.robot, engine=self.engine,
                device=self.device, seed=seed, out=folder, episodes=self.judge_episodes,
                further=further, teacher=teacher,
            )  # fmt: skip
        order = Order(words=words, budget=self.budget, judgements=self.judgements)
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mimic.commands.compared_run", order_text(order)]
        with (folder / "train.log").open("a", encoding="utf-8") as log:
            log.write(f"$ mimic train {' '.join(words)}\n")
            log.flush()
            # A session of its own: it must be told once to stop, by us, not by the terminal too.
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            return waited(process)

    def _result(self, name: str, seed: int, run: Path, motions: tuple[Path, ...]) -> dict[str, Any]:
        from mimic.benchmark.judged import curve_of, judged_run
        from mimic.benchmark.methods import first_reaching
        from mimic.commands.compared_run import COMPLETE, marks

        done = json.loads((run / COMPLETE).read_text(encoding="utf-8"))
        curve = curve_of(run, marks(run))
        reached = first_reaching(curve, 0.99)
        return {
            "method": name, "seed": seed, "run": str(run.relative_to(self.out)),
            "samples": done["samples"], "minutes": done["seconds"] / 60.0,
            "samples_to_99": reached and reached["samples"],
            "minutes_to_99": reached and reached["minutes"],
            **judged_run(
                run, motions, episodes=self.episodes, robot=self.robot, engine=self.engine,
                device=self.device,
            ),
            "curve": curve,
        }  # fmt: skip

    def _report(self, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """Write table, page and curves of all results in the folder, and return them."""
        from mimic.benchmark.methods import METHODS
        from mimic.benchmark.methods_report import draw, markdown
        from mimic_base.files import atomic_path, atomic_write_text

        order = {name: place for place, name in enumerate(METHODS)}
        files = self.out.glob(f"*-seed*/{RESULT}")
        results = [json.loads(each.read_text(encoding="utf-8")) for each in files]
        results.sort(key=lambda each: (order.get(each["method"], len(order)), each["seed"]))
        _write(self.out / TABLE, {**settings, "results": results})
        atomic_write_text(self.out / PAGE, markdown(settings, results))
        with atomic_path(self.out / CURVES) as path:
            draw(results, path)
        return results


def waited(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a process that is told, once, to save and end when we are; 130 then.

    Handlers of our own, since a shell's background job begins with Ctrl-C ignored.
    """
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 130 if stopped else status


def latest_run(folder: Path) -> Path | None:
    """The newest run directory below a folder that holds a checkpoint."""
    runs = sorted(each.parent.parent for each in folder.glob("*/*/checkpoints/last.pt"))
    return runs[-1] if runs else None


def complete(run: Path) -> bool:
    """Whether a run has used its budget up."""
    from mimic.commands.compared_run import COMPLETE

    return (run / COMPLETE).is_file()


def last_line(folder: Path) -> str:
    """The end of a run's output, which says why it failed."""
    lines = (folder / "train.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def _write(path: Path, content: dict[str, Any]) -> None:
    from mimic_base.files import atomic_write_text

    atomic_write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _table(results: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    from mimic.benchmark.methods_report import COLUMNS, rows_of

    table = Table(title="methods, each with the same budget", title_style="")
    table.add_column("method")
    for heading in ("seed", *(heading for heading, *_ in COLUMNS)):
        table.add_column(heading, justify="right")
    for cells in rows_of(results):
        table.add_row(*cells)
    return table
