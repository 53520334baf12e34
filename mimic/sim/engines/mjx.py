"""MuJoCo XLA: a whole control step of all environments is one program compiled by JAX.

The JAX implementation runs wherever JAX does (CPU, GPU, TPU); on NVIDIA the Warp implementation
behind the same interface is used where it is installed. On a CPU it is far too slow for training.
"""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import torch

from mimic.sim.engine import Engine
from mimic.sim.engines.buffers import NCONMAX_MEANING, NJMAX_MEANING, BufferSizes, may_touch
from mimic.sim.engines.jax_exchange import jax_device, to_jax, to_torch, use_compilation_cache
from mimic.sim.engines.mjx_step import ControlStep
from mimic.sim.errors import CannotVaryError, EngineError
from mimic.sim.scene import Scene


class MjxEngine(Engine):
    """``Engine`` on MJX. See ``mimic.sim.engine.Engine``.

    A physics state is (qpos, qvel, warm start of the solver); everything else is made inside the
    compiled program. The three live in torch tensors on the device, which JAX reads and returns
    without copying, so that resets and pushes are ordinary writes. Single precision.
    """

    name = "mjx"
    on_gpu = True
    options: Mapping[str, str] = {
        "impl": "auto, jax or warp",
        "nconmax": f"{NCONMAX_MEANING} (impl=warp)",
        "njmax": f"{NJMAX_MEANING} (impl=warp)",
    }

    def __init__(
        self,
        scene: Scene,
        num_envs: int,
        *,
        device: str = "cpu",
        threads: int = 0,
        impl: str = "auto",
        nconmax: int = 0,
        njmax: int = 0,
    ):
        super().__init__(scene, num_envs, device)
        use_compilation_cache()
        self._jax_device = jax_device(self.device)
        self.impl = choose_implementation(impl, self._jax_device.platform)
        if self.impl == "jax":
            refuse_unsupported_contacts(scene)
        self.sizes = BufferSizes.of(scene.model, nconmax, njmax)
        self._step = ControlStep(scene, num_envs, self._jax_device, self.impl, self.sizes)
        model = scene.model
        self._qpos = self._rows(torch.as_tensor(model.qpos0))
        self._qvel = torch.zeros(num_envs, model.nv, device=self.device)
        self._warmstart = torch.zeros(num_envs, model.nv, device=self.device)
        self._fields: dict[str, torch.Tensor] = {}
        self._forces = torch.zeros(
            num_envs, len(scene.contact_bodies) + len(scene.contacts), 3, device=self.device
        )
        self._lost = torch.zeros(num_envs, 2, device=self.device)
        self._publish(*self._read())

    def advance(self, targets: torch.Tensor) -> None:
        """The physics of ``step`` alone: state tensors are stale until the next ``step``."""
        tensors = (self._qpos, self._qvel, self._warmstart, self._own(targets))
        fields = {name: to_jax(each, self._jax_device) for name, each in self._fields.items()}
        inputs = [to_jax(each, self._jax_device) for each in tensors]
        outputs = self._step(fields, *inputs)
        # Only now may torch reuse the memory of the inputs: its stream waits for the outputs.
        self._qpos, self._qvel, self._warmstart, self._forces, self._lost = (
            to_torch(each, self.device) for each in outputs
        )

    def model_field(self, name: str) -> torch.Tensor:
        """Per-environment values [N, ...] of an ``mjModel`` field, a copy.

        Raises:
            EngineError: a field that is part of the compiled program.
        """
        if name in self._fields:
            return self._fields[name].clone()
        if not self._step.can_vary(name):
            raise CannotVaryError(self.name, name)
        return self._rows(torch.as_tensor(getattr(self.scene.model, name).copy()))

    def _write_model_field(self, name: str, values: torch.Tensor) -> None:
        """Set the per-environment values of an ``mjModel`` field.

        The first write to a field after a step has the program compiled again.
        """
        if name not in self._fields:
            self._fields[name] = self.model_field(name)
        self._fields[name].copy_(values)

    # parts ---------------------------------------------------------------------------------

    def _rows(self, values: torch.Tensor) -> torch.Tensor:
        """[N, ...] single-precision copies of ``values`` [...]."""
        own = self._own(values)
        return own.expand(self.num_envs, *own.shape).contiguous()

    def _read(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._qpos.clone(), self._qvel.clone()

    def _read_contacts(self) -> torch.Tensor | None:
        return self._forces

    def _write(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        self._qpos[env_ids] = self._own(qpos)
        self._qvel[env_ids] = self._own(qvel)
        self._warmstart[env_ids] = 0.0

    def _write_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        self._qvel[env_ids] = self._own(qvel)

    def _check(self) -> None:
        """Contacts and constraints must have fitted the buffers (``impl=warp``)."""
        if self.impl == "warp":
            self._check_overflow()

    def _check_overflow(self) -> None:
        rows, contacts = (float(x) for x in self._lost[~self.non_finite()].amax(0).tolist())
        sizes = self.sizes
        if contacts > sizes.nconmax * self.num_envs:
            wanted = max(2 * sizes.nconmax, int(-(-contacts * 5 // (4 * self.num_envs))))
            raise EngineError(
                f"engine mjx: {contacts:.0f} contacts of {self.num_envs} environments do not fit "
                f"{sizes.nconmax} per environment (nconmax); use --engine "
                f"mjx:impl=warp,nconmax={wanted},njmax={sizes.njmax}"
            )
        if rows > sizes.njmax:
            raise EngineError(
                f"engine mjx: {rows:.0f} constraint rows of an environment do not fit "
                f"{sizes.njmax} (njmax); use --engine "
                f"mjx:impl=warp,nconmax={sizes.nconmax},njmax={max(2 * sizes.njmax, int(rows))}"
            )


def refuse_unsupported_contacts(scene: Scene) -> None:
    """Say which two shapes may touch that MJX's JAX implementation cannot collide.

    Raises:
        EngineError: two geoms of the scene are such a pair.
    """
    from mujoco.mjx._src import collision_driver

    known = {(int(a), int(b)) for a, b in collision_driver._COLLISION_FUNC}
    model = scene.model
    for first in range(model.ngeom):
        for second in range(first + 1, model.ngeom):
            kinds = [(int(model.geom_type[g]), g) for g in (first, second)]
            low, high = sorted(kinds)
            if (low[0], high[0]) in known or not may_touch(model, first, second):
                continue
            one, other = (
                f"{str(mujoco.mjtGeom(kind))[len('mjtGeom.mjGEOM_') :].lower()} "
                f"'{model.geom(g).name or model.body(model.geom_bodyid[g]).name}'"
                for kind, g in (low, high)
            )
            raise EngineError(
                f"engine 'mjx' (jax) has no contacts of {one} with {other}; use --engine mujoco, "
                "--engine warp or another shape"
            )


def choose_implementation(impl: str, platform: str) -> str:
    """``jax`` or ``warp``; ``auto`` is Warp on NVIDIA where its package is installed.

    Raises:
        EngineError: unknown, or Warp's package is absent.
    """
    from mimic.sim.choice import INSTALL, missing_packages

    if impl not in ("auto", "jax", "warp"):
        raise EngineError(f"engine 'mjx': impl is '{impl}', expected auto, jax or warp")
    absent = missing_packages("warp")
    if impl == "warp" and absent:
        raise EngineError(
            f"engine 'mjx': impl=warp needs {' and '.join(absent)}: {INSTALL.format(extra='warp')}"
        )
    if impl == "auto":
        return "warp" if platform in ("gpu", "cuda") and not absent else "jax"
    return impl
