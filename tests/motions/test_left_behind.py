"""What a killed run leaves in a folder: no reader takes it for a motion, the next run clears it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mimic.commands.show_motions import find_files
from mimic_base import files
from mimic_base.files import temporary_path
from mimic_base.owner import owner
from motions import InputError
from motions.__main__ import main
from motions.robot.dataset import find_motion_files as find_set
from motions.robot.formats.cli import find_motion_files
from motions.robot.formats.writers import write_robot_trajectory
from retarget.batch import find_jobs
from retarget.view.sources import find_pairs
from tests.motions.test_robot_format_files import walk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A motion beside leftovers: of this version, of the one before, and what an editor leaves."""
    folder = tmp_path / "motions"
    folder.mkdir()
    write_robot_trajectory(walk(), folder / "walk.npz", "trajectory")
    dead = replace(owner(), start=1)
    mine = temporary_path(folder / "other.npz")
    for name in (
        mine.name.replace(owner().token, dead.token), ".other.0a1b2c3d.tmp.npz", "._walk.npz",
    ):  # fmt: skip
        (folder / name).write_bytes(b"PK\x03\x04 half")
        os.utime(folder / name, times=(0, 0))
    (folder / ".hidden").mkdir()
    shutil.copy(folder / "walk.npz", folder / ".hidden" / "old.npz")
    return folder


def test_readers_of_folders_take_what_is_finished(folder: Path) -> None:
    only = folder / "walk.npz"
    assert find_motion_files([folder]) == [only]
    assert find_files([folder]) == [only]
    assert [file.path for file in find_set([folder])] == [only]
    assert [pair.motion for pair in find_pairs([folder])] == [only]


def test_a_folder_of_leftovers_holds_nothing(folder: Path) -> None:
    (folder / "walk.npz").unlink()
    with pytest.raises(InputError, match="holds no robot motion"):
        find_motion_files([folder])
    with pytest.raises(InputError, match=r"holds no \.npz file"):
        find_set([folder])
    with pytest.raises(InputError, match="holds no motion"):
        find_pairs([folder])
    with pytest.raises(ValueError, match=r"holds no \.npz file"):
        find_files([folder])


def test_hidden_clips_are_no_clips(tmp_path: Path) -> None:
    (tmp_path / ".retarget").mkdir()
    for place in (".retarget/walk.bvh", ".walk.bvh"):
        (tmp_path / place).write_text("HIERARCHY\n")
    with pytest.raises(InputError, match="holds no clip"):
        find_jobs([tmp_path])


def test_converting_into_the_folder_clears_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_swept", set())  # as in a process of its own
    assert main(["convert", str(folder), "--out", str(folder / "new")]) == 0
    assert len(list(folder.glob(".*other*"))) == 2  # nothing was written into this one
    assert main(["convert", str(folder), "--out", str(folder), "--to", "unitree-csv"]) == 0
    assert "walk.csv" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "._walk.npz", "walk.csv", "walk.npz",
    ]  # fmt: skip
