"""References as a robot can do them: a tracker plays clips, and what it physically did is kept.

A retargeted clip asks for what no robot can do: floating steps, sliding feet, jumps between frames.
A tracker that follows it leaves a motion of the same robot that physics allows, whose contacts are
those that really bore the robot. As references of a student these are InterMimic's (arXiv
2502.20390); any training takes them as it takes other clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.motion_library import find_motion_files
from mimic.envs.threads import few_threads
from mimic.evaluation.evaluate import NON_FINITE, check_protocol, make_evaluation_env
from mimic.evaluation.metrics import state_errors
from mimic.evaluation.policies import LoadedPolicy, PolicyFunction, load, robot_of, trained_task
from mimic.evaluation.protocols import Protocol, get_protocol
from mimic.tasks.registry import task_config
from mimic_base.errors import MimicError
from mimic_base.text import file_name
from motions import RobotMotion
from motions.robot.objects import ObjectTracks
from robots import Robot

Array = NDArray[np.float64]
Failed = Literal["leave-out", "cut", "keep"]
Progress = Callable[[int, int], None]

SCHEMA = "humanoid-mimic/refined/1"
FULL_PRESS = 0.05
"""Share of the robot's weight from which a foot counts as standing altogether; below it, in
proportion."""
SHORTEST_S = 0.5
"""What is left of a failed clip is kept (``cut``) if it is this long."""
MARGIN_S = 0.2
"""So much before a failure is cut off too: the robot was falling already."""


@dataclass(frozen=True, kw_only=True)
class Refined:
    """What became of a clip."""

    name: str
    """Of the clip."""
    success: bool
    """Whether the tracker got to its end."""
    failure: str
    """What failed first; empty where nothing did."""
    failed_at_s: float | None
    """When."""
    duration_s: float
    """Of the clip."""
    errors: Mapping[str, float]
    """Mean errors before a failure, see ``mimic.evaluation.metrics.state_errors``."""
    frames: int = 0
    """Frames of what the robot did that are kept."""
    motion: RobotMotion | None = field(default=None, repr=False)
    """What the robot did; None where nothing is left of a failed clip, or once it is written."""
    file: str = ""
    """Name of the file that was written."""

    def to_dict(self) -> dict[str, Any]:
        """Everything but the motion, in plain numbers and texts."""
        return {
            "name": self.name, "success": self.success, "failure": self.failure or None,
            "failed_at_s": self.failed_at_s, "duration_s": self.duration_s,
            "errors": dict(self.errors), "file": self.file or None,
            "frames": self.frames,
        }  # fmt: skip


def refine(
    policy: Path | str | LoadedPolicy | PolicyFunction,
    motions: Sequence[Path | str | RobotMotion],
    *,
    robot: Path | str | Robot | None = None,
    task: str | TaskConfig | None = None,
    failed: Failed = "leave-out",
    engine: str = "auto",
    device: str = "auto",
    seed: int = 0,
    max_envs: int = 1024,
    threads: int = 0,
    progress: Progress | None = None,
) -> Iterator[Refined]:
    """Play a tracker over clips, each once from its first frame, and give what it did.

    It is played as in the protocol ``appendix-f``: deterministic, without noise and disturbance;
    what fails there fails here.

    Args:
        policy: an .onnx file, a run directory or checkpoint, or a function with ``task`` and
            ``robot``.
        failed: what becomes of a clip that fails: nothing, the part before, or all of it.
        max_envs: clips side by side; more are played in several rounds.

    Yields:
        The clips in the order they are done; of one round, in their own order.

    Raises:
        MimicError, InputError, RobotError: unknown names, absent or damaged files, a policy that
            tracks no clips, or one of another robot.
    """
    loaded = load(policy, task, robot)
    body = robot_of(loaded, robot)
    if task is None:
        config = trained_task(loaded)
    else:
        config = task_config(task) if isinstance(task, str) else task
    protocol = get_protocol("appendix-f")
    check_protocol(config, protocol)
    paths = [each for each in motions if not isinstance(each, RobotMotion)]
    clips: list[Any] = [each for each in motions if isinstance(each, RobotMotion)]
    clips += find_motion_files(paths) if paths else []
    if not clips:
        raise MimicError("no motion given; name files or folders with --motion")
    env = make_evaluation_env(
        config, clips, protocol, robot=body, engine=engine, device=device, seed=seed,
        max_envs=max_envs, threads=threads,
    )  # fmt: skip
    loaded.check(env)
    return _refined(env, loaded, clips, protocol, failed, progress)


def _refined(
    env: Environment,
    policy: LoadedPolicy,
    clips: Sequence[Any],
    protocol: Protocol,
    failed: Failed,
    progress: Progress | None,
) -> Iterator[Refined]:
    library = motion_command(env).library
    steps = (library.length - 1).cpu()
    # Clips of like length share a round, so that no round waits long for a few.
    rounds = torch.argsort(steps, stable=True).split(env.num_envs)
    most = sum(int(steps[each].max()) for each in rounds)
    done = 0
    for numbers in rounds:
        numbers = numbers.sort().values
        rows = _Rows(env, len(numbers), protocol)

        def report(step: int, before: int = done) -> None:
            if progress:
                progress(before + step, most)

        _play(env, policy.act, numbers, int(steps[numbers].max()), rows, report)
        done += int(steps[numbers].max())
        for row, number in enumerate(numbers.tolist()):
            clip = clips[number]
            original = clip if isinstance(clip, RobotMotion) else _read(clip)
            yield rows.refined(
                row, library.names[number], original, int(steps[number]), failed, policy.source
            )


def _read(clip: Any) -> RobotMotion:
    return clip.load() if hasattr(clip, "load") else RobotMotion.load(Path(clip))


def _play(
    env: Environment,
    act: PolicyFunction,
    numbers: torch.Tensor,
    steps: int,
    rows: _Rows,
    report: Callable[[int], None],
) -> None:
    count = len(numbers)
    everyone = torch.arange(env.num_envs, device=env.device)
    padded = torch.cat([numbers, numbers[:1].expand(env.num_envs - count)]).to(env.device)
    with torch.no_grad(), few_threads(env.num_envs):
        motion_command(env).restart(everyone, padded, torch.zeros_like(padded))
        obs = env.observe()["actor"]
        rows.see(env, torch.zeros(env.num_envs, dtype=torch.bool))
        for step in range(steps):
            result, _, broken, _ = env.step(act(obs))
            obs = result["actor"]
            rows.see(env, broken)
            report(step + 1)


class _Rows:
    """The states of some environments, step after step."""

    def __init__(self, env: Environment, count: int, protocol: Protocol) -> None:
        self.env, self.count, self.protocol = env, count, protocol
        self.names = (NON_FINITE, *protocol.failures)
        self.states: list[Array] = []
        self.contacts: list[Array] = []
        self.errors: list[dict[str, Array]] = []
        self.failures: list[NDArray[np.bool_]] = []
        self.objects: dict[str, list[Array]] = {name: [] for name in env.state.objects}
        self.weight = float(env.scene.model.body_mass.sum()) * 9.81
        if self.objects:
            self.weight = float(env.robot.model.body_mass.sum()) * 9.81

    def see(self, env: Environment, broken: torch.Tensor) -> None:
        """Keep the present state [count, ...]."""
        robot = env.state.robot
        state = torch.cat([robot.root_pos_w, robot.root_quat_w, robot.joint_pos], -1)
        self.states.append(self._numpy(state))
        feet = [env.state.contacts[name].magnitude for name in ("left_foot", "right_foot")]
        pressed = torch.stack(feet, -1) / (FULL_PRESS * self.weight)
        self.contacts.append(self._numpy(pressed.clamp(0.0, 1.0)))
        self.errors.append({name: self._numpy(each) for name, each in state_errors(env).items()})
        failures = [broken]
        for term in self.protocol.failures.values():
            failures.append(term.function(env, **term.parameters))
        self.failures.append(np.stack([each[: self.count].cpu().numpy() for each in failures], -1))
        for name, poses in self.objects.items():
            each = env.state.objects[name]
            poses.append(self._numpy(torch.cat([each.pos_w, each.quat_w], -1)))

    def _numpy(self, values: torch.Tensor) -> Array:
        return values[: self.count].double().cpu().numpy()

    def refined(
        self, row: int, name: str, original: RobotMotion, steps: int, failed: Failed, source: str
    ) -> Refined:
        """What the environment ``row`` did in a clip of ``steps`` control steps."""
        dt = self.env.control_dt
        failures = np.stack([each[row] for each in self.failures[: steps + 1]])
        first = int(failures.any(1).argmax()) if failures.any() else None
        failure = "" if first is None else self.names[int(failures[first].argmax())]
        fine = steps + 1 if first is None else first
        errors = {
            key: float(np.mean([each[key][row] for each in self.errors[: max(fine, 1)]]))
            for key in self.errors[0]
        }
        kept = steps + 1
        if first is not None and failed != "keep":
            kept = first - round(MARGIN_S / dt) if failed == "cut" else 0
            kept = kept if kept * dt >= SHORTEST_S else 0
        facts = Refined(
            name=name,
            success=first is None,
            failure=failure,
            failed_at_s=None if first is None else round(first * dt, 6),
            duration_s=round(steps * dt, 6),
            errors=errors,
        )
        if kept < 2:
            return facts
        motion = self._motion(row, name, original, kept, facts, source)
        return replace(facts, motion=motion, frames=kept)

    def _motion(
        self, row: int, name: str, original: RobotMotion, kept: int, facts: Refined, source: str
    ) -> RobotMotion:
        states = np.stack([each[row] for each in self.states[:kept]])
        tracks = None
        if original.objects is not None and set(original.object_names) <= set(self.objects):
            poses = np.stack(
                [[each[row] for each in self.objects[n][:kept]] for n in original.object_names], 1
            )
            tracks = ObjectTracks(
                names=original.object_names, pos_w=poses[..., :3], quat_w=poses[..., 3:]
            )
        told = {key: each for key, each in facts.to_dict().items() if key not in ("file", "frames")}
        return RobotMotion.from_coordinates(
            self.env.robot, states[:, :3], states[:, 3:7], states[:, 7:],
            fps=1.0 / self.env.control_dt,
            contact=np.stack([each[row] for each in self.contacts[:kept]]),
            quality={**original.quality, "refined": {"policy": source, **told}},
            source=original.source, licence=original.licence, name=name, objects=tracks,
            scene=original.scene if tracks is not None or original.objects is None else {},
        )  # fmt: skip


def write_refined(found: Iterator[Refined], out: Path) -> list[Refined]:
    """Write what ``refine`` gives into a folder, motion by motion; returns it with file names."""
    written: list[Refined] = []
    taken: set[str] = set()
    out.mkdir(parents=True, exist_ok=True)
    for each in found:
        file = ""
        if each.motion is not None:
            file = _free(file_name(each.name), taken)
            each.motion.save(out / file)
        # The motion is in its file; those of thousands of clips need not be in memory too.
        written.append(replace(each, file=file, motion=None))
    return written


def _free(stem: str, taken: set[str]) -> str:
    file, number = f"{stem}.npz", 2
    while file.lower() in taken:
        file, number = f"{stem}_{number}.npz", number + 1
    taken.add(file.lower())
    return file
