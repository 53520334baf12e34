"""Train a policy that is told where to go with a method of one's own, resume, and tell it.

    python examples/18_motion_prior.py

Three iterations teach nothing; docs/measured/methods.md says what more of them do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import robots
from mimic.benchmark.motion import demo_walk
from mimic.cli import run
from mimic.policy.player import PolicyPlayer

TRAIN = """train heading --motion clip.npz --algorithm nearest_window:NearestWindow --name own
    --out runs --loop.num-envs 8 --loop.iterations 2 --algorithm.frames 5 --device cpu"""


def mimic(line: str) -> None:
    """What a shell would do with `mimic ...`."""
    print(f"$ mimic {line}", flush=True)
    if run(line.split()):
        raise SystemExit(f"mimic {line} failed")


def main() -> None:
    # Where Python finds the module, and every process that opens the run later.
    sys.path.insert(0, str(Path(__file__).parent))
    clip = demo_walk(robots.load("unitree_g1"))
    mimic(TRAIN.replace("clip.npz", str(clip)))
    (folder,) = Path("runs").rglob("*-own")
    mimic(f"train --resume {folder} --loop.iterations 3")

    contract = PolicyPlayer(folder / "policy.onnx").contract
    for name, meaning in contract.commands["heading"]["inputs"].items():
        print(f"commanded: {name}, {meaning}")
    # Half a metre a second ahead, turning to the left.
    mimic(f"play {folder}/policy.onnx --velocity 0.5 0 0.3")


if __name__ == "__main__":
    main()
