"""A trained policy without its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from mimic.configuration import from_plain
from mimic.learning.checkpoints import find_checkpoint, load_checkpoint, spec_from_plain
from mimic.learning.distributed import SINGLE
from mimic.learning.registry import algorithm_class, config_class
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig
    from mimic.learning.algorithm import Algorithm


def load_policy(run: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """Load the policy of a run directory or checkpoint file.

    Returns:
        The deterministic policy, obs [N, D] -> actions [N, A] on the CPU; and the checkpoint's
        ``identity`` (task, robot, motions, sizes).

    Raises:
        MimicError: absent or damaged checkpoint.
    """
    path = find_checkpoint(run)
    state = load_checkpoint(path)
    return policy_of(state, path), state["identity"]


def task_of(state: Mapping[str, Any], path: Path) -> TaskConfig | str:
    """The task a checkpoint was trained in: as its run resolved it, else its name.

    Raises:
        MimicError: the task's code cannot be found, or has other fields now.
    """
    from mimic.envs.environment import TaskConfig

    plain = state["config"].get("task")
    if plain is None:
        return str(state["identity"]["task"])
    return from_plain(TaskConfig, plain, source=f"{path}: task")


def policy_of(state: Mapping[str, Any], path: Path) -> nn.Module:
    """The policy in a checkpoint's state; see ``algorithm_of``.

    Raises:
        MimicError: the networks in the checkpoint are not those that its configuration describes.
    """
    return algorithm_of(state, path).policy()


def algorithm_of(state: Mapping[str, Any], path: Path, size: int | None = None) -> Algorithm:
    """The algorithm in a checkpoint's state, without environments: to take its policy from.

    The networks are built from the sizes in the checkpoint: neither the task's code nor numbers
    that only training needs are asked for, and such of another version are passed over.

    Args:
        state: has ``spec``, ``config.algorithm`` and ``algorithm``.
        path: of the checkpoint, for refusals.
        size: bytes that its weights have at most; by default the file's.

    Raises:
        MimicError: the networks in the checkpoint are not those that its configuration describes.
    """
    name = state["algorithm"]["name"]
    try:
        kind = config_class(name)
    except MimicError as error:
        raise MimicError(f"{path}: {error}") from error
    config = from_plain(
        kind,
        state["config"]["algorithm"],
        source=f"{path}: algorithm",
        imports=False,
        lenient=True,
    )
    spec = spec_from_plain(state["spec"], path)
    _check_widths(config, path, path.stat().st_size if size is None else size)
    try:
        algorithm = algorithm_class(name).build(spec, config, "cpu", SINGLE)
        algorithm.load_state_dict(state["algorithm"]["state"])
    except MimicError:
        raise
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MimicError(
            f"{path}: its networks do not fit its configuration ({reason[:120]}); use the version "
            "of the program it was written by"
        ) from error
    return algorithm


def _check_widths(config: Any, path: Path, size: int) -> None:
    """Refuse networks that are larger than the file's bytes: their weights are in it."""
    networks = getattr(config, "networks", None)
    for name in ("actor_hidden", "critic_hidden"):
        widths = getattr(networks, name, ())
        weights = sum(a * b for a, b in zip(widths, widths[1:], strict=False)) + sum(widths)
        if weights > size:
            raise MimicError(
                f"{path}: its networks do not fit its configuration ({name} would have {weights} "
                f"weights, the file has {size} bytes); use the version of the program it was "
                "written by"
            )
