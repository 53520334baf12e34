"""Clips that cannot be what they say: roots in another unit, animals, captures that hover."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import InputError
from motions import HumanMotion, read_human_motion
from motions.human import demo
from motions.human.readers.plausible import four_legs, hovering


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.write("walk", tmp_path_factory.mktemp("walk") / "walk.bvh")


def with_root_times(factor: float, source: Path, out: Path, *, raised: float = 0.0) -> Path:
    """The clip with its root's way written in another unit, `raised` file units up before."""
    head, _, rest = source.read_text().partition("Frame Time:")
    first, *rows = rest.splitlines()
    lines = [f"{head}Frame Time:{first}"]
    for row in rows:
        if values := [float(v) for v in row.split()]:
            values[1] += raised
            values[:3] = [factor * v for v in values[:3]]
            lines.append(" ".join(f"{v:.6f}" for v in values))
    out.write_text("\n".join(lines) + "\n")
    return out


@pytest.mark.parametrize("factor", [0.01, 100.0, 0.001, 10.0, 0.0254])
def test_a_root_in_another_unit_is_put_right_and_said(
    walk: Path, tmp_path: Path, factor: float
) -> None:
    clip = read_human_motion(with_root_times(factor, walk, tmp_path / "clip.bvh"))
    expected = read_human_motion(walk)
    told = [w for w in clip.report["warnings"] if "root is in another unit" in w]
    assert len(told) == 1 and f"times {1 / factor:g}" in told[0]
    np.testing.assert_allclose(clip.pos_w, expected.pos_w, atol=2e-3)
    assert not any("another unit" in w for w in expected.report["warnings"])


def test_people_who_sit_lie_and_fly_keep_their_root(tmp_path: Path) -> None:
    for name in demo.names():
        clip = read_human_motion(demo.write(name, tmp_path / f"{name}.bvh"))
        assert not any("another unit" in w for w in clip.report["warnings"]), name
        assert not any("no foot stands" in w for w in clip.report["warnings"]), name


def test_a_clip_on_a_tower_keeps_its_root(walk: Path, tmp_path: Path) -> None:
    # Ten metres up, and walking: no unit, a place.
    clip = read_human_motion(with_root_times(1.0, walk, tmp_path / "clip.bvh", raised=1000.0))
    assert not any("another unit" in w for w in clip.report["warnings"])
    assert clip.role("pelvis")[0, 2] > 10.0


def on_four(clip: HumanMotion) -> np.ndarray:
    """A walk whose trunk lies level and whose arms hang down to the ground."""
    pos, roles = clip.pos_w.copy(), clip.roles
    hips = 0.5 * (pos[:, roles["left_hip"]] + pos[:, roles["right_hip"]])
    for side in ("left", "right"):
        y = pos[:, roles[f"{side}_hip"]] - hips
        shoulder = hips + y + np.array([0.7, 0.0, 0.0])
        ground = pos[:, roles[f"{side}_ankle"], 2]
        pos[:, roles[f"{side}_shoulder"]] = shoulder
        pos[:, roles[f"{side}_elbow"]] = shoulder - [0.0, 0.0, 0.45]
        pos[:, roles[f"{side}_wrist"]] = shoulder
        pos[:, roles[f"{side}_wrist"], 2] = ground
    return pos


def test_what_speaks_for_four_legs(walk: Path) -> None:
    clip = read_human_motion(walk)
    names = list(clip.joint_names)
    assert four_legs(clip.pos_w, clip.rest_pos, clip.roles, names)[0] == 0.0
    assert four_legs(clip.pos_w, None, clip.roles, [*names, "PonyTail1", "tailor"])[0] == 0.0
    pos = on_four(clip)
    crawls, said = four_legs(pos, clip.rest_pos, clip.roles, names)
    assert said[:2] == ["the trunk is level", "the front paws bear weight"] and crawls <= 2.5
    dog, said = four_legs(pos, pos[0], clip.roles, [*names, "Tail_1"])
    assert dog >= 4.0 and "there is a tail" in said and "the rest pose stands on four" in said


def bvh_of(clip: HumanMotion, pos: np.ndarray, out: Path, names: list[str]) -> Path:
    """Joint positions with names as an npz that the readers take."""
    np.savez(
        out, joint_positions=pos.astype(np.float32), joint_names=np.array(names),
        parents=np.array(clip.parents), fps=clip.fps,
    )  # fmt: skip
    return out


def test_an_animal_is_refused_with_what_overrides_it(walk: Path, tmp_path: Path) -> None:
    clip = read_human_motion(walk)
    names = [*clip.joint_names, "Tail"]
    pos = on_four(clip)
    tail = pos[:, clip.roles["pelvis"]] - [0.4, 0.0, 0.0]
    pos = np.concatenate([pos, tail[:, None]], axis=1)
    longer = replace(clip, report={})
    object.__setattr__(longer, "parents", (*clip.parents, clip.roles["pelvis"]))
    file = bvh_of(longer, pos, tmp_path / "dog.npz", names)
    with pytest.raises(InputError, match="animal on four legs.*tail.*--skeleton-map pelvis="):
        read_human_motion(file, up="z")
    hips = clip.joint_names[clip.roles["pelvis"]]
    taken = read_human_motion(file, up="z", skeleton_map={"pelvis": hips})
    assert any("may be an animal" in w for w in taken.report["warnings"])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_capture_that_hovers_or_sinks_is_said(walk: Path, sign: float) -> None:
    clip = read_human_motion(walk)
    pos, seconds = clip.pos_w.copy(), clip.num_frames / clip.fps
    ramp = np.clip((np.arange(len(pos)) / clip.fps - 1.0) / 0.5, 0.0, 1.0)
    pos[..., 2] += (sign * 0.2 * ramp)[:, None]
    told = hovering(pos, clip.roles, clip.fps)
    assert f"of {seconds:.1f} s" in told and "--ground follow" in told
    assert hovering(clip.pos_w, clip.roles, clip.fps) == ""


def test_jumps_do_not_hover(walk: Path) -> None:
    clip = read_human_motion(walk)
    pos = clip.pos_w.copy()
    time = np.arange(len(pos)) / clip.fps
    flight = np.maximum(0.0, 3.0 * (time % 1.5) - 4.905 * (time % 1.5) ** 2)  # 0.6 s each
    pos[..., 2] += flight[:, None]
    assert hovering(pos, clip.roles, clip.fps) == ""
