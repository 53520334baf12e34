"""Do the engines agree on this GPU: the shipped policy's actions through all of them.

`mimic parity` names the boundary that differs; `mimic evaluate` gives the policy's success on each.
"""

from __future__ import annotations

from pathlib import Path

from steps import REPO, Deadline, demo_motions, parser, step

ENGINES = ("warp", "mjx", "mjx:impl=jax")
POLICY = REPO / "mimic" / "assets" / "policy_g1_demo.onnx"
LIMIT_S = 600.0


def main() -> None:
    own = parser(__doc__ or "", minutes=30.0)
    own.add_argument("--engines", nargs="+", default=list(ENGINES))
    own.add_argument("--motion", type=Path, help="robot motions (default: the demo clips)")
    args = own.parse_args()
    deadline = Deadline.after(args.minutes)
    folder = Path(args.out) / ("parity-toy" if args.toy else "parity")
    motions = str((args.motion or demo_motions(Path(args.out), deadline)).resolve())
    device = "cpu" if args.toy else "auto"
    for engine in args.engines:
        name = engine.replace(":", "_")
        common = ["--motion", motions, "--device", device]
        result = (folder / f"boundaries_{name}.json").resolve()
        sizes = ["--episodes", "1", "--seconds", "0.1"] if args.toy else ["--episodes", "64"]
        command = ["-m", "mimic.cli", "parity", str(POLICY), "--engines", engine, *common, *sizes]
        if not step(result, [*command, "--json", str(result)], deadline, LIMIT_S, engine=engine):
            return
        if args.toy:
            continue
        result = (folder / f"evaluate_{name}.json").resolve()
        command = ["-m", "mimic.cli", "evaluate", str(POLICY), "--engine", engine, *common]
        if not step(result, [*command, "--json", str(result)], deadline, LIMIT_S, engine=engine):
            return


if __name__ == "__main__":
    main()
