"""Folders of clips: found, sharded, resumed, and never stopped by one of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import robots
from mimic_base.errors import RobotError
from motions import HumanMotion, InputError
from motions.human.writers.bvh import write_bvh
from retarget.batch import find_jobs, read_manifest, run_batch, shard_of, source
from retarget.batch.jobs import Job
from retarget.batch.record import Record, record_path
from retarget.batch.run import _pooled
from retarget.batch.work import Work, begin_worker, crop_job
from retarget.command.cli import main

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, squat: HumanMotion) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(("a", "b", "deep/a", "deep/c")):
        path = folder / f"{name}.bvh"
        path.parent.mkdir(exist_ok=True)
        write_bvh(squat.crop(number, number + 8), path)
    (folder / "broken.bvh").write_text("HIERARCHY\nROOT")
    (folder / "notes.txt").write_text("not a clip")
    return folder


@pytest.fixture(scope="module")
def work() -> Work:
    return Work(robot="unitree_g1", robot_hash=robots.load("unitree_g1").content_hash)


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.npz"))}


def test_a_folder_is_searched_and_keeps_its_shape(clips: Path, tmp_path: Path) -> None:
    names = [job.name for job in find_jobs([clips])]
    assert names == ["a", "b", "broken", "deep/a", "deep/c"]
    inside = find_jobs([clips], out=clips / "deep")
    assert [job.name for job in inside] == ["a", "b", "broken"]
    with pytest.raises(InputError, match="holds no clip"):
        find_jobs([tmp_path])
    with pytest.raises(InputError, match="no such file or folder"):
        find_jobs([tmp_path / "absent"])
    with pytest.raises(InputError, match=r"both would be written as a_bvh\.npz"):
        find_jobs([clips / "a.bvh", clips / "deep" / "a.bvh"])


def test_shards_are_disjoint_and_complete(clips: Path) -> None:
    jobs = find_jobs([clips])
    parts = [shard_of(jobs, f"{i}/3") for i in (1, 2, 3)]
    assert sorted(job.name for part in parts for job in part) == [job.name for job in jobs]
    for wrong in ("0/3", "4/3", "1", "a/b", "1/", "-1/2"):
        with pytest.raises(InputError, match="--shard must be I/N"):
            shard_of(jobs, wrong)


def test_manifests(clips: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "list.txt"
    relative = os.path.relpath(clips / "a.bvh", tmp_path)
    entry = {"clip": str(clips / "b.bvh"), "name": "parts/b1", "start": 0.05, "end": 0.2}
    manifest.write_text(f"# two clips\n{relative}\n\n{json.dumps(entry)}\n")
    plain, part = read_manifest(manifest)
    assert plain.name == "a" and plain.clip.resolve() == (clips / "a.bvh").resolve()
    assert (part.name, part.start, part.end) == ("parts/b1", 0.05, 0.2)
    for text, said in (
        ('{"clip": "a", "speed": 2}', "may have name, start, end, ground and source_ground"),
        ('{"clip": "a", "name": "../b"}', "below the output"),
        ('{"clip": "a", "end": "2"}', "are seconds"),
        ('{"clip": "a", "end": NaN}', "are seconds"),
        ('{"clip": "a", "start": 1%s}' % ("0" * 400), "are seconds"),
        ("{", "line 1 of the manifest is not JSON"),
        ("# nothing", "names no clip"),
    ):
        manifest.write_text(text)
        with pytest.raises(InputError, match=said):
            read_manifest(manifest)
    with pytest.raises(InputError, match="cannot read the manifest"):
        read_manifest(tmp_path / "absent.txt")


def test_parts_of_clips_end_where_the_clip_does(squat: HumanMotion, tmp_path: Path) -> None:
    clip = squat.crop(0, 12)
    job = Job(tmp_path / "take.bvh", "parts/one", 0.0, 12 / clip.fps, "line 2 of list.jsonl")
    # Frames over rate is one frame more than the last frame's time: it means that frame.
    assert crop_job(clip, job, 0.1, None).num_frames == 12  # the entry's start goes before --start
    late = replace(job, end=99.0)
    with pytest.raises(InputError) as caught:
        crop_job(clip, late, 0.0, None)
    text = str(caught.value)
    assert "take.bvh (as parts/one): start in line 2 of list.jsonl and end in line 2 of" in text
    assert "found 0 s to 99 s" in text and f"12 frames at {clip.fps:g} fps" in text
    with pytest.raises(InputError, match=r"take\.bvh: --start and --end must lie inside"):
        crop_job(clip, Job(tmp_path / "take.bvh", "deep/take"), 0.0, 99.0)


def test_a_broken_clip_does_not_stop_the_rest(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(clips), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "4 of 5 clips retargeted" in said.out and "1 failed" in said.out
    assert said.err.count("error:") == 1 and "broken.bvh" in said.err
    assert set(contents(tmp_path)) == {"a.npz", "b.npz", "deep/a.npz", "deep/c.npz"}
    assert json.loads(record_path(tmp_path, "broken").read_text())["error"]


def test_only_what_changed_is_done_again(clips: Path, work: Work, tmp_path: Path) -> None:
    jobs = [job for job in find_jobs([clips]) if job.name != "broken"][:2]
    fresh: list[str] = []

    def report(record: Record, before: bool) -> None:
        if not before:
            fresh.append(record.name)

    def again(work: Work = work) -> list[str]:
        fresh.clear()
        records = run_batch(jobs, tmp_path, work, report=report)
        assert [record.name for record in records] == ["a", "b"]
        assert all(not record.error for record in records)
        return sorted(fresh)

    assert again() == ["a", "b"]
    before = contents(tmp_path)
    assert again() == []
    (tmp_path / "a.npz").write_bytes(b"spoilt")
    assert again() == ["a"]
    record_path(tmp_path, "b").write_text("{")
    assert again() == ["b"]
    assert contents(tmp_path) == before
    assert again(Work(work.robot, work.robot_hash, fps=50.0)) == ["a", "b"]


def test_what_a_kill_left_half_written_is_cleared_away(
    clips: Path, work: Work, tmp_path: Path
) -> None:
    stale = [tmp_path / ".a.1234.tmp.npz", record_path(tmp_path, ".a.1234.tmp")]
    other = record_path(tmp_path, ".ab.1234.tmp")  # another clip's, which may be at work on it
    for path in [*stale, other]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    jobs = [job for job in find_jobs([clips]) if job.name == "a"]
    assert not run_batch(jobs, tmp_path, work)[0].error
    assert [path for path in [*stale, other] if path.exists()] == [other]


def test_a_worker_with_another_robot_refuses(work: Work) -> None:
    with pytest.raises(RobotError, match="not the one that the batch was started with"):
        begin_worker(Work(work.robot, "0123"))


@pytest.mark.slow
def test_a_killed_batch_goes_on_to_the_same_result(
    clips: Path, tmp_path: Path, squat: HumanMotion
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(12):
        write_bvh(squat.crop(number, number + 60), many / f"clip{number:02}.bvh")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-m", "retarget", str(many), "--workers", "2", "--out"]
    assert subprocess.run([*command, str(whole)], cwd=REPO, check=False).returncode == 0
    process = subprocess.Popen([*command, str(killed)], cwd=REPO, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(killed.glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(contents(killed))
    assert 0 < done < 12, "the batch was over before it could be killed"
    assert subprocess.run([*command, str(killed)], cwd=REPO, check=False).returncode == 0
    assert contents(killed) == contents(whole)


def die_on_b(job: Job, key: str, out: Path) -> Record:
    if job.name == "b":
        os._exit(9)
    return Record(job.name, str(job.clip), key)


@pytest.mark.slow
def test_a_clip_that_kills_its_process_is_told(clips: Path, work: Work, tmp_path: Path) -> None:
    left = [(job, "key") for job in find_jobs([clips])]
    records = {record.name: record for record in _pooled(left, tmp_path, work, 2, die_on_b)}
    assert len(records) == 5
    assert "died" in records["b"].error
    assert not any(record.error for name, record in records.items() if name != "b")


def test_no_negative_workers(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--workers must not be negative"):
        main([str(clips), "--out", str(tmp_path), "--workers", "-1"])


def test_a_batch_draws_a_picture_per_clip(clips: Path, tmp_path: Path) -> None:
    only = ["--manifest", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out")]
    (tmp_path / "list.txt").write_text(f"{clips / 'a.bvh'}\n{clips / 'b.bvh'}\n")
    assert main(only) == 0
    out = tmp_path / "out"
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.npz")}
    assert not list(out.glob("*.png"))
    # Asked for later, pictures are drawn of what is finished too; results are the same.
    assert main([*only, "--picture"]) == 0
    pictures = {p.name: p.read_bytes() for p in out.glob("*.png")}
    assert sorted(pictures) == ["a.png", "b.png"]
    assert all(data.startswith(b"\x89PNG") for data in pictures.values())
    drawn = {p.name: p.stat().st_mtime_ns for p in out.glob("*.npz")}
    assert set(drawn) == set(before)
    assert main([*only, "--picture"]) == 0  # and a third run does nothing
    assert {p.name: p.stat().st_mtime_ns for p in out.glob("*.npz")} == drawn


def test_one_clip_and_a_batch_give_the_same_result(clips: Path, tmp_path: Path) -> None:
    options = ["--start", "0.05", "--out-fps", "40", "--picture"]
    assert main([str(clips / "a.bvh"), "--out", str(tmp_path / "one"), *options]) == 0
    batch = [str(clips / "a.bvh"), "--out", str(tmp_path / "many"), "--shard", "1/1", *options]
    assert main(batch) == 0
    one, many = ((tmp_path / name / "a.npz").read_bytes() for name in ("one", "many"))
    assert one == many
    assert (tmp_path / "one" / "a.png").is_file() and (tmp_path / "many" / "a.png").is_file()


def test_a_changed_solver_changes_the_key(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of another solver are not finished work: its code is part of the key."""
    usual = work.configuration
    assert work.configuration == usual
    for part in source.PARTS:
        assert (source.REPO / part).exists(), part
        copy = tmp_path / part
        if (source.REPO / part).is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source.REPO / part, copy)
        else:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source.REPO / part, copy, ignore=ignore, dirs_exist_ok=True)
    monkeypatch.setattr(source, "REPO", tmp_path)
    source.solver_version.cache_clear()
    assert work.configuration == usual  # wherever it is installed
    changed = tmp_path / "retarget" / "solvers" / "whole_clip" / "settings.py"
    changed.write_text(changed.read_text().replace("18.0", "19.0"))
    assert work.configuration == usual  # computed once
    source.solver_version.cache_clear()
    other = work.configuration
    assert other != usual
    monkeypatch.setattr(source, "SOLVER_SCHEMA", source.SOLVER_SCHEMA + 1)
    source.solver_version.cache_clear()
    assert work.configuration not in (usual, other)
    source.solver_version.cache_clear()
