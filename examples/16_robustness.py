"""What makes a policy fall first: a short sweep of two disturbances.

    python examples/16_robustness.py [POLICY MOTION...]

Without a policy it is the shipped one on the generated squat.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import robots
from mimic.evaluation.robustness import sweep_robustness
from motions.human import demo
from retarget import retarget


def main(policy: str | None = None, *motions: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(each) for each in motions]
        if policy is None:
            policy = str(files("mimic") / "assets" / "policy_g1_demo.onnx")
            clips = [Path(folder) / "squat.npz"]
            retarget(demo.generate("squat"), robots.load("unitree_g1")).save(clips[0])

        # Two multiples of two published ranges; mimic robustness sweeps all of them.
        result = sweep_robustness(
            policy, clips, disturbances=("motor_strength", "push"), multiples=(1.0, 4.0),
            episodes=4, physics=(), folder=Path(folder) / "kept",
        )  # fmt: skip

    print(f"undisturbed: {100 * result.nominal.success:.0f} % of {result.nominal.total.episodes}")
    for name, points in result.sweeps.items():
        shares = ", ".join(f"{p.multiple:g}x {100 * p.success:.0f} %" for p in points)
        print(f"{name}: {shares}")
    torque = result.nominal.total.smoothness["torque_rms"]
    print(f"torque {torque:.1f} N m")
    for line in result.verdict():
        print(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
