"""The results under $OUT as Markdown tables, for docs/measured/engines.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steps import parser


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def throughput(folder: Path) -> list[str]:
    """Rows of measured rates, slowest count first, and of what failed."""
    rows: list[tuple[int, str, str]] = []
    for path in folder.glob("*.json"):
        # The file's name has the engine's options.
        name = path.stem.rpartition("_")[0].replace("_", ":")
        for m in read(path)["measurements"]:
            ppo = m["ppo_samples_per_s"]
            memory = m["device_memory_mb"]
            # Rates of the whole are taken without waiting for each stage, which slows a GPU.
            own = max(0.0, 1.0 - m["full"] / m["physics_inside"])
            cells = [
                name, f"{m['num_envs']:,}", "yes" if m["compiled"] else "no",
                f"{m['physics_inside']:,.0f}",
                f"{m['full']:,.0f}", f"{m['with_policy']:,.0f}",
                "-" if ppo is None else f"{ppo:,.0f}", f"{100 * own:.0f} %",
                f"{m['first_step_s']:.0f}", "-" if memory is None else f"{memory:,.0f}",
            ]  # fmt: skip
            rows.append((m["num_envs"], name, "| " + " | ".join(cells) + " |"))
    for path in folder.glob("*.failed"):
        failed = read(path)
        last = failed["output"].strip().splitlines()[-1:] or [""]
        text = f"| {failed['engine']} | {failed['num_envs']:,} | failed: {last[0][:120]} |"
        rows.append((failed["num_envs"], failed["engine"], text + " |" * 7))
    if not rows:
        return []
    head = ("engine", "environments", "compiled", "physics", "environment", "with policy",
            "PPO samples/s", "environment's own share", "first step (s)",
            "GPU memory (MB)")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return [*lines, *(text for _, _, text in sorted(rows))]


def verdicts(folder: Path) -> list[str]:
    """One line for each pair of engines, and the success of the policy on each engine."""
    lines: list[str] = []
    for path in sorted(folder.glob("boundaries_*.json")):
        lines += [f"- {report['verdict']}" for report in read(path)["reports"]]
    return lines + evaluations(folder)


def mjlab(folder: Path) -> list[str]:
    """Both environments side by side, in control steps of one environment per second."""
    lines = ["| environments | whose | environment | physics alone | control step |",
             "|---:|---|---:|---:|---:|"]  # fmt: skip
    for path in sorted(folder.glob("*_*.json"), key=lambda each: int(each.stem.split("_")[1])):
        found = read(path)
        if path.stem.startswith("mjlab"):
            rows = [(found["program"], found["full"], found["physics"], found["control_dt"])]
        else:
            rows = [
                (f"ours, {m['engine']}{', compiled' if m['compiled'] else ''}", m["full"],
                 m["physics_inside"], 0.02) for m in found["measurements"]
            ]  # fmt: skip
        count = int(path.stem.split("_")[1])
        lines += [
            f"| {count:,} | {who} | {full:,.0f} | {physics:,.0f} | {1e3 * dt:.0f} ms |"
            for who, full, physics, dt in rows
        ]
    return lines if len(lines) > 2 else []


def world_model(folder: Path) -> list[str]:
    """Return under appendix F against the training's own time."""
    summary = folder / "summary.json"
    if not summary.is_file():
        return []
    lines = ["| iteration | training (s) | samples | return | clips failed |",
             "|---:|---:|---:|---:|---:|"]  # fmt: skip
    lines += [
        f"| {row['iteration']} | {row['training_s']:.0f} | {row['samples']:,} | "
        f"{row['return']:.3f} | {row['clips_failed']} of {row['clips']} |"
        for row in read(summary)["curve"]
    ]
    return lines


def evaluations(folder: Path) -> list[str]:
    lines: list[str] = []
    for path in sorted(folder.glob("evaluate_*.json")):
        result = read(path)
        total = result["total"]
        lines.append(
            f"- {path.stem}, engine {result['engine']}: success {100 * total['success']:.0f} % of "
            f"{total['episodes']}, key bodies {total['key_body_mm']:.0f} mm"
        )
    return lines


def main() -> None:
    out = Path(parser(__doc__ or "", minutes=1.0).parse_args().out)
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        if folder.name.startswith("throughput"):
            lines = throughput(folder)
        elif folder.name.startswith("parity"):
            lines = verdicts(folder)
        elif folder.name.startswith("mjlab"):
            lines = mjlab(folder)
        elif folder.name.startswith("tracking"):
            lines = evaluations(folder)
        elif folder.name.startswith("world-model"):
            lines = world_model(folder)
        else:
            continue
        print(f"\n### {folder.name}\n")
        print("\n".join(lines))


if __name__ == "__main__":
    main()
