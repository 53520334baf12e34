"""Two processes train a motion prior: what judges and what is judged stay the same on both."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from packaging.version import Version

from tests.learning.test_distributed import assert_alike, train_two_ranks
from tests.learning.test_priors import METHODS

REPO = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    Version(version("rsl-rl-lib")) < Version("5.5"),
    reason="rsl_rl shares its normalisers since 5.5",
)


def test_two_ranks_learn_the_same_networks_from_different_rollouts(tmp_path: Path) -> None:
    zero, one = train_two_ranks(tmp_path, "tests.learning.two_ranks_priors", str(tmp_path))
    assert zero.keys() == set(METHODS)
    for name in METHODS:
        assert not torch.equal(zero[name].pop("explored")["obs"], one[name].pop("explored")["obs"])
        assert len(zero[name]) >= 3
        for network in zero[name]:
            assert_alike(zero[name][network], one[name][network])
