"""``mimic export``: a checkpoint as one self-describing ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from mimic.commands.output import make_console, say

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig

ROLLOUT_STEPS = 20
"""Control steps whose observations serve as the file's golden trace and comparison."""
ROLLOUT_ENVS = 16


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run's or checkpoint's policy as ONNX, with its contract and a golden trace."""

    run_dir: tyro.conf.Positional[Path]
    """A run directory (its last checkpoint) or a checkpoint file."""
    out: Path | None = None
    """The file to write; by default policy.onnx in the run, or beside the checkpoint."""
    clip: str | None = None
    """Name of a training clip to put inside the file, so that it plays alone; of another task, of
    what one of its commands offers."""
    interface: str | None = None
    """The interface, of those it was trained for, that the file is commanded through (full,
    three-point, pelvis-path, exbody, velocity); by default the task's first."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them: those it was trained on, when they have
    moved since."""
    robot: str | None = None
    """Robot name, or a description file (.toml): the one it was trained on, when its
    description has moved since."""

    def run(self) -> int:
        from mimic.learning.loading import task_of
        from mimic.policy.contract import assets_of_env, contract_of_env
        from mimic.policy.export import export_policy, frames_of, whole_policy
        from mimic.policy.opener import find_policy, open_checkpoint
        from mimic_base.errors import MimicError

        if self.out is not None and self.out.suffix.lower() != ".onnx":
            raise MimicError(f"--out {self.out}: a policy file ends in .onnx")
        source = find_policy(self.run_dir, prefer="checkpoint")
        checkpoint = source.file
        if checkpoint.suffix.lower() == ".onnx":
            raise MimicError(f"{checkpoint}: a policy file already; name a run or a checkpoint")
        policy, state = open_checkpoint(source)
        identity = state["identity"]
        task = task_of(state, checkpoint)
        if self.interface is not None:
            task = self._through(task, self.interface, checkpoint)
        env = self._environment(checkpoint, identity, task)
        assets = assets_of_env(env, self.clip)
        training = {
            "iterations": state["iteration"],
            "samples": state["samples"],
            "wall_s": round(float(state["wall_s"]), 1),
            "seed": state["seed"],
            "num_envs": state["config"]["loop"]["num_envs"],
        }
        out = self.out
        if out is None:
            run = self.run_dir
            out = run / "policy.onnx" if run.is_dir() else checkpoint.with_suffix(".onnx")
        export_policy(
            whole_policy(policy, env),
            contract_of_env(env, training, assets),
            _observations(env, policy),
            out,
            frames_of(assets),
        )
        size = out.stat().st_size / 1e6
        say(
            make_console(),
            f"{out}: {size:.2f} MB, task {env.task_name}, iteration {state['iteration']}, "
            "agrees with torch",
        )
        return 0

    def _through(self, task: TaskConfig | str, interface: str, checkpoint: Path) -> TaskConfig:
        """The task, commanded through one interface alone."""
        from mimic.tasks.interfaces import with_interface
        from mimic.tasks.registry import task_config
        from mimic_base.errors import MimicError

        try:
            return with_interface(task_config(task) if isinstance(task, str) else task, interface)
        except MimicError as error:
            raise MimicError(f"{checkpoint}: {error}") from error

    def _environment(
        self, checkpoint: Path, identity: dict[str, Any], task: TaskConfig | str
    ) -> Any:
        """A few environments of the task the checkpoint was trained in."""
        from mimic.learning.checkpoints import check_identity
        from mimic.learning.run_dir import AbsentConfig, read_config
        from mimic.tasks import make_env
        from mimic_base.errors import MimicError

        motions, robot, outside = self.motion, self.robot, False
        if not motions or robot is None:
            try:
                config = read_config(checkpoint)
            except AbsentConfig:
                robot, outside = robot or identity["robot"], True
            else:
                motions = motions or tuple(Path(each) for each in config.get("motion", ()))
                robot = robot or str(config.get("robot", identity["robot"]))
        # A run of a task without motions has none to know.
        if not motions and outside and identity["motions"]:
            raise MimicError(
                f"{checkpoint}: the checkpoint lies outside its run, so its motions are unknown; "
                "name them with --motion"
            )
        env = make_env(task, motions, num_envs=ROLLOUT_ENVS, robot=str(robot))
        check_identity(checkpoint, identity, env.identity)
        return env


def _observations(env: Any, policy: Any) -> Any:
    """Real observations [n, D] of the policy at work."""
    import torch

    from mimic.policy.export import whole_observations

    seen = env.get_observations()
    rows = [whole_observations(seen, env)]
    with torch.no_grad():
        for _ in range(ROLLOUT_STEPS):
            seen, *_ = env.step(policy(seen["actor"]))
            rows.append(whole_observations(seen, env))
    # One environment after the other, so that the golden trace is a stretch of one episode.
    return torch.stack(rows, 1).flatten(0, 1)
