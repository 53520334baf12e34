"""What `kill_anything.py` kills: commands with small inputs, and what their files must be."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from mimic.learning.run_dir import LOCK  # noqa: E402
from mimic_base.files import is_temporary  # noqa: E402

ROBOT = "unitree_g1"
FRAMES = 40
"""Of each clip, at 30 frames/s."""
ITERATIONS = 5


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Files that the commands read; made once."""

    clips: tuple[Path, ...]
    """Human clips (BVH)."""
    motions: tuple[Path, ...]
    """Robot motions."""
    run: Path
    """A run directory with a checkpoint."""
    model: Path
    """A robot of one's own (URDF)."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command that is run, killed, and run again."""

    first: Callable[[Inputs, Path], list[str]]
    """Its arguments for an empty output folder."""
    again: Callable[[Inputs, Path], list[str]]
    """Its arguments after a kill, as a user would give them."""
    same: tuple[str, ...]
    """Endings of files that are the same bytes, whether it was killed or not."""
    files: int
    """How many files of these endings there are at the end."""
    lost: Callable[[Path], list[str]] = lambda out: []
    """What a kill has taken that it should not, by what it left in the output folder."""


def _plain(arguments: Callable[[Inputs, Path], list[str]], same: Sequence[str], files: int) -> Job:
    return Job(first=arguments, again=arguments, same=tuple(same), files=files)


def _retarget(inputs: Inputs, out: Path) -> list[str]:
    return [
        "retarget", str(inputs.clips[0]), "--robot", ROBOT, "--out", str(out), "--picture",
        "--report", str(out / "page.html"),
    ]  # fmt: skip


def _batch(inputs: Inputs, out: Path) -> list[str]:
    return [
        "retarget", str(inputs.clips[0].parent), "--robot", ROBOT, "--out", str(out),
        "--report", str(out / "page.html"),
    ]  # fmt: skip


def _convert(inputs: Inputs, out: Path) -> list[str]:
    files = [str(path) for path in inputs.motions]
    return ["motions", "convert", *files, "--robot", ROBOT, "--out", str(out)]


def _edit(inputs: Inputs, out: Path) -> list[str]:
    first, second = (str(path) for path in inputs.motions[:2])
    return [
        "motions", "edit", first, "--join", second, "--robot", ROBOT, "--mirror",
        "--out", str(out / "both.npz"),
    ]  # fmt: skip


def _pack(inputs: Inputs, out: Path) -> list[str]:
    return ["motions", "pack", str(inputs.motions[0].parent), "--out", str(out / "set.pack")]


def _train(inputs: Inputs, out: Path) -> list[str]:
    return [
        "train", "tracking-no-state-estimation", "--motion", str(inputs.motions[0]),
        "--num-envs", "4", "--steps-per-iteration", "4", "--iterations", str(ITERATIONS),
        "--checkpoint-interval", "1", "--minibatches", "1", "--epochs", "1", "--workers", "1",
        "--actor-hidden", "8", "--critic-hidden", "8", "--engine", "mujoco", "--device", "cpu",
        "--out", str(out),
    ]  # fmt: skip


def _train_world_model(inputs: Inputs, out: Path) -> list[str]:
    a = "--algorithm"
    return [
        "train", "tracking", "--motion", str(inputs.motions[0]),
        a, "world-model", "--loop.num-envs", "4", "--loop.iterations", str(ITERATIONS),
        "--loop.checkpoint-interval", "1", f"{a}.networks.actor-hidden", "8",
        f"{a}.networks.critic-hidden", "8", f"{a}.model-hidden", "8", f"{a}.steps", "4",
        f"{a}.warmup-steps", "4", f"{a}.replay-steps", "16", f"{a}.horizon", "2",
        f"{a}.rollouts", "4", f"{a}.model-batch", "8", f"{a}.model-warmup-updates", "2",
        "--engine", "mujoco", "--device", "cpu", "--out", str(out),
    ]  # fmt: skip


def _train_again(inputs: Inputs, out: Path) -> list[str]:
    """Go on with the run that got furthest; a run killed before its first checkpoint starts anew.

    A run that was over already is asked for one iteration more, so that there is something to do.
    """
    return _resumed(_train, inputs, out)


def _train_world_model_again(inputs: Inputs, out: Path) -> list[str]:
    return _resumed(_train_world_model, inputs, out)


def _resumed(first: Callable[[Inputs, Path], list[str]], inputs: Inputs, out: Path) -> list[str]:
    runs = [path.parent.parent for path in out.rglob("last.pt")]
    if not runs:
        return first(inputs, out)
    run = max(runs, key=_reached)
    wanted = max(ITERATIONS, _reached(run) + 1)
    return ["train", "--resume", str(run), "--iterations", str(wanted)]


def _reached(run: Path) -> int:
    from mimic.learning.checkpoints import load_checkpoint

    return int(load_checkpoint(run)["iteration"])


def _iterations_lost(out: Path) -> list[str]:
    """Runs whose curve is more than a checkpoint interval (1 iteration) ahead of their last
    checkpoint."""
    wrong = []
    for progress in out.rglob("progress.jsonl"):
        # The last line may be torn.
        whole = [line for line in progress.read_text("utf-8").split("\n")[:-1] if line]
        done = json.loads(whole[-1])["iteration"] if whole else 0
        run = progress.parent
        kept = _reached(run) if (run / "checkpoints" / "last.pt").exists() else 0
        if done > kept + 1:
            wrong.append(f"{run.name}: {done} iterations done, {kept} kept")
    return wrong


def _export(inputs: Inputs, out: Path) -> list[str]:
    return ["export", str(inputs.run), "--out", str(out / "policy.onnx")]


def _add(inputs: Inputs, out: Path) -> list[str]:
    return ["robots", "add", str(inputs.model), "--out", str(out / "own.toml"), "--overwrite"]


JOBS: dict[str, Job] = {
    "retarget": _plain(_retarget, (".npz", ".png"), 2),
    "batch": _plain(_batch, (".npz",), 3),
    "convert": _plain(_convert, (".npz",), 3),
    "edit": _plain(_edit, (".npz",), 1),
    "pack": _plain(_pack, (".pack",), 1),
    "train": Job(first=_train, again=_train_again, same=(), files=0, lost=_iterations_lost),
    "train-world-model": Job(
        first=_train_world_model,
        again=_train_world_model_again,
        same=(),
        files=0,
        lost=_iterations_lost,
    ),
    "export": _plain(_export, (".onnx",), 1),
    "robots-add": _plain(_add, (".toml",), 1),
}


def make_inputs(folder: Path, run: Callable[[list[str]], None]) -> Inputs:
    """Short clips, motions, a trained run and a model; `run` runs a command of the program."""
    from motions.human import demo
    from motions.human.writers.bvh import write_bvh

    clips = []
    for number, name in enumerate(("walk", "squat", "wave")):
        clip = demo.generate(name).resample(30.0)
        start = clip.num_frames // 3
        clips.append(folder / "clips" / f"{name}.bvh")
        write_bvh(replace(clip.crop(start, start + FRAMES + 3 * number), name=name), clips[-1])
    run(["retarget", *map(str, clips), "--robot", ROBOT, "--out", str(folder / "motions")])
    motions = tuple(folder / "motions" / f"{path.stem}.npz" for path in clips)
    from tests.robots.stick_urdf import urdf

    model = folder / "own.urdf"
    model.write_text(urdf(), "utf-8")
    inputs = Inputs(clips=tuple(clips), motions=motions, run=folder, model=model)
    run([*_train(inputs, folder / "runs"), "--iterations", "1"])
    [last] = (folder / "runs").rglob("last.pt")
    return replace(inputs, run=last.parent.parent)


# what must be true -------------------------------------------------------------------------------


def corrupt(out: Path) -> list[str]:
    """The final files that their reader does not take, with its reason."""
    wrong = []
    for path in final_files(out):
        try:
            _read(path)
        except Exception as error:
            wrong.append(f"{path.relative_to(out)}: {type(error).__name__}: {str(error)[:200]}")
    return wrong


def final_files(out: Path) -> list[Path]:
    """All files that are no temporary ones, locks, or event files that grow while they are read."""
    return sorted(
        path
        for path in out.rglob("*")
        if path.is_file() and not is_left(path) and "tfevents" not in path.name
    )


def is_left(path: Path) -> bool:
    """Whether a file is one that a run takes away when it ends."""
    return is_temporary(path.name) or path.name == LOCK or path.suffix == ".lock"


def left(out: Path) -> list[Path]:
    """Temporary files and locks."""
    return [path for path in out.rglob("*") if is_left(path)]


def _read(path: Path) -> None:
    """Open a file with what reads it in the program."""
    if path.suffix == ".npz":
        from motions import RobotMotion

        RobotMotion.load(path)
    elif path.suffix == ".pack":
        from motions.robot.pack import MotionPack

        for clip in MotionPack.open(path).clips:
            clip.load()
    elif path.suffix == ".pt":
        from mimic.learning.checkpoints import load_checkpoint

        load_checkpoint(path)
    elif path.suffix == ".onnx":
        from mimic.policy.player import PolicyPlayer

        PolicyPlayer(path)
    elif path.suffix == ".toml":
        import robots

        robots.load(str(path))
    elif path.suffix == ".png":
        from matplotlib.image import imread

        imread(path)
    elif path.suffix == ".html":
        if not path.read_text("utf-8").rstrip().endswith("</html>"):
            raise ValueError("the page ends in its middle")
    elif path.suffix == ".jsonl":
        lines = path.read_bytes().split(b"\n")
        for line in lines[:-1]:  # what follows the last line's end is cut off by the next run
            json.loads(line)
    elif path.suffix == ".json":
        json.loads(path.read_text("utf-8"))
    else:
        raise ValueError("no command writes such a file")
