"""The arguments that a run was started with, from what its directory says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimic.commands.training.arguments import KEPT, TrainArguments
from mimic.configuration import read_json
from mimic.learning.config import SHORT_NAMES, RunConfig
from mimic.learning.run_dir import CONFIG, config_file, read_config
from mimic_base.errors import MimicError, UserError

OWN_ENGINES = ("auto", "mujoco", "mjx", "warp", "learned")
PROGRAM_ENGINES = ("remote", "isaacgym")
"""Engines that start another program, which their options may name."""


def saved_arguments(run: Path) -> TrainArguments:
    """The arguments a run was started with, of this or the first schema.

    Raises:
        MimicError: no configuration there, or one that cannot be read.
    """
    if run.suffix == ".json":
        source, saved = str(run), read_json(run)
    else:
        saved, file = read_config(run), config_file(run)
        source = f"{run}: {CONFIG if file is None else file.name}"
    check_saved_engine(str(saved.get("engine", "auto")), source)
    try:
        given = {name: saved[name] for name in KEPT if name in saved}
        motion = tuple(Path(each) for each in saved["motion"])
        if "run" not in saved:
            return _of_first_schema(given, motion, saved["train"], source)
        config = RunConfig.from_plain(saved["run"], source=source)
    except (KeyError, TypeError) as error:
        raise MimicError(f"{source} was not written by mimic train ({error})") from error
    return TrainArguments(
        **given,
        motion=motion,
        loop=config.loop,
        algorithm_config=config.algorithm,
        saved_task=(source, saved["task"], saved["run"].get("task")),
    )


def check_saved_engine(engine: str, source: str) -> None:
    """Raise a `MimicError` where a file's engine is code or a program that nobody named here."""
    from mimic_base.trust import check_program, check_trusted

    name = engine.partition(":")[0]
    try:
        if name in PROGRAM_ENGINES:
            check_program(engine)
        else:
            check_trusted(engine if name not in OWN_ENGINES else "")
    except UserError as error:
        raise MimicError(f"{source}: engine: {error}") from error


def _of_first_schema(
    given: dict[str, Any], motion: tuple[Path, ...], flat: Mapping[str, Any], source: str
) -> TrainArguments:
    # Imported here: it needs torch.
    from mimic.learning.checkpoints import config_of_first_schema

    config, unknown = config_of_first_schema(flat)
    if unknown:
        print(
            f"note: {source}: left out {', '.join(unknown)}, of another version of the program",
            file=sys.stderr,
        )
    task = {name: value for name, value in flat.items() if name in SHORT_NAMES}
    return TrainArguments(
        **given,
        motion=motion,
        loop=config.loop,
        algorithm_config=config.algorithm,
        drift_limit=task.get("drift_limit", 0.0),
        saved_task=(source, given["task"], task),
    )
