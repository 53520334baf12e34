"""Running a batch on a pool of processes."""

from __future__ import annotations

import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from mimic_base.errors import InputError
from mimic_base.files import sweep_below
from mimic_base.locks import clear_locks
from retarget.batch.jobs import Job
from retarget.batch.on_ray import on_ray
from retarget.batch.record import FOLDER, Record, finished, job_key
from retarget.batch.work import Held, Task, Work, begin_worker, broken, retarget_job
from retarget.choices import Backend

Report = Callable[[Record, bool], None]
"""Called for each clip with its record and whether it had been finished before."""

_DIED = "the process that worked on it died (out of memory, or a crash in a library)"


def run_batch(
    jobs: Sequence[Job],
    out: Path,
    work: Work,
    *,
    workers: int | None = None,
    backend: Backend = "processes",
    ray_address: str | None = None,
    report: Report | None = None,
) -> list[Record]:
    """Retarget every clip that is not finished yet; one broken clip never stops the rest.

    Args:
        out: results go to ``out/<name>.npz``, records to a folder of their own below it.
        workers: processes; 1, the default, works in this one. With Ray the most clips at a time,
            by default one per CPU of the cluster.
        ray_address: see `on_ray.on_ray`.
        report: called as clips come in, in no fixed order.

    Returns the records in the order of the jobs. Raises `InputError` when Ray is asked for and is
    absent or does not answer.
    """
    done: dict[str, Record] = {}
    sweep_below(out)
    clear_locks(out / FOLDER, "*.lock")

    def add(record: Record, before: bool) -> None:
        done[record.name] = record
        if report is not None:
            report(record, before)

    left: list[tuple[Job, str]] = []
    for job in jobs:
        try:
            key = job_key(job, work.configuration)
        except OSError as error:
            add(broken(job, "", f"{job.clip}: cannot read: {error.strerror or error}"), False)
            continue
        except InputError as error:
            add(broken(job, "", str(error)), False)
            continue
        record = finished(out, job, key, picture=work.picture)
        if record is None:
            left.append((job, key))
        else:
            add(record, True)
    if backend == "ray":
        results = on_ray(left, out, work, workers=workers, address=ray_address) if left else ()
    elif workers is None or workers <= 1:
        results = _here(left, out, work)
    else:
        results = _pooled(left, out, work, workers)
    told = False
    for record in results:
        if not isinstance(record, Held):
            add(record, False)
        elif not told:
            told = True
            print(
                f"{record.line}; it is waited for after the other clips",
                file=sys.stderr, flush=True,
            )  # fmt: skip
    return [done[job.name] for job in jobs]


def _here(left: Sequence[tuple[Job, str]], out: Path, work: Work) -> Iterator[Record | Held]:
    begin_worker(work)
    waiting = deque(left)
    while waiting:
        item = waiting.popleft()
        record = retarget_job(*item, out)
        if isinstance(record, Held):
            waiting.append(item)
        yield record


def _pooled(
    left: Sequence[tuple[Job, str]],
    out: Path,
    work: Work,
    workers: int,
    task: Task = retarget_job,
) -> Iterator[Record | Held]:
    """Records as they come; clips in flight when a process dies are tried again one by one.

    A clip that another batch is writing gives a `Held` and comes again after the others.
    """
    waiting = deque(left)
    suspects: deque[tuple[Job, str]] = deque()
    while waiting or suspects:
        alone = not waiting
        queue = suspects if alone else waiting
        running: dict[Future[Record | Held], tuple[Job, str]] = {}
        pool = _pool(1 if alone else workers, work)
        try:
            while queue or running:
                # A few more than there are processes, so that none of them waits for us.
                while queue and len(running) < (1 if alone else workers + 2):
                    item = queue.popleft()
                    running[pool.submit(task, *item, out)] = item
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    record = future.result()
                    item = running.pop(future)
                    if isinstance(record, Held):
                        queue.append(item)
                    yield record
        except BrokenProcessPool:
            if alone:
                for job, key in running.values():
                    yield broken(job, key, f"{job.clip}: {_DIED}", out)
            else:
                suspects += running.values()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pool(workers: int, work: Work) -> ProcessPoolExecutor:
    """Processes that are forked from one that has only imported what they need.

    Forking this process is no choice: threads of numerical libraries do not survive it. Starting
    each afresh costs every one of them its imports.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["retarget.batch.preload"])
    else:
        context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, begin_worker, (work,))
