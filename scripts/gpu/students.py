"""A teacher, three students of it and PPO from scratch on the students' observations, in one table,
and one student of several command interfaces, judged through each of them.

    python scripts/gpu/students.py --minutes 120 --motion clips/ --unseen others/
    python scripts/gpu/students.py --preset cpu --iterations 400 --motion walk.npz --teacher RUN

Each trains for the same number of iterations and is judged by the protocols appendix-f, noisy-start
and robust; `table.md` and `table.json` say success, errors, samples and wall time of each;
`interfaces.md` and `interfaces.json` those of the student of interfaces (by dagger), on the clips
it has learnt and on others. `--students` chooses what is trained; `interfaces` is the last of them.
A session ends by its time limit with checkpoints; the same command again goes on. It has never run
on a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steps import Deadline, demo_motions, parser, run, step, toy_motions

STUDENTS = ("dagger", "ppo-kl", "supervised-then-rl")
SCRATCH = "ppo"
INTERFACES = "interfaces"
THROUGH = ("full", "three-point", "pelvis-path", "exbody", "velocity")
STEADY = ("0.5", "0", "0")
"""A velocity (m/s, m/s, rad/s) that is commanded without a clip."""
ERRORS = ("key_body_mm", "key_body_anchor_mm")
PROTOCOLS = ("appendix-f", "noisy-start", "robust")
EVALUATION_S = 300.0
"""Time for one protocol, or a tenth of the session where that is less."""


def main() -> None:
    own = parser(__doc__ or "", minutes=120.0)
    own.add_argument("--engine", default="auto")
    own.add_argument("--device", default="auto")
    own.add_argument("--preset", default="gpu", choices=("cpu", "gpu"))
    own.add_argument("--num-envs", type=int, help="environments (default: the preset's)")
    own.add_argument("--iterations", type=int, default=3000, help="of the teacher and of each")
    own.add_argument("--motion", type=Path, help="robot motions (default: the demo clips)")
    own.add_argument("--teacher", type=Path, help="a trained run; by default one is trained")
    own.add_argument("--students", nargs="+", default=[*STUDENTS, SCRATCH, INTERFACES])
    own.add_argument("--unseen", type=Path, help="clips that nobody is trained on")
    own.add_argument("--episodes", type=int, help="of each clip (default: the protocol's)")
    args = own.parse_args()
    deadline = Deadline.after(args.minutes)
    out = Path(args.out).resolve()
    folder = out / ("students-toy" if args.toy else "students")
    clips = args.motion or (toy_motions(out) if args.toy else demo_motions(out, deadline))
    common = ["--motion", str(Path(clips).resolve()), "--engine", args.engine]
    common += ["--device", "cpu" if args.toy else args.device]
    evaluation_s = min(EVALUATION_S, 6.0 * args.minutes)
    teacher = args.teacher
    if teacher is None:
        teacher = trained("teacher", "tracking-teacher", "ppo", [], args, common, folder, deadline)
    if teacher is None:
        print("the teacher is not done; run the script again")
        return
    runs = {"teacher": Path(teacher).resolve()}
    for name in args.students:
        if name == INTERFACES:
            continue
        more = [] if name == SCRATCH else ["--teacher", str(runs["teacher"])]
        found = trained(name, "tracking-student", name, more, args, common, folder, deadline)
        if found is not None:
            runs[name] = found
    rows = []
    for name, found in runs.items():
        rows.append(judged(name, found, args, common, folder, deadline, evaluation_s))
    (folder / "table.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))
    if INTERFACES in args.students:
        interfaces(runs["teacher"], args, common, folder, deadline, evaluation_s)


def interfaces(
    teacher: Path, args: Any, common: list[str], folder: Path, deadline: Deadline, limit_s: float
) -> None:
    """Train the student of several interfaces and judge it through each."""
    more = ["--teacher", str(teacher)]
    task = "tracking-student-interfaces"
    found = trained(INTERFACES, task, "dagger", more, args, common, folder, deadline)
    if found is None:
        return
    rows = []
    for name in THROUGH:
        row: dict[str, Any] = {"name": name}
        engine = common[2:]
        sets = {"train": common, "unseen": ["--motion", str(args.unseen), *engine]}
        if args.unseen is None:
            del sets["unseen"]
        if name == "velocity":
            sets["without a clip"] = ["--velocity", *STEADY, *engine]
        for seen, options in sets.items():
            result = folder / f"{INTERFACES}_{name}_{seen.replace(' ', '_')}.json"
            command = [
                "-m", "mimic.cli", "evaluate", str(found), "--interface", name, "--protocol",
                "appendix-f", "--json", str(result), *options,
            ]  # fmt: skip
            step(result, command, deadline, limit_s)
            if result.is_file():
                total = json.loads(result.read_text(encoding="utf-8"))["total"]
                kept = ("episodes", "success", "survived_share", *ERRORS)
                row[seen] = {key: total.get(key) for key in kept}
        rows.append(row)
    (folder / "interfaces.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (folder / "interfaces.md").write_text(interface_table(rows), encoding="utf-8")
    print(interface_table(rows))


def interface_table(rows: list[dict[str, Any]]) -> str:
    """The interfaces as Markdown: clips that succeed, errors in mm (world / anchor)."""
    text = ["| interface | clips | succeed | survived % | mm |", "|---|---|---:|---:|---:|"]
    for row in rows:
        for seen in (name for name in row if name != "name"):
            found = row[seen]
            good = round(found["success"] * found["episodes"])
            errors = " / ".join("–" if found[e] is None else f"{found[e]:.0f}" for e in ERRORS)
            cells = [row["name"], seen, f"{good} of {found['episodes']}",
                     f"{100.0 * found['survived_share']:.0f}", errors]  # fmt: skip
            text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def trained(
    name: str, task: str, algorithm: str, more: list[str], args: Any, common: list[str],
    folder: Path, deadline: Deadline,
) -> Path | None:  # fmt: skip
    """The run of that name once it has all its iterations; it goes on where it was."""
    runs = sorted(each.parent for each in folder.glob(f"runs/{task}/*-{name}/checkpoints"))
    iterations = 2 if args.toy else args.iterations
    done = progress(runs[-1])[-1]["iteration"] if runs and progress(runs[-1]) else 0
    if done >= iterations:
        print(f"{name}: there already")
        return runs[-1]
    if deadline.left_s < 30.0:
        print(f"{name}: no time left; run the script again")
        return None
    numbers = ["--loop.iterations", str(iterations)]
    if runs:
        command = ["train.py", "--resume", str(runs[-1]), *numbers]
    else:
        command = [
            "train.py", task, "--algorithm", algorithm, "--preset", args.preset, *common,
            "--out", str(folder / "runs"), "--name", name, *more, *numbers,
            "--loop.checkpoint-interval", "1" if args.toy else "50",
        ]  # fmt: skip
        if args.toy:
            command += ["--loop.num-envs", "2", "--algorithm.steps", "4"]
            command += ["--algorithm.minibatches", "1"]
        elif args.num_envs:
            command += ["--loop.num-envs", str(args.num_envs)]
    log = folder / f"{name}.log"
    status = run(command, max(10.0, deadline.left_s), log)
    runs = sorted(each.parent for each in folder.glob(f"runs/{task}/*-{name}/checkpoints"))
    done = progress(runs[-1])[-1]["iteration"] if runs and progress(runs[-1]) else 0
    print(f"{name}: {done} of {iterations} iterations (status {status}): {log}")
    return runs[-1] if done >= iterations else None


def progress(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's progress."""
    file = folder / "progress.jsonl"
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def judged(
    name: str, run_folder: Path, args: Any, common: list[str], folder: Path, deadline: Deadline,
    limit_s: float,
) -> dict[str, Any]:  # fmt: skip
    """A row of the table; protocols for which there was no time are missing in it."""
    lines = progress(run_folder)
    row: dict[str, Any] = {"name": name, "run": str(run_folder)}
    if lines:
        row |= {"samples": lines[-1]["samples"], "wall_s": lines[-1]["wall_s"]}
    for protocol in PROTOCOLS:
        result = folder / f"{name}_{protocol}.json"
        command = [
            "-m", "mimic.cli", "evaluate", str(run_folder), "--protocol", protocol,
            "--json", str(result), *common,
        ]  # fmt: skip
        episodes = 1 if args.toy else args.episodes
        if episodes and protocol != "appendix-f":
            command += ["--episodes", str(episodes)]
        step(result, command, deadline, limit_s)
        if result.is_file():
            total = json.loads(result.read_text(encoding="utf-8"))["total"]
            kept = ("success", "normalised_return", "key_body_mm", "key_body_anchor_mm")
            row[protocol] = {key: total.get(key) for key in kept}
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; success in per cent, errors in mm (in the world / from the anchor)."""
    heads = [f"{p} % | mm" for p in PROTOCOLS]
    text = ["| | samples | wall (s) | " + " | ".join(heads) + " |"]
    text.append("|---|---:|---:|" + "---:|---:|" * len(PROTOCOLS))
    for row in rows:
        cells = [row["name"], f"{row.get('samples', 0):,}", f"{row.get('wall_s', 0.0):,.0f}"]
        for protocol in PROTOCOLS:
            found = row.get(protocol)
            if found is None:
                cells += ["–", "–"]
                continue
            errors = [found["key_body_mm"], found["key_body_anchor_mm"]]
            cells.append(f"{100.0 * found['success']:.0f}")
            cells.append(" / ".join("–" if each is None else f"{each:.0f}" for each in errors))
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
