"""Many clips into one dataset: in parallel, resumable, sharded."""

from retarget.batch.jobs import Job, find_jobs, merge_jobs, read_manifest, shard_of
from retarget.batch.record import Record
from retarget.batch.run import run_batch

__all__ = ["Job", "Record", "find_jobs", "merge_jobs", "read_manifest", "run_batch", "shard_of"]
