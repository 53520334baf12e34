"""Five hundred damaged files of every kind; `scripts/fuzz.py` runs as many as one likes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
COUNT = 500


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork, pidfd and limits of a process")
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    # A process of its own: its children are forks, and pytest's own threads do not survive one.
    done = subprocess.run(
        [sys.executable, "scripts/fuzz.py", "--count", str(COUNT), "--json", str(report)],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    found = json.loads(report.read_text())
    assert len(found) == COUNT
    outcomes = [each["outcome"] for each in found]
    assert set(outcomes) == {"read", "refused"}
    assert min(outcomes.count("read"), outcomes.count("refused")) >= COUNT // 20
    assert len({each["target"] for each in found}) >= 12
