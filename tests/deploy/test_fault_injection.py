"""The script that breaks deployments: every fault once, and a run that goes on where it ended."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mimic_base.errors import InputError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield importlib.import_module("fault_injection")
    finally:
        sys.path.remove(str(SCRIPTS))


def test_every_fault_is_survived_and_a_run_goes_on(script, tmp_path: Path, capsys) -> None:
    faults, kept = len(script.FAULTS), tmp_path / "cases.jsonl"
    words = ["fault_injection.py", "--real", "0", "--kept", str(kept), "--cases"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*words, str(faults - 4)])
        assert script.main() == 0
        whole = kept.read_bytes()
        # Ended in the middle of a line.
        kept.write_bytes(whole[:-30])
        patch.setattr(sys, "argv", [*words, str(faults)])
        assert script.main() == 0
    lines = kept.read_bytes().splitlines(keepends=True)
    assert len(lines) == faults and b"".join(lines[: faults - 4]) == whole
    cases = [json.loads(line) for line in lines]
    assert {case["fault"] for case in cases} == {kind.__name__ for kind in script.FAULTS}
    assert sum(case["unsafe"] for case in cases) == 0
    assert all(case["damped"] <= case["within"] + 1e-9 for case in cases if case["demanded"])
    said = capsys.readouterr().out
    assert f"| all | {faults} |" in said and "WRONG" not in said


def test_a_case_that_went_wrong_is_counted(script) -> None:
    good = script.Case(
        part="lock-step", number=0, seed=0, fault="HungLoop", mode="TRACK", demanded=True,
        within=0.084, damped=0.06, held=True, commands=50, unsafe=0,
    )  # fmt: skip
    assert not good.failed
    late, never = replace(good, damped=0.09), replace(good, damped=None)
    for bad in (late, never, replace(good, held=False)):
        assert bad.failed and not replace(bad, demanded=False).failed
    lines = script.table([good, late, never, replace(good, unsafe=2)], ["HungLoop", "Other"])
    assert lines[2] == "| HungLoop | 4 | 3 | 4 | 2 | 60 | 89 | 90 | 84 | 200 | 2 |"
    assert len(lines) == 4 and lines[3].startswith("| all | 4 |")


def test_a_file_of_something_else_is_refused(script, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    for text in ("nonsense\n", '{"a": 1}\n'):
        path.write_text(text)
        with pytest.raises(InputError, match="not a file of finished cases"):
            script.Kept(path, 0)
    path.unlink()
    case = script.Case(
        part="lock-step", number=3, seed=0, fault="HungLoop", mode="TRACK", demanded=True,
        within=0.1, damped=0.06, held=True, commands=50, unsafe=0,
    )  # fmt: skip
    script.Kept(path, 0).add(case)
    assert ("lock-step", 3) in script.Kept(path, 0)
    with pytest.raises(InputError, match=r"cases of another seed \(found 0, expected 1\)"):
        script.Kept(path, 1)
