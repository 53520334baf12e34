"""Many clips into one dataset: in parallel, resumable, sharded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
    from retarget.batch.jobs import Job, find_jobs, merge_jobs, read_manifest, shard_of
    from retarget.batch.record import Record
    from retarget.batch.run import run_batch

__all__ = ["Job", "Record", "find_jobs", "merge_jobs", "read_manifest", "run_batch", "shard_of"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Job": "retarget.batch.jobs",
        "Record": "retarget.batch.record",
        "find_jobs": "retarget.batch.jobs",
        "merge_jobs": "retarget.batch.jobs",
        "read_manifest": "retarget.batch.jobs",
        "run_batch": "retarget.batch.run",
        "shard_of": "retarget.batch.jobs",
    },
)
