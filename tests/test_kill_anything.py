"""The script that kills commands and fills their disk: what it finds, and a few of its trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mimic_base.files import temporary_path
from motions.human import demo
from motions.human.writers.bvh import write_bvh
from tests.envs.conftest import sway

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "scripts"))

import kill_jobs  # type: ignore[import-not-found]  # noqa: E402


def test_every_kind_of_corrupt_file_is_found(tmp_path: Path, tiny) -> None:
    sway(tiny).save(tmp_path / "good.npz")
    (tmp_path / "half.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:-30])
    for name in ("half.pt", "half.onnx", "half.png", "half.toml", "half.pack", "half.odd"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
    (tmp_path / "half.json").write_text('{"a"')
    (tmp_path / "half.html").write_text("<html><body>")
    (tmp_path / "half.jsonl").write_text('{"a"\n{"b": 1}\n')
    (tmp_path / "good.jsonl").write_text('{"a": 1}\n{"b"')
    found = {line.partition(":")[0] for line in kill_jobs.corrupt(tmp_path)}
    endings = ("npz", "pt", "onnx", "png", "toml", "pack", "odd", "json", "html", "jsonl")
    assert found == {f"half.{ending}" for ending in endings}


def test_what_is_left_is_no_final_file(tmp_path: Path) -> None:
    for path in (temporary_path(tmp_path / "a.npz"), tmp_path / ".lock", tmp_path / "a.lock"):
        path.write_text("half")
    (tmp_path / "a.json").write_text("{}")
    assert kill_jobs.final_files(tmp_path) == [tmp_path / "a.json"]
    assert len(kill_jobs.left(tmp_path)) == 3


def test_a_few_kills_and_full_disks(tmp_path: Path) -> None:
    command = [
        sys.executable, str(REPO / "scripts" / "kill_anything.py"), "--commands", "convert",
        "train", "--kills", "3", "--full", "1", "--seed", "7",
        "--json", str(tmp_path / "trials.json"),
    ]  # fmt: skip
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads((tmp_path / "trials.json").read_text())
    trials = said["trials"]
    assert said["seed"] == 7 and len(trials) == 8
    assert not [trial for trial in trials if trial["wrong"]]
    struck = [trial for trial in trials if trial["struck"]]
    assert sum(trial["way"] == "event" for trial in struck) == 2
    assert sum(trial["way"] == "full" for trial in struck) == 2
    assert any(trial["left"] for trial in struck)


@pytest.mark.slow
def test_a_writer_in_place_does_not_pass(tmp_path: Path) -> None:
    """The script itself: a program that writes its files in place is found out."""
    clip = demo.generate("squat").resample(30.0)
    write_bvh(clip.crop(0, 40), tmp_path / "clip.bvh")
    spoilt = (
        "import contextlib, sys\n"
        f"sys.path[:0] = [{str(REPO / 'scripts')!r}, {str(REPO)!r}]\n"
        "import mimic_base.files as files\n"
        "@contextlib.contextmanager\n"
        "def in_place(path, **_):\n"
        "    files.Path(path).parent.mkdir(parents=True, exist_ok=True)\n"
        "    files.Path(path).touch()\n"
        "    yield files.Path(path)\n"
        "files.atomic_path = in_place\n"
        "import kill_anything\n"
        "sys.exit(kill_anything.main())\n"
    )
    words = ["--commands", "convert", "--kills", "9", "--full", "2"]
    ended = subprocess.run(
        [sys.executable, "-c", spoilt, *words], cwd=tmp_path, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 1 and "corrupt: " in ended.stdout, ended.stdout + ended.stderr
