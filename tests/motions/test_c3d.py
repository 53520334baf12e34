"""C3D: markers of a known set become joint centres; other markers are listed."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motions import InputError, read_human_motion
from motions.human.readers.marker_sets import SETS, match_set
from motions.human.readers.raw import RawClip

ezc3d = pytest.importorskip("ezc3d")

# Joint centres of a standing adult, m: x left, y back, z up (the person looks along -y).
JOINTS = {
    "hip": (0.085, 0.0, 0.90), "knee": (0.09, -0.01, 0.48), "ankle": (0.09, 0.03, 0.085),
    "shoulder": (0.18, 0.02, 1.38), "elbow": (0.23, 0.06, 1.10), "wrist": (0.25, -0.04, 0.87),
}  # fmt: skip
# Where the markers sit on this person, by the manual of the marker set.
_SIDED = {
    "FHD": (0.07, -0.08, 1.63), "BHD": (0.06, 0.09, 1.63),
    "SHO": (0.18, 0.02, 1.43), "ELB": (0.275, 0.06, 1.10),
    "WRA": (0.25, -0.075, 0.87), "WRB": (0.25, -0.005, 0.87), "FIN": (0.255, -0.07, 0.80),
    "ASI": (0.12, -0.065, 0.985), "PSI": (0.045, 0.09, 1.0),
    "KNE": (0.147, -0.01, 0.48), "ANK": (0.132, 0.03, 0.085),
    "HEE": (0.085, 0.09, 0.04), "TOE": (0.10, -0.11, 0.05),
}  # fmt: skip
_MIDDLE = {
    "C7": (0.0, 0.09, 1.46), "CLAV": (0.0, -0.06, 1.40),
    "T10": (0.0, 0.11, 1.2), "STRN": (0.0, -0.1, 1.25),
}  # fmt: skip
_CMU_NAMES = {"LASI": "LFWT", "RASI": "RFWT", "LPSI": "LBWT", "RPSI": "RBWT"}
FRAMES = 30


def _markers() -> dict[str, Any]:
    """Marker paths [T, 3] in mm: the person glides ahead at 0.5 m/s, turned by 30 degrees."""
    spots = dict(_MIDDLE)
    for mark, spot in _SIDED.items():
        spots[f"L{mark}"] = spot
        spots[f"R{mark}"] = (-spot[0], spot[1], spot[2])
    return {name: _moved(np.array(spot)) * 1000 for name, spot in spots.items()}


def _moved(spot: Any) -> Any:
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turned = np.array([c * spot[0] - s * spot[1], s * spot[0] + c * spot[1], spot[2]])
    time = np.arange(FRAMES) / 100.0
    return turned + 0.5 * time[:, None] * np.array([s, -c, 0.0])


def _write(path: Path, markers: dict[str, Any], rate: float = 100.0, unit: str = "mm") -> Path:
    file = ezc3d.c3d()
    points = np.ones((4, len(markers), len(next(iter(markers.values())))))
    for column, values in enumerate(markers.values()):
        points[:3, column] = values.T
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = tuple(markers)
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    file["data"]["points"] = points
    file.write(str(path))
    return path


def _slow(folder: Path) -> Path:
    """A file whose rate is zero; the library refuses to write one."""
    path = _write(folder / "slow.c3d", _markers(), rate=123.0)
    data = path.read_bytes()
    rate = struct.pack("<f", 123.0)
    assert rate in data
    path.write_bytes(data.replace(rate, struct.pack("<f", 0.0)))
    return path


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_human_motion(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("names", [{}, _CMU_NAMES], ids=["plug-in-gait", "cmu41"])
def test_joint_centres_of_a_known_person(tmp_path: Path, names: dict[str, str]) -> None:
    markers = {f"Anna:{names.get(k, k)}": v for k, v in _markers().items()}
    motion = read_human_motion(_write(tmp_path / "clip.c3d", markers))
    assert motion.report["marker_set"] == ("cmu41" if names else "plug-in-gait")
    assert motion.fps == 100 and motion.report["unit"] == 0.001 and motion.report["up"] == "z"
    assert motion.report["facing_deg"] == pytest.approx(-60, abs=2)
    assert motion.num_frames == FRAMES and motion.quat_w is None
    # Regressions for the average adult: centimetres, and better where bones are seen on both ends.
    most = {"hip": 0.03, "shoulder": 0.02}
    for part, spot in JOINTS.items():
        for side, sign in (("left", 1.0), ("right", -1.0)):
            truth = _moved(np.array(spot) * [sign, 1, 1])
            away = np.linalg.norm(motion.role(f"{side}_{part}") - truth, axis=1).max()
            assert away < most.get(part, 0.012), (side, part, away)
    assert {"left_toe", "right_hand", "neck", "head", "chest"} <= set(motion.roles)


def test_gaps_are_filled_or_cut(tmp_path: Path) -> None:
    markers = _markers()
    whole = read_human_motion(_write(tmp_path / "whole.c3d", markers))
    markers["LKNE"] = markers["LKNE"].copy()
    markers["LKNE"][10:15] = np.nan
    motion = read_human_motion(_write(tmp_path / "gap.c3d", markers))
    assert motion.report["filled_markers"] == 5
    np.testing.assert_allclose(motion.pos_w, whole.pos_w, atol=1e-4)
    markers["RSHO"] = markers["RSHO"].copy()
    markers["RSHO"][:8] = np.nan
    motion = read_human_motion(_write(tmp_path / "cut.c3d", markers))
    assert motion.num_frames == FRAMES - 8
    assert "frames 8 to 29 of 30" in motion.report["warnings"][0]
    markers["RSHO"][:] = np.nan
    text = _refusal(_write(tmp_path / "lost.c3d", markers))
    assert "RSHO is lost in 100 % of the frames" in text


def test_unknown_markers_are_listed(tmp_path: Path) -> None:
    legs = {k: v for k, v in _markers().items() if k[1:] in ("ASI", "PSI", "KNE", "ANK", "TOE")}
    text = _refusal(_write(tmp_path / "legs.c3d", legs))
    assert "no known whole-body set" in text and "10 labels: LASI, RASI" in text
    assert "Plug-in Gait" in text and "LFHD" in text


def test_other_labels_of_the_same_marker() -> None:
    labels = [*_markers()]
    labels[labels.index("LPSI")] = "sacr"
    labels.remove("RPSI")
    found, names = match_set(labels)
    assert found is SETS[0] and names["LPSI"] == names["RPSI"] == "sacr"


def test_broken_files(tmp_path: Path) -> None:
    whole = _write(tmp_path / "whole.c3d", _markers())
    path = tmp_path / "short.c3d"
    path.write_bytes(whole.read_bytes()[:600])
    assert "C3D" in _refusal(path)
    path.write_bytes(whole.read_bytes()[:-2000])
    assert "is truncated" in _refusal(path) and "expected 30 as declared" in _refusal(path)
    path.write_bytes(b"")
    assert "file is empty" in _refusal(path)
    path.write_bytes(b"no such thing" * 100)
    assert "C3D" in _refusal(path)
    assert "no such file" in _refusal(tmp_path / "none.c3d")
    slow = _slow(tmp_path)
    assert "frame rate must be 1 to 1000 frames per second (found 0)" in _refusal(slow)
    assert read_human_motion(slow, fps=50).fps == 50


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "clip.c3d", _markers())
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    assert "pip install 'humanoid-mimic[c3d]'" in _refusal(path)


@pytest.mark.corpus
def test_the_real_file_carries_no_whole_body(corpus: Path) -> None:
    text = _refusal(corpus / "c3d" / "markers_analogs.c3d")
    assert "51 labels" in text and "SCAP_AA" in text


def test_raw_clips_may_lack_rotations() -> None:
    clip = RawClip(
        path=Path("x"), format="", fps=1, joint_names=("a",), parents=(-1,), pos=np.zeros((2, 1, 3))
    )
    assert clip.local_angles() is None
