"""What all tests share: real clips where they are present, OpenGL where it works."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from robots import Robot

REPO = Path(__file__).resolve().parents[1]
TINY = REPO / "tests" / "robots" / "tiny.toml"


DRAW = """
import mujoco
with mujoco.Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 16, 16) as renderer:
    renderer.render()
"""


def working_gl() -> str | None:
    """The first way of drawing that works here (MUJOCO_GL's own choice before all), or None.

    Tried in a process of its own: a broken driver may end the process that asks it.
    """
    wanted = os.environ.get("MUJOCO_GL")
    if wanted == "disable":
        return None
    for backend in dict.fromkeys(filter(None, [wanted, "egl", "osmesa"])):
        try:
            probe = subprocess.run(
                [sys.executable, "-c", DRAW],
                env={**os.environ, "MUJOCO_GL": backend},
                capture_output=True,
                timeout=60,
                check=False,
            )
        except subprocess.TimeoutExpired:
            continue
        if probe.returncode == 0:
            return backend
    return None


def pytest_configure() -> None:
    # Before any test module imports mujoco, which reads the variable once.
    os.environ["MUJOCO_GL"] = working_gl() or "disable"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip `render` tests where nothing can draw, `corpus` tests where there are no clips."""
    reasons: dict[str, str] = {}
    if os.environ["MUJOCO_GL"] == "disable":
        reasons["render"] = "no OpenGL works here: install libegl1 libgl1 (or libosmesa6)"
    if not corpus_path().is_dir():
        reasons["corpus"] = corpus_missing()
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def corpus_path() -> Path:
    return Path(os.environ.get("MIMIC_CORPUS") or REPO.parent / "shared" / "corpus")


def corpus_missing() -> str:
    return f"no real clips in {corpus_path()}: set MIMIC_CORPUS to a folder of them"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real clips (MIMIC_CORPUS, else ../shared/corpus); skips where it is absent."""
    if not corpus_path().is_dir():
        pytest.skip(corpus_missing())
    return corpus_path()


@pytest.fixture(scope="session")
def g1() -> Robot:
    # Here and not above: robots imports mujoco, which reads MUJOCO_GL once.
    import robots

    return robots.load("unitree_g1")


@pytest.fixture(scope="session")
def tiny() -> Robot:
    """Four hinges, for what must not depend on the G1."""
    import robots

    return robots.load(TINY)


class SmallDisk:
    """A file system of its own, whose size and mode can be changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._mounted = False

    def be(self, size: int, *, read_only: bool = False) -> Path:
        """Have it hold `size` bytes (whole pages of 4 KiB); the folder where it is mounted."""
        options = f"size={size},{'ro' if read_only else 'rw'}"
        options = f"remount,{options}" if self._mounted else options
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)]
        try:
            done = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            done = False
        if not done:
            pytest.skip("this user may not mount a file system")
        self._mounted = True
        return self.path

    def close(self) -> None:
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk to fill; skips where there is no permission to mount one."""
    disk = SmallDisk(tmp_path / "disk")
    try:
        yield disk
    finally:
        disk.close()


@pytest.fixture
def most_bytes() -> Iterator[Callable[[int], None]]:
    """Limit the size of every file this process writes: trouble like a full disk's, for anyone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
