"""A library of clips: in parallel, by splits, past clips that are bad, resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from mimic.cli import run
from mimic.evaluation import get_protocol, jobs
from mimic.evaluation import library as module
from mimic.evaluation.library import evaluate_library
from mimic_base.errors import InputError
from motions import RobotMotion

POLICY = str(files("mimic") / "assets" / "policy_g1_demo.onnx")


@pytest.fixture(scope="module")
def library(short: RobotMotion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of several lengths with splits, and two that are bad."""
    folder = tmp_path_factory.mktemp("library")
    lines = []
    for number, split in enumerate(("train", "train", "test")):
        name = f"clip{number}"
        replace(short.crop(0, 18 - 4 * number), name=name).save(folder / f"{name}.npz")
        lines.append({"file": f"{name}.npz", "split": split})
    (folder / "broken.npz").write_bytes((folder / "clip0.npz").read_bytes()[:400])
    lines.append({"file": "broken.npz", "split": "test"})
    replace(short, name="foreign", robot="another_robot").save(folder / "foreign.npz")
    lines.append({"file": "foreign.npz", "split": "train"})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "set.jsonl").write_text(text)
    return folder


def test_results_do_not_depend_on_workers_and_are_kept(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = get_protocol("robust", episodes=2)
    # Several chunks, so that there is something to share out.
    monkeypatch.setattr(module, "CHUNK_CLIPS", 2)
    sets = [library / "set.jsonl"]
    one = evaluate_library(POLICY, sets, protocol, workers=1, seed=3, folder=tmp_path)
    two = evaluate_library(POLICY, sets, protocol, workers=2, seed=3)
    assert one.to_dict() == two.to_dict()
    assert [row.summary.name for row in one.clips] != []
    assert {row.summary.name for row in one.clips} == {"clip0", "clip1", "clip2"}
    assert [(each.name, each.episodes) for each in one.splits] == [("train", 4), ("test", 2)]
    assert one.total.episodes == 6
    goodness = [
        (row.summary.success, -(row.summary.errors["key_body_mm"] or 0.0)) for row in one.clips
    ]
    assert goodness == sorted(goodness)
    assert len(one.bad) == 2 and all("\n" not in line for line in one.bad)
    assert "broken.npz" in one.bad[0] and "another_robot" in one.bad[1]

    def never(*_: object) -> object:
        raise AssertionError("what is finished is played again")

    monkeypatch.setattr(jobs, "_call", never)
    again = evaluate_library(POLICY, sets, protocol, workers=1, seed=3, folder=tmp_path)
    assert again.to_dict() == one.to_dict()
    with pytest.raises(AssertionError, match="played again"):
        evaluate_library(POLICY, sets, protocol, workers=1, seed=4, folder=tmp_path)


def test_the_command_writes_a_page_and_tells_of_bad_clips(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["evaluate", POLICY, "--motion", str(library / "set.jsonl"), "--protocol", "phc",
             "--workers", "1", "--no-video", "--out", str(out)]  # fmt: skip
    assert run(words) == 2
    said = capsys.readouterr().out
    assert said.count("not judged: ") == 2 and "3 clips judged" in said
    data = json.loads((out / "evaluation.json").read_text())
    assert [each["name"] for each in data["splits"]] == ["train", "test"]
    assert data["protocol"]["name"] == "phc" and len(data["bad"]) == 2
    page = (out / "index.html").read_text()
    assert "clip0" in page and "g-MPJPE" in page and "broken.npz" in page
    assert not (out / "videos").exists()


def test_a_library_of_bad_clips_alone_is_refused(library: Path) -> None:
    with pytest.raises(InputError, match="none of 1 clips can be judged.*broken"):
        evaluate_library(POLICY, [library / "broken.npz"], get_protocol("phc"))
