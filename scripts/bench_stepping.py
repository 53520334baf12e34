"""Three ways to step many copies of a robot with MuJoCo's C code, side by side in one run.

    python scripts/bench_stepping.py [--num-envs 512] [--threads 2] [--json FILE]

* mjbatch: the `mujoco` engine's pool of C++ threads with live views of every copy's arrays;
* rollout: `mujoco.rollout`, states in and states out, nothing kept between calls;
* pool: one `MjData` for each copy, stepped by a pool of Python threads (`mj_step` lets go of the
  interpreter's lock), states read back into one array.

Rounds alternate and medians are taken, so that a neighbour's load hits all alike. The processor
time spent on a control step is what a busy machine disturbs least (threads that wait by spinning
count as working).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import mjbatch
import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

import robots
from mimic.machine import processor_name, usable_cores
from mimic.sim.scene import Scene, make_scene
from mimic_base.files import atomic_write_text

STANDING_STEPS = 25
"""Control steps after which robots are put back up."""
Step = Callable[[NDArray], None]


class Batch:
    """mjbatch."""

    def __init__(self, scene: Scene, count: int, threads: int) -> None:
        self.batch = mjbatch.Batch(scene.model, count, threads)
        self.qpos, self.qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self.ctrl, self.nstep = self.batch.bind("ctrl"), scene.decimation

    def reset(self, qpos: NDArray) -> None:
        self.qpos[:], self.qvel[:] = qpos, 0.0

    def step(self, targets: NDArray) -> None:
        self.ctrl[:] = targets
        self.batch.step(nstep=self.nstep)


class Rollout:
    """mujoco.rollout."""

    def __init__(self, scene: Scene, count: int, threads: int) -> None:
        self.model, self.count, self.nstep = scene.model, count, scene.decimation
        self.runner = rollout.Rollout(nthread=threads)
        self.data = [mujoco.MjData(scene.model) for _ in range(threads)]
        size = mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self.state = np.zeros((count, size))
        self.states = np.zeros((count, self.nstep, size))
        self.sensors = np.zeros((count, self.nstep, self.model.nsensordata))

    def reset(self, qpos: NDArray) -> None:
        # FULLPHYSICS begins with time, qpos, qvel.
        self.state[:] = 0.0
        self.state[:, 1 : 1 + self.model.nq] = qpos

    def step(self, targets: NDArray) -> None:
        control = np.repeat(targets[:, None], self.nstep, 1)
        self.runner.rollout(
            [self.model] * self.count, self.data, self.state, control,
            state=self.states, sensordata=self.sensors,
        )  # fmt: skip
        self.state = self.states[:, -1].copy()


class Pool:
    """One MjData a copy, Python threads."""

    def __init__(self, scene: Scene, count: int, threads: int) -> None:
        self.model, self.nstep = scene.model, scene.decimation
        self.data = [mujoco.MjData(scene.model) for _ in range(count)]
        self.qpos = np.zeros((count, self.model.nq))
        self.qvel = np.zeros((count, self.model.nv))
        cuts = [count * i // threads for i in range(threads + 1)]
        self.parts = [range(cuts[i], cuts[i + 1]) for i in range(threads)]
        self.pool = ThreadPoolExecutor(threads)

    def reset(self, qpos: NDArray) -> None:
        for data, row in zip(self.data, qpos, strict=True):
            data.qpos[:], data.qvel[:] = row, 0.0

    def _part(self, part: range, targets: NDArray) -> None:
        for index in part:
            data = self.data[index]
            data.ctrl[:] = targets[index]
            mujoco.mj_step(self.model, data, self.nstep)
            self.qpos[index], self.qvel[index] = data.qpos, data.qvel

    def step(self, targets: NDArray) -> None:
        for job in [self.pool.submit(self._part, part, targets) for part in self.parts]:
            job.result()


def main() -> None:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    own.add_argument("--num-envs", type=int, default=512)
    own.add_argument("--threads", type=int, default=usable_cores())
    own.add_argument("--rounds", type=int, default=5)
    own.add_argument("--steps", type=int, default=25)
    own.add_argument("--robot", default="unitree_g1")
    own.add_argument("--json", type=Path)
    args = own.parse_args()
    scene = make_scene(robots.load(args.robot))
    robot, count = scene.robot, args.num_envs
    rng = np.random.default_rng(0)
    qpos = np.zeros((count, scene.model.nq))
    qpos[:, 2], qpos[:, 3], qpos[:, 7:] = robot.default_root_height, 1.0, robot.default_joint_pos
    ways = {
        "mjbatch": Batch(scene, count, args.threads),
        "rollout": Rollout(scene, count, args.threads),
        "pool": Pool(scene, count, args.threads),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    worked: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds + 1):
        noise = 0.1 * rng.standard_normal((args.steps, count, robot.num_joints))
        targets = robot.default_joint_pos + noise
        for name, way in ways.items():
            spent = busy = 0.0
            for step in range(args.steps):
                if step % STANDING_STEPS == 0:
                    way.reset(qpos)
                started, before = time.perf_counter(), time.process_time()
                way.step(targets[step])
                spent += time.perf_counter() - started
                busy += time.process_time() - before
            seconds[name].append(spent)
            worked[name].append(busy)
    rates = {name: count * args.steps / median(each[1:]) for name, each in seconds.items()}
    print(
        f"{processor_name()}, {args.threads} threads, {count} copies of {robot.name}, MuJoCo "
        f"{mujoco.__version__}: control steps of {scene.decimation} physics steps per second"
    )
    costs = {name: 1e6 * median(each[1:]) / (count * args.steps) for name, each in worked.items()}
    for name, rate in rates.items():
        print(f"{name:8} {rate:8,.0f} /s   {costs[name]:6.0f} us of processor time each")
    if args.json is not None:
        facts = {"num_envs": count, "threads": args.threads, "processor": processor_name()}
        report = json.dumps({**facts, "steps_per_s": rates, "cpu_us": costs}, indent=2)
        atomic_write_text(args.json, report + "\n")


if __name__ == "__main__":
    main()
