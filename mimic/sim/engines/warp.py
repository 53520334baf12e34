"""MuJoCo Warp driven directly: every environment is a world on an NVIDIA GPU.

It runs on a CPU too, several times slower than MuJoCo's C code: good for tests, not for training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mujoco
import torch
import warp as wp

# Before the import below prints a line for each of some fifty kernels.
wp.config.log_level = max(wp.config.log_level, wp.LOG_WARNING)
import mujoco_warp as mjw  # noqa: E402

from mimic.sim.engine import Engine  # noqa: E402
from mimic.sim.engines.buffers import NCONMAX_MEANING, NJMAX_MEANING, BufferSizes  # noqa: E402
from mimic.sim.errors import CannotVaryError, EngineError  # noqa: E402
from mimic.sim.scene import Scene  # noqa: E402

# Flags that mean lost contacts or constraints. The rest say that the solver has used all of its
# iterations, which is how it is meant to be set (MuJoCo's C code does not report it either).
_CONSTRAINTS = mjw.OverflowType.NEFC | mjw.OverflowType.NJMAX_NNZ
_CONTACTS = mjw.OverflowType.BROADPHASE | mjw.OverflowType.NARROWPHASE
_OTHER = (
    mjw.OverflowType.CCD
    | mjw.OverflowType.HFIELD
    | mjw.OverflowType.CONTACT_MATCH
    | mjw.OverflowType.NVMAX
    | mjw.OverflowType.EPA_HORIZON
)


class WarpEngine(Engine):
    """``Engine`` on MuJoCo Warp. See ``mimic.sim.engine.Engine``.

    Warp's arrays are seen by torch where they lie. On a GPU the physics steps of a control step
    are captured once in a CUDA graph and replayed on torch's stream. Solver and state are in
    single precision.
    """

    name = "warp"
    on_gpu = True
    options: Mapping[str, str] = {
        "nconmax": NCONMAX_MEANING,
        "njmax": NJMAX_MEANING,
        "graph": "1 captures steps in a CUDA graph, 0 launches every kernel",
    }

    def __init__(
        self,
        scene: Scene,
        num_envs: int,
        *,
        device: str = "cpu",
        threads: int = 0,
        nconmax: int = 0,
        njmax: int = 0,
        graph: int = 1,
    ):
        super().__init__(scene, num_envs, device)
        self.sizes = BufferSizes.of(scene.model, nconmax, njmax)
        wp.init()
        self._wp_device = wp.device_from_torch(self.device)
        self._capture = bool(graph) and self._wp_device.is_cuda
        self._graph: Any = None
        with self._on_torch_stream():
            try:
                self._model = mjw.put_model(warp_model(scene.model))
            except NotImplementedError as error:
                raise EngineError(f"engine 'warp': {error}; use --engine mujoco") from error
            # Overflow is read from Data.overflow; kernels need not print.
            self._model.opt.warn_overflow = 0
            self._data = mjw.make_data(
                scene.model, nworld=num_envs, nconmax=self.sizes.nconmax, njmax=self.sizes.njmax
            )
        view = wp.to_torch
        self._qpos, self._qvel = view(self._data.qpos), view(self._data.qvel)
        self._warmstart, self._ctrl = view(self._data.qacc_warmstart), view(self._data.ctrl)
        self._flags = view(self._data.overflow)
        self._sensors = view(self._data.sensordata) if scene.model.nsensordata else None
        self._ctrl[:] = torch.as_tensor(scene.robot.default_joint_pos, dtype=torch.float32)
        self._reset_mask = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self._batched: dict[str, torch.Tensor] = {}
        self._publish(*self._read())

    def advance(self, targets: torch.Tensor) -> None:
        """The physics of ``step`` alone: state tensors are stale until the next ``step``."""
        self._ctrl.copy_(targets)
        with self._on_torch_stream():
            if not self._capture:
                self._physics()
                return
            if self._graph is None:
                self._graph = self._captured()
            wp.capture_launch(self._graph, stream=wp.get_stream(self._wp_device))

    def model_field(self, name: str) -> torch.Tensor:
        """Per-environment values [N, ...] of an ``mjModel`` field, a copy.

        Raises:
            EngineError: a field that is the same in all worlds of MuJoCo Warp.
        """
        if name in self._batched:
            return self._batched[name].clone()
        values = wp.to_torch(self._field(name))
        return values.expand(self.num_envs, *values.shape[1:]).clone()

    def _write_model_field(self, name: str, values: torch.Tensor) -> None:
        """Set the per-environment values of an ``mjModel`` field."""
        if name not in self._batched:
            shared = self._field(name)
            shape = (self.num_envs, *shared.shape[1:])
            with self._on_torch_stream():
                own = wp.empty(shape, dtype=shared.dtype, device=self._wp_device)
            setattr(self._model, name, own)
            self._batched[name] = wp.to_torch(own)
            # The graph holds the address of the array before.
            self._graph = None
        self._batched[name].copy_(values)

    # parts ---------------------------------------------------------------------------------

    def _physics(self) -> None:
        for _ in range(self.scene.decimation):
            mjw.step(self._model, self._data)

    def _captured(self) -> Any:
        """The control step as a CUDA graph, captured on a stream of its own."""
        # Kernels are compiled and loaded by a run outside of the capture; its effect is undone.
        state = (self._qpos, self._qvel, self._warmstart, self._flags)
        before = [each.clone() for each in state]
        self._physics()
        for tensor, values in zip(state, before, strict=True):
            tensor.copy_(values)
        torch.cuda.synchronize(self.device)
        side = torch.cuda.Stream(self.device)
        with wp.ScopedStream(wp.stream_from_torch(side)), wp.ScopedCapture() as capture:
            self._physics()
        torch.cuda.synchronize(self.device)
        return capture.graph

    @contextmanager
    def _on_torch_stream(self) -> Iterator[None]:
        """Let Warp work on its device, in order with torch's operations there."""
        with wp.ScopedDevice(self._wp_device):
            if not self._wp_device.is_cuda:
                yield
                return
            with wp.ScopedStream(wp.stream_from_torch(self.device)):
                yield

    def _read(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._qpos.clone(), self._qvel.clone()

    def _read_contacts(self) -> torch.Tensor | None:
        # The sensor tells what its body does to others.
        return None if self._sensors is None else -self._sensors

    def _write(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        # Everything a world remembers is cleared: a blown-up one may hold NaN anywhere.
        self._reset_mask.zero_()
        self._reset_mask[env_ids] = True
        kept = self._ctrl[env_ids].clone()
        with self._on_torch_stream():
            mjw.reset_data(self._model, self._data, reset=wp.from_torch(self._reset_mask))
        self._ctrl[env_ids] = kept
        self._qpos[env_ids] = self._own(qpos)
        self._qvel[env_ids] = self._own(qvel)
        self._warmstart[env_ids] = 0.0

    def _write_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        self._qvel[env_ids] = self._own(qvel)

    def _field(self, name: str) -> Any:
        field = getattr(self._model, name, None)
        if not isinstance(field, wp.array) or field.ndim < 2:
            raise CannotVaryError(self.name, name)
        return field

    def _check(self) -> None:
        """Contacts and constraints must have fitted the buffers."""
        # Worlds that have blown up are reset and counted by the environment; they may touch
        # everything at once before that.
        seen = torch.where(self.non_finite(), torch.zeros_like(self._flags), self._flags)
        bad = seen & int(_CONSTRAINTS | _CONTACTS | _OTHER)
        if not bool(bad.any()):
            return
        # Candidate pairs lie in a buffer of the same size as contacts.
        found = (self._data.nacon, self._data.ncollision)
        contacts = max(int(wp.to_torch(each).max()) for each in found)
        rows = int(wp.to_torch(self._data.nefc).max())
        raise EngineError(overflow_message(bad, self.sizes, contacts, rows, self.num_envs))


def overflow_message(
    flags: torch.Tensor, sizes: BufferSizes, contacts: int, rows: int, num_envs: int
) -> str:
    """What did not fit, and the setting that fixes it.

    Args:
        flags: [N] ``OverflowType`` bits. contacts: needed by all environments together in the last
            physics step. rows: constraint rows of the environment that has most.
    """
    all_flags = 0
    for value in flags.unique().tolist():
        all_flags |= int(value)
    if all_flags & int(_CONTACTS):
        wanted = max(2 * sizes.nconmax, -(-contacts * 5 // (4 * num_envs)))
        return (
            f"engine warp: contacts of {num_envs} environments do not fit {sizes.nconmax} per "
            f"environment (nconmax); use --engine warp:nconmax={wanted},njmax={sizes.njmax}"
        )
    if all_flags & int(_CONSTRAINTS):
        wanted = max(2 * sizes.njmax, rows * 5 // 4)
        count = int((flags != 0).sum())
        return (
            f"engine warp: constraints of {count} of {num_envs} environments do not fit "
            f"{sizes.njmax} rows (njmax); use --engine warp:nconmax={sizes.nconmax},njmax={wanted}"
        )
    names = [flag.name for flag in mjw.OverflowType if flag.name and all_flags & int(flag) & _OTHER]
    return (
        f"engine warp: a collision buffer overflowed ({', '.join(map(str, names))}); use "
        f"--engine warp:nconmax={2 * sizes.nconmax},njmax={sizes.njmax}, or --engine mujoco"
    )


def warp_model(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy without what MuJoCo Warp refuses and does not do anyway (automatic resets)."""
    own = copy.copy(model)
    own.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    return own
