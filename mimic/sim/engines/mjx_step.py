"""The compiled control step of MJX: substeps and contact forces of all environments at once."""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx
from mujoco.mjx._src import support

from mimic.sim.engines.buffers import BufferSizes
from mimic.sim.errors import EngineError
from mimic.sim.scene import ContactPair, Scene


class ControlStep:
    """(fields, qpos, qvel, warm start, ctrl) of all environments -> the same a control step later.

    One call of one compiled program. MJX's own arrays (contacts, constraints, inertias) exist only
    inside of it.
    """

    def __init__(
        self, scene: Scene, num_envs: int, device: Any, impl: str, sizes: BufferSizes
    ) -> None:
        self._substeps = scene.decimation
        self._impl = impl
        host = mjx_model(scene.model, impl)
        pairs = [ContactPair(name) for name in scene.contact_bodies]
        pairs += scene.contacts.values()
        self._bodies = np.array([scene.model.body(p.body).id for p in pairs], dtype=np.int32)
        # -1 stands for any body.
        others = [-1 if p.other is None else scene.model.body(p.other).id for p in pairs]
        self._others = np.array(others, dtype=np.int32)
        self._body_of_geom = np.array(scene.model.geom_bodyid, dtype=np.int32)
        try:
            self._model = mjx.put_model(host, device, impl=impl)
        except NotImplementedError as error:
            raise EngineError(
                f"engine 'mjx' ({impl}): {error}; use --engine mujoco or --engine warp"
            ) from error
        room = {"naconmax": sizes.nconmax * num_envs, "njmax": sizes.njmax}
        self._data = mjx.make_data(host, device, impl=impl, **(room if impl == "warp" else {}))
        axes = (None, None, 0, 0, 0, 0, 0)
        self._run = jax.jit(jax.vmap(self._one, in_axes=axes))

    def __call__(
        self, fields: dict[str, Any], qpos: Any, qvel: Any, warmstart: Any, ctrl: Any
    ) -> tuple[Any, ...]:
        """Advance.

        Args:
            fields: per-environment model fields [N, ...]. qpos, qvel, warmstart, ctrl: [N, ...].

        Returns:
            qpos, qvel, warm start, net contact force [N, C + K, 3] (N, world; see
            ``Engine._read_contacts``) of the last physics step, and [N, 2]: constraint rows, and
            contacts of all environments.
        """
        outputs = self._run(self._model, self._data, fields, qpos, qvel, warmstart, ctrl)
        return jax.block_until_ready(outputs) if qpos.device.platform == "cpu" else outputs

    def can_vary(self, name: str) -> bool:
        """Whether a model field is data of the program rather than part of it."""
        return isinstance(getattr(self._model, name, None), jax.Array)

    def _one(
        self, model: Any, data: Any, fields: Any, qpos: Any, qvel: Any, warmstart: Any, ctrl: Any
    ) -> tuple[Any, ...]:
        model = model.replace(**fields)
        data = data.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warmstart, ctrl=ctrl)
        data = jax.lax.fori_loop(0, self._substeps, lambda _, each: mjx.step(model, each), data)
        if self._impl == "warp":
            inside = data._impl
            # The sensor tells what its body does to others.
            forces = -data.sensordata.reshape(-1, 3)
            rows, found = inside.nefc, jnp.maximum(inside.nacon, inside.ncollision)
            used = jnp.stack([jnp.ravel(rows)[0], jnp.ravel(found)[0]]).astype(jnp.float32)
        else:
            # All pairs and rows have their place from the start: nothing can overflow.
            forces = self._net_forces(model, data)
            used = jnp.zeros(2, jnp.float32)
        return data.qpos, data.qvel, data.qacc_warmstart, forces, used

    def _net_forces(self, model: Any, data: Any) -> Any:
        """[C + K, 3] sum of the contact forces that act on each pair's body, world axes.

        What MuJoCo's contact sensor reports with reduction ``netforce``, which the JAX
        implementation does not have.
        """
        contact = data._impl.contact
        count = len(contact.dim)
        if not count or not len(self._bodies):
            return jnp.zeros((len(self._bodies), 3), jnp.float32)
        forces = jnp.zeros((count, 3), jnp.float32)
        for dim in sorted(set(contact.dim.tolist())):
            local, which = support.contact_force_dim(model, data, dim)
            forces = forces.at[which].set(local[:, :3])
        # The frame's rows are the contact's axes; the first points from geom 1 to geom 2.
        world = jnp.einsum("nk,nkj->nj", forces, contact.frame)
        first, second = (jnp.asarray(self._body_of_geom)[contact.geom[:, i]] for i in (0, 1))
        bodies, others = self._bodies[:, None], self._others[:, None]
        on_second = (bodies == second) & ((others < 0) | (others == first))
        on_first = (bodies == first) & ((others < 0) | (others == second))
        sign = on_second.astype(jnp.float32) - on_first.astype(jnp.float32)
        return sign @ world


def mjx_model(model: mujoco.MjModel, impl: str) -> mujoco.MjModel:
    """A copy that an implementation of MJX takes.

    Without automatic resets, which neither knows. Without sensors for the JAX implementation: its
    contact sensors know no bodies. Constraint matrices are dense where JAX computes them faster.
    """
    own = copy.copy(model)
    own.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    if impl == "jax":
        own.opt.jacobian = int(mujoco.mjtJacobian.mjJAC_AUTO)
        own.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
        # Any type without checks will do: nothing computes it.
        own.sensor_type[:] = int(mujoco.mjtSensor.mjSENS_CLOCK)
    return own
