"""Collision geometry on disk: found again, made anew where anything has changed, never needed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

import robots
from robots import Robot, collision
from robots.collision import CheckGeometry, check_geometry

TINY = Path(__file__).parent / "tiny.toml"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "geometry"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Grows with every compilation of a vendor's model for its geometry."""
    seen: list[Path] = []

    def compile_spec(spec: mujoco.MjSpec, path: Path) -> mujoco.MjModel:
        seen.append(path)
        return spec.compile()

    monkeypatch.setattr(collision, "compile_spec", compile_spec)
    return seen


def afresh(robot: Robot) -> CheckGeometry:
    """As another process would find it."""
    collision._load.cache_clear()
    return check_geometry(robot)


def same(first: CheckGeometry, second: CheckGeometry) -> bool:
    hulls = [[*g.geoms.values(), *g.soles[0], *g.soles[1]] for g in (first, second)]
    models = [np.concatenate([g.model.geom_pos.ravel(), g.model.geom_size.ravel()])
              for g in (first, second)]  # fmt: skip
    return (
        list(first.geoms) == list(second.geoms)
        and first.touching == second.touching
        and np.array_equal(models[0], models[1])
        and all(
            a.body == b.body and a.radius == b.radius and np.array_equal(a.points, b.points)
            for a, b in zip(*hulls, strict=True)
        )
    )


def test_the_second_process_compiles_nothing(cache: Path, compiled: list[Path]) -> None:
    robot = robots.load(TINY)
    first = afresh(robot)
    assert len(compiled) == 1 and len(list(cache.iterdir())) == 2
    second = afresh(robot)
    assert len(compiled) == 1 and same(first, second)


@pytest.mark.parametrize("suffix", [".npz", ".bin"])
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not an archive", None])
def test_a_damaged_entry_is_made_anew(
    cache: Path, compiled: list[Path], damage: bytes | None, suffix: str
) -> None:
    robot = robots.load(TINY)
    first = afresh(robot)
    (entry,) = cache.glob(f"*{suffix}")
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert same(first, afresh(robot)) and len(compiled) == 2
    assert entry.stat().st_size == len(whole), "the entry was not mended"


@pytest.mark.parametrize("suffix", [".npz", ".bin"])
def test_a_changed_byte_is_noticed(cache: Path, compiled: list[Path], suffix: str) -> None:
    robot = robots.load(TINY)
    first = afresh(robot)
    (entry,) = cache.glob(f"*{suffix}")
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 0x55
    entry.write_bytes(content)
    assert same(first, afresh(robot))


def test_a_changed_model_has_another_key(cache: Path, compiled: list[Path], tmp_path: Path) -> None:
    for file in TINY.parent.glob("tiny.*"):
        shutil.copy(file, tmp_path / file.name)
    before = afresh(robots.load(tmp_path / "tiny.toml"))
    xml = robots.load(tmp_path / "tiny.toml").vendor_xml
    assert xml.parent == tmp_path
    text = xml.read_text("utf-8")
    xml.write_text(text.replace("</mujoco>", "<!-- another -->\n</mujoco>"), "utf-8")
    after = afresh(robots.load(tmp_path / "tiny.toml"))
    assert len(compiled) == 2 and len(list(cache.iterdir())) == 4 and same(before, after)


def test_another_mujoco_does_not_read_it(
    cache: Path, compiled: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = robots.load(TINY)
    afresh(robot)
    monkeypatch.setattr(mujoco, "__version__", "3.99.0")
    afresh(robot)
    assert len(compiled) == 2


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, compiled: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv("MIMIC_CACHE", str(file))
    robot = robots.load(TINY)
    assert same(afresh(robot), afresh(robot)) and len(compiled) == 2


def test_old_entries_go(cache: Path, compiled: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    robot = robots.load(TINY)
    for number in range(7):
        monkeypatch.setattr(mujoco, "__version__", f"3.{number}.0")
        afresh(robot)
    assert len(compiled) == 7 and len(list(cache.iterdir())) == 8


def test_an_entry_that_another_process_takes_away_leaves_no_log(
    cache: Path, compiled: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    robot = robots.load(TINY)
    first = afresh(robot)
    found = collision.load_file

    def gone(*where: Any) -> Path | None:
        file = found(*where)
        assert file is not None
        file.unlink()
        return file

    monkeypatch.setattr(collision, "load_file", gone)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert same(first, afresh(robot)) and len(compiled) == 2
    assert not list((tmp_path / "here").iterdir())
