"""The HTML report says what the figures say."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from motions import HumanMotion, RobotMotion
from motions.human.writers.bvh import write_bvh
from retarget import retarget
from retarget.command.cli import main
from retarget.page import ClipEntry, clip_curves, clip_page, dataset_page
from retarget.page.curves import worst_moments
from retarget.page.entry import entry_of_clip
from retarget.projection import check_dynamics
from robots.robot import Robot


class Tags(HTMLParser):
    """Open and closed tags, for balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href") and tag != "use"]
        if tag not in ("meta", "img", "br", "path", "use", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "img", "br", "path", "use", "rect"):
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def made(g1: Robot, squat: HumanMotion) -> tuple[HumanMotion, RobotMotion]:
    clip = squat.crop(0, 30)
    return clip, retarget(clip, g1)


def test_curves_agree_with_the_figures(g1: Robot, made: tuple[HumanMotion, RobotMotion]) -> None:
    human, motion = made
    curves = clip_curves(motion, g1, human)
    quality = motion.quality
    assert curves.limb_error is not None
    assert curves.limb_error.mean() == pytest.approx(quality["fidelity"]["limb_dir_err_mean_deg"])
    assert curves.depth.max() == pytest.approx(quality["any_geom_ground_pen"]["max_m"], abs=1e-6)
    assert curves.sole_height.shape == (30, 2) and np.isfinite(curves.sole_speed).all()
    frames = [moment.frame for moment in worst_moments(curves, g1.joint_names)]
    assert frames == sorted(frames) and int(curves.limb_error.argmax()) in frames
    assert curves.dynamics is not None
    checked = check_dynamics(motion, g1)
    np.testing.assert_array_equal(curves.dynamics.residual, checked.residual)
    assert clip_curves(motion.crop(0, 3), g1).dynamics is None
    impossible = replace(checked, feasible=np.zeros(30, bool))
    worst = worst_moments(replace(curves, dynamics=impossible), g1.joint_names)
    assert len(worst) == len(frames) + 1
    assert any("contacts leave" in moment.what for moment in worst)


def test_a_page_is_whole_and_stands_alone(g1: Robot, made: tuple[HumanMotion, RobotMotion]) -> None:
    entry = entry_of_clip("a <b> & c", *made, g1)
    page = clip_page([entry, ClipEntry(name="gone", error="gone.bvh: no such <file>")], g1.title)
    tags = Tags(page)
    assert tags.open == [] and tags.seen.count("svg") == 1 and tags.seen.count("img") == 1
    # Nothing is fetched: pictures are inside, links stay on the page.
    assert all(address.startswith(("#", "data:image/png")) for address in tags.addresses)
    for text in ("ZMP", "% of weight", "infeasible: contacts or torques"):
        assert text in page
    assert entry.quality["dynamics"]["infeasible_rate"] == 0.0
    assert "a &lt;b&gt; &amp; c" in page and "no such &lt;file&gt;" in page
    assert clip_page([entry], g1.title) == clip_page([entry], g1.title)


def test_a_dataset_lists_the_worst_first(made: tuple[HumanMotion, RobotMotion]) -> None:
    _, motion = made
    bad = {**motion.quality, "jumps": {"count": 3}, "near_limit_sample_rate": 0.5}
    clips = [
        ClipEntry(name="fine", quality=motion.quality),
        ClipEntry(name="poor", quality=bad),
        ClipEntry(name="broken", error="broken.bvh: empty"),
    ]
    page = dataset_page(clips, "robot")
    assert Tags(page).open == []
    assert page.index(">poor<") < page.index(">fine<")
    assert "2 of 3 clips" in page and "broken.bvh: empty" in page
    assert 'class="bad">50.00' in page


def test_the_command_writes_the_page(
    squat: HumanMotion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    write_bvh(squat.crop(0, 10), clips / "one.bvh")
    (clips / "two.bvh").write_text("")
    single, many = tmp_path / "r" / "single.html", tmp_path / "many.html"
    both = [str(clips / "one.bvh"), str(clips / "two.bvh")]
    assert main([*both, "--out", str(tmp_path / "o"), "--report", str(single)]) == 2
    assert main([str(clips), "--out", str(tmp_path / "o"), "--report", str(many)]) == 2
    for path in (single, many):
        assert "one" in path.read_text() and "two" in path.read_text()
        assert Tags(path.read_text()).open == []
    assert str(single) in capsys.readouterr().out
