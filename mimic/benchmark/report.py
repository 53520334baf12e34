"""A benchmark's figures as tables and as JSON, with the machine they belong to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from rich.table import Table

from mimic.benchmark.measure import ACTION_NOISE, HIDDEN, ROUNDS, Measurement
from mimic.machine import package_versions, processor_name, usable_cores

SCHEMA = "humanoid-mimic/benchmark/2"
BUSY = 0.3
"""Load per core at the start above which other programs disturb the figures."""


def environment_facts() -> dict[str, Any]:
    """Machine, versions and how busy it is."""
    cores = usable_cores()
    load = os.getloadavg()[0]
    return {
        "processor": processor_name(),
        "cores": cores,
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_at_start": load,
        "busy": load > BUSY * cores,
        "versions": package_versions(),
    }


def measurement_table(measurements: Sequence[Measurement]) -> Table:
    table = Table(title="control steps of an environment per second", title_style="")
    for heading in (
        "engine", "environ-\nments", "threads", "compiled", "physics alone,\nstanding",
        "physics alone,\nsame states", "full\nenvironment", "full /\nstanding",
        "full /\nsame states", "with\npolicy", "PPO\niteration", "set-up\n(s)", "first step\n(s)",
        "peak memory\n(MB)", "GPU memory\n(MB)",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for m in measurements:
        ppo = "-" if m.ppo_samples_per_s is None else f"{m.ppo_samples_per_s:,.0f}"
        gpu = "-" if m.device_memory_mb is None else f"{m.device_memory_mb:,.0f}"
        table.add_row(
            m.engine, str(m.num_envs), str(m.threads or "-"), "yes" if m.compiled else "no",
            f"{m.physics_standing:,.0f}", f"{m.physics_inside:,.0f}",
            f"{m.full:,.0f}", f"{100 * m.ratio_standing:.0f} %", f"{100 * m.ratio_inside:.0f} %",
            f"{m.with_policy:,.0f}", ppo, f"{m.setup_s:.1f}",
            f"{m.first_step_s:.1f}", f"{m.peak_memory_mb:,.0f}", gpu,
        )  # fmt: skip
    return table


def stage_table(measurements: Sequence[Measurement]) -> Table:
    table = Table(title="share of the environment's step", title_style="")
    table.add_column("stage")
    for m in measurements:
        how = [f"{m.threads} threads"] if m.threads else []
        how += ["compiled"] if m.compiled else []
        table.add_column("\n".join([m.engine, str(m.num_envs), *how]), justify="right")
    for stage in measurements[0].stages:
        table.add_row(stage, *(f"{100 * m.stages[stage]:.1f} %" for m in measurements))
    return table


def _pair(m: Measurement) -> tuple[str, int, bool]:
    return m.engine, m.num_envs, m.compiled


def scaling_table(measurements: Sequence[Measurement]) -> Table:
    """Rates over those with the fewest threads, for each engine and number of environments."""
    table = Table(title="speed-up by threads, and environment / physics", title_style="")
    for heading in (
        "engine", "environ-\nments", "threads", "over", "physics,\nstanding",
        "physics,\nsame states", "full\nenvironment", "with\npolicy", "PPO\niteration",
        "full /\nsame states",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for m in measurements:
        same = [x for x in measurements if _pair(x) == _pair(m)]
        base = min(same, key=lambda each: each.threads)
        if len(same) < 2:
            continue
        ppo = "-"
        if m.ppo_samples_per_s is not None and base.ppo_samples_per_s is not None:
            ppo = f"{m.ppo_samples_per_s / base.ppo_samples_per_s:.2f}"
        table.add_row(
            m.engine, str(m.num_envs), str(m.threads), str(base.threads),
            f"{m.physics_standing / base.physics_standing:.2f}",
            f"{m.physics_inside / base.physics_inside:.2f}", f"{m.full / base.full:.2f}",
            f"{m.with_policy / base.with_policy:.2f}", ppo, f"{100 * m.ratio_inside:.0f} %",
        )  # fmt: skip
    return table


def to_dict(
    measurements: Sequence[Measurement], facts: dict[str, Any], **settings: Any
) -> dict[str, Any]:
    """Everything in plain numbers and texts."""
    return {
        "schema": SCHEMA,
        "settings": {
            **settings,
            "rounds": ROUNDS,
            "action_noise": ACTION_NOISE,
            "policy_hidden": list(HIDDEN),
        },
        "machine": facts,
        "unit": "control steps of one environment per second",
        "measurements": [
            {
                **asdict(m),
                "ratio_standing": m.ratio_standing,
                "ratio_inside": m.ratio_inside,
            }
            for m in measurements
        ],
    }
