"""Many small evaluations in parallel, each kept in a file as soon as it is done.

What a job gives does not depend on how many processes there are: each job has a seed of its own,
and every process computes with one thread.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_base.errors import MimicError
from mimic_base.files import atomic_write_text

Result = dict[str, Any]
KEPT = ".finished"
"""Folder, below that of the results, in which finished jobs are kept."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One of many; ``function(common, arguments)`` gives a result in plain values."""

    title: str
    """For the user."""
    arguments: Mapping[str, Any]
    """Plain values; they and what is common to all jobs decide the result."""


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def digest(*values: Any) -> str:
    """A short hash of plain values."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def run_jobs(
    function: str,
    common: Any,
    jobs: Sequence[Job],
    *,
    workers: int,
    keep: Path | None = None,
    identity: str = "",
    done: Callable[[Job, Result, bool], None] | None = None,
) -> list[Result]:
    """The results of all jobs, in their order.

    Args:
        function: ``module:name``; its arguments travel to other processes.
        workers: processes; with one, the work is done in this one.
        keep: folder in which results are kept, and found again by a later call.
        identity: of ``common``, see ``digest``: results of another are not taken.
        done: called with each job and its result as it is done, and whether it was found.

    Raises:
        MimicError: fewer than one process, or a process that was killed. Results so far are kept.
    """
    if workers < 1:
        raise MimicError(f"--workers must be at least 1, got {workers}")
    results: dict[int, Result] = {}

    def take(index: int, result: Result, found: bool = False) -> None:
        results[index] = result
        if keep is not None and not found:
            place = keep / f"{_key(identity, jobs[index])}.json"
            atomic_write_text(place, json.dumps(result, allow_nan=False) + "\n")
        if done is not None:
            done(jobs[index], result, found)

    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    missing = []
    for index, job in enumerate(jobs):
        result = None if keep is None else _kept(keep / f"{_key(identity, job)}.json")
        if result is None:
            missing.append(index)
        else:
            take(index, result, True)
    if workers == 1 or len(missing) < 2:
        with _one_thread():
            for index in missing:
                take(index, _call(function, common, jobs[index].arguments))
    else:
        for index, result in _in_processes(function, common, jobs, missing, workers):
            take(index, result)
    return [results[index] for index in range(len(jobs))]


def _in_processes(
    function: str, common: Any, jobs: Sequence[Job], missing: Sequence[int], workers: int
) -> Iterator[tuple[int, Result]]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(workers, len(missing)), context, _begin_worker, (function, common)
    )
    queue = list(reversed(missing))
    running: dict[Future[Result], int] = {}
    try:
        while queue or running:
            while queue and len(running) < workers + 2:
                index = queue.pop()
                running[pool.submit(_work, dict(jobs[index].arguments))] = index
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        titles = ", ".join(jobs[index].title for index in sorted(running.values()))
        raise MimicError(
            f"a process was killed (out of memory?) while it did one of: {titles[:300]}; what is "
            "finished is kept, so give the same command again, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_WORKER: tuple[str, Any] = ("", None)


def _begin_worker(function: str, common: Any) -> None:
    global _WORKER  # noqa: PLW0603
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)
    _WORKER = (function, common)


def _work(arguments: Mapping[str, Any]) -> Result:
    return _call(*_WORKER, arguments)


def _call(function: str, common: Any, arguments: Mapping[str, Any]) -> Result:
    module, _, name = function.partition(":")
    # By way of JSON, so that a result that was kept is no other than one that was not.
    made = getattr(importlib.import_module(module), name)(common, arguments)
    return json.loads(json.dumps(made, allow_nan=False))


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _key(identity: str, job: Job) -> str:
    return digest(identity, job.arguments)


def _kept(path: Path) -> Result | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
