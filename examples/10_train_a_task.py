"""Train a task and an algorithm of one's own, resume, and export: no file of the project changes.

    python examples/10_train_a_task.py

The task (a command, an object, a reward, observations with history and delay) is push_box.py, the
algorithm stand_still.py, both beside this file. Every number of both is an option of `mimic train`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mimic.cli import run
from mimic.policy.player import PolicyPlayer

TRAIN = """train push_box:push_box --algorithm stand_still:StandStill --name first --out runs
    --loop.num-envs 8 --loop.iterations 3 --algorithm.noise 0.2
    --task.rewards.box.weight 4 --task.commands.place.distance 0.2 0.6 --device cpu"""


def mimic(line: str) -> None:
    """What a shell would do with `mimic ...`."""
    print(f"$ mimic {line}", flush=True)
    if run(line.split()):
        raise SystemExit(f"mimic {line} failed")


def main() -> None:
    # Where Python finds the two modules, and every process that opens the run later.
    sys.path.insert(0, str(Path(__file__).parent))
    mimic(TRAIN)
    (folder,) = Path("runs").rglob("*-first")
    mimic(f"train --resume {folder} --loop.iterations 5")
    mimic(f"export {folder} --out policy.onnx")

    contract = PolicyPlayer("policy.onnx").contract
    print(f"policy.onnx: task {contract.task}, {contract.observation_size} observations:")
    for term in contract.observations:
        print(f"  {term.name}: {term.size} x {term.history}")


if __name__ == "__main__":
    main()
