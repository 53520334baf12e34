"""From a teacher that sees everything to a student that a robot can run, at toy size.

    python examples/15_student.py

Two iterations each: nobody learns to walk in them. For real runs leave out the --loop options.
"""

from __future__ import annotations

from pathlib import Path

import robots
from mimic.cli import run
from mimic.policy.player import PolicyPlayer
from motions.human import demo
from retarget import retarget

SMALL = "--out runs --device cpu --loop.num-envs 16 --loop.iterations 2"


def mimic(line: str) -> None:
    """What a shell would do with `mimic ...`."""
    print(f"$ mimic {line}", flush=True)
    if run(line.split()):
        raise SystemExit(f"mimic {line} failed")


def newest(task: str, name: str) -> Path:
    """The run of that name."""
    return max(Path("runs", task).glob(f"*-{name}"))


def main() -> None:
    retarget(demo.generate("walk"), robots.load("unitree_g1")).save("walk.npz")
    mimic(f"train tracking-teacher --motion walk.npz --name teacher {SMALL}")
    teacher = newest("tracking-teacher", "teacher")
    student = "train tracking-student --motion walk.npz --teacher"
    mimic(f"{student} {teacher} --algorithm dagger --name labelled {SMALL}")
    labelled = newest("tracking-student", "labelled")
    # The same student goes on by reinforcement, still pulled to the teacher.
    mimic(f"{student} {teacher} --algorithm ppo-kl --init-from {labelled} --name better {SMALL}")
    better = newest("tracking-student", "better")
    mimic(f"export {better} --out student.onnx")

    contract = PolicyPlayer("student.onnx").contract
    print(f"student.onnx sees {contract.observation_size} numbers:")
    for term in contract.observations:
        print(f"  {term.name}: {term.size} x {term.history}")


if __name__ == "__main__":
    main()
