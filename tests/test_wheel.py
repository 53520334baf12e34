"""The wheel in an environment of its own: `mimic` retargets, trains and plays away from the source.

The environment sees the packages that are installed here, and of this program only the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def mimic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `mimic` of an environment into which the wheel was installed."""
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(REPO)).build(directory=str(folder), versions=["standard"])
    try:
        venv.create(folder / "env", with_pip=True)
    except subprocess.CalledProcessError:
        pytest.skip("this Python cannot make an environment with pip")
    python = folder / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", built]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Folders of installed packages, but none of the .pth files there, which lead to the checkout.
    places = {sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}
    places |= {each for each in sys.path if each.endswith("site-packages")}
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    Path(site, "installed_here.pth").write_text("\n".join(sorted(places)) + "\n", encoding="utf-8")
    return folder / "env" / "bin" / "mimic"


def run(mimic: Path, folder: Path, *words: str) -> str:
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MIMIC_CACHE")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(mimic), *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**variables, "OMP_NUM_THREADS": "1", "MIMIC_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, f"mimic {' '.join(words)}\n{done.stdout[-2000:]}{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_wheel_retargets_trains_and_plays(mimic: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [mimic.with_name("python"), "-c", "import mimic, retarget; print(mimic.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    ).stdout  # fmt: skip
    assert str(mimic.parents[1]) in where, "another installation was found"
    assert "unitree_g1" in run(mimic, tmp_path, "robots")
    assert "tracking" in run(mimic, tmp_path, "list")
    run(mimic, tmp_path, "motions", "demo", "clips", "squat")
    run(mimic, tmp_path, "retarget", "clips/squat.bvh", "--out", "motions", "--fps", "30")
    assert "squat" in run(mimic, tmp_path, "motions", "motions/squat.npz")
    run(
        mimic, tmp_path, "train", "tracking", "--motion", "motions", "--num-envs", "8",
        "--iterations", "2", "--device", "cpu", "--out", "runs",
    )  # fmt: skip
    (policy,) = tmp_path.glob("runs/**/policy.onnx")
    shown = run(mimic, tmp_path, "play", str(policy.parent))
    assert "squat" in shown and "key-body error" in shown
    # The policy that comes with the program is in the wheel too.
    assert "demo" in run(mimic, tmp_path, "demo", "--help")
    shipped = next(mimic.parents[1].glob("lib/**/mimic/assets/policy_g1_demo.onnx"))
    assert "squat" in run(mimic, tmp_path, "play", str(shipped), "--motion", "motions")
