"""From a video file to landmarks: what surrounds the estimator, which tests do without."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from motions import InputError, read_human_motion
from motions.human.video import cli, estimate, model


def test_whom_to_follow() -> None:
    spread = np.random.default_rng(0).uniform(-1, 1, size=(33, 3))
    far, near = spread * 20 + [100, 50, 0], spread * 60 + [300, 50, 0]
    path = Path("clip.mp4")
    choose = estimate._choose
    assert choose(path, [], None, None) is None
    assert choose(path, [far, near], None, None) == 1
    assert choose(path, [near, far], None, 1) == 1
    # Once followed, nearness counts and not size.
    assert choose(path, [near, far], np.array([110.0, 50.0]), None) == 1
    with pytest.raises(InputError, match="--person.*found 3.*expected 1 to 2"):
        choose(path, [near, far], None, 3)


def test_uneven_times_become_even() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6])
    even = estimate._even({"x": np.arange(5)}, times, 10.0)
    np.testing.assert_array_equal(even["x"][[0, 1, 2, 5, 6]], [0, 1, 2, 3, 4])
    assert len(even["x"]) == 7
    same = estimate._even({"x": np.arange(5)}, np.arange(5) / 10.0, 10.0)
    np.testing.assert_array_equal(same["x"], np.arange(5))


def test_without_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(model, "PACKAGE", (tmp_path / "nowhere.tgz").as_uri())
    with pytest.raises(InputError, match="cannot be fetched.*--model") as caught:
        model.bundle(None)
    assert "\n" not in str(caught.value)
    other = tmp_path / "other.tgz"
    other.write_bytes(b"something else")
    monkeypatch.setattr(model, "PACKAGE", other.as_uri())
    with pytest.raises(InputError, match="not the package of the pose model"):
        model.bundle(None)
    with pytest.raises(InputError, match="not the package of the pose model"):
        model.bundle(other)
    assert not list(tmp_path.rglob("*.task"))
    with pytest.raises(InputError, match="no such file"):
        model.bundle(tmp_path / "none.task")


def test_bad_files(tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    with pytest.raises(InputError, match="no such file"):
        cli.main([str(tmp_path / "none.mp4"), "--out", str(out)])
    with pytest.raises(InputError, match="--out must be an .npz"):
        cli.main([str(tmp_path / "none.mp4"), "--out", str(tmp_path / "out.bvh")])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(200))
    there = importlib.util.find_spec("mediapipe") is not None
    why = "no video that can be decoded" if there else "pip install 'humanoid-mimic"
    for read in (lambda: cli.main([str(broken), "--out", str(out)]),
                 lambda: read_human_motion(broken)):  # fmt: skip
        with pytest.raises(InputError, match=why) as caught:
            read()
        assert "\n" not in str(caught.value)
    assert not out.exists()
