"""The report is one well-formed page with the figures it was given."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from mimic.machine import machine_info
from mimic.sim.states import States
from mimic.viewer.charts import Line, line_chart, nice_ticks, spans, timeline
from mimic.viewer.figures import rollout_charts, rollout_series
from mimic.viewer.report import quality_table, render_report
from mimic.viewer.rollout import Rollout
from motions import RobotMotion

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects tags, texts and what is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        pass

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


def quality(met: bool | None) -> list[dict]:
    row = {"title": "skate", "goal": 1.5, "unit": "m/s^3", "digits": 2, "met": met}
    return [{**row, "value": None if met is None else 0.27 if met else 3.0}]


def summary(name: str, success: float) -> dict:
    return {
        "name": name, "episodes": 100, "duration_s": 7.4, "success": success,
        "normalised_return": 0.87, "key_body_mm": 41.3, "key_body_anchor_mm": 24.6,
        "joint_rad": 0.0512, "velocity_m_s": None,
    }  # fmt: skip


def rollout(frames: int = 30) -> Rollout:
    qpos = np.tile([0.0, 0, 0.75, 1, 0, 0, 0, 0.1], (frames, 1))
    qpos[:, 0] = 0.02 * np.arange(frames)
    return Rollout(
        robot="r", clip="walk", control_dt=0.02,
        states=States.of(qpos), reference=States.of(qpos.copy()),
        observations=np.zeros((frames - 1, 3)), actions=np.zeros((frames - 1, 1)),
        torques=np.zeros((frames - 1, 1)), key_body_error=np.full(frames, 0.03),
        key_body_error_anchor=np.full(frames, 0.02), joint_error=np.full(frames, 0.01),
        foot_contact=np.ones((frames, 2), bool), planned_s=0.02 * (frames - 1),
    )  # fmt: skip


def motion(frames: int = 19) -> RobotMotion:
    return RobotMotion.build(
        fps=30.0, joint_pos=np.zeros((frames, 1)), body_pos_w=np.zeros((frames, 1, 3)),
        body_quat_w=np.tile([1.0, 0, 0, 0], (frames, 1, 1)), joint_names=["j"],
        body_names=["b"], robot="r", contact=np.tile([1.0, 0.0], (frames, 1)),
    )  # fmt: skip


def report() -> dict:
    series = rollout_series(rollout(), motion())
    protocol = {
        "name": "noisy-start",
        "description": "whole clips",
        "failures": {"root_height": {"function": "root_height", "threshold": 0.25}},
    }
    return {
        "title": "A <title> & more",
        "summary": "clips",
        "tiles": [{"value": "99 / 100", "label": "episodes", "mood": "bad"}],
        "steps": [{"name": "clips", "seconds": 1.25, "note": "made"}],
        "evaluations": [
            {
                "protocol": protocol,
                "clips": [summary("walk", 1.0), summary("squat", 0.98)],
                "total": summary("total", 0.99),
                "notes": ["trained elsewhere"],
            }
        ],
        "clips": [
            {
                "name": name, "about": "447 frames", "outcome": "tracked", "success": ok,
                "failed_s": None if ok else 0.3, "series": series, "quality": quality(ok),
            }
            for name, ok in (("walk", True), ("squat", False))
        ],
        "policy": {"task": "tracking"},
        "machine": machine_info(),
    }  # fmt: skip


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    page = render_report(report(), {"walk/human": b"\xff\xd8", "video/walk": b"mp4"})
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert checker.sources and all(source.startswith("data:") for source in checker.sources)
    assert "http" not in page
    assert "A <title> & more" in checker.text
    for figure in ("99 / 100", "98 %", "7.4", "0.870", "41", "0.051", "–", "0.25 m", "m/s³"):
        assert figure in checker.text, figure
    assert "1 of 2 goals met" in checker.text


def test_quality_marks_what_misses_its_goal() -> None:
    marks = {"a": True, "b": False, "c": None}
    clips = [{"name": name, "quality": quality(met)} for name, met in marks.items()]
    table = quality_table(clips)
    assert '<td class="good">0.27</td><td class="bad">3.00</td><td class="">–</td>' in table


def test_series_are_the_rollouts() -> None:
    series = rollout_series(rollout(), motion())
    assert {len(values) for values in series.values()} == {30}
    assert series["time_s"][-1] == pytest.approx(0.58)
    assert series["pelvis_speed_m_s"][10] == pytest.approx(1.0)
    assert series["key_body_mm"][0] == pytest.approx(30.0)
    assert series["reference_left_contact"][5] == 1 and series["reference_right_contact"][5] == 0


def test_charts_are_well_formed_svg() -> None:
    charts = rollout_charts(rollout_series(rollout(), motion()), 0.3)
    charts.append(line_chart("a < b", [0, 1], [Line("nan", [np.nan, np.nan], "red")], unit="m"))
    charts.append(line_chart("flat", [0.0], [Line("one", [2.0], "red")], unit="m"))
    charts.append(timeline("t", [0, 1, 2], [("row", [True, False, True], "blue")]))
    for chart in charts:
        root = ElementTree.fromstring(chart)
        assert root.tag == "svg"
        for path in root.iter("path"):
            assert "nan" not in path.attrib["d"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (0.0, 36.0, [0.0, 10.0, 20.0, 30.0, 40.0]),
        (0.68, 0.74, [0.68, 0.70, 0.72, 0.74]),
    ],
)
def test_ticks_are_round_and_cover_the_data(low, high, expected) -> None:
    assert nice_ticks(low, high) == pytest.approx(expected)


def test_ticks_of_a_constant_do_not_fail() -> None:
    ticks = nice_ticks(0.75, 0.75)
    assert ticks[0] <= 0.75 < ticks[-1]


def test_spans_are_the_stretches_that_hold() -> None:
    assert spans(np.array([1, 1, 0, 0, 1, 0, 1], bool)) == [(0, 2), (4, 5), (6, 7)]
    assert spans(np.zeros(3, bool)) == []


def test_the_summary_says_how_far_the_robot_went() -> None:
    walked = rollout()
    assert "tracked all 0.6 s, went 0.58 of 0.58 m" in walked.summary()
    lagging = replace(walked, states=walked.reference[np.zeros(30, int)])
    assert "went 0.00 of 0.58 m" in lagging.summary()
    fallen = replace(walked, failed_at=20, failure="base tilt off by 0.90")
    assert "FAILED after 0.4 of 0.6 s (base tilt off by 0.90), went 0.38 of 0.38 m" in (
        fallen.summary()
    )
    assert "30 mm in the world, 20 mm relative to the anchor" in walked.summary()
