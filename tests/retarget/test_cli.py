"""The command as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mimic_base.command_line import exit_on_user_error
from motions import HumanMotion, InputError, RobotMotion
from motions.human.writers.bvh import write_bvh
from retarget.command.cli import main
from retarget.command.options import output_names, parse_skeleton_map

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, squat: HumanMotion) -> Path:
    path = tmp_path_factory.mktemp("clips") / "short.bvh"
    write_bvh(squat.crop(0, 10), path)
    return path


Run = Callable[..., tuple[int, str, str]]


def _run_process(*arguments: object) -> tuple[int, str, str]:
    result = subprocess.run(
        [sys.executable, "-m", "retarget", *map(str, arguments)],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return result.returncode, result.stdout, result.stderr


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command without a process of its own: exit code, output, errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            exit_on_user_error(lambda: main([str(a) for a in arguments]))
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


def _one_line(result: tuple[int, str, str]) -> str:
    code, _, err = result
    assert code == 2, err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and not err.startswith("\n"), err
    return lines[0]


def _assert_shows_left_and_right(path: Path) -> None:
    """Blue and red limbs in both halves: the person above, the robot below."""
    from matplotlib.image import imread

    image = imread(path)[..., :3]
    half = len(image) // 2
    for part in (image[:half], image[half:]):
        assert (part[..., 0] > part[..., 2] + 0.2).sum() > 100
        assert (part[..., 2] > part[..., 0] + 0.2).sum() > 100


def test_start_and_end_choose_a_part(run: Run, clip: Path, tmp_path: Path) -> None:
    fps = 30.0
    code, _, errors = run(clip, "--out", tmp_path, "--start", 2 / fps, "--end", 6 / fps)
    assert code == 0, errors
    assert RobotMotion.load(tmp_path / "short.npz").num_frames == 5


def test_rates_and_reports_are_checked_before_the_work(
    run: Run, clip: Path, tmp_path: Path
) -> None:
    for option in ("--out-fps", "--source-fps"):
        line = _one_line(run(clip, "--out", tmp_path / "out", option, "1e9"))
        assert f"error: {option}: the frame rate must be 1 to 1000" in line
    line = _one_line(run(clip, "--out", tmp_path / "out", "--report", tmp_path))
    assert f"{tmp_path}: --report names a directory" in line and "report.html" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "part", [(0.2, 0.2), (0.1, 9.0), (-1.0, 0.2), ("nan", 0.2), (0.0, "nan"), (0.0, "inf")]
)
def test_a_part_outside_the_clip_is_refused(
    run: Run, clip: Path, tmp_path: Path, part: tuple[float | str, float | str]
) -> None:
    line = _one_line(run(clip, "--out", tmp_path, "--start", part[0], "--end", part[1]))
    assert "--start and --end must lie inside the clip" in line
    assert not list(tmp_path.glob("*.npz"))


def test_a_clip_becomes_a_motion_file_and_a_picture(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    options = "--robot", "unitree_g1", "--out", out, "--out-fps", "50", "--picture"
    code, output, errors = _run_process(clip, *options)
    assert code == 0, errors
    motion = RobotMotion.load(out / "short.npz")
    assert motion.fps == 50.0 and motion.robot == "unitree_g1"
    assert motion.quality["frames"] == motion.num_frames
    assert "limb direction error" in output and "skeleton" in output
    _assert_shows_left_and_right(out / "short.png")
    assert sorted(p.name for p in out.iterdir()) == ["short.npz", "short.png"]


def test_a_broken_clip_does_not_stop_the_others(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bvh"
    broken.write_text(clip.read_text()[:2000])
    out = tmp_path / "out"
    result = _run_process(broken, clip, "--out", out)
    assert "broken.bvh" in _one_line(result)
    assert sorted(p.name for p in out.iterdir()) == ["short.npz"]
    assert "1 of 2 clips" in result[1]


def test_an_existing_result_is_replaced(clip: Path, tmp_path: Path, run: Run) -> None:
    old = tmp_path / "short.npz"
    old.write_bytes(b"old")
    code, output, _ = run(clip, "--out", tmp_path)
    assert code == 0 and "wrote" in output
    assert RobotMotion.load(old).num_frames == 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fps", "0"], "fps"),
        (["--robot", "no_such_robot"], "no_such_robot"),
        (["--skeleton-map", "pelvis"], "ROLE=JOINT"),
        (["--source-fps", "0"], "fps"),
        (["--unit", "-1"], "unit"),
    ],
)
def test_bad_options_are_one_line(
    clip: Path, tmp_path: Path, run: Run, options: list[str], words: str
) -> None:
    out = tmp_path / "out"
    assert words in _one_line(run(clip, "--out", out, *options))
    assert not out.exists() or not list(out.iterdir())


def test_the_fix_that_an_error_names_is_an_option_and_works(
    clip: Path, tmp_path: Path, run: Run
) -> None:
    text = clip.read_text()
    rate = next(line for line in text.splitlines() if line.startswith("Frame Time:"))
    timeless = tmp_path / "timeless.bvh"
    timeless.write_text(text.replace(rate, "Frame Time: 0"))
    out = tmp_path / "out"
    line = _one_line(run(timeless, "--out", out))
    assert "timeless.bvh" in line and "--source-fps 30" in line
    assert not list(out.glob("*"))
    code, _, errors = run(timeless, "--out", out, "--source-fps", "30")
    assert code == 0, errors
    assert RobotMotion.load(out / "timeless.npz").fps == 30.0


def test_missing_and_single_frame_clips_are_refused(clip: Path, tmp_path: Path, run: Run) -> None:
    text = clip.read_text()
    head, frames = text.split("Frames:")
    time, *rows = frames.splitlines()[1:]
    single = tmp_path / "single.bvh"
    single.write_text(f"{head}Frames: 1\n{time}\n{rows[0]}\n")
    assert "two frames" in _one_line(run(single, "--out", tmp_path / "out"))
    assert "absent.bvh" in _one_line(run(tmp_path / "absent.bvh", "--out", tmp_path / "out"))


def test_an_output_place_that_cannot_be_written_is_found_before_the_work(
    clip: Path, tmp_path: Path, run: Run
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    line = _one_line(run(clip, "--out", taken / "sub"))
    assert f"{taken / 'sub'}: cannot write: a part of the path is a file" in line
    line = _one_line(run(clip, "--out", tmp_path / "out", "--report", taken / "page.html"))
    assert f"{taken / 'page.html'}: cannot write" in line
    assert not list((tmp_path / "out").glob("*"))


def test_out_that_ends_in_npz_is_the_file_of_a_single_clip(
    clip: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "new" / "walk.v2.npz"
    page = tmp_path / "page.html"
    code, output, errors = run(clip, "--out", out, "--picture", "--report", page)
    assert code == 0 and f"wrote {out}" in output, errors
    assert RobotMotion.load(out).num_frames == 10
    assert sorted(p.name for p in out.parent.iterdir()) == ["walk.v2.npz", "walk.v2.png"]
    assert "walk.v2" in page.read_text()
    (tmp_path / "folder.npz").mkdir()
    line = _one_line(run(clip, "--out", tmp_path / "folder.npz"))
    assert "folder.npz: cannot write: the path is a directory" in line


@pytest.mark.parametrize("batch", [False, True])
def test_out_that_ends_in_npz_is_not_for_several_clips(
    clip: Path, tmp_path: Path, run: Run, batch: bool
) -> None:
    out = tmp_path / "out.npz"
    clips = [clip.parent] if batch else [clip, clip]
    line = _one_line(run(*clips, "--out", out))
    found = "a batch" if batch else "2 clips"
    assert f"out.npz: --out names one file, which is for one clip (found {found})" in line
    assert f"--out {tmp_path / 'out'}" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [[], ["--workers", "0"]])
def test_a_clip_is_never_replaced_by_its_result(
    clip: Path, tmp_path: Path, run: Run, workers: list[str]
) -> None:
    same = tmp_path / "smpl.npz"  # what is in it is not looked at
    same.write_bytes(b"the only copy")
    code, output, errors = run(same, "--out", tmp_path, *workers)
    assert code == 2 and "the result would replace the clip" in output + errors
    assert same.read_bytes() == b"the only copy"


def test_no_clips_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clips"):
        main(["--out", str(tmp_path)])


def test_clips_of_the_same_name_get_names_of_their_own() -> None:
    clips = [Path("a/walk.bvh"), Path("b/walk.bvh"), Path("run.bvh")]
    assert output_names(clips) == ["a_walk", "b_walk", "run"]
    assert len(set(output_names([Path("a/walk.bvh"), Path("a/walk.amc")]))) == 2


def test_skeleton_map_is_parsed() -> None:
    assert parse_skeleton_map("") is None
    assert parse_skeleton_map("pelvis=Root, left_hip=L Hip") == {
        "pelvis": "Root",
        "left_hip": "L Hip",
    }
