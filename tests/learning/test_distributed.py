"""Two processes train one policy: everything is averaged or written once and only once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.version import Version

from mimic.learning import distributed
from mimic.learning.distributed import SINGLE, ranks
from mimic_base.errors import MimicError
from tests.learning.test_runner import SAMPLES, SMALL

REPO = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    Version(version("rsl-rl-lib")) < Version("5.5"),
    reason="rsl_rl shares its normalisers since 5.5",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train_two_ranks(out: Path, *words: str) -> list[dict[str, Any]]:
    """Start a module of the tests as two ranks that train into ``out``; what each has saved."""
    common = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *words], cwd=REPO,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for rank, process in enumerate(processes):
            stdout, stderr = process.communicate(timeout=300)
            assert process.returncode == 0, f"rank {rank}: {stderr[-2000:]}"
            assert rank == 0 or "iteration" not in stdout, "rank 1 talks to the user"
    finally:
        for process in processes:
            process.kill()
    return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("ranks")
    return out, train_two_ranks(out, "tests.learning.two_ranks", str(out))


def assert_alike(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_ranks_start_alike_but_explore_differently(run: Any) -> None:
    _, (zero, one) = run
    assert_alike(zero["start"], one["start"])
    assert not torch.equal(zero["noise"], one["noise"])


def test_weights_learning_rate_and_normalisers_stay_the_same(run: Any) -> None:
    _, (zero, one) = run
    assert_alike(zero["actor"], one["actor"])
    assert_alike(zero["critic"], one["critic"])
    assert zero["learning_rate"] == one["learning_rate"]
    moved = [not torch.equal(zero["actor"][name], zero["start"][name]) for name in zero["actor"]]
    assert any(moved), "nothing was learnt"
    counts = [value for name, value in zero["actor"].items() if name.endswith("count")]
    # The first observation of 16 environments before and 2 iterations of 6 steps, on each rank.
    assert [int(count) for count in counts] == [2 * 16 * (1 + 2 * SMALL.algorithm.steps)]


def test_the_gradient_is_that_of_all_samples_together(run: Any) -> None:
    _, (zero, one) = run
    assert torch.equal(zero["gradient_of_both"], one["gradient_of_both"])
    torch.testing.assert_close(
        zero["gradient_of_both"], zero["gradient_of_all"], rtol=1e-4, atol=1e-6
    )
    assert zero["gradient_of_all"].abs().max() > 1e-3


def test_sampler_statistics_are_the_mean_of_both(run: Any) -> None:
    _, results = run
    for result in results:
        torch.testing.assert_close(result["failures"], torch.tensor([1.5, 4.5]))
        assert torch.equal(result["visits"], torch.ones(2))


def test_a_stop_on_one_rank_stops_both(run: Any) -> None:
    _, results = run
    assert [(r["outcome"], r["iteration"]) for r in results] == [("stopped", 2)] * 2


def test_the_run_is_written_once_with_samples_of_both(run: Any) -> None:
    out, results = run
    lines = (out / "run" / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2]
    samples = 2 * 2 * SAMPLES
    assert [r["samples"] for r in results] == [samples] * 2
    assert json.loads(lines[-1])["samples"] == samples
    assert len(list((out / "run").glob("events.*"))) == 1
    assert (out / "run" / "policy.onnx").is_file()


def test_logs_are_means_over_the_ranks_that_have_them(run: Any) -> None:
    _, results = run
    assert [r["log"] for r in results] == [{"both": 0.5, "own": 5.0}] * 2


def test_a_single_process_changes_nothing() -> None:
    tensor = torch.tensor([2.0, 4.0])
    assert SINGLE.average(tensor) is tensor and tensor.tolist() == [2.0, 4.0]
    assert SINGLE.average_log({"a": 1.0}) == {"a": 1.0}
    assert SINGLE.any(True) and not SINGLE.any(False) and SINGLE.seed(5) == 5


def test_what_cannot_train_together_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(MimicError, match="rank 3 of this machine has no GPU.* more than 2"),
        ranks("cuda"),
    ):
        pass
    monkeypatch.setattr(distributed, "version", lambda name: "5.4.2")
    with pytest.raises(MimicError, match="needs rsl-rl-lib 5.5 or later, 5.4.2"), ranks("cpu"):
        pass
