"""Options of training that would fail late, or mean nothing, are refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mimic.commands.train import parse, train
from mimic.learning.config import run_config
from mimic.learning.run_dir import AbsentConfig, create_run_dir, read_config
from mimic.sim import make_engine
from mimic.sim.choice import check_device, pick_device
from mimic_base.errors import MimicError


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"actor_hidden": ()}, "actor_hidden must be one or more widths, got none"),
        ({"critic_hidden": (16, 0)}, "critic_hidden must be widths of at least 1"),
        ({"learning_rate_range": (1.0, 0.1)}, "the smaller first"),
        ({"learning_rate_range": (0.0, 0.1)}, "two positive rates"),
        ({"workers": -3}, "workers must not be negative"),
        ({"entropy_coef": float("nan")}, "entropy_coef must not be negative"),
    ],
)
def test_numbers_of_the_algorithm(values: dict[str, Any], told: str) -> None:
    with pytest.raises(MimicError, match=told):
        run_config(**values)


@pytest.mark.parametrize("device", ["foo", "meta", "cuda:99", "cuda:x"])
def test_devices_that_are_not_there(device: str) -> None:
    for refuse in (check_device, lambda each: pick_device(each, "auto")):
        with pytest.raises(MimicError, match=f"device '{device}'") as error:
            refuse(device)
        assert "\n" not in str(error.value)
    with pytest.raises(MimicError, match=f"device '{device}'"):
        make_engine("mujoco", None, 1, device=device)  # type: ignore[arg-type]
    with pytest.raises(MimicError, match=f"device '{device}'"):
        train(parse(["tracking", "--device", device]))


def test_threads_below_zero() -> None:
    with pytest.raises(MimicError, match="threads must be 0"):
        make_engine("mujoco", None, 1, threads=-1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--judge-until", "2", "--judge-every", "5"], "share of episodes from 0 to 1"),
        (["--judge-until", "0.9"], "give --judge-every"),
        (["--judge-every", "-1"], "or 0 for never"),
    ],
)
def test_judgements(options: list[str], told: str) -> None:
    with pytest.raises(MimicError, match=told):
        train(parse(["tracking", *options]))


@pytest.mark.parametrize("name", ["a/b", "..", "../up"])
def test_names_that_are_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(MimicError, match="without '/'"):
        create_run_dir(tmp_path, "tracking", name)
    assert not list(tmp_path.iterdir())


def test_an_absent_configuration_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(AbsentConfig):
        read_config(tmp_path)
    for text in ('{"motion": [', json.dumps([])):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(MimicError, match="config.json") as error:
            read_config(tmp_path)
        assert not isinstance(error.value, AbsentConfig)
