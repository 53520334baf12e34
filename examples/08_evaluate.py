"""Judge a policy under a protocol of your own, and read the figures.

    python examples/08_evaluate.py [POLICY.onnx|RUN MOTION.npz ...]

Figures compare only within one protocol, so a protocol has a name and goes into the result. The
named ones: mimic evaluate POLICY --motion MOTION.npz --protocol noisy-start
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.resources import files

import robots
from mimic.evaluation import evaluate, get_protocol
from motions.human import demo
from retarget import retarget


def main(policy: str | None = None, *motions: str) -> None:
    clips = list(motions)
    if policy is None:
        policy = str(files("mimic") / "assets" / "policy_g1_demo.onnx")
        clips = [retarget(demo.generate("squat"), robots.load("unitree_g1"))]

    # From noisy-start: fewer episodes, only the first two seconds, a rougher start.
    protocol = replace(
        get_protocol("noisy-start"),
        name="quick-look",
        description="two seconds from rather disturbed starts",
        episodes=8,
        start_noise=0.5,
        time_limit_s=2.0,
    )
    result = evaluate(policy, clips, protocol, seed=0)

    for clip in (*result.clips, result.total):
        print(f"{clip.name}: success {100 * clip.success:.0f} % of {clip.episodes} episodes, "
              f"return {clip.normalised_return:.2f}, "
              f"key bodies off by {clip.errors['key_body_mm']:.0f} mm")  # fmt: skip
    print(f"protocol {result.protocol.name}, engine {result.engine}, seed {result.seed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
