"""How an engine in another process is spoken to, and the worker's side of it (Python 3.8, numpy).

The parent (``mimic.sim.engines.remote.RemoteEngine``) starts ``PYTHON WORKER.py``. Commands are
JSON objects, one a line, on the worker's standard input; replies are JSON objects, one a line, on
what was its standard output. ``serve`` points standard output at standard error before anything
else happens, so that a simulator may print what it likes. Arrays lie in one block of shared memory
that the parent creates and removes. One control step is one command and one reply.

1. The worker says ``{"protocol": 1, "worker": NAME}``, or ``{"error": TEXT}`` and ends.
2. ``{"command": "open", ...}``: the keys are

   ====================  ==========================================================================
   ``shared_memory``     name of the block
   ``arrays``            ``{array: [offset in bytes, type, [shape]]}``
   ``num_envs``          N
   ``physics_dt``        s, a physics step
   ``decimation``        physics steps in a control step
   ``device``            torch device of the parent; the worker may compute elsewhere
   ``threads``           threads of the physics, 0 is one per core
   ``model``             file of the scene as a compiled MuJoCo model (.mjb)
   ``robot``             ``name, file`` (MJCF or URDF of the vendor), ``joint_names, body_names``,
                         per joint ``default_joint_pos`` (rad), ``kp`` (N m/rad), ``kd``
                         (N m s/rad), ``effort`` (N m), ``velocity`` (rad/s), ``armature`` (kg m^2)
   ``contacts``          ``[[body, other], ...]``: whose contact force, exerted by whom; null is
                         everything
   ``friction``          of the ground
   ====================  ==========================================================================

   The reply is ``{"ok": true, "fields": [...]}``: model fields that may differ between
   environments. From here on ``qpos``, ``qvel`` hold the first state.
3. ``{"command": "step"}``: read ``targets`` [N, J] rad; advance ``decimation`` physics steps, in
   each with the torques ``kp (target - q) - kd qd`` clipped to the effort limit; write ``qpos``
   [N, nq], ``qvel`` [N, nv] of the new state and ``forces`` [N, C, 3] (N, world) of the last
   physics step.
4. ``{"command": "reset", "count": n}``: put the environments ``ids[:n]`` into the states
   ``new_qpos[:n]``, ``new_qvel[:n]`` and forget their past.
5. ``{"command": "velocity", "count": n}``: only their velocities, ``new_qvel[:n]``.
6. ``{"command": "field", "name": NAME, "file": FILE.npy}``: values [N, ...] of a model field.
7. ``{"command": "close"}``, or the end of the input: end.

Every command is answered by ``{"ok": true}`` or ``{"error": TEXT}``, one line. States follow
MuJoCo: base position (m, world), orientation wxyz, joints (rad); base linear velocity in the world
(m/s), angular velocity along the base's own axes (rad/s), joints (rad/s); joints in the order of
``joint_names``. Arrays are float32, ``ids`` int32.
"""

import contextlib
import json
import os
import sys
from multiprocessing import resource_tracker, shared_memory
from typing import Any, Callable, Dict, List, Optional

import numpy as np

VERSION = 1


class Simulator:
    """What a worker has to be able to do; ``serve`` speaks the protocol for it."""

    name = "worker"
    arrays: Dict[str, np.ndarray]

    def open(self, request: Dict[str, Any]) -> List[str]:
        """Build the simulation of an ``open`` request; return the fields that may vary."""
        raise NotImplementedError

    def step(self) -> None:
        """Advance one control step under ``arrays["targets"]`` and write the new state."""
        raise NotImplementedError

    def reset(self, ids: np.ndarray, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Put the environments ``ids`` [n] into [n, nq], [n, nv]."""
        raise NotImplementedError

    def velocity(self, ids: np.ndarray, qvel: np.ndarray) -> None:
        """Replace the velocities [n, nv] of the environments ``ids`` [n]."""
        raise NotImplementedError

    def field(self, name: str, values: np.ndarray) -> None:
        """Set the values [N, ...] of a model field."""
        raise NotImplementedError


def serve(make: Callable[[], Simulator], name: str) -> int:
    """Answer the parent until it closes the door; the exit code of the process.

    ``make`` is called after standard output has been put out of a simulator's reach; what it
    raises is told to the parent in one line.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**reply: Any) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    try:
        simulator = make()
    except Exception as error:
        say(error=_one_line(error))
        return 1
    say(protocol=VERSION, worker=name)
    block: Optional[shared_memory.SharedMemory] = None
    try:
        for line in sys.stdin:
            request = json.loads(line)
            command = request.get("command")
            if command == "close":
                break
            try:
                if command == "open":
                    block = _attached(request["shared_memory"])
                    simulator.arrays = views(block, request["arrays"])
                    say(ok=True, fields=simulator.open(request))
                    continue
                _answer(simulator, command, request)
            except Exception as error:
                say(error=_one_line(error))
                continue
            say(ok=True)
    except (BrokenPipeError, KeyboardInterrupt):
        pass
    simulator.arrays = {}
    if block is not None:
        # The simulator may hold a view; the process ends anyway.
        with contextlib.suppress(BufferError):
            block.close()
    return 0


def views(block: shared_memory.SharedMemory, layout: Dict[str, Any]) -> Dict[str, np.ndarray]:
    """The arrays in a block of shared memory."""
    return {
        name: np.ndarray(tuple(shape), np.dtype(kind), block.buf, offset)
        for name, (offset, kind, shape) in layout.items()
    }


def _answer(simulator: Simulator, command: Any, request: Dict[str, Any]) -> None:
    arrays = simulator.arrays
    if command == "step":
        simulator.step()
    elif command in ("reset", "velocity"):
        count = int(request["count"])
        ids, qvel = arrays["ids"][:count], arrays["new_qvel"][:count]
        if command == "reset":
            simulator.reset(ids, arrays["new_qpos"][:count], qvel)
        else:
            simulator.velocity(ids, qvel)
    elif command == "field":
        simulator.field(request["name"], np.load(request["file"]))
    else:
        raise ValueError(f"unknown command {command!r}")


def _attached(name: str) -> shared_memory.SharedMemory:
    block = shared_memory.SharedMemory(name=name)
    # Before Python 3.13 whoever attaches would also remove the block when it ends.
    resource_tracker.unregister("/" + name.lstrip("/"), "shared_memory")
    return block


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
