"""Folders of clips: found, sharded, resumed, and never stopped by one of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import robots
from mimic_base.errors import RobotError
from mimic_base.files import atomic_path, temporary_path
from mimic_base.owner import owner
from motions import HumanMotion, InputError
from motions.human.writers.bvh import write_bvh
from retarget.batch import find_jobs, read_manifest, run_batch, shard_of, source
from retarget.batch.jobs import Job
from retarget.batch.record import Record, job_key, lock_path, record_path
from retarget.batch.run import _pooled
from retarget.batch.work import Work, begin_worker, crop_job, retarget_job
from retarget.command.cli import main
from tests.base.test_writing import LOCKS, another
from tests.conftest import SmallDisk

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
        (
            '{"clip": "a", "start": 1%s}' % ("0" * 400),
            "line 1 of the manifest is not JSON: a whole number of 401 digits",
        ),
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


def test_an_endless_name_in_a_manifest_is_told_in_a_short_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "list.txt"
    manifest.write_text("[" * 20_000 + "\n" + "a" * 5000 + "\n")
    assert main(["--manifest", str(manifest), "--out", str(tmp_path / "out")]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("error: ") and len(line) < 1000


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
    made = list(_pooled(left, tmp_path, work, 2, die_on_b))
    records = {record.name: record for record in made if isinstance(record, Record)}
    assert len(records) == len(made) == 5
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


# two batches, and places that take no more -------------------------------------------------------


def test_a_live_writers_file_is_left_alone(clips: Path, work: Work, tmp_path: Path) -> None:
    begin_worker(work)
    with atomic_path(tmp_path / "c.npz") as mine:
        mine.write_bytes(b"x")
        record = retarget_job(Job(clips / "missing.bvh", "c"), "key", tmp_path)
        assert isinstance(record, Record) and "missing.bvh" in record.error
    assert (tmp_path / "c.npz").read_bytes() == b"x"


def test_a_clip_of_another_batch_is_waited_for_after_the_others(
    clips: Path, work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [Job(clips / f"{name}.bvh", name) for name in ("a", "b")]
    order: list[str] = []
    with another(LOCKS, lock_path(tmp_path, "a")) as process:

        def report(record: Record, before: bool) -> None:
            order.append(record.name)
            process.kill()
            process.wait()

        records = run_batch(jobs, tmp_path, work, report=report)
    assert order == ["b", "a"] and not any(record.error for record in records)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"a: is being written by process {process.pid} on ")
    assert ", since 20" in line and line.endswith("it is waited for after the other clips")
    assert not list(tmp_path.rglob("*.lock"))


def test_what_another_batch_has_done_meanwhile_is_not_done_again(
    clips: Path, work: Work, tmp_path: Path
) -> None:
    begin_worker(work)
    job = Job(clips / "a.bvh", "a")
    key = job_key(job, work.configuration)
    first = retarget_job(job, key, tmp_path)
    written = (tmp_path / "a.npz").stat().st_ino
    assert retarget_job(job, key, tmp_path) == first
    assert (tmp_path / "a.npz").stat().st_ino == written


@pytest.mark.slow
def test_two_batches_into_one_folder_end_as_one(clips: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "retarget", str(clips), "--out"]
    subprocess.run([*command, str(tmp_path / "one")], cwd=REPO, check=False)
    both = [
        subprocess.Popen([*command, str(tmp_path / "two"), *more], cwd=REPO)
        for more in ([], ["--workers", "2"])
    ]
    assert [process.wait() for process in both] == [2, 2]  # broken.bvh
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    left = [path for path in (tmp_path / "two").rglob("*") if path.suffix in (".lock", ".part")]
    assert not left


def test_leftovers_below_the_output_are_cleared_by_the_next_batch(
    clips: Path, work: Work, tmp_path: Path
) -> None:
    dead = replace(owner(), start=1)
    left = [
        temporary_path(tmp_path / "deep" / "x.npz"),
        temporary_path(record_path(tmp_path, "deep/x")),
        lock_path(tmp_path, "deep/x"),
    ]
    left = [path.with_name(path.name.replace(owner().token, dead.token)) for path in left]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    live = temporary_path(tmp_path / "deep" / "y.npz")
    live.write_text("half")
    run_batch([Job(clips / "a.bvh", "a")], tmp_path, work)
    assert not any(path.exists() for path in left) and live.exists()


@pytest.mark.parametrize("length", [245, 251])
def test_a_name_that_is_too_long_fails_alone(
    length: int, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 251 characters the clip's own file fits (.bvh), its record (.json) does not."""
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(clips / "a.bvh", folder / "a.bvh")
    shutil.copy(clips / "b.bvh", folder / f"{'b' * length}.bvh")
    code = main([str(folder), "--out", str(tmp_path / "out")])
    out, err = capsys.readouterr()
    assert (tmp_path / "out" / "a.npz").is_file() and "Traceback" not in err
    if length == 245:
        assert code == 0 and (tmp_path / "out" / f"{'b' * length}.npz").is_file()
        return
    assert code == 2 and "1 of 2 clips retargeted" in out and "1 failed" in out
    [line] = err.splitlines()
    assert line.startswith("error: ") and line.endswith("File name too long")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix == ".part"]


def test_a_folder_in_a_results_place_fails_alone(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "a.npz").mkdir(parents=True)
    (tmp_path / "out" / ".retarget" / "b.json").mkdir(parents=True)
    assert main([str(clips), "--out", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [("broken.bvh" in line, "a directory" in line) for line in errors] == [
        (False, True), (False, True), (True, False),
    ]  # fmt: skip
    assert all((tmp_path / "out" / "deep" / name).is_file() for name in ("a.npz", "c.npz"))


def test_a_full_disk_fails_clip_by_clip(
    clips: Path, tmp_path: Path, small_disk: SmallDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small_disk.be(1 << 20)
    rest = os.statvfs(out)
    (out / "filling").write_bytes(bytes((rest.f_bavail - 1) * rest.f_frsize))
    command = [str(clips), "--out", str(out), "--report", str(tmp_path / "page.html")]
    assert main(command) == 2
    said, err = capsys.readouterr()
    assert "0 of 5 clips retargeted" in said and "5 failed" in said
    assert sum("the disk is full" in line for line in err.splitlines()) == 4
    assert len(err.splitlines()) == 5 and "Traceback" not in err
    assert not [path for path in out.rglob("*") if path.suffix in (".part", ".lock", ".npz")]
    (out / "filling").unlink()
    assert main(command) == 2  # broken.bvh
    assert "4 of 5 clips retargeted" in capsys.readouterr().out


def test_a_read_only_disk_is_told_before_the_work(
    clips: Path, small_disk: SmallDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    out = small_disk.be(1 << 20)
    small_disk.be(1 << 20, read_only=True)
    with pytest.raises(InputError, match="cannot write: the file system is read-only"):
        main([str(clips), "--out", str(out / "results")])


def test_files_as_large_as_no_file_may_be_fail_clip_by_clip(
    clips: Path, tmp_path: Path, most_bytes: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    most_bytes(4096)
    code = main([str(clips), "--out", str(tmp_path)])
    most_bytes(-1)
    err = capsys.readouterr().err
    assert code == 2 and "Traceback" not in err and len(err.splitlines()) == 5
    assert sum(".npz: cannot write: the file would be larger" in x for x in err.splitlines()) == 4
    assert contents(tmp_path) == {}
