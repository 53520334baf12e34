"""What a killed run leaves in a folder: no reader takes it for a motion, the next run clears it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mimic.commands.show_motions import find_files
from mimic_base.files import temporary_path
from mimic_base.owner import owner
from motions import InputError
from motions.__main__ import main
from motions.robot.dataset import find_motion_files as find_set
from motions.robot.formats.cli import find_motion_files
from retarget.batch import find_jobs
from retarget.view.sources import find_pairs
from tests.motions.test_robot_format_files import write_walk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A motion beside leftovers: of this version, of the one before, and what an editor leaves."""
    folder = tmp_path / "motions"
    folder.mkdir()
    write_walk(folder / "walk.npz")
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
    walk = folder / "walk.npz"
    assert find_motion_files([folder]) == [walk]
    assert find_files([folder]) == [walk]
    assert [file.path for file in find_set([folder])] == [walk]
    assert [pair.motion for pair in find_pairs([folder])] == [walk]


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
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        raise SystemExit(main(["convert", str(folder), "--out", str(folder / "new")]))
    assert left.value.code == 0
    capsys.readouterr()
    assert len(list(folder.glob(".*other*"))) == 2  # nothing was written into this one
    source = folder / "walk.npz"
    assert main(["convert", str(source), "--out", str(folder), "--to", "lafan1-csv"]) == 0
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "._walk.npz", "walk.csv", "walk.npz",
    ]  # fmt: skip
