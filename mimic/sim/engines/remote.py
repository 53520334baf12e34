"""An engine in another process, in shared memory: for simulators that want their own interpreter.

``--engine remote:worker=FILE.py,python=/path/to/python`` runs any worker that speaks the protocol
of ``mimic.sim.workers.worker_protocol``, one message a control step. Without options it is
MuJoCo's C code in a process of its own, which tests use.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

import mimic.sim.workers
from mimic.sim.engine import Engine
from mimic.sim.errors import EngineError
from mimic.sim.scene import ContactPair, Scene
from mimic.sim.workers.worker_protocol import VERSION, views
from mimic_base.files import make_temporary_folder

WORKERS = Path(mimic.sim.workers.__file__).parent
START_S = 300.0
"""s; the longest that a worker may take to start and to build its simulation."""
STEP_S = 120.0
"""s; the longest that it may take over any other command."""
_ALIGNMENT = 64


class RemoteEngine(Engine):
    """``Engine`` in another process. See ``mimic.sim.engine.Engine``.

    The worker and its memory are gone after ``close``, when the engine is collected, and when this
    program ends, however it ends. A worker that dies, hangs or speaks another version of the
    protocol is one ``EngineError``.
    """

    name = "remote"
    options: Mapping[str, str] = {
        "worker": "file of the worker; by default MuJoCo's C code",
        "python": "interpreter that runs it; by default the one that runs this program",
    }

    def __init__(
        self,
        scene: Scene,
        num_envs: int,
        *,
        device: str = "cpu",
        threads: int = 0,
        worker: str | Path = "",
        python: str | Path = "",
    ):
        super().__init__(scene, num_envs, device)
        worker = Path(worker or WORKERS / "mujoco_worker.py")
        interpreter = shutil.which(str(python or sys.executable))
        if not worker.is_file():
            raise EngineError(f"engine '{self.name}': worker '{worker}' does not exist")
        if interpreter is None:
            raise EngineError(f"engine '{self.name}': python '{python}' is not a program")
        pairs = [*map(ContactPair, scene.contact_bodies), *scene.contacts.values()]
        self._folder = make_temporary_folder("mimic-engine")
        layout, size = self._layout(len(pairs))
        self._block = shared_memory.SharedMemory(
            create=True, size=size, name=f"mimic_{secrets.token_hex(8)}"
        )
        self._arrays = views(self._block, layout)
        self._log = self._folder / "worker.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [interpreter, str(worker)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0,
            )  # fmt: skip
        self._shut = weakref.finalize(
            self, _shut_down, self._process, self._block, self._arrays, self._folder
        )
        self._unread = b""
        try:
            hello = self._reply("start", START_S)
            if hello.get("protocol") != VERSION:
                raise EngineError(
                    f"engine '{self.name}': worker '{worker.name}' speaks protocol "
                    f"{hello.get('protocol')}, this program {VERSION}; use a worker of this version"
                )
            model = self._folder / "scene.mjb"
            mujoco.mj_saveModel(scene.model, str(model), None)
            opened = self._ask(
                "open",
                timeout=START_S,
                shared_memory=self._block.name,
                arrays=layout,
                num_envs=num_envs,
                physics_dt=scene.physics_dt,
                decimation=scene.decimation,
                device=str(self.device),
                threads=threads,
                model=str(model),
                robot=_robot(scene),
                contacts=[[pair.body, pair.other] for pair in pairs],
                friction=scene.config.terrain.friction,
            )
        except BaseException:
            self.close()
            raise
        self._can_vary = frozenset(opened.get("fields", ()))
        self._fields: dict[str, torch.Tensor] = {}
        self._publish(*self._read())

    def advance(self, targets: torch.Tensor) -> None:
        """The physics of ``step`` alone: state tensors are stale until the next ``step``.

        Raises:
            EngineError: the worker has ended, hangs or reports an error.
        """
        self._arrays_now()["targets"][:] = targets.detach().cpu().numpy()
        self._ask("step")

    def model_field(self, name: str) -> torch.Tensor:
        """Per-environment values [N, ...] of an ``mjModel`` field, a copy.

        Raises:
            EngineError: the worker cannot vary it.
        """
        if name not in self._can_vary:
            return super().model_field(name)
        if name not in self._fields:
            nominal = torch.as_tensor(np.array(getattr(self.scene.model, name)))
            self._fields[name] = nominal.to(self.device).expand(self.num_envs, *nominal.shape)
        return self._fields[name].clone()

    def close(self) -> None:
        """End the worker and remove the shared memory."""
        self._arrays = {}
        self._shut()

    # parts ---------------------------------------------------------------------------------

    def _write_model_field(self, name: str, values: torch.Tensor) -> None:
        self._fields[name] = values.to(self.model_field(name)).clone()
        file = self._folder / "field.npy"
        np.save(file, self._fields[name].cpu().numpy())
        self._ask("field", name=name, file=str(file))

    def _read(self) -> tuple[torch.Tensor, torch.Tensor]:
        arrays = self._arrays_now()
        return self._tensor(arrays["qpos"]), self._tensor(arrays["qvel"])

    def _read_contacts(self) -> torch.Tensor | None:
        return self._tensor(self._arrays_now()["forces"])

    def _write(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        arrays, count = self._arrays_now(), len(env_ids)
        arrays["ids"][:count] = env_ids.cpu().numpy()
        arrays["new_qpos"][:count] = qpos.detach().cpu().numpy()
        arrays["new_qvel"][:count] = qvel.detach().cpu().numpy()
        self._ask("reset", count=count)

    def _write_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        arrays, count = self._arrays_now(), len(env_ids)
        arrays["ids"][:count] = env_ids.cpu().numpy()
        arrays["new_qvel"][:count] = qvel.detach().cpu().numpy()
        self._ask("velocity", count=count)

    def _tensor(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values.copy()).to(self.device)

    def _arrays_now(self) -> dict[str, NDArray[Any]]:
        if not self._arrays:
            raise EngineError(f"engine '{self.name}' has been closed")
        return self._arrays

    def _layout(self, contacts: int) -> tuple[dict[str, Any], int]:
        """Where each array begins in the shared memory, and the size of it all in bytes."""
        model, n = self.scene.model, self.num_envs
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            "targets": ("float32", (n, self.scene.robot.num_joints)),
            "qpos": ("float32", (n, model.nq)),
            "qvel": ("float32", (n, model.nv)),
            "forces": ("float32", (n, contacts, 3)),
            "ids": ("int32", (n,)),
            "new_qpos": ("float32", (n, model.nq)),
            "new_qvel": ("float32", (n, model.nv)),
        }
        layout: dict[str, Any] = {}
        end = 0
        for name, (kind, shape) in shapes.items():
            layout[name] = (end, kind, shape)
            size = 4 * int(np.prod(shape))
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        return layout, max(end, 1)

    def _ask(self, command: str, timeout: float = STEP_S, **request: Any) -> dict[str, Any]:
        line = json.dumps({"command": command, **request}) + "\n"
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # The reply will tell.
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        return self._reply(command, timeout)

    def _reply(self, command: str, timeout: float) -> dict[str, Any]:
        """The worker's next line.

        Raises:
            EngineError: there is none, or it says what went wrong.
        """
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        end = time.monotonic() + timeout
        while b"\n" not in self._unread:
            if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
                self.close()
                raise EngineError(
                    f"engine '{self.name}': the worker has not answered '{command}' within "
                    f"{timeout:g} s and was ended"
                )
            read = os.read(descriptor, 65536)
            if not read:
                self._raise_dead(command)
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            self.close()
            raise EngineError(
                f"engine '{self.name}': the worker answered '{command}' by no JSON object: "
                f"{line[:80]!r}"
            )
        if "error" in reply:
            raise EngineError(f"engine '{self.name}': {reply['error']}")
        return reply

    def _raise_dead(self, command: str) -> None:
        try:
            code: int | str = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            code = "unknown"
        words = self._log.read_text(errors="replace").strip().splitlines()
        self.close()
        raise EngineError(
            f"engine '{self.name}': the worker ended at '{command}' with exit code {code}"
            + (f"; its last words: {words[-1][:200]}" if words else "")
        )


def _robot(scene: Scene) -> dict[str, Any]:
    """The robot as a worker is told of it."""
    robot = scene.robot
    return {
        "name": robot.name,
        "file": str(robot.vendor_xml),
        "joint_names": list(robot.joint_names),
        "body_names": list(robot.body_names),
        "default_joint_pos": robot.default_joint_pos.tolist(),
        "kp": robot.kp.tolist(),
        "kd": robot.kd.tolist(),
        "effort": robot.effort_limit.tolist(),
        "velocity": robot.velocity_limit.tolist(),
        "armature": robot.armature.tolist(),
    }


def _shut_down(
    process: subprocess.Popen[bytes],
    block: shared_memory.SharedMemory,
    arrays: dict[str, NDArray[Any]],
    folder: Path,
) -> None:
    arrays.clear()
    with contextlib.suppress(OSError, ValueError):
        assert process.stdin is not None
        process.stdin.write(b'{"command": "close"}\n')
        process.stdin.close()
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    with contextlib.suppress(BufferError):
        block.close()
    with contextlib.suppress(FileNotFoundError):
        block.unlink()
    shutil.rmtree(folder, ignore_errors=True)
