"""A batch on a Ray cluster: the same jobs, records and results as on a pool of processes.

Every machine of the cluster needs this package and the disk with clips and results at the same
paths. Ray itself is an extra (``pip install 'humanoid-mimic[ray]'``).
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mimic_base.errors import InputError, input_error
from retarget.batch.jobs import Job
from retarget.batch.record import Record
from retarget.batch.work import Held, Task, Work, begin_worker, broken, retarget_job

STORE_BYTES = 128 * 2**20
"""Ray's shared memory on this machine; jobs and records are small."""
ANSWER_S = 10.0
"""Time for a cluster's port to answer."""
DIED = "the worker that had it died twice (out of memory, a crash in a library, or a lost machine)"


def on_ray(
    left: Sequence[tuple[Job, str]],
    out: Path,
    work: Work,
    *,
    workers: int | None = None,
    address: str | None = None,
    task: Task = retarget_job,
) -> Iterator[Record | Held]:
    """Records of the clips as they come; a clip of another batch gives a `Held` and comes again.

    Args:
        workers: most clips at a time; as many as the cluster has CPUs unless given.
        address: of a running cluster, such as "auto", "host:6379" or "ray://host:10001"; without
            one Ray is started on this machine for the time of the batch.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """
    ray = ray_module()
    mine = not ray.is_initialized()
    if mine:
        _connect(ray, workers, address)
    running: dict[Any, tuple[Job, str]] = {}
    try:
        most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        # Once more where a machine is lost; an error of the clip itself is no failure to Ray.
        remote = ray.remote(num_cpus=1, max_retries=1)(run_there)
        common = ray.put((work, Path.cwd(), out, task))
        waiting = deque(left)
        while waiting or running:
            # A few more than can work, so that none of them waits for us.
            while waiting and len(running) < most + min(2, most):
                job, key = waiting.popleft()
                running[remote.remote(job, key, common)] = job, key
            for reference in ray.wait(list(running), num_returns=1)[0]:
                job, key = running.pop(reference)
                try:
                    record = ray.get(reference)
                except ray.exceptions.RayError as error:
                    record = broken(job, key, f"{job.clip}: {_reason(ray, error)}", out)
                if isinstance(record, Held):
                    waiting.append((job, key))
                yield record
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if mine:
            ray.shutdown()


def ray_module() -> Any:
    """Ray, or an `InputError` that says how to get it."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise InputError(
            "--backend ray needs Ray; pip install 'humanoid-mimic[ray]', or leave --backend out"
        ) from error


def run_there(job: Job, key: str, common: tuple[Work, Path, Path, Task]) -> Record | Held:
    """What a worker of the cluster does: one clip, with all paths as they are here."""
    work, folder, out, task = common
    try:
        os.chdir(folder)
        begin_worker(work)
    except Exception as error:
        return Record(job.name, str(job.clip), key, error=f"{os.uname().nodename}: {error}")
    return task(job, key, out)


def _connect(ray: Any, workers: int | None, address: str | None) -> None:
    # Nobody asked for figures of the use to be sent anywhere.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cpus = workers or os.cpu_count()
        # "local", lest a cluster that happens to run here is taken unasked.
        ray.init(
            address="local", num_cpus=cpus, include_dashboard=False,
            object_store_memory=STORE_BYTES, **quiet,
        )  # fmt: skip
        return
    try:
        host, colon, port = address.removeprefix("ray://").rpartition(":")
        if colon and port.isdecimal():
            # Ray itself would try for minutes.
            socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
        ray.init(address=address, **quiet)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise input_error(
            None,
            "--ray-address: no Ray cluster answers",
            found=address,
            fix="start one (ray start --head), or leave --ray-address out for this machine alone",
        ) from error


def _reason(ray: Any, error: Exception) -> str:
    if isinstance(error, ray.exceptions.RayTaskError):
        return " ".join(str(error).splitlines()[-1:])
    return DIED
