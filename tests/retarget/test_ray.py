"""The Ray back end does what the pool of processes does."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import robots
from motions import HumanMotion, InputError
from motions.human.writers.bvh import write_bvh
from retarget.batch import find_jobs, run_batch
from retarget.batch.jobs import Job
from retarget.batch.on_ray import _connect, on_ray, run_there
from retarget.batch.record import Record, record_path
from retarget.batch.work import Held, Work, retarget_job
from retarget.command.cli import main

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, squat: HumanMotion) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(("a", "b", "deep/c")):
        path = folder / f"{name}.bvh"
        path.parent.mkdir(exist_ok=True)
        write_bvh(squat.crop(number, number + 8), path)
    (folder / "broken.bvh").write_text("HIERARCHY\nROOT")
    return folder


@pytest.fixture(scope="module")
def work() -> Work:
    return Work(robot="unitree_g1", robot_hash=robots.load("unitree_g1").content_hash)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray on this machine, with one CPU."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local", num_cpus=1, include_dashboard=False, log_to_driver=False,
        object_store_memory=128 * 2**20,
    )  # fmt: skip
    yield ray
    ray.shutdown()


def records_of(out: Path) -> dict[str, dict[str, Any]]:
    """Every record as it lies on the disk, but for the seconds."""
    found = {}
    for path in sorted(record_path(out, "x").parent.rglob("*.json")):
        found[path.name] = json.loads(path.read_text())
        del found[path.name]["seconds"]
    return found


def results_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.npz")}


@pytest.mark.slow
def test_the_same_results_and_records_as_the_pool(
    cluster: Any, clips: Path, work: Work, tmp_path: Path
) -> None:
    del cluster
    jobs, fresh = find_jobs([clips]), []

    def report(record: Record, before: bool) -> None:
        if not before:
            fresh.append(record.name)

    here, there = tmp_path / "here", tmp_path / "there"
    run_batch(jobs, here, work)
    records = run_batch(jobs, there, work, backend="ray", report=report)
    assert [record.name for record in records] == [job.name for job in jobs]
    assert [record.name for record in records if record.error] == ["broken"]
    assert sorted(fresh) == ["a", "b", "broken", "deep/c"]
    assert results_of(there) == results_of(here) and len(results_of(here)) == 3
    assert records_of(there) == records_of(here)
    # Resumed, on either: what is finished stays, what failed or is spoilt is done again.
    (there / "a.npz").write_bytes(b"spoilt")
    fresh.clear()
    run_batch(jobs, there, work, backend="ray", report=report)
    assert sorted(fresh) == ["a", "broken"] and results_of(there) == results_of(here)
    fresh.clear()
    run_batch(jobs, there, work, report=report)
    assert fresh == ["broken"]


def die_on_b(job: Job, key: str, out: Path) -> Record | Held:
    if job.name == "b":
        os._exit(9)
    if job.name == "a":
        raise MemoryError("not enough of it")
    return retarget_job(job, key, out)


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_is_told(
    cluster: Any, clips: Path, work: Work, tmp_path: Path
) -> None:
    del cluster
    left = [(job, "key") for job in find_jobs([clips])]
    found = [each for each in on_ray(left, tmp_path, work, task=die_on_b)]
    records = {each.name: each for each in found if isinstance(each, Record)}
    assert len(records) == 4 and not records["deep/c"].error
    assert "died twice" in records["b"].error and "not enough of it" in records["a"].error
    assert records_of(tmp_path)["b.json"]["error"] == records["b"].error


@pytest.mark.slow
def test_the_command_starts_ray_itself(clips: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    command = [sys.executable, "-m", "retarget", os.path.relpath(clips, REPO), "--out"]
    command += [os.path.relpath(tmp_path, REPO), "--backend", "ray", "--workers", "1"]
    run = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stderr
    assert "3 of 4 clips retargeted" in run.stdout and "broken.bvh" in run.stderr
    assert "Traceback" not in run.stderr and len(results_of(tmp_path)) == 3


@pytest.mark.slow
def test_the_command_joins_a_running_cluster(cluster: Any, clips: Path, tmp_path: Path) -> None:
    del cluster
    command = [sys.executable, "-m", "retarget", str(clips / "a.bvh"), "--out", str(tmp_path)]
    command += ["--backend", "ray", "--ray-address", "auto"]
    run = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "1 of 1 clips retargeted" in run.stdout, run.stderr
    assert list(results_of(tmp_path)) == ["a.npz"]


class Refusing:
    """Stands for Ray where no cluster runs."""

    @staticmethod
    def init(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "ray://127.0.0.1:1", "x:99999999"])
def test_no_cluster_is_one_line(address: str) -> None:
    with pytest.raises(InputError, match=f"no Ray cluster answers .found {address}.*ray start"):
        _connect(Refusing, None, address)


def test_without_ray_the_command_says_how_to_get_it(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "ray":
            raise ImportError(name)
        return usual(name, package)

    monkeypatch.setattr("retarget.batch.on_ray.importlib.import_module", without)
    with pytest.raises(InputError, match=r"pip install 'humanoid-mimic\[ray\]'"):
        main([str(clips), "--out", str(tmp_path), "--backend", "ray"])
    assert not results_of(tmp_path)
    with pytest.raises(InputError, match="--ray-address is for --backend ray"):
        main([str(clips), "--out", str(tmp_path), "--ray-address", "auto"])


def test_a_machine_without_the_disk_says_so(work: Work, tmp_path: Path) -> None:
    job, before = Job(tmp_path / "a.bvh", "a"), Path.cwd()
    record = run_there(job, "key", (work, tmp_path / "absent", tmp_path, retarget_job))
    assert isinstance(record, Record)
    assert "absent" in record.error and os.uname().nodename in record.error
    assert Path.cwd() == before
